"""Read written music with other programs, as rows of notes that can be compared."""

import base64
from collections import Counter
from fractions import Fraction

import numpy as np

from clara.music.notes import NoteSequence, quantize

READ_TICKS = 10080  # in a quarter, for readers that give fractions
VEROVIO_GAP_TICKS = 1  # of 120 in a quarter: verovio ends some notes that much early


def rows_of_notes(notes: NoteSequence) -> Counter:
    """Return a count of (start, end, pitch) in steps; parts do not count."""
    return Counter(zip(notes.start.tolist(), notes.end.tolist(), notes.pitch.tolist()))


def read_with_music21(text: str, steps_per_quarter: int) -> Counter:
    """Return a count of (start, end, pitch) of MusicXML, in steps; tied notes are one note."""
    from music21 import converter

    score = converter.parseData(text, format="musicxml")
    rows = Counter()
    for part in score.parts:
        rows += join_ties(_notes_of_part(part))
    return _in_steps(rows, steps_per_quarter)


def _notes_of_part(part):
    """Return (start, end, pitch, continues, goes on) of the notes of a part, in ticks."""
    rows = []
    for measure in part.getElementsByClass("Measure"):
        for voice in list(measure.voices) or [measure]:
            first = Fraction(measure.offset) + (Fraction(voice.offset) if voice is not measure else 0)
            for element in voice.notes:
                if element.duration.isGrace:
                    continue
                start = first + Fraction(element.offset)
                end = start + Fraction(element.duration.quarterLength)
                for note in getattr(element, "notes", [element]):
                    tie = note.tie.type if note.tie else ""
                    row = (round(start * READ_TICKS), round(end * READ_TICKS), note.pitch.midi)
                    rows.append((*row, tie in ("stop", "continue"), tie in ("start", "continue")))
    return rows


def join_ties(rows) -> Counter:
    """Return a count of (start, end, pitch) of rows (start, end, pitch, continues a tie, is tied to the next)."""
    joined, tied = [], {}
    for start, end, pitch, continues, goes_on in sorted(rows):
        note = tied.pop((start, pitch), None) if continues else None
        if note is None:
            note = [start, end, pitch]
            joined.append(note)
        note[1] = end
        if goes_on:
            tied[end, pitch] = note
    return Counter(map(tuple, joined))


def read_with_verovio(text: str, steps_per_quarter: int) -> Counter:
    """Return a count of (start, end, pitch) of MusicXML as verovio plays it, in steps."""
    import verovio
    from symusic import Score

    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.loadData(text)
    score = Score.from_midi(base64.b64decode(toolkit.renderToMIDI()))
    rows = Counter()
    for track in score.tracks:
        columns = track.notes.numpy()
        start = columns["time"].astype(np.int64)
        end = start + columns["duration"] + VEROVIO_GAP_TICKS
        rows += Counter(zip(start.tolist(), end.tolist(), columns["pitch"].tolist()))
    return _in_steps(rows, steps_per_quarter, score.ticks_per_quarter)


def _in_steps(rows, steps_per_quarter, ticks_per_quarter=READ_TICKS):
    """Return a count of rows in steps of the grid."""
    in_steps = Counter()
    for (start, end, pitch), n in rows.items():
        start, end = quantize([start, end], ticks_per_quarter, steps_per_quarter).tolist()
        in_steps[start, end, pitch] += n
    return in_steps
