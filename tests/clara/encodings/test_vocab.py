"""Words and ids, on disk too, and the tables that move ids to another key."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara.encodings.notewise import Notewise
from clara.encodings.vocab import CONTROL_TOKENS, Vocab, transposition_tables
from clara.errors import CheckpointMismatch, UnknownToken

ENCODING = Notewise(4, 38)
VOCAB = Vocab.from_encoding(ENCODING)


def test_control_tokens_come_first_then_the_encodings():
    assert VOCAB.tokens == (*CONTROL_TOKENS, *ENCODING.tokens)
    assert (VOCAB.pad_id, VOCAB.bos_id, VOCAB.eos_id) == (0, 1, 2)
    assert len(VOCAB) == 3 + len(ENCODING.tokens)


def test_control_tokens_may_stand_anywhere():
    vocab = Vocab(["p1", "xxeos", "xxpad", "xxbos"])
    assert (vocab.pad_id, vocab.bos_id, vocab.eos_id) == (2, 3, 1)


@given(st.lists(st.sampled_from(VOCAB.tokens)))
def test_tokens_to_ids_and_back(tokens):
    ids = VOCAB.to_ids(tokens)
    assert ids.dtype == np.int64 and ids.shape == (len(tokens),)
    assert VOCAB.to_tokens(ids) == tokens
    assert [VOCAB.tokens[i] for i in ids] == tokens


def test_unknown_tokens_are_named_with_their_place():
    with pytest.raises(UnknownToken, match="token 3, 'p99', is not in the vocabulary of 87 tokens"):
        VOCAB.to_ids(["xxbos", "wait1", "p99", "p98"])


@pytest.mark.parametrize(
    "tokens, message",
    [
        ([*CONTROL_TOKENS, "p1", "p1"], "twice"),
        (["xxbos", "p1"], "lacks xxpad, xxeos"),
    ],
)
def test_what_is_no_vocabulary(tokens, message):
    with pytest.raises(CheckpointMismatch, match=message):
        Vocab(tokens)


def test_saved_one_token_a_line_and_loaded(tmp_path):
    VOCAB.save(tmp_path / "vocab.txt")
    assert (tmp_path / "vocab.txt").read_text().splitlines() == list(VOCAB.tokens)
    assert Vocab.load(tmp_path / "vocab.txt") == VOCAB
    assert Vocab(CONTROL_TOKENS) != VOCAB and VOCAB.tokens != VOCAB


def test_tables_move_keys_and_leave_waits_and_control_tokens():
    tables = transposition_tables(VOCAB, ENCODING, [0, 3, -1])
    assert tables.dtype == np.int16 and tables.shape == (3, len(VOCAB))
    assert (tables[0] == np.arange(len(VOCAB))).all()
    text = ["xxbos", "p30", "wait5", "endp30", "xxeos", "xxpad"]
    assert VOCAB.to_tokens(tables[1][VOCAB.to_ids(text)]) == ["xxbos", "p33", "wait5", "endp33", "xxeos", "xxpad"]
    assert VOCAB.to_tokens(tables[2][VOCAB.to_ids(text)]) == ["xxbos", "p29", "wait5", "endp29", "xxeos", "xxpad"]


@pytest.mark.parametrize("prefixes", [("p",), ("p", "v")])
@pytest.mark.parametrize("semitones", [-38, -11, -1, 1, 11, 37])
def test_tables_have_no_token_outside_the_range_nor_in_another_part(prefixes, semitones):
    encoding = Notewise(4, 38, prefixes)
    vocab = Vocab.from_encoding(encoding)
    [table] = transposition_tables(vocab, encoding, [semitones])
    for token, moved in zip(vocab.tokens, table):
        start = token.rstrip("0123456789")
        if start == "wait" or token in CONTROL_TOKENS:
            assert vocab.tokens[moved] == token
            continue
        key = int(token[len(start) :]) + semitones
        midi_number = key + 20
        assert (moved >= 0) == (45 <= midi_number <= 82)
        assert moved < 0 or vocab.tokens[moved] == f"{start}{key}"


@given(st.integers(-11, 11))
def test_moving_back_undoes(semitones):
    there, back = transposition_tables(VOCAB, ENCODING, [semitones, -semitones])
    fits = there >= 0
    assert (back[there[fits]] == np.flatnonzero(fits)).all()
    assert len(set(there[fits])) == fits.sum()
