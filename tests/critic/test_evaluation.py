"""AUC and accuracies."""

import numpy as np
import pytest

from critic.evaluation import accuracies, auc, excerpt_and_piece_accuracy, mean_log_probs


def test_area_under_the_curve():
    assert auc(np.array([3.0, 2.0]), np.array([1.0, 0.0])) == 1
    assert auc(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0.5
    assert auc(np.array([2.0, 0.0]), np.array([1.0])) == 0.5
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 40).astype(float), rng.integers(0, 7, 50).astype(float)
    assert auc(a, b) == pytest.approx(((a[:, None] > b) + 0.5 * (a[:, None] == b)).mean())


def test_accuracies():
    log_probs, labels = np.eye(2)[[0, 0, 0, 1, 0]], np.array([0, 0, 0, 1, 1])
    assert accuracies(log_probs, labels) == {"accuracy": 0.8, "balanced_accuracy": 0.75}


def test_a_class_that_does_not_occur_is_left_out_of_the_balanced_accuracy():
    log_probs, labels = np.eye(3)[[0, 0, 2, 1]], np.array([0, 0, 1, 1])
    assert accuracies(log_probs, labels) == {"accuracy": 0.75, "balanced_accuracy": 0.75}


def test_a_piece_is_classified_by_the_mean_of_its_excerpts():
    probs = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    figures = excerpt_and_piece_accuracy(np.log(probs), np.array([0, 0, 1, 1]), np.array(["a", "a", "b", "b"]))
    assert figures["excerpt_accuracy"] == 0.75 and figures["piece_accuracy"] == 1
    mean = mean_log_probs(np.log(probs), np.array([0, 0, 1, 1]))
    assert np.exp(mean).sum(1) == pytest.approx(np.ones(2))
    assert mean[0, 0] - mean[0, 1] == pytest.approx(np.log([9, 2 / 3]).mean())
