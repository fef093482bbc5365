"""Weights for another vocabulary: rows in common stay, new words begin as their kin or as the mean."""

import numpy as np
import pytest
import tiny
import torch

from clara.encodings.notewise import Chamber, Notewise
from clara.encodings.vocab import SHIFTS, Vocab, transposition_tables
from clara.form.context import KEY, N_CANDIDATES, N_COLUMNS, ONSET_COLUMN, PLACE_COLUMN, ContextLayout
from clara.form.plan import UNKNOWN
from clara.models.awd_lstm import PER_CONTEXT_WEIGHTS
from clara.training.init_weights import adapt_to_vocab, equivalent_token, initial_weights, log_frequencies


def test_from_the_piano_to_chamber_music():
    start = tiny.checkpoint(encoding=Notewise())
    vocab = Vocab.from_encoding(Chamber())
    tensors, kept, equivalent = adapt_to_vocab(start, vocab, Chamber())
    assert kept == len(start.vocab) and equivalent == 2 * 88 and kept + equivalent == len(vocab)
    for name in ("embedding.weight", "output.bias"):
        old, new = start.tensors[name].float(), tensors[name]
        assert len(new) == len(vocab)
        for word, expected in {
            "endp88": "endp88",
            "wait24": "wait24",
            "xxeos": "xxeos",
            "v40": "p40",
            "endv1": "endp1",
        }.items():
            assert torch.equal(new[vocab.id_of[word]], old[start.vocab.id_of[expected]])
    untouched = tensors.keys() - {"embedding.weight", "output.bias"}
    assert untouched and all(tensors[n] is start.tensors[n] for n in untouched)


def test_a_word_without_kin_is_the_mean():
    start = tiny.checkpoint(encoding=Notewise(4))
    vocab = Vocab.from_encoding(Notewise(12))
    tensors, kept, equivalent = adapt_to_vocab(start, vocab, Notewise(12))
    assert (kept, equivalent) == (len(start.vocab), 0)
    table = start.tensors["embedding.weight"].float()
    assert torch.allclose(tensors["embedding.weight"][vocab.id_of["wait24"]], table.mean(0))


def test_contexts_keep_their_categories_in_another_vocabulary():
    start, encoding = tiny.plan_follower(), Chamber()
    vocab = Vocab.from_encoding(encoding)
    old_layout, new_layout = ContextLayout(start.vocab, start.encoding), ContextLayout(vocab, encoding)
    tensors, _, _ = adapt_to_vocab(start, vocab, encoding)
    assert len(tensors["trust.bias"]) == new_layout.n_rows
    context = np.full((2, N_COLUMNS), UNKNOWN)
    context[0] = np.array(old_layout.sizes) // 2
    moved = context.copy()
    for column in range(N_CANDIDATES):  # notes of the violin start as those of the piano
        [token] = start.vocab.to_tokens(context[:1, column])
        moved[0, column] = vocab.id_of[token.replace("p", "v")]
    for name in PER_CONTEXT_WEIGHTS:
        old_rows, new_rows = old_layout.to_rows(context), new_layout.to_rows(moved)
        assert torch.equal(tensors[name][new_rows], start.tensors[name][old_rows])


def test_contexts_of_another_grid_begin_at_zero():
    start, encoding = tiny.plan_follower(), Notewise(4)
    vocab = Vocab.from_encoding(encoding)
    layout = ContextLayout(vocab, encoding)
    tensors, _, _ = adapt_to_vocab(start, vocab, encoding)
    context = np.full((1, N_COLUMNS), 1)
    rows = tensors["context.weight"][layout.to_rows(context)[0]]
    assert (rows[[PLACE_COLUMN, ONSET_COLUMN]] == 0).all()
    assert rows[KEY].abs().sum() > 0


@pytest.mark.parametrize(
    "word, expected",
    [
        ("v40", "p40"),
        ("endva7", "endp7"),
        ("c1", "p1"),
        ("p9", "p9"),
        ("wait12", "wait12"),
        ("xxbos", "xxbos"),
        ("rest4", "rest4"),
        ("p4+p9", "p4+p9"),
    ],
)
def test_kin(word, expected):
    assert equivalent_token(word) == expected


@pytest.fixture(scope="module")
def chords(tmp_path_factory):
    from clara.data.corpus import Corpus
    from clara.data.corpus_writer import prepare_corpus
    from clara.data.sources import find_pieces

    folder = tmp_path_factory.mktemp("chords")
    prepare_corpus(
        find_pieces([str(tiny.corpus(folder).parent / "music")]), folder / "chordwise", {"encoding": "chordwise"}
    )
    return Corpus.load(folder / "chordwise")


def test_chords_begin_as_the_sum_of_their_notes(chords):
    torch.manual_seed(0)
    vocab = chords.vocab
    before = {
        "embedding.weight": torch.randn(len(vocab), 400),
        "output.bias": torch.zeros(len(vocab)),
        "other": torch.ones(2),
    }
    after = initial_weights(before, chords, transposition_tables(chords.vocab, chords.encoding, SHIFTS))
    rows = torch.nn.functional.normalize(after["embedding.weight"], dim=1)
    words = [w for w in vocab.tokens if w.startswith("p")]
    pairs = [(a, b) for i, a in enumerate(words[:150]) for b in words[:i]]
    shared = torch.tensor(
        [
            len(set(a.split("+")) & set(b.split("+"))) / (a.count("+") + 1) ** 0.5 / (b.count("+") + 1) ** 0.5
            for a, b in pairs
        ]
    )
    alike = torch.stack([rows[vocab.id_of[a]] @ rows[vocab.id_of[b]] for a, b in pairs])
    assert torch.corrcoef(torch.stack([shared, alike]))[0, 1] > 0.8
    assert alike[shared == 0].abs().max() < 0.3
    assert after["other"] is before["other"]


def test_words_begin_as_likely_as_they_come_in_all_keys(chords):
    before = {"embedding.weight": torch.randn(len(chords.vocab), 8), "output.bias": torch.zeros(len(chords.vocab))}
    chance = initial_weights(before, chords, transposition_tables(chords.vocab, chords.encoding, SHIFTS))[
        "output.bias"
    ].exp()
    assert float(chance.sum()) == pytest.approx(1, abs=1e-5)
    words = [w for i in chords.ids("train") for w in chords.vocab.to_tokens(i.tolist())]
    rests = [w for w in words if w.startswith("rest")]
    likeliest = max(set(rests), key=rests.count)
    assert float(chance[chords.vocab.id_of[likeliest]]) == pytest.approx(rests.count(likeliest) / len(words), rel=0.2)
    assert float(chance[chords.vocab.id_of["p40"]]) == pytest.approx(
        float(chance[chords.vocab.id_of["p41"]]), rel=0.3
    )  # moved to all keys


def test_frequencies_are_those_of_all_keys():
    tables = np.array([[0, 1, 2], [0, 2, -1]])  # in the second key what is 1 becomes 2, and 2 nothing
    ids = np.array([0, 1, 1, 1, 2])
    assert np.exp(log_frequencies(ids, tables)) == pytest.approx(np.array([2 + 1, 3 + 1, 4 + 1]) / 12)
