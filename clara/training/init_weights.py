"""What the rows of words begin as: those of another vocabulary, or the sum of a chord's notes."""

import re

import numpy as np
import torch

from clara.models import get_architecture
from clara.music.instruments import INSTRUMENTS

OWN = 0.3  # how much of a row is the word's alone

_KEY = re.compile(rf"^(end)?(?:{'|'.join(INSTRUMENTS)})(\d+)$")


def adapt_to_vocab(checkpoint, vocab):
    """A checkpoint's weights with a row for each word of another vocabulary.

    A word that both hold keeps its row. A new one begins as its kin does (`equivalent_token`), and without
    kin as the mean of all: to the net it is at first a word like any other.

    Parameters
    ----------
    checkpoint : clara.checkpoint.Checkpoint
    vocab : Vocab

    Returns
    -------
    tensors : dict of weights by name
    kept, kindred : numbers of words that keep their rows, and that begin as others do
    """
    old = checkpoint.vocab
    same = [old.id_of.get(w, -1) for w in vocab.tokens]
    rows = torch.tensor([i if i >= 0 else old.id_of.get(equivalent_token(w), -1) for i, w in zip(same, vocab.tokens)])
    tensors = dict(checkpoint.tensors)
    for name in get_architecture(checkpoint.arch).PER_TOKEN_WEIGHTS:
        table = tensors[name].float()
        moved = table[rows.clamp(min=0)]
        moved[rows < 0] = table.mean(0)
        tensors[name] = moved
    kept = sum(i >= 0 for i in same)
    return tensors, kept, int((rows >= 0).sum()) - kept


def equivalent_token(word):
    """The piano's word for what a word says of another instrument: `endp40` of `endv40`."""
    return _KEY.sub(r"\1p\2", word)


def from_scratch(tensors, corpus, tables):
    """Weights to begin with where there are none to go on from.

    The output's bias is how often each word comes, so that no step is spent on learning that. Of a
    large vocabulary, whose rows would each have to be learned from the few times that their
    word comes, a word's embedding is the sum of vectors of its parts: chords with notes in common begin alike.

    Parameters
    ----------
    tensors : dict of a net's weights by name, by chance
    corpus : clara.data.corpus.Corpus; of an open vocabulary the encoding has `parts(word)`
    tables : int array (n, vocab_sz), from `clara.encodings.vocab.transposition_tables` for all keys

    Returns
    -------
    dict of weights by name
    """
    bias = torch.from_numpy(log_frequencies(np.concatenate(corpus.ids("train")), tables)).float()
    table = tensors["embedding.weight"]
    if corpus.encoding.open_vocabulary:
        table = _sums_of_parts(table, corpus.encoding, corpus.vocab)
    return tensors | {"embedding.weight": table, "output.bias": bias}


def log_frequencies(ids, tables):
    """The logarithm of how often each word comes in all keys, float64 (vocab_sz,).

    Parameters
    ----------
    ids : int array (n,), all words of the training pieces
    tables : as in `from_scratch`
    """
    n, fits = tables.shape[1], tables >= 0
    counts = np.broadcast_to(np.bincount(ids, minlength=n), tables.shape)
    spread = np.bincount(tables[fits], weights=counts[fits], minlength=n) + 1
    return np.log(spread / spread.sum())


def _sums_of_parts(table, encoding, vocab):
    """Embedding rows, each the sum of vectors by chance for the word's parts, and a share of its own."""
    parts = [encoding.token_parts(word) if not word.startswith("xx") else [word] for word in vocab.tokens]
    number = {part: i for i, part in enumerate(dict.fromkeys(p for of_word in parts for p in of_word))}
    vectors = torch.randn(len(number), table.shape[1]) * table.std()
    return torch.stack(
        [
            OWN * row + vectors[[number[p] for p in of_word]].sum(0) / len(of_word) ** 0.5
            for row, of_word in zip(table, parts)
        ]
    )
