"""How loudly each note is played.

The texts of most encodings hold no dynamics, so there are two simple rules. Flat: every note has
the same velocity. Accented: the place in the bar decides. The first beat is louder than the other
beats, and those are louder than the notes between beats.
"""

import numpy as np

from clara.music.notes import NoteSequence

FLAT_VELOCITY = 80  # mezzo-forte
# Two to three decibels apart: soundfonts attenuate by 40 log10(127 / velocity) (specification 2.04, 8.4.1).
DOWNBEAT_VELOCITY, BEAT_VELOCITY, OFFBEAT_VELOCITY = 96, 84, 72


def note_velocities(notes: NoteSequence, flat: bool = False) -> np.ndarray:
    """Return the MIDI velocity of each note.

    Beats follow the time signatures of the notes. In compound time (6/8, 9/8, 12/8 and the like) a
    beat is a group of three.

    Parameters
    ----------
    notes : NoteSequence
    flat : bool
        Give all notes the same velocity (default: accents by the place in the bar).

    Returns
    -------
    int64 array, shape (n,), 1-127
    """
    if flat:
        return np.full(len(notes), FLAT_VELOCITY, dtype=np.int64)
    begins = np.array([step for step, _, _ in notes.time_signatures])
    signature = np.maximum(np.searchsorted(begins, notes.start, side="right") - 1, 0)
    _, numerator, denominator = np.array(notes.time_signatures)[signature].T
    # Times the denominator, so that all is integer: then 1/denominator of a whole note lasts `unit`.
    unit = 4 * notes.steps_per_quarter
    place = (notes.start - begins[signature]) * denominator
    is_compound = (numerator > 3) & (numerator % 3 == 0) & (denominator >= 8)
    beat = unit * np.where(is_compound, 3, 1)
    on_downbeat = place % (unit * numerator) == 0
    on_beat = place % beat == 0
    return np.select([on_downbeat, on_beat], [DOWNBEAT_VELOCITY, BEAT_VELOCITY], OFFBEAT_VELOCITY)
