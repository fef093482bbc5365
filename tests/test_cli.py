"""How command lines fail, and the ranges of their arguments."""

import argparse
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from clara import cli
from clara.errors import BadSetting


def leave(main):
    """The status with which `cli.run(main)` leaves."""
    with pytest.raises(SystemExit) as left:
        cli.run(main)
    return left.value.code


def raiser(error):
    def main():
        raise error
    return main


@pytest.mark.parametrize("status", [0, 2, 130, None])
def test_leaves_with_mains_status(status, capsys):
    assert leave(lambda: status) == status
    assert capsys.readouterr() == ("", "")


def test_bad_input_is_one_line_and_status_2(capsys):
    assert leave(raiser(BadSetting("bs must be above 0, not -1"))) == 2
    assert capsys.readouterr() == ("", "error: bs must be above 0, not -1\n")


def test_interruption_is_130(capsys):
    assert leave(raiser(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_bug_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda: 1 // 0)


def test_a_reader_that_leaves_early_gets_no_traceback():
    script = "from clara import cli\ndef main():\n while True: print('x' * 1000)\ncli.run(main)"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.parametrize("kind, text, value", [
    (cli.above(0), "0.5", 0.5),
    (cli.above(0, int), "1", 1),
    (cli.at_least(1), "1", 1),
    (cli.at_least(0, float), "0", 0.0),
    (cli.within(0, 1), "0", 0.0),
    (cli.within(0, 1), "1", 1.0),
    (cli.within(1, 96, int), "96", 96),
])
def test_numbers_in_range(kind, text, value):
    assert kind(text) == value and type(kind(text)) is type(value)


@pytest.mark.parametrize("kind, told", [
    (cli.above(0), "must be above 0"),
    (cli.above(0, int), "must be above 0"),
    (cli.at_least(1), "must be at least 1"),
    (cli.within(1, 96, int), "must be from 1 to 96"),
    (cli.within(1, 96), "must be from 1 to 96"),
])
@pytest.mark.parametrize("text", ["0", "-3", "nan", "inf", "-inf", "", "many"])
def test_numbers_out_of_range_or_none(kind, told, text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{told}, not {text}$"):
        kind(text)


def test_integers_are_whole():
    with pytest.raises(argparse.ArgumentTypeError):
        cli.at_least(1)("1.5")


def test_argparse_tells_the_flag_and_the_range(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--bs", type=cli.at_least(1))
    assert parser.parse_args(["--bs", "8"]).bs == 8
    with pytest.raises(SystemExit):
        parser.parse_args(["--bs", "0"])
    assert "argument --bs: must be at least 1, not 0" in capsys.readouterr().err
