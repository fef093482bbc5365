"""What a run keeps, reports and resumes from."""

import json

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from fastai.callback.core import Callback
from fastai.learner import Metric
from safetensors import safe_open

from clara.checkpoints.checkpoint import WEIGHTS
from clara.data.corpus import Corpus
from clara.errors import CheckpointMismatch
from clara.models import ARCHITECTURES
from clara.training.callbacks import HISTORY
from clara.training.resume_state import METADATA_KEY, STATE, load_state, save_state
from clara.training.stages import Stage, fit_stages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus.load(tiny.corpus(tmp_path_factory.mktemp("callbacks")))


class Scripted(Metric):
    """A cost of the validation pieces for each epoch, made up by the test."""

    tokens_per_quarter = 2.0

    def __init__(self, figures):
        self.figures = figures

    def reset(self):
        pass

    def accumulate(self, learn):
        self.value_ = self.figures[learn.epoch]

    @property
    def value(self):
        return self.value_

    @property
    def name(self):
        return "nats_per_quarter"


def run(corpus, folder, figures, patience=10**9):
    """Train for as many epochs as there are figures; return the learner and which epochs were kept."""
    kept = []
    learn = tiny.learner(corpus, folder, keep=lambda learn, to: kept.append((learn.epoch + 1, to)), patience=patience)
    learn.metrics = [Scripted(figures)]
    fit_stages(learn, [Stage(len(figures), 1e-3)], 0)
    return learn, kept


def weights_of(learn):
    return {name: p.detach().clone() for name, p in learn.model.named_parameters()}


