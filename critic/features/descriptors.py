"""What can be counted in music, as numbers: which intervals, lengths and chords, and how much comes again.

A stretch of music is told by some seven hundred numbers, in groups: how notes are struck and held together; the two outer voices;
rhythm; keys; bars; and what returns, motifs and chords that come again as they were or elsewhere, and how like itself the music is after some quarters. Nets
that read a text or a piano roll have no part that compares what is far apart.

Numbers do not depend on the grid if it holds the notes, but for those that count lengths in twelfths of a quarter.
"""

from functools import cache, cached_property

import numpy as np

from clara.jit import compiled, float64_1d, float64_2d, int64, int64_1d, int64_2d
from clara.music.keys import key_from_pitch_classes, scale_pitch_classes
from clara.music.notes import HIGHEST_PIANO_PITCH, LOWEST_PIANO_PITCH
from critic.features.measures import frequencies
from critic.features.segments import SEGMENT_QUARTERS, STEPS_PER_QUARTER

LOWEST, KEYS = LOWEST_PIANO_PITCH, HIGHEST_PIANO_PITCH - LOWEST_PIANO_PITCH + 1
LONGEST, WIDEST = 48, 24  # twelfths, semitones: longer and wider ones count with these
BAR = 4  # quarters
LAGS = (1, 2, 3, 4, 6, 8, 12, 16)  # quarters, after which music may be like itself
MOTIFS = (2, 3, 5, 8)  # how many steps of a line make a motif
LEAP = 7  # semitones, from which on an interval is a leap
N_DESCRIPTORS = 762  # of all groups
SCALES = np.array(
    [np.isin(np.arange(12), [p % 12 for p in scale_pitch_classes(tonic, True)]) for tonic in range(12)], dtype=float
)  # (12, 12)


