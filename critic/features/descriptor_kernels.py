"""The compiled loops of the descriptors. Some add their result to arrays of zeros that the caller allocates."""

import numpy as np

from clara.jit import (
    compiled,
    float64_1d,
    float64_1d_readonly,
    float64_2d,
    int64,
    int64_1d,
    int64_1d_readonly,
    int64_2d,
)
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
    keys = np.zeros(N_KEYS, dtype=np.int64)
    for i, column in enumerate(sounds):
        n = 0
        for k in range(N_KEYS):
            if column[k]:
                keys[n] = k
                n += 1
        for upper in range(1, n):
            distances[keys[upper] - keys[upper - 1]] += 1
            lower = upper - 1
            while lower >= 0 and keys[upper] - keys[lower] <= 12:
                pairs[keys[upper] - keys[lower] - 1] += 1
                lower -= 1
        n_sounding[i] = n
        lowest[i], reach[i] = keys[0], keys[n - 1] - keys[0]


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
    n_slots = 4
    while n_slots < 2 * sequences.shape[1]:
        n_slots *= 2
    # A hash table with linear probing: of each distinct run its hash, its first place, and how often it occurs.
    slot_hash = np.zeros(n_slots, dtype=np.int64)
    slot_first = np.zeros(n_slots, dtype=np.int64)
    slot_count = np.zeros(n_slots, dtype=np.int64)
    row = 0
    for sequence in sequences:
        for n in lengths:
            n_runs = len(sequence) - n + 1
            if n_runs < 1:
                result[row] = (1.0, 0.0, 0.0)
                row += 1
                continue
            slot_count[:] = 0
            n_distinct, n_most_common, n_later = 0, 0, 0
            for i in range(n_runs):
                run_hash = 0
                for k in range(n):
                    run_hash = run_hash * 1_000_003 + sequence[i + k]
                slot = (run_hash ^ run_hash >> 32) & (n_slots - 1)
                while slot_count[slot] and slot_hash[slot] != run_hash:
                    slot = (slot + 1) & (n_slots - 1)
                if not slot_count[slot]:
                    slot_hash[slot], slot_first[slot] = run_hash, i
                    n_distinct += 1
                slot_count[slot] += 1
                n_most_common = max(n_most_common, slot_count[slot])
                n_later += times[i] - times[slot_first[slot]] >= BAR * STEPS_PER_QUARTER
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


@compiled(int64_1d_readonly)
def find_onsets(start):
    """Find the notes that start together.

    Parameters
    ----------
    start : int64 (n,)
        Ascending.

    Returns
    -------
    times, first_note, n_struck : int64 (n_onsets,)
        The time of each onset, the index of its first note and the number of its notes.
    """
    times, first_note, n_struck = np.zeros_like(start), np.zeros_like(start), np.zeros_like(start)
    n = 0
    for note in range(len(start)):
        if note == 0 or start[note] != start[note - 1]:
            times[n], first_note[n] = start[note], note
            n += 1
        n_struck[n - 1] += 1
    return times[:n], first_note[:n], n_struck[:n]


