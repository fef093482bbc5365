"""The stages of a run, and training through them."""

import numpy as np
import pytest
import tiny
import torch
from fastai.callback.core import Callback

from clara.data.corpus import Corpus
from clara.training.stages import GROUP_LR_RATIO, Diverged, Stage, fit_stages, plan_stages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus.load(tiny.corpus(tmp_path_factory.mktemp("learner")))


class Rates(Callback):
    """Note the learning rate of each group at each batch, and how far the stage is."""

    order = 75  # after the rate is set

    def before_fit(self):
        self.stage_shares, self.group_rates = [], []

    def before_batch(self):
        if self.training:
            self.stage_shares.append(self.pct_train)
            self.group_rates.append([h["lr"] for h in self.opt.hypers])


class Poison(Callback):
    """Set a weight to NaN before one batch."""

    def __init__(self, epoch, batch):
        self.epoch_, self.batch = epoch, batch

    def before_batch(self):
        if self.training and (self.epoch, self.iter) == (self.epoch_, self.batch):
            next(self.model.parameters()).data[:] = torch.nan


def rates(corpus, folder, plan, discriminative=False, n_layers=1):
    """Train through a plan; return (shares, rates by group) of its last stage."""
    noted = Rates()
    learn = tiny.learner(corpus, folder, n_layers=n_layers)
    learn.add_cb(noted)
    fit_stages(learn, plan, 0, discriminative=discriminative)
    return np.array(noted.stage_shares), np.array(noted.group_rates)


def test_stages_from_scratch_are_one():
    assert plan_stages(5, 3e-3, "one_cycle", 4, gradual=False) == [
        Stage(5, 3e-3, 0, anneal_share=0.75, warm_share=0.25)
    ]
    assert plan_stages(5, 3e-3, "flat_cos", 4, gradual=False) == [Stage(5, 3e-3, 0, anneal_share=0.2, warm_share=0.01)]


def test_stages_of_fine_tuning_unfreeze_a_group_an_epoch():
    plan = plan_stages(5, 1e-3, "one_cycle", 3, gradual=True)
    assert [(s.epochs, s.trained_groups) for s in plan] == [(1, 1), (1, 2), (3, 0)]
    assert {s.lr for s in plan} == {1e-3}


@pytest.mark.parametrize("epochs", [1, 2, 3, 24])
def test_stages_last_as_many_epochs_as_asked_for(epochs):
    plan = plan_stages(epochs, 1e-3, "one_cycle", 3, gradual=True)
    assert sum(s.epochs for s in plan) == epochs
    assert plan[-1].trained_groups == 0 and plan[-1].epochs >= 1


def test_one_cycle(corpus, tmp_path):
    shares, found = rates(corpus, tmp_path, plan_stages(2, 8e-3, "one_cycle", 2, gradual=False))
    expected = np.where(
        shares < 0.25, cosine(8e-3 / 25, 8e-3, shares / 0.25), cosine(8e-3, 8e-7, (shares - 0.25) / 0.75)
    )
    assert len(shares) == 2 * len(tiny.learner(corpus, tmp_path).dls.train)
    np.testing.assert_allclose(found, np.c_[expected, expected], rtol=1e-6)
    assert found.max() > 7.5e-3 and found[-1].max() < 1e-4


def test_flat_then_down(corpus, tmp_path):
    shares, found = rates(corpus, tmp_path, plan_stages(2, 8e-3, "flat_cos", 2, gradual=False))
    flat = (shares >= 0.01) & (shares <= 0.8)
    np.testing.assert_allclose(found[flat], 8e-3)
    down = shares > 0.8
    expected = cosine(8e-3, 8e-7, (shares[down] - 0.8) / 0.2)
    np.testing.assert_allclose(found[down], np.c_[expected, expected], rtol=1e-6)
    assert flat.sum() > 10 and down.sum() > 3


def cosine(start, end, share):
    """Expect the rate from start to end, flat at both."""
    return start + (1 - np.cos(np.pi * share)) * (end - start) / 2


def test_discriminative_rates_fall_by_group(corpus, tmp_path):
    _, found = rates(corpus, tmp_path, [Stage(1, 1e-2)], discriminative=True, n_layers=2)
    np.testing.assert_allclose(found[:, 1:] / found[:, :-1], GROUP_LR_RATIO)
    _, even = rates(corpus, tmp_path, [Stage(1, 1e-2)], n_layers=2)
    np.testing.assert_allclose(even, np.repeat(found[:, -1:], 3, axis=1))


