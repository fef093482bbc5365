"""End pieces on the tonic: a chord on the last barline, with the tonic in the bass and nothing else around it."""

from collections.abc import Sequence

import numpy as np

from clara.form.follower import PRESS, RELEASE, WAIT, PlanFollower
from clara.form.plan import UNKNOWN, Plan
from clara.jit import compiled, int64, int64_1d, uint8_2d
from clara.music.keys import triad_pitch_classes


class Endings:
    """What the last bar of each text may hold; a text whose plan has no home key ends as it likes.

    Parameters
    ----------
    plans : sequence of n Plans
    pitches : int64 array (n_tones,)
        MIDI number of each tone.

    Attributes
    ----------
    tonic : int64 array (n,)
        Pitch class of the tonic, or `UNKNOWN`.
    is_in_chord : uint8 array (n, 12)
        1 for the pitch classes of the final chord.
    """

    def __init__(self, plans: Sequence[Plan], pitches: np.ndarray):
        self.pitches = pitches
        self.tonic = np.array([plan.home % 12 if plan.home != UNKNOWN else UNKNOWN for plan in plans])
        self.is_in_chord = np.zeros((len(plans), 12), dtype=np.uint8)
        for row, plan in enumerate(plans):
            self.is_in_chord[row, list(triad_pitch_classes(plan.home % 12, plan.home < 12))] = 1

    def keep(self, allowed: np.ndarray, follower: PlanFollower) -> None:
        """Forbid what would keep the last bars from closing, in place.

        Before the last barline no wait passes it. At the last barline tones outside the chord are released, and the
        lowest tone that sounds or is pressed is the tonic, which is held to the end. From then on only tones of the
        chord are pressed.

        Parameters
        ----------
        allowed : uint8 array (n, vocab_sz)
            1 for tokens that may come next. A text for which nothing would be left stays as it is.
        follower : PlanFollower
            Of the n texts.
        """
        _close(
            allowed,
            follower.steps_to_last_bar(),
            follower.last_codes(),
            follower.sounding,
            self.tonic,
            self.is_in_chord,
            self.pitches,
            follower.events.kind,
            follower.events.value,
            follower.events.tokens.shape[1],
        )

    def take(self, rows: np.ndarray) -> None:
        """Keep only the texts `rows`, an int64 array."""
        self.tonic, self.is_in_chord = self.tonic[rows], self.is_in_chord[rows]


@compiled(uint8_2d, int64_1d, int64_1d, uint8_2d, int64_1d, uint8_2d, int64_1d, int64_1d, int64_1d, int64)
def _close(allowed, steps_to_last_bar, last_codes, sounding, tonics, is_in_chord, pitches, kind, value, n_tones):
    """Do the work of `Endings.keep`."""
    vocab_sz = allowed.shape[1]
    kept = np.empty(vocab_sz, dtype=np.uint8)
    for row in range(len(allowed)):
        steps, last_code, tonic = steps_to_last_bar[row], last_codes[row], tonics[row]
        if tonic == UNKNOWN:
            continue
        if steps > 0:
            n_kept = 0
            for token in range(vocab_sz):
                kept[token] = allowed[row, token] and (kind[token] != WAIT or value[token] <= steps)
                n_kept += kept[token]
            if n_kept:
                allowed[row] = kept
            continue

        # The bass, and the lowest tone that must be released and still can be in this step.
        bass, release = 128, n_tones
        for tone in range(n_tones):
            if sounding[row, tone]:
                bass = min(bass, pitches[tone])
        for tone in range(n_tones):
            is_wrong_bass = pitches[tone] == bass and pitches[tone] % 12 != tonic
            if sounding[row, tone] and tone > last_code and (is_wrong_bass or not is_in_chord[row, pitches[tone] % 12]):
                release = min(release, tone)
        has_bass = bass < 128 and bass % 12 == tonic
        n_kept = 0
        for token in range(vocab_sz):
            kept[token] = allowed[row, token]
            pitch = pitches[value[token]] if kind[token] == PRESS else 0
            if kind[token] == RELEASE and release < n_tones:
                kept[token] &= value[token] <= release
            elif kind[token] == RELEASE:
                kept[token] &= pitches[value[token]] != bass
            elif kind[token] == WAIT:
                kept[token] &= release == n_tones and (steps < 0 or (has_bass and last_code >= n_tones))
            elif kind[token] == PRESS:
                is_new_bass = pitch % 12 == tonic and pitch < bass
                is_above = has_bass and pitch > bass and is_in_chord[row, pitch % 12]
                kept[token] &= release == n_tones and (is_new_bass or is_above)
            n_kept += kept[token]
        if n_kept:
            allowed[row] = kept
