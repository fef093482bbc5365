"""The best model, averaged weights, calibration and class weights."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from critic.training import learner
from critic.training.callbacks import BestModel, class_weights, fit_temperature, running_mean
from critic.training.learner import classifier_learner, train_best
from critic.training.settings import TrainSettings


def test_the_mean_of_the_weights_follows_them():
    net = nn.Linear(1, 1, bias=False)
    mean = running_mean(net)
    for step in range(5000):
        with torch.no_grad():
            net.weight.fill_(step % 2)
        mean.update_parameters(net)
        assert step > 5 or abs(mean.module.weight.item() - step % 2) < 0.95
    assert mean.module.weight.item() == pytest.approx(0.5, abs=0.01)


def test_calibration_uses_the_class_weights():
    logits, labels = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 0, 1])
    assert fit_temperature(logits, labels) < fit_temperature(logits, labels, torch.tensor([1.0, 2.0]))


def test_calibration_finds_the_temperature():
    torch.manual_seed(0)
    logits = torch.randn(4000, 2)
    labels = torch.multinomial(logits.softmax(1), 1)[:, 0]
    assert fit_temperature(logits * 3, labels) == pytest.approx(3, rel=0.15)


def test_class_weights_are_scikit_learns():
    labels = np.random.default_rng(0).choice(3, 200, p=(0.7, 0.2, 0.1))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights(torch.from_numpy(labels), 3).numpy() == pytest.approx(expected)
    assert class_weights(torch.tensor([0, 0, 2]), 3).tolist() == [0.5, 1, 1]  # an absent class


def test_the_best_model_is_kept():
    lines, kept = [], []
    best = BestModel(lambda tensors, temperature: (tensors, temperature), log=lines.append, on_improvement=kept.append)
    labels = torch.tensor([0, 1, 1, 0])
    good, bad = torch.eye(2)[labels] * 2, torch.eye(2)[1 - labels]
    good[0] = good[0].flip(0)
    for epoch, (name, logits) in enumerate((("bad", bad), ("good", good), ("worse", bad)), start=1):
        best.update(f"{epoch}/3", 0.5, 1.0, {"name": name}, logits, labels)
    assert best.tensors == {"name": "good"} and best.member()[0] == {"name": "good"}
    assert [tensors["name"] for tensors, _ in kept] == ["bad", "good"]
    assert len(lines) == 3 and lines[1].startswith("epoch 2/3  train 0.5000  valid ") and "accuracy 0.750" in lines[1]


def toy_batches(seed, n=6):
    """Batches in which the sign of the first column is the class."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(n):
        x = torch.randn(16, 3, generator=generator)
        batches.append((x, (x[:, 0] > 0).long()))
    return batches


class Batches(list):
    """A list of batches, as fastai's DataLoaders takes it."""

    device = torch.device("cpu")


def train_toy(on_improvement=None, **settings):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    training = TrainSettings(epochs=4, lr=0.05, bs=16, **settings)
    best = BestModel(lambda tensors, _: tensors, log=lambda _: None, on_improvement=on_improvement)
    learn = classifier_learner(net, Batches(toy_batches(1)), Batches(toy_batches(2)), training)
    tensors = train_best(learn, training, best, lambda model: {k: v.clone() for k, v in model.state_dict().items()})
    return best, tensors, net


@pytest.mark.parametrize("settings", [{}, {"schedule": "constant"}, {"clip": 0.1}, {"average_weights": True}])
def test_the_loop_learns(settings):
    best, tensors, net = train_toy(**settings)
    assert best.loss < 0.4
    assert all(torch.isfinite(v).all() for v in tensors.values())
    if settings.get("average_weights"):
        assert not torch.equal(tensors["0.weight"], net[0].weight)


@pytest.mark.parametrize("average_weights", [False, True])
def test_the_loop_learns_in_bfloat16(monkeypatch, average_weights):
    monkeypatch.setattr(learner, "choose_device", lambda _: (torch.device("cpu"), True, ""))
    best, tensors, _ = train_toy(average_weights=average_weights)
    assert best.loss < 0.4 and {v.dtype for v in tensors.values()} == {torch.float32}


def test_keeping_a_model_does_not_change_the_training():
    """Even if building it draws random numbers."""
    kept = train_toy(on_improvement=lambda _: nn.Linear(3, 3))[1]
    plain = train_toy()[1]
    assert all(torch.equal(kept[name], v) for name, v in plain.items())
