"""The comparison with other libraries: costs that add up, keys, and a run on little music."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from examples import REPOSITORY
from torch import nn

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import ngram
import peer_transformers
import peers


class Follower(nn.Module):
    """A model that gives its own token the highest logit, as long as it sees the one before."""

    def forward(self, ids, use_cache=False):
        n_seen = torch.arange(ids.shape[1]).clamp(max=1)
        return SimpleNamespace(logits=nn.functional.one_hot(ids, 4) * n_seen[None, :, None])


@pytest.mark.parametrize("n", [2, 5, 8, 9, 12, 13, 30])
def test_each_token_of_a_piece_costs_once(monkeypatch, n):
    monkeypatch.setattr(peer_transformers, "CONTEXT", 8)
    ids = np.random.default_rng(0).integers(0, 4, n)
    log_probs = nn.functional.one_hot(torch.from_numpy(ids), 4).float()
    log_probs[0] = 0  # nothing stands before the first
    wanted = log_probs.log_softmax(-1)[:-1].gather(1, torch.from_numpy(ids)[1:, None]).sum()
    assert peer_transformers.piece_nats(Follower(), ids) == pytest.approx(-float(wanted), rel=1e-5)


def test_an_ngram_by_hand():
    model = ngram.NGram(2, vocab_sz=4).fit([np.array([0, 1, 2, 1, 2])])
    one = (2 + 3 * 0.25) / (5 + 3)  # of 1 and of 2: twice among five, with three different tokens
    assert np.exp(model.log_probs(np.array([0, 1, 2, 3]))) == pytest.approx(
        [(1 + one) / 2, (2 + one) / 3, (0 + (0 + 3 * 0.25) / 8) / 2]
    )


def test_an_ngram_is_a_distribution():
    rng = np.random.default_rng(0)
    model = ngram.NGram(4, vocab_sz=5).fit([rng.integers(0, 5, 50) for _ in range(3)])
    for context in ([0, 1, 2], [3, 3, 3], [4, 0]):
        last = [model.log_probs(np.array([*context, token]))[-1] for token in range(5)]
        assert np.exp(last).sum() == pytest.approx(1)


def test_an_ngram_that_does_not_fit_a_number():
    with pytest.raises(ValueError, match="at most"):
        ngram.NGram(8, vocab_sz=4)


def test_pitches_move_and_other_tokens_stay():
    tables = peers.pitch_tables({"PAD_None": 0, "Pitch_60": 1, "Pitch_61": 2, "Duration_1.0.12": 3})
    assert tables.shape == (12, 4)
    shift = list(peers.KEYS).index(1)
    assert tables[shift].tolist() == [0, 2, -1, 3]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("music"))


def test_windows_are_the_pieces_in_keys_that_fit(corpus):
    from clara.data.corpus import Corpus

    text = peers.read_notewise(Corpus.load(corpus))
    rng = np.random.default_rng(0)
    ids = text.train[0]
    assert any((table[ids] == text.transposed(ids, rng)).all() for table in text.tables)
    window = next(text.windows(2, 10, seed=0))
    assert window.shape == (2, 10) and window[0, 0] == ids[0] and (window >= 0).all()


@pytest.mark.parametrize("name", ["Clara's AWD-LSTM, notewise", "7-gram, notewise"])
def test_a_system_is_measured(corpus, tmp_path, monkeypatch, name):
    monkeypatch.setattr(peers, "SIZES", tiny.SIZES)
    monkeypatch.setattr(peers, "RECIPE", peers.RECIPE | {"bs": 2, "bptt": 20})
    monkeypatch.setattr(peers, "BATCH", 2)
    flags = [str(corpus), "--minutes", "0.002", "--quarters", "4", "--work", str(tmp_path), "--one", name]
    monkeypatch.setattr(sys, "argv", ["peers.py", *flags])
    peers.main()
    [path] = tmp_path.glob("*/row.json")
    row = json.loads(path.read_text())
    assert 0 < row["nats_per_quarter"] < row["tokens_per_quarter"] * np.log(row["vocabulary"]) * 1.2
    assert len(list(path.parent.glob("*.mid"))) == (2 if "Clara" in name else 0)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_transformer_learns_and_composes(corpus, kind, monkeypatch):
    pytest.importorskip("transformers")
    from clara.data.corpus import Corpus

    monkeypatch.setattr(peer_transformers, "CONTEXT", 16)
    text = peers.read_notewise(Corpus.load(corpus))
    model = peer_transformers.make_transformer(kind, text.vocab_sz)
    assert peer_transformers.train(model, text, 0.01, 1e-3, 0) > 0
    assert peer_transformers.compose(model, 0, 2, 20, 1.0, 0.9).shape == (2, 20)


@pytest.mark.parametrize("name", ["REMI", "TSD"])
def test_tokens_of_miditok_bring_the_notes_back(corpus, name):
    pytest.importorskip("miditok")
    from clara.data.corpus import Corpus

    text = peers.read_miditok(Corpus.load(corpus), name)
    assert text.changed_notes == 0 and len(text.valid) == 1
