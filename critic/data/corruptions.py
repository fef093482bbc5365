"""Ways to damage human music, so that a critic does not take surprise for invention: each of (NoteSequence, numpy generator) gives a NoteSequence."""

import numpy as np

from clara.music.notes import crop, rebuild_notes

BAR = 4  # quarters
MOVED = 0.25  # share of the notes that a damage moves


def _bars_shuffled(notes, rng):
    """The bars in another order; what sounds over a bar line ends there."""
    length, parts = BAR * notes.steps_per_quarter, []
    for to, bar in enumerate(rng.permutation(-(-notes.n_steps // length))):
        piece = crop(notes, bar * length, (bar + 1) * length)
        parts.append((piece.start + to * length, piece.end + to * length, piece.pitch, piece.part))
    return rebuild_notes(notes, *(np.concatenate(column) for column in zip(*parts)))[0]


def _pitches_moved(notes, rng):
    """Some notes a semitone to three too high or too low."""
    move = rng.choice([-3, -2, -1, 1, 2, 3], len(notes)) * (rng.random(len(notes)) < MOVED)
    return rebuild_notes(notes, notes.start, notes.end, (notes.pitch + move).clip(21, 108), notes.part)[0]


def _onsets_moved(notes, rng):
    """Some notes up to half a quarter too late."""
    late = rng.integers(1, notes.steps_per_quarter // 2 + 1, len(notes)) * (rng.random(len(notes)) < MOVED)
    return rebuild_notes(notes, notes.start + late, notes.end + late, notes.pitch, notes.part)[0]


def _by_chance(notes, rng):
    """As many notes of these lengths and pitches, anywhere."""
    start = rng.integers(0, max(1, notes.n_steps - 1), len(notes))
    return rebuild_notes(notes, start, start + rng.permutation(notes.duration), rng.permutation(notes.pitch), notes.part)[0]


CORRUPTIONS = {
    "bars shuffled": _bars_shuffled,
    "pitches moved": _pitches_moved,
    "onsets moved": _onsets_moved,
    "by chance": _by_chance,
}
