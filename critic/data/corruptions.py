"""Corruptions of human music, so that a critic does not mistake mere surprise for invention."""

from collections.abc import Callable

import numpy as np

from clara.music.notes import NoteSequence, crop, rebuild_notes

BAR = 4  # quarters
MOVED_SHARE = 0.25  # of the notes


def _shuffle_bars(notes, rng):
    """Shuffle the bars; a note that sounds over a bar line ends there."""
    bar_steps = BAR * notes.steps_per_quarter
    n_bars = -(-notes.n_steps // bar_steps)
    bars = []
    for position, bar in enumerate(rng.permutation(n_bars)):
        piece = crop(notes, bar * bar_steps, (bar + 1) * bar_steps)
        shift = position * bar_steps
        bars.append((piece.start + shift, piece.end + shift, piece.pitch, piece.part))
    return rebuild_notes(notes, *(np.concatenate(column) for column in zip(*bars)))[0]


def _move_pitches(notes, rng):
    """Move some notes up or down by one to three semitones."""
    shift = rng.choice([-3, -2, -1, 1, 2, 3], len(notes)) * (rng.random(len(notes)) < MOVED_SHARE)
    return rebuild_notes(notes, notes.start, notes.end, (notes.pitch + shift).clip(21, 108), notes.part)[0]


def _delay_onsets(notes, rng):
    """Delay some notes by up to half a quarter."""
    delay = rng.integers(1, notes.steps_per_quarter // 2 + 1, len(notes)) * (rng.random(len(notes)) < MOVED_SHARE)
    return rebuild_notes(notes, notes.start + delay, notes.end + delay, notes.pitch, notes.part)[0]


def _randomize(notes, rng):
    """Put notes of the same durations and pitches at random times."""
    start = rng.integers(0, max(1, notes.n_steps - 1), len(notes))
    end = start + rng.permutation(notes.duration)
    return rebuild_notes(notes, start, end, rng.permutation(notes.pitch), notes.part)[0]


CORRUPTIONS: dict[str, Callable[[NoteSequence, np.random.Generator], NoteSequence]] = {
    "bars shuffled": _shuffle_bars,
    "pitches moved": _move_pitches,
    "onsets delayed": _delay_onsets,
    "randomized": _randomize,
}
