"""Save a benchmark's result with the machine, versions, commit, command and settings."""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

from clara.checkpoints.checkpoint import versions

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"


def argument_parser(doc: str) -> argparse.ArgumentParser:
    """Return a command line parser that shows a script's docstring and the default of each flag."""

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        """Keep the docstring's lines, and append defaults."""

    return argparse.ArgumentParser(description=doc, formatter_class=Formatter)


def save(name: str, rows: list[dict], **settings) -> None:
    """Write `benchmarks/results/<name>.json`.

    Parameters
    ----------
    name : str
        Name of the result file, without suffix.
    rows : list of dict
        What was measured; `benchmarks/page_content/` names the columns.
    **settings
        How it was measured.
    """
    arguments = [_shorten_path(argument) for argument in sys.argv[1:]]
    result = {
        "rows": rows,
        "settings": settings,
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments]),
        "commit": current_commit(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"processor": _processor_name(), "cores": os.cpu_count()},
        "versions": versions(),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def current_commit() -> str:
    """Return the commit, marked if a file differs from it; empty outside a repository."""
    changed = _run_git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    return _run_git("rev-parse", "HEAD") + (" with changes" if changed else "")


def _run_git(*arguments):
    """Return what git prints about this repository; empty if it fails."""
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _shorten_path(argument):
    """Return the last part of an absolute path, because folders differ between machines."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def _processor_name():
    """Return the processor's name, from Linux if possible."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
