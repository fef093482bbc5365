"""The context that a model reads beside each token: by hand, at once and token by token, and in another key."""

from dataclasses import replace

import numpy as np
import pytest
from examples import OTHER_THEME, THEME, bars_to_notes, note_sequences, open_plan, pieces_with_form, up
from hypothesis import given
from hypothesis import strategies as st

from clara.encodings.notewise import Notewise
from clara.encodings.vocab import Vocab
from clara.form.context import (
    ATTRIBUTES,
    BAR_LENGTH,
    BARS_BEFORE,
    BARS_LEFT,
    CHORD,
    DENSITY,
    FOLLOWED_LIMITS,
    KEY,
    N_COLUMNS,
    ONSET_COLUMN,
    PHRASE,
    PLACE_COLUMN,
    PLAN_TRUST,
    REGISTER,
    TEXTURE,
    ContextReader,
    ContextTracker,
)
from clara.form.extraction import extract_plan
from clara.form.plan import EXACT, NEW, UNKNOWN
from clara.music.notes import NoteSequence, transpose

ENCODING = Notewise(12, 88)
VOCAB = Vocab.from_encoding(ENCODING)
READER = ContextReader(VOCAB, ENCODING)
N_BINS = len(FOLLOWED_LIMITS) + 1


def to_ids(notes):
    """Return the token ids of a piece, xxbos first."""
    return VOCAB.to_ids(["xxbos", *ENCODING.encode(notes)[0]])


def token_table(semitones):
    """Return the transposed id of each token; below 0 for tokens that leave the range or have no other."""
    moved = [None if token.startswith("xx") else ENCODING.transpose_token(token, semitones) for token in VOCAB.tokens]
    return np.array(
        [
            i if token.startswith("xx") else VOCAB.id_of.get(m, -1)
            for i, (token, m) in enumerate(zip(VOCAB.tokens, moved))
        ]
    )


def test_a_small_piece_by_hand():
    notes = bars_to_notes(THEME, OTHER_THEME, THEME, duration=12)
    plan, ids = extract_plan(notes), to_ids(notes)
    context = READER.read(ids, plan)
    tokens = VOCAB.to_tokens(ids)
    third = tokens.index("p40", 5)  # the first token of the third bar
    assert context.shape == (len(ids), N_COLUMNS)
    assert context[0, [PLACE_COLUMN, BAR_LENGTH, BARS_BEFORE, BARS_LEFT]].tolist() == [0, 48, 0, 2]
    assert context[third, [PLACE_COLUMN, BAR_LENGTH, BARS_BEFORE, BARS_LEFT]].tolist() == [0, 48, 2, 0]
    assert context[third - 1, 0] == ids[third] and context[third, 0] == ids[third + 1]
    assert context[third - 1, PLAN_TRUST] == EXACT * N_BINS  # nothing was followed so far
    assert context[third, PLAN_TRUST] == EXACT * N_BINS + 1
    assert context[0, PLAN_TRUST] == NEW * N_BINS and context[0, 0] == UNKNOWN
    expected = [plan.key[2], plan.chord[2], plan.register[2], plan.density[2], plan.texture[2]]
    assert context[third, [KEY, CHORD, REGISTER, DENSITY, TEXTURE]].tolist() == expected
    # Notes begin in the source now and after a quarter.
    assert context[third : third + 3, ONSET_COLUMN].tolist() == [12 + READER.layout.max_place + 1] * 3
    assert context[0, ONSET_COLUMN] == UNKNOWN


def test_bars_since_the_phrase_began():
    plan = open_plan([(NEW, -1)] * 12, phrase=[0, 1, 0, 0, 1, *[0] * 7])
    ids = VOCAB.to_ids(["xxbos", *["wait24", "wait24"] * 11])
    assert READER.read(ids, plan)[::2, PHRASE].tolist() == [0, 0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7]
    plan = open_plan([(NEW, -1)] * 12, phrase=[1, *[0] * 11])
    assert READER.read(ids, plan)[::2, PHRASE].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7]


def test_long_bars_and_many_bars():
    notes = NoteSequence.from_notes([(0, 12, 60), (12 * 4 * 80 - 12, 12, 60)], time_signatures=((0, 4, 4),))
    context = READER.read(to_ids(notes), extract_plan(notes))
    assert context[0, BARS_LEFT] == READER.layout.sizes[BARS_LEFT] - 1 == context[-1, BARS_BEFORE]
    notes = NoteSequence.from_notes([(0, 12, 60), (300, 12, 60)], time_signatures=((0, 16, 4),))
    context = READER.read(to_ids(notes), extract_plan(notes))
    assert context[:, [PLACE_COLUMN, BAR_LENGTH]].max(0).tolist() == [READER.layout.max_place] * 2


