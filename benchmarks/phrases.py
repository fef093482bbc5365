"""Where phrases start, how a piece ends, and in which keys it begins and ends."""

from functools import cache

import numpy as np
from bars import VARIED_JACCARD, Bars, pairwise_jaccard

from clara.music.notes import NoteSequence

NOVELTY_BARS = 2  # bars on each side of a barline that are compared
MIN_STRENGTH = 0.5  # standard deviations above the mean of all barlines
KEY_BARS = 8  # bars at either end from which the key is estimated
DOMINANT_BARS = 2  # bars before the final chord in which a dominant is looked for
# How often each pitch class occurs in a stretch of music in C major and C minor (Temperley 2007, "Music and
# Probability", from the pieces of Kostka and Payne); on stretches of eight bars they find the key of human music more
# often than the profiles of Krumhansl and Kessler.
MAJOR_PROFILE = (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400)
MINOR_PROFILE = (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330)
# semitones above the tonic
MAJOR_TRIAD, MINOR_TRIAD = {0, 4, 7}, {0, 3, 7}
LEADING_TONE = 11
DOMINANT_TONES = (2, 5, 7)  # with the leading tone, one of these makes a dominant


def phrase_starts(notes: NoteSequence, bars: Bars) -> np.ndarray:
    """Return the bars in which phrases start, without the first one, ascending, int64 (n,).

    A phrase starts where the melody pauses on a long note or a rest, where earlier bars begin to return, and where the
    rhythm changes. The three are standardised and added; phrases start at maxima among neighbouring barlines.
    """
    n = len(bars)
    if n < 3:
        return np.zeros(0, dtype=np.int64)
    rhythm = pairwise_jaccard(bars.bar, bars.onset, n)
    novelty = np.array([barline_novelty(rhythm, bar) for bar in range(1, n)])
    pauses = melody_pauses(notes, bars.begin)[1:n]
    returns = returning_runs(pairwise_jaccard(bars.bar, bars.onset * 12 + bars.pitch % 12, n))[1:]
    strength = _standardize(np.log(pauses)) + _standardize(np.log1p(returns)) + _standardize(novelty)
    padded = np.concatenate([[-np.inf], strength, [-np.inf]])
    is_peak = (strength > padded[:-2]) & (strength >= padded[2:])
    return 1 + np.flatnonzero(is_peak & (strength > strength.mean() + MIN_STRENGTH * strength.std()))


def returning_runs(similarity: np.ndarray) -> np.ndarray:
    """Return the length of the longest run of returning bars that begins in each bar, int64 (n_bars,).

    A run is a diagonal of similar bars; it begins where the bars before are not similar.
    """
    n = len(similarity)
    alike = np.tril(similarity >= VARIED_JACCARD, -1)
    length = np.zeros((n + 1, n + 1), dtype=np.int64)
    for bar in range(n - 1, -1, -1):
        length[bar, :n] = np.where(alike[bar], length[bar + 1, 1:] + 1, 0)
    begins = alike.copy()
    begins[1:, 1:] &= ~alike[:-1, :-1]
    return np.where(begins, length[:n, :n], 0).max(1, initial=0)


def barline_novelty(similarity: np.ndarray, bar: int) -> float:
    """Return how much more alike bars on one side of a barline are than bars across it (Foote 2000)."""
    before, after = slice(max(0, bar - NOVELTY_BARS), bar), slice(bar, bar + NOVELTY_BARS)
    within = (similarity[before, before].mean() + similarity[after, after].mean()) / 2
    return float(within - similarity[before, after].mean())


def melody_pauses(notes: NoteSequence, barlines: np.ndarray) -> np.ndarray:
    """Return the longest time between melody onsets around each barline, in median times; at least 1 step.

    A pause counts if it contains the barline or ends at most half a bar before it, so that upbeats are allowed.
    """
    onsets = np.unique(notes.start[is_melody(notes)])
    gaps = np.diff(onsets)
    if not len(gaps):
        return np.ones(len(barlines))
    half_bar = np.median(np.diff(barlines)) / 2 if len(barlines) > 1 else 0
    longest = np.ones(len(barlines))
    for i, barline in enumerate(barlines):
        first = np.searchsorted(onsets[1:], barline - half_bar, "right")
        last = np.searchsorted(onsets[:-1], barline, "left")
        longest[i] = max(1, gaps[first:last].max(initial=1))
    return longest / np.median(gaps)


