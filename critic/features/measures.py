"""Measures of a piece, and the distance of two sets of pieces in each measure.

The measures are those of MusPy [1]_, and the tests compare them with it. Two sets are compared as in MGEval [2]_: of
the distances of all pairs within the reference and of all pairs across the sets, by the overlapping area and the KL
divergence of their densities.

References
----------
.. [1] Dong et al., "MusPy: A Toolkit for Symbolic Music Generation", 2020.
.. [2] Yang and Lerch, "On the evaluation of generative models in music", 2020.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from clara.jit import compiled, int64, int64_1d_readonly
from clara.music.keys import scale_pitch_classes
from clara.music.notes import NoteSequence

BEATS_PER_BAR = 4
MAX_QUARTERS = 8  # in histograms of durations and gaps; longer ones count as the longest
BINS_PER_QUARTER = 6
N_BINS = 512  # of the distances between pieces
MAX_REPEATED_SHARE = 0.5  # of the bars; a piece that repeats one bar more often is degenerate


def pitch_class_entropy(notes: NoteSequence) -> float:
    """Return the entropy of the pitch classes, in bits."""
    share = np.bincount(notes.pitch % 12, minlength=12) / len(notes)
    share = share[share > 0]
    return -(share * np.log2(share)).sum()


def scale_consistency(notes: NoteSequence) -> float:
    """Return the largest share of notes in one major or natural minor scale."""
    share = np.bincount(notes.pitch % 12, minlength=12) / len(notes)
    scales = [[pitch % 12 for pitch in scale_pitch_classes(tonic, True)] for tonic in range(12)]
    return max(share[scale].sum() for scale in scales)


def polyphony(notes: NoteSequence) -> float:
    """Return the mean number of sounding notes over the steps in which any sounds."""
    change = np.zeros(notes.end.max() + 1, dtype=np.int64)
    np.add.at(change, notes.start, 1)
    np.add.at(change, notes.end, -1)
    n_sounding = change.cumsum()[:-1]
    return n_sounding.sum() / (n_sounding > 0).sum()


def empty_beat_rate(notes: NoteSequence) -> float:
    """Return the share of quarters in which nothing sounds; a note counts in the quarter where it ends, too."""
    change = np.zeros(notes.end.max() // notes.steps_per_quarter + 2, dtype=np.int64)
    np.add.at(change, notes.start // notes.steps_per_quarter, 1)
    np.add.at(change, notes.end // notes.steps_per_quarter + 1, -1)
    return (change.cumsum()[:-1] == 0).mean()


def groove_consistency(notes: NoteSequence) -> float:
    """Return 1 minus the share of steps in which the onsets of neighbouring bars of four quarters differ."""
    bar_steps = BEATS_PER_BAR * notes.steps_per_quarter
    bars = np.zeros((notes.end.max() // bar_steps + 1, bar_steps), dtype=bool)
    bars[notes.start // bar_steps, notes.start % bar_steps] = True
    return 1 - (bars[:-1] != bars[1:]).sum() / (bar_steps * max(1, len(bars) - 1))


def note_density(notes: NoteSequence) -> float:
    """Return the number of notes per quarter."""
    return len(notes) / (notes.end.max() / notes.steps_per_quarter)


def lengths(notes: NoteSequence) -> np.ndarray:
    """Return the relative frequencies of the durations in sixths of a quarter, (48,)."""
    bins = notes.duration * BINS_PER_QUARTER // notes.steps_per_quarter
    return frequencies(bins, BINS_PER_QUARTER * MAX_QUARTERS)


def pitches(notes: NoteSequence) -> np.ndarray:
    """Return the relative frequencies of the pitches, (128,)."""
    return frequencies(notes.pitch, 128)


def gaps(notes: NoteSequence) -> np.ndarray:
    """Return the relative frequencies of the gaps between onsets in sixths of a quarter, (48,)."""
    bins = np.diff(np.unique(notes.start)) * BINS_PER_QUARTER // notes.steps_per_quarter
    return frequencies(bins, BINS_PER_QUARTER * MAX_QUARTERS)


@compiled(int64_1d_readonly, int64)
def frequencies(values, n):
    """Return the relative frequency of each integer from 0 to n - 1; values beyond count as the nearest of them.

    Parameters
    ----------
    values : int64 array
    n : int

    Returns
    -------
    float64 array (n,)
    """
    counts = np.zeros(n)
    for value in values:
        counts[min(max(value, 0), n - 1)] += 1
    return counts / max(1, len(values))


MEASURES = {
    measure.__name__: measure
    for measure in (
        pitch_class_entropy,
        scale_consistency,
        polyphony,
        empty_beat_rate,
        groove_consistency,
        note_density,
        lengths,
        pitches,
        gaps,
    )
}


def measure_pieces(pieces: Sequence[NoteSequence]) -> dict[str, np.ndarray]:
    """Return every measure of every piece.

    Parameters
    ----------
    pieces : sequence of n NoteSequence
        None is empty.

    Returns
    -------
    dict of str to float64 array (n, width)
        By name of the measure; the width is 1 for a number.
    """
    values = {}
    for name, measure in MEASURES.items():
        values[name] = np.stack([np.atleast_1d(measure(piece)) for piece in pieces]).astype(np.float64)
    return values


class Reference:
    """One measure of a set of pieces, to compare other sets with.

    Parameters
    ----------
    values : float64 array (n, width)
        From `measure_pieces`, n at least 3.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        within = _distances(values, values)[np.triu_indices(len(values), 1)]
        deviation = max(within.std(), 1e-9)
        self.max_distance = within.max() + 4 * deviation
        self.bandwidth = deviation * len(within) ** -0.2  # Scott's rule
        self.within = self._density(self._count(within))

    def counts(self, values: np.ndarray) -> np.ndarray:
        """Return the histogram of the distances between other pieces and the reference.

        Parameters
        ----------
        values : float64 array (n, width)

        Returns
        -------
        int64 array (N_BINS,)
            Histograms of several sets may be added.
        """
        return self._count(_distances(values, self.values).ravel())

    def compare(self, counts: np.ndarray) -> tuple[float, float]:
        """Compare a histogram of `counts` with the distances within the reference.

        Parameters
        ----------
        counts : int64 array (N_BINS,)

        Returns
        -------
        overlap : float
            Overlapping area of the densities; 1 if they are equal.
        divergence : float
            KL divergence in nats; 0 if they are equal.
        """
        across = self._density(counts)
        epsilon = 1e-9 / N_BINS
        overlap = np.minimum(self.within, across).sum()
        divergence = (self.within * np.log((self.within + epsilon) / (across + epsilon))).sum()
        return float(overlap), float(divergence)

    def _count(self, distances):
        """Return the histogram of distances."""
        bins = np.minimum(distances / self.max_distance * N_BINS, N_BINS - 1)
        return np.bincount(bins.astype(np.int64), minlength=N_BINS)

    def _density(self, counts):
        """Return the kernel density of a histogram; it sums to 1."""
        from scipy.ndimage import gaussian_filter1d

        sigma_bins = self.bandwidth / self.max_distance * N_BINS
        smooth = gaussian_filter1d(counts.astype(np.float64), sigma_bins, mode="reflect")
        return smooth / smooth.sum()


def _distances(left, right):
    """Return Euclidean distances, (n_left, n_right)."""
    from scipy.spatial.distance import cdist

    return cdist(left, right)


def is_degenerate(notes: NoteSequence) -> bool:
    """Return whether a piece has a single pitch, or the same bar in more than half of its bars."""
    if len(np.unique(notes.pitch)) <= 1:
        return True
    bar_steps = BEATS_PER_BAR * notes.steps_per_quarter
    bars = Counter()
    for bar in range(notes.end.max() // bar_steps + 1):
        in_bar = notes.start // bar_steps == bar
        bars[(notes.start[in_bar] % bar_steps).tobytes() + notes.pitch[in_bar].tobytes()] += 1
    return max(bars.values()) > max(1, MAX_REPEATED_SHARE * bars.total())
