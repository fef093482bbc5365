"""Find out which files are the same musical work.

A work's fingerprint is the set of runs of `RUN_LENGTH` successive intervals in its top line
(the highest note at each onset). It does not change with key, tempo, grid, tracks or file name.
Editions of one work share most of the smaller set, different works share little. An index of
runs finds candidate pairs; the complete sets decide.

If the runs are too many for memory, long lines are compared by the runs whose hash falls on one
value in so many (FracMinHash, Irber et al. 2022). This keeps containment, so that a movement is
still found in the whole work.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

FINGERPRINT_GRID = 12  # steps per quarter, for every encoding, so that all of them split alike
RUN_LENGTH = 6  # intervals
SAME_WORK_SHARE = 0.5  # of the smaller set; true pairs were seen above 0.9, different works under 0.25
CANDIDATE_SHARE = 0.2  # of the smaller sketch; pairs with at least this share in common are compared in full
MAX_RUNS = 4_000_000  # runs in memory, about 60 bytes each; some 10,000 piano pieces are compared in full
SHORT_LINE_RUNS = 8  # a line of at most this many runs times the sampling scale is not sampled
MAX_NEIGHBOURS = 8  # a run's owners are compared with this many on either side; a run with more owners says little
HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, 2**64 over the golden ratio (Knuth's multiplicative hash)


def compute_fingerprint(notes) -> np.ndarray:
    """Return the runs of intervals of a piece's top line.

    Parameters
    ----------
    notes : NoteSequence
        At `FINGERPRINT_GRID` steps per quarter.

    Returns
    -------
    int64 array, shape (n,)
        Distinct runs, ascending. A line too short for a run gives its whole interval sequence
        as the only run.
    """
    last_of_onset = np.flatnonzero(np.diff(notes.start, append=-1))
    first_of_onset = np.r_[0, last_of_onset[:-1] + 1]
    top_line = np.maximum.reduceat(notes.pitch, first_of_onset) if len(notes) else notes.pitch
    intervals = np.diff(top_line) + 128  # positive, one byte each
    if len(intervals) < RUN_LENGTH:
        return np.array([sum(int(interval) << 8 * i for i, interval in enumerate(intervals))])
    runs = np.lib.stride_tricks.sliding_window_view(intervals, RUN_LENGTH)
    return np.unique((runs << 8 * np.arange(RUN_LENGTH)).sum(axis=1))


def fingerprint_digest(runs: np.ndarray) -> bytes:
    """Return the SHA-256 digest of a fingerprint."""
    return hashlib.sha256(runs.astype("<i8").tobytes()).digest()


def group_works(fingerprints: Sequence[np.ndarray]) -> np.ndarray:
    """Assign a work number to each file.

    Parameters
    ----------
    fingerprints : sequence of n arrays from `compute_fingerprint`
        Read piece by piece, so the sequence may load them from disk.

    Returns
    -------
    int array, shape (n,)
        Files with the same number are the same work.
    """
    if len(fingerprints) < 2:
        return np.zeros(len(fingerprints), dtype=int)
    first_file, distinct_index, sizes = _find_distinct(fingerprints)
    pairs = [
        (i, j)
        for i, j in _candidate_pairs(fingerprints, first_file, sizes)
        if _shared_share(fingerprints[first_file[i]], fingerprints[first_file[j]]) >= SAME_WORK_SHARE
    ]
    edges = np.array(pairs).reshape(-1, 2).T
    graph = coo_array((np.ones(edges.shape[1]), edges), shape=(len(first_file), len(first_file)))
    _, work_of_distinct = connected_components(graph, directed=False)
    return work_of_distinct[distinct_index]


def _find_distinct(fingerprints):
    """Find the m different fingerprints.

    Returns
    -------
    first_file : list of m int, the first file with each
    distinct_index : int array (n,), which of the m each file has
    sizes : int array (m,), runs of each
    """
    index_of_digest = {}
    first_file, distinct_index, sizes = [], [], []
    for file, runs in enumerate(fingerprints):
        index = index_of_digest.setdefault(fingerprint_digest(runs), len(first_file))
        distinct_index.append(index)
        if index == len(first_file):
            first_file.append(file)
            sizes.append(len(runs))
    return first_file, np.array(distinct_index), np.array(sizes)


def _candidate_pairs(fingerprints, first_file, sizes):
    """Return pairs (i, j), i < j, of different fingerprints that seem to share enough runs."""
    n_distinct = len(first_file)
    scale = max(1, -(-int(sizes.sum()) // MAX_RUNS))
    owner, run_hash = _sketch(fingerprints, first_file, sizes, scale)
    n_sampled = np.bincount(owner[_is_sampled(run_hash, scale)], minlength=n_distinct)
    pair_codes, n_shared = _count_shared_runs(owner, run_hash, n_distinct)
    i, j = np.divmod(pair_codes, n_distinct)
    enough = n_shared >= CANDIDATE_SHARE * np.minimum(n_sampled[i], n_sampled[j])
    return zip(i[enough].tolist(), j[enough].tolist())


def _sketch(fingerprints, first_file, sizes, scale):
    """Return owner and hash, both shape (k,), of the runs that are compared, sorted by hash.

    Owners of a run are ordered by their smallest hashes (Broder 1997): editions mostly have the
    same one, and so are neighbours even among the many owners of a scale.
    """
    sketches = []
    smallest_hash = np.empty(len(first_file), dtype=np.uint64)
    for i, file in enumerate(first_file):
        hashes = fingerprints[file].astype(np.uint64) * HASH_FACTOR
        smallest_hash[i] = hashes.min()
        is_short = sizes[i] <= SHORT_LINE_RUNS * scale
        sketches.append(hashes if is_short else hashes[_is_sampled(hashes, scale)])
    owner = np.repeat(np.arange(len(first_file)), [len(sketch) for sketch in sketches])
    run_hash = np.concatenate(sketches)
    order = np.lexsort((smallest_hash[owner], run_hash))
    return owner[order], run_hash[order]


def _is_sampled(run_hash, scale):
    """Return which hashes are in the sketches of long lines: one in `scale`, the same for all lines."""
    return (run_hash >> np.uint64(32)) % np.uint64(scale) == 0


def _count_shared_runs(owner, run_hash, n_distinct):
    """Return the codes i * n_distinct + j, i < j, of neighbours that share runs, and how many they share."""
    codes, counts = [], []
    for step in range(1, MAX_NEIGHBOURS + 1):
        same_run = run_hash[step:] == run_hash[:-step]
        a = owner[step:][same_run]
        b = owner[:-step][same_run]
        step_codes, step_counts = np.unique(np.minimum(a, b) * n_distinct + np.maximum(a, b), return_counts=True)
        codes.append(step_codes)
        counts.append(step_counts)
    unique_codes, inverse = np.unique(np.concatenate(codes), return_inverse=True)
    return unique_codes, np.bincount(inverse, weights=np.concatenate(counts), minlength=len(unique_codes))


def _shared_share(a, b):
    """Return the share of the smaller set that the larger one holds."""
    return len(np.intersect1d(a, b, assume_unique=True)) / min(len(a), len(b))
