"""Batches for the Learner: shuffled, balanced, sorted by length."""

import numpy as np
import torch

from critic.training.batches import ExcerptLoader, HeadLoader, balanced_counts, draw_balanced


class Rows:
    """A dataset whose batches are the rows themselves, and whether they were augmented."""

    def __init__(self, labels, lengths=None):
        self.labels, self.lengths = np.asarray(labels), lengths

    def batch(self, rows, rng):
        return rows, rng is not None


def epoch(loader):
    return np.concatenate([rows for rows, _ in loader])


def test_without_a_seed_every_row_comes_once_as_it_is():
    loader = ExcerptLoader(Rows([0] * 5 + [1] * 6), 4)
    assert epoch(loader).tolist() == list(range(11)) and len(loader) == len(list(loader)) == 3
    assert not any(augmented for _, augmented in loader)


def test_rows_come_in_order_of_length_without_a_seed():
    lengths = np.array([5, 3, 9, 1])
    assert epoch(ExcerptLoader(Rows([0, 0, 0, 0], lengths), 2)).tolist() == [3, 1, 0, 2]


def test_each_epoch_has_another_order_and_a_seed_repeats_them():
    first, again = (ExcerptLoader(Rows([0, 1] * 8), 4, seed=1) for _ in range(2))
    epochs = [epoch(first).tolist() for _ in range(2)]
    assert epochs[0] != epochs[1] and [epoch(again).tolist() for _ in range(2)] == epochs
    assert all(sorted(rows) == list(range(16)) for rows in epochs)
    assert all(augmented for _, augmented in first)


def test_classes_of_unequal_size_are_drawn_more_alike():
    labels = np.array([0] * 40 + [1] * 10)
    rows = draw_balanced(labels, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == balanced_counts(labels) == [32, 16]
    assert len(set(rows[labels[rows] == 0])) == 32  # none twice
    assert len(set(rows[labels[rows] == 1])) == 10  # all of them, and some twice
    loader = ExcerptLoader(Rows(labels), 8, seed=0)
    assert len(loader) == len(list(loader)) == 6


def test_fewer_rows_than_a_batch_are_one_batch():
    loader = ExcerptLoader(Rows([0, 1, 0, 1]), 8, seed=0)
    assert len(loader) == 1 and sorted(epoch(loader)) == [0, 1, 2, 3]


def test_batches_hold_rows_of_similar_length():
    lengths = np.random.default_rng(0).integers(1, 1000, 256)
    loader = ExcerptLoader(Rows([0, 1] * 128, lengths), 16, seed=0)
    spreads = [np.ptp(lengths[rows]) for rows, _ in loader]
    assert np.mean(spreads) < 200


def test_each_head_draws_from_its_rows():
    features = torch.arange(6.0)[:, None]
    labels = torch.arange(6)
    loader = HeadLoader(features, labels, [np.array([0, 1]), np.array([2, 2, 2, 3])], 400, 3, seed=0)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    for x, y in batches:
        assert x.shape == (2, 400, 1) and torch.equal(x[..., 0].long(), y)
        assert set(y[0].tolist()) == {0, 1} and set(y[1].tolist()) == {2, 3}
        assert 0.65 < (y[1] == 2).float().mean() < 0.85
