"""Numbers that describe clusters of notes as they are heard."""

import numpy as np

from clara.listening.clusters import Clusters, HeardNotes

MIN_SECONDS, MAX_SECONDS = 0.02, 8.0  # shorter and longer times count as this long
HARMONY_SECONDS = (0.5, 1.5)  # the pitches before and after an onset are compared over so long
N_FEATURES = 33


def describe_clusters(notes: HeardNotes, clusters: Clusters) -> np.ndarray:
    """Return the features of each cluster, float32 array (n_clusters, N_FEATURES).

    Times to the clusters before and after, number of notes, pitches, durations, velocities, steps of the outer voices,
    time since their pitches began last, change of harmony, and pitch classes.
    """
    n = len(clusters)
    if not n:
        return np.zeros((0, N_FEATURES), dtype=np.float32)
    of_note, count = clusters.cluster_of_note, np.bincount(clusters.cluster_of_note)
    gap = _log_seconds(np.diff(clusters.seconds))
    low, high = np.full(n, 128), np.full(n, -1)
    np.minimum.at(low, of_note, notes.pitch)
    np.maximum.at(high, of_note, notes.pitch)
    length = _log_seconds(notes.end - notes.onset)
    longest = np.full(n, -9.0)
    np.maximum.at(longest, of_note, length)
    low_length, high_length = np.full(n, -9.0), np.full(n, -9.0)
    is_low, is_high = notes.pitch == low[of_note], notes.pitch == high[of_note]
    np.maximum.at(low_length, of_note[is_low], length[is_low])
    np.maximum.at(high_length, of_note[is_high], length[is_high])
    loudness = (notes.velocity - notes.velocity.mean()) / max(notes.velocity.std(), 5.0)
    loudest = np.full(n, -9.0)
    np.maximum.at(loudest, of_note, loudness)
    chroma = np.zeros((n, 12))
    chroma[of_note, notes.pitch % 12] = 1
    columns = [
        np.append(0, gap),
        np.append(gap, 0),
        np.log2(count),
        (low - 60) / 12,
        (high - 60) / 12,
        (low - _running_mean(low)) / 12,
        (high - _running_mean(high)) / 12,
        longest,
        low_length,
        high_length,
        np.bincount(of_note, loudness) / count,
        loudest,
        np.clip(np.diff(low, prepend=low[0]) / 12, -2, 2),
        np.clip(np.diff(low, append=low[-1]) / 12, -2, 2),
        np.clip(np.diff(high, prepend=high[0]) / 12, -2, 2),
        np.clip(np.diff(high, append=high[-1]) / 12, -2, 2),
        _log_seconds(_since_same(low, clusters.seconds)),
        _log_seconds(_since_same(high, clusters.seconds)),
        *(_harmony_change(chroma, clusters.seconds, seconds) for seconds in HARMONY_SECONDS),
        np.diff(gap, prepend=gap[:1], append=gap[-1:]) if n > 1 else np.zeros(1),
    ]
    return np.concatenate([np.stack(columns, axis=1), chroma], axis=1).astype(np.float32)


def _log_seconds(seconds):
    """Return times on a logarithmic scale; 0 is half a second."""
    return np.log2(np.clip(seconds, MIN_SECONDS, MAX_SECONDS)) + 1


def _running_mean(values, width=16):
    """Return the mean of the values around each, float64 (n,)."""
    total = np.append(0, np.cumsum(values))
    at = np.arange(len(values))
    begin, end = np.maximum(at - width, 0), np.minimum(at + width + 1, len(values))
    return (total[end] - total[begin]) / (end - begin)


def _since_same(values, seconds):
    """Return the time since each value came last, float64 (n,); `MAX_SECONDS` if it is new."""
    order = np.argsort(values, kind="stable")
    is_same = np.diff(values[order]) == 0
    since = np.full(len(values), MAX_SECONDS)
    since[order[1:][is_same]] = np.diff(seconds[order])[is_same]
    return since


def _harmony_change(chroma, seconds, width):
    """Return how different the pitch classes before and from each onset on are, float64 (n,), from 0 to 1."""
    total = np.concatenate([np.zeros((1, 12)), chroma.cumsum(0)])
    at = np.arange(len(seconds))
    before = total[at] - total[np.searchsorted(seconds, seconds - width)]
    after = total[np.searchsorted(seconds, seconds + width)] - total[at]
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return 1 - (before * after).sum(1) / np.where(norms > 0, norms, 1)
