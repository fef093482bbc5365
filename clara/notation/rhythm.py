"""Readable rhythm: from grid steps to note values, tuplets, rests and beams.

A grid of 12 steps per quarter rounds: a run of 32nd notes begins at steps 0, 2, 3, 5, 6, 8, 9 and 11. Each beat is
therefore read as the simplest division whose places round to the steps at which its notes begin and end: 16ths, a
triplet, 32nds, a sextuplet, a quintuplet or a septuplet. A beat that none of them explains is halved. Reading the
written music on the same grid returns the same steps.

Beats are read for all voices together, or, where that fails, for each staff, or for each voice.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from functools import cache

from clara.notation.beams import add_beams, mark_tuplets
from clara.notation.measures import BEAT, Measure, find_meter

TICKS = 1680  # in a quarter: holds 64ths, triplets of 64ths, quintuplets and septuplets
DIVISIONS = (1, 2, 4, 3, 8, 6, 5, 7)  # of a beat, the simplest first
FULL_TUPLETS = (5, 7)  # divisions that count only if (nearly) all of their places are used
NORMAL_NOTES = {3: 2, 5: 4, 6: 4, 7: 4}  # in the time of so many notes
TYPES = {  # name by length in ticks
    8 * TICKS: "breve",
    4 * TICKS: "whole",
    2 * TICKS: "half",
    TICKS: "quarter",
    TICKS // 2: "eighth",
    TICKS // 4: "16th",
    TICKS // 8: "32nd",
    TICKS // 16: "64th",
}


@dataclass(frozen=True)
class Tuplet:
    """A group of notes that divides its time irregularly; `start` and `end` in ticks."""

    start: int
    end: int
    actual: int
    normal: int


@dataclass
class Event:
    """A chord or a rest as it is written.

    Attributes
    ----------
    start, length : int
        In ticks from the beginning of the piece.
    type : str
        Note value in MusicXML's words, such as quarter; empty for a rest that fills its measure.
    n_dots : int
    notes : tuple of int
        Indices of the notes that sound; none in a rest.
    tuplet : Tuplet or None
    tuplet_ends : tuple of str
        "start" and "stop" if a tuplet's bracket starts or stops here.
    beams : list of str
        begin, continue, end, forward hook or backward hook for each beam from the first.
    is_hidden : bool
        Whether a rest is left out in print.
    """

    start: int
    length: int
    type: str
    n_dots: int
    notes: tuple
    tuplet: Tuplet | None = None
    tuplet_ends: tuple = ()
    beams: list = field(default_factory=list)
    is_hidden: bool = False

    @property
    def end(self) -> int:
        """Tick at which the event ends."""
        return self.start + self.length


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


@cache
def note_values(include_breve: bool = True) -> list[tuple[int, str, int]]:
    """Return (ticks, type, number of dots) of all note values with at most one dot, the longest first."""
    plain = [(ticks, name, 0) for ticks, name in TYPES.items() if include_breve or name != "breve"]
    dotted = [(ticks * 3 // 2, name, 1) for ticks, name, _ in plain if ticks % 2 == 0]
    return sorted(plain + dotted, reverse=True)


def write_voice(measure: Measure, times: VoiceTimes, spans: list, hides_rests: bool = False) -> list[Event]:
    """Return what a voice writes in a measure.

    Parameters
    ----------
    measure : Measure
    times : VoiceTimes
    spans : list of (start, end, notes)
        What sounds in the measure, in steps, as of a `Voice`; they may reach beyond the measure.
    hides_rests : bool
        Whether rests are left out in print.
    """
    scale = times.ticks_per_step
    first, last, bar = measure.start * scale, measure.end * scale, measure.bar_start * scale
    meter = find_meter(measure.numerator, measure.denominator, 4 * TICKS)
    tuplets = [t for t in times.tuplets if t.start < last and t.end > first]
    filled = _with_rests([(times.tick(s), times.tick(e), notes) for s, e, notes in spans], first, last)
    if len(filled) == 1 and not filled[0][2] and not measure.offset:
        return [Event(first, last - first, "", 0, (), is_hidden=hides_rests)]
    events = []
    for start, end, notes in filled:
        for piece_start, piece_end, tuplet in _cut_at_tuplets(start, end, tuplets):
            if tuplet:
                events += _write_in_tuplet(piece_start, piece_end, notes, tuplet)
            else:
                events += _write_plain(piece_start, piece_end, notes, bar, meter)
    for event in events:
        event.is_hidden = hides_rests and not event.notes
    mark_tuplets(events)
    add_beams(events, bar, meter)
    return events


def _with_rests(spans, first, last):
    """Return spans cut to a measure, with rests between them."""
    filled, now = [], first
    for start, end, notes in spans:
        start, end = max(start, first), min(end, last)
        if start > now:
            filled.append((now, start, ()))
        filled.append((start, end, notes))
        now = end
    if now < last:
        filled.append((now, last, ()))
    return filled


def _cut_at_tuplets(start, end, tuplets):
    """Return (start, end, tuplet or None) of the pieces of a span inside and outside tuplets."""
    pieces, now = [], start
    for tuplet in tuplets:
        if tuplet.end <= now or tuplet.start >= end:
            continue
        if tuplet.start > now:
            pieces.append((now, tuplet.start, None))
            now = tuplet.start
        pieces.append((now, min(end, tuplet.end), tuplet))
        now = min(end, tuplet.end)
    if now < end:
        pieces.append((now, end, None))
    return pieces


def _write_in_tuplet(start, end, notes, tuplet):
    """Return the events of a piece of a span within a tuplet."""
    events, now = [], start
    while now < end:
        written = (end - now) * tuplet.actual // tuplet.normal
        ticks, name, n_dots = next(
            value for value in note_values() if value[0] <= written and (notes or not value[2] or value[0] == written)
        )
        length = ticks * tuplet.normal // tuplet.actual
        events.append(Event(now, length, name, n_dots, notes, tuplet))
        now += length
    return events


def _write_plain(start, end, notes, bar, meter):
    """Return the events of a piece of a span outside tuplets, split so that the beats can be seen."""
    is_allowed = _shows_beats if notes else _is_aligned
    events, now = [], start
    while now < end:
        value = next((v for v in note_values() if v[0] <= end - now and is_allowed(now - bar, v[0], v[2], meter)), None)
        if value is None:  # nothing shorter than a 64th is written
            raise AssertionError(f"no note value for {end - now} ticks at {now - bar}")
        events.append(Event(now, value[0], value[1], value[2], notes))
        now += value[0]
    return events


@cache
def _shows_beats(position, ticks, n_dots, meter):
    """Return whether a note at a place of the bar leaves the stronger beats visible.

    A note may cross a beat that is no stronger than its begin or its end. A syncopation may cross a beat that is one
    level stronger, in its middle: eighth, quarter, eighth.
    """
    crossed = _strongest_crossed(position, ticks, meter)
    _, beat_length, n_units = meter.beat_at(position)
    if n_units > 1 and crossed <= BEAT and ticks % beat_length:
        return False
    start_level, end_level = meter.level(position), meter.level(position + ticks)
    if start_level <= crossed or end_level <= crossed:
        return True
    is_centered = meter.level(position + ticks // 2) == crossed
    return not n_dots and is_centered and start_level == crossed + 1


@cache
def _strongest_crossed(position, ticks, meter):
    """Return the strongest metrical level strictly inside a note."""
    step = TICKS // 16
    first = position - position % step + step
    levels = [meter.level(place) for place in range(first, position + ticks, step)]
    return min(levels, default=99)


@cache
def _is_aligned(position, ticks, n_dots, meter):
    """Return whether a rest lies where readers expect one: within a beat, or over whole beats from a strong one."""
    start, length, _ = meter.beat_at(position)
    offset = position - start
    if offset + ticks <= length:
        return ticks == length if n_dots else offset % ticks == 0
    is_half_bar = len(meter.beats) % 2 == 0 and position % ticks == 0
    return offset == 0 and is_half_bar and ticks in (2 * length, 4 * length)
