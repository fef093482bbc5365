"""Measures: where they begin, their time signatures, and their beats."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from clara.music.bars import bar_steps
from clara.music.notes import NoteSequence

MIN_BAR_QUARTERS, MAX_BAR_QUARTERS = Fraction(1, 2), 8
DEFAULT_SIGNATURE = (4, 4)
SHORT_BAR_DENOMINATOR = 16  # of a bar that a change of the time signature cuts short
MAX_SHOWN_DENOMINATOR = 32
UPBEAT_PARTS = 4  # of a quarter: an upbeat is a number of sixteenths long
COMPOUND_NUMERATORS = (6, 9, 12, 15)
FULL_BAR, MIDDLE, BEAT = 0, 1, 2  # metrical levels; the parts of a beat are above


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes
    ----------
    start, length : int
        In grid steps.
    offset : int
        Steps of the bar that pass before the measure begins; above 0 in an upbeat.
    numerator, denominator : int
    number : int
        0 for an upbeat.
    shows_signature : bool
        Whether the time signature is printed.
    """

    start: int
    length: int
    offset: int
    numerator: int
    denominator: int
    number: int
    shows_signature: bool

    @property
    def end(self) -> int:
        """Step at which the measure ends."""
        return self.start + self.length

    @property
    def bar_start(self) -> int:
        """Step at which the bar would begin if no part of it were missing."""
        return self.start - self.offset


def list_measures(notes: NoteSequence) -> list[Measure]:
    """Return the measures of a piece, until its last note ends.

    Signatures whose bars are hard to read become 4/4. A bar that a change of the time signature cuts short has a
    signature of its own if it is a number of sixteenths long; otherwise the change waits for the next barline.
    """
    signatures = readable_signatures(notes)
    n_steps = max(notes.n_steps, 1)
    measures = []
    for index, (start, numerator, denominator) in enumerate(signatures):
        end = signatures[index + 1][0] if index + 1 < len(signatures) else n_steps
        length = int(bar_steps(numerator, denominator, notes.steps_per_quarter))
        for step in range(start, end, length):
            offset = max(0, -step)
            number = measures[-1].number + 1 if measures else int(offset == 0)
            shows_signature = step == start
            measures.append(
                Measure(step + offset, length - offset, offset, numerator, denominator, number, shows_signature)
            )
    return measures


def readable_signatures(notes: NoteSequence) -> list[tuple[int, int, int]]:
    """Return the time signatures as (step, numerator, denominator), each at the beginning of a bar.

    The first stands at step 0 or less than a bar before it; at step 0 if the upbeat is no number of sixteenths long.
    """
    ends = [step for step, _, _ in notes.time_signatures[1:]] + [notes.n_steps]
    signatures = []
    place = None  # where the next signature begins
    for (step, numerator, denominator), end in zip(notes.time_signatures, ends):
        if step >= notes.n_steps > 0:
            break
        if not _is_readable(numerator, denominator, notes.steps_per_quarter):
            numerator, denominator = DEFAULT_SIGNATURE
        length = int(bar_steps(numerator, denominator, notes.steps_per_quarter))
        if place is None:
            place = -(-step % length)
            if place % Fraction(notes.steps_per_quarter, UPBEAT_PARTS):
                place = 0
        if end <= place:
            continue
        signatures.append((place, numerator, denominator))
        n_bars, remainder = divmod(end - place, length)
        place += n_bars * length
        if remainder and end < notes.n_steps:
            sixteenths = Fraction(remainder * SHORT_BAR_DENOMINATOR, 4 * notes.steps_per_quarter)
            if sixteenths.denominator == 1:
                signatures.append((place, *_shorten_signature(int(sixteenths), denominator)))
                place += remainder
            else:
                place += length
    return [s for i, s in enumerate(signatures) if i == 0 or s[1:] != signatures[i - 1][1:]]


def _is_readable(numerator, denominator, steps_per_quarter):
    """Return whether people and programs can read the bars of a time signature."""
    is_power_of_two = denominator.bit_count() == 1 and denominator <= MAX_SHOWN_DENOMINATOR
    is_on_grid = bar_steps(numerator, denominator, steps_per_quarter).denominator == 1
    quarters = Fraction(4 * numerator, denominator)
    return is_power_of_two and is_on_grid and MIN_BAR_QUARTERS <= quarters <= MAX_BAR_QUARTERS


def _shorten_signature(sixteenths, denominator):
    """Return a short bar's signature, in units of the bar's own denominator if possible."""
    numerator, shown = sixteenths, SHORT_BAR_DENOMINATOR
    while numerator % 2 == 0 and shown > denominator:
        numerator, shown = numerator // 2, shown // 2
    return numerator, shown


@cache
def group_beats(numerator: int, denominator: int) -> tuple[int, ...]:
    """Return how many units, such as eighths in 6/8, each beat of a bar has.

    Examples
    --------
    >>> group_beats(4, 4), group_beats(6, 8), group_beats(3, 8), group_beats(7, 8)
    ((1, 1, 1, 1), (3, 3), (3,), (2, 2, 3))
    """
    if numerator in COMPOUND_NUMERATORS and denominator >= 4 or numerator == 3 and denominator >= 8:
        return (3,) * (numerator // 3)
    if denominator < 8:
        return (1,) * numerator
    units_per_beat = denominator // 4
    n_beats, remainder = divmod(numerator, units_per_beat)
    if not n_beats:
        return (numerator,)
    return (*(units_per_beat,) * (n_beats - 1), units_per_beat + remainder)


@dataclass(frozen=True)
class Meter:
    """The metrical structure of a bar.

    Attributes
    ----------
    unit : int
        Length of a unit, such as an eighth in 6/8.
    beats : tuple of (start, length, n_units)
        In the same measure of time as the unit.
    length : int
    """

    unit: int
    beats: tuple
    length: int

    @property
    def middle(self) -> int | None:
        """Return the middle of a bar of four or more beats, an even number."""
        is_even = len(self.beats) >= 4 and len(self.beats) % 4 == 0
        return self.length // 2 if is_even else None

    def level(self, position: int) -> int:
        """Return the metrical level of a place in the bar: 0 is a barline, 1 the middle, 2 a beat, more its parts."""
        if position % self.length == 0:
            return FULL_BAR
        if position == self.middle:
            return MIDDLE
        start, length, n_units = self.beat_at(position)
        if position == start:
            return BEAT
        part, level = length, BEAT
        if n_units > 1:
            part, level = self.unit, BEAT + 1
        while (position - start) % part and part > 1:
            part, level = part / 2, level + 1
        return level

    def beat_at(self, position: int) -> tuple[int, int, int]:
        """Return the beat in which a place of the bar lies."""
        return next(beat for beat in reversed(self.beats) if beat[0] <= position)


@cache
def find_meter(numerator: int, denominator: int, whole_note: int) -> Meter:
    """Return the metrical structure of a bar, in units of which a whole note has `whole_note`."""
    unit = whole_note // denominator
    beats, start = [], 0
    for n_units in group_beats(numerator, denominator):
        beats.append((start, n_units * unit, n_units))
        start += n_units * unit
    return Meter(unit, tuple(beats), start)
