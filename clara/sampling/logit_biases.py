"""What makes words less likely than the net has them: a penalty on repetition, a wish for a close."""

import numpy as np

from clara.jit import compiled, float32_1d, float32_2d, int32_2d, int64, int64_1d, int64_2d, uint8_1d
from clara.music.keys import key_from_pitch_classes, triad_pitch_classes

CADENCE_QUARTERS = 2.0
CADENCE_FALL = -4.0  # logits of a note outside the tonic chord


class Recent:
    """Which words that begin notes came lately in each text, where a penalty is for them.

    Parameters
    ----------
    struck : list per word id of the tones that it begins
    table : from `settings_table`
    steps_per_quarter : of the grid
    """

    def __init__(self, struck, table, steps_per_quarter):
        self.counts = np.zeros((len(table), len(struck)), dtype=np.int32)
        self.counted = np.array([len(tones) > 0 for tones in struck], dtype=np.uint8)
        self.window = np.maximum(1, table[:, 6] * steps_per_quarter).astype(np.int64)
        self.fall, self.tail = -np.log(table[:, 5]).astype(np.float32), np.zeros(len(table), dtype=np.int64)
        self.bias = np.zeros((len(table), len(struck)), dtype=np.float32)  # for `choose`

    def follow(self, words, clocks, n_written, clock):
        """Count each text's last word, and forget those from before its window."""
        _count(words, clocks, n_written, clock, self.window, self.counted, self.fall, self.tail, self.counts, self.bias)

    def take(self, rows):
        """Go on with some of the texts."""
        self.counts, self.window, self.fall, self.tail, self.bias = (
            a[rows] for a in (self.counts, self.window, self.fall, self.tail, self.bias)
        )


@compiled(int64_2d, int64_2d, int64, int64_1d, int64_1d, uint8_1d, float32_1d, int64_1d, int32_2d, float32_2d)
def _count(words, clocks, n_written, clock, window, counted, fall, tail, counts, bias):
    """As `Recent.follow`."""
    for row in range(len(clock)):
        word = words[row, n_written - 1]
        if counted[word]:
            counts[row, word] += 1
            bias[row, word] = fall[row]
        while tail[row] < n_written and clocks[row, tail[row]] <= clock[row] - window[row]:
            word = words[row, tail[row]]
            if counted[word]:
                counts[row, word] -= 1
                if counts[row, word] == 0:
                    bias[row, word] = 0
            tail[row] += 1


class Cadence:
    """For the last two quarters, a preference for notes of the tonic chord.

    Parameters
    ----------
    struck : list per word id of the tones that it begins
    pitch_class : int array, of each tone
    steps_per_quarter : of the grid
    key : (tonic, is_major), or None for the key of what each text holds by then
    """

    def __init__(self, struck, pitch_class, steps_per_quarter, key=None):
        self.steps, self.key = round(CADENCE_QUARTERS * steps_per_quarter), key
        self.classes = np.zeros((len(struck), 12))  # of the notes that a word begins
        for of_word, tones in zip(self.classes, struck):
            np.add.at(of_word, pitch_class[tones], 1)

    def bias(self, words, n_written, left):
        """For `choose`: words int64 (n, …) of which n_written count, steps left (n,); float32 (n, vocab_sz), or None."""
        rows = (left <= self.steps).nonzero()[0]
        if not len(rows):
            return None
        bias = np.zeros((len(left), len(self.classes)), dtype=np.float32)
        for row in rows:
            key = self.key or key_from_pitch_classes(self.classes[words[row, :n_written]].sum(0))
            outside = [c for c in range(12) if c not in triad_pitch_classes(*key)]
            bias[row, self.classes[:, outside].any(1)] = CADENCE_FALL
        return bias