def is_melody(notes: NoteSequence) -> np.ndarray:
    """Return whether each note starts as the highest sounding one, bool (n,)."""
    highest = np.zeros(notes.n_steps, dtype=np.int64)
    for i in np.argsort(notes.pitch, kind="stable").tolist():
        highest[notes.start[i] : notes.end[i]] = notes.pitch[i]
    return notes.pitch == highest[notes.start]


def _standardize(values):
    """Return values with mean 0 and standard deviation 1."""
    return (values - values.mean()) / max(1e-9, values.std())


def first_full_bar(bars: Bars) -> int:
    """Return the bar from which phrases are counted: 1 if the piece begins with an upbeat, otherwise 0."""
    first_length = bars.begin[1] - bars.begin[0]
    return int(bars.onset[0] * 2 >= first_length)


def describe_ending(notes: NoteSequence, bars: Bars) -> dict[str, bool]:
    """Return whether a piece ends as most tonal music does.

    Returns
    -------
    dict of str to bool
        `tonic_bass`: from a strong beat of the last bar on, the lowest note is the tonic. `tonic`: and nothing but the
        tonic chord sounds. `cadence`: and a dominant comes in the two bars before. `same_key`: the first and the last
        eight bars have one tonic and mode. `same_tonic`: they have one tonic.
    """
    first_key = _key_between(notes, bars.begin[0], bars.begin[min(len(bars), KEY_BARS)])
    last_key = _key_between(notes, bars.begin[max(0, len(bars) - KEY_BARS)], bars.begin[-1])
    tonic_bass, ends_on_tonic, cadence = False, False, False
    for begin in _final_strong_beats(bars):
        sounding = notes.end > begin
        degrees = set(((notes.pitch[sounding] - last_key[0]) % 12).tolist())
        bass_fits = (notes.pitch[sounding].min() - last_key[0]) % 12 == 0
        chord_fits = bass_fits and (degrees <= MAJOR_TRIAD or degrees <= MINOR_TRIAD)
        tonic_bass |= bool(bass_fits)
        ends_on_tonic |= bool(chord_fits)
        cadence |= bool(chord_fits and _has_dominant(notes, bars, begin, last_key[0]))
    return {
        "tonic_bass": tonic_bass,
        "tonic": ends_on_tonic,
        "cadence": cadence,
        "same_key": first_key == last_key,
        "same_tonic": first_key[0] == last_key[0],
    }


def _key_between(notes, begin, end):
    """Return the tonic and whether the mode is major of the notes that start between two steps."""
    inside = (notes.start >= begin) & (notes.start < end)
    weights = np.bincount(notes.pitch[inside] % 12, notes.duration[inside], minlength=12)
    best = int(np.argmax(_profiles() @ (weights - weights.mean())))
    return best % 12, best < 12


@cache
def _profiles():
    """Return the centred profiles of the 24 keys with norm 1, float64 (24, 12)."""
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR_PROFILE, MINOR_PROFILE) for tonic in range(12)])
    profiles -= profiles.mean(1, keepdims=True)
    return profiles / np.linalg.norm(profiles, axis=1, keepdims=True)


def _final_strong_beats(bars):
    """Return the strong beats of the last bar with an onset that have onsets: the barline and the middle."""
    bar = bars.bar[-1]
    begin, end = bars.begin[bar : bar + 2].tolist()
    onsets = bars.onset[bars.bar == bar]
    return [begin + place for place in (0, (end - begin) // 2) if place in onsets]


def _has_dominant(notes, bars, chord_begin, tonic):
    """Return whether a dominant sounds in some quarter of the two bars before a step."""
    quarter = notes.steps_per_quarter
    bar = np.searchsorted(bars.begin, chord_begin, "right") - 1
    first = bars.begin[max(0, bar - DOMINANT_BARS)]
    for begin in range(int(first), chord_begin, quarter):
        sounding = (notes.start < min(begin + quarter, chord_begin)) & (notes.end > begin)
        degrees = (notes.pitch[sounding] - tonic) % 12
        if LEADING_TONE in degrees and np.isin(DOMINANT_TONES, degrees).any():
            return True
    return False
