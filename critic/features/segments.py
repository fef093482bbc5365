"""A piece in stretches of some quarters, half over one another, and how much of each window lies in each."""

import numpy as np

from clara.music.notes import crop

SEGMENT_QUARTERS = 32  # quarters that are judged together
STEPS_PER_QUARTER = 12  # of a quarter, that lengths and places are counted in


def split_into_segments(notes, n_steps, quarters=SEGMENT_QUARTERS):
    """A piece in parts of some quarters, at least half over one another, the last up to the end; all of it where it is no longer.

    Parameters
    ----------
    notes : NoteSequence
    n_steps : length
    quarters : of a part

    Returns
    -------
    list of (first quarter, NoteSequence); silent parts are left out, unless all are
    """
    length = n_steps / notes.steps_per_quarter
    n = 1 + int(np.ceil(max(0, length - quarters) / (quarters / 2)))
    firsts = [0] if n == 1 else np.floor(np.linspace(0, length - quarters, n)).astype(int).tolist()
    parts = (
        [(at, crop(notes, at * notes.steps_per_quarter, (at + quarters) * notes.steps_per_quarter)) for at in firsts]
        if n > 1
        else [(0, notes)]
    )
    return [(at, part) for at, part in parts if len(part)] or [(0, notes)]


def segments_and_weights(notes, n_steps, window_quarters):
    """A piece in stretches, and how much of each window is in each.

    Parameters
    ----------
    notes : NoteSequence, not empty
    n_steps : length
    window_quarters : length of a window; a rest, if shorter than half a window, joins the last

    Returns
    -------
    parts : list of n_stretches NoteSequence
    cover : float32 (n_windows, n_stretches), how much each stretch counts in each window; rows add up to 1
    """
    length = n_steps / notes.steps_per_quarter
    parts = split_into_segments(notes, n_steps)
    begin = window_quarters * np.arange(max(1, round(length / window_quarters)))
    end = np.r_[begin[1:], length]
    first = np.array([at for at, _ in parts], dtype=float)
    cover = (np.minimum(end[:, None], first + SEGMENT_QUARTERS) - np.maximum(begin[:, None], first)).clip(0)
    alone = cover.sum(1) == 0  # a window in silence goes with the nearest stretch
    cover[alone, np.abs(first + SEGMENT_QUARTERS / 2 - (begin + end)[alone, None] / 2).argmin(1)] = 1
    return [part for _, part in parts], (cover / cover.sum(1, keepdims=True)).astype(np.float32)
