"""What all command lines share: help, exit statuses, JSON output, and the ranges of arguments."""

import argparse
import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from examples import REPOSITORY

from clara import cli
from clara.errors import BadSetting
from clara_app.__main__ import SUBCOMMANDS

pytestmark = pytest.mark.slow

ROOMS = ("clara", "clara_app", "critic", "data_prep")
PROGRAMS = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    for room in ROOMS
    for path in (REPOSITORY / room).rglob("*.py")
    if "cli.Parser(__doc__" in path.read_text(encoding="utf-8")
)
HEAVY = ("torch", "fastai", "pandas", "scipy", "numba", "music21", "symusic", "matplotlib", "onnx", "tqdm")


def parser(program):
    return importlib.import_module(program).parser()


def flags(program):
    """Return the actions of a program's own flags, without -h and hidden ones."""
    return [
        a for a in parser(program)._actions if a.option_strings and a.dest != "help" and a.help != argparse.SUPPRESS
    ]


def leave(main):
    """Return the exit status of `cli.run(main)`."""
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
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.parametrize(
    "kind, text, value",
    [
        (cli.above(0), "0.5", 0.5),
        (cli.above(0, int), "1", 1),
        (cli.at_least(1), "1", 1),
        (cli.at_least(0, float), "0", 0.0),
        (cli.within(0, 1), "0", 0.0),
        (cli.within(0, 1), "1", 1.0),
        (cli.within(1, 96, int), "96", 96),
    ],
)
def test_numbers_in_range(kind, text, value):
    assert kind(text) == value and type(kind(text)) is type(value)


@pytest.mark.parametrize(
    "kind, printed",
    [
        (cli.above(0), "must be above 0"),
        (cli.above(0, int), "must be above 0"),
        (cli.at_least(1), "must be at least 1"),
        (cli.within(1, 96, int), "must be from 1 to 96"),
        (cli.within(1, 96), "must be from 1 to 96"),
    ],
)
@pytest.mark.parametrize("text", ["0", "-3", "nan", "inf", "-inf", "", "many"])
def test_numbers_out_of_range_or_none(kind, printed, text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{printed}, not {text}$"):
        kind(text)


def test_a_span_is_a_number_or_two():
    assert cli.number_range("0.8") == (0.8, 0.8) and cli.number_range("0.8:1.1") == (0.8, 1.1)
    for text in ("", ":", "0.8:", ":1", "1.1:0.8", "0:1", "0.8:inf", "0.8:nan", "0.8:1:1.1", "tame"):
        with pytest.raises(argparse.ArgumentTypeError, match="X:Y"):
            cli.number_range(text)


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


def test_every_subcommand_is_a_program():
    assert {module for module, _ in SUBCOMMANDS.values()} <= set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_imports_nothing_heavy(program):
    """It takes under a second that way; seconds are not counted here, as the machine may be busy."""
    script = (
        "import runpy, sys\nsys.argv = ['x', '--help']\n"
        f"try:\n runpy.run_module({program!r}, run_name='__main__')\n"
        f"finally:\n print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    asked = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    first, *_, last = asked.stdout.splitlines()
    assert asked.stderr == "" and last == "[]"
    assert first == importlib.import_module(program).__doc__.splitlines()[0]


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_is_in_groups_and_tells_every_flag(program):
    p, printed = parser(program), parser(program).format_help()
    groups = {group.title: group._group_actions for group in p._action_groups}
    assert [a.dest for a in groups["options"]] == ["help"] and not groups["positional arguments"]
    assert "run" in groups and len(groups) > 3
    for action in p._actions:
        assert action.help, action.dest
    assert "None" not in printed and "False" not in printed and str(cli.INTERRUPTED) in printed
    assert f"usage: {p.prog} " in printed


@pytest.mark.parametrize("program", PROGRAMS)
def test_examples_parse(program, capsys):
    p = parser(program)
    examples = [
        shlex.split(line, comments=True)
        for line in p.format_help().split("examples:")[1].splitlines()
        if line.startswith(f"  {p.prog}")
    ]
    assert examples
    for words in examples:
        assert " ".join(words).startswith(p.prog + " ")
        p.parse_args(words[len(p.prog.split()) :])
    with pytest.raises(SystemExit) as left:
        p.parse_args(["--no-such-flag"])
    assert left.value.code == cli.BAD_INPUT and capsys.readouterr().out == ""


def test_a_flag_means_the_same_in_every_program():
    """It takes the same, and its help speaks of the same thing: the first clauses of any two have a word in common."""
    seen = {}
    for program in PROGRAMS:
        for a in parser(program)._actions:
            name = f"{a.option_strings[-1]} {'FILE' * (a.metavar == 'FILE')}" if a.option_strings else a.metavar
            takes = a.metavar, a.nargs if a.option_strings else None, type(a).__name__
            words = {w.removesuffix("s") for w in re.findall(r"[\w-]{4,}", re.split(r"[,;.(]", a.help)[0].lower())}
            for other_takes, other_words, other in seen.setdefault(name, []):
                assert takes == other_takes, f"{name} of {program} and {other}"
                assert words & other_words, f"{name} of {program} and {other}"
            seen[name].append((takes, words, program))


def test_numbers_are_checked_and_letters_say_what_they_are():
    for program in PROGRAMS:
        for a in flags(program):
            takes = a.nargs != 0
            assert not takes or a.metavar or a.choices, f"{a.option_strings} of {program}"
            assert a.metavar not in ("N", "X", "P", "F", "K", "SHARE", "SECONDS", "MB") or a.type, (
                f"{a.option_strings} of {program}"
            )


def test_defaults_that_say_something_are_shown():
    p = cli.Parser("Do it.\n\nUsage: python -m x\n\nAgain.", "python -m x  # it")
    for name, default in (("--a", 0), ("--b", None), ("--c", ""), ("--d", []), ("--e", 0.5)):
        p.add_argument(name, default=default, help="this")
    printed = p.format_help()
    assert printed.count("(default: ") == 2 and "(default: 0)" in printed and "(default: 0.5)" in printed


def a_parser(**more):
    p = cli.Parser("Do it.\n\nUsage: python -m x\n\nAgain.", "python -m x --temperature 1  # it", **more)
    p.add_argument("--temperature", type=float, default=1.0, help="Sampling temperature.")
    p.add_argument("--top", type=int, help="Number of pieces.")
    return p


def refused(p, argv, capsys):
    """Return the one line on stderr with which a parser refuses a command line."""
    with pytest.raises(SystemExit) as left:
        p.parse_args(argv)
    printed = capsys.readouterr()
    assert left.value.code == cli.BAD_INPUT and printed.out == "" and printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--temprature", "0.9"], "error: unknown flag --temprature; did you mean --temperature? "),
        (["--temprature=0.9"], "error: unknown flag --temprature; did you mean --temperature? "),
        (["--temp", "0.9"], "error: unknown flag --temp"),
        (["--zzzz"], "error: unknown flag --zzzz (flags: python -m x --help)"),
        (["song.mid"], "error: unexpected argument song.mid "),
        (["--top", "many"], "error: argument --top: invalid int value: 'many' "),
    ],
)
def test_a_bad_flag_is_one_line_that_names_the_nearest(argv, message, capsys):
    assert refused(a_parser(), argv, capsys).startswith(message)


