"""Local keys and chords of the bars of a piece.

Keys are numbered 0 to 11 for the major keys from C up and 12 to 23 for the minor keys; chords are triads, numbered in
the same way.

References
----------
Temperley (2007), Music and Probability: the profiles of keys. Of several, they find the key of short stretches best.
"""

from functools import cache

import numpy as np

from clara.form.plan import N_KEYS, N_PITCHES, UNKNOWN
from clara.jit import compiled, float64_2d, int64_1d, int64_1d_readonly
from clara.music.notes import NoteSequence

# How often each pitch class occurs in a stretch of music in C major and C minor, from the pieces of Kostka and Payne.
MAJOR_PROFILE = (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400)
MINOR_PROFILE = (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330)
MAJOR_TRIAD, MINOR_TRIAD = (0, 4, 7), (0, 3, 7)
ROOT_WEIGHT = 1.2  # of a triad's root, against 1 for the other tones
KEY_CHANGE_COST = 1.5  # a change of key must improve the sum of correlations over some bars by this
TIE_PENALTY = 1e-6  # far less than any difference of two triads
NEIGHBOUR_WEIGHTS = (0.25, 0.5, 1.0, 0.5, 0.25)  # of the bars around a bar, for its key


def local_keys(notes: NoteSequence, begin: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the local key of each bar, and the key of the piece.

    The keys are the path of bars with the highest sum of correlations with key profiles, less a cost for each change.

    Parameters
    ----------
    notes : NoteSequence, not empty
    begin : int64 array (n_bars + 1,)
        Step of each barline.

    Returns
    -------
    keys : int64 array (n_bars,)
    home : int
        The key of the most bars; of equally many, the last one.
    """
    weights = sounding_pitch_classes(notes, begin)
    padded = np.pad(weights, ((2, 2), (0, 0)))
    n = len(weights)
    smooth = np.sum([weight * padded[i : i + n] for i, weight in enumerate(NEIGHBOUR_WEIGHTS)], axis=0)
    centred = smooth - smooth.mean(1, keepdims=True)
    norms = np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    scores = np.ascontiguousarray((centred / norms) @ key_profiles().T)
    keys = np.empty(n, dtype=np.int64)
    _best_path(scores, keys)
    counts = np.bincount(keys, minlength=N_KEYS)
    most_frequent = np.flatnonzero(counts == counts.max())
    last_use = [np.flatnonzero(keys == key)[-1] for key in most_frequent]
    return keys, int(most_frequent[np.argmax(last_use)])


def best_triads(notes: NoteSequence, begin: np.ndarray) -> np.ndarray:
    """Return the triad that the notes of each bar are most like, int64 (n_bars,); `UNKNOWN` for silent bars.

    Of equally good triads it is the one whose root is first above the lowest note: C E G A is C over C, A minor over A.
    """
    weights, lowest = _describe_sounding(notes, begin)
    centred = weights - weights.mean(1, keepdims=True)
    above_lowest = (np.arange(12) - lowest[:, None]) % 12
    penalty = TIE_PENALTY * np.concatenate([above_lowest, above_lowest + 0.5], axis=1)  # major before minor
    best = (centred @ _triad_profiles().T - penalty).argmax(1)
    return np.where(weights.sum(1) > 0, best, UNKNOWN)


def sounding_pitch_classes(notes: NoteSequence, begin: np.ndarray) -> np.ndarray:
    """Return for how many steps each pitch class sounds in each bar, float64 (n_bars, 12)."""
    return _describe_sounding(notes, begin)[0]


def _describe_sounding(notes, begin):
    """Return the result of `sounding_pitch_classes`, and the lowest pitch in each bar, int64 (n_bars,)."""
    weights = np.zeros((len(begin) - 1, 12))
    lowest = np.full(len(weights), N_PITCHES)
    _add_sounding(notes.start, notes.end, notes.pitch, begin, weights, lowest)
    return weights, lowest


@cache
def key_profiles() -> np.ndarray:
    """Return the centred profiles of the 24 keys with norm 1, float64 (24, 12)."""
    return _centred([np.roll(profile, tonic) for profile in (MAJOR_PROFILE, MINOR_PROFILE) for tonic in range(12)])


@cache
def _triad_profiles():
    """Return the centred profiles of the 24 triads with norm 1, float64 (24, 12)."""
    rows = []
    for triad in (MAJOR_TRIAD, MINOR_TRIAD):
        profile = np.zeros(12)
        profile[list(triad)] = 1
        profile[0] = ROOT_WEIGHT
        rows += [np.roll(profile, root) for root in range(12)]
    return _centred(rows)


def _centred(rows):
    """Return rows minus their mean, with norm 1."""
    rows = np.array(rows, dtype=np.float64)
    rows -= rows.mean(1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@compiled(int64_1d_readonly, int64_1d_readonly, int64_1d_readonly, int64_1d_readonly, float64_2d, int64_1d)
def _add_sounding(start, end, pitch, begin, weights, lowest):
    """Add the steps that each note sounds in each bar, and write the lowest pitch; notes are sorted by their start."""
    bar = 0
    for i in range(len(start)):
        while bar + 1 < len(weights) and begin[bar + 1] <= start[i]:
            bar += 1
        later = bar
        while later < len(weights) and begin[later] < end[i]:
            inside = min(end[i], begin[later + 1]) - max(start[i], begin[later])
            weights[later, pitch[i] % 12] += max(0, inside)
            lowest[later] = min(lowest[later], pitch[i])
            later += 1


@compiled(float64_2d, int64_1d)
def _best_path(scores, keys):
    """Write the best path through scores (n_bars, n_keys) with a cost for each change (Viterbi)."""
    n, n_keys = scores.shape
    from_key = np.zeros((n, n_keys), dtype=np.int64)
    total = scores[0].copy()
    for bar in range(1, n):
        best = total.argmax()
        new_total = scores[bar].copy()
        for key in range(n_keys):
            if total[key] >= total[best] - KEY_CHANGE_COST:
                new_total[key] += total[key]
                from_key[bar, key] = key
            else:
                new_total[key] += total[best] - KEY_CHANGE_COST
                from_key[bar, key] = best
        total = new_total
    key = total.argmax()
    for bar in range(n - 1, -1, -1):
        keys[bar] = key
        key = from_key[bar, key]
