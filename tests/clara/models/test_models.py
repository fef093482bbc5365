"""Every architecture keeps the contract of `clara.models.Architecture`."""

import pytest
import torch

from clara.errors import BadSetting
from clara.models import ARCHITECTURES, get_architecture

VOCAB_SZ, PAD = 23, 0
SMALL = {"emb_sz": 8, "n_hid": 12, "n_layers": 2}


@pytest.fixture(params=ARCHITECTURES)
def arch(request):
    return ARCHITECTURES[request.param]


@pytest.fixture
def config(arch):
    return arch.DEFAULTS | {k: v for k, v in SMALL.items() if k in arch.DEFAULTS}


def net(arch, config, seed=0):
    torch.manual_seed(seed)
    model = arch.build(config, VOCAB_SZ, PAD)
    model.reset()
    return model


def inference_model(arch, model):
    return arch.InferenceModel(arch.to_tensors(model))


def example_ids(bs=3, seq_len=11):
    return torch.randint(1, VOCAB_SZ, (bs, seq_len), generator=torch.Generator().manual_seed(1))


def logits_of(model, seed=0):
    """Return logits of the example ids from a fresh state, with dropout drawn from a seed."""
    torch.manual_seed(seed)
    model.reset()
    return model(example_ids())[0]


def assert_close(a, b):
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_unknown_architecture():
    with pytest.raises(BadSetting, match="'transformer'.*awd_lstm"):
        get_architecture("transformer")


def test_logits_of_the_training_model(arch, config):
    assert net(arch, config)(example_ids())[0].shape == (3, 11, VOCAB_SZ)


def test_logits_of_the_inference_model(arch, config):
    network = inference_model(arch, net(arch, config))
    logits, _ = network(example_ids(), network.initial_state(3))
    assert logits.shape == (3, 11, VOCAB_SZ) and network.vocab_sz == VOCAB_SZ
    assert logits.dtype == torch.float32


@torch.no_grad()
def test_the_inference_model_equals_the_training_model(arch, config):
    model = net(arch, config).eval()
    network = inference_model(arch, model)
    state = network.initial_state(3)
    for part in example_ids(seq_len=24).split([11, 1, 12], dim=1):
        logits, state = network(part, state)
        assert_close(logits, model(part)[0])


@torch.no_grad()
def test_inference_token_by_token_equals_one_pass(arch, config):
    network, ids = inference_model(arch, net(arch, config)), example_ids()
    whole, last = network(ids, network.initial_state(3))
    state, steps = network.initial_state(3), []
    for token in ids.split(1, dim=1):
        logits, state = network(token, state)
        steps.append(logits)
    assert_close(torch.cat(steps, dim=1), whole)
    assert_close(network(ids, state)[0], network(ids, last)[0])


@torch.no_grad()
def test_training_model_token_by_token_equals_one_pass(arch, config):
    model, ids = net(arch, config).eval(), example_ids()
    whole = model(ids)[0]
    model.reset()
    assert_close(torch.cat([model(token)[0] for token in ids.split(1, dim=1)], dim=1), whole)


@torch.no_grad()
def test_the_training_model_carries_its_state_until_reset(arch, config):
    model, ids = net(arch, config).eval(), example_ids()
    first, second = model(ids)[0], model(ids)[0]
    assert (first - second).abs().max() > 1e-4
    model.reset()
    assert_close(model(ids)[0], first)


@torch.no_grad()
def test_take_forks_states(arch, config):
    network, ids = inference_model(arch, net(arch, config)), example_ids()
    _, state = network(ids, network.initial_state(3))
    rows = torch.tensor([2, 0, 2, 2])
    more = example_ids(4, 5)
    forked, _ = network(more, network.take(state, rows))
    for i, row in enumerate(rows.tolist()):
        _, own = network(ids[row][None], network.initial_state(1))
        assert_close(forked[i], network(more[i][None], own)[0][0])


def test_take_leaves_the_original_state(arch, config):
    network, ids = inference_model(arch, net(arch, config)), example_ids()
    _, state = network(ids, network.initial_state(3))
    before = network(ids, state)[0]
    network(ids, network.take(state, torch.tensor([1, 1, 0])))
    assert torch.equal(network(ids, state)[0], before)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_shapes_are_those_of_the_weights(arch, config, n_layers):
    sizes = config | {"n_layers": n_layers} if "n_layers" in config else config
    tensors = arch.to_tensors(net(arch, sizes))
    assert {name: tuple(t.shape) for name, t in tensors.items()} == arch.shapes(sizes, VOCAB_SZ)


def test_each_weight_is_stored_once(arch, config):
    model = net(arch, config)
    tensors = arch.to_tensors(model)
    assert sum(t.numel() for t in tensors.values()) == sum(p.numel() for p in model.parameters())
    assert len({t.data_ptr() for t in tensors.values()}) == len(tensors)


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
def test_stored_weights_can_be_loaded(arch, config, training):
    model, other = net(arch, config, seed=0).train(training), net(arch, config, seed=1).train(training)
    other(example_ids())
    arch.load_tensors(other, arch.to_tensors(model))
    for name, tensor in arch.to_tensors(other).items():
        assert torch.equal(tensor, arch.to_tensors(model)[name]), name
    assert torch.equal(logits_of(other), logits_of(model))


@torch.no_grad()
def test_loading_resets_the_state(arch, config):
    model = net(arch, config).eval()
    fresh = model(example_ids())[0]
    arch.load_tensors(model, arch.to_tensors(model))
    assert torch.equal(model(example_ids())[0], fresh)


def test_half_precision_weights_give_float32_logits(arch, config):
    halves = {name: t.half() for name, t in arch.to_tensors(net(arch, config)).items()}
    network = arch.InferenceModel(halves)
    logits, _ = network(example_ids(), network.initial_state(3))
    assert logits.dtype == torch.float32


def test_every_parameter_is_in_one_group(arch, config):
    model = net(arch, config)
    grouped = [id(p) for group in arch.groups(model) for p in group]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


@torch.no_grad()
def test_dropout_is_active_in_training_only(arch, config):
    model = net(arch, config).train()
    assert not torch.equal(logits_of(model, seed=1), logits_of(model, seed=2))
    model.eval()
    assert torch.equal(logits_of(model, seed=1), logits_of(model, seed=2))


def test_trains_without_any_dropout(arch, config):
    model = net(arch, config | {k: 0.0 for k in config if k.endswith("_p")}).train()
    names = [name for name, _ in model.named_parameters()]
    for _ in range(2):
        model(example_ids())[0].logsumexp(2).sum().backward()
        model.reset()
    assert [name for name, _ in model.named_parameters()] == names
    assert all(p.grad is not None for p in model.parameters())
