"""Spread chords and hands by a few milliseconds, as players do.

The louder a note of a chord is, the earlier it sounds (W. Goebl, "Melody lead in piano performance", JASA 110, 2001).
Lower notes tend to come first, and the hands, or the solo and the piano, are not quite together. The first note of a
chord keeps its time.
"""

from dataclasses import replace

import numpy as np

from clara.music.expression import Expression
from clara.music.notes import NoteSequence

LEAD_SECONDS = 0.0004  # by which a note is earlier for each step of velocity
ROLL_SECONDS = 0.0015  # from note to note upwards
FINGER_SECONDS, HAND_SECONDS = 0.002, 0.005  # standard deviations of single notes and of hands
MAX_SECONDS = 0.03
LEFT_HAND = 60  # lower keys are the left hand's


def spread_chords(notes: NoteSequence, expression: Expression, seed: int = 0) -> Expression:
    """Return an expression with a delay for each note; notes that begin alone have none.

    Parameters
    ----------
    notes : NoteSequence
    expression : Expression
    seed : int
        Random seed.
    """
    n = len(notes)
    rng = np.random.default_rng([seed, 3])
    finger, hand = FINGER_SECONDS * rng.standard_normal(n), HAND_SECONDS * rng.standard_normal((n, 4))
    order = np.lexsort((notes.pitch, notes.start))
    onset = np.empty(n, dtype=np.int64)  # of each note, the number of its chord
    onset[order] = np.cumsum(np.append(False, np.diff(notes.start[order]) > 0))
    first = np.searchsorted(notes.start[order], notes.start)  # place of the chord in the order
    place_in_chord = np.argsort(order) - first
    hand_of_note = 2 * (notes.part > 0) + (notes.pitch < LEFT_HAND)
    time = ROLL_SECONDS * place_in_chord - LEAD_SECONDS * expression.velocity + finger + hand[onset, hand_of_note]
    earliest = np.full(n, np.inf)
    np.minimum.at(earliest, onset, time)
    return replace(expression, delay_seconds=np.minimum(time - earliest[onset], MAX_SECONDS))
