"""Bars of a piece and the class of each bar, by comparison with all earlier ones.

==========  ====================================================================================
exact       the same onsets and pitches
varied      the Jaccard index of its (onset, pitch) pairs and those of the other is at least 0.5
transposed  all notes moved by one interval, in the same rhythm
rhythm      the Jaccard index of the onsets is at least 0.8
new         none of these
==========  ====================================================================================

A bar that fits several classes gets the first of them. Onsets are counted from the barline, in steps. The first bar has
nothing to return to, so it does not count in shares. A bar without onsets is silent.
"""

import math
from dataclasses import dataclass

import numpy as np

from clara.form.plan import EXACT, N_PITCHES, NEW, RHYTHM, SILENT, TRANSPOSED, UNKNOWN, VARIED
from clara.jit import compiled, float64_1d, float64_2d, int64_1d
from clara.music.bars import bar_lines, bar_steps
from clara.music.notes import NoteSequence

VARIED_JACCARD, RHYTHM_JACCARD = 0.5, 0.8


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

    def without_silent_beginning(self) -> "Bars":
        """Return the bars from the first that holds an onset."""
        first = int(self.bar[0])
        return Bars(self.begin[first:], self.bar - first, self.onset, self.pitch)


def split_into_bars(notes: NoteSequence) -> Bars:
    """Split a piece at the barlines of its time signatures, from step 0 to the end of its notes."""
    n_steps = max(1, notes.n_steps)
    lines = [math.floor(line) for line in bar_lines(notes.time_signatures, notes.steps_per_quarter, n_steps)]
    _, numerator, denominator = [s for s in notes.time_signatures if s[0] <= lines[-1]][-1]
    length = bar_steps(numerator, denominator, notes.steps_per_quarter)
    end = max(lines[-1] + max(1, int(length)), n_steps)
    return _cut(notes, np.unique(np.array([*lines, end], dtype=np.int64)))


def split_evenly(notes: NoteSequence, bar_steps: int) -> Bars:
    """Split a piece into bars of one length, whatever its time signatures say."""
    return _cut(notes, np.arange(0, notes.n_steps + bar_steps, bar_steps))


def _cut(notes, barlines):
    """Return the bars between ascending barlines."""
    bar = np.searchsorted(barlines, notes.start, "right") - 1
    return Bars(barlines, bar, notes.start - barlines[bar], notes.pitch)


@dataclass(frozen=True)
class BarClasses:
    """The class of each bar, and the earlier bar that it is most like.

    Attributes
    ----------
    kind : int64 array (n_bars,)
        Index in `clara.form.plan.RELATIONS`.
    source : int64 array (n_bars,)
        The earlier bar; `UNKNOWN` for new and silent bars. Of equally similar bars it is the one at the distance of the
        previous bar's source, or else the nearest.
    shift : int64 array (n_bars,)
        Semitones from the source to a transposed bar, else 0.
    jaccard : float64 array (n_bars,)
        Highest Jaccard index of (onset, pitch) pairs with an earlier bar.
    """

    kind: np.ndarray
    source: np.ndarray
    shift: np.ndarray
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
        return BarClasses(self.kind[:n_bars], self.source[:n_bars], self.shift[:n_bars], self.jaccard[:n_bars])

    def shares(self) -> np.ndarray:
        """Return the share of each class but `SILENT` among the compared bars, float64 (5,)."""
        counts = np.bincount(self.compared, minlength=SILENT)
        return counts / max(1, counts.sum())


def classify_bars(bars: Bars) -> BarClasses:
    """Classify each bar of a piece by comparison with all earlier ones."""
    n = len(bars)
    lowest = np.full(n, N_PITCHES)
    np.minimum.at(lowest, bars.bar, bars.pitch)
    notes = similarity_to_earlier(bars.bar, bars.onset * N_PITCHES + bars.pitch, n)
    shapes = similarity_to_earlier(bars.bar, bars.onset * N_PITCHES + bars.pitch - lowest[bars.bar], n)
    onsets = similarity_to_earlier(bars.bar, bars.onset, n)
    kind, source = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    jaccard = np.zeros(n)
    is_silent = (np.bincount(bars.bar, minlength=n) == 0).astype(np.int64)
    _classify(notes, shapes, onsets, is_silent, kind, source, jaccard)
    shift = np.where(kind == TRANSPOSED, lowest - lowest[source], 0)
    return BarClasses(kind, source, shift, jaccard)


def similarity_to_earlier(bar: np.ndarray, item: np.ndarray, n_bars: int) -> np.ndarray:
    """Return the Jaccard index of the items of each bar and those of each earlier one, float64 (n_bars, n_bars).

    Entries on and above the diagonal are 0.

    Parameters
    ----------
    bar, item : int64 arrays (n,)
        Each item and the bar that it is in. Items that occur twice in a bar count once. Two empty bars have index 0.
    n_bars : int
    """
    pairs = np.unique(np.stack([item, bar]), axis=1)
    common = np.zeros((n_bars, n_bars))
    _count_common(np.ascontiguousarray(pairs[0]), np.ascontiguousarray(pairs[1]), common)
    size = np.bincount(pairs[1], minlength=n_bars)
    return common / np.maximum(size[:, None] + size - common, 1)


@compiled(int64_1d, int64_1d, float64_2d)
def _count_common(item, bar, common):
    """Count how many items each bar has in common with each earlier one; items are sorted, then their bars."""
    first = 0
    for i in range(len(item)):
        if item[i] != item[first]:
            first = i
        for j in range(first, i):
            common[bar[i], bar[j]] += 1


@compiled(float64_2d, float64_2d, float64_2d, int64_1d, int64_1d, int64_1d, float64_1d)
def _classify(notes, shapes, onsets, is_silent, kind, source, jaccard):
    """Write class, source and highest Jaccard index of each bar."""
    distance = 0
    for bar in range(len(kind)):
        best_notes, best_shape, best_onsets = 0.0, 0.0, 0.0
        for earlier in range(bar):
            best_notes = max(best_notes, notes[bar, earlier])
            best_shape = max(best_shape, shapes[bar, earlier])
            best_onsets = max(best_onsets, onsets[bar, earlier])
        jaccard[bar], source[bar] = best_notes, UNKNOWN
        row, best = notes[bar], best_notes
        if is_silent[bar]:
            kind[bar] = SILENT
            continue
        if best_notes == 1:
            kind[bar] = EXACT
        elif best_notes >= VARIED_JACCARD:
            kind[bar] = VARIED
        elif best_shape == 1:
            kind[bar], row, best = TRANSPOSED, shapes[bar], best_shape
        elif best_onsets >= RHYTHM_JACCARD:
            kind[bar], row, best = RHYTHM, onsets[bar], best_onsets
        else:
            kind[bar] = NEW
            continue
        if distance and distance <= bar and row[bar - distance] == best:
            source[bar] = bar - distance
        else:
            for earlier in range(bar):
                if row[earlier] == best:
                    source[bar] = earlier
        distance = bar - source[bar]
