"""Bars of a piece, the class of each bar, and the similarity of bars.

Each bar that holds an onset has a class, by comparison with all earlier bars:

==========  ====================================================================================
exact       the same onsets and pitches
varied      the Jaccard index of its (onset, pitch) pairs and those of the other is at least 0.5
transposed  all notes moved by one interval, in the same rhythm
rhythm      the Jaccard index of the onsets is at least 0.8
new         none of these
==========  ====================================================================================

A bar that fits several classes gets the first of them. Onsets are counted from the barline, in steps. The first bar has
nothing to return to, so it does not count in shares.
"""

from dataclasses import dataclass

import numpy as np

from clara.music.notes import NoteSequence

CLASSES = ("exact", "varied", "transposed", "rhythm", "new")
EXACT, VARIED, TRANSPOSED, RHYTHM, NEW = range(len(CLASSES))
SILENT = -1  # class of a bar without onsets
VARIED_JACCARD, RHYTHM_JACCARD = 0.5, 0.8
N_PITCHES = 128
CELLS_PER_BAR = 4  # of the harmony of a bar


@dataclass(frozen=True)
class Bars:
    """The notes of a piece by bar.

    Attributes
    ----------
    begin : int64 array (n_bars + 1,)
        Step of each barline, the final one too.
    bar, onset, pitch : int64 arrays (n_notes,)
        The bar in which each note starts, the steps from its barline to the note, and the MIDI number.
    """

    begin: np.ndarray
    bar: np.ndarray
    onset: np.ndarray
    pitch: np.ndarray

    def __len__(self) -> int:
        return len(self.begin) - 1

    def first(self, n_bars: int) -> "Bars":
        """Return the first bars."""
        inside = self.bar < n_bars
        return Bars(self.begin[: n_bars + 1], self.bar[inside], self.onset[inside], self.pitch[inside])


def split_into_bars(notes: NoteSequence) -> Bars:
    """Split a piece at the barlines of its time signatures; silent bars before the first note are left out."""
    barlines = []
    ends = [step for step, _, _ in notes.time_signatures[1:]] + [np.inf]
    for (start, numerator, denominator), end in zip(notes.time_signatures, ends):
        bar_steps = 4 * notes.steps_per_quarter * numerator / denominator
        end = min(end, notes.n_steps)
        if end > start:
            barlines.append(np.floor(start + bar_steps * np.arange(np.ceil((end - start) / bar_steps))))
    last_bar_end = barlines[-1][-1] + bar_steps
    return _cut(notes, np.unique(np.append(np.concatenate(barlines), last_bar_end).astype(np.int64)))


def split_evenly(notes: NoteSequence, bar_steps: int) -> Bars:
    """Split a piece into bars of one length, whatever its time signatures say."""
    return _cut(notes, np.arange(0, notes.n_steps + bar_steps, bar_steps))


def _cut(notes, barlines):
    """Return the bars between ascending barlines, from the first that holds an onset to the end of the notes."""
    barlines = barlines[np.searchsorted(barlines, notes.start[0], "right") - 1 :]
    barlines = barlines[: np.searchsorted(barlines, notes.n_steps) + 1]
    bar = np.searchsorted(barlines, notes.start, "right") - 1
    return Bars(barlines, bar, notes.start - barlines[bar], notes.pitch)


@dataclass(frozen=True)
class BarClasses:
    """The class of each bar, and the earlier bar that it is most like.

    Attributes
    ----------
    kind : int64 array (n_bars,)
        Index in `CLASSES`, or `SILENT`.
    source : int64 array (n_bars,)
        The earlier bar; -1 for new and silent bars. Of equally similar bars it is the one at the distance of the
        previous bar's source, or else the nearest.
    jaccard : float64 array (n_bars,)
        Highest Jaccard index of (onset, pitch) pairs with an earlier bar.
    """

    kind: np.ndarray
    source: np.ndarray
    jaccard: np.ndarray

    @property
    def exact_distances(self) -> np.ndarray:
        """Distance of each exact bar to its source, int64 (n,), in bars."""
        exact = np.flatnonzero(self.kind == EXACT)
        return exact - self.source[exact]

    @property
    def compared(self) -> np.ndarray:
        """Classes of the bars that have earlier bars to return to, without silent bars, int64 (n,)."""
        return self.kind[1:][self.kind[1:] != SILENT]

    def first(self, n_bars: int) -> "BarClasses":
        """Return the classes of the first bars."""
        return BarClasses(self.kind[:n_bars], self.source[:n_bars], self.jaccard[:n_bars])

    def shares(self) -> np.ndarray:
        """Return the share of each class among the compared bars, float64 (5,)."""
        counts = np.bincount(self.compared, minlength=len(CLASSES))
        return counts / max(1, counts.sum())


