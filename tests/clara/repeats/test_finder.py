"""The repeats found equal those of a search by the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara import encodings
from clara.encodings.notewise import Notewise
from clara.encodings.vocab import CONTROL_TOKENS, Vocab
from clara.repeats.finder import INITIAL_ROOM, MAX_LOOKBACK, RepeatFinder, TranspositionTable, find_repeats

pytestmark = pytest.mark.slow

ENCODING = Notewise(12, 88)
VOCAB = Vocab.from_encoding(ENCODING)
TABLE = TranspositionTable(VOCAB, ENCODING)
NONE = (-1, 0, 0, 0)


def naive(tokens):
    """Return the longest run by the definition, over every earlier position and every shift."""
    best = (0, 0, 0, 0)
    for place in range(len(tokens) - 1):
        for by in range(-30, 31):
            length = 0
            while (
                length <= place
                and ENCODING.transpose_token(tokens[place - length], by) == tokens[len(tokens) - 1 - length]
            ):
                length += 1
            best = max(best, (length, by == 0, place, by))
    length, _, place, by = best
    if not length:
        return NONE
    ago = len(tokens) - 1 - place
    named = ENCODING.transpose_token(tokens[place + 1], by) if length < ago else None
    return (-1 if named is None else VOCAB.id_of[named]), length, int(by != 0), ago


def found(tokens):
    return [tuple(row) for row in find_repeats(TABLE, VOCAB.to_ids(tokens)).tolist()]


few_tokens = st.lists(
    st.sampled_from(["p40", "p42", "p45", "endp40", "endp42", "wait6", "wait12"]), min_size=1, max_size=40
)


@given(few_tokens)
def test_every_position_equals_the_definition(tokens):
    assert found(tokens) == [naive(tokens[:n]) for n in range(1, len(tokens) + 1)]


def test_a_repeated_tune_is_followed():
    tune = ["p40", "wait6", "endp40", "p44", "wait6", "endp44", "p47", "wait12", "endp47"]
    repeat = found([*tune, "p30", "wait3", "endp30", *tune])[-5]
    assert (VOCAB.tokens[repeat[0]], *repeat[1:]) == ("endp44", 5, 0, 12)


def test_a_transposed_tune_is_followed_in_its_key():
    tune = ["p40", "wait6", "endp40", "p44", "wait6", "endp44", "p47", "wait12", "endp47"]
    repeat = found([*tune, "p30", "wait3", "endp30", *(ENCODING.transpose_token(w, 5) for w in tune)])[-5]
    assert (VOCAB.tokens[repeat[0]], *repeat[1:]) == ("endp49", 5, 1, 12)


def test_an_overlapping_repeat_names_no_candidate():
    figure = ["p40", "wait6", "endp40", "p44", "wait6", "endp44"]
    assert found(figure * 3)[-1] == (-1, 12, 0, 6)
    assert found([*figure, *figure[:4]])[-1][1] == 4


def test_a_key_that_is_not_on_the_piano_is_no_candidate():
    high = found(["p70", "wait6", "p80", "p1", "p79", "wait6"])[-1]
    assert high == (-1, 2, 1, 4)


@pytest.mark.parametrize(
    "settings",
    [{"encoding": name} for name in ("notewise", "chordwise", "melodywise", "framewise", "chamber", "quartet")],
    ids=str,
)
def test_tokens_of_one_shape_are_transpositions(settings):
    encoding = encodings.make_encoding(settings)
    vocab = Vocab.from_encoding(encoding)
    table = TranspositionTable(vocab, encoding)
    assert (table.token_at[table.shape, table.height] == np.arange(len(vocab))).all()
    for i, token in enumerate(vocab.tokens):
        if token in CONTROL_TOKENS:
            assert not table.has_pitch[i]
            continue
        up = encoding.transpose_token(token, 2)
        if up == token:
            assert not table.has_pitch[i]
        elif up in vocab.id_of:
            j = vocab.id_of[up]
            assert (table.shape[j], table.height[j]) == (table.shape[i], table.height[i] + 2)


def test_texts_side_by_side_have_the_repeats_of_each_alone():
    rng = np.random.default_rng(0)
    ids = VOCAB.to_ids(["p40", "p42", "wait6", "endp40", "endp42"])[rng.integers(5, size=(3, 60))]
    finder = RepeatFinder(TABLE, [ids[0, :20], ids[1, :20], ids[2, :20]], np.array([0, 1, 2]))
    for at in range(20, 60):
        if at == 40:
            finder.take(np.array([2, 0]))
            ids = ids[[2, 0]]
        finder.append(ids[:, at])
        for row, text in zip(finder.repeats.tolist(), ids):
            assert row == find_repeats(TABLE, text[: at + 1])[-1].tolist()


def test_texts_continue_pasts_of_several_lengths_and_outgrow_the_room():
    rng = np.random.default_rng(1)
    tokens = VOCAB.to_ids(["p40", "p42", "wait6", "endp40", "endp42"])
    long, short = tokens[rng.integers(5, size=50)], tokens[rng.integers(5, size=7)]
    finder, texts = RepeatFinder(TABLE, [long, short], np.array([1, 0, 1])), [short, long, short]
    for _ in range(INITIAL_ROOM + 3):
        more = tokens[rng.integers(5, size=3)]
        finder.append(more)
        texts = [np.append(t, m) for t, m in zip(texts, more)]
    assert [row.tolist() for row in finder.repeats] == [find_repeats(TABLE, t)[-1].tolist() for t in texts]


@pytest.mark.parametrize("further", [-20, 1])
def test_the_lookback_is_limited(further):
    tune = VOCAB.to_ids(["p40", "wait6", "endp40", "p44", "wait6", "endp44", "p47"])
    between = (
        np.arange(MAX_LOOKBACK + further - len(tune)) % 2 + VOCAB.id_of["wait1"]
    )  # two kinds of waits, none of which is in the tune
    repeat = find_repeats(TABLE, np.concatenate([tune, between, tune]))[-2]
    assert (repeat[1] == 6) == (further < 0)


def test_an_empty_past_has_no_repeat():
    assert RepeatFinder(TABLE, [np.zeros(0, dtype=np.int64)], np.zeros(2, dtype=np.int64)).repeats[:, 0].tolist() == [
        -1,
        -1,
    ]
