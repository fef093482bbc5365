"""Find out which files are the same musical work.

A work's fingerprint is the set of runs of `RUN_LENGTH` successive intervals in its top line
(the highest note at each onset). It does not change with key, tempo, grid, tracks or file name.
Editions of one work share most of the smaller set, different works share little. An index of
runs finds candidate pairs; the complete sets decide.

A performer spreads chords, so that the highest note at each onset is no melody. Files are
therefore also compared by the highest notes of chords, with onsets that lie close together
(in seconds, or in quarters) taken as one, and by the tracks that are named as the melody.

If the runs are too many for memory, long lines are compared by the runs whose hash falls on one
value in so many (FracMinHash, Irber et al. 2022). This keeps containment, so that a movement is
still found in the whole work.
"""

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clara.music.midi import MidiDescription

FINGERPRINT_GRID = 12  # steps per quarter, for every encoding, so that all of them split alike
RUN_LENGTH = 6  # intervals
SAME_WORK_SHARE = 0.5  # of the smaller set; true pairs were seen above 0.9, different works under 0.25
# Of the smaller set of heard lines. Two imitated performances of a piece (chords spread over 60 ticks, or rubato and
# wrong notes) share less in 2 to 4 of 100 cases; of 795,000 pairs of piano pieces one that is no edition shares more.
SAME_HEARD_SHARE = 0.4
CHORD_SECONDS = 0.065  # onsets this close to the first one are a chord
CHORD_QUARTERS = 0.13  # the same in quarters: at a slow tempo chords spread over 60 of 480 ticks last longer
MELODY_NAME = re.compile(r"melod|\b(lead|tune|voice|vocals?|solo|gesang|chant)\b", re.IGNORECASE)
MIN_MELODY_RUNS = 8  # a melody track with fewer runs says little
CANDIDATE_SHARE = 0.2  # of the smaller sketch; pairs with at least this share in common are compared in full
MAX_RUNS = 4_000_000  # runs in memory, about 60 bytes each; some 10,000 piano pieces are compared in full
SHORT_LINE_RUNS = 8  # a line of at most this many runs times the sampling scale is not sampled
MAX_NEIGHBOURS = 8  # a run's owners are compared with this many on either side; a run with more owners says little
HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, 2**64 over the golden ratio (Knuth's multiplicative hash)


def compute_fingerprint(notes) -> np.ndarray:
    """Return the runs of intervals of a piece's top line, by which the piece is split.

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
    return _runs(top_line)


def compute_lines(notes, description: MidiDescription | None = None) -> list[np.ndarray]:
    """Return the runs of all lines by which a piece is compared.

    Parameters
    ----------
    notes : NoteSequence
        At `FINGERPRINT_GRID` steps per quarter.
    description : MidiDescription, optional
        If the piece is a MIDI file, whose chords may be spread.

    Returns
    -------
    list of int64 arrays
        The runs of `compute_fingerprint`; those of the highest notes of chords, whose onsets lie within
        `CHORD_SECONDS`, and within `CHORD_QUARTERS`; and those of the tracks that are named as the
        melody, if there are any.
    """
    if description:
        return [compute_fingerprint(notes), *_heard_lines(description)]
    onset_quarters = notes.start / notes.steps_per_quarter
    return [
        compute_fingerprint(notes),
        chord_line(onset_quarters * 60 / notes.qpm, notes.pitch, CHORD_SECONDS),
        chord_line(onset_quarters, notes.pitch, CHORD_QUARTERS),
    ]


def _heard_lines(description):
    """Return the runs of the lines that a listener follows in a MIDI file."""
    onset_seconds, pitches = description.onset_seconds, description.pitches
    onset_quarters = description.onset_ticks / description.ticks_per_quarter
    lines = [chord_line(onset_seconds, pitches, CHORD_SECONDS), chord_line(onset_quarters, pitches, CHORD_QUARTERS)]
    named = [i for i, (name, _) in enumerate(description.tracks) if MELODY_NAME.search(name)]
    in_melody = np.isin(description.track_of_note, named)
    if in_melody.any() and not in_melody.all():
        melody = chord_line(onset_seconds[in_melody], pitches[in_melody], CHORD_SECONDS)
        if len(melody) >= MIN_MELODY_RUNS:
            lines.append(melody)
    return lines


def chord_line(onsets: np.ndarray, pitches: np.ndarray, width: float) -> np.ndarray:
    """Return the runs of the line of the highest notes of chords.

    Parameters
    ----------
    onsets, pitches : arrays, shape (n,)
        In any order.
    width : float
        Notes that begin at most so long after the first one of a chord belong to it.
    """
    top_line = []
    chord_onset = -np.inf
    order = np.argsort(onsets, kind="stable")
    for onset, pitch in zip(onsets[order].tolist(), pitches[order].tolist()):
        if onset - chord_onset > width:
            top_line.append(pitch)
            chord_onset = onset
        else:
            top_line[-1] = max(top_line[-1], pitch)
    return _runs(np.array(top_line, dtype=np.int64))


def _runs(line):
    """Return the distinct runs of the intervals of a line of pitches, ascending."""
    intervals = np.diff(line) + 128  # positive, one byte each
    if len(intervals) < RUN_LENGTH:
        return np.array([sum(int(interval) << 8 * i for i, interval in enumerate(intervals))])
    runs = np.lib.stride_tricks.sliding_window_view(intervals, RUN_LENGTH)
    return np.unique((runs << 8 * np.arange(RUN_LENGTH)).sum(axis=1))


def fingerprint_digest(runs: np.ndarray) -> bytes:
    """Return the SHA-256 digest of a fingerprint."""
    return hashlib.sha256(runs.astype("<i8").tobytes()).digest()


def group_works(fingerprints: Sequence[Sequence[np.ndarray]], folders: Sequence[str] | None = None) -> np.ndarray:
    """Assign a work number to each file.

    Parameters
    ----------
    fingerprints : sequence of n lists of arrays
        The lines of each file, from `compute_lines`. Read file by file, so the sequence may load them
        from disk.
    folders : sequence of n str, optional
        Files of one folder are one work, whatever they hold (default: the music alone decides).

    Returns
    -------
    int array, shape (n,)
        Files with the same number are the same work.
    """
    n_files = len(fingerprints)
    if n_files < 2:
        return np.zeros(n_files, dtype=int)
    pairs = [pair for lines, min_share in _kinds_of_lines(fingerprints) for pair in _same_pairs(lines, min_share)]
    if folders is not None:
        first_of_folder = {}
        pairs += [(first_of_folder.setdefault(folder, file), file) for file, folder in enumerate(folders)]
    edges = np.array(pairs, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(edges.shape[1]), edges), shape=(n_files, n_files))
    return connected_components(graph, directed=False)[1]


def _kinds_of_lines(fingerprints):
    """Return (lines, least share of a work) for the top lines, and for the lines that a listener follows."""
    n_lines = [len(lines) for lines in fingerprints]
    tops = [(file, 0) for file in range(len(n_lines))]
    heard = [(file, line) for file, n in enumerate(n_lines) for line in range(1, n)]
    return [(_Lines(fingerprints, tops), SAME_WORK_SHARE), (_Lines(fingerprints, heard), SAME_HEARD_SHARE)]


class _Lines(Sequence):
    """Some lines of the files, each read when it is used, and the file of each."""

    def __init__(self, fingerprints, positions):
        self.fingerprints = fingerprints
        self.positions = positions

    def __len__(self):
        return len(self.positions)

    def __getitem__(self, i):
        file, line = self.positions[i]
        return self.fingerprints[file][line]

    def file_of(self, i):
        """Return the file of line i."""
        return self.positions[i][0]


def _same_pairs(lines, min_share):
    """Return pairs of files, a line of which is the same."""
    if len(lines) < 2:
        return []
    first_line, distinct_index, sizes = _find_distinct(lines)
    pairs = [(lines.file_of(i), lines.file_of(first_line[index])) for i, index in enumerate(distinct_index.tolist())]
    for i, j in _candidate_pairs(lines, first_line, sizes):
        a, b = first_line[i], first_line[j]
        if _shared_share(lines[a], lines[b]) >= min_share:
            pairs.append((lines.file_of(a), lines.file_of(b)))
    return pairs


def _find_distinct(lines):
    """Find the m different lines.

    Returns
    -------
    first_line : list of m int, the first line of each
    distinct_index : int array (n,), which of the m each line has
    sizes : int array (m,), runs of each
    """
    index_of_digest = {}
    first_line, distinct_index, sizes = [], [], []
    for position, runs in enumerate(lines):
        index = index_of_digest.setdefault(fingerprint_digest(runs), len(first_line))
        distinct_index.append(index)
        if index == len(first_line):
            first_line.append(position)
            sizes.append(len(runs))
    return first_line, np.array(distinct_index), np.array(sizes)


def _candidate_pairs(lines, first_line, sizes):
    """Return pairs (i, j), i < j, of different lines that seem to share enough runs."""
    n_distinct = len(first_line)
    scale = max(1, -(-int(sizes.sum()) // MAX_RUNS))
    owner, run_hash = _sketch(lines, first_line, sizes, scale)
    n_sampled = np.bincount(owner[_is_sampled(run_hash, scale)], minlength=n_distinct)
    pair_codes, n_shared = _count_shared_runs(owner, run_hash, n_distinct)
    i, j = np.divmod(pair_codes, n_distinct)
    enough = n_shared >= CANDIDATE_SHARE * np.minimum(n_sampled[i], n_sampled[j])
    return zip(i[enough].tolist(), j[enough].tolist())


def _sketch(lines, first_line, sizes, scale):
    """Return owner and hash, both shape (k,), of the runs that are compared, sorted by hash.

    Owners of a run are ordered by their smallest hashes (Broder 1997): editions mostly have the
    same one, and so are neighbours even among the many owners of a scale.
    """
    sketches = []
    smallest_hash = np.empty(len(first_line), dtype=np.uint64)
    for i, position in enumerate(first_line):
        hashes = lines[position].astype(np.uint64) * HASH_FACTOR
        smallest_hash[i] = hashes.min()
        is_short = sizes[i] <= SHORT_LINE_RUNS * scale
        sketches.append(hashes if is_short else hashes[_is_sampled(hashes, scale)])
    owner = np.repeat(np.arange(len(first_line)), [len(sketch) for sketch in sketches])
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