def classify_bars(bars: Bars) -> BarClasses:
    """Classify each bar of a piece by comparison with all earlier ones."""
    n = len(bars)
    lowest = np.full(n, N_PITCHES)
    np.minimum.at(lowest, bars.bar, bars.pitch)
    notes = pairwise_jaccard(bars.bar, bars.onset * N_PITCHES + bars.pitch, n)
    shapes = pairwise_jaccard(bars.bar, bars.onset * N_PITCHES + bars.pitch - lowest[bars.bar], n)
    onsets = pairwise_jaccard(bars.bar, bars.onset, n)
    earlier = np.tri(n, k=-1, dtype=bool)
    scores = (
        np.where(earlier & (notes == 1), 1.0, 0),
        np.where(earlier & (notes >= VARIED_JACCARD), notes, 0),
        np.where(earlier & (shapes == 1), 1.0, 0),
        np.where(earlier & (onsets >= RHYTHM_JACCARD), onsets, 0),
    )
    fits = np.stack([score.any(1) for score in scores] + [np.ones(n, dtype=bool)])
    kind = fits.argmax(0)
    kind[np.bincount(bars.bar, minlength=n) == 0] = SILENT
    jaccard = np.where(earlier, notes, 0).max(1)
    return BarClasses(kind, _choose_sources(kind, scores), jaccard)


def _choose_sources(kind, scores):
    """Return the most similar earlier bar of each bar by the scores of its class."""
    source = np.full(len(kind), -1)
    distance = 0
    for bar in np.flatnonzero((kind != SILENT) & (kind != NEW)):
        row = scores[kind[bar]][bar]
        candidates = np.flatnonzero(row == row.max())
        keeps_distance = distance > 0 and bar - distance in candidates
        source[bar] = bar - distance if keeps_distance else candidates[-1]
        distance = bar - source[bar]
    return source


def pairwise_jaccard(bar: np.ndarray, item: np.ndarray, n_bars: int) -> np.ndarray:
    """Return the Jaccard index of the sets of items of every pair of bars, float64 (n_bars, n_bars).

    Parameters
    ----------
    bar, item : int64 arrays (n,)
        Each item and the bar that it is in. Items that occur twice in a bar count once. Two empty bars have index 0.
    n_bars : int
    """
    from scipy.sparse import coo_array

    _, column = np.unique(item, return_inverse=True)
    member = coo_array((np.ones(len(bar)), (bar, column)), shape=(n_bars, column.max(initial=0) + 1)).tocsr()
    member.data[:] = 1  # converting added up items that occur twice
    common = (member @ member.T).toarray()
    size = common.diagonal()
    return common / np.maximum(size[:, None] + size - common, 1)


def harmony_similarity(notes: NoteSequence, bars: Bars) -> np.ndarray:
    """Return the similarity of every pair of bars by harmony, the best of twelve transpositions.

    A bar is described by how long each pitch class sounds in each of its four quarters.

    Returns
    -------
    float64 array (n_bars, n_bars)
        Cosines, from 0 to 1.
    """
    n = len(bars)
    cell_begins = np.linspace(bars.begin[:-1], bars.begin[1:], CELLS_PER_BAR, endpoint=False, axis=1)
    edges = np.append(cell_begins, bars.begin[-1])
    cells = np.stack([_sounding(notes, pitch_class, edges) for pitch_class in range(12)], 1)
    chroma = cells.reshape(n, CELLS_PER_BAR, 12)
    chroma = chroma / np.linalg.norm(chroma, axis=(1, 2), keepdims=True).clip(1e-9)
    flat = chroma.reshape(n, -1)
    shifted = (np.roll(chroma, shift, axis=2).reshape(n, -1) for shift in range(12))
    return np.max([flat @ other.T for other in shifted], axis=0).clip(0, 1)


def _sounding(notes, pitch_class, edges):
    """Return how many steps the notes of a pitch class sound between edges, float64 (n_edges - 1,)."""
    chosen = notes.pitch % 12 == pitch_class
    until = np.zeros(len(edges))
    for times, sign in ((notes.start[chosen], 1), (notes.end[chosen], -1)):
        times = np.sort(times)
        n_before = np.searchsorted(times, edges)
        until += sign * (n_before * edges - np.append(0, np.cumsum(times))[n_before])
    return np.diff(until)
