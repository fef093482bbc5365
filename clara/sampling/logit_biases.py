"""Biases on the logits: a penalty on repeated notes, and a preference for a close on the tonic chord."""

import numpy as np

from clara.jit import compiled, float32_1d, float32_2d, int32_2d, int64, int64_1d, int64_2d, uint8_1d
from clara.music.keys import key_from_pitch_classes, triad_pitch_classes
from clara.sampling.token_choice import REPETITION_PENALTY, REPETITION_QUARTERS

CADENCE_QUARTERS = 2.0
CADENCE_BIAS = -4.0  # on the logits of notes outside the tonic chord


class RepetitionPenalty:
    """The penalty on tokens that started notes within each text's repetition window.

    Parameters
    ----------
    onset_tones : list of list of int
        The tones that each token starts, by token id.
    table : float64 array (n, 8)
        The settings of n texts, from `clara.sampling.token_choice.settings_table`.
    steps_per_quarter : int

    Attributes
    ----------
    bias : float32 array (n, vocab_sz)
        What to add to the logits of each text.
    """

    def __init__(self, onset_tones, table, steps_per_quarter):
        n, vocab_sz = len(table), len(onset_tones)
        self.starts_notes = np.array([len(tones) > 0 for tones in onset_tones], dtype=np.uint8)
        self.window_steps = np.maximum(1, table[:, REPETITION_QUARTERS] * steps_per_quarter).astype(np.int64)
        self.penalty = -np.log(table[:, REPETITION_PENALTY]).astype(np.float32)
        self.counts = np.zeros((n, vocab_sz), dtype=np.int32)  # of each token within the window
        self.window_start = np.zeros(n, dtype=np.int64)  # index of the window's first token
        self.bias = np.zeros((n, vocab_sz), dtype=np.float32)

    def update(self, ids, steps, n_written, now):
        """Add the last token of each text, and drop the tokens that have left its window.

        Parameters
        ----------
        ids : int64 array (n, at least n_written)
            The tokens of each text.
        steps : int64 array, same shape
            The grid step at which each token was written.
        n_written : int
            Number of tokens in each text.
        now : int64 array (n,)
            The grid step that each text has reached.
        """
        _update_counts(
            ids,
            steps,
            n_written,
            now,
            self.window_steps,
            self.starts_notes,
            self.penalty,
            self.window_start,
            self.counts,
            self.bias,
        )

    def take(self, rows):
        """Keep only the texts in `rows`."""
        self.counts = self.counts[rows]
        self.window_steps = self.window_steps[rows]
        self.penalty = self.penalty[rows]
        self.window_start = self.window_start[rows]
        self.bias = self.bias[rows]


@compiled(int64_2d, int64_2d, int64, int64_1d, int64_1d, uint8_1d, float32_1d, int64_1d, int32_2d, float32_2d)
def _update_counts(ids, steps, n_written, now, window_steps, starts_notes, penalty, window_start, counts, bias):
    """Do the work of `RepetitionPenalty.update`."""
    for row in range(len(now)):
        token = ids[row, n_written - 1]
        if starts_notes[token]:
            counts[row, token] += 1
            bias[row, token] = penalty[row]
        while window_start[row] < n_written and steps[row, window_start[row]] <= now[row] - window_steps[row]:
            token = ids[row, window_start[row]]
            if starts_notes[token]:
                counts[row, token] -= 1
                if counts[row, token] == 0:
                    bias[row, token] = 0
            window_start[row] += 1


class Cadence:
    """A preference for notes of the tonic chord during the last two quarters.

    Parameters
    ----------
    onset_tones : list of list of int
        The tones that each token starts, by token id.
    pitch_classes : int array (n_tones,)
        The pitch class of each tone.
    steps_per_quarter : int
    key : (int, bool), optional
        Tonic and whether it is major. By default the key is estimated from each text.
    """

    def __init__(self, onset_tones, pitch_classes, steps_per_quarter, key=None):
        self.n_steps = round(CADENCE_QUARTERS * steps_per_quarter)
        self.key = key
        self.class_counts = np.zeros((len(onset_tones), 12))  # notes of each pitch class that a token starts
        for counts, tones in zip(self.class_counts, onset_tones):
            np.add.at(counts, pitch_classes[tones], 1)

    def compute_bias(self, ids, n_written, steps_left):
        """Return what to add to the logits.

        Parameters
        ----------
        ids : int64 array (n, at least n_written)
            The tokens of each text.
        n_written : int
            Number of tokens in each text.
        steps_left : int64 array (n,)

        Returns
        -------
        float32 array (n, vocab_sz), or None if no text has reached its last two quarters
        """
        rows = (steps_left <= self.n_steps).nonzero()[0]
        if not len(rows):
            return None
        bias = np.zeros((len(steps_left), len(self.class_counts)), dtype=np.float32)
        for row in rows:
            key = self.key or key_from_pitch_classes(self.class_counts[ids[row, :n_written]].sum(0))
            outside = [c for c in range(12) if c not in triad_pitch_classes(*key)]
            bias[row, self.class_counts[:, outside].any(1)] = CADENCE_BIAS
        return bias
