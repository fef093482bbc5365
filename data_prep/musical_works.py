"""Which files are the same work, and on which side of the split each work falls.

A work's fingerprint is the set of runs of `RUN` successive intervals in its top line
(the highest note at each onset): it does not change with key, tempo, grid, tracks or
file name. Editions of one work share most of the smaller set, strangers little. An index of
runs finds candidates, the exact sets decide. Where the runs are too many for memory, long
lines are compared by the runs whose hash falls on one value in so many (FracMinHash,
Irber et al. 2022: it keeps containment, so that a movement still finds the whole).
"""

import hashlib
from collections import Counter

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clara.data.corpus import SPLITS

FINGERPRINT_GRID = 12  # steps per quarter, for any encoding, so that all of them split alike
RUN = 6  # intervals in a run
SAME_WORK = 0.5  # share of the smaller set; true pairs were seen above 0.9, strangers under 0.25
CANDIDATE = 0.2  # share of the smaller sketch seen in common at which the exact sets are compared
MAX_RUNS = 4_000_000  # held in memory, about 60 bytes each; some 10,000 piano pieces are compared in full
SHORT = 8  # a line of at most this many runs times the scale is held in full
NEIGHBOURS = 8  # compared on either side among the owners of a run; runs that many share tell little
SCATTER = np.uint64(0x9E3779B97F4A7C15)  # odd, 2**64 over the golden ratio (Knuth's multiplicative hash)
VALID_PERCENT, TEST_PERCENT = 5, 5


def compute_fingerprint(notes):
    """The runs of intervals of a piece's top line.

    Parameters
    ----------
    notes : NoteSequence at `FINGERPRINT_GRID`

    Returns
    -------
    int64 array of distinct runs, ascending, shape (n,); a line too short for a run
    gives its whole interval sequence as the one run
    """
    onset = np.flatnonzero(np.diff(notes.start, append=-1))  # last note of each onset
    highest = np.maximum.reduceat(notes.pitch, np.r_[0, onset[:-1] + 1]) if len(notes) else notes.pitch
    intervals = np.diff(highest) + 128
    if len(intervals) < RUN:
        return np.array([sum(int(x) << 8 * i for i, x in enumerate(intervals))])
    runs = np.lib.stride_tricks.sliding_window_view(intervals, RUN)
    return np.unique((runs << 8 * np.arange(RUN)).sum(axis=1))


def group_works(fingerprints):
    """Number the works.

    Parameters
    ----------
    fingerprints : sequence of n arrays from `compute_fingerprint`; it is gone through piece by piece,
        so it may read them from disk

    Returns
    -------
    int array, shape (n,): files with the same number are the same work
    """
    if len(fingerprints) < 2:
        return np.zeros(len(fingerprints), dtype=int)
    first, edition, sizes = _distinct(fingerprints)
    pairs = (
        np.array(
            [
                (i, j)
                for i, j in _candidates(fingerprints, first, sizes)
                if _shared(fingerprints[first[i]], fingerprints[first[j]]) >= SAME_WORK
            ]
        )
        .reshape(-1, 2)
        .T
    )
    graph = coo_array((np.ones(pairs.shape[1]), pairs), shape=(len(first), len(first)))
    return connected_components(graph, directed=False)[1][edition]


def _distinct(fingerprints):
    """Of the m different ones: where each stands first (m,), which each file has (n,), sizes (m,)."""
    seen, first, edition, sizes = {}, [], [], []
    for at, runs in enumerate(fingerprints):
        edition.append(seen.setdefault(_digest(runs), len(first)))
        if edition[-1] == len(first):
            first.append(at)
            sizes.append(len(runs))
    return first, np.array(edition), np.array(sizes)


