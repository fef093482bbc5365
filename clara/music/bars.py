"""Bars: where they begin, and how an upbeat is written as time signatures.

In a `NoteSequence` the first time signature of a piece with an upbeat stands before step 0, at the
beginning of the bar that the upbeat ends. Files write the upbeat as a short bar of its own:
1/4, then 3/4.

As text, time signatures are a list such as `-24 3/4, 120 4/4`: the step and the signature from there on.
"""

import re
from fractions import Fraction

from clara.errors import BadSetting

MAX_SIGNATURE_NUMBER = 64  # of numerator and denominator of a time signature
MAX_STEP_DIGITS = 15
SIGNATURE = re.compile(r"([1-9]\d?)/([1-9]\d?)")
SIGNATURE_AT_STEP = re.compile(rf"(-?\d{{1,{MAX_STEP_DIGITS}}}) (\S+)")


def bar_steps(numerator: int, denominator: int, steps_per_quarter: int) -> Fraction:
    """Return the length of a bar in grid steps."""
    return Fraction(4 * steps_per_quarter * numerator, denominator)


def parse_time_signature(time_signature: str | tuple[int, int]) -> tuple[int, int]:
    """Return the numerator and denominator of a time signature such as `3/4`.

    Parameters
    ----------
    time_signature : str or (int, int)

    Raises
    ------
    BadSetting
        If it is no time signature.
    """
    if isinstance(time_signature, (tuple, list)):
        time_signature = "/".join(map(str, time_signature))
    match = SIGNATURE.fullmatch(str(time_signature).strip())
    numbers = (int(match[1]), int(match[2])) if match else (0, 0)
    if not match or max(numbers) > MAX_SIGNATURE_NUMBER:
        raise BadSetting(
            f"{str(time_signature)[:40]!r} is no time signature; write two whole numbers from 1 to "
            f"{MAX_SIGNATURE_NUMBER}, such as 3/4"
        )
    return numbers


def describe_time_signatures(time_signatures: tuple) -> str:
    """Return the time signatures of a piece for people, each once, such as `3/4` or `3/4, 4/4`."""
    return ", ".join(dict.fromkeys(f"{numerator}/{denominator}" for _, numerator, denominator in time_signatures))


def format_time_signatures(time_signatures: tuple) -> str:
    """Return time signatures as text; `parse_time_signatures` reads it.

    Examples
    --------
    >>> format_time_signatures(((-24, 3, 4), (120, 4, 4)))
    '-24 3/4, 120 4/4'
    """
    return ", ".join(f"{step} {numerator}/{denominator}" for step, numerator, denominator in time_signatures)


def parse_time_signatures(text: str) -> tuple:
    """Return time signatures, a tuple of (step, numerator, denominator), from text.

    Parameters
    ----------
    text : str
        From `format_time_signatures`.

    Raises
    ------
    BadSetting
        If the text is no list of time signatures, or its steps do not ascend from 0 or before it.

    Examples
    --------
    >>> parse_time_signatures("-24 3/4, 120 4/4")
    ((-24, 3, 4), (120, 4, 4))
    """
    time_signatures = []
    for entry in text.split(", "):
        match = SIGNATURE_AT_STEP.fullmatch(entry)
        if not match:
            raise BadSetting(f"{entry[:40]!r} is no step with a time signature, such as 0 3/4")
        step = int(match[1])
        if time_signatures and step <= time_signatures[-1][0]:
            raise BadSetting(f"time signatures must be in ascending order of steps: {entry[:40]!r} comes too late")
        time_signatures.append((step, *parse_time_signature(match[2])))
    if time_signatures[0][0] > 0:
        raise BadSetting(f"the first time signature must begin at step 0 or before it, not at {time_signatures[0][0]}")
    return tuple(time_signatures)


def bar_lines(time_signatures: tuple, steps_per_quarter: int, n_steps: int) -> list[Fraction]:
    """Return where bars begin before a grid step, ascending, in steps.

    A bar that a change of the time signature cuts short ends there.

    Parameters
    ----------
    time_signatures : tuple of (step, numerator, denominator)
    steps_per_quarter : int
    n_steps : int

    Returns
    -------
    list of Fraction
        The first is 0, or before it if the piece begins inside a bar. Never empty.
    """
    lines = []
    ends = [step for step, _, _ in time_signatures[1:]] + [n_steps]
    for (step, numerator, denominator), end in zip(time_signatures, ends):
        length = bar_steps(numerator, denominator, steps_per_quarter)
        first = max(0, -step // length)  # bars that end at step 0 or before are left out
        position = step + first * length
        while position < min(end, n_steps):
            lines.append(position)
            position += length
    return lines or [Fraction(0)]


def join_upbeat(time_signatures: tuple, steps_per_quarter: int, max_share: float = 1) -> tuple:
    """Return time signatures in which a first short bar of another signature is an upbeat to the second one.

    Parameters
    ----------
    time_signatures : tuple of (step, numerator, denominator)
    steps_per_quarter : int
    max_share : float
        Largest share of a bar that an upbeat has; a full bar is none.

    Examples
    --------
    >>> join_upbeat(((0, 1, 4), (12, 3, 4)), 12)
    ((-24, 3, 4),)
    """
    if len(time_signatures) < 2 or time_signatures[0][0] != 0:
        return time_signatures
    _, first_numerator, first_denominator = time_signatures[0]
    step, numerator, denominator = time_signatures[1]
    length = bar_steps(numerator, denominator, steps_per_quarter)
    is_one_bar = step == bar_steps(first_numerator, first_denominator, steps_per_quarter)
    if not is_one_bar or step >= length or step > max_share * length or length.denominator > 1:
        return time_signatures
    return ((step - int(length), numerator, denominator), *time_signatures[2:])


def split_upbeat(time_signatures: tuple, steps_per_quarter: int) -> tuple:
    """Return time signatures in which an upbeat is a short bar at step 0; what `join_upbeat` undoes.

    Music that begins inside a bar, but at no place that a signature can name, keeps its signature at step 0.
    """
    (step, numerator, denominator), *later = time_signatures
    length = bar_steps(numerator, denominator, steps_per_quarter)
    elapsed = -step % length if step < 0 else Fraction(0)  # of the first bar, before step 0
    upbeat = length - elapsed if elapsed else Fraction(0)
    upbeat_signature = _as_signature(upbeat, denominator, steps_per_quarter) if upbeat.denominator == 1 else None
    if not upbeat or upbeat_signature is None or (later and upbeat > later[0][0]):
        return ((0, numerator, denominator), *later)
    if later and upbeat == later[0][0]:
        return ((0, *upbeat_signature), *later)
    return ((0, *upbeat_signature), (int(upbeat), numerator, denominator), *later)


def _as_signature(length, denominator, steps_per_quarter):
    """Return the numerator and denominator of a bar of some steps, or None; the denominator at least the given one."""
    while denominator <= MAX_SIGNATURE_NUMBER:
        numerator = length / bar_steps(1, denominator, steps_per_quarter)
        if numerator.denominator == 1 and numerator <= MAX_SIGNATURE_NUMBER:
            return int(numerator), denominator
        denominator *= 2
    return None
