"""Velocities by the place in the bar."""

import numpy as np
import pytest
from examples import note_sequences
from hypothesis import given
from hypothesis import strategies as st

from clara.music.accents import (
    BEAT_VELOCITY,
    DOWNBEAT_VELOCITY,
    FLAT_VELOCITY,
    OFFBEAT_VELOCITY,
    note_velocities,
)
from clara.music.notes import build_notes, crop

DOWN, BEAT, OFF = DOWNBEAT_VELOCITY, BEAT_VELOCITY, OFFBEAT_VELOCITY


def steps(n, time_signatures, steps_per_quarter=4):
    """Return a note on each of n steps."""
    return build_notes(
        np.arange(n),
        np.arange(n) + 1,
        np.full(n, 60),
        time_signatures=time_signatures,
        steps_per_quarter=steps_per_quarter,
    )[0]


@pytest.mark.parametrize(
    "time_signatures, expected",
    [
        (
            ((0, 4, 4),),
            [DOWN, OFF, OFF, OFF, BEAT, OFF, OFF, OFF, BEAT, OFF, OFF, OFF, BEAT, OFF, OFF, OFF, DOWN, OFF, OFF, OFF],
        ),
        (((0, 3, 4),), [DOWN, OFF, OFF, OFF, BEAT, OFF, OFF, OFF, BEAT, OFF, OFF, OFF, DOWN, OFF, OFF, OFF]),
        (((0, 2, 2),), [DOWN, *[OFF] * 7, BEAT, *[OFF] * 7, DOWN, OFF]),
        (((0, 6, 8),), [DOWN, *[OFF] * 5, BEAT, *[OFF] * 5, DOWN, OFF]),
        (((0, 3, 8),), [DOWN, OFF, BEAT, OFF, BEAT, OFF, DOWN]),
        (((-4, 3, 4),), [BEAT, OFF, OFF, OFF, BEAT, OFF, OFF, OFF, DOWN, OFF]),
        (
            ((0, 2, 4), (8, 3, 4)),
            [
                DOWN,
                OFF,
                OFF,
                OFF,
                BEAT,
                OFF,
                OFF,
                OFF,
                DOWN,
                OFF,
                OFF,
                OFF,
                BEAT,
                OFF,
                OFF,
                OFF,
                BEAT,
                OFF,
                OFF,
                OFF,
                DOWN,
            ],
        ),
    ],
    ids=["4/4", "3/4", "2/2", "6/8", "3/8", "inside a bar", "changing"],
)
def test_by_the_place_in_the_bar(time_signatures, expected):
    assert note_velocities(steps(len(expected), time_signatures)).tolist() == expected


@pytest.mark.parametrize("steps_per_quarter", [1, 3, 5, 7])
def test_on_grids_that_a_beat_falls_between(steps_per_quarter):
    """Of 7/16 on a coarse grid few beats fall on a step; those are accented."""
    n = 7 * 4 * steps_per_quarter
    place = np.arange(n) * 16 / (4 * steps_per_quarter)  # in sixteenths, exactly
    expected = np.where(place % 7 == 0, DOWN, np.where(place % 1 == 0, BEAT, OFF))
    assert note_velocities(steps(n, ((0, 7, 16),), steps_per_quarter)).tolist() == expected.tolist()


@given(note_sequences(parts=2))
def test_flat_is_flat_and_accents_are_among_three(notes):
    assert set(note_velocities(notes, flat=True).tolist()) <= {FLAT_VELOCITY}
    assert len(note_velocities(notes)) == len(notes) and set(note_velocities(notes).tolist()) <= {DOWN, BEAT, OFF}


@given(note_sequences(min_notes=1), st.integers(0, 100))
def test_an_excerpt_keeps_its_accents(notes, first):
    kept = crop(notes, first, notes.n_steps)
    inside = notes.start >= first
    assert (
        note_velocities(kept)[kept.start + first >= first][-inside.sum() :].tolist()
        == note_velocities(notes)[inside].tolist()
        or not inside.any()
    )
