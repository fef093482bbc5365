"""Encode on two local Ray nodes, kill a worker and later a whole node, and compare with one machine.

python benchmarks/cluster.py FOLDER

The same command runs on this machine alone and on the cluster. Manifest and texts must be equal
byte for byte. Needs the `cluster` extra.
"""

import filecmp
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import record

KILL_SHARE, REMOVE_SHARE = 0.2, 0.5  # shares of the texts at which a worker and a node are lost
REGISTER_TIMEOUT_MS = "120000"  # a busy machine needs more than Ray's 15 s


def main():
    """Encode both ways, compare and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("folder", help="Folder of MIDI files")
    args = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="cluster") as scratch:
        here, there = Path(scratch) / "here", Path(scratch) / "there"
        start = time.monotonic()
        start_encoding(args.folder, here).wait()
        one_machine_seconds = time.monotonic() - start
        n_texts = count_texts(here)
        row = encode_with_failures(args.folder, there, n_texts) | {
            "one_machine_seconds": round(one_machine_seconds, 1),
            "texts": n_texts,
            "same_manifest": filecmp.cmp(here / "manifest.csv", there / "manifest.csv", False),
            "different_texts": count_differences(here, there),
        }
    print(row)
    record.save("cluster", [row], nodes=2, cpus_per_node=1)
    sys.exit(not row["same_manifest"] or bool(row["different_texts"]))


def start_encoding(folder, out, *flags, **variables):
    """Start the program with extra flags and environment variables."""
    command = [sys.executable, "-m", "data_prep.prepare", folder, "--out", str(out), *flags]
    environment = os.environ | {"PYTHONPATH": str(record.REPOSITORY)} | variables
    return subprocess.Popen(command, env=environment)


def encode_with_failures(folder, out, n_texts):
    """Encode on two nodes while a worker and a node are lost; return a row."""
    os.environ.setdefault("RAY_agent_register_timeout_ms", REGISTER_TIMEOUT_MS)  # read when Ray is imported
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = str(record.REPOSITORY)  # nodes pass it on to their workers
    nodes = Cluster()
    nodes.add_node(num_cpus=1, object_store_memory=100 << 20, include_dashboard=False)
    second = nodes.add_node(num_cpus=1, object_store_memory=100 << 20)
    nodes.wait_for_nodes()
    start = time.monotonic()
    process = start_encoding(folder, out, "--cluster", "ray", RAY_ADDRESS=nodes.address)
    wait_for_texts(out, KILL_SHARE * n_texts, process)
    row = {"texts_at_worker_kill": count_texts(out), "workers_killed": kill_a_worker()}
    wait_for_texts(out, REMOVE_SHARE * n_texts, process)
    row["texts_at_node_loss"] = count_texts(out)
    nodes.remove_node(second, allow_graceful=False)
    row["status"] = process.wait()
    row["cluster_seconds"] = round(time.monotonic() - start, 1)
    nodes.shutdown()
    return row


def wait_for_texts(out, n_texts, process):
    """Wait until a number of texts is written or the process ends."""
    while process.poll() is None and count_texts(out) < n_texts:
        time.sleep(0.05)


def kill_a_worker():
    """Kill one of Ray's workers that is working on a chunk; return how many were killed."""
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] and process.info["cmdline"][0].startswith("ray::_process_chunk"):
            process.kill()
            return 1
    return 0


def count_texts(folder):
    """Return the number of texts in a folder."""
    return sum(1 for _ in Path(folder).rglob("*.txt"))


def count_differences(here, there):
    """Return how many texts are missing in one folder or differ."""
    names = {path.relative_to(folder) for folder in (here, there) for path in folder.rglob("*.txt")}
    return sum(not are_equal(here / name, there / name) for name in names)


def are_equal(a, b):
    """Return whether both files exist and are equal."""
    return a.is_file() and b.is_file() and filecmp.cmp(a, b, False)


if __name__ == "__main__":
    main()