@pytest.mark.parametrize("n_trained", [1, 2, 3])
def test_a_stage_trains_its_groups_alone(corpus, tmp_path, n_trained):
    learn = tiny.learner(corpus, tmp_path, n_layers=2, wd=0.1)
    before = [[p.detach().clone() for p in group] for group in learn.splitter(learn.model)]
    fit_stages(learn, [Stage(1, 1e-2, n_trained)], 0)
    changed = [
        any(not torch.equal(a, b) for a, b in zip(group, old))
        for group, old in zip(learn.splitter(learn.model), before)
    ]
    assert changed == [False] * (3 - n_trained) + [True] * n_trained


@pytest.mark.parametrize("bf16", [False, True])
def test_the_loss_goes_down(tmp_path, bf16):
    repetitive = Corpus.load(tiny.corpus(tmp_path / "data", [tiny.ostinato()]))
    learn = tiny.learner(repetitive, tmp_path, bf16=bf16)
    fit_stages(learn, [Stage(8, 5e-2)], 0)
    history = learn.checkpoint.history
    assert len(history) == 8
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    assert history[-1]["valid_loss"] < 0.7 * history[0]["valid_loss"]


def test_the_seed_decides(corpus, tmp_path):
    def trained(seed):
        learn = tiny.learner(corpus, tmp_path)
        fit_stages(learn, [Stage(1, 1e-2)], seed)
        return torch.cat([p.detach().flatten() for p in learn.model.parameters()])

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


def test_the_net_sees_every_epoch_in_another_key(corpus, tmp_path):
    seen = []

    class Seen(Callback):
        def before_batch(self):
            if self.training and self.iter == 0:
                seen.append(self.x.clone())

    learn = tiny.learner(corpus, tmp_path)
    learn.add_cb(Seen())
    fit_stages(learn, [Stage(1, 1e-3), Stage(2, 1e-3)], 0)
    assert len(seen) == 3
    assert not any(torch.equal(a, b) for a, b in ((seen[0], seen[1]), (seen[1], seen[2]), (seen[0], seen[2])))


def diverge(corpus, folder, epoch, batch, epochs=2, kept=None):
    """Train with a weight that becomes NaN; return the message and the learner."""
    learn = tiny.learner(corpus, folder, keep=lambda learn, _: kept is not None and kept.append(learn.epoch))
    learn.add_cb(Poison(epoch, batch))
    with pytest.raises(Diverged) as e:
        fit_stages(learn, [Stage(epochs, 5e-3)], 0)
    return str(e.value), learn


def test_a_loss_that_is_no_number_ends_the_run(corpus, tmp_path):
    message, learn = diverge(corpus, tmp_path, epoch=1, batch=0)
    assert "the loss is nan at batch 0 of epoch 2, learning rate 0.00" in message
    assert f"{tmp_path} holds epoch 1, the best before" in message and "--lr" in message
    assert [row["epoch"] for row in learn.checkpoint.history] == [1]


def test_a_loss_that_is_no_number_at_once(corpus, tmp_path):
    assert "no epoch was finished before" in diverge(corpus, tmp_path, epoch=0, batch=0)[0]


@pytest.mark.parametrize("epoch, kept_epochs", [(0, []), (1, [0])])
def test_no_epoch_that_ended_in_nan_is_kept(corpus, tmp_path, epoch, kept_epochs):
    """Also where the last look at the loss came before."""
    kept = []
    last = len(tiny.learner(corpus, tmp_path).dls.train) - 1
    message, learn = diverge(corpus, tmp_path, epoch, last, kept=kept)
    assert "nan" in message and "rate" in message
    assert kept == kept_epochs
    assert len(learn.checkpoint.history) == len(kept_epochs)


def test_a_run_that_stopped_trains_no_later_stage(corpus, tmp_path):
    learn = tiny.learner(corpus, tmp_path, patience=1)
    fit_stages(learn, [Stage(20, 5.0), Stage(3, 1e-3)], 0)
    assert learn.checkpoint.stopped_early
    assert len(learn.checkpoint.history) < 20
