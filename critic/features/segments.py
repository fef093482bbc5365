"""Overlapping segments of a piece, and the share of each window that lies in each segment."""

import numpy as np

from clara.music.notes import NoteSequence, crop

SEGMENT_QUARTERS = 32  # what a network reads at a time, unless it learned from longer excerpts
STEPS_PER_QUARTER = 12  # the grid of the features


def split_into_segments(
    notes: NoteSequence, n_steps: int, quarters: int = SEGMENT_QUARTERS
) -> list[tuple[int, NoteSequence]]:
    """Split a piece into segments that overlap by at least half; the last one reaches the end.

    Parameters
    ----------
    notes : NoteSequence
    n_steps : int
        Length of the piece.
    quarters : int
        Length of a segment. A shorter piece is one segment.

    Returns
    -------
    list of (first quarter, NoteSequence)
        Without silent segments, unless all are silent.
    """
    length = n_steps / notes.steps_per_quarter
    n_segments = 1 + int(np.ceil(max(0, length - quarters) / (quarters / 2)))
    if n_segments == 1:
        return [(0, notes)]
    segments = []
    for first in np.floor(np.linspace(0, length - quarters, n_segments)).astype(int).tolist():
        segment = crop(notes, first * notes.steps_per_quarter, (first + quarters) * notes.steps_per_quarter)
        if len(segment):
            segments.append((first, segment))
    return segments or [(0, notes)]


def segments_and_weights(
    notes: NoteSequence, n_steps: int, window_quarters: float, segment_quarters: int = SEGMENT_QUARTERS
) -> tuple[list[NoteSequence], np.ndarray]:
    """Return the segments of a piece and the weight of each segment in each window.

    Parameters
    ----------
    notes : NoteSequence
        Not empty.
    n_steps : int
        Length of the piece.
    window_quarters : float
        Length of a window. A remainder shorter than half a window belongs to the last one.
    segment_quarters : int
        Length of a segment.

    Returns
    -------
    segments : list of n_segments NoteSequence
    weights : float32 array (n_windows, n_segments)
        In proportion to the time that window and segment share; each row sums to 1.
    """
    length = n_steps / notes.steps_per_quarter
    segments = split_into_segments(notes, n_steps, segment_quarters)
    window_begin = window_quarters * np.arange(max(1, round(length / window_quarters)))
    window_end = np.r_[window_begin[1:], length]
    segment_begin = np.array([first for first, _ in segments], dtype=float)
    segment_end = segment_begin + segment_quarters
    shared = np.minimum(window_end[:, None], segment_end) - np.maximum(window_begin[:, None], segment_begin)
    shared = shared.clip(0)
    # A window in silence belongs to the nearest segment.
    silent = shared.sum(1) == 0
    window_middle = (window_begin + window_end)[silent, None] / 2
    nearest = np.abs(segment_begin + segment_quarters / 2 - window_middle).argmin(1)
    shared[silent, nearest] = 1
    weights = shared / shared.sum(1, keepdims=True)
    return [segment for _, segment in segments], weights.astype(np.float32)
