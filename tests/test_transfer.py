"""Weights for another vocabulary: rows in common stay, new words begin as their kin or as the mean."""

import pytest
import tiny
import torch

from clara.encodings.notewise import Chamber, Notewise
from clara.transfer import for_vocabulary, kin
from clara.vocab import Vocab


def test_from_the_piano_to_chamber_music():
    start = tiny.checkpoint(encoding=Notewise())
    vocab = Vocab.of(Chamber())
    tensors, kept, kindred = for_vocabulary(start, vocab)
    assert kept == len(start.vocab) and kindred == 2 * 88 and kept + kindred == len(vocab)
    for name in ("embedding.weight", "output.bias"):
        old, new = start.tensors[name].float(), tensors[name]
        assert len(new) == len(vocab)
        for word, told in {"endp88": "endp88", "wait24": "wait24", "xxeos": "xxeos", "v40": "p40", "endv1": "endp1"}.items():
            assert torch.equal(new[vocab.id_of[word]], old[start.vocab.id_of[told]])
    untouched = tensors.keys() - {"embedding.weight", "output.bias"}
    assert untouched and all(tensors[n] is start.tensors[n] for n in untouched)


def test_a_word_without_kin_is_the_mean():
    start = tiny.checkpoint(encoding=Notewise(4))
    vocab = Vocab.of(Notewise(12))
    tensors, kept, kindred = for_vocabulary(start, vocab)
    assert (kept, kindred) == (len(start.vocab), 0)
    table = start.tensors["embedding.weight"].float()
    assert torch.allclose(tensors["embedding.weight"][vocab.id_of["wait24"]], table.mean(0))


@pytest.mark.parametrize("word, told", [("v40", "p40"), ("endva7", "endp7"), ("c1", "p1"), ("p9", "p9"), ("wait12", "wait12"),
                                        ("xxbos", "xxbos"), ("rest4", "rest4"), ("p4+p9", "p4+p9")])
def test_kin(word, told):
    assert kin(word) == told
