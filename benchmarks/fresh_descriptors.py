"""Named descriptors of an excerpt, in groups, for the fresh judge.

The descriptors do not know the time signature: bars are taken to be three and four quarters long, both, from the
beginning of the excerpt. Times are in steps of a twelfth of a quarter.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from clara.form.bars import classify_bars, split_evenly
from clara.form.phrases import is_melody
from clara.form.plan import RELATIONS
from clara.music.keys import key_from_pitch_classes, triad_pitch_classes
from clara.music.notes import NoteSequence

QUARTER = 12  # steps
BAR_QUARTERS = (3, 4)
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # quarters
MAX_PAUSE = 4 * QUARTER
DURATION_EDGES = (0, 1, 2, 3, 4, 6, 9, 12, 18, 24, 36, 48)  # steps; each bin starts above one of them
INTERVAL_EDGES = (-1, 0, 1, 2, 4, 7, 12)  # semitones, in the same way
TRIADS = np.array(
    [[p in triad_pitch_classes(t, major) for p in range(12)] for major in (True, False) for t in range(12)]
)
FIFTH = 7


class Excerpt:
    """An excerpt and what several groups of descriptors need.

    Parameters
    ----------
    notes : NoteSequence
        At twelve steps per quarter, not empty.
    quarters : int
        Length of the excerpt.
    """

    def __init__(self, notes: NoteSequence, quarters: int):
        self.notes, self.quarters = notes, quarters
        order = np.lexsort((notes.pitch, notes.start))
        self.start, self.end, self.pitch = notes.start[order], notes.end[order], notes.pitch[order]
        self.duration = self.end - self.start
        self.onsets, self.first, self.n_struck = np.unique(self.start, return_index=True, return_counts=True)
        self.bottom = self.pitch[self.first]
        self.top = self.pitch[self.first + self.n_struck - 1]
        self.quarter = np.minimum(self.start // QUARTER, quarters - 1)

    @cached_property
    def sounding(self) -> np.ndarray:
        """Compute whether each pitch sounds in each step, bool (n_steps, 128)."""
        roll = np.zeros((self.quarters * QUARTER, 128), dtype=bool)
        for start, end, pitch in zip(self.start.tolist(), self.end.tolist(), self.pitch.tolist()):
            roll[start:end, pitch] = True
        return roll

    @cached_property
    def n_sounding(self) -> np.ndarray:
        """Count the sounding pitches in each step, int64 (n_steps,)."""
        return self.sounding.sum(1)

    @cached_property
    def bass(self) -> np.ndarray:
        """Find the lowest sounding pitch of each step that is not silent, int64 (n,)."""
        return self.sounding[self.n_sounding > 0].argmax(1)

    @cached_property
    def half_bar_chroma(self) -> np.ndarray:
        """Count the steps in which each pitch class sounds, by stretches of two quarters, float64 (n, 12)."""
        n = self.quarters // 2
        padded = np.pad(self.sounding[: n * 2 * QUARTER], ((0, 0), (0, 4)))
        return padded.reshape(n, 2 * QUARTER, 11, 12).sum((1, 2)).astype(float)

    @cached_property
    def key(self) -> tuple[int, bool]:
        """Estimate the tonic and whether the mode is major."""
        return key_from_pitch_classes(self.half_bar_chroma.sum(0))

    @cached_property
    def melody(self) -> np.ndarray:
        """Find the notes that start as the highest one, int64 (n,)."""
        return np.flatnonzero(is_melody(self.notes))


def describe(notes: NoteSequence, quarters: int) -> dict[str, dict[str, float]]:
    """Return the descriptors of an excerpt, by group and name.

    Parameters
    ----------
    notes : NoteSequence
        At twelve steps per quarter, not empty, no longer than `quarters`.
    quarters : int
        Length of the excerpt.
    """
    excerpt = Excerpt(notes, quarters)
    return {group: function(excerpt) for group, function in GROUPS.items()}


def _bar_repetition(excerpt):
    """Describe how bars return, and how like itself the music is some quarters later."""
    values = {}
    for bar_quarters in BAR_QUARTERS:
        bars = split_evenly(excerpt.notes, bar_quarters * QUARTER).without_silent_beginning()
        classes = classify_bars(bars)
        for name, share in zip(RELATIONS, classes.shares()):
            values[f"share of {name} bars ({bar_quarters} quarters)"] = share
        distances = classes.exact_distances
        n_bars = max(1, len(classes.kind))
        for low, high in ((1, 1), (2, 3), (4, 7), (8, 99)):
            name = f"exact returns after {low} to {high} bars ({bar_quarters} quarters)"
            values[name] = ((distances >= low) & (distances <= high)).sum() / n_bars
        values[f"best overlap with an earlier bar ({bar_quarters} quarters)"] = _mean(classes.jaccard[1:])
        values[f"deviation of that overlap ({bar_quarters} quarters)"] = classes.jaccard.std()
    events = {"notes": excerpt.start * 128 + excerpt.pitch, "rhythm": np.unique(excerpt.start) * 128}
    for kind, places in events.items():
        overlaps = {lag: _overlap(places, lag * QUARTER) for lag in LAGS}
        values |= {f"{kind} the same {lag} quarters later": overlap for lag, overlap in overlaps.items()}
        values[f"{kind} the same at the best lag"] = max(overlaps.values())
    return values


def _overlap(places, lag):
    """Return the share of events that occur again after a lag; events too near the end do not count."""
    last = places.max() // 128
    earlier = places[places // 128 <= last - lag]
    return np.isin(earlier + lag * 128, places).mean() if len(earlier) else 0.0


def _intervals(excerpt):
    """Describe the motion of melody and bass, and the intervals between notes that are struck together."""
    values = {}
    lines = {"melody": excerpt.notes.pitch[excerpt.melody], "lowest struck note": excerpt.bottom}
    for name, pitches in lines.items():
        values |= {f"{name}: {key}": value for key, value in _line(pitches).items()}
    struck = np.diff(excerpt.pitch)[np.diff(excerpt.start) == 0]
    for size in range(1, 13):
        values[f"struck together: neighbours {size} semitones apart"] = _mean(struck == size)
    values["struck together: neighbours over an octave apart"] = _mean(struck > 12)
    outer = (excerpt.top - excerpt.bottom)[excerpt.n_struck > 1] % 12
    for size in (0, 3, 4, FIFTH, 8, 9):
        values[f"struck together: outer notes {size} semitones apart, octaves aside"] = _mean(outer == size)
    moves = np.sign(np.diff(excerpt.top)) * np.sign(np.diff(excerpt.bottom))
    values["outer notes in similar motion"] = _mean(moves > 0)
    values["outer notes in contrary motion"] = _mean(moves < 0)
    return values


def _line(pitches):
    """Describe the intervals of a line."""
    steps = np.diff(pitches)
    turns = steps[1:] * steps[:-1] < 0
    values = {f"intervals of {name}": share for name, share in _histogram(np.abs(steps), INTERVAL_EDGES).items()}
    return values | {
        "share of rising intervals": _mean(steps > 0),
        "share of turns": _mean(turns),
        "share of intervals like the one before": _mean(steps[1:] == steps[:-1]),
        "mean interval": _mean(np.abs(steps)),
        "interval after a leap": _mean(np.abs(steps[1:])[np.abs(steps[:-1]) >= FIFTH]),
        "range": np.ptp(pitches),
    }


def _histogram(numbers, edges):
    """Return the share of numbers above each edge and not above the next, by name."""
    counts = np.bincount(np.searchsorted(edges, numbers, "left") - 1, minlength=len(edges))
    names = [f"{low + 1} to {high}" for low, high in zip(edges, edges[1:])] + [f"over {edges[-1]}"]
    return dict(zip(names, counts / max(1, len(numbers))))


def _rhythm(excerpt):
    """Describe durations, gaps, places in the quarter, rests, and how rhythm changes."""
    gaps = np.diff(excerpt.onsets)
    values = {f"durations of {name} steps": x for name, x in _histogram(excerpt.duration, DURATION_EDGES).items()}
    values |= {f"onsets {name} steps apart": x for name, x in _histogram(gaps, DURATION_EDGES).items()}
    places = excerpt.onsets % QUARTER
    for name, chosen in {
        "on the quarter": (0,),
        "on its middle": (6,),
        "on sixteenths": (3, 9),
        "on triplets": (4, 8),
    }.items():
        values[f"onsets {name}"] = np.isin(places, chosen).mean()
    values["onsets elsewhere"] = 1 - np.isin(places, (0, 3, 4, 6, 8, 9)).mean()
    values["entropy of durations"] = _entropy(excerpt.duration)
    values["entropy of gaps"] = _entropy(gaps)
    values["gaps like the one before"] = _mean(gaps[1:] == gaps[:-1])
    values["share of silent steps"] = (excerpt.n_sounding == 0).mean()
    values["share of pauses of a quarter and more"] = _mean(gaps >= QUARTER)
    crossing = (excerpt.start // QUARTER < (excerpt.end - 1) // QUARTER) & (excerpt.start % QUARTER > 0)
    values["notes held across a quarter from off it"] = crossing.mean()
    per_quarter = np.bincount(excerpt.quarter, minlength=excerpt.quarters)
    values["deviation of notes per quarter"] = per_quarter.std() / max(1e-9, per_quarter.mean())
    for lag in (1, 2, 3, 4):
        values[f"autocorrelation of notes per quarter after {lag}"] = _autocorrelation(per_quarter, lag)
    patterns = _patterns(excerpt.start // QUARTER, excerpt.start % QUARTER)
    values["distinct rhythms of a quarter"] = len(np.unique(patterns)) / max(1, len(patterns))
    values["quarters in the rhythm before"] = _mean(patterns[1:] == patterns[:-1])
    return values


def _patterns(cell, place):
    """Return the set of places that occur in each cell as the bits of a number; cells without any are left out."""
    bits = np.zeros(cell.max() + 1, dtype=np.int64)
    np.bitwise_or.at(bits, cell, 1 << place)
    return bits[bits > 0]


def _texture(excerpt):
    """Describe density, polyphony and register, and how they change from bar to bar."""
    n_bars = max(1, excerpt.quarters // 4)
    bar = np.minimum(excerpt.start // (4 * QUARTER), n_bars - 1)
    n_notes = np.bincount(bar, minlength=n_bars)
    filled = n_notes > 0
    height = (np.bincount(bar, excerpt.pitch, minlength=n_bars)[filled]) / n_notes[filled]
    polyphony = excerpt.n_sounding[: n_bars * 4 * QUARTER].reshape(n_bars, -1).mean(1)
    values = {"notes per quarter": len(excerpt.pitch) / excerpt.quarters}
    values["onsets per quarter"] = len(excerpt.onsets) / excerpt.quarters
    for n in (1, 2, 3):
        values[f"onsets of {n} notes"] = (excerpt.n_struck == n).mean()
    values["onsets of 4 notes and more"] = (excerpt.n_struck > 3).mean()
    values["mean number of sounding notes"] = excerpt.n_sounding.mean()
    values["deviation of sounding notes"] = excerpt.n_sounding.std()
    values["largest number of sounding notes"] = excerpt.n_sounding.max()
    for name, pitches in {
        "pitch": excerpt.pitch,
        "bass": excerpt.bass,
        "melody": excerpt.notes.pitch[excerpt.melody],
    }.items():
        values |= {f"{name}: mean": pitches.mean(), f"{name}: deviation": pitches.std()}
        values |= {f"{name}: lowest": pitches.min(), f"{name}: highest": pitches.max()}
    values["distance of the outer notes"] = (excerpt.top - excerpt.bottom).mean()
    values["share of notes below middle C"] = (excerpt.pitch < 60).mean()
    for name, series in {"notes per bar": n_notes, "height": height, "polyphony": polyphony}.items():
        changes = np.abs(np.diff(series))
        scale = 1 if name == "height" else max(1e-9, series.mean())
        values |= {f"{name}: deviation": series.std() / scale, f"{name}: mean change": _mean(changes) / scale}
        values[f"{name}: largest change"] = changes.max(initial=0) / scale
        values[f"{name}: last half over first half"] = _mean(series[len(series) // 2 :]) / max(
            1e-9, _mean(series[: len(series) // 2])
        )
    values["notes an octave above another one"] = _octaves(excerpt)
    return values


def _octaves(excerpt):
    """Return the share of struck notes that have their upper octave struck with them."""
    struck = excerpt.start * 256 + excerpt.pitch
    return np.isin(struck + 12, struck).mean()


def _harmony(excerpt):
    """Describe key, chords and dissonance."""
    chroma = excerpt.half_bar_chroma
    filled = chroma[chroma.sum(1) > 0]
    total = chroma.sum(0) / chroma.sum()
    tonic, is_major = excerpt.key
    relative = np.roll(total, -tonic)
    scale = (0, 2, 4, 5, 7, 9, 11) if is_major else (0, 2, 3, 5, 7, 8, 10, 11)
    fit = filled @ TRIADS.T / filled.sum(1, keepdims=True)
    chord = fit.argmax(1)
    bass = (excerpt.bass - tonic) % 12
    unit = filled / np.linalg.norm(filled, axis=1, keepdims=True)
    local_keys = [
        key_from_pitch_classes(part.sum(0)) for part in np.array_split(chroma, max(1, len(chroma) // 4)) if part.any()
    ]
    values = {
        "major": float(is_major),
        "notes in the key": relative[list(scale)].sum(),
        "entropy of pitch classes": _share_entropy(total),
    }
    values |= {f"degree {degree} of the key": relative[degree] for degree in (0, 2, 4, 5, FIFTH, 9, 11)}
    values |= {f"bass on degree {degree}": (bass == degree).mean() for degree in (0, 2, 5, FIFTH)}
    values["share of the best triad in two quarters"] = fit.max(1).mean()
    values["pitch classes in two quarters"] = (filled > 0).sum(1).mean()
    values["triads that stay for the next two quarters"] = _mean(chord[1:] == chord[:-1])
    values["distinct triads"] = len(np.unique(chord)) / len(chord)
    values["likeness of neighbouring chords"] = _mean((unit[1:] * unit[:-1]).sum(1))
    values["likeness of chords eight quarters apart"] = _mean((unit[4:] * unit[:-4]).sum(1))
    values["likeness of all chords"] = (unit @ unit.T).mean()
    values["distinct local keys"] = len(set(local_keys))
    values["local keys like the whole"] = _mean(np.array([key == excerpt.key for key in local_keys]))
    classes = np.pad(excerpt.sounding[::3], ((0, 0), (0, 4))).reshape(-1, 11, 12).any(1)
    together = classes.sum(1) > 1
    for name, size in {
        "semitone": 1,
        "whole tone": 2,
        "tritone": 6,
        "fifth": FIFTH,
        "major third": 4,
        "minor third": 3,
    }.items():
        values[f"sounding {name}"] = (classes & np.roll(classes, -size, 1)).any(1)[together].sum() / len(classes)
    return values


def _first_and_last_quarter(excerpt):
    """Describe the first and the last quarter."""
    tonic = excerpt.key[0]
    end = excerpt.quarters * QUARTER
    values = {"first onset": min(MAX_PAUSE, int(excerpt.start[0])), "length in quarters": excerpt.end.max() / QUARTER}
    cells = {"first": (0, QUARTER), "last": (end - QUARTER, end)}
    for name, (begin, stop) in cells.items():
        struck = (excerpt.start >= begin) & (excerpt.start < stop)
        held = (excerpt.start < stop) & (excerpt.end > begin)
        lowest = (excerpt.pitch[held].min() - tonic) % 12 if held.any() else -1
        values[f"{name} quarter: onsets"] = len(np.unique(excerpt.start[struck]))
        values[f"{name} quarter: notes struck"] = struck.sum()
        values[f"{name} quarter: notes that sound"] = held.sum()
        values[f"{name} quarter: pitch classes"] = len(np.unique(excerpt.pitch[held] % 12))
        values[f"{name} quarter: bass on the tonic"] = float(lowest == 0)
        values[f"{name} quarter: bass on the fifth"] = float(lowest == FIFTH)
        values[f"{name} quarter: longest note"] = excerpt.duration[held].max(initial=0)
    values["notes that sound to the very end"] = (excerpt.end == end).sum()
    return values


GROUPS: dict[str, Callable[[Excerpt], dict[str, float]]] = {
    "bar repetition": _bar_repetition,
    "intervals": _intervals,
    "rhythm": _rhythm,
    "texture and register": _texture,
    "harmony and key": _harmony,
    "first and last quarter": _first_and_last_quarter,
}


def _mean(values):
    """Return the mean; 0 if there are no values."""
    return float(np.mean(values)) if len(values) else 0.0


def _entropy(numbers):
    """Return the entropy of the numbers that occur, in bits."""
    _, counts = np.unique(numbers, return_counts=True)
    return _share_entropy(counts / max(1, counts.sum()))


def _share_entropy(share):
    """Return the entropy of relative frequencies, in bits."""
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def _autocorrelation(series, lag):
    """Return the correlation of a series with itself some places later; 0 if it is constant."""
    centred = series - series.mean()
    return float((centred[lag:] * centred[:-lag]).sum() / max(1e-9, (centred**2).sum()))
