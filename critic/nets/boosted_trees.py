"""Boosted regression trees on the descriptors of a segment, as arrays of nodes.

scikit-learn trains them (`critic.members.boosted_trees`); stored as arrays they need no pickle, and are read without
running code from a file.
"""

import torch
from torch import Tensor, nn

from critic.features.descriptors import N_DESCRIPTORS

MAX_DEPTH = 4


def in_half_precision(descriptors: Tensor) -> Tensor:
    """Return descriptors rounded to half precision, in which thresholds are stored; float32 of the same shape."""
    largest = torch.finfo(torch.half).max
    return descriptors.clamp(-largest, largest).half().float()


def n_nodes_of(depth: int) -> int:
    """Return the number of nodes of a full binary tree of a depth."""
    return 2 ** (depth + 1) - 1


class BoostedTrees(nn.Module):
    """A sum of regression trees, the log-odds of the second of two classes.

    Every tree is full: the children of node i are 2 i + 1 and 2 i + 2. Where a tree ends earlier, both children repeat
    their parent.

    Parameters
    ----------
    n_trees : int
    depth : int
    """

    feature: Tensor
    threshold: Tensor
    value: Tensor
    prior: Tensor

    def __init__(self, n_trees: int, depth: int = MAX_DEPTH):
        super().__init__()
        self.depth = depth
        n_inner = n_nodes_of(depth - 1)
        self.register_buffer("feature", torch.zeros(n_trees, n_inner))  # number of the descriptor to look at
        self.register_buffer("threshold", torch.zeros(n_trees, n_inner))  # up to it to the left
        self.register_buffer("value", torch.zeros(n_trees, 2**depth))  # of the leaves, from left to right
        self.register_buffer("prior", torch.zeros(1))  # log-odds before any tree

    def forward(self, descriptors: Tensor) -> Tensor:
        """Return the logits of each segment, float32 (n_segments, 2).

        Parameters
        ----------
        descriptors : float32 tensor (n_segments, N_DESCRIPTORS)
        """
        descriptors = in_half_precision(descriptors)
        features = self.feature.long().clamp(0, N_DESCRIPTORS - 1)
        tree = torch.arange(len(features), device=features.device)
        node = torch.zeros(len(descriptors), len(features), dtype=torch.long, device=features.device)
        for _ in range(self.depth):
            value = descriptors.gather(1, features[tree, node])
            node = 2 * node + 1 + (value > self.threshold[tree, node])
        leaf = node - self.feature.shape[1]
        log_odds = self.prior + self.value[tree, leaf].sum(1)
        return torch.stack([-log_odds / 2, log_odds / 2], 1)
