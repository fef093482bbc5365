"""The text networks: the same logits in training and in use."""

import numpy as np
import pytest
import tiny
import torch

from clara.encodings.notewise import Notewise
from clara.models import ARCHITECTURES
from critic.nets.pooling import window_indices
from critic.nets.text import collate_text, inference_net, stored_tensors, training_net

ENCODING = Notewise()
VOCAB = tiny.checkpoint().vocab


def pieces(n=3):
    found = []
    for seed in range(n):
        words = ENCODING.encode(tiny.tune(seed, n_notes=20 + 10 * seed))[0]
        window = window_indices(ENCODING, words, 2)
        found.append((VOCAB.to_ids(["xxbos", *words]), np.r_[window[:1], window]))
    return found


@pytest.mark.parametrize("context_windows", [0, 1])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_piece_is_judged_alike_alone_in_a_batch_and_from_disk(arch, context_windows):
    torch.manual_seed(1)
    sizes = ARCHITECTURES[arch].DEFAULTS | tiny.SIZES
    net = training_net(arch, sizes, VOCAB, 2, context_windows=context_windows)
    with torch.no_grad():
        net.head[0].running_mean.uniform_(-0.1, 0.1)
    read = inference_net(arch, stored_tensors(net), 2, context_windows=context_windows)
    together = read(*collate_text(pieces(), VOCAB.pad_id))
    alone = torch.cat([read(*collate_text([p], VOCAB.pad_id)) for p in pieces()])
    assert torch.allclose(together, alone, atol=1e-5)
    exact = read.encode.dtype == torch.float32  # on this processor
    assert torch.allclose(net.eval()(*collate_text(pieces(), VOCAB.pad_id)), together, atol=1e-5 if exact else 0.02)
    assert len(together) == sum(window.max() + 1 for _, window in pieces())


def test_the_past_counts_and_the_future_does_not():
    torch.manual_seed(2)
    read = inference_net(
        "awd_lstm",
        stored_tensors(training_net("awd_lstm", ARCHITECTURES["awd_lstm"].DEFAULTS | tiny.SIZES, VOCAB, 2)),
        2,
    )
    ((ids, window),) = pieces(1)
    other = ids.copy()
    other[window == window.max()] = VOCAB.id_of["p1"]
    found, changed = (read(*collate_text([(i, window)], VOCAB.pad_id)) for i in (ids, other))
    assert torch.allclose(found[:-1], changed[:-1]) and not torch.allclose(found[-1], changed[-1])
    other = ids.copy()
    other[np.flatnonzero(window == window.max())[0] - 1] = VOCAB.id_of["p1"]
    assert not torch.equal(found[-1], read(*collate_text([(other, window)], VOCAB.pad_id))[-1])


def test_stored_weights_do_not_change_with_the_network():
    net = training_net("awd_lstm", ARCHITECTURES["awd_lstm"].DEFAULTS | tiny.SIZES, VOCAB, 2)
    stored = stored_tensors(net)
    before = {name: v.clone() for name, v in stored.items()}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 1
    assert all(torch.equal(stored[name], v) for name, v in before.items())
