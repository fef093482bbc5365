"""Find where bars begin among beats, and how many beats they have."""

from collections.abc import Sequence

import numpy as np

BAR_BEATS = {False: (2, 3, 4), True: (1, 2, 3, 4)}  # of simple and compound time
CHANGE_COST = 40.0  # of another number of beats, in nats
SHORT_BAR_COST = 8.0  # of a bar that breaks off, in nats
BAR_WEIGHT = 0.1  # of what the network says about the number of beats
SILENT_DOWNBEAT = 0.1  # probability that a bar begins on a beat on which nothing begins


def find_bars(
    downbeat: np.ndarray, no_downbeat: np.ndarray, bar: np.ndarray, lengths: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the place of each beat in its bar and the length of its bar, and the log-probability of the best bars.

    Parameters
    ----------
    downbeat, no_downbeat : float64 arrays (m,)
        Log-probability that a bar begins on a beat, and that none does.
    bar : float64 array (m, n)
        Log-probability of each number of beats in the bar.
    lengths : sequence of int
        Possible numbers of beats, columns of `bar`.

    Returns
    -------
    place, length : int64 arrays (m,)
    score : float
    """
    states = [(length, place) for length in lengths for place in range(length)]
    length_of, place_of = np.array(states).T
    is_first, is_last = place_of == 0, place_of == length_of - 1
    of_length = {n: np.flatnonzero(length_of == n) for n in lengths}
    before = np.array([states.index((n, (p - 1) % n)) for n, p in states])
    gains = np.where(is_first[None], downbeat[:, None], no_downbeat[:, None]) + BAR_WEIGHT * bar[:, length_of]
    m = len(downbeat)
    back = np.zeros((m, len(states)), dtype=np.int64)
    score = gains[0].copy()
    for i in range(1, m):
        best = score[before]
        back[i] = before
        change = np.where(is_last, score, -np.inf).argmax()
        better = is_first & (score[change] - CHANGE_COST > best)
        best = np.where(better, score[change] - CHANGE_COST, best)
        back[i, better] = change
        for n, states_of in of_length.items():
            broken = states_of[:-1]
            if n > 1 and score[broken].max() - SHORT_BAR_COST > best[states_of[0]]:
                best[states_of[0]] = score[broken].max() - SHORT_BAR_COST
                back[i, states_of[0]] = broken[score[broken].argmax()]
        score = best + gains[i]
    path = np.zeros(m, dtype=np.int64)
    path[-1] = score.argmax()
    for i in range(m - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    return place_of[path], length_of[path], float(score.max())
