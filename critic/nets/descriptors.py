"""A net that reads what can be counted in music (`critic.features.descriptors`), stretch by stretch, to logits.

A piece is counted in stretches of 32 quarters, half over one another (`critic.features.segments`); a window's logits are the mean of those of the stretches that it lies in. It
hears, among the rest, that motifs, chords and rhythms come again.
"""

import numpy as np
import torch
from torch import nn

from critic.features.descriptors import N_DESCRIPTORS, extract_descriptors
from critic.features.segments import segments_and_weights

SIZES = {"hidden": 128, "n_heads": 3}  # units of a layer; heads, which learn apart and are averaged
INPUT_DROPOUT, DROPOUT = 0.1, 0.4
FURTHEST = 6.0  # deviations from the mean, beyond which a number is cut off
LEAST_DEVIATION = 1e-3  # so that it survives half precision, too


class Standard(nn.Module):
    """Numbers as deviations from their mean, none of them far."""

    def __init__(self):
        super().__init__()
        self.register_buffer("middle", torch.zeros(N_DESCRIPTORS))
        self.register_buffer("deviation", torch.ones(N_DESCRIPTORS))

    def fit(self, told):
        """Take mean and deviation from numbers (n, N_NUMBERS)."""
        self.middle.copy_(told.mean(0))
        self.deviation.copy_(told.std(0).clamp(min=LEAST_DEVIATION))

    def forward(self, told):
        """Of float32 (n, N_NUMBERS) the same, standardised."""
        return ((told - self.middle) / self.deviation).clamp(-FURTHEST, FURTHEST)


class DescriptorNet(nn.Module):
    """The mean of some heads of three linear layers on standardised numbers.

    Parameters
    ----------
    n_classes : int
    hidden, n_heads : as in `SIZES`
    """

    def __init__(self, n_classes, hidden=SIZES["hidden"], n_heads=SIZES["n_heads"]):
        super().__init__()
        self.standard = Standard()
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(INPUT_DROPOUT),
                nn.Linear(N_DESCRIPTORS, hidden),
                nn.ReLU(),
                nn.Dropout(DROPOUT),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Dropout(DROPOUT),
                nn.Linear(hidden, n_classes),
            )
            for _ in range(n_heads)
        )

    def forward(self, told, cover):
        """Logits of each window.

        Parameters
        ----------
        told : float32 tensor (n_stretches, N_NUMBERS)
        cover : float32 tensor (m, n_stretches), how much each stretch counts in each window; rows add up to 1

        Returns
        -------
        float32 tensor (m, n_classes)
        """
        return cover @ self.judged(self.standard(told))

    def judged(self, standardised):
        """The heads' mean logits, float32 (n, n_classes)."""
        return torch.stack([head(standardised) for head in self.heads]).mean(0)


def counted(notes, n_steps, window_quarters):
    """A piece as the net reads it: float32 (n_stretches, N_NUMBERS), and how much of each window is in each stretch, float32 (n_windows, n_stretches); parameters as `critic.features.segments.segments_and_weights`."""
    parts, cover = segments_and_weights(notes, n_steps, window_quarters)
    return np.stack([extract_descriptors(part) for part in parts]), cover


def counted_by_window(notes, n_steps, window_quarters):
    """What is told of each window, float32 (n_windows, N_NUMBERS): the mean of its stretches; parameters as `counted`."""
    told, cover = counted(notes, n_steps, window_quarters)
    return cover @ told


def collate_statistics(pieces):
    """Pieces, list of n (told, cover), as one batch for `DescriptorNet.forward`."""
    return torch.from_numpy(np.concatenate([told for told, _ in pieces])), torch.block_diag(
        *(torch.from_numpy(cover) for _, cover in pieces)
    )
