"""What the command lines share: how they fail, and argument types that check ranges.

Contents: `run`, `above`, `at_least`, `within`.
"""

import argparse
import os
import sys

from clara.errors import ClaraError

BAD_INPUT, INTERRUPTED = 2, 130


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