@compiled(int64_1d_readonly, int64_1d_readonly, int64_1d_readonly, int64, float64_2d)
def describe_bars(start, pitch, duration, n_quarters, scales):
    """Return the series of numbers that describe bars of four quarters; empty bars have no height and no scale.

    Parameters
    ----------
    start, pitch, duration : int64 (n,)
        Ascending by start.
    n_quarters : int
        Least number of quarters to count notes in.
    scales : float64 (n_scales, 12)
        Which pitch classes are in each scale.

    Returns
    -------
    scale_share : float64 (n_filled,)
        The largest share of the duration in one scale.
    next_similarity, same_rhythm : float64 (n_bars - 1,)
        The cosine of the pitch classes of neighbouring bars, and the share of steps whose onsets agree.
    n_notes : float64 (n_bars,)
    mean_pitch : float64 (n_filled,)
    notes_per_quarter : float64 (at least n_quarters,)
    far_similarity : float64 (n_pairs,)
        The cosine of the pitch classes of bars that are not neighbours.
    n_rhythms : int
        Number of distinct bars in their onsets.
    """
    bar_steps = BAR * STEPS_PER_QUARTER
    n_bars = start[-1] // bar_steps + 1
    pitch_classes, onsets = np.zeros((n_bars, 12)), np.zeros((n_bars, bar_steps), dtype=np.bool_)
    n_notes, pitch_sum = np.zeros(n_bars), np.zeros(n_bars)
    notes_per_quarter = np.zeros(max(n_quarters, start[-1] // STEPS_PER_QUARTER + 1))
    for note in range(len(start)):
        bar = start[note] // bar_steps
        pitch_classes[bar, pitch[note] % 12] += duration[note]
        onsets[bar, start[note] % bar_steps] = True
        n_notes[bar] += 1
        pitch_sum[bar] += pitch[note]
        notes_per_quarter[start[note] // STEPS_PER_QUARTER] += 1
    scale_share, mean_pitch = np.zeros(n_bars), np.zeros(n_bars)
    next_similarity, same_rhythm = np.zeros(n_bars - 1), np.zeros(n_bars - 1)
    far_similarity = np.zeros((n_bars - 1) * (n_bars - 2) // 2)
    n_filled, n_rhythms, n_far = 0, 0, 0
    for bar in range(n_bars):
        if n_notes[bar]:
            in_scale = 0.0
            for scale in scales:
                in_scale = max(in_scale, (pitch_classes[bar] * scale).sum())
            scale_share[n_filled] = in_scale / pitch_classes[bar].sum()
            mean_pitch[n_filled] = pitch_sum[bar] / n_notes[bar]
            n_filled += 1
        pitch_classes[bar] /= max(np.sqrt((pitch_classes[bar] ** 2).sum()), 1e-9)
        is_new = True
        for earlier in range(bar):
            similarity = (pitch_classes[bar] * pitch_classes[earlier]).sum()
            n_same = (onsets[bar] == onsets[earlier]).sum()
            is_new &= n_same < bar_steps
            if earlier == bar - 1:
                next_similarity[earlier], same_rhythm[earlier] = similarity, n_same / bar_steps
            else:
                far_similarity[n_far] = similarity
                n_far += 1
        n_rhythms += is_new
    return (
        scale_share[:n_filled],
        next_similarity,
        same_rhythm,
        n_notes,
        mean_pitch[:n_filled],
        notes_per_quarter,
        far_similarity,
        n_rhythms,
    )


@compiled(int64_1d_readonly, int64_1d_readonly, int64_1d_readonly)
def find_parallels(top, bottom, n_struck):
    """Return how often two voices move in parallel, by the interval between them.

    Parameters
    ----------
    top, bottom, n_struck : int64 (n_onsets,)
        The voices, and the number of notes of each onset; onsets of a single note are left out.

    Returns
    -------
    float64 (12,)
        Share of the moves, by the interval in semitones, octaves apart counted as one.
    """
    shares, n, before = np.zeros(12), 0, -1
    for i in range(len(top)):
        if n_struck[i] < 2:
            continue
        interval = (top[i] - bottom[i]) % 12
        if before >= 0:
            move = top[i] - top[before]
            moves_alike = move != 0 and np.sign(move) == np.sign(bottom[i] - bottom[before])
            if moves_alike and interval == (top[before] - bottom[before]) % 12:
                shares[interval] += 1
            n += 1
        before = i
    return shares / max(1, n)


@compiled(float64_1d_readonly)
def statistics(values):
    """Return mean, standard deviation, minimum and maximum, float64 (4,); zeros if there are no values."""
    result = np.zeros(4)
    if len(values):
        mean = values.sum() / len(values)
        result[:] = mean, np.sqrt(((values - mean) ** 2).sum() / len(values)), values.min(), values.max()
    return result


@compiled(float64_1d_readonly)
def entropy(share):
    """Return the entropy of relative frequencies, in bits."""
    total = 0.0
    for p in share:
        if p > 0:
            total -= p * np.log2(p)
    return total


def scatter(values: np.ndarray) -> np.ndarray:
    """Hash integers so that sums of hashes identify sets; one step of splitmix64 (Steele et al. 2014).

    Parameters
    ----------
    values : int64 array

    Returns
    -------
    int64 array of the same shape
    """
    return _scatter(values.ravel()).reshape(values.shape)


@compiled(int64_1d_readonly)
def _scatter(values):
    """Hash integers (n,)."""
    hashes = np.empty(len(values), dtype=np.uint64)
    for i in range(len(values)):
        x = np.uint64(values[i]) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes[i] = x ^ (x >> np.uint64(27))
    return hashes.view(np.int64)


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
