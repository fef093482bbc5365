"""Encode as many files as asked, made by linking real ones: files per second and peak memory.

    python benchmarks/encode_scale.py FOLDER [--files 50000] [--workers 2]

Memory is sampled over the driver and its workers. USS is what a process has to itself, so
that the sum over processes counts no page twice; PSS adds its part of the shared pages.
Linked files are few works; `--fingerprints N` measures the grouping of N different ones as
well, random and with an edition for every tenth.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import record

REPOSITORY = Path(__file__).resolve().parents[1]
EVERY_SECONDS = 0.5  # between samples of memory
MIB = 2**20
RUNS = 700  # of a synthetic fingerprint; real piano pieces have 400 on average


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("folder", help="of MIDI files to link")
    p.add_argument("--files", type=int, default=50_000, metavar="N")
    p.add_argument("--workers", type=int, default=2, metavar="N")
    p.add_argument("--fingerprints", type=int, default=50_000, metavar="N", help="0 leaves the grouping out")
    args = p.parse_args()
    rows = [encoding(args.folder, args.files, args.workers)]
    if args.fingerprints:
        rows.append(
            measured(
                [sys.executable, "-c", GROUPING, str(args.fingerprints), str(RUNS)],
                f"group {args.fingerprints} different fingerprints of {RUNS} runs",
            )
        )
    for row in rows:
        print(json.dumps(row))
    record.save("encode_scale", rows, files=args.files, workers=args.workers, sample_seconds=EVERY_SECONDS)


def encoding(folder, n_files, workers):
    """Link and encode; the row of figures."""
    with tempfile.TemporaryDirectory(prefix="encode_scale") as scratch:
        n_sources = link(folder, Path(scratch) / "music", n_files)
        row = measured(
            [sys.executable, "-m", "data_prep.prepare", "music", "--out", "out", "--workers", str(workers)],
            f"encode {n_files} files",
            cwd=scratch,
        )
    return row | {"files": n_files, "of": n_sources, "files_per_second": round(n_files / row["seconds"], 1)}


def link(folder, music, n_files):
    """Links to real files under n_files different names in as many folders as it takes; how many are real."""
    sources = sorted(p.resolve() for p in Path(folder).rglob("*") if p.suffix.lower() in (".mid", ".midi"))
    for i in range(n_files):
        copy, at = divmod(i, len(sources))
        path = music / f"copy{copy}" / f"{at}.mid"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(sources[at])
    return min(len(sources), n_files)


def measured(command, what, cwd=None):
    """Run a command; seconds and peak memory of it and of all its processes together."""
    began, peaks = time.monotonic(), dict.fromkeys(("driver_rss_mb", "driver_uss_mb", "all_uss_mb", "all_pss_mb"), 0.0)
    running = subprocess.Popen(command, cwd=cwd, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    driver = psutil.Process(running.pid)
    while running.poll() is None:
        for name, value in memory(driver).items():
            peaks[name] = max(peaks[name], round(value / MIB, 1))
        time.sleep(EVERY_SECONDS)
    if running.returncode:
        sys.exit(f"{what}: status {running.returncode}")
    return {"what": what, "seconds": round(time.monotonic() - began, 1)} | peaks


def memory(driver):
    """Bytes held now."""
    try:
        told = [p.memory_full_info() for p in (driver, *driver.children(recursive=True))]
    except psutil.Error:  # one of them has just ended
        return {}
    return {
        "driver_rss_mb": told[0].rss,
        "driver_uss_mb": told[0].uss,
        "all_uss_mb": sum(t.uss for t in told),
        "all_pss_mb": sum(t.pss for t in told),
    }


GROUPING = """
import sys, tempfile
from pathlib import Path
import numpy as np
from clara.data.fingerprints import FingerprintFile, write_fingerprints
from clara.data.musical_works import assign_splits, group_works
n, runs = map(int, sys.argv[1:])
random = np.random.default_rng(0)
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "fingerprints.bin"
with write_fingerprints(path) as add:
    for i in range(n):
        if i % 10:
            last = np.unique(random.integers(0, 2**24, runs) ** 2)
        add(str(i), last if i % 10 else last[random.random(len(last)) < 0.9] if i else np.arange(9))
fingerprints = FingerprintFile(path).select([str(i) for i in range(n)])
works = group_works(fingerprints)
sides = assign_splits(fingerprints, works)
print(n, "fingerprints,", len(set(works)), "works,", sides.count("train"), "in train", flush=True)
"""


if __name__ == "__main__":
    main()
