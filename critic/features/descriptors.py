"""Hand-crafted descriptors of a segment of music: intervals, durations, chords, and how much of it repeats.

The 762 descriptors come in groups: size, simultaneous notes, outer voices, rhythm, tonality, bars and repetition. They
compare what is far apart, which the networks that read text or piano rolls have no part for.

A finer grid that holds the same notes does not change them; durations and gaps are counted in twelfths of a quarter.
"""

from functools import cached_property

import numpy as np

from clara.music.keys import key_from_pitch_classes, scale_pitch_classes
from clara.music.notes import LOWEST_PIANO_PITCH, NoteSequence
from critic.features.descriptor_kernels import (
    BAR,
    N_KEYS,
    N_LINE_DESCRIPTORS,
    count_repeats,
    count_sounding,
    describe_bars,
    describe_line,
    entropy,
    find_onsets,
    find_parallels,
    frequencies,
    scatter,
    self_overlap,
    statistics,
)
from critic.features.segments import SEGMENT_QUARTERS, STEPS_PER_QUARTER

N_DESCRIPTORS = 762
N_DURATIONS = 49  # 0 to 48 twelfths; longer ones count as the longest
LAGS = (1, 2, 3, 4, 6, 8, 12, 16)  # quarters after which the music is compared with itself
PARALLEL_INTERVALS = [0, 3, 4, 7, 8, 9]  # semitones
RUN_LENGTHS = (2, 3, 5, 8)  # steps of a sequence that make a motif
# Which pitch classes are in each major scale, (12, 12).
SCALES = np.array([np.isin(np.arange(12), [p % 12 for p in scale_pitch_classes(t, True)]) for t in range(12)], float)


