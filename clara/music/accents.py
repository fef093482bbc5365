"""How hard each note is struck.

The texts say nothing of dynamics, so there are two rules that anyone can check by ear: flat, every note alike, or
accents by the place in the bar alone, the first beat above the other beats and those above what lies between. Beats
are those of the metre that goes with the notes; of 6/8, 9/8 and 12/8 and their kin they are groups of three.
"""

import numpy as np

FLAT = 80  # mezzo-forte, MIDI velocity
# Two to three decibels apart: soundfonts attenuate by 40 log10(127 / velocity) (specification 2.04, 8.4.1).
DOWNBEAT, BEAT, BETWEEN = 96, 84, 72


def note_velocities(notes, flat=False):
    """The MIDI velocity of each note.

    Parameters
    ----------
    notes : NoteSequence
    flat : all alike

    Returns
    -------
    int64 array, shape (n,), 1-127
    """
    if flat:
        return np.full(len(notes), FLAT, dtype=np.int64)
    begins = np.array([step for step, _, _ in notes.time_signatures])
    signature = np.maximum(np.searchsorted(begins, notes.start, side="right") - 1, 0)
    _, numerator, denominator = np.array(notes.time_signatures)[signature].T
    place = (notes.start - begins[signature]) * denominator  # a whole note is 4 steps_per_quarter denominator long
    unit = 4 * notes.steps_per_quarter  # one denominator-th of it
    threes = (numerator > 3) & (numerator % 3 == 0) & (denominator >= 8)
    beat = unit * np.where(threes, 3, 1)
    return np.select([place % (unit * numerator) == 0, place % beat == 0], [DOWNBEAT, BEAT], BETWEEN)
