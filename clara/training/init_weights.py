"""Starting weights: those of another vocabulary, or random ones that know how often each token occurs."""

import re

import numpy as np
import torch
from torch import Tensor

from clara.checkpoints.checkpoint import Checkpoint, context_rows_of
from clara.data.corpus import Corpus
from clara.encodings.base import Encoding
from clara.encodings.vocab import CONTROL_TOKENS, Vocab
from clara.form.context import N_CANDIDATES, ContextLayout
from clara.models import get_architecture
from clara.models.awd_lstm import PER_CONTEXT_WEIGHTS
from clara.music.instruments import INSTRUMENTS

OWN_SHARE = 0.3  # of a token's first embedding that it shares with no other token

_KEY_TOKEN = re.compile(rf"^(end)?(?:{'|'.join(INSTRUMENTS)})(\d+)$")


def adapt_to_vocab(checkpoint: Checkpoint, vocab: Vocab, encoding: Encoding) -> tuple[dict[str, Tensor], int, int]:
    """Return a checkpoint's weights with a row for each token of another vocabulary.

    A token that both vocabularies hold keeps its row. A new token starts with the row of its equivalent token (see
    `equivalent_token`), and without one with the mean of all rows.

    In the tables of a model that follows plans, categories keep their rows. A new token as candidate starts with the
    row of its equivalent token. What is left starts at zero, also a column that has other categories on another grid.

    Parameters
    ----------
    checkpoint : Checkpoint
    vocab : Vocab
    encoding : Encoding
        Of the other vocabulary.

    Returns
    -------
    tensors : dict of str to Tensor
        Weights by name.
    n_kept : int
        Tokens that keep their rows.
    n_equivalent : int
        Tokens that start with the row of an equivalent token.
    """
    old_vocab = checkpoint.vocab
    same_rows = [old_vocab.id_of.get(token, -1) for token in vocab.tokens]
    equivalent_rows = [old_vocab.id_of.get(equivalent_token(token), -1) for token in vocab.tokens]
    rows = torch.tensor([same if same >= 0 else other for same, other in zip(same_rows, equivalent_rows)])
    tensors = dict(checkpoint.tensors)
    for name in get_architecture(checkpoint.arch).PER_TOKEN_WEIGHTS:
        old_table = tensors[name].float()
        table = old_table[rows.clamp(min=0)]
        table[rows < 0] = old_table.mean(0)
        tensors[name] = table
    if checkpoint.sizes.get("context_rows") and context_rows_of(checkpoint.arch, encoding, vocab):
        old_layout, new_layout = ContextLayout(old_vocab, checkpoint.encoding), ContextLayout(vocab, encoding)
        context_rows = torch.from_numpy(_carried_context_rows(old_layout, new_layout, rows.numpy()))
        for name in PER_CONTEXT_WEIGHTS:
            table = tensors[name].float()[context_rows.clamp(min=0)]
            table[context_rows < 0] = 0
            tensors[name] = table
    n_kept = sum(row >= 0 for row in same_rows)
    return tensors, n_kept, int((rows >= 0).sum()) - n_kept


def _carried_context_rows(old_layout, new_layout, token_rows):
    """Return for each row of a new table of contexts the row of the old table that it starts with, or -1.

    `token_rows` has the old token that each new token starts with, or -1.
    """
    rows = [np.zeros(1, dtype=int)]
    first_row = 1  # of the column in the old table
    for column, (old_size, new_size) in enumerate(zip(old_layout.sizes, new_layout.sizes)):
        categories = token_rows if column < N_CANDIDATES else np.arange(new_size)
        has_same_categories = column < N_CANDIDATES or old_size == new_size
        rows.append(np.where(has_same_categories & (categories >= 0), first_row + categories, -1))
        first_row += old_size
    return np.concatenate(rows)


def equivalent_token(token: str) -> str:
    """Return the piano's token for what a token says of another instrument: `endp40` for `endv40`."""
    return _KEY_TOKEN.sub(r"\1p\2", token)


def initial_weights(tensors: dict[str, Tensor], corpus: Corpus, tables: np.ndarray) -> dict[str, Tensor]:
    """Return random weights improved by token counts of the corpus.

    The output bias becomes the log-frequency of each token, so that no update is spent on learning it. In a large open
    vocabulary most tokens are rare. There the embedding of a token is the sum of vectors for its parts, so that chords
    with notes in common start alike.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Random weights by name.
    corpus : Corpus
        With an open vocabulary its encoding has `token_parts(token)`.
    tables : int array, shape (n, vocab_sz)
        From `clara.encodings.vocab.transposition_tables` for all keys.

    Returns
    -------
    dict of str to Tensor
    """
    bias = torch.from_numpy(log_frequencies(np.concatenate(corpus.ids("train")), tables)).float()
    embedding = tensors["embedding.weight"]
    if corpus.encoding.open_vocabulary:
        embedding = _sums_of_parts(embedding, corpus.encoding, corpus.vocab)
    return tensors | {"embedding.weight": embedding, "output.bias": bias}


def log_frequencies(ids: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Return the log-frequency of each token over all keys, float64 array of shape (vocab_sz,).

    Parameters
    ----------
    ids : int array, shape (n,)
        All tokens of the training pieces.
    tables : int array, shape (n, vocab_sz)
        As for `initial_weights`. Each token is counted once more than it occurs.
    """
    vocab_sz, fits = tables.shape[1], tables >= 0
    counts = np.broadcast_to(np.bincount(ids, minlength=vocab_sz), tables.shape)
    counts_in_all_keys = np.bincount(tables[fits], weights=counts[fits], minlength=vocab_sz) + 1
    return np.log(counts_in_all_keys / counts_in_all_keys.sum())


def _sums_of_parts(embedding, encoding, vocab):
    """Return embedding rows, each the sum of random vectors for the token's parts and of a row of its own."""
    parts_of_tokens = [[t] if t in CONTROL_TOKENS else encoding.token_parts(t) for t in vocab.tokens]
    all_parts = dict.fromkeys(part for parts in parts_of_tokens for part in parts)
    number_of = {part: i for i, part in enumerate(all_parts)}
    vectors = torch.randn(len(number_of), embedding.shape[1]) * embedding.std()
    rows = []
    for own_row, parts in zip(embedding, parts_of_tokens):
        sum_of_parts = vectors[[number_of[part] for part in parts]].sum(0) / len(parts) ** 0.5
        rows.append(OWN_SHARE * own_row + sum_of_parts)
    return torch.stack(rows)
