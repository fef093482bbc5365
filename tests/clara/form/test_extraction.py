"""Plans read from small handwritten pieces."""

from dataclasses import fields

import numpy as np
import pytest
from examples import OTHER_THEME, THEME, bars_to_notes, note_sequences, pieces_with_form, up
from hypothesis import given
from hypothesis import strategies as st

from clara.form.extraction import DENSITY_LIMITS, TEXTURE_LIMITS, extract_plan
from clara.form.plan import (
    COLUMNS,
    EXACT,
    MAX_DENSITY,
    MAX_TEXTURE,
    N_KEYS,
    N_PITCHES,
    NEW,
    SILENT,
    TRANSPOSED,
    UNKNOWN,
    Plan,
)
from clara.music.notes import NoteSequence, transpose


def columns(plan):
    """Return all arrays of a plan, for comparison."""
    return {field.name: np.asarray(getattr(plan, field.name)).tolist() for field in fields(Plan)}


def test_a_small_piece_by_hand():
    notes = bars_to_notes(THEME, OTHER_THEME, [], THEME, up(THEME, 5), duration=12)
    plan = extract_plan(notes)
    assert len(plan) == 5 and plan.n_steps == 240 and plan.begin.tolist() == [0, 48, 96, 144, 192, 240]
    assert plan.relation.tolist() == [NEW, NEW, SILENT, EXACT, TRANSPOSED]
    assert plan.source.tolist() == [UNKNOWN, UNKNOWN, UNKNOWN, 0, 3]
    assert plan.shift.tolist() == [0, 0, 0, 0, 5]
    assert plan.chord.tolist() == [0, 5, UNKNOWN, 0, 5]  # C, F
    assert plan.density.tolist() == [2, 2, 0, 2, 2]  # a note each quarter
    assert plan.register.tolist() == [66, 71, UNKNOWN, 66, 71]  # means 65.75, 71, 65.75, 70.75
    assert plan.texture.tolist() == [0, 0, UNKNOWN, 0, 0]
    assert plan.phrase[0] == 1 and set(plan.phrase.tolist()) <= {0, 1}
    assert (plan.time_signatures, plan.steps_per_quarter) == (((0, 4, 4),), 12)


@pytest.mark.parametrize("density", range(MAX_DENSITY + 1))
def test_densities(density):
    """Bars of 8 quarters hold as many notes as a limit asks for, and one less."""
    limits = (0, *DENSITY_LIMITS)
    n_notes = int(np.ceil(8 * limits[density])) or 1
    notes = bars_to_notes([(i, 60) for i in range(n_notes)], duration=1, time_signatures=((0, 8, 4),))
    assert extract_plan(notes).density[0] == density
    if density > 1:
        notes = bars_to_notes([(i, 60) for i in range(n_notes - 1)], duration=1, time_signatures=((0, 8, 4),))
        assert extract_plan(notes).density[0] == density - 1


@pytest.mark.parametrize("texture", range(MAX_TEXTURE + 1))
def test_textures(texture):
    limits = (1, *TEXTURE_LIMITS)
    n_onsets = 4
    n_notes = int(np.ceil(n_onsets * limits[texture]))
    bar = [(12 * (i % n_onsets), 40 + i) for i in range(n_notes)]
    assert extract_plan(bars_to_notes(bar)).texture[0] == texture


def test_a_mean_pitch_between_two_is_rounded_up():
    assert extract_plan(bars_to_notes([(0, 60), (0, 61)])).register[0] == 61
    assert extract_plan(bars_to_notes([(0, 61), (0, 62)])).register[0] == 62


def test_time_signatures_of_bars():
    signatures = ((-12, 3, 4), (60, 2, 4), (108, 6, 8))
    notes = NoteSequence.from_notes([(0, 6, 60), (150, 12, 60)], time_signatures=signatures)
    plan = extract_plan(notes)
    assert plan.begin.tolist() == [-12, 24, 60, 84, 108, 144, 180]
    assert list(zip(plan.numerator.tolist(), plan.denominator.tolist())) == [(3, 4)] * 2 + [(2, 4)] * 2 + [(6, 8)] * 2
    assert plan.time_signatures == signatures


def test_the_first_phrase_starts_with_the_music():
    plan = extract_plan(bars_to_notes([], [], THEME, OTHER_THEME))
    assert plan.phrase.tolist()[:3] == [0, 0, 1]


@given(note_sequences(min_notes=1) | pieces_with_form())
def test_every_number_is_in_range(notes):
    plan = extract_plan(notes)
    n = len(plan)
    assert all(getattr(plan, name).shape == (n,) and getattr(plan, name).dtype == np.int64 for name in COLUMNS)
    assert plan.begin.shape == (n + 1,) and plan.n_steps >= notes.n_steps
    for values, top in (
        (plan.key, N_KEYS - 1),
        (plan.chord, N_KEYS - 1),
        (plan.register, N_PITCHES - 1),
        (plan.density, MAX_DENSITY),
        (plan.texture, MAX_TEXTURE),
        (plan.phrase, 1),
    ):
        assert values.min() >= UNKNOWN and values.max() <= top
    assert plan.home in plan.key
    assert (plan.source < np.arange(n)).all() and (plan.relation != EXACT)[0]
    assert ((plan.register == UNKNOWN) == (plan.relation == SILENT)).all()


@given(pieces_with_form(), st.integers(-11, 11))
def test_a_piece_in_another_key_has_the_plan_in_another_key(notes, semitones):
    expected, plan = (
        columns(extract_plan(notes).transpose(semitones)),
        columns(extract_plan(transpose(notes, semitones)[0])),
    )
    for name in ("key", "home"):  # keys that fit equally well are numbered from C up, so ties may fall differently
        expected.pop(name), plan.pop(name)
    assert plan == expected


@pytest.mark.parametrize("semitones", [-7, -1, 4])
def test_keys_move_with_the_music(semitones):
    notes = bars_to_notes(*[THEME, OTHER_THEME, up(THEME, 7), THEME] * 2, *[up(THEME, 6)] * 5, duration=12)
    assert columns(extract_plan(transpose(notes, semitones)[0])) == columns(extract_plan(notes).transpose(semitones))


def test_a_transposed_plan_stays_in_the_range_of_pitches():
    plan = extract_plan(bars_to_notes([(0, 120)], [], [(0, 2)]))
    assert plan.transpose(11).register.tolist() == [127, UNKNOWN, 13]
    assert plan.transpose(-11).register.tolist() == [109, UNKNOWN, 0]
    assert plan.transpose(12).home == plan.home
