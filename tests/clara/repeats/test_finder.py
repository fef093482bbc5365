"""Where a text has said before what it says now, against a search by the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara import encodings
from clara.encodings.notewise import Notewise
from clara.encodings.vocab import CONTROL_TOKENS, Vocab
from clara.repeats.finder import INITIAL_ROOM, MAX_LOOKBACK, RepeatFinder, TranspositionTable, find_repeats

ENCODING = Notewise(12, 88)
VOCAB = Vocab.from_encoding(ENCODING)
TABLE = TranspositionTable(VOCAB, ENCODING)
NONE = (-1, 0, 0, 0)


def naive(words):
    """By the definition: of every earlier place and every shift the run of words that ends there, the longest."""
    best = (0, 0, 0, 0)
    for place in range(len(words) - 1):
        for by in range(-30, 31):
            length = 0
            while (
                length <= place
                and ENCODING.transpose_token(words[place - length], by) == words[len(words) - 1 - length]
            ):
                length += 1
            best = max(best, (length, by == 0, place, by))
    length, _, place, by = best
    if not length:
        return NONE
    ago = len(words) - 1 - place
    named = ENCODING.transpose_token(words[place + 1], by) if length < ago else None
    return (-1 if named is None else VOCAB.id_of[named]), length, int(by != 0), ago


def found(words):
    return [tuple(row) for row in find_repeats(TABLE, VOCAB.to_ids(words)).tolist()]


few_words = st.lists(
    st.sampled_from(["p40", "p42", "p45", "endp40", "endp42", "wait6", "wait12"]), min_size=1, max_size=40
)


@given(few_words)
def test_every_place_as_by_the_definition(words):
    assert found(words) == [naive(words[:n]) for n in range(1, len(words) + 1)]


def test_a_tune_that_comes_again_is_followed():
    tune = ["p40", "wait6", "endp40", "p44", "wait6", "endp44", "p47", "wait12", "endp47"]
    told = found([*tune, "p30", "wait3", "endp30", *tune])[-5]
    assert (VOCAB.tokens[told[0]], *told[1:]) == ("endp44", 5, 0, 12)


def test_in_another_key_it_is_followed_in_that_key():
    tune = ["p40", "wait6", "endp40", "p44", "wait6", "endp44", "p47", "wait12", "endp47"]
    told = found([*tune, "p30", "wait3", "endp30", *(ENCODING.transpose_token(w, 5) for w in tune)])[-5]
    assert (VOCAB.tokens[told[0]], *told[1:]) == ("endp49", 5, 1, 12)


def test_what_comes_round_and_round_is_let_be():
    figure = ["p40", "wait6", "endp40", "p44", "wait6", "endp44"]
    assert found(figure * 3)[-1] == (-1, 12, 0, 6)
    assert found([*figure, *figure[:4]])[-1][1] == 4


def test_a_key_that_is_not_on_the_piano_is_not_named():
    high = found(["p70", "wait6", "p80", "p1", "p79", "wait6"])[-1]
    assert high == (-1, 2, 1, 4)


@pytest.mark.parametrize(
    "told",
    [{"encoding": name} for name in ("notewise", "chordwise", "melodywise", "framewise", "chamber", "quartet")],
    ids=str,
)
def test_words_of_one_form_are_one_music(told):
    encoding = encodings.make_encoding(told)
    vocab = Vocab.from_encoding(encoding)
    table = TranspositionTable(vocab, encoding)
    assert (table.token_at[table.shape, table.height] == np.arange(len(vocab))).all()
    for i, word in enumerate(vocab.tokens):
        if word in CONTROL_TOKENS:
            assert not table.has_pitch[i]
            continue
        up = encoding.transpose_token(word, 2)
        if up == word:
            assert not table.has_pitch[i]
        elif up in vocab.id_of:
            j = vocab.id_of[up]
            assert (table.shape[j], table.height[j]) == (table.shape[i], table.height[i] + 2)


def test_texts_side_by_side_and_word_by_word_find_the_same():
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


def test_texts_go_on_from_pasts_of_several_lengths_and_longer_than_the_room():
    rng = np.random.default_rng(1)
    words = VOCAB.to_ids(["p40", "p42", "wait6", "endp40", "endp42"])
    long, short = words[rng.integers(5, size=50)], words[rng.integers(5, size=7)]
    finder, texts = RepeatFinder(TABLE, [long, short], np.array([1, 0, 1])), [short, long, short]
    for _ in range(INITIAL_ROOM + 3):
        more = words[rng.integers(5, size=3)]
        finder.append(more)
        texts = [np.append(t, m) for t, m in zip(texts, more)]
    assert [row.tolist() for row in finder.repeats] == [find_repeats(TABLE, t)[-1].tolist() for t in texts]


@pytest.mark.parametrize("further", [-20, 1])
def test_what_is_too_far_back_is_forgotten(further):
    tune = VOCAB.to_ids(["p40", "wait6", "endp40", "p44", "wait6", "endp44", "p47"])
    between = (
        np.arange(MAX_LOOKBACK + further - len(tune)) % 2 + VOCAB.id_of["wait1"]
    )  # two kinds of waits, in which nothing of the tune stands
    told = find_repeats(TABLE, np.concatenate([tune, between, tune]))[-2]
    assert (told[1] == 6) == (further < 0)


def test_an_empty_past_has_found_nothing():
    assert RepeatFinder(TABLE, [np.zeros(0, dtype=np.int64)], np.zeros(2, dtype=np.int64)).repeats[:, 0].tolist() == [
        -1,
        -1,
    ]
