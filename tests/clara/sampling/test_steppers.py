"""Steppers: their logits are the model's, and those of a text do not depend on the batch."""

import numpy as np
import pytest
import tiny
import torch

from clara.errors import BadSetting
from clara.models import ARCHITECTURES
from clara.sampling import int8, steppers
from clara.sampling.steppers import FloatStepper, stepper_factory

WAYS = [(arch, "float32") for arch in ARCHITECTURES] + [("awd_lstm", "int8"), ("lstm", "int8")]


@pytest.fixture(params=WAYS, ids=" ".join)
def way(request):
    """Return a model, a function that makes its steppers, and how near their logits must come."""
    arch, precision = request.param
    reader = tiny.checkpoint(arch=arch, n_layers=3, emb_sz=24, n_hid=40).inference_model()
    return reader, stepper_factory(reader, precision)[0], 0.15 if precision == "int8" else 1e-5


def words(n, steps, seed=0):
    return np.random.default_rng(seed).integers(3, 200, (steps, n))


@torch.inference_mode()
def test_as_the_reader(way):
    reader, make, near = way
    ids, prompt = words(20, 12), torch.tensor([[1, 5, 9]])
    _, state = reader(prompt, reader.initial_state(1))
    stepper = make()
    stepper.begin(state, np.zeros(20, dtype=np.int64))
    stepped = np.stack([stepper.step(step).copy() for step in ids], 1)
    whole = torch.cat([prompt.expand(20, -1), torch.from_numpy(ids).T], 1)
    expected = reader(whole, reader.initial_state(20))[0][:, 3:]
    assert stepped.shape == expected.shape and stepped.dtype == np.float32
    assert np.abs(stepped - expected.numpy()).max() < near * max(1, float(expected.abs().max()))


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 33, 100])
def test_a_text_is_the_same_in_any_company(way, n):
    reader, make, _ = way
    ids, alone, together = words(100, 10)[:, :n], make(), make()
    together.begin(reader.initial_state(n), np.arange(n))
    alone.begin(reader.initial_state(1), np.arange(1))
    for step in ids:
        assert np.array_equal(together.step(step)[-1:], alone.step(step[-1:]))


def test_texts_that_leave_do_not_disturb_the_others(way):
    reader, make, _ = way
    ids, whole, few = words(40, 12), make(), make()
    rows = np.array([3, 38, 17, 3])
    for stepper in (whole, few):
        stepper.begin(reader.initial_state(40), np.arange(40))
        for step in ids[:6]:
            stepper.step(step)
    few.take(rows)
    for step in ids[6:]:
        assert np.array_equal(whole.step(step)[rows], few.step(step[rows]))


@torch.inference_mode()
def test_a_text_goes_on_from_its_state(way):
    """In whatever place, and together with texts that have read more or fewer words."""
    reader, make, _ = way
    ids, whole, forked = words(40, 12), make(), make()
    whole.begin(reader.initial_state(40), np.arange(40))
    states, stepped = [], []
    for i, step in enumerate(ids):
        if i in (5, 6):
            states += [whole.state_of(17), whole.state_of(38)]
        stepped.append(whole.step(step).copy())
    forked.begin(reader.join([states[3], states[0], states[2]]), np.array([2, 0, 1]))
    for at in range(5, 11):
        assert np.array_equal(
            forked.step(np.array([ids[at + 1, 17], ids[at + 1, 38], ids[at, 17]])),
            [stepped[at + 1][17], stepped[at + 1][38], stepped[at][17]],
        )


def test_auto_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    reader = tiny.checkpoint().inference_model()
    found = stepper_factory(reader)[1]
    assert found in ("int8", "float32")
    monkeypatch.setattr(steppers, "_seconds_per_step", lambda *_: pytest.fail("measured again"))
    assert stepper_factory(reader)[1] == found
    (tmp_path / "clara" / "precision.json").write_text("broken")
    monkeypatch.setattr(steppers, "_seconds_per_step", lambda reader, stepper: isinstance(stepper, FloatStepper))
    assert stepper_factory(reader)[1] == "int8"


def test_what_there_is_no_precision_for():
    with pytest.raises(BadSetting, match="int4"):
        stepper_factory(tiny.checkpoint().inference_model(), "int4")
    with pytest.raises(BadSetting, match="LSTM"):
        stepper_factory(tiny.checkpoint(arch="wavenet").inference_model(), "int8")
    assert stepper_factory(tiny.checkpoint(arch="wavenet").inference_model())[1] == "float32"


def test_processors_without_8_bit_instructions_sum_the_same():
    """Their weights are unsigned bytes; nothing is cut off, however large."""
    rng = np.random.default_rng(0)
    weights, read = rng.integers(-127, 128, (37, 50)).astype(np.int8), rng.integers(0, 256, (6, 50)).astype(np.uint8)
    weights[:3], read[:2] = 127, 255
    products = int8._make_session(weights, unsigned=True).run(None, {"bytes": read})[0]
    assert np.array_equal(products, read.astype(int) @ weights.T.astype(int))


def test_the_sums_here_are_exact():
    weights, read = np.full((5, 64), -127, np.int8), np.full((2, 64), 255, np.uint8)
    products = int8._make_session(weights, unsigned=int8._int8_products_saturate()).run(None, {"bytes": read})[0]
    assert (products == -127 * 255 * 64).all()
