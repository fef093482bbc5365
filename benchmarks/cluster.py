"""Encode on two local Ray nodes, kill a worker and then a whole node on the way, and compare.

    python benchmarks/cluster.py FOLDER

The same command runs on this machine alone and on the cluster; manifest and texts must be
the same, byte for byte. Needs the `cluster` extra.
"""

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import record

REPOSITORY = Path(__file__).resolve().parents[1]
KILL_AT, REMOVE_AT = 0.2, 0.5  # shares of the texts, when a worker and when a node dies


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("folder", help="of MIDI files")
    args = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="cluster") as scratch:
        here, there = Path(scratch) / "here", Path(scratch) / "there"
        began = time.monotonic()
        encode(args.folder, here).wait()
        alone_seconds = time.monotonic() - began
        n_texts = count(here)
        row = disturbed(args.folder, there, n_texts) | {
            "alone_seconds": round(alone_seconds, 1),
            "texts": n_texts,
            "same_manifest": filecmp.cmp(here / "manifest.csv", there / "manifest.csv", False),
            "different_texts": different(here, there),
        }
    print(row)
    record.save("cluster", [row], nodes=2, cpus_per_node=1)
    sys.exit(not row["same_manifest"] or bool(row["different_texts"]))


def encode(folder, out, *more, **variables):
    """Start the command."""
    command = [sys.executable, "-m", "data_prep.prepare", folder, "--out", str(out), *more]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | variables)


def disturbed(folder, out, n_texts):
    """Encode on two nodes while a worker and a node are killed; what was done when, in texts, and the seconds."""
    os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")  # a busy machine needs more than Ray's 15 s
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = str(REPOSITORY)  # which the nodes hand on to their workers
    nodes = Cluster()
    nodes.add_node(num_cpus=1, object_store_memory=100 << 20, include_dashboard=False)
    second = nodes.add_node(num_cpus=1, object_store_memory=100 << 20)
    nodes.wait_for_nodes()
    began = time.monotonic()
    running = encode(folder, out, "--cluster", "ray", RAY_ADDRESS=nodes.address)
    wait_for(out, KILL_AT * n_texts, running)
    row = {"killed_at_texts": count(out), "workers_killed": kill_a_worker()}
    wait_for(out, REMOVE_AT * n_texts, running)
    row |= {"removed_at_texts": count(out)}
    nodes.remove_node(second, allow_graceful=False)
    row |= {"status": running.wait(), "cluster_seconds": round(time.monotonic() - began, 1)}
    nodes.shutdown()
    return row


def wait_for(out, n_texts, running):
    """Wait until so many texts are there."""
    while running.poll() is None and count(out) < n_texts:
        time.sleep(0.05)


def kill_a_worker():
    """Kill one of Ray's workers that is at a chunk; how many were killed."""
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] and process.info["cmdline"][0].startswith("ray::_process_chunk"):
            process.kill()
            return 1
    return 0


def count(folder):
    """Texts in a folder."""
    return sum(1 for _ in Path(folder).rglob("*.txt"))


def different(here, there):
    """How many texts are not in both folders, or differ."""
    names = {p.relative_to(f) for f in (here, there) for p in f.rglob("*.txt")}
    return sum(
        not ((here / n).is_file() and (there / n).is_file() and filecmp.cmp(here / n, there / n, False)) for n in names
    )


if __name__ == "__main__":
    main()
