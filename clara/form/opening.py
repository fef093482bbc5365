"""Begin pieces as planned: the first notes are of the chord of the first bar, with its root in the bass."""

from collections.abc import Sequence

import numpy as np

from clara.form.follower import PRESS, PlanFollower
from clara.form.plan import SILENT, UNKNOWN, Plan
from clara.music.keys import triad_pitch_classes

N_PITCH_CLASSES = 12


class Openings:
    """What the first notes of each text may be; a text that continues a prompt has begun already.

    A piece that begins on the chord of its plan stays in the key of its plan more often.

    Parameters
    ----------
    plans : sequence of n Plans
    pitches : int64 array (n_tones,)
        MIDI number of each tone.

    Attributes
    ----------
    root : int64 array (n,)
        Pitch class of the chord's root; `UNKNOWN` for a text that begins as it likes.
    is_in_chord : bool array (n, 12)
        Whether a pitch class is in the chord.
    """

    def __init__(self, plans: Sequence[Plan], pitches: np.ndarray):
        self.pitches = pitches
        chords = [_first_chord(plan) for plan in plans]
        self.root = np.array([UNKNOWN if chord == UNKNOWN else chord % 12 for chord in chords])
        self.is_in_chord = np.zeros((len(plans), N_PITCH_CLASSES), dtype=bool)
        for row, chord in enumerate(chords):
            self.is_in_chord[row, list(triad_pitch_classes(chord % 12, chord < 12))] = True

    def keep(self, allowed: np.ndarray, follower: PlanFollower) -> None:
        """Forbid first notes outside the chord, and a lowest one that is not its root, in place.

        Parameters
        ----------
        allowed : uint8 array (n, vocab_sz)
            1 for tokens that may come next. A text for which nothing would be left stays as it is.
        follower : PlanFollower
            Of the n texts.
        """
        opening = follower.is_opening() & (self.root != UNKNOWN)
        if not opening.any():
            return
        events = follower.events
        is_press = events.kind == PRESS
        pitch_class = np.where(is_press, self.pitches[np.where(is_press, events.value, 0)] % 12, 0)
        for row in np.flatnonzero(opening):
            is_empty = not follower.sounding[row].any()  # the tones of a step are in ascending order
            fits = pitch_class == self.root[row] if is_empty else self.is_in_chord[row, pitch_class]
            kept = allowed[row] & (fits | ~is_press)
            if kept.any():
                allowed[row] = kept

    def take(self, rows: np.ndarray) -> None:
        """Keep only the texts `rows`, an int64 array."""
        self.root, self.is_in_chord = self.root[rows], self.is_in_chord[rows]


def _first_chord(plan):
    """Return the chord of the first bar with notes, or `UNKNOWN`."""
    sounding = plan.chord[plan.relation != SILENT]
    return int(sounding[0]) if len(sounding) else UNKNOWN