def test_an_open_plan_says_only_where_bars_are():
    plan = open_plan([(UNKNOWN, UNKNOWN)] * 2)
    context = READER.read(to_ids(bars_to_notes(THEME, THEME)), plan)
    assert (context[:, [0, *ATTRIBUTES, ONSET_COLUMN]] == UNKNOWN).all() and (context[:, PLAN_TRUST] < 0).all()
    assert set(context[:, BARS_BEFORE].tolist()) == {0, 1}
    rows = READER.layout.to_rows(context)
    assert (rows[:, [0, PLAN_TRUST, *ATTRIBUTES]] == 0).all()


def test_nothing_is_known():
    unknown = READER.unknown(3)
    assert unknown.shape == (3, N_COLUMNS) and (READER.layout.to_rows(unknown) == 0).all()


@given(pieces_with_form() | note_sequences(min_notes=1))
def test_every_category_has_a_row_of_its_own(notes):
    layout = READER.layout
    context = READER.read(to_ids(notes), extract_plan(notes))
    assert (context >= UNKNOWN).all() and (context < layout.sizes).all()
    rows = layout.to_rows(context)
    begins = 1 + np.cumsum([0, *layout.sizes[:-1]])
    is_known = context >= 0
    assert (rows[~is_known] == 0).all()
    assert ((rows >= begins) & (rows < begins + layout.sizes))[is_known].all()
    assert layout.n_rows == 1 + sum(layout.sizes)


@given(pieces_with_form() | note_sequences(min_notes=1), st.integers(1, 80))
def test_token_by_token_equals_at_once(notes, n_past):
    plan, ids = extract_plan(notes), to_ids(notes)
    n_past = min(n_past, len(ids))
    expected = READER.read(ids, plan)
    other = open_plan([(NEW, UNKNOWN)] * 3)
    tracker = ContextTracker(READER, [ids[:n_past], ids[:1]], np.array([0, 1, 0]), [plan, other, plan])
    assert (tracker.context[[0, 2]] == expected[n_past - 1]).all()
    tracker.take(np.array([2, 0, 1]))
    for i in range(n_past, len(ids)):
        tracker.append(ids[[i, i, i - n_past + 1]])
        assert (tracker.context[:2] == expected[i]).all()
    written = ids[: len(ids) - n_past + 1]
    assert (tracker.context[2] == READER.read(written, other)[-1]).all()


def test_the_text_of_one_plan_does_not_change_another():
    """A shorter plan beside a longer one ends where it ends."""
    notes = bars_to_notes(THEME, THEME, OTHER_THEME, THEME)
    plan, ids = extract_plan(notes), to_ids(notes)
    short = extract_plan(bars_to_notes(THEME, THEME))
    tracker = ContextTracker(READER, [ids[:1]], np.array([0, 0]), [plan, short])
    for i in range(1, len(ids)):
        tracker.append(ids[[i, i]])
    assert (tracker.context[1] == READER.read(ids, short)[-1]).all()


@given(pieces_with_form(), st.integers(-11, 11))
def test_a_piece_in_another_key_has_the_context_in_another_key(notes, semitones):
    plan = extract_plan(notes)
    higher = transpose(notes, semitones)[0]
    context = READER.read(to_ids(notes), plan)
    table = token_table(semitones)
    moved = READER.layout.transpose(context, semitones, table)
    assert (moved == READER.read(to_ids(higher), plan.transpose(semitones))).all()


def test_a_candidate_that_leaves_the_range_is_unknown():
    notes = bars_to_notes(*[up(THEME, 34)] * 2)  # up to the highest key but two
    context = READER.read(to_ids(notes), extract_plan(notes))
    moved = READER.layout.transpose(context, 5, token_table(5))
    assert (moved[:, :4] >= UNKNOWN).all() and (moved[:, :4] == UNKNOWN).sum() > (context[:, :4] == UNKNOWN).sum()
    lost = (moved[:, 1:4] == UNKNOWN) & (context[:, 1:4] != UNKNOWN)
    assert lost.any() and (moved[:, 5:8][lost] == UNKNOWN).all()


def test_transposing_back_gives_the_same():
    notes = bars_to_notes(THEME, OTHER_THEME, THEME, up(THEME, 2))
    context = READER.read(to_ids(notes), extract_plan(notes))
    there = READER.layout.transpose(context, 4, token_table(4))
    assert (READER.layout.transpose(there, -4, token_table(-4)) == context).all()


@pytest.mark.parametrize("name", ["key", "chord", "register", "density", "texture", "phrase"])
def test_a_plan_may_leave_each_attribute_open(name):
    notes = bars_to_notes(THEME, OTHER_THEME, THEME)
    plan = extract_plan(notes)
    column = dict(zip(("key", "chord", "register", "density", "texture", "phrase"), ATTRIBUTES))[name]
    known = READER.read(to_ids(notes), plan)
    context = READER.read(to_ids(notes), replace(plan, **{name: np.full(3, UNKNOWN)}))
    assert (context[:, column] == UNKNOWN).all()
    assert (np.delete(context, column, 1) == np.delete(known, column, 1)).all()
