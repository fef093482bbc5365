"""The compiled loops of the descriptors; each adds its result to arrays of zeros that the caller allocates."""

import numpy as np

from clara.jit import compiled, float64_1d, float64_2d, int64, int64_1d, int64_2d
from clara.music.notes import HIGHEST_PIANO_PITCH, LOWEST_PIANO_PITCH
from critic.features.segments import STEPS_PER_QUARTER

N_KEYS = HIGHEST_PIANO_PITCH - LOWEST_PIANO_PITCH + 1
MAX_INTERVAL = 24  # semitones; wider intervals count as this one
N_INTERVALS = 2 * MAX_INTERVAL + 1
N_INTERVAL_CHANGES = 13  # 0 to 12 semitones
N_LINE_DESCRIPTORS = N_INTERVALS + N_INTERVAL_CHANGES + 8
LEAP = 7  # semitones; an interval of at least this is a leap
BAR = 4  # quarters


@compiled(*[int64_1d] * 9)
def count_sounding(onset_times, onset_of_note, end, key, lowest, n_sounding, reach, distances, pairs):
    """Count the keys that sound at each onset.

    Parameters
    ----------
    onset_times : int64 (n_onsets,)
    onset_of_note : int64 (n,)
        Index of each note's onset.
    end : int64 (n,)
    key : int64 (n,)
        Piano key of each note, from 0.
    lowest, n_sounding, reach : int64 (n_onsets,)
        Results: the lowest key, the number of keys, and the semitones from the lowest to the highest.
    distances : int64 (N_KEYS,)
        Result: number of neighbouring keys at each distance.
    pairs : int64 (12,)
        Result: number of pairs of keys one to twelve semitones apart.
    """
    sounds = np.zeros((len(onset_times), N_KEYS), dtype=np.bool_)
    for note in range(len(key)):
        i = onset_of_note[note]
        while i < len(onset_times) and onset_times[i] < end[note]:
            sounds[i, key[note]] = True
            i += 1
    for i, column in enumerate(sounds):
        low, high = -1, -1
        for k in range(N_KEYS):
            if column[k]:
                if low < 0:
                    low = k
                else:
                    distances[k - high] += 1
                for d in range(1, min(12, N_KEYS - 1 - k) + 1):
                    pairs[d - 1] += column[k + d]
                high = k
                n_sounding[i] += 1
        lowest[i], reach[i] = low, high - low


@compiled(int64_1d, int64_1d, float64_1d)
def describe_line(pitch, times, result):
    """Describe a single line of at least three notes.

    Parameters
    ----------
    pitch, times : int64 (n,)
    result : float64 (N_LINE_DESCRIPTORS,)
        In this order:

        - the relative frequencies of the intervals, and of the changes between neighbouring intervals;
        - the share of turns and of repeated notes;
        - the mean interval, the range and the standard deviation of the pitch;
        - the mean interval after a leap;
        - the share of intervals, and of gaps, that equal the one before.
    """
    n, first = len(pitch) - 1, N_INTERVALS + N_INTERVAL_CHANGES
    after_leaps, n_leaps, total, mean = 0, 0, 0, pitch.mean()
    for i in range(n):
        interval = pitch[i + 1] - pitch[i]
        result[min(max(interval, -MAX_INTERVAL), MAX_INTERVAL) + MAX_INTERVAL] += 1 / n
        result[first + 1] += (interval == 0) / n
        total += abs(interval)
        if i:
            before = pitch[i] - pitch[i - 1]
            result[N_INTERVALS + min(abs(interval - before), N_INTERVAL_CHANGES - 1)] += 1 / (n - 1)
            result[first] += (interval * before < 0) / (n - 1)
            result[first + 6] += (interval == before) / (n - 1)
            result[first + 7] += (times[i + 1] - times[i] == times[i] - times[i - 1]) / (n - 1)
            if abs(before) >= LEAP:
                after_leaps, n_leaps = after_leaps + abs(interval), n_leaps + 1
    result[first + 2], result[first + 3] = total / n, pitch.max() - pitch.min()
    result[first + 4] = np.sqrt(((pitch - mean) ** 2).mean())
    result[first + 5] = after_leaps / n_leaps if n_leaps else 0.0


@compiled(int64_2d, int64_1d, int64_1d, float64_2d)
def count_repeats(sequences, times, lengths, result):
    """Count the runs that repeat in some sequences.

    Parameters
    ----------
    sequences : int64 (n_sequences, t)
    times : int64 (t,)
    lengths : int64 (n_lengths,)
        Lengths of the runs.
    result : float64 (n_sequences * n_lengths, 3)
        The share of distinct runs, the share of the most common run, and the share of runs that already began at
        least a bar earlier.
    """
    row = 0
    for sequence in sequences:
        for n in lengths:
            n_runs = len(sequence) - n + 1
            if n_runs < 1:
                result[row] = (1.0, 0.0, 0.0)
                row += 1
                continue
            hashes = np.zeros(n_runs, dtype=np.int64)
            for i in range(n):
                hashes = hashes * 1_000_003 + sequence[i : n_runs + i]
            order = np.argsort(hashes, kind="mergesort")
            n_distinct, n_most_common, n_later, first = 0, 0, 0, 0
            for i in range(n_runs):
                if i == 0 or hashes[order[i]] != hashes[order[i - 1]]:
                    n_distinct, first = n_distinct + 1, i
                n_most_common = max(n_most_common, i - first + 1)
                n_later += times[order[i]] - times[order[first]] >= BAR * STEPS_PER_QUARTER
            result[row] = (n_distinct / n_runs, n_most_common / n_runs, n_later / n_runs)
            row += 1


@compiled(int64_1d, int64, int64_1d, float64_1d)
def self_overlap(places, unit, lags, result):
    """Compare events with the events some time later.

    Parameters
    ----------
    places : int64 (n,)
        Events as time * unit + kind, ascending.
    unit : int
        Number of kinds.
    lags : int64 (n_lags,)
        In the unit of time.
    result : float64 (n_lags,)
        For each lag the number of events that occur again, over the geometric mean of the numbers of events in the
        two stretches of time that are compared.
    """
    n, last = len(places), places[-1] // unit
    for i, lag in enumerate(lags):
        n_before, n_after, n_both, next_place = 0, 0, 0, 0
        for place in places:
            step = place // unit
            n_after += step >= lag
            if step <= last - lag:
                n_before += 1
                while next_place < n and places[next_place] < place + lag * unit:
                    next_place += 1
                n_both += next_place < n and places[next_place] == place + lag * unit
        result[i] = n_both / np.sqrt(n_before * n_after) if n_before and n_after else 0.0


def scatter(values: np.ndarray) -> np.ndarray:
    """Hash integers so that sums of hashes identify sets; one step of splitmix64 (Steele et al. 2014).

    Parameters
    ----------
    values : int array

    Returns
    -------
    int64 array of the same shape
    """
    x = values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return (x ^ (x >> np.uint64(27))).view(np.int64)
