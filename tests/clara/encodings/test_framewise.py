"""What is framewise's own: frames of what sounds, strikes lost and counted."""

import numpy as np
import pytest
from examples import note_sequences, rows
from hypothesis import given

from clara.encodings.framewise import Framewise
from clara.music.notes import build_notes


def roll(notes, n_keys=88):
    """Return a piano roll, bool (n_steps, keys)."""
    frames = np.zeros((notes.n_steps, n_keys), dtype=bool)
    for start, duration, pitch in rows(notes):
        frames[start : start + duration, pitch - 21] = True
    return frames


def test_by_hand():
    notes, _ = build_notes([0, 0, 3], [2, 1, 4], [60, 64, 60], steps_per_quarter=4)
    assert Framewise().encode(notes)[0] == ["p40", "p44", "frame", "p40", "frame", "frame", "p40", "frame"]


@given(note_sequences(4))
def test_the_piano_roll_comes_back_frame_by_frame(notes):
    back = Framewise().decode(Framewise().encode(notes)[0])[0]
    assert np.array_equal(roll(back), roll(notes))


def test_a_key_struck_again_is_one_note_and_counted():
    notes, _ = build_notes([0, 2, 5], [2, 4, 6], [60, 60, 60], steps_per_quarter=4)
    tokens, losses = Framewise().encode(notes)
    assert losses == {"merged": 1}
    assert rows(Framewise().decode(tokens)[0]) == [(0, 4, 60), (5, 1, 60)]


@pytest.mark.parametrize(
    "text, expected, losses",
    [
        ("p40 p40 frame", [(0, 1, 60)], {"repeated": 1}),
        ("p44 p40 frame", [(0, 1, 60), (0, 1, 64)], {}),
        ("p40 frame p42", [(0, 1, 60), (1, 1, 62)], {"unended": 1}),
    ],
)
def test_what_is_mended(text, expected, losses):
    notes, lost = Framewise().decode(text)
    assert rows(notes) == expected and lost == losses
