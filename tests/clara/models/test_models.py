"""What every architecture promises, see `clara.models`."""

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


def reader_of(arch, model):
    return arch.InferenceModel(arch.to_tensors(model))


def some_ids(bs=3, seq_len=11):
    return torch.randint(1, VOCAB_SZ, (bs, seq_len), generator=torch.Generator().manual_seed(1))


def logits_of(model, seed=0):
    """Of some ids from a fresh state, with this draw of dropout."""
    torch.manual_seed(seed)
    model.reset()
    return model(some_ids())[0]


def assert_close(a, b):
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_unknown_architecture():
    with pytest.raises(BadSetting, match="'transformer'.*awd_lstm"):
        get_architecture("transformer")


def test_logits_of_the_net(arch, config):
    assert net(arch, config)(some_ids())[0].shape == (3, 11, VOCAB_SZ)


def test_logits_of_the_reader(arch, config):
    reader = reader_of(arch, net(arch, config))
    logits, _ = reader(some_ids(), reader.initial_state(3))
    assert logits.shape == (3, 11, VOCAB_SZ) and reader.vocab_sz == VOCAB_SZ
    assert logits.dtype == torch.float32


@torch.no_grad()
def test_reader_equals_the_net(arch, config):
    model = net(arch, config).eval()
    reader = reader_of(arch, model)
    state = reader.initial_state(3)
    for part in some_ids(seq_len=24).split([11, 1, 12], dim=1):
        logits, state = reader(part, state)
        assert_close(logits, model(part)[0])


@torch.no_grad()
def test_reader_word_by_word_equals_one_pass(arch, config):
    reader, ids = reader_of(arch, net(arch, config)), some_ids()
    whole, last = reader(ids, reader.initial_state(3))
    state, steps = reader.initial_state(3), []
    for word in ids.split(1, dim=1):
        logits, state = reader(word, state)
        steps.append(logits)
    assert_close(torch.cat(steps, dim=1), whole)
    assert_close(reader(ids, state)[0], reader(ids, last)[0])


@torch.no_grad()
def test_net_word_by_word_equals_one_pass(arch, config):
    model, ids = net(arch, config).eval(), some_ids()
    whole = model(ids)[0]
    model.reset()
    assert_close(torch.cat([model(word)[0] for word in ids.split(1, dim=1)], dim=1), whole)


@torch.no_grad()
def test_net_carries_its_state_until_reset(arch, config):
    model, ids = net(arch, config).eval(), some_ids()
    first, second = model(ids)[0], model(ids)[0]
    assert (first - second).abs().max() > 1e-4
    model.reset()
    assert_close(model(ids)[0], first)


@torch.no_grad()
def test_take_forks_states(arch, config):
    reader, ids = reader_of(arch, net(arch, config)), some_ids()
    _, state = reader(ids, reader.initial_state(3))
    rows = torch.tensor([2, 0, 2, 2])
    more = some_ids(4, 5)
    forked, _ = reader(more, reader.take(state, rows))
    for i, row in enumerate(rows.tolist()):
        _, own = reader(ids[row][None], reader.initial_state(1))
        assert_close(forked[i], reader(more[i][None], own)[0][0])


def test_take_leaves_the_state_it_took_from(arch, config):
    reader, ids = reader_of(arch, net(arch, config)), some_ids()
    _, state = reader(ids, reader.initial_state(3))
    before = reader(ids, state)[0]
    reader(ids, reader.take(state, torch.tensor([1, 1, 0])))
    assert torch.equal(reader(ids, state)[0], before)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_shapes_are_those_of_the_weights(arch, config, n_layers):
    sizes = config | {"n_layers": n_layers} if "n_layers" in config else config
    tensors = arch.to_tensors(net(arch, sizes))
    assert {name: tuple(t.shape) for name, t in tensors.items()} == arch.shapes(sizes, VOCAB_SZ)


def test_each_weight_stands_on_disk_once(arch, config):
    model = net(arch, config)
    tensors = arch.to_tensors(model)
    assert sum(t.numel() for t in tensors.values()) == sum(p.numel() for p in model.parameters())
    assert len({t.data_ptr() for t in tensors.values()}) == len(tensors)


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
def test_weights_go_out_and_in(arch, config, training):
    model, other = net(arch, config, seed=0).train(training), net(arch, config, seed=1).train(training)
    other(some_ids())
    arch.load_tensors(other, arch.to_tensors(model))
    for name, tensor in arch.to_tensors(other).items():
        assert torch.equal(tensor, arch.to_tensors(model)[name]), name
    assert torch.equal(logits_of(other), logits_of(model))


@torch.no_grad()
def test_loading_forgets_what_was_read(arch, config):
    model = net(arch, config).eval()
    fresh = model(some_ids())[0]
    arch.load_tensors(model, arch.to_tensors(model))
    assert torch.equal(model(some_ids())[0], fresh)


def test_half_precision_weights_are_read_as_single(arch, config):
    halves = {name: t.half() for name, t in arch.to_tensors(net(arch, config)).items()}
    reader = arch.InferenceModel(halves)
    logits, _ = reader(some_ids(), reader.initial_state(3))
    assert logits.dtype == torch.float32


def test_every_parameter_is_in_one_group(arch, config):
    model = net(arch, config)
    grouped = [id(p) for group in arch.groups(model) for p in group]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


@torch.no_grad()
def test_dropout_is_a_matter_of_training_alone(arch, config):
    model = net(arch, config).train()
    assert not torch.equal(logits_of(model, seed=1), logits_of(model, seed=2))
    model.eval()
    assert torch.equal(logits_of(model, seed=1), logits_of(model, seed=2))


def test_trains_without_any_dropout(arch, config):
    model = net(arch, config | {k: 0.0 for k in config if k.endswith("_p")}).train()
    names = [name for name, _ in model.named_parameters()]
    for _ in range(2):
        model(some_ids())[0].logsumexp(2).sum().backward()
        model.reset()
    assert [name for name, _ in model.named_parameters()] == names
    assert all(p.grad is not None for p in model.parameters())
