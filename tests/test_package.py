"""What `pip install .` installs."""

import configparser
import re

from examples import REPOSITORY


def read_setup():
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    return setup


def test_every_package_is_listed():
    listed = set(read_setup()["options"]["packages"].split())
    rooms = ("clara", "clara_app", "critic", "data_prep")
    folders = [
        path.parent.relative_to(REPOSITORY) for room in rooms for path in (REPOSITORY / room).rglob("__init__.py")
    ]
    assert listed == {".".join(folder.parts) for folder in folders} | {"clara.pretrained"}


def test_no_script_of_the_top_level_is_installed():
    assert "py_modules" not in read_setup()["options"]


def test_licences_that_differ_are_named_and_installed():
    notice = (REPOSITORY / "NOTICE").read_text()
    for name in ("verovio, LGPL-3.0", "TimGM6mb.sf2, GPL-2.0", "libsndfile, LGPL-2.1", "abc2midi"):
        assert name in notice
    assert "NOTICE" in read_setup()["metadata"]["license_files"].split()


def test_hashes_are_those_of_the_constraints():
    """Run .ci/make_hashes.py if this fails; a local version such as +cpu belongs to the file."""
    constraints, hashes = (
        {
            re.sub("[-_.]+", "-", line.split("==")[0].strip().lower()): line.split("==")[1].split()[0].split("+")[0]
            for line in (REPOSITORY / name).read_text().splitlines()
            if line.strip() and not line.startswith("#")
        }
        for name in ("constraints.txt", "requirements-hashes.txt")
    )
    assert hashes == constraints
