"""Keep a benchmark's result beside it, with what it hangs on."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from clara.checkpoint import versions

HERE = Path(__file__).resolve().parent


def save(name, rows, **settings):
    """Write `benchmarks/<name>.json`: rows, settings, command, commit, machine, versions.

    Parameters
    ----------
    name : of the benchmark
    rows : list of dict, what was measured
    settings : how
    """
    command = ["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(_named, sys.argv[1:])]
    told = {
        "rows": rows,
        "settings": settings,
        "command": " ".join(command),
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"processor": _processor(), "cores": os.cpu_count()},
        "versions": versions(),
    }
    (HERE / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")


def _commit():
    """The commit, marked where a measured file differs from it; empty outside a repository."""
    commit = _git("rev-parse", "HEAD")
    return commit + " with changes" * bool(_git("status", "--porcelain", "--", ".", ":!benchmarks/*.json"))


def _git(*words):
    """What git says about this repository, or nothing."""
    asked = subprocess.run(["git", *words], cwd=HERE.parent, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def _named(word):
    """A word of the command line; a path by its last part, as each machine has its own."""
    return Path(word).name if Path(word).is_absolute() else word


def _processor():
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
