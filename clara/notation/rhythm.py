"""Readable rhythm: note values, ties, rests, beams and brackets from the exact times of notes."""

from dataclasses import dataclass, field
from functools import cache

from clara.notation.beams import add_beams, mark_tuplets
from clara.notation.divisions import TICKS, Tuplet, VoiceTimes
from clara.notation.measures import BEAT, Measure, find_meter

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
