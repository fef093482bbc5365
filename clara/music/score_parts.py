"""The parts of a score as its reader hands them on: notes in ticks, before ties are joined and times rounded."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

TICKS_PER_QUARTER = 10080  # divisible by all denominators up to 10, so that tuplets are exact


@dataclass
class ScorePart:
    """One part of a score.

    Attributes
    ----------
    name : str
    program : int
        General MIDI program, 0-127; 0 if the score names none.
    rows : list of (start, end, pitch, is_tied)
        In ticks; tied to the next note or not.
    signature_changes : list of (tick, numerator, denominator)
    first_bar_ticks : int
        Length of the first bar, or 0 if there are no bars.
    qpm : float or None
        The first tempo mark.
    key_changes : list of (tick, fifths)
        Sharps of the key signature as it sounds, or minus its flats.
    """

    name: str
    program: int
    rows: list = field(default_factory=list)
    signature_changes: list = field(default_factory=list)
    first_bar_ticks: int = 0
    qpm: float | None = None
    key_changes: list = field(default_factory=list)


@dataclass
class ParsedScore:
    """What a reader made of a score.

    Attributes
    ----------
    parts : list of ScorePart
    losses : Counter
        What was left out, by kind.
    n_written_notes : int
        Notes with a pitch that the reader found, each note of a tie counted; without grace notes.
    """

    parts: list
    losses: Counter
    n_written_notes: int


def join_ties(rows) -> np.ndarray:
    """Join the tied notes of one part.

    Parameters
    ----------
    rows : list of (start, end, pitch, is_tied)

    Returns
    -------
    int64 array, shape (3, n)
        Start, end and pitch; tied notes are one.
    """
    notes, tied_notes = [], {}
    for start, end, pitch, is_tied in sorted(rows):
        note = tied_notes.get((start, pitch))
        if note is None:
            note = [start, end, pitch]
            notes.append(note)
        note[1] = max(note[1], end)
        if is_tied:
            tied_notes[end, pitch] = note
    return np.array(notes, dtype=np.int64).reshape(-1, 3).T
