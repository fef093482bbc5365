"""Which files are the same work, and on which side of the split each work falls.

A work's fingerprint is the set of runs of `RUN` successive intervals in its top line
(the highest note at each onset): it does not change with key, tempo, grid, tracks or
file name. Editions of one work share most of the smaller set, strangers little. MinHash
finds candidates (Zhu et al. 2016, LSH Ensemble: containment, so that a movement finds
the whole), the exact sets decide.

Contents: `fingerprint`, `group_works`, `split_of`, `save_fingerprints`, `load_fingerprints`.
"""

import hashlib
import io
from collections import Counter

import numpy as np
from datasketch import MinHash, MinHashLSHEnsemble
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clara.corpus import SPLITS
from clara.files import write_whole

FINGERPRINT_GRID = 12  # steps per quarter, for any encoding, so that all of them split alike
RUN = 6  # intervals in a run
SAME_WORK = 0.5  # share of the smaller set; true pairs were seen above 0.9, strangers under 0.25
CANDIDATE = 0.4  # containment at which MinHash proposes a pair
N_HASHES = 128
VALID_PERCENT, TEST_PERCENT = 5, 5


def fingerprint(notes):
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
    fingerprints : list of n arrays from `fingerprint`

    Returns
    -------
    int array, shape (n,): files with the same number are the same work
    """
    n = len(fingerprints)
    if n < 2:
        return np.zeros(n, dtype=int)
    pairs = np.array([(i, j) for i, j in _candidates(fingerprints)
                      if _shared(fingerprints[i], fingerprints[j]) >= SAME_WORK]).reshape(-1, 2).T
    graph = coo_array((np.ones(pairs.shape[1]), pairs), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def _candidates(fingerprints):
    """Pairs (i, j), i < j, that MinHash takes for one work."""
    hashes = MinHash.bulk([f.astype("<i8")[:, None].view("S8").ravel().tolist() for f in fingerprints],
                          num_perm=N_HASHES, seed=1)
    index = MinHashLSHEnsemble(threshold=CANDIDATE, num_perm=N_HASHES, num_part=16)
    index.index((i, h, len(f)) for i, (h, f) in enumerate(zip(hashes, fingerprints)))
    found = {(min(i, j), max(i, j)) for i, (h, f) in enumerate(zip(hashes, fingerprints))
             for j in index.query(h, len(f)) if i != j}
    return sorted(found)


def _shared(a, b):
    """Share of the smaller set that the larger holds."""
    return len(np.intersect1d(a, b, assume_unique=True)) / min(len(a), len(b))


def split_of(fingerprints, works):
    """The side of the split of each file, decided by its work's music alone.

    Parameters
    ----------
    fingerprints : list of n arrays
    works : int array, shape (n,), from `group_works`

    Returns
    -------
    list of n names among train, valid and test
    """
    speaker = {}  # of each work, the least digest among its members speaks for all
    for fingerprint_, work in zip(fingerprints, works.tolist()):
        digest = hashlib.sha256(fingerprint_.astype("<i8").tobytes()).digest()
        speaker[work] = min(digest, speaker.get(work, digest))
    draw = {work: _percent(digest) for work, digest in speaker.items()}
    sides = _sides(draw)
    return [sides[work] for work in works.tolist()]


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


def save_fingerprints(path, fingerprints):
    """Keep a dict of piece name to fingerprint, so that unchanged files need not be read again."""
    names, arrays = list(fingerprints), list(fingerprints.values())
    buffer = io.BytesIO()
    np.savez_compressed(buffer, names=np.array(names, dtype=str), sizes=[len(a) for a in arrays],
                        runs=np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64))
    write_whole(path, buffer.getvalue())


def load_fingerprints(path):
    """Read what `save_fingerprints` wrote."""
    with np.load(path) as kept:
        parts = np.split(kept["runs"], np.cumsum(kept["sizes"])[:-1])
        return dict(zip(kept["names"].tolist(), parts))
