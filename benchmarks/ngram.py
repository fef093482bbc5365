"""An n-gram model with Witten-Bell smoothing, as the simplest peer of a network."""

from collections.abc import Sequence

import numpy as np

BITS_PER_TOKEN = 9  # so that seven tokens fit an int64
MAX_VOCAB, MAX_ORDER = 1 << BITS_PER_TOKEN, 7


class NGram:
    """Count runs of tokens, and predict by all their lengths.

    Parameters
    ----------
    order : int
        Number of tokens of the longest runs, at most 7.
    vocab_sz : int
        At most 512.

    Examples
    --------
    >>> model = NGram(2, vocab_sz=4).fit([np.array([0, 1, 2, 1, 2])])
    >>> model.log_probs(np.array([0, 1, 2])).round(2).tolist()
    [-0.6, -0.51]
    """

    def __init__(self, order: int, vocab_sz: int):
        if order > MAX_ORDER or vocab_sz > MAX_VOCAB:
            raise ValueError(f"an order of at most {MAX_ORDER} and at most {MAX_VOCAB} tokens, not {order}, {vocab_sz}")
        self.order, self.vocab_sz = order, vocab_sz

    def fit(self, pieces: Sequence[np.ndarray]) -> "NGram":
        """Count the runs in pieces, int arrays of token ids that begin with xxbos; return self."""
        self.runs = []  # for each length: sorted runs, their counts
        self.contexts = []  # for each length: sorted contexts, their counts, and their numbers of different successors
        for length in range(1, self.order + 1):
            runs, counts = np.unique(np.concatenate([_pack(ids, length) for ids in pieces]), return_counts=True)
            contexts, first, n_successors = np.unique(runs >> BITS_PER_TOKEN, return_index=True, return_counts=True)
            self.runs.append((runs, counts))
            self.contexts.append((contexts, np.add.reduceat(counts, first), n_successors))
        return self

    @property
    def n_parameters(self) -> int:
        """Number of counts."""
        return sum(len(runs) for runs, _ in self.runs)

    def log_probs(self, ids: np.ndarray) -> np.ndarray:
        """Return the log-probability of each token of a piece but the first, float64 (n - 1,), in nats.

        With c the count of a context and t its number of different successors, a length predicts by
        (count of the run + t · prediction of the next shorter length) / (c + t) [1]_.

        References
        ----------
        .. [1] Witten and Bell, "The zero-frequency problem", 1991.
        """
        probs = np.full(len(ids), 1 / self.vocab_sz)
        for length in range(1, self.order + 1):
            packed = _pack(ids, length)
            at = slice(len(ids) - len(packed), None)
            count = _look_up(packed, *self.runs[length - 1])
            contexts, totals, successors = self.contexts[length - 1]
            total = _look_up(packed >> BITS_PER_TOKEN, contexts, totals)
            n_successors = _look_up(packed >> BITS_PER_TOKEN, contexts, successors)
            is_known = total > 0
            smoothed = (count + n_successors * probs[at]) / np.maximum(1, total + n_successors)
            probs[at] = np.where(is_known, smoothed, probs[at])
        return np.log(probs[1:])


def _pack(ids, length):
    """Return each run of a length as one number, int64 (n - length + 1,)."""
    ids = np.asarray(ids, dtype=np.int64)
    n = max(0, len(ids) - length + 1)
    packed = np.zeros(n, dtype=np.int64)
    for i in range(length):
        packed = packed << BITS_PER_TOKEN | ids[i : i + n]
    return packed


def _look_up(wanted, keys, values):
    """Return the value of each wanted number among sorted keys; 0 for others."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
