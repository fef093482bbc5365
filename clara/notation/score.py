"""Notes as written music: measures, staves, voices and names."""

from dataclasses import dataclass, replace

import numpy as np

from clara.errors import NoNotes, TooLong
from clara.music.instruments import INSTRUMENTS
from clara.music.key_signatures import collect_key_signatures
from clara.music.keys import estimate_key_signature
from clara.music.notes import NoteSequence, quantize, rebuild_notes
from clara.notation.clefs import PIANO_CLEFS, SOLO_CLEFS, Clef, choose_clefs
from clara.notation.divisions import Voice, place_boundaries
from clara.notation.hands import LEFT, RIGHT, assign_hands
from clara.notation.measures import Measure, list_measures
from clara.notation.rhythm import Event, write_voice
from clara.notation.spelling import name_of, spell
from clara.notation.voices import LOWER, UPPER, Chord, assign_voices, merge_spans

PIANO = "p"
GRIDS = (12, 24)  # steps per quarter that are written exactly, with their divisors
MAX_QUARTERS = 50_000  # as of MIDI files that are read
MIN_SHARE_OF_RESTS = 0.5  # of a measure in which a lower voice sounds, if its rests are printed


@dataclass(frozen=True)
class Pitch:
    """A written pitch: letter, alteration in semitones, octave (4 begins with middle C)."""

    step: str
    alter: int
    octave: int


@dataclass
class StaffMeasure:
    """A measure of a staff: a clef if it changes, and the events of one or two voices."""

    clef: Clef | None
    voices: list[list[Event]]


@dataclass
class Part:
    """A player's music.

    Attributes
    ----------
    name : str
    program : int
        General MIDI program, 0-127.
    staves : list of list of StaffMeasure
        From the top; each staff has all measures.
    """

    name: str
    program: int
    staves: list


@dataclass
class Score:
    """Written music.

    Attributes
    ----------
    title : str
    qpm : float
        Quarters per minute.
    measures : list of Measure
    key_signatures : list of int
        Of each measure: sharps, or minus the number of flats.
    parts : list of Part
    pitches : list of Pitch
        Of each note.
    ticks : list of (start, end)
        Of each note as it is written.
    ticks_per_step : int
    """

    title: str
    qpm: float
    measures: list[Measure]
    key_signatures: list[int]
    parts: list[Part]
    pitches: list[Pitch]
    ticks: list
    ticks_per_step: int

    def count_note_heads(self) -> list[int]:
        """Return how many note heads each measure has, each note of a tie counted."""
        counts = [0] * len(self.measures)
        for staff in (staff for part in self.parts for staff in part.staves):
            for index, staff_measure in enumerate(staff):
                counts[index] += sum(len(event.notes) for events in staff_measure.voices for event in events)
        return counts


def notate(notes: NoteSequence, title: str = "") -> Score:
    """Return notes as written music, in their own key signatures or in one that is estimated.

    Parameters
    ----------
    notes : NoteSequence
        On a grid of which the steps divide a quarter by 1, 2, 3, 4, 6, 8, 12 or 24; other grids are rounded to 12.
    title : str

    Raises
    ------
    NoNotes
        If there are none.
    TooLong
        If the music has more than MAX_QUARTERS quarters.
    """
    if not len(notes):
        raise NoNotes("no notes to make a score of")
    if notes.quarters > MAX_QUARTERS:
        raise TooLong(f"{notes.quarters:,.0f} quarters are too long for a score; at most {MAX_QUARTERS:,} are written")
    notes = to_written_grid(notes)
    measures = list_measures(notes)
    key_signatures = at_barlines(notes.key_signatures or ((0, estimate_key_signature(notes)),), measures)
    layout = _list_parts(notes)
    voices = [
        _list_voices(notes, mask, staff) for staff, mask in enumerate(mask for *_, masks in layout for mask in masks)
    ]
    times = place_boundaries(measures, [voice for pair in voices for voice in pair], notes.steps_per_quarter)
    parts, staff = [], 0
    for name, program, clef_choices, masks in layout:
        staves = []
        for clefs, mask in zip(clef_choices, masks):
            shown = choose_clefs(notes, mask, measures, clefs)
            staves.append(_write_staff(measures, shown, times[2 * staff : 2 * staff + 2]))
            staff += 1
        parts.append(Part(name, program, staves))
    pitches = [Pitch(*name_of(*pair)) for pair in zip(spell(notes, key_signatures).tolist(), notes.pitch.tolist())]
    fifths = [[fifths for step, fifths in key_signatures if step <= measure.start][-1] for measure in measures]
    ticks, ticks_per_step = _note_ticks(notes, times), times[0].ticks_per_step
    return Score(title, notes.qpm, measures, fifths, parts, pitches, ticks, ticks_per_step)


