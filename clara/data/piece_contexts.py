"""The contexts of pieces, for models that follow plans: read from the pieces themselves, hidden in part in training.

In training some of what a plan says is hidden at random, piece by piece, so that a model can do without it: all of the
plan, all attributes of its bars, or single ones.
"""

from dataclasses import replace

import numpy as np
from torch import Tensor

from clara.data.encoded_piece import EncodedPiece
from clara.data.showing import decode_ids
from clara.encodings.base import Encoding
from clara.encodings.vocab import Vocab
from clara.form.context import ATTRIBUTES, PLAN_COLUMNS, ContextReader
from clara.form.extraction import extract_plan
from clara.form.plan import UNKNOWN

HIDDEN_PLANS, HIDDEN_ATTRIBUTES, HIDDEN_ATTRIBUTE = 0.1, 0.25, 0.15  # shares of the pieces of an epoch


class PieceContexts:
    """Adds contexts to pieces.

    Parameters
    ----------
    vocab : Vocab
    encoding : Encoding
        With tokens for single notes.
    """

    def __init__(self, vocab: Vocab, encoding: Encoding):
        self.vocab, self.encoding = vocab, encoding
        self.reader = ContextReader(vocab, encoding)

    @property
    def n_rows(self) -> int:
        """Rows of the table that a model needs."""
        return self.reader.layout.n_rows

    def add(self, piece: EncodedPiece) -> EncodedPiece:
        """Return a piece with its context, as its own plan has it."""
        if piece.context is not None:
            return piece
        notes = decode_ids(piece.ids, self.vocab, self.encoding)
        if not len(notes):
            return replace(piece, context=self.reader.unknown(len(piece)))
        notes = replace(notes, time_signatures=piece.time_signatures)
        context = self.reader.read(piece.ids, extract_plan(notes))
        return replace(piece, context=context.astype(np.int16))

    def training_rows(
        self, context: np.ndarray, semitones: int, token_table: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return the rows, int16 (n, n_columns), of the context of a piece in another key, in part hidden at random.

        Parameters
        ----------
        context : int16 array (n, n_columns)
        semitones, token_table
            As of `ContextLayout.transpose`.
        rng : np.random.Generator
        """
        hidden = hide_at_random(context, rng)
        return self.to_rows(self.reader.layout.transpose(hidden, semitones, token_table))

    def to_rows(self, context: np.ndarray) -> np.ndarray:
        """Return the rows of a model's table, int16 (n, n_columns)."""
        return self.reader.layout.to_rows(context).astype(np.int16)


def tokens_of(inputs: Tensor) -> Tensor:
    """Return the tokens, (bs, seq_len), of inputs (bs, seq_len) or with context (bs, seq_len, 1 + n_columns)."""
    return inputs[..., 0] if inputs.dim() == 3 else inputs


def hide_at_random(context: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the context of a piece, int16 (n, n_columns), with some of its plan hidden."""
    hidden = [column for column in ATTRIBUTES if rng.random() < HIDDEN_ATTRIBUTE]
    if rng.random() < HIDDEN_ATTRIBUTES:
        hidden = list(ATTRIBUTES)
    if rng.random() < HIDDEN_PLANS:
        hidden = list(PLAN_COLUMNS)
    context = context.copy()
    context[:, hidden] = UNKNOWN
    return context
