"""Batches of excerpts for fastai's Learner."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

BUCKET_BATCHES = 16  # batches whose excerpts are sorted by length


class ExcerptDataset(Protocol):
    """Labelled excerpts as a member's features."""

    labels: np.ndarray  #: class of each excerpt, int array (n,)
    lengths: np.ndarray | None  #: to batch excerpts of similar length together, or None

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> tuple:
        """Return the arguments of the network, then the labels of its rows, int64 tensor.

        With a random generator the excerpts are augmented: transposed or cut, as the member does it.
        """
        ...


class ExcerptLoader:
    """An iterable of batches, as fastai's `DataLoaders` takes it.

    Parameters
    ----------
    dataset : ExcerptDataset
    bs : int
        Excerpts in a batch.
    seed : int, optional
        With a seed the excerpts are shuffled, augmented, and their classes balanced, in another way each epoch.
        Without one they come as they are.
    device : torch.device
        For fastai.
    """

    def __init__(self, dataset: ExcerptDataset, bs: int, seed: int | None = None, device: str | torch.device = "cpu"):
        self.dataset, self.bs, self.device = dataset, bs, torch.device(device)
        self.rng = None if seed is None else np.random.default_rng(seed)

    def __len__(self) -> int:
        if self.rng is None:
            return -(-len(self.dataset.labels) // self.bs)
        return max(1, sum(balanced_counts(self.dataset.labels)) // self.bs)

    def __iter__(self) -> Iterator[tuple]:
        rows = self._ordered_rows() if self.rng is None else self._drawn_rows()
        name = "evaluating" if self.rng is None else "training"
        for batch in tqdm(rows, name, leave=False, disable=None, unit=" batches"):
            yield self.dataset.batch(batch, self.rng)

    def _ordered_rows(self):
        """Return the rows of each batch, by length."""
        order = np.arange(len(self.dataset.labels))
        if self.dataset.lengths is not None:
            order = np.argsort(self.dataset.lengths, kind="stable")
        return [order[i : i + self.bs] for i in range(0, len(order), self.bs)]

    def _drawn_rows(self):
        """Return the rows of each batch, shuffled; what does not fill a batch waits for the next epoch."""
        order = self.rng.permutation(draw_balanced(self.dataset.labels, self.rng))
        if self.dataset.lengths is not None:
            order = self._sort_buckets(order)
        batches = [order[i : i + self.bs] for i in range(0, len(order) - self.bs + 1, self.bs)] or [order]
        return [batches[i] for i in self.rng.permutation(len(batches))]

    def _sort_buckets(self, order):
        """Sort runs of rows by length, so that a batch needs little padding."""
        size = self.bs * BUCKET_BATCHES
        buckets = [order[i : i + size] for i in range(0, len(order), size)]
        return np.concatenate([b[np.argsort(self.dataset.lengths[b], kind="stable")] for b in buckets])


def balanced_counts(labels: np.ndarray) -> list[int]:
    """Return how many excerpts of each class an epoch has: the geometric mean of its own and the average number."""
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    return [round(np.sqrt(counts.mean() * count)) for count in counts]


def draw_balanced(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw rows so that classes differ less in number; no row comes twice before all of its class came once."""
    drawn = []
    for label, count in zip(np.unique(labels), balanced_counts(labels)):
        drawn.append(np.resize(rng.permutation(np.flatnonzero(labels == label)), count))
    return np.concatenate(drawn)


class HeadLoader:
    """An iterable of batches in which each head of an `AveragedHeads` has rows of its own.

    Parameters
    ----------
    features : float32 tensor (n, n_features)
    labels : int64 tensor (n,)
    rows_of_heads : list of int arrays
        For each head the rows that it draws from; a row that is listed twice is drawn twice as often.
    bs : int
        Rows that a head draws for a batch.
    n_batches : int
        In an epoch.
    seed : int
    """

    device = torch.device("cpu")

    def __init__(
        self, features: Tensor, labels: Tensor, rows_of_heads: list[np.ndarray], bs: int, n_batches: int, seed: int
    ):
        self.features, self.labels, self.rows_of_heads = features, labels, rows_of_heads
        self.bs, self.n_batches, self.rng = bs, n_batches, np.random.default_rng(seed)

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in tqdm(range(self.n_batches), "training", leave=False, disable=None, unit=" batches"):
            drawn = [rows[self.rng.integers(len(rows), size=self.bs)] for rows in self.rows_of_heads]
            rows = torch.from_numpy(np.stack(drawn))
            yield self.features[rows], self.labels[rows]
