"""The likelihood of held-out pieces."""

import numpy as np
import pytest
import tiny
import torch

from clara.data.corpus import Corpus
from clara.models import likelihood
from clara.models.likelihood import ending_nats, nats_per_piece, nats_per_quarter

PAD, BOS, EOS = 0, 1, 2
LENGTHS = (2, 3, 40, 7, 7, 25, 3)


@pytest.fixture(scope="module")
def network():
    return tiny.checkpoint(n_layers=2).inference_model()


def pieces():
    """Random texts of several lengths, the shortest nothing but its control tokens."""
    generator = torch.Generator().manual_seed(3)
    return [
        torch.cat([torch.tensor([BOS]), torch.randint(3, 203, (n - 2,), generator=generator), torch.tensor([EOS])])
        .to(torch.int16)
        .numpy()
        for n in LENGTHS
    ]


@torch.no_grad()
def naive(network, piece):
    """Return the nats of a piece, token by token."""
    state, nats = network.initial_state(1), 0.0
    for token, target in zip(piece[:-1].tolist(), piece[1:].tolist()):
        logits, state = network(torch.tensor([[token]]), state)
        nats -= float(logits[0, 0].double().log_softmax(0)[target])
    return nats


@pytest.mark.parametrize("bs", [1, 3, 32])
def test_equals_a_loop_over_tokens(network, bs):
    expected = torch.tensor([naive(network, p) for p in pieces()], dtype=torch.float64)
    found = nats_per_piece(network, pieces(), PAD, bs)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [1, 2, 6, 39, 40])
def test_the_window_changes_nothing(network, window, monkeypatch):
    expected = nats_per_piece(network, pieces(), PAD)
    monkeypatch.setattr(likelihood, "WINDOW_TOKENS", window)
    torch.testing.assert_close(nats_per_piece(network, pieces(), PAD), expected, rtol=1e-6, atol=1e-5)


def test_a_large_vocabulary_is_read_in_small_windows(network, monkeypatch):
    expected = nats_per_piece(network, pieces(), PAD)
    read, lengths = type(network).forward, []
    monkeypatch.setattr(likelihood, "MAX_LOGITS", 3 * network.vocab_sz * len(pieces()))
    monkeypatch.setattr(
        type(network), "forward", lambda self, ids, state: lengths.append(ids.shape[1]) or read(self, ids, state)
    )
    torch.testing.assert_close(nats_per_piece(network, pieces(), PAD), expected, rtol=1e-6, atol=1e-5)
    assert max(lengths) == 3


def test_the_order_changes_nothing(network):
    backwards = nats_per_piece(network, pieces()[::-1], PAD, bs=2)
    torch.testing.assert_close(backwards.flip(0), nats_per_piece(network, pieces(), PAD, bs=2), rtol=1e-6, atol=1e-5)


def test_pieces_are_independent(network):
    twice = nats_per_piece(network, [pieces()[2]] * 3, PAD, bs=2)
    assert twice[0] == pytest.approx(float(twice[2]))
    assert twice[0] == pytest.approx(naive(network, pieces()[2]), rel=1e-5)


def test_equal_logits_cost_the_logarithm_of_the_vocabulary_size(network):
    uniform = tiny.checkpoint()
    uniform.tensors = {name: torch.zeros_like(t) for name, t in uniform.tensors.items()}
    found = nats_per_piece(uniform.inference_model(), pieces(), PAD)
    expected = torch.tensor([n - 1 for n in LENGTHS]) * torch.tensor(203.0).log().double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_per_quarter_is_all_nats_over_all_quarters(network, corpus_folder, split):
    corpus = Corpus.load(corpus_folder)
    nats = sum(naive(network, p) for p in corpus.ids(split))
    quarters = sum(corpus.manifest.query("split == @split")["quarters"].astype(float))
    assert nats_per_quarter(network, corpus, split) == pytest.approx(nats / quarters, rel=1e-5)


@pytest.mark.parametrize("n_shared", [1, 2, 30])
@pytest.mark.parametrize("n_last", [0, 1, 5])
def test_endings_after_a_shared_beginning(network, n_shared, n_last):
    beginning = pieces()[2][:n_shared]
    texts = [np.concatenate([beginning, piece[1:]]) for piece in pieces()[2:5]]
    expected = [
        nats_per_piece(network, [text], PAD) - nats_per_piece(network, [text[: len(text) - n_last]], PAD)
        for text in texts
    ]
    found = ending_nats(network, texts, n_shared, n_last, PAD)
    np.testing.assert_allclose(found, torch.cat(expected).numpy(), rtol=1e-5, atol=1e-4)
