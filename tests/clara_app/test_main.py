"""The `clara` command: its subcommands, its version and its errors."""

import importlib
import subprocess
import sys

import pytest

import clara
from clara.errors import BadSetting
from clara_app import __main__ as command


def test_help_names_every_subcommand(capsys):
    assert command.main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in command.SUBCOMMANDS)


def test_version(capsys):
    assert command.main(["--version"]) == 0
    assert capsys.readouterr().out == f"clara {clara.__version__}\n"


@pytest.mark.parametrize(("typo", "meant"), [("compsoe", "compose"), ("trian", "train"), ("server", "serve")])
def test_a_mistyped_subcommand_names_the_nearest(typo, meant):
    with pytest.raises(BadSetting, match=f"did you mean {meant}"):
        command.main([typo])


def test_a_subcommand_unlike_any_other_lists_all():
    with pytest.raises(BadSetting, match="compose, train, tune, critic"):
        command.main(["xyz"])


@pytest.mark.parametrize("name", command.SUBCOMMANDS)
def test_each_subcommand_has_help_under_its_own_name(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["clara"])
    module = importlib.import_module(command.find_subcommand(name))
    assert callable(module.parser)
    with pytest.raises(SystemExit) as leaving:
        command.main([name, "--help"])
    assert leaving.value.code == 0
    assert f"usage: clara {name}" in capsys.readouterr().out


def test_an_unknown_subcommand_leaves_with_status_2():
    done = subprocess.run([sys.executable, "-m", "clara_app", "xyz"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: clara xyz: unknown command")
    assert done.stderr.count("\n") == 1