def at_barlines(key_signatures: tuple, measures: list[Measure]) -> tuple:
    """Return key signatures as (step, fifths) that change at the beginnings of measures, the nearest ones."""
    starts = np.array([measure.start for measure in measures])
    return collect_key_signatures(
        (int(starts[np.abs(starts - step).argmin()]), fifths)
        for step, fifths in key_signatures
        if step < measures[-1].end
    )


def to_written_grid(notes: NoteSequence) -> NoteSequence:
    """Return notes on a grid that can be written: 12 or 24 steps per quarter."""
    steps = notes.steps_per_quarter
    grid = next((grid for grid in GRIDS if grid % steps == 0), GRIDS[0])
    if grid == steps:
        return notes
    signatures = tuple((step * grid // steps, *signature) for step, *signature in notes.time_signatures)
    keys = tuple((step * grid // steps, fifths) for step, fifths in notes.key_signatures)
    if grid % steps == 0:
        scale = grid // steps
        return replace(
            notes,
            start=notes.start * scale,
            duration=notes.duration * scale,
            steps_per_quarter=grid,
            time_signatures=signatures,
            key_signatures=keys,
        )
    start, end = quantize(notes.start, steps, grid), quantize(notes.end, steps, grid)
    coarse = replace(notes, steps_per_quarter=grid, time_signatures=signatures, key_signatures=keys)
    return rebuild_notes(coarse, start, end, notes.pitch, notes.part)[0]


def _list_voices(notes, mask, staff):
    """Return the upper and the lower voice of the notes of a staff."""
    by_span = {}
    rows = zip(notes.start.tolist(), notes.end.tolist(), notes.pitch.tolist())
    for index, (start, end, pitch) in enumerate(rows):
        if mask[index]:
            by_span.setdefault((start, end), []).append((pitch, index))
    chords = []
    for (start, end), members in by_span.items():
        pitches, indices = zip(*sorted(members))
        chords.append(Chord(start, end, indices, pitches))
    chords.sort(key=lambda chord: (chord.start, chord.pitches[-1]))
    voice_of = assign_voices(chords)
    of_voice = [[chord for chord, v in zip(chords, voice_of) if v == voice] for voice in (UPPER, LOWER)]
    return [Voice(staff, merge_spans(chords)) for chords in of_voice]


def _note_ticks(notes, times):
    """Return the ticks at which each note begins and ends in written music."""
    ticks = [None] * len(notes)
    ends = notes.end.tolist()
    starts = notes.start.tolist()
    for voice_times in times:
        for _, _, members in voice_times.voice.spans:
            for note in members:
                ticks[note] = (voice_times.tick(starts[note]), voice_times.tick(ends[note]))
    return ticks


def _write_staff(measures, clefs, times):
    """Return the measures of a staff; the lower voice stands only in measures in which it sounds."""
    spans_of = [_spans_by_measure(voice_times.voice.spans, measures) for voice_times in times]
    staff = []
    for measure, clef, upper, lower in zip(measures, clefs, *spans_of):
        voices = []
        if upper or not lower:
            voices.append(write_voice(measure, times[UPPER], upper))
        if lower:
            sounding = sum(min(end, measure.end) - max(start, measure.start) for start, end, _ in lower)
            hides_rests = bool(upper) and sounding < MIN_SHARE_OF_RESTS * measure.length
            voices.append(write_voice(measure, times[LOWER], lower, hides_rests))
        staff.append(StaffMeasure(clef, voices))
    return staff


def _spans_by_measure(spans, measures):
    """Return the spans that sound in each measure."""
    found, first = [], 0
    for measure in measures:
        while first < len(spans) and spans[first][1] <= measure.start:
            first += 1
        last = first
        while last < len(spans) and spans[last][0] < measure.end:
            last += 1
        found.append(spans[first:last])
    return found


def _list_parts(notes):
    """Return (name, program, clefs, masks of notes for each staff) of each player: soloists, then the piano."""
    has_piano = PIANO in notes.instruments
    player = np.minimum(notes.part, len(notes.instruments) - 1)  # as in MIDI files
    parts = []
    for part, prefix in enumerate(notes.instruments):
        in_part = player == part
        if prefix != PIANO and (not has_piano or in_part.any()):
            instrument = INSTRUMENTS[prefix]
            parts.append((instrument.name, instrument.program, [SOLO_CLEFS.get(prefix, (Clef.TREBLE,))], [in_part]))
    if has_piano:
        piano = player == notes.instruments.index(PIANO)
        hands = np.full(len(notes), -1)
        hands[piano] = assign_hands(notes.start[piano], notes.end[piano], notes.pitch[piano], notes.steps_per_quarter)
        masks = [hands == RIGHT, hands == LEFT]
        parts.append((INSTRUMENTS[PIANO].name, INSTRUMENTS[PIANO].program, [PIANO_CLEFS, PIANO_CLEFS[::-1]], masks))
    return parts
