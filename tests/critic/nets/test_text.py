"""The classifier's net: pooling by windows, and the same logits in training and in use."""

import numpy as np
import pytest
import tiny
import torch

from clara.encodings.notewise import Notewise
from clara.models import ARCHITECTURES
from critic.nets.text import NOWHERE, _HalfDropout, collate, from_tensors, new_net, pool, to_tensors, windows_of

ENCODING = Notewise()
VOCAB = tiny.checkpoint().vocab


def pieces(n=3):
    found = []
    for seed in range(n):
        words = ENCODING.encode(tiny.tune(seed, n_notes=20 + 10 * seed))[0]
        window = windows_of(ENCODING, words, 2)
        found.append((VOCAB.to_ids(["xxbos", *words]), np.r_[window[:1], window]))
    return found


def test_pooling_is_that_of_each_window_alone():
    torch.manual_seed(0)
    outputs = torch.randn(2, 6, 3)
    window = torch.tensor([[0, 0, 0, 1, 1, NOWHERE], [0, 1, 1, 2, NOWHERE, NOWHERE]])
    found = pool(outputs, window)
    wanted = [
        torch.cat([o.mean(0), o.amax(0), o[-1]])
        for row, of_row in zip(outputs, window)
        for o in (row[of_row == w] for w in range(int(of_row.max()) + 1))
    ]
    assert torch.allclose(found, torch.stack(wanted))


@pytest.mark.parametrize("around", [1, 2])
def test_pooling_over_windows_around_is_that_of_all_their_words(around):
    torch.manual_seed(0)
    outputs = torch.randn(3, 20, 3)
    window = torch.stack(
        [
            torch.arange(20) // 5,
            torch.where(torch.arange(20) < 15, torch.arange(20) // 7, NOWHERE),
            torch.arange(20) // 3,
        ]
    )
    wanted = []
    for row, of_row in zip(outputs, window):
        for w in range(int(of_row.max()) + 1):
            near = row[(of_row >= max(0, w - around)) & (of_row <= w + around)]
            wanted.append(torch.cat([near.mean(0), near.amax(0), row[of_row == w][-1]]))
    assert torch.allclose(pool(outputs, window, around), torch.stack(wanted), atol=1e-6)


@pytest.mark.parametrize("quarters, wanted", [(16, [0, 1]), (19.9, [0, 1]), (20.1, [0, 1, 2]), (8, [0]), (4, [0])])
def test_a_rest_shorter_than_half_a_window_joins_the_last(quarters, wanted):
    words = ["p40", *["wait12"] * int(quarters), *[f"wait{round(quarters % 1 * 12)}"] * bool(quarters % 1), "endp40"]
    assert sorted(set(windows_of(ENCODING, words, 8).tolist())) == wanted


def test_words_belong_to_the_window_in_which_they_stand():
    words = ["p40", "wait24", "wait24", "endp40", "p41", "wait24", "wait24", "endp41"]
    assert windows_of(ENCODING, words, 4).tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("around", [0, 1])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_piece_is_judged_alike_alone_in_a_batch_and_from_disk(arch, around):
    torch.manual_seed(1)
    sizes = ARCHITECTURES[arch].DEFAULTS | tiny.SIZES
    net = new_net(arch, sizes, None, VOCAB, 2, around=around)
    with torch.no_grad():
        net.head[0].running_mean.uniform_(-0.1, 0.1)
    read = from_tensors(arch, to_tensors(net), 2, around=around)
    together = read(*collate(pieces(), VOCAB.pad_id))
    alone = torch.cat([read(*collate([p], VOCAB.pad_id)) for p in pieces()])
    assert torch.allclose(together, alone, atol=1e-5)
    exact = read.encode.dtype == torch.float32  # on this processor
    assert torch.allclose(net.eval()(*collate(pieces(), VOCAB.pad_id)), together, atol=1e-5 if exact else 0.02)
    assert len(together) == sum(window.max() + 1 for _, window in pieces())


def test_the_past_counts_and_the_future_does_not():
    torch.manual_seed(2)
    read = from_tensors(
        "awd_lstm", to_tensors(new_net("awd_lstm", ARCHITECTURES["awd_lstm"].DEFAULTS | tiny.SIZES, None, VOCAB, 2)), 2
    )
    ((ids, window),) = pieces(1)
    other = ids.copy()
    other[window == window.max()] = VOCAB.id_of["p1"]
    told, changed = (read(*collate([(i, window)], VOCAB.pad_id)) for i in (ids, other))
    assert torch.allclose(told[:-1], changed[:-1]) and not torch.allclose(told[-1], changed[-1])
    other = ids.copy()
    other[np.flatnonzero(window == window.max())[0] - 1] = VOCAB.id_of["p1"]
    assert not torch.equal(told[-1], read(*collate([(other, window)], VOCAB.pad_id))[-1])


@pytest.mark.parametrize("shape", [(512, 300), (3, 7), (1, 64)])
def test_half_dropout_drops_as_torch_does(shape):
    drop, x = _HalfDropout(), torch.rand(shape) + 1
    torch.manual_seed(0)
    first, second = drop(x), drop(x)
    assert ((first == 0) | (first == 2 * x)).all() and not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(drop(x), first)
    assert torch.equal(drop.eval()(x), x)


def test_half_dropout_drops_half_of_all_alike():
    torch.manual_seed(0)
    kept = (_HalfDropout()(torch.ones(1000, 203)) > 0).double()
    assert abs(kept.mean() - 0.5) < 0.005
    assert (kept.mean(0) - 0.5).abs().max() < 0.08 and (kept.mean(1) - 0.5).abs().max() < 0.2
    assert torch.corrcoef(kept.T).fill_diagonal_(0).abs().max() < 0.2  # no two of a row go together


def test_half_dropout_passes_gradients_where_it_keeps():
    x = torch.ones(50, 3, requires_grad=True)
    y = _HalfDropout()(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
