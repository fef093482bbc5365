"""The names that `clara` exports, imported when they are first used."""

import subprocess
import sys

import pytest

import clara

HEAVY = ("numpy", "torch", "fastai", "pandas", "music21")


def test_importing_clara_imports_nothing_else():
    code = "import sys, clara; print(*(m for m in sys.modules if m.partition('.')[0] in sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", clara.__all__)
def test_each_name_is_there(name):
    value = getattr(clara, name)
    assert value.__name__ == name and value.__module__.startswith("clara.")
    assert name in dir(clara)


def test_all_names_are_typed_for_checkers():
    assert sorted(clara._MODULE_OF) == clara.__all__ == sorted(clara.__all__)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="Composer"):
        _ = clara.Composer
