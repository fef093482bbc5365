"""Write requirements-hashes.txt: the files of constraints.txt with their hashes, for this platform and Python.

python .ci/make_hashes.py

pip finds the file of each package, without installing anything.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
COMMAND = "-m pip install --dry-run --ignore-installed --no-deps --quiet -r constraints.txt --report -"
HEADER = """\
# The files that the tests ran with, and their hashes: {system} {machine}, Python {python}, PyTorch for CPUs.
# On another platform the files differ; make a file for yours with python .ci/make_hashes.py
#
# pip install --require-hashes --no-deps -r requirements-hashes.txt
# (with --extra-index-url and PyTorch's index for CPUs)
# pip install --no-deps .
"""


def main():
    """Ask pip, and write the file."""
    done = subprocess.run(
        [sys.executable, *COMMAND.split()], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    header = HEADER.format(
        system=platform.system(), machine=platform.machine(), python=".".join(platform.python_version_tuple()[:2])
    )
    lines = sorted(map(describe_file, json.loads(done.stdout)["install"]), key=str.lower)
    (REPOSITORY / "requirements-hashes.txt").write_text(header + "\n".join(lines) + "\n")


def describe_file(item: dict) -> str:
    """Return the line of one package."""
    metadata, digest = item["metadata"], item["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{metadata['name']}=={metadata['version']} --hash=sha256:{digest}"


if __name__ == "__main__":
    main()