class _Music:
    """What the groups share: notes in twelfths, onsets, outer voices, the key."""

    def __init__(self, notes):
        self.start, self.length, self.pitch = notes.start, notes.duration, notes.pitch
        if notes.part.any():  # within an onset notes come by part
            order = np.lexsort((notes.pitch, notes.start))
            self.start, self.length, self.pitch = self.start[order], self.length[order], self.pitch[order]
        grid = notes.steps_per_quarter
        if grid != STEPS_PER_QUARTER:
            self.start, self.length = (
                self.start * STEPS_PER_QUARTER // grid,
                np.maximum(1, self.length * STEPS_PER_QUARTER // grid),
            )
        self.end = self.start + self.length
        self.quarters = max(1.0, self.end.max() / STEPS_PER_QUARTER)
        self.at, self.first, self.many = np.unique(self.start, return_index=True, return_counts=True)
        self.top, self.bottom = self.pitch[self.first + self.many - 1], self.pitch[self.first]
        self.key = (self.pitch - LOWEST).clip(0, KEYS - 1)
        self.tonic, self.is_major = key_from_pitch_classes(np.bincount(self.pitch % 12, weights=self.length, minlength=12))

    @cached_property
    def onset(self):
        """The number of each note's onset."""
        return np.repeat(np.arange(len(self.at)), self.many)

    @cached_property
    def chords(self):
        """Of each onset, its pitches and its shape, pitches above the lowest, each as one number."""
        above = self.pitch - np.repeat(self.bottom, self.many)
        return tuple(np.add.reduceat(_scattered(values), self.first) for values in (self.pitch, above))


def extract_descriptors(notes):
    """What can be counted.

    Parameters
    ----------
    notes : NoteSequence, not empty, of about `SEGMENT_QUARTERS` quarters

    Returns
    -------
    float32 (N_NUMBERS,), each finite
    """
    music = _Music(notes)
    return np.concatenate([np.ravel(group(music)) for group in GROUPS.values()]).astype(np.float32)


def _size(music):
    """How much there is of everything."""
    lengths = music.length / STEPS_PER_QUARTER
    return [
        music.quarters / SEGMENT_QUARTERS,
        len(music.pitch) / music.quarters,
        len(music.at) / music.quarters,
        lengths.mean(),
        lengths.std(),
        music.pitch.mean(),
        music.pitch.std(),
        music.pitch.min(),
        music.pitch.max(),
        _entropy(frequencies(music.pitch, 128)),
        _correlation(music.pitch, music.length),
        *frequencies(music.key // 8, 11),
    ]


def _together(music):
    """Intervals that are struck together, that sound together, and over the bass; how many notes, hands' reach."""
    steps = np.diff(music.pitch)[np.diff(music.onset) == 0]
    (lowest, sounding, reach), apart, clash = (
        np.zeros((3, len(music.at)), dtype=np.int64),
        np.zeros(KEYS, dtype=np.int64),
        np.zeros(12, dtype=np.int64),
    )
    _sounding(music.at, music.onset, music.end, music.key, lowest, sounding, reach, apart, clash)
    over, wide = music.key - lowest[music.onset], np.repeat(np.arange(KEYS), apart)
    return np.r_[
        frequencies(steps, 25),
        frequencies(over, 49),
        frequencies(over % 12, 12),
        clash / sounding.sum(),
        frequencies(music.many - 1, 10),
        frequencies(sounding - 1, 12),
        frequencies(sounding - music.many, 8),
        _spread(reach),
        _spread(wide),
        frequencies(wide, 25),
        _parallels(music),
    ]


@compiled(int64_1d, int64_1d, int64_1d, int64_1d, int64_1d, int64_1d, int64_1d, int64_1d, int64_1d)
def _sounding(at, onset, end, key, lowest, sounding, reach, apart, clash):
    """What sounds at each onset, of notes (n,): into lowest, sounding, reach (n_onsets,) the lowest key, how many keys, how far to the highest; into apart (KEYS,)
    how many neighbours are so far from each other, into clash (12,) how many keys are one to twelve semitones apart."""
    columns = np.zeros((len(at), KEYS), dtype=np.bool_)
    for note in range(len(key)):
        i = onset[note]
        while i < len(at) and at[i] < end[note]:
            columns[i, key[note]] = True
            i += 1
    for i, column in enumerate(columns):
        low, high = -1, -1
        for k in range(KEYS):
            if column[k]:
                if low < 0:
                    low = k
                else:
                    apart[k - high] += 1
                for d in range(1, min(12, KEYS - 1 - k) + 1):
                    clash[d - 1] += column[k + d]
                high = k
                sounding[i] += 1
        lowest[i], reach[i] = low, high - low


def _parallels(music):
    """How often both outer voices move alike and keep a fifth, an octave, thirds, sixths."""
    both = music.many > 1
    top, bottom = music.top[both], music.bottom[both]
    if len(top) < 2:
        return np.zeros(6)
    alike = (np.diff(top) != 0) & (np.sign(np.diff(top)) == np.sign(np.diff(bottom)))
    apart = (top - bottom) % 12
    return [(alike & (apart[1:] == i) & (apart[:-1] == i)).mean() for i in (0, 3, 4, 7, 8, 9)]


def _lines(music):
    """Of both outer voices: intervals, turns, repeated notes, what follows a leap."""
    return np.concatenate(
        [_line(music.top, music.at), _line(music.bottom, music.at), frequencies(np.abs(np.diff(music.pitch)), 25)]
    )


def _line(pitch, at):
    told = np.zeros(2 * WIDEST + 1 + 13 + 8)
    if len(pitch) >= 3:
        _moves(np.ascontiguousarray(pitch), at, told)
    return told


@compiled(int64_1d, int64_1d, float64_1d)
def _moves(pitch, at, told):
    """Of a line (n,), at least three notes: the shares of its intervals, and of how much neighbouring ones differ; turns, repeated notes, mean interval, range, deviation, the mean
    interval after a leap, intervals and gaps that are as the one before; into told."""
    n, turns = len(pitch) - 1, 2 * WIDEST + 1
    after, leaps, size, mean = 0, 0, 0, pitch.mean()
    for i in range(n):
        interval = pitch[i + 1] - pitch[i]
        told[min(max(interval, -WIDEST), WIDEST) + WIDEST] += 1 / n
        told[turns + 14] += (interval == 0) / n
        size += abs(interval)
        if i:
            before = pitch[i] - pitch[i - 1]
            told[turns + min(abs(interval - before), 12)] += 1 / (n - 1)
            told[turns + 13] += (interval * before < 0) / (n - 1)
            told[turns + 19] += (interval == before) / (n - 1)
            told[turns + 20] += (at[i + 1] - at[i] == at[i] - at[i - 1]) / (n - 1)
            if abs(before) >= LEAP:
                after, leaps = after + abs(interval), leaps + 1
    told[turns + 15], told[turns + 16] = size / n, pitch.max() - pitch.min()
    told[turns + 17] = np.sqrt(((pitch - mean) ** 2).mean())
    told[turns + 18] = after / leaps if leaps else 0.0


def _rhythm(music):
    """Lengths, gaps between onsets, places in the quarter and in two bars."""
    gap, place = np.diff(music.at), music.at % STEPS_PER_QUARTER
    silent = np.maximum(0, music.at[1:] - np.maximum.accumulate(np.maximum.reduceat(music.end, music.first))[:-1])
    return np.r_[
        frequencies(music.start % STEPS_PER_QUARTER, STEPS_PER_QUARTER),
        frequencies(place, STEPS_PER_QUARTER),
        frequencies(music.at // (STEPS_PER_QUARTER // 2) % (4 * BAR), 4 * BAR),
        frequencies(music.length, LONGEST + 1),
        frequencies(gap, LONGEST + 1),
        _entropy(frequencies(music.length, 97)),
        _entropy(frequencies(gap, 97)),
        (music.length % 3 == 0).mean(),
        (music.length % 4 == 0).mean(),
        silent.sum() / STEPS_PER_QUARTER / music.quarters,
        (silent > 0).sum() / music.quarters,
    ]


def _tonality(music):
    """Degrees of the key that fits best, and how many notes are outside it."""
    degree = (music.pitch - music.tonic) % 12
    share, inside = (
        frequencies(degree, 12),
        SCALES[0 if music.is_major else 3] > 0,
    )  # of minor the natural one, its relative major's
    bass, melody = (frequencies((voice - music.tonic) % 12, 12) for voice in (music.bottom, music.top))
    return np.r_[
        np.sort(share)[::-1],
        share,
        share * music.is_major,
        bass,
        bass * music.is_major,
        melody,
        share[inside].sum(),
        music.is_major,
        _entropy(share),
    ]


def _bars(music):
    """From bar to bar: how clear its scale is, how near to the next in pitch classes and rhythm, how many notes, how high; and how many notes a quarter."""
    bar = music.start // (BAR * STEPS_PER_QUARTER)
    n = int(bar.max()) + 1
    classes, onsets = np.zeros((n, 12)), np.zeros((n, BAR * STEPS_PER_QUARTER), dtype=bool)
    np.add.at(classes, (bar, music.pitch % 12), music.length)
    onsets[bar, music.start % (BAR * STEPS_PER_QUARTER)] = True
    counts = np.bincount(bar, minlength=n)
    there = counts > 0
    clear = (classes[there] @ SCALES.T).max(1) / classes[there].sum(1)
    unit = classes / np.sqrt((classes * classes).sum(1, keepdims=True)).clip(1e-9)
    near, same = (unit[1:] * unit[:-1]).sum(1), (onsets[1:] == onsets[:-1]).mean(1)
    height = np.bincount(bar, weights=music.pitch, minlength=n)[there] / counts[there]
    by_quarter = np.bincount(music.start // STEPS_PER_QUARTER, minlength=int(music.quarters))
    every = unit @ unit.T
    rhythms = len({row.tobytes() for row in onsets}) / n
    return np.concatenate(
        [
            *(
                _spread(v)
                for v in (clear, near, same, counts, height, np.abs(np.diff(height)), by_quarter, every[_apart(n)])
            ),
            [rhythms],
        ]
    )


@cache
def _apart(n):
    """Indices of pairs of n bars that are no neighbours."""
    return np.triu_indices(n, 2)


def _returns(music):
    """What comes again: motifs of the outer voices, rhythms and chords, at once or later; and how alike the music is after some quarters."""
    top, bottom, gap = np.diff(music.top), np.diff(music.bottom), np.diff(music.at)
    chord, shape = music.chords
    lines = (
        top,
        bottom,
        np.sign(top),
        np.sign(bottom),
        gap,
        top * 1000 + gap,
        bottom * 1000 + gap,
        music.top[1:] * 1000 + gap,
        chord[1:],
        shape[1:],
        shape[1:] * 7 + gap,
    )
    again = np.zeros((len(lines) * len(MOTIFS), 3))
    _again(_scattered(np.stack(lines)), music.at[1:], np.array(MOTIFS), again)
    alike = np.zeros((3, len(LAGS)))
    for row, (places, unit) in zip(
        alike,
        (
            (np.unique(music.start * 128 + music.pitch), 128),
            (np.unique(music.start * 128 + music.pitch % 12), 128),
            (music.at, 1),
        ),
    ):
        _overlaps(places, unit, np.array(LAGS) * STEPS_PER_QUARTER, row)
    return np.concatenate([again.ravel(), alike.T.ravel()])


@compiled(int64_2d, int64_1d, int64_1d, float64_2d)
def _again(lines, at, motifs, found):
    """Of the runs of each line (n_lines, t), for each length of motifs: the share that differ, the share of the commonest, and of those
    that began at least a bar before, too; into found (n_lines * n_motifs, 3)."""
    row = 0
    for line in lines:
        for n in motifs:
            n_runs = len(line) - n + 1
            if n_runs < 1:
                found[row] = (1.0, 0.0, 0.0)
                row += 1
                continue
            mixed = np.zeros(n_runs, dtype=np.int64)
            for i in range(n):
                mixed = mixed * 1_000_003 + line[i : n_runs + i]
            order = np.argsort(mixed, kind="mergesort")
            kinds, most, later, first = 0, 0, 0, 0
            for i in range(n_runs):
                if i == 0 or mixed[order[i]] != mixed[order[i - 1]]:
                    kinds, first = kinds + 1, i
                most = max(most, i - first + 1)
                later += at[order[i]] - at[order[first]] >= BAR * STEPS_PER_QUARTER
            found[row] = (kinds / n_runs, most / n_runs, later / n_runs)
            row += 1


@compiled(int64_1d, int64, int64_1d, float64_1d)
def _overlaps(places, unit, lags, found):
    """How much of what is at some places (n,), ascending, of `unit` to a step, is there after each lag, too, of what could be; into found (n_lags,)."""
    n, last = len(places), places[-1] // unit
    for i, lag in enumerate(lags):
        here, there, both, at = 0, 0, 0, 0
        for place in places:
            step = place // unit
            there += step >= lag
            if step <= last - lag:
                here += 1
                while at < n and places[at] < place + lag * unit:
                    at += 1
                both += at < n and places[at] == place + lag * unit
        found[i] = both / np.sqrt(here * there) if here and there else 0.0


GROUPS = {
    "size": _size,
    "together": _together,
    "lines": _lines,
    "rhythm": _rhythm,
    "tonality": _tonality,
    "bars": _bars,
    "returns": _returns,
}


def _scattered(values):
    """Whole numbers as others that do not add up alike, int64; a step of splitmix64 (Steele et al. 2014)."""
    x = values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return (x ^ (x >> np.uint64(27))).view(np.int64)


def _entropy(share):
    """In bits."""
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def _correlation(a, b):
    """Pearson's, 0 where either does not change."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(1e-9, np.sqrt((a * a).sum() * (b * b).sum())))


def _spread(values):
    """Mean, deviation, least, largest."""
    if not len(values):
        return [0.0] * 4
    mean = values.sum() / len(values)
    apart = values - mean
    return [mean, np.sqrt((apart * apart).sum() / len(values)), values.min(), values.max()]
