"""Heads that learn apart, and their fast dropout."""

import pytest
import torch
from torch import nn

from critic.nets.heads import AveragedHeads, HalfDropout


def test_logits_are_the_mean_of_the_heads():
    torch.manual_seed(0)
    heads = AveragedHeads(nn.Linear(3, 2) for _ in range(4))
    x = torch.randn(5, 3)
    assert torch.allclose(heads(x), torch.stack([head(x) for head in heads]).mean(0))
    batches = torch.randn(4, 6, 3)
    apart = heads(batches)
    assert apart.shape == (4, 6, 2)
    assert all(torch.equal(apart[i], head(batches[i])) for i, head in enumerate(heads))


@pytest.mark.parametrize("shape", [(512, 300), (3, 7), (1, 64)])
def test_half_dropout_drops_as_torch_does(shape):
    drop, x = HalfDropout(), torch.rand(shape) + 1
    torch.manual_seed(0)
    first, second = drop(x), drop(x)
    assert ((first == 0) | (first == 2 * x)).all() and not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(drop(x), first)
    assert torch.equal(drop.eval()(x), x)


def test_half_dropout_drops_half_of_all_alike():
    torch.manual_seed(0)
    kept = (HalfDropout()(torch.ones(1000, 203)) > 0).double()
    assert abs(kept.mean() - 0.5) < 0.005
    assert (kept.mean(0) - 0.5).abs().max() < 0.08 and (kept.mean(1) - 0.5).abs().max() < 0.2
    assert torch.corrcoef(kept.T).fill_diagonal_(0).abs().max() < 0.2  # no two of a row go together


def test_half_dropout_passes_gradients_where_it_keeps():
    x = torch.ones(50, 3, requires_grad=True)
    y = HalfDropout()(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
