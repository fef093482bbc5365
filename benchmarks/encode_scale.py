"""Encode as many files as requested, made by linking real ones: files per second and peak memory.

python benchmarks/encode_scale.py FOLDER [--files 50000] [--workers 2]

Memory is sampled over the driver and its workers. USS is what a process has to itself, so a sum
over processes counts no page twice; PSS adds its part of the shared pages. Linked files are few
works; --fingerprints N therefore also measures the grouping of N different fingerprints, random
and with an edition for every tenth.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import record

SAMPLE_SECONDS = 0.5  # between samples of memory
MIB = 2**20
RUNS = 700  # of a synthetic fingerprint; real piano pieces have 400 on average
MEMORY_KEYS = ("driver_rss_mb", "driver_uss_mb", "all_uss_mb", "all_pss_mb")

GROUPING = """
import sys, tempfile
from pathlib import Path
import numpy as np
from clara.data.fingerprints import FingerprintFile, write_fingerprints
from clara.data.musical_works import group_works
from clara.data.splits import assign_splits
n_files, n_runs = map(int, sys.argv[1:])
random = np.random.default_rng(0)
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "fingerprints.bin"
with write_fingerprints(path) as add:
    for i in range(n_files):
        if i % 10:
            runs = np.unique(random.integers(0, 2**24, n_runs) ** 2)
            add(str(i), [runs])
        else:
            add(str(i), [runs[random.random(len(runs)) < 0.9] if i else np.arange(9)])
fingerprints = FingerprintFile(path).select([str(i) for i in range(n_files)])
works = group_works(fingerprints)
splits = assign_splits(fingerprints, works)
print(n_files, "fingerprints,", len(set(works)), "works,", splits.count("train"), "in train", flush=True)
"""


def main():
    """Measure encoding and grouping, and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("folder", help="Folder of MIDI files to link")
    p.add_argument("--files", type=int, default=50_000, metavar="N", help="Number of files")
    p.add_argument("--workers", type=int, default=2, metavar="N", help="Number of worker processes")
    p.add_argument(
        "--fingerprints", type=int, default=50_000, metavar="N", help="Number of fingerprints to group; 0 for none"
    )
    args = p.parse_args()
    rows = [measure_encoding(args.folder, args.files, args.workers)]
    if args.fingerprints:
        command = [sys.executable, "-c", GROUPING, str(args.fingerprints), str(RUNS)]
        rows.append(measure_command(command, f"group {args.fingerprints} different fingerprints"))
    for row in rows:
        print(json.dumps(row))
    record.save("encode_scale", rows, files=args.files, workers=args.workers, sample_seconds=SAMPLE_SECONDS)


def measure_encoding(folder, n_files, workers):
    """Link files, encode them, and return a row."""
    with tempfile.TemporaryDirectory(prefix="encode_scale") as scratch:
        n_distinct = link_files(folder, Path(scratch) / "music", n_files)
        command = [sys.executable, "-m", "data_prep.prepare", "music", "--out", "out", "--workers", str(workers)]
        row = measure_command(command, f"encode {n_files} files", cwd=scratch)
    return row | {
        "files": n_files,
        "distinct_files": n_distinct,
        "files_per_second": round(n_files / row["seconds"], 1),
    }


def link_files(folder, music, n_files):
    """Link real files under `n_files` different names; return how many real files there are."""
    sources = sorted(path.resolve() for path in Path(folder).rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    for i in range(n_files):
        copy, source = divmod(i, len(sources))
        path = music / f"copy{copy}" / f"{source}.mid"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(sources[source])
    return min(len(sources), n_files)


def measure_command(command, task, cwd=None):
    """Run a command; return its seconds and the peak memory of it and of all its processes together."""
    start = time.monotonic()
    peaks = dict.fromkeys(MEMORY_KEYS, 0.0)
    process = subprocess.Popen(command, cwd=cwd, env=os.environ | {"PYTHONPATH": str(record.REPOSITORY)})
    driver = psutil.Process(process.pid)
    while process.poll() is None:
        for name, n_bytes in read_memory(driver).items():
            peaks[name] = max(peaks[name], round(n_bytes / MIB, 1))
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        sys.exit(f"{task}: status {process.returncode}")
    return {"task": task, "seconds": round(time.monotonic() - start, 1)} | peaks


def read_memory(driver):
    """Return the bytes that the driver and all processes hold now."""
    try:
        memory = [process.memory_full_info() for process in (driver, *driver.children(recursive=True))]
    except psutil.Error:  # one of them has just ended
        return {}
    all_uss = sum(info.uss for info in memory)
    all_pss = sum(info.pss for info in memory)
    return dict(zip(MEMORY_KEYS, (memory[0].rss, memory[0].uss, all_uss, all_pss)))


if __name__ == "__main__":
    main()
