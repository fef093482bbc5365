"""Measures of music, and how far two sets of pieces are apart in each.

Numbers of a piece are defined as in MusPy (Dong et al. 2020), whose functions the tests compare with; the distance of
two sets is that of MGEval (Yang and Lerch 2020): of all pairs within the reference and all pairs across, the
overlapping area and the KL divergence of the two densities of their distances.
"""

import numpy as np

from clara.music.keys import scale_pitch_classes

BEATS_PER_BAR = 4
LONGEST = 8  # quarters, in histograms of lengths and gaps
BINS = 512  # of the distances between pieces
MOST_REPEATED = 0.5  # of the bars


def pitch_class_entropy(notes):
    """Entropy of the pitch classes of the notes, in bits."""
    share = np.bincount(notes.pitch % 12, minlength=12) / len(notes)
    return -(share[share > 0] * np.log2(share[share > 0])).sum()


def scale_consistency(notes):
    """Largest share of notes in one major or minor scale (natural: the seven notes of a major key)."""
    share = np.bincount(notes.pitch % 12, minlength=12) / len(notes)
    return max(share[[p % 12 for p in scale_pitch_classes(tonic, True)]].sum() for tonic in range(12))


def polyphony(notes):
    """Mean number of notes that sound, where any does."""
    change = np.zeros(notes.end.max() + 1, dtype=np.int64)
    np.add.at(change, notes.start, 1)
    np.add.at(change, notes.end, -1)
    sounding = change.cumsum()[:-1]
    return sounding.sum() / (sounding > 0).sum()


def empty_beat_rate(notes):
    """Share of beats of a quarter in which nothing sounds."""
    change = np.zeros(notes.end.max() // notes.steps_per_quarter + 2, dtype=np.int64)
    np.add.at(change, notes.start // notes.steps_per_quarter, 1)
    np.add.at(change, notes.end // notes.steps_per_quarter + 1, -1)
    return (change.cumsum()[:-1] == 0).mean()


def groove_consistency(notes):
    """How alike the onsets of neighbouring bars of four quarters are: one minus the share of steps where they differ."""
    length = BEATS_PER_BAR * notes.steps_per_quarter
    bars = np.zeros((notes.end.max() // length + 1, length), dtype=bool)
    bars[notes.start // length, notes.start % length] = True
    return 1 - (bars[:-1] != bars[1:]).sum() / (length * max(1, len(bars) - 1))


def note_density(notes):
    """Notes per quarter."""
    return len(notes) / (notes.end.max() / notes.steps_per_quarter)


def lengths(notes):
    """Shares of the notes' lengths in sixths of a quarter, (48,); longer ones with the longest."""
    return frequencies(notes.duration * 6 // notes.steps_per_quarter, 6 * LONGEST)


def pitches(notes):
    """Shares of the pitches, (128,)."""
    return frequencies(notes.pitch, 128)


def gaps(notes):
    """Shares of the gaps between onsets in sixths of a quarter, (48,); longer ones with the longest."""
    gap = np.diff(np.unique(notes.start)) * 6 // notes.steps_per_quarter
    return frequencies(gap, 6 * LONGEST)


def frequencies(values, n):
    """Share of each of the whole numbers 0 to n - 1, (n,); larger and smaller ones count with the nearest."""
    return np.bincount(np.minimum(np.maximum(values, 0), n - 1), minlength=n) / max(1, len(values))


MEASURES = {
    f.__name__: f
    for f in (
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


def measure_pieces(pieces):
    """Of some pieces each measure.

    Parameters
    ----------
    pieces : list of n NoteSequence, none silent

    Returns
    -------
    dict of float64 arrays (n, width) by name; width 1 for numbers
    """
    return {name: np.stack([np.atleast_1d(f(p)) for p in pieces]).astype(np.float64) for name, f in MEASURES.items()}


class Reference:
    """One measure of a set that others are compared with.

    Parameters
    ----------
    values : float64 (n, width) of `measure_pieces`, n at least 3
    """

    def __init__(self, values):
        self.values = values
        within = _distances(values, values)[np.triu_indices(len(values), 1)]
        spread = max(within.std(), 1e-9)
        self.top, self.bandwidth = within.max() + 4 * spread, spread * len(within) ** -0.2  # Scott's rule
        self.within = self._density(self._counts(within))

    def counts(self, values):
        """Histogram of the distances of other pieces to those of the reference, int64 (BINS,); histograms of parts add up."""
        return self._counts(_distances(values, self.values).ravel())

    def compare(self, counts):
        """Overlapping area (1: the same) and KL divergence in nats (0: the same) of the densities within and across."""
        across = self._density(counts)
        least = 1e-9 / BINS
        return float(np.minimum(self.within, across).sum()), float(
            (self.within * np.log((self.within + least) / (across + least))).sum()
        )

    def _counts(self, distances):
        return np.bincount(np.minimum(distances / self.top * BINS, BINS - 1).astype(np.int64), minlength=BINS)

    def _density(self, counts):
        from scipy.ndimage import gaussian_filter1d

        smooth = gaussian_filter1d(counts.astype(np.float64), self.bandwidth / self.top * BINS, mode="reflect")
        return smooth / smooth.sum()


def _distances(left, right):
    """Euclidean, (n_left, n_right)."""
    from scipy.spatial.distance import cdist

    return cdist(left, right)


def is_degenerate(notes):
    """Is it of one pitch, or one bar again and again for more than half of its bars?"""
    if len(np.unique(notes.pitch)) <= 1:
        return True
    length = BEATS_PER_BAR * notes.steps_per_quarter
    bars = {}
    for bar in range(notes.end.max() // length + 1):
        here = notes.start // length == bar
        content = (notes.start[here] % length).tobytes() + notes.pitch[here].tobytes()
        bars[content] = bars.get(content, 0) + 1
    return max(bars.values()) > max(1, MOST_REPEATED * sum(bars.values()))
