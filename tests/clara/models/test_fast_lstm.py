"""The fused LSTM layer equals torch's, forward and backward."""

import math

import pytest
import torch
from torch import nn

from clara.models import fast_lstm
from clara.models.fast_lstm import FusedLSTM

BS, N, N_IN, N_HID = 5, 7, 12, 20


def gradients(layer, x, state, fused):
    """Return output, state, and the gradients of a sum of all three."""
    leaves = [t.clone().requires_grad_() for t in (x, *state)]
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=fused):
        y, (h, c) = layer(leaves[0], (leaves[1], leaves[2]))
    weights = torch.linspace(-1, 1, y.numel()).view_as(y)
    ((y.float() * weights).sum() + h.sum() + (c**2).sum()).backward()
    return [
        y.float().detach(),
        h.detach(),
        c.detach(),
        *(t.grad for t in leaves),
        *(p.grad.clone() for p in layer.parameters()),
    ]


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return FusedLSTM(N_IN, N_HID, batch_first=True)


def random_input(bs=BS, n=N):
    """Return a random input and state."""
    return torch.randn(bs, n, N_IN), (torch.randn(1, bs, N_HID), torch.randn(1, bs, N_HID))


@pytest.mark.parametrize(("bs", "n"), [(BS, N), (1, 1), (16, 3), (33, 2)])
def test_values_and_gradients_are_those_of_torch(layer, bs, n):
    """To the precision of bfloat16: 8 bits, or 0.4 % of each value."""
    x, state = random_input(bs, n)
    for ours, theirs in zip(gradients(layer, x, state, True), gradients(layer, x, state, False)):
        assert ours.shape == theirs.shape
        assert ours.dtype == torch.float32
        assert float((ours - theirs).norm() / theirs.norm()) < 0.01


def test_large_and_small_gates():
    """For gates near 0 or 1, where an unbounded rational tanh would exceed 1."""
    layer = FusedLSTM(1, 1, batch_first=True)
    x, state = torch.tensor([[[-200.0], [-7.0], [-5.9], [-1e-6], [0.0], [5.9], [200.0]]]), (torch.zeros(1, 1, 1),) * 2
    for p in layer.parameters():
        nn.init.constant_(p, 1.0)
    y, (_, c) = layer(x, state)
    with torch.autocast("cpu", torch.bfloat16):
        ours, (_, cell) = layer(x, state)
    assert (ours.float() - y).detach().abs().max() < 0.01
    assert (cell - c).detach().abs().max() < 0.02 * c.detach().abs().max()


@pytest.mark.parametrize("fault", [float("nan"), float("inf")])
def test_nan_and_inf_are_not_hidden(layer, fault):
    x, state = random_input()
    layer.weight_ih_l0.data[3, 2] = fault
    y, h, c, *grads = gradients(layer, x, state, True)
    if math.isnan(fault):
        assert all(t[..., 3].isnan().any() for t in (y, h, c))
    assert any(not g.isfinite().all() for g in grads)


def test_no_gradient_no_autocast_is_torchs_own(layer):
    x, state = random_input()
    theirs = nn.LSTM.forward(layer, x, state)[0]
    assert torch.equal(layer(x, state)[0], theirs)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        ours = layer(x, state)[0]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=fast_lstm._has_bfloat16_lstm()):
        assert torch.equal(ours, nn.LSTM.forward(layer, x, state)[0])


def test_without_a_bfloat16_lstm_inference_is_in_float32(layer, monkeypatch):
    monkeypatch.setattr(fast_lstm, "_has_bfloat16_lstm", lambda: False)
    x, state = random_input()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        ours = layer(x, state)[0]
    assert torch.equal(ours, nn.LSTM.forward(layer, x, state)[0])


def test_it_learns():
    """Learn the sign of the first number, seven steps later."""
    torch.manual_seed(0)
    layer, out = FusedLSTM(1, 16, batch_first=True), nn.Linear(16, 1)
    opt = torch.optim.Adam([*layer.parameters(), *out.parameters()], lr=0.01)
    for _ in range(200):
        x = torch.randn(64, N, 1)
        with torch.autocast("cpu", torch.bfloat16):
            y = out(layer(x, (torch.zeros(1, 64, 16),) * 2)[0][:, -1]).float()
        loss = nn.functional.binary_cross_entropy_with_logits(y[:, 0], (x[:, 0, 0] > 0).float())
        opt.zero_grad()
        loss.backward()
        opt.step()
    assert loss < 0.3