class SegmentNotes:
    """The notes of a segment on a grid of twelfths, and what several groups of descriptors need.

    Parameters
    ----------
    notes : NoteSequence
        Not empty.

    Attributes
    ----------
    start, end, duration, pitch : int64 arrays (n,)
        Ordered by start and pitch.
    key : int64 array (n,)
        Piano key, from 0.
    quarters : float
        Length of the segment.
    onset_times, first_note, n_struck : int64 arrays (n_onsets,)
        The time of each onset, the index of its first note and the number of its notes.
    top, bottom : int64 arrays (n_onsets,)
        The highest and lowest pitch of each onset: the outer voices.
    tonic, is_major
        The estimated key.
    """

    def __init__(self, notes: NoteSequence) -> None:
        self.start, self.duration, self.pitch = notes.start, notes.duration, notes.pitch
        if notes.part.any():  # the notes of an onset are ordered by part, not by pitch
            order = np.lexsort((notes.pitch, notes.start))
            self.start, self.duration, self.pitch = self.start[order], self.duration[order], self.pitch[order]
        grid = notes.steps_per_quarter
        if grid != STEPS_PER_QUARTER:
            self.start = self.start * STEPS_PER_QUARTER // grid
            self.duration = np.maximum(1, self.duration * STEPS_PER_QUARTER // grid)
        self.end = self.start + self.duration
        self.quarters = max(1.0, self.end.max() / STEPS_PER_QUARTER)
        self.onset_times, self.first_note, self.n_struck = find_onsets(self.start)
        self.top = self.pitch[self.first_note + self.n_struck - 1]
        self.bottom = self.pitch[self.first_note]
        self.key = (self.pitch - LOWEST_PIANO_PITCH).clip(0, N_KEYS - 1)
        sounding = np.bincount(self.pitch % 12, weights=self.duration, minlength=12)
        self.tonic, self.is_major = key_from_pitch_classes(sounding)

    @cached_property
    def onset_of_note(self) -> np.ndarray:
        """Compute the index of each note's onset, int64 (n,)."""
        return np.repeat(np.arange(len(self.onset_times)), self.n_struck)

    @cached_property
    def chord_hashes(self) -> tuple[np.ndarray, np.ndarray]:
        """Hash each onset's pitches, and its intervals above the lowest pitch, int64 (n_onsets,) each."""
        above_bass = self.pitch - np.repeat(self.bottom, self.n_struck)
        pitches = np.add.reduceat(scatter(self.pitch), self.first_note)
        intervals = np.add.reduceat(scatter(above_bass), self.first_note)
        return pitches, intervals


def extract_descriptors(notes: NoteSequence) -> np.ndarray:
    """Return the descriptors of a segment.

    Parameters
    ----------
    notes : NoteSequence
        Not empty.

    Returns
    -------
    float32 array (N_DESCRIPTORS,)
        All finite.
    """
    segment = SegmentNotes(notes)
    groups = [np.ravel(describe(segment)) for describe in GROUPS.values()]
    return np.concatenate(groups).astype(np.float32)


def _size(segment):
    """Describe number, duration and range of the notes."""
    return [
        segment.quarters / SEGMENT_QUARTERS,
        len(segment.pitch) / segment.quarters,
        len(segment.onset_times) / segment.quarters,
        *_statistics(segment.duration / STEPS_PER_QUARTER)[:2],
        *_statistics(segment.pitch),
        entropy(frequencies(segment.pitch, 128)),
        _correlation(segment.pitch, segment.duration),
        *frequencies(segment.key // 8, 11),
    ]


def _simultaneous_notes(segment):
    """Describe which notes are struck together and which sound together: intervals, numbers, reach."""
    n_onsets = len(segment.onset_times)
    lowest, n_sounding, reach = np.zeros((3, n_onsets), dtype=np.int64)
    distances = np.zeros(N_KEYS, dtype=np.int64)
    pairs = np.zeros(12, dtype=np.int64)
    count_sounding(
        segment.onset_times,
        segment.onset_of_note,
        segment.end,
        segment.key,
        lowest,
        n_sounding,
        reach,
        distances,
        pairs,
    )
    struck_intervals = np.diff(segment.pitch)[np.diff(segment.onset_of_note) == 0]
    above_lowest = segment.key - lowest[segment.onset_of_note]
    sounding_intervals = np.repeat(np.arange(N_KEYS), distances)
    groups = [
        frequencies(struck_intervals, 25),
        frequencies(above_lowest, 49),
        frequencies(above_lowest % 12, 12),
        pairs / n_sounding.sum(),
        frequencies(segment.n_struck - 1, 10),
        frequencies(n_sounding - 1, 12),
        frequencies(n_sounding - segment.n_struck, 8),
        _statistics(reach),
        _statistics(sounding_intervals),
        frequencies(sounding_intervals, 25),
        _parallels(segment),
    ]
    return np.concatenate(groups)


def _parallels(segment):
    """Return how often both outer voices move in parallel unisons, minor and major thirds, fifths and sixths."""
    return find_parallels(segment.top, segment.bottom, segment.n_struck)[PARALLEL_INTERVALS]


def _outer_voices(segment):
    """Describe the melodic motion of the outer voices, and the intervals from note to note."""
    top = _line(segment.top, segment.onset_times)
    bottom = _line(segment.bottom, segment.onset_times)
    return np.concatenate([top, bottom, frequencies(np.abs(np.diff(segment.pitch)), 25)])


def _line(pitch, times):
    """Return the descriptors of a single line; zeros if it has fewer than three notes."""
    result = np.zeros(N_LINE_DESCRIPTORS)
    if len(pitch) >= 3:
        describe_line(np.ascontiguousarray(pitch), times, result)
    return result


def _rhythm(segment):
    """Describe durations, gaps between onsets, rests, and positions in the quarter and in two bars."""
    gaps = np.diff(segment.onset_times)
    position = segment.onset_times % STEPS_PER_QUARTER
    last_end = np.maximum.accumulate(np.maximum.reduceat(segment.end, segment.first_note))[:-1]
    rests = np.maximum(0, segment.onset_times[1:] - last_end)
    numbers = [
        entropy(frequencies(segment.duration, 97)),
        entropy(frequencies(gaps, 97)),
        (segment.duration % 3 == 0).mean(),
        (segment.duration % 4 == 0).mean(),
        rests.sum() / STEPS_PER_QUARTER / segment.quarters,
        (rests > 0).sum() / segment.quarters,
    ]
    groups = [
        frequencies(segment.start % STEPS_PER_QUARTER, STEPS_PER_QUARTER),
        frequencies(position, STEPS_PER_QUARTER),
        frequencies(segment.onset_times // (STEPS_PER_QUARTER // 2) % (4 * BAR), 4 * BAR),
        frequencies(segment.duration, N_DURATIONS),
        frequencies(gaps, N_DURATIONS),
        numbers,
    ]
    return np.concatenate(groups)


def _tonality(segment):
    """Describe the scale degrees of all notes and of the outer voices, and how many notes are outside the key."""
    degree = frequencies((segment.pitch - segment.tonic) % 12, 12)
    # The natural minor scale has the notes of its relative major, a minor third higher.
    in_key = SCALES[0 if segment.is_major else 3] > 0
    bass = frequencies((segment.bottom - segment.tonic) % 12, 12)
    melody = frequencies((segment.top - segment.tonic) % 12, 12)
    groups = [
        np.sort(degree)[::-1],
        degree,
        degree * segment.is_major,
        bass,
        bass * segment.is_major,
        melody,
        [degree[in_key].sum(), segment.is_major, entropy(degree)],
    ]
    return np.concatenate(groups)


def _bars(segment):
    """Describe how bars of four quarters follow one another, in pitch classes, rhythm, density and height."""
    scale_share, next_similarity, same_rhythm, n_notes, mean_pitch, notes_per_quarter, far_similarity, n_rhythms = (
        describe_bars(segment.start, segment.pitch, segment.duration, int(segment.quarters), SCALES)
    )
    series = [
        scale_share,
        next_similarity,
        same_rhythm,
        n_notes,
        mean_pitch,
        np.abs(np.diff(mean_pitch)),
        notes_per_quarter,
        far_similarity,
    ]
    return np.concatenate([*(statistics(values) for values in series), [n_rhythms / len(n_notes)]])


def _repetition(segment):
    """Describe repeated motifs, rhythms and chords, and the similarity of the music to itself some quarters later."""
    times = segment.onset_times
    top, bottom, gap = np.diff(segment.top), np.diff(segment.bottom), np.diff(times)
    chord, shape = segment.chord_hashes
    sequences = (
        top,
        bottom,
        np.sign(top),
        np.sign(bottom),
        gap,
        top * 1000 + gap,
        bottom * 1000 + gap,
        segment.top[1:] * 1000 + gap,
        chord[1:],
        shape[1:],
        shape[1:] * 7 + gap,
    )
    repeats = np.zeros((len(sequences) * len(RUN_LENGTHS), 3))
    count_repeats(scatter(np.stack(sequences)), times[1:], np.array(RUN_LENGTHS), repeats)
    overlap = np.zeros((3, len(LAGS)))
    lags = np.array(LAGS) * STEPS_PER_QUARTER
    self_overlap(_sorted_set(segment.start * 128 + segment.pitch), 128, lags, overlap[0])
    self_overlap(_sorted_set(segment.start * 128 + segment.pitch % 12), 128, lags, overlap[1])
    self_overlap(times, 1, lags, overlap[2])
    return np.concatenate([repeats.ravel(), overlap.T.ravel()])


def _sorted_set(values):
    """Return the distinct values in ascending order."""
    return find_onsets(np.sort(values))[0]


GROUPS = {
    "size": _size,
    "simultaneous notes": _simultaneous_notes,
    "outer voices": _outer_voices,
    "rhythm": _rhythm,
    "tonality": _tonality,
    "bars": _bars,
    "repetition": _repetition,
}


def _correlation(a, b):
    """Return Pearson's correlation; 0 if either is constant."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(1e-9, np.sqrt((a * a).sum() * (b * b).sum())))


def _statistics(values):
    """Return mean, standard deviation, minimum and maximum; zeros if there are no values."""
    return statistics(np.asarray(values, dtype=np.float64))
