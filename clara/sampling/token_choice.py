"""Choose the next token of each text from its logits.

The texts of a batch may have different settings. A token that the grammar does not allow is never chosen.
"""

from dataclasses import astuple

import numpy as np

from clara.jit import compiled, float32_2d, float64_2d, int64_1d, uint8_2d
from clara.sampling.settings import SamplingSettings

# The columns of a settings table, in the order of the fields of SamplingSettings.
TEMPERATURE, TOP_K, TOP_P, MIN_P, RANDOM_FREQ, REPETITION_PENALTY, REPETITION_QUARTERS, REPEAT_STRENGTH = range(8)

NO_BIAS = np.zeros((0, 0), dtype=np.float32)
MAX_LOGIT = 1e30  # infinite logits are cut off here, so that their differences stay finite
MAX_SELECTION = 256  # for top-p among more candidates than this, one sort is faster than repeated searches


def settings_table(settings, n_texts):
    """Return settings as a table for `choose_tokens`.

    Parameters
    ----------
    settings : SamplingSettings or sequence of SamplingSettings
        Settings for all texts, or one for each text.
    n_texts : int

    Returns
    -------
    float64 array (n_texts, 8)
    """
    if isinstance(settings, SamplingSettings):
        return np.tile(np.array(astuple(settings), dtype=np.float64), (n_texts, 1))
    return np.array([astuple(s) for s in settings], dtype=np.float64)


def choose_tokens(logits, allowed, table, random_numbers, bias=None):
    """Choose one token per text.

    Parameters
    ----------
    logits : float32 array (n, vocab_sz)
    allowed : uint8 array (n, vocab_sz)
        1 for each token that may be chosen, at least one in each row.
    table : float64 array (n, 8)
        From `settings_table`.
    random_numbers : float64 array (n, 2)
        Uniform in [0, 1). The first number of a row decides the token, the second one whether to sample at all.
    bias : float32 array (n, vocab_sz), optional
        Added to the logits.

    Returns
    -------
    int64 array (n,)
    """
    chosen = np.empty(len(logits), dtype=np.int64)
    _choose(logits, allowed, table, random_numbers, NO_BIAS if bias is None else bias, chosen)
    return chosen


@compiled(float32_2d, uint8_2d, float64_2d, float64_2d, float32_2d, int64_1d)
def _choose(logits, allowed, table, random_numbers, bias, chosen):
    """Write the chosen token of each text into `chosen`."""
    vocab_sz = logits.shape[1]
    # Of the n allowed tokens of a row, the candidates:
    token = np.empty(vocab_sz, np.int64)
    logit = np.empty(vocab_sz, np.float64)
    weight = np.empty(vocab_sz, np.float64)  # probability, not normalized
    kept = np.empty(vocab_sz, np.bool_)
    for row in range(len(chosen)):
        temperature = table[row, TEMPERATURE]
        top_k = int(table[row, TOP_K])
        top_p = table[row, TOP_P]
        min_p = table[row, MIN_P]
        random_freq = table[row, RANDOM_FREQ]

        # Collect the candidates and find the most likely one. NaN counts as 0.
        n, best, highest = 0, 0, -np.inf
        for t in range(vocab_sz):
            if allowed[row, t]:
                is_nan = logits[row, t] != logits[row, t]
                logit[n] = 0.0 if is_nan else min(max(logits[row, t], -MAX_LOGIT), MAX_LOGIT)
                if len(bias):
                    logit[n] += bias[row, t]
                token[n] = t
                if logit[n] > highest:
                    best, highest = n, logit[n]
                n += 1
        chosen[row] = token[best]
        if random_numbers[row, 1] >= random_freq or n == 1:
            continue

        # Temperature and min-p. The highest weight is 1.
        for i in range(n):
            logit[i] -= highest
            weight[i] = np.exp(logit[i] / temperature)
            kept[i] = weight[i] >= min_p

        # Top-k.
        if 0 < top_k < n:
            lowest = np.sort(logit[:n])[n - top_k]
            for i in range(n):
                kept[i] = kept[i] and logit[i] >= lowest
        total = 0.0
        for i in range(n):
            if kept[i]:
                total += weight[i]

        # Top-p: keep the most likely candidates until they reach the share top_p of the total.
        if top_p < 1:
            target, reached = top_p * total, 0.0
            if n > MAX_SELECTION:
                for i in np.argsort(-logit[:n]):
                    is_needed = kept[i] and reached < target
                    reached += weight[i] if kept[i] else 0.0
                    kept[i] = is_needed
            else:
                for i in range(n):
                    logit[i] = logit[i] if kept[i] else -np.inf
                    kept[i] = False
                while reached < target:
                    likeliest = 0
                    for i in range(1, n):
                        if logit[i] > logit[likeliest]:
                            likeliest = i
                    if logit[likeliest] == -np.inf:
                        break
                    kept[likeliest], logit[likeliest] = True, -np.inf
                    reached += weight[likeliest]
            total = 0.0
            for i in range(n):
                if kept[i]:
                    total += weight[i]

        # Draw from what is left, by inverting the cumulative distribution.
        remaining = random_numbers[row, 0] * total
        for i in range(n):
            if kept[i]:
                remaining -= weight[i]
                if remaining < 0:
                    chosen[row] = token[i]
                    break