def assert_equal_weights(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.parametrize(
    "figures, kept_epochs, best",
    [
        ([5.0, 4.0, 6.0, 3.0], [1, 2, 4], 4),
        ([5.0, 5.0, 6.0], [1], 1),
        ([3.0, 4.0, 2.0], [1, 3], 3),
    ],
)
def test_the_best_is_kept(corpus, tmp_path, figures, kept_epochs, best):
    learn, kept = run(corpus, tmp_path, figures)
    assert kept == [(epoch, tmp_path) for epoch in kept_epochs]
    assert learn.checkpoint.best["epoch"] == best
    assert not learn.checkpoint.stopped_early


def test_history_on_disk_is_the_history(corpus, tmp_path):
    learn, _ = run(corpus, tmp_path, [5.0, 4.0])
    found = pd.read_csv(tmp_path / HISTORY).to_dict("records")
    assert found == learn.checkpoint.history
    assert [r["epoch"] for r in found] == [1, 2] and [r["nats_per_quarter"] for r in found] == [5.0, 4.0]
    assert all(r["tokens_per_second"] > 0 and np.isfinite([r["train_loss"], r["valid_loss"]]).all() for r in found)


@pytest.mark.parametrize(
    "figures, patience, epochs", [([5.0, 4.0, 6.0, 7.0, 1.0], 2, 4), ([5.0, 6.0, 1.0], 1, 2), ([5.0, 4.0, 3.0], 1, 3)]
)
def test_patience_ends_a_run(corpus, tmp_path, capsys, figures, patience, epochs):
    learn, _ = run(corpus, tmp_path, figures, patience)
    assert len(learn.checkpoint.history) == epochs
    assert learn.checkpoint.stopped_early == (epochs < len(figures))
    assert (f"no better for {patience} epochs" in capsys.readouterr().out) == learn.checkpoint.stopped_early


def test_a_line_per_epoch(corpus, tmp_path, capsys):
    run(corpus, tmp_path, [5.0, 4.0])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/3") and "5.000 nats/quarter" in lines[0] and "min left" in lines[0]


def test_nats_per_quarter_is_the_cost_of_the_stream(corpus, tmp_path):
    learn = tiny.learner(corpus, tmp_path)
    fit_stages(learn, [Stage(1, 1e-2)], 0)
    reader = ARCHITECTURES["awd_lstm"].InferenceModel(ARCHITECTURES["awd_lstm"].to_tensors(learn.model))
    state, nats, words = reader.initial_state(learn.dls.valid.bs), 0.0, 0
    for x, y in learn.dls.valid:
        logits, state = reader(x, state)
        nats -= logits.double().log_softmax(2).gather(2, y[..., None]).sum().item()
        words += y.numel()
    (row,) = learn.checkpoint.history
    assert row["nats_per_quarter"] == pytest.approx(nats / words * learn.dls.tokens_per_quarter, rel=1e-5)


def test_bf16_is_for_the_matrix_products_alone(corpus, tmp_path):
    learn, seen = tiny.learner(corpus, tmp_path, bf16=True), []

    class Types(Callback):
        order = 60

        def after_loss(self):
            seen.append((self.training, self.pred.dtype, self.loss.dtype, torch.is_autocast_enabled("cpu")))

    made = []
    learn.model[1].decoder.register_forward_hook(lambda module, x, y: made.append(y.dtype))
    learn.add_cb(Types())
    fit_stages(learn, [Stage(1, 1e-3)], 0)
    assert set(made) == {torch.bfloat16}
    assert set(seen) == {(True, torch.float32, torch.float32, False), (False, torch.float32, torch.float32, False)}
    assert {p.dtype for p in learn.model.parameters()} == {torch.float32}
    assert {v.dtype for s in learn.opt.state_dict()["state"] for v in s.values() if isinstance(v, torch.Tensor)} == {
        torch.float32
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_bf16_ends_also_where_the_forward_pass_breaks(corpus, tmp_path, error):
    learn = tiny.learner(corpus, tmp_path, bf16=True)

    def break_off(module, x):
        raise error

    learn.model.register_forward_pre_hook(break_off)
    try:
        with pytest.raises(error):
            fit_stages(learn, [Stage(1, 1e-3)], 0)
        assert not torch.is_autocast_enabled("cpu")
    finally:
        torch.set_autocast_enabled("cpu", False)  # for the tests that follow


def test_state_goes_out_and_in(corpus, tmp_path):
    learn, _ = run(corpus, tmp_path, [5.0, 4.0])
    other = tiny.learner(corpus, tmp_path, seed=1)
    history, opt_state = load_state(other, tmp_path / STATE)
    assert history == learn.checkpoint.history
    assert_equal_weights(weights_of(other), weights_of(learn))
    kept = learn.opt.state_dict()
    assert opt_state["hypers"] == [dict(h) for h in kept["hypers"]]
    assert len(opt_state["state"]) == len(kept["state"]) > 0
    for found, saved in zip(opt_state["state"], kept["state"]):
        assert found.keys() == saved.keys()
        assert all(torch.equal(torch.as_tensor(found[k]), torch.as_tensor(saved[k])) for k in saved)


def test_state_is_not_pickled(corpus, tmp_path):
    run(corpus, tmp_path, [5.0])
    with safe_open(tmp_path / STATE, "pt") as f:
        metadata = json.loads(f.metadata()[METADATA_KEY])
        kinds = {k.split(".")[0] for k in list(f.keys())}
    assert kinds == {"model", "opt"}
    assert metadata["history"][0]["nats_per_quarter"] == 5.0


def test_no_state_to_resume_from(corpus, tmp_path):
    with pytest.raises(CheckpointMismatch, match=STATE):
        load_state(tiny.learner(corpus, tmp_path), tmp_path / STATE)


def saved_state(corpus, folder):
    run(corpus, folder, [5.0])
    return folder / STATE


@pytest.mark.parametrize("n_layers, width", [(2, 8), (1, 10)])
def test_state_of_other_sizes(corpus, tmp_path, monkeypatch, n_layers, width):
    path = saved_state(corpus, tmp_path)
    monkeypatch.setitem(tiny.SIZES, "emb_sz", width)
    other = tiny.learner(corpus, tmp_path, n_layers=n_layers)
    before = weights_of(other)
    with pytest.raises(CheckpointMismatch, match=STATE):
        load_state(other, path)
    assert_equal_weights(weights_of(other), before)


@pytest.mark.parametrize("spoil", [lambda b: b[:-50], lambda b: b"", lambda b: b"x" * 99])
def test_broken_state(corpus, tmp_path, spoil):
    path = saved_state(corpus, tmp_path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CheckpointMismatch, match=STATE):
        load_state(tiny.learner(corpus, tmp_path), path)


def test_weights_of_a_model_are_no_state(corpus, tmp_path):
    tiny.checkpoint().save(tmp_path)
    with pytest.raises(CheckpointMismatch, match=WEIGHTS):
        load_state(tiny.learner(corpus, tmp_path), tmp_path / WEIGHTS)


def test_saving_again_gives_the_same_bytes(corpus, tmp_path):
    learn, _ = run(corpus, tmp_path, [5.0])
    save_state(learn, tmp_path / "again", learn.checkpoint.history)
    assert (tmp_path / "again").read_bytes() == (tmp_path / STATE).read_bytes()
