"""Where phrases start."""

import numpy as np

from clara.form.bars import VARIED_JACCARD, Bars, similarity_to_earlier
from clara.jit import compiled, float64_1d, float64_2d, int64_1d, int64_1d_readonly
from clara.music.notes import NoteSequence

NOVELTY_BARS = 2  # bars on each side of a barline that are compared
MIN_STRENGTH = 0.5  # standard deviations above the mean of all barlines


def phrase_starts(notes: NoteSequence, bars: Bars) -> np.ndarray:
    """Return the bars in which phrases start, without the first one, ascending, int64 (n,).

    A phrase starts where the melody pauses on a long note or a rest, where earlier bars begin to return, and where the
    rhythm changes. The three are standardised and added; phrases start at maxima among neighbouring barlines.
    """
    n = len(bars)
    if n < 3:
        return np.zeros(0, dtype=np.int64)
    rhythm = similarity_to_earlier(bars.bar, bars.onset, n)
    has_onset = (np.bincount(bars.bar, minlength=n) > 0).astype(np.float64)
    novelty, returns = np.zeros(n), np.zeros(n)
    _barline_novelty(rhythm, has_onset, novelty)
    _returning_runs(similarity_to_earlier(bars.bar, bars.onset * 12 + bars.pitch % 12, n), returns)
    pauses = melody_pauses(notes, bars.begin)[1:n]
    strength = _standardize(np.log(pauses)) + _standardize(np.log1p(returns[1:])) + _standardize(novelty[1:])
    padded = np.concatenate([[-np.inf], strength, [-np.inf]])
    is_peak = (strength > padded[:-2]) & (strength >= padded[2:])
    return 1 + np.flatnonzero(is_peak & (strength > strength.mean() + MIN_STRENGTH * strength.std()))


@compiled(float64_2d, float64_1d, float64_1d)
def _barline_novelty(earlier, has_onset, novelty):
    """Write how much more alike bars on one side of a barline are than bars across it (Foote 2000)."""
    n = len(novelty)
    for bar in range(1, n):
        first, last = max(0, bar - NOVELTY_BARS), min(n, bar + NOVELTY_BARS)
        within_before, within_after, across = 0.0, 0.0, 0.0
        for i in range(first, last):
            for j in range(first, last):
                alike = has_onset[i] if i == j else earlier[max(i, j), min(i, j)]
                if i < bar and j < bar:
                    within_before += alike
                elif i >= bar and j >= bar:
                    within_after += alike
                elif i < bar:
                    across += alike
        n_before, n_after = bar - first, last - bar
        within = (within_before / n_before**2 + within_after / n_after**2) / 2
        novelty[bar] = within - across / (n_before * n_after)


@compiled(float64_2d, float64_1d)
def _returning_runs(earlier, returns):
    """Write the length of the longest run of returning bars that begins in each bar.

    A run is a diagonal of similar bars; it begins where the bars before are not similar.
    """
    n = len(returns)
    for bar in range(1, n):
        for other in range(bar):
            if earlier[bar, other] < VARIED_JACCARD:
                continue
            if other > 0 and earlier[bar - 1, other - 1] >= VARIED_JACCARD:
                continue
            length = 1
            while bar + length < n and earlier[bar + length, other + length] >= VARIED_JACCARD:
                length += 1
            returns[bar] = max(returns[bar], length)


def melody_pauses(notes: NoteSequence, barlines: np.ndarray) -> np.ndarray:
    """Return the longest time between melody onsets around each barline, in median times; at least 1 step.

    A pause counts if it contains the barline or ends at most half a bar before it, so that upbeats are allowed.
    """
    onsets = np.unique(notes.start[is_melody(notes)])
    gaps = np.diff(onsets)
    if not len(gaps):
        return np.ones(len(barlines))
    half_bar = float(np.median(np.diff(barlines))) / 2 if len(barlines) > 1 else 0.0
    first = np.searchsorted(onsets[1:], barlines - half_bar, "right")
    last = np.searchsorted(onsets[:-1], barlines, "left")
    longest = np.ones(len(barlines))
    _longest_gaps(gaps, first, last, longest)
    return longest / np.median(gaps)


@compiled(int64_1d, int64_1d, int64_1d, float64_1d)
def _longest_gaps(gaps, first, last, longest):
    """Write the longest gap from index `first` to before `last` for each barline, if it is above 1."""
    for i in range(len(longest)):
        for k in range(first[i], last[i]):
            longest[i] = max(longest[i], gaps[k])


def is_melody(notes: NoteSequence) -> np.ndarray:
    """Return whether each note starts as the highest sounding one, bool (n,)."""
    highest = np.zeros(max(1, notes.n_steps), dtype=np.int64)
    _write_highest(notes.start, notes.end, notes.pitch, highest)
    return notes.pitch == highest[notes.start]


@compiled(int64_1d_readonly, int64_1d_readonly, int64_1d_readonly, int64_1d)
def _write_highest(start, end, pitch, highest):
    """Write the highest pitch that sounds in each step."""
    for i in range(len(start)):
        for step in range(start[i], end[i]):
            highest[step] = max(highest[step], pitch[i])


def _standardize(values):
    """Return values with mean 0 and standard deviation 1."""
    return (values - values.mean()) / max(1e-9, values.std())