def _candidates(fingerprints, first, sizes):
    """Pairs (i, j), i < j, of different fingerprints that seem to share enough runs."""
    scale = max(1, -(-int(sizes.sum()) // MAX_RUNS))
    owner, run = _sketches(fingerprints, first, sizes, scale)
    kept = np.bincount(owner[_is_sampled(run, scale)], minlength=len(first))
    pairs, hits = _meetings(owner, run, len(first))
    i, j = np.divmod(pairs, len(first))
    enough = hits >= CANDIDATE * np.minimum(kept[i], kept[j])
    return zip(i[enough].tolist(), j[enough].tolist())


def _sketches(fingerprints, first, sizes, scale):
    """Owner and scattered run, both shape (k,), of the runs that are compared, sorted by run.

    Owners that share a run stand in the order of their least runs (Broder 1997): editions
    mostly have the same, and so are neighbours even among all who share a scale.
    """
    sketches, least = [], np.empty(len(first), dtype=np.uint64)
    for i, at in enumerate(first):
        runs = fingerprints[at].astype(np.uint64) * SCATTER
        least[i] = runs.min()
        sketches.append(runs if sizes[i] <= SHORT * scale else runs[_is_sampled(runs, scale)])
    owner = np.repeat(np.arange(len(first)), [len(s) for s in sketches])
    run = np.concatenate(sketches)
    order = np.lexsort((least[owner], run))
    return owner[order], run[order]


def _is_sampled(run, scale):
    """Which scattered runs are in the sketches of long lines: one in `scale`, the same for all."""
    return (run >> np.uint64(32)) % np.uint64(scale) == 0


def _meetings(owner, run, n):
    """Pairs that share runs and stand near each other there: codes i * n + j, i < j, and how often."""
    codes, hits = [], []
    for step in range(1, NEIGHBOURS + 1):
        together = run[step:] == run[:-step]
        a, b = owner[step:][together], owner[:-step][together]
        code, n_hits = np.unique(np.minimum(a, b) * n + np.maximum(a, b), return_counts=True)
        codes.append(code)
        hits.append(n_hits)
    code, at = np.unique(np.concatenate(codes), return_inverse=True)
    return code, np.bincount(at, weights=np.concatenate(hits), minlength=len(code))


def _shared(a, b):
    """Share of the smaller set that the larger holds."""
    return len(np.intersect1d(a, b, assume_unique=True)) / min(len(a), len(b))


def assign_splits(fingerprints, works):
    """The side of the split of each file, decided by its work's music alone.

    Parameters
    ----------
    fingerprints : sequence of n arrays
    works : int array, shape (n,), from `group_works`

    Returns
    -------
    list of n names among train, valid and test
    """
    speaker = {}  # of each work, the least digest among its members speaks for all
    for fingerprint_, work in zip(fingerprints, works.tolist()):
        digest = _digest(fingerprint_)
        speaker[work] = min(digest, speaker.get(work, digest))
    draw = {work: _percent(digest) for work, digest in speaker.items()}
    sides = _sides(draw)
    return [sides[work] for work in works.tolist()]


def _digest(runs):
    """32 bytes that stand for a fingerprint."""
    return hashlib.sha256(runs.astype("<i8").tobytes()).digest()


def _sides(draw):
    """The side of each work; of three works and more, at least one is held out on each side."""
    sides = {work: _side(percent) for work, percent in draw.items()}
    by_draw = sorted(draw, key=draw.get)
    if len(by_draw) < 3:
        return dict.fromkeys(draw, "train")
    for side in SPLITS:
        if side not in sides.values():
            members = Counter(sides.values())
            spare = [w for w in by_draw if members[sides[w]] > 1]
            sides[spare[-1] if side == "train" else spare[0]] = side
    return sides


def _percent(digest):
    """A number in 0..100, hashed once more so that being the least does not bias it."""
    return int.from_bytes(hashlib.sha256(digest).digest()[:8], "big") / 2**64 * 100


def _side(percent):
    """valid and test take the lowest percents, train the rest."""
    if percent < VALID_PERCENT:
        return "valid"
    return "test" if percent < VALID_PERCENT + TEST_PERCENT else "train"
