"""Contexts of pieces in the loaders of a model that follows plans."""

import numpy as np
import pytest
from tiny import tune

from clara.data.encoded_piece import EncodedPiece
from clara.data.piece_contexts import PieceContexts, hide_at_random
from clara.data.stream_loader import StreamDataLoader
from clara.encodings.notewise import Notewise
from clara.encodings.vocab import SHIFTS, Vocab, transposition_tables
from clara.form.context import ATTRIBUTES, N_COLUMNS, PLACE_COLUMN
from clara.form.plan import UNKNOWN
from clara.music.notes import COMMON_TIME, transpose

ENCODING = Notewise()
VOCAB = Vocab.from_encoding(ENCODING)
TABLES = transposition_tables(VOCAB, ENCODING, SHIFTS)


def encode(notes, name="tune", time_signatures=COMMON_TIME):
    ids = [VOCAB.bos_id, *VOCAB.to_ids(ENCODING.encode(notes)[0]), VOCAB.eos_id]
    return EncodedPiece(name, np.array(ids, dtype=VOCAB.dtype), time_signatures=time_signatures)


def contexts():
    return PieceContexts(VOCAB, ENCODING)


def test_a_context_of_its_own_for_each_token():
    piece = contexts().add(encode(tune(0)))
    assert piece.context.shape == (len(piece), N_COLUMNS)


def test_bars_follow_the_time_signature_of_the_piece():
    in_three = contexts().add(encode(tune(0), time_signatures=((0, 3, 4),))).context
    in_four = contexts().add(encode(tune(0))).context
    assert in_three[:, PLACE_COLUMN].max() < 36 <= in_four[:, PLACE_COLUMN].max() < 48


@pytest.mark.parametrize("semitones", [-5, 3])
def test_transposing_a_context_gives_the_context_of_the_transposed_piece(semitones):
    notes = tune(1, n_notes=24)
    moved = transpose(notes, semitones)[0]
    here, there = contexts().add(encode(notes)).context, contexts().add(encode(moved)).context
    table = TABLES[SHIFTS.index(semitones)]
    np.testing.assert_array_equal(contexts().reader.layout.transpose(here, semitones, table), there)


def test_windows_hold_tokens_and_their_contexts():
    pieces = [encode(tune(i), f"tune {i}") for i in range(3)]
    loader = StreamDataLoader(pieces, 2, 16, tables=TABLES, vocab=VOCAB, encoding=ENCODING)
    plain_x, plain_y = loader.one_batch()
    loader.add_contexts(contexts())
    x, y = loader.one_batch()
    assert x.shape == (2, 16, 1 + N_COLUMNS)
    assert (x[..., 0] == plain_x).all()
    assert (y == plain_y).all()
    assert x.min() >= 0
    assert x.max() < contexts().n_rows


def test_whole_pieces_are_padded_with_what_is_unknown():
    pieces = [encode(tune(0, n_notes=10), "short"), encode(tune(1), "long")]
    loader = StreamDataLoader(pieces, 2, 16, vocab=VOCAB, encoding=ENCODING)
    loader.add_contexts(contexts())
    x, y = loader.by_piece().one_batch()
    assert (x[0, len(pieces[0]) :] == 0).all()
    assert x.shape[:2] == y.shape


def test_hiding_leaves_the_metre_and_takes_whole_columns():
    context = contexts().add(encode(tune(0))).context
    rng = np.random.default_rng(0)
    hidden = np.array([(hide_at_random(context, rng) == UNKNOWN).all(0) for _ in range(200)])
    assert not hidden[:, PLACE_COLUMN].any()
    assert 0.2 < hidden[:, list(ATTRIBUTES)].mean() < 0.7
    assert hidden[:, list(ATTRIBUTES)].all(1).mean() > 0.2
