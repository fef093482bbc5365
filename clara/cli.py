"""What all command lines share: help, exit statuses, JSON output and argument types.

Every program prints its results on stdout, and progress, messages and errors on stderr. Its exit status is

- 0 if it did what was asked (of many files some may have been refused; the report says which);
- 1 for a bug in Clara, with a traceback;
- 2 for bad input: a `ClaraError`, an unknown flag or a flag out of range, in one line;
- 130 if Ctrl-C interrupted it; everything finished by then is kept.
"""

import argparse
import contextlib
import difflib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from clara.errors import ClaraError

BAD_INPUT, INTERRUPTED = 2, 130
EXIT_STATUS_HELP = (
    f"exit status: 0 success, {BAD_INPUT} bad input, {INTERRUPTED} interrupted (what was finished is kept)"
)
INSTALLED_COMMAND = "clara "  # sys.argv[0] begins like this when the installed command runs a module's main


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call `main()` and exit with the status that it returns.

    A `ClaraError` becomes one line on stderr and status 2.
    """
    try:
        sys.exit(main())
    except ClaraError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


class Parser(argparse.ArgumentParser):
    """A command-line parser whose help comes from the module's docstring.

    Flags cannot be abbreviated, and an unknown flag is answered with the nearest known one.

    Parameters
    ----------
    doc : str
        The module's docstring: a line on what it does, ``Usage: ...`` with the call, and a paragraph of details.
    examples : str
        Complete command lines, one a line, each with a comment.
    prog : str, optional
        How the program is called, such as ``clara train`` (default: ``sys.argv[0]`` if the installed command
        ``clara`` started this program, else the call in the docstring).
    """

    def __init__(self, doc: str | None, examples: str, prog: str | None = None):
        self.summary, usage, details = (doc or "").strip().split("\n\n")[:3]
        call = " ".join(usage.removeprefix("Usage: ").split())
        words = call.split()
        documented_prog = " ".join(words[: 3 if words[1] == "-m" else 2])
        if prog is None and sys.argv[0].startswith(INSTALLED_COMMAND):
            prog = sys.argv[0]
        prog = prog or documented_prog
        example_lines = [line.replace(documented_prog, prog) for line in examples.strip().splitlines()]
        super().__init__(
            prog=prog,
            usage=f"{call.replace(documented_prog, prog)} [flags]",
            epilog="\n\n".join([details, "\n  ".join(["examples:", *example_lines]), EXIT_STATUS_HELP]),
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )

    def format_help(self) -> str:
        """Return the help text: what the program does, then usage, flags and examples."""
        return f"{self.summary}\n\n{super().format_help()}"

    def parse_args(self, args=None, namespace=None):  # type: ignore[override]
        """Parse the command line; for an unknown flag, suggest the nearest known one."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._describe_unknown(unknown))
        return parsed

    def given_flags(self, args=None) -> dict[str, Any]:
        """Return the flags that stand on the command line, without defaults and --json."""
        defaults = {action: action.default for action in self._actions}
        try:
            for action in self._actions:
                action.default = argparse.SUPPRESS
            given = vars(self.parse_args(args))
        finally:
            for action, default in defaults.items():
                action.default = default
        return {name: value for name, value in given.items() if name != "json"}

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and one line on stderr."""
        self.exit(BAD_INPUT, f"error: {message} (flags: {self.prog} --help)\n")

    def _describe_unknown(self, unknown: list[str]) -> str:
        """Return a message about arguments that no flag takes."""
        flags = [argument.split("=")[0] for argument in unknown if argument.startswith("-")]
        if not flags:
            return f"unexpected argument {unknown[0]}"
        nearest = difflib.get_close_matches(flags[0], self._option_string_actions, n=1)
        suggestion = f"; did you mean {nearest[0]}?" if nearest else ""
        return f"unknown flag {flags[0]}{suggestion}"


class _HelpFormatter(argparse.HelpFormatter):
    """Add defaults to the help of each flag, and keep the line breaks of the examples."""

    def _get_help_string(self, action):
        text = action.help or ""
        no_default = action.default is None or action.default is False or action.default in ("", [], argparse.SUPPRESS)
        if not action.option_strings or no_default or "(default" in text:
            return text
        return text.removesuffix(".") + " (default: %(default)s)" + "." * text.endswith(".")

    def _fill_text(self, text, width, indent):
        paragraphs = [
            paragraph
            if paragraph.startswith("examples:")
            else super(_HelpFormatter, self)._fill_text(paragraph, width, indent)
            for paragraph in text.split("\n\n")
        ]
        return "\n\n".join(paragraphs)


def add_json_flag(add_argument: Callable[..., Any]) -> None:
    """Add the flag --json, whose value `json_output` takes."""
    add_argument("--json", action="store_true", help="Print one JSON object on stdout; messages go to stderr.")


@contextlib.contextmanager
def json_output(wanted: bool) -> Iterator[dict]:
    """Yield a dict to fill in, and print it as JSON at the end if wanted.

    Everything printed meanwhile goes to stderr. An empty dict is not printed, nor is one after an error.

    Parameters
    ----------
    wanted : bool
        The value of the flag --json.

    Yields
    ------
    dict
        May hold whatever JSON can hold, and numpy numbers, numpy arrays and paths. NaN and infinity become null.
    """
    payload: dict = {}
    with contextlib.redirect_stdout(sys.stderr) if wanted else contextlib.nullcontext():
        yield payload
    if wanted and payload:
        print(json.dumps(_to_json(payload), indent=1, allow_nan=False))


def _to_json(value):
    """Convert a value to what JSON can hold."""
    if isinstance(value, dict):
        return {str(k): _to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(v) for v in value]
    if hasattr(value, "tolist"):
        return _to_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


@contextlib.contextmanager
def show_status(message: str) -> Iterator[None]:
    """Show a message on the terminal during a step without a progress bar, then remove it."""
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    if on_terminal:
        print(f"{message} …", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if on_terminal:
            print(f"\r{' ' * (len(message) + 2)}\r", end="", file=sys.stderr, flush=True)


def number_range(text: str) -> tuple[float, float]:
    """Parse `X` or `X:Y` as (X, Y), with 0 < X <= Y; an argparse type."""
    parts = text.split(":") if ":" in text else [text, text]
    try:
        low, high = map(float, parts)
    except ValueError:
        low = high = 0.0
    if not 0 < low <= high < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, or X:Y with Y not below X, not {text}")
    return low, high


def above(limit: float, kind: type = float) -> Callable[[str], Any]:
    """Return an argparse type: a finite number above `limit`."""
    return _number_type(kind, lambda x: limit < x < float("inf"), f"must be above {limit}")


def at_least(limit: float, kind: type = int) -> Callable[[str], Any]:
    """Return an argparse type: a finite number of at least `limit`."""
    return _number_type(kind, lambda x: limit <= x < float("inf"), f"must be at least {limit}")


def within(low: float, high: float, kind: type = float) -> Callable[[str], Any]:
    """Return an argparse type: a number from `low` to `high`, both included."""
    return _number_type(kind, lambda x: low <= x <= high, f"must be from {low} to {high}")


def _number_type(kind, is_valid, requirement):
    """Return an argparse type that checks a number and names the requirement in its error."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not is_valid(value):
            raise argparse.ArgumentTypeError(f"{requirement}, not {text}")
        return value

    return parse


def file_path(text: str) -> str:
    """Return the path if it is not a folder; an argparse type. The reader of a missing file reports it."""
    if os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file")
    return text


def folder_path(text: str) -> str:
    """Return the path if it is not a file; an argparse type. The reader of a missing folder reports it."""
    if os.path.isfile(text):
        raise argparse.ArgumentTypeError(f"{text} is a file; name a folder")
    return text
