"""Weights for another vocabulary, so that what was learned of the words in common is kept.

Contents: `for_vocabulary`, `kin`.
"""

import re

import torch

from clara.instruments import INSTRUMENTS
from clara.models import architecture

_KEY = re.compile(rf"^(end)?(?:{'|'.join(INSTRUMENTS)})(\d+)$")


def for_vocabulary(checkpoint, vocab):
    """A checkpoint's weights with a row for each word of another vocabulary.

    A word that both hold keeps its row. A new one begins as its kin does (`kin`), and without
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
    same = [old.id_of.get(w, -1) for w in vocab.words]
    rows = torch.tensor([i if i >= 0 else old.id_of.get(kin(w), -1) for i, w in zip(same, vocab.words)])
    tensors = dict(checkpoint.tensors)
    for name in architecture(checkpoint.arch).WORD_ROWS:
        table = tensors[name].float()
        moved = table[rows.clamp(min=0)]
        moved[rows < 0] = table.mean(0)
        tensors[name] = moved
    kept = sum(i >= 0 for i in same)
    return tensors, kept, int((rows >= 0).sum()) - kept


def kin(word):
    """The piano's word for what a word says of another instrument: `endp40` of `endv40`."""
    return _KEY.sub(r"\1p\2", word)
