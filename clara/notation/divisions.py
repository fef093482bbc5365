"""How each beat is divided: from grid steps to the exact times of note values, and tuplets.

A grid of 12 steps per quarter rounds: a run of 32nd notes begins at steps 0, 2, 3, 5, 6, 8, 9 and 11. Each beat is
therefore read as the simplest division whose places round to the steps at which its notes begin and end: 16ths, a
triplet, 32nds, a sextuplet, a quintuplet or a septuplet. A beat that none of them explains is halved. Reading the
written music on the same grid returns the same steps.

Beats are read for all voices together, or, where that fails, for each staff, or for each voice.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cache

from clara.notation.measures import Measure, find_meter

TICKS = 1680  # in a quarter: holds 64ths, triplets of 64ths, quintuplets and septuplets
DIVISIONS = (1, 2, 4, 3, 8, 6, 5, 7)  # of a beat, the simplest first
FULL_TUPLETS = (5, 7)  # divisions that count only if (nearly) all of their places are used
NORMAL_NOTES = {3: 2, 5: 4, 6: 4, 7: 4}  # in the time of so many notes


@dataclass(frozen=True)
class Tuplet:
    """A group of notes that divides its time irregularly; `start` and `end` in ticks."""

    start: int
    end: int
    actual: int
    normal: int


@dataclass
class Voice:
    """The notes of a voice: spans of time in which the same notes sound.

    Attributes
    ----------
    staff : int
    spans : list of (start, end, notes)
        In grid steps, ascending, without overlaps; `notes` is a tuple of indices.
    """

    staff: int
    spans: list

    def __post_init__(self):
        self.boundaries = sorted({step for start, end, _ in self.spans for step in (start, end)})

    def boundaries_within(self, start: int, end: int) -> list[int]:
        """Return the steps between two others at which a note begins or ends."""
        return self.boundaries[bisect_right(self.boundaries, start) : bisect_left(self.boundaries, end)]


@cache
def division_places(n_steps: int, division: int) -> dict[int, int]:
    """Return {grid step: place} of the places that divide some steps equally, each rounded half up."""
    return {(2 * place * n_steps + division) // (2 * division): place for place in range(1, division)}


def find_division(inner: set, n_steps: int) -> int | None:
    """Return the simplest division of a time whose places round to given steps, or None.

    Parameters
    ----------
    inner : set of int
        Steps from the beginning of the time, above 0 and below `n_steps`.
    n_steps : int
        Length of the time.

    Examples
    --------
    >>> find_division({3, 6}, 12), find_division({4, 8}, 12), find_division({2, 3, 5, 6, 8, 9, 11}, 12)
    (4, 3, 8)
    """
    for division in DIVISIONS:
        if division > max(n_steps, 1) or not inner <= division_places(n_steps, division).keys():
            continue
        if division in FULL_TUPLETS and len(inner) < division - 2:
            continue
        return division
    return None


class VoiceTimes:
    """Where the boundaries of a voice stand in written music.

    Parameters
    ----------
    voice : Voice
    ticks_per_step : int
    """

    def __init__(self, voice: Voice, ticks_per_step: int) -> None:
        self.voice = voice
        self.ticks_per_step = ticks_per_step
        self.tuplets = []
        self._ticks = {}  # of steps that are not exact

    def tick(self, step: int) -> int:
        """Return the tick at which a step of the grid is written."""
        return self._ticks.get(step, step * self.ticks_per_step)

    def divide(self, start: int, n_steps: int, division: int) -> None:
        """Place the boundaries within a time by a division of it."""
        inner = self.voice.boundaries_within(start, start + n_steps)
        if not inner:
            return
        first, length = start * self.ticks_per_step, n_steps * self.ticks_per_step
        places = [division_places(n_steps, division)[step - start] for step in inner]
        for step, place in zip(inner, places):
            self._ticks[step] = first + length * place // division
        if division in NORMAL_NOTES:
            self._add_tuplets(first, length, division, set(places))

    def divide_by_halves(self, start: int, n_steps: int) -> None:
        """Place the boundaries within a time by the simplest divisions of its halves."""
        inner = {step - start for step in self.voice.boundaries_within(start, start + n_steps)}
        division = find_division(inner, n_steps)
        if division is None and n_steps % 2 == 0:
            self.divide_by_halves(start, n_steps // 2)
            self.divide_by_halves(start + n_steps // 2, n_steps // 2)
        else:
            self.divide(start, n_steps, division or n_steps)

    def _add_tuplets(self, first, length, division, places):
        """Add the tuplet of a divided time, or those of its halves."""
        if all(2 * place == division for place in places):
            return
        if division == 6 and all(place % 2 == 0 for place in places):
            division = 3
        elif division == 6 and 3 in places and len(places) < 5:
            half = length // 2
            for part, (low, high) in enumerate(((0, 3), (3, 6))):
                if any(low < place < high for place in places):
                    self.tuplets.append(Tuplet(first + part * half, first + (part + 1) * half, 3, 2))
            return
        elif division == 6 and len(places) < 5:
            self.tuplets.append(Tuplet(first, first + length, 3, 2))
            return
        self.tuplets.append(Tuplet(first, first + length, division, NORMAL_NOTES[division]))


def place_boundaries(measures: list[Measure], voices: list[Voice], steps_per_quarter: int) -> list[VoiceTimes]:
    """Return where the boundaries of each voice stand in written music."""
    ticks_per_step = TICKS // steps_per_quarter
    all_times = [VoiceTimes(voice, ticks_per_step) for voice in voices]
    for measure in measures:
        meter = find_meter(measure.numerator, measure.denominator, 4 * steps_per_quarter)
        _place_measure(measure, meter, all_times, steps_per_quarter)
    for times in all_times:
        times.tuplets.sort(key=lambda tuplet: tuplet.start)
    return all_times


def _place_measure(measure, meter, all_times, steps_per_quarter):
    """Place the boundaries of all voices in a measure."""
    cell = min(meter.unit, steps_per_quarter)
    done = {id(times): set() for times in all_times}  # cells that a tuplet over several cells covers
    if cell == steps_per_quarter:
        for times in all_times:
            done[id(times)] = _place_long_tuplets(measure, times, steps_per_quarter)
    for cell_start in range(measure.bar_start, measure.end, cell):
        for start, length in _clip_cell(cell_start, cell, measure.start):
            open_times = [t for t in all_times if cell_start not in done[id(t)]]
            _place_cell(start, length, [t for t in open_times if t.voice.boundaries_within(start, start + length)])


def _clip_cell(start, length, first):
    """Return (start, length) of the pieces of a beat from a step on: the beat itself, or halves of it."""
    if start >= first:
        return [(start, length)]
    if start + length <= first:
        return []
    if length % 2:
        return [(step, 1) for step in range(first, start + length)]
    half = length // 2
    return _clip_cell(start, half, first) + _clip_cell(start + half, half, first)


def _place_long_tuplets(measure, times, steps_per_quarter):
    """Place tuplets that last two or four quarters; return the first steps of the quarters that they cover."""
    covered = set()
    for n_quarters in (4, 2):
        length = n_quarters * steps_per_quarter
        for start in range(measure.bar_start, measure.end - length + 1, length):
            if start < measure.start or start in covered:
                continue
            inner = {step - start for step in times.voice.boundaries_within(start, start + length)}
            if not inner or any(step % steps_per_quarter == 0 for step in inner):
                continue
            for division in (3, *FULL_TUPLETS):
                is_full = division == 3 or len(inner) == division - 1
                if is_full and inner <= division_places(length, division).keys():
                    times.divide(start, length, division)
                    covered |= set(range(start, start + length, steps_per_quarter))
                    break
    return covered


def _place_cell(start, length, all_times):
    """Place the boundaries of some voices in a beat: by one division for all, for a staff, or for a voice."""
    inner = {id(t): {step - start for step in t.voice.boundaries_within(start, start + length)} for t in all_times}
    division = find_division(set().union(*inner.values()), length)
    for times in all_times:
        own = division
        if own is None:
            same_staff = [inner[id(t)] for t in all_times if t.voice.staff == times.voice.staff]
            own = find_division(set().union(*same_staff), length)
        if own is None:
            times.divide_by_halves(start, length)
        else:
            times.divide(start, length, own)
