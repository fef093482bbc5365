"""Measures of a piece that scores use, as in MusPy.

References
----------
Dong et al. (2020), MusPy: A Toolkit for Symbolic Music Generation.
"""

import numpy as np

from clara.music.notes import NoteSequence


def empty_beat_rate(notes: NoteSequence) -> float:
    """Return the share of quarters in which nothing sounds; a note counts in the quarter where it ends, too."""
    change = np.zeros(notes.end.max() // notes.steps_per_quarter + 2, dtype=np.int64)
    np.add.at(change, notes.start // notes.steps_per_quarter, 1)
    np.add.at(change, notes.end // notes.steps_per_quarter + 1, -1)
    return (change.cumsum()[:-1] == 0).mean()


def note_density(notes: NoteSequence) -> float:
    """Return the number of notes per quarter."""
    return len(notes) / (notes.end.max() / notes.steps_per_quarter)
