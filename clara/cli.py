"""What the command lines share: how they tell what they do, how they answer and how they fail.

Every program says in its help what it does, then how it is called, its flags in groups, and examples that can be
typed as they stand. Results go to stdout; progress, messages and errors to stderr. It leaves with status 0 when it did
what was asked (of many files some may have been refused, which it tells), 2 for input that will not do (`ClaraError`, a
flag out of its range, not one file that served) and 130 when Ctrl-C ended it; what was finished by then stands. A bug
of ours leaves a traceback and status 1.
"""

import argparse
import contextlib
import json
import math
import os
import sys

from clara.errors import ClaraError

BAD_INPUT, INTERRUPTED = 2, 130
STATUS = (
    f"exit status: 0 done, {BAD_INPUT} input that will not do, {INTERRUPTED} interrupted, and what was finished stands"
)


def run(main):
    """Call `main()` and leave with its status; a `ClaraError` is one line and status 2."""
    try:
        sys.exit(main())
    except ClaraError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


class Parser(argparse.ArgumentParser):
    """The command line of a program, told by its module's docstring.

    Parameters
    ----------
    doc : whose first line is `what it does: how it is called`, and whose second paragraph says more
    examples : lines that can be typed as they stand, each with a comment
    """

    def __init__(self, doc, examples):
        first, more = doc.strip().split("\n\n")[:2]
        self.does, call = first.split(": ", 1)
        words = call.split()
        super().__init__(
            prog=" ".join(words[: 3 if words[1] == "-m" else 2]),
            usage=f"{call} [flags]",
            epilog="\n\n".join([more, "\n  ".join(["examples:", *examples.strip().splitlines()]), STATUS]),
            formatter_class=_Help,
        )

    def format_help(self):
        """What the program does, then the rest."""
        return f"{self.does}\n\n{super().format_help()}"


class _Help(argparse.HelpFormatter):
    """Help with the defaults that say something, and examples left as they are."""

    def _get_help_string(self, action):
        silent = action.default is None or action.default is False or action.default in ("", [], argparse.SUPPRESS)
        return action.help + " (default: %(default)s)" * bool(action.option_strings and not silent)

    def _fill_text(self, text, width, indent):
        return "\n\n".join(
            part if part.startswith("examples:") else super(_Help, self)._fill_text(part, width, indent)
            for part in text.split("\n\n")
        )


def add_json_flag(add_argument):
    """Add --json, which `json_output` takes."""
    add_argument(
        "--json", action="store_true", help="one JSON object on stdout and nothing else; messages go to stderr"
    )


@contextlib.contextmanager
def json_output(wanted):
    """Give a dict to fill, which is printed as JSON in the end where that is wanted.

    Until then whatever is printed goes to stderr. An empty dict is not printed, nor is one after an error.

    Parameters
    ----------
    wanted : the flag --json

    Yields
    ------
    dict, of what JSON can hold and of numpy's numbers, arrays and paths; what is not finite becomes null
    """
    answer = {}
    with contextlib.redirect_stdout(sys.stderr) if wanted else contextlib.nullcontext():
        yield answer
    if wanted and answer:
        print(json.dumps(_plain(answer), indent=1, allow_nan=False))


def _plain(value):
    """A value as JSON can hold it."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


@contextlib.contextmanager
def show_status(told):
    """Show a word on the terminal while something takes its time that cannot be counted."""
    shown = sys.stderr is not None and sys.stderr.isatty()
    if shown:
        print(f"{told} …", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print(f"\r{' ' * (len(told) + 2)}\r", end="", file=sys.stderr, flush=True)


def number_range(text):
    """An argparse type: a number above 0, or two with a colon between, X:Y, not falling; (X, Y), of one number twice the same."""
    try:
        low, high = map(float, (text.split(":") * 2)[:2] if ":" not in text else text.split(":"))
    except ValueError:
        low = high = 0.0
    if not 0 < low <= high < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, or X:Y with Y not below X, not {text}")
    return low, high


def format_range(ends):
    """What `number_range` made of it, as a number or as X:Y."""
    return ends[0] if ends[0] == ends[1] else f"{ends[0]:g}:{ends[1]:g}"


def above(limit, kind=float):
    """An argparse type: a finite number above `limit`."""
    return _checked(kind, lambda x: limit < x < float("inf"), f"must be above {limit}")


def at_least(limit, kind=int):
    """An argparse type: a finite number of at least `limit`."""
    return _checked(kind, lambda x: limit <= x < float("inf"), f"must be at least {limit}")


def within(low, high, kind=float):
    """An argparse type: a number from `low` to `high`."""
    return _checked(kind, lambda x: low <= x <= high, f"must be from {low} to {high}")


def _checked(kind, holds, told):
    """An argparse type that says what the number must be."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"{told}, not {text}")
        return value

    return parse


def file_path(text):
    """Return the path if it is not a folder; an argparse type. A missing file is left to its reader's message."""
    if os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file")
    return text


def folder_path(text):
    """Return the path if it is not a file; an argparse type. A missing folder is left to its reader's message."""
    if os.path.isfile(text):
        raise argparse.ArgumentTypeError(f"{text} is a file; name a folder")
    return text