def test_flags_are_not_abbreviated(capsys):
    refused(a_parser(), ["--temp", "0.9"], capsys)


def test_the_installed_command_is_named_in_help(monkeypatch):
    assert a_parser().prog == "python -m x"
    assert a_parser(prog="clara x").prog == "clara x"
    monkeypatch.setattr(sys, "argv", ["clara make"])
    printed = a_parser().format_help()
    assert (
        "usage: clara make [flags]" in printed and "  clara make --temperature 1" in printed and "python" not in printed
    )


def test_a_default_goes_before_the_period():
    printed = a_parser().format_help()
    assert "Sampling temperature (default: 1.0)." in printed and "Number of pieces.\n" in printed


def test_an_answer_is_json_alone(capsys):
    with cli.json_output(True) as answer:
        print("on the way")
        answer |= {
            "a": float("nan"),
            "b": [np.float32(0.5), np.inf, np.arange(2)],
            "c": Path("x/é"),
            4: (True, None, np.int64(7)),
        }
    printed = capsys.readouterr()
    assert printed.err == "on the way\n"

    def refuse(constant):
        raise ValueError(constant)

    assert json.loads(printed.out, parse_constant=refuse) == {
        "a": None,
        "b": [0.5, None, [0, 1]],
        "c": "x/é",
        "4": [True, None, 7],
    }


def test_no_answer_where_none_is_asked_or_given(capsys):
    with cli.json_output(False) as answer:
        print("as ever")
        answer["a"] = 1
    with cli.json_output(True):
        pass
    with pytest.raises(BadSetting), cli.json_output(True) as answer:
        answer["a"] = 1
        raise BadSetting("no")
    assert capsys.readouterr() == ("as ever\n", "")


def test_a_word_for_those_who_wait_at_a_terminal(capsys, monkeypatch):
    with cli.show_status("loading"):
        pass
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(ZeroDivisionError), cli.show_status("loading"):
        assert capsys.readouterr().err == "loading …"
        raise ZeroDivisionError
    assert capsys.readouterr() == ("", "\r         \r")


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path):
    file = tmp_path / "a.mid"
    file.touch()
    assert cli.file_path(str(file)) == str(file) and cli.folder_path(str(tmp_path)) == str(tmp_path)
    assert cli.file_path("nowhere.mid") == "nowhere.mid" and cli.folder_path("nowhere") == "nowhere"
    with pytest.raises(argparse.ArgumentTypeError, match="is a folder; name a file"):
        cli.file_path(str(tmp_path))
    with pytest.raises(argparse.ArgumentTypeError, match="is a file; name a folder"):
        cli.folder_path(str(file))
