"""The context of tokens in the AWD-LSTM, in training and in inference."""

import numpy as np
import pytest
import torch

from clara.models import awd_lstm
from clara.models.context import N_CANDIDATES, add_trust, emphasize
from clara.sampling.steppers import stepper_factory

VOCAB_SZ, N_ROWS, N_COLUMNS = 23, 1 + N_CANDIDATES * 23 + 40, 10
NO_DROPOUT = dict.fromkeys(("input_p", "hidden_p", "output_p", "embed_p", "weight_p"), 0.0)
CONFIG = awd_lstm.DEFAULTS | NO_DROPOUT | {"emb_sz": 16, "n_hid": 32, "n_layers": 2, "context_rows": N_ROWS}


def example_inputs(bs=3, seq_len=11, seed=1):
    """Return tokens and contexts, int64 (bs, seq_len, 1 + N_COLUMNS); some candidates are unknown."""
    rng = np.random.default_rng(seed)
    shape = (bs, seq_len)
    candidates = [1 + k * VOCAB_SZ + rng.integers(0, VOCAB_SZ, shape) for k in range(N_CANDIDATES)]
    candidates = [np.where(rng.random(shape) < 0.3, 0, c) for c in candidates]
    others = [rng.integers(0, 40, shape) + (N_ROWS - 40) for _ in range(N_COLUMNS - N_CANDIDATES)]
    return torch.from_numpy(np.stack([rng.integers(1, VOCAB_SZ, shape), *candidates, *others], axis=-1))


def trained_net(seed=0):
    """Return a network whose weights for the context are not zero."""
    torch.manual_seed(seed)
    net = awd_lstm.build(CONFIG, VOCAB_SZ, 0)
    for p in (net[0].context.weight, net.output_context.weight, net.trust.weight, net.trust.bias):
        torch.nn.init.normal_(p, std=0.01)
    net.reset()
    return net.eval()


def inference_model(net):
    return awd_lstm.InferenceModel(awd_lstm.to_tensors(net))


def test_a_new_context_changes_nothing():
    torch.manual_seed(0)
    net = awd_lstm.build(CONFIG, VOCAB_SZ, 0)
    net.reset()
    inputs = example_inputs()
    with_context = net.eval()(inputs)[0]
    net.reset()
    torch.testing.assert_close(with_context, net(inputs[..., 0])[0])


def test_the_shapes_of_the_weights_are_as_described():
    shapes = {name: tuple(t.shape) for name, t in awd_lstm.to_tensors(trained_net()).items()}
    assert shapes == awd_lstm.shapes(CONFIG, VOCAB_SZ)


def test_an_emphasis_moves_only_what_a_column_says():
    before = torch.arange(12.0).view(6, 2) ** 2
    kept, rows = before.clone(), slice(2, 5)
    after = emphasize(before, rows, 3)
    torch.testing.assert_close(after[rows] - after[rows].mean(0), 3 * (before[rows] - before[rows].mean(0)))
    torch.testing.assert_close(after[rows].mean(0), before[rows].mean(0))
    assert torch.equal(after[[0, 1, 5]], before[[0, 1, 5]]) and torch.equal(before, kept)


def test_training_and_inference_agree():
    net, inputs = trained_net(), example_inputs()
    network = inference_model(net)
    logits, _ = network(inputs, network.initial_state(3))
    torch.testing.assert_close(logits, net(inputs)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("int8", 0.25)])
def test_steppers_agree_with_the_model(precision, tolerance):
    network, inputs = inference_model(trained_net()), example_inputs()
    expected, _ = network(inputs, network.initial_state(3))
    stepper = stepper_factory(network, precision)[0]()
    stepper.begin(network.initial_state(3), np.arange(3))
    for i in range(inputs.shape[1]):
        logits = stepper.step(inputs[:, i, 0].numpy(), inputs[:, i, 1:].numpy())
        np.testing.assert_allclose(logits, expected[:, i].numpy(), atol=tolerance)


def test_row_0_adds_nothing():
    network, inputs = inference_model(trained_net()), example_inputs()
    inputs[..., 1:] = 0
    logits, _ = network(inputs, network.initial_state(3))
    torch.testing.assert_close(logits, network(inputs[..., 0], network.initial_state(3))[0])


def test_trust_raises_the_logit_of_the_candidate_alone():
    context = torch.tensor([[[1 + 7, 1 + VOCAB_SZ + 3, 0, 0, 100, 101, 0, 0]]])
    bias = torch.zeros(N_ROWS)
    bias[101] = 0.5
    logits = add_trust(torch.zeros(1, 1, VOCAB_SZ), torch.tensor([[[2.0, 1.0, 9.0, 9.0]]]), bias, context)[0, 0]
    assert logits[7] == 2.0
    assert logits[3] == 1.5
    assert logits.count_nonzero() == 2


def test_all_weights_for_the_context_are_trained():
    net, inputs = trained_net().train(), example_inputs()
    net(inputs)[0].sum().backward()
    parameters = {id(p) for group in awd_lstm.groups(net) for p in group}
    for p in (net[0].context.weight, net.output_context.weight, net.trust.weight, net.trust.bias):
        assert p.grad.abs().sum() > 0
        assert id(p) in parameters
