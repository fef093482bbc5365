"""A net that sees where music is like itself: self-similarity (Foote 1999) as a picture, through convolutions, to logits.

A stretch of music is cut into columns of half a quarter, and each is compared with each other, in four ways: by the keys that are struck, by their pitch classes, by
the rhythm, and by the keys above the lowest, which are the same wherever a chord is moved. What comes again shows as a stripe beside the diagonal, a
section that is all of one kind as a square.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from clara.devices import has_fast_bfloat16
from clara.music.notes import HIGHEST_PIANO_PITCH, LOWEST_PIANO_PITCH
from critic.features.segments import SEGMENT_QUARTERS, STEPS_PER_QUARTER, segments_and_weights

SIZES = {"widths": [24, 48, 64]}  # channels of the convolutions
LAYERS = ("keys", "pitch classes", "rhythm", "above the lowest")  # of a picture
COLUMN = 6  # twelfths of a quarter
COLUMNS = SEGMENT_QUARTERS * STEPS_PER_QUARTER // COLUMN
KEYS = HIGHEST_PIANO_PITCH - LOWEST_PIANO_PITCH + 1
HIDDEN, DROPOUT = 64, 0.4


class SelfSimilarityNet(nn.Module):
    """Strided convolutions over a picture, mean and largest, two linear layers.

    Parameters
    ----------
    n_classes : int
    widths : channels of the convolutions
    """

    def __init__(self, n_classes, widths=SIZES["widths"]):
        super().__init__()
        self.convolutions = nn.Sequential(
            *(
                layer
                for before, width in zip((len(LAYERS), *widths), widths)
                for layer in (nn.Conv2d(before, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            )
        )
        self.head = nn.Sequential(
            nn.Dropout(DROPOUT),
            nn.Linear(2 * widths[-1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, n_classes),
        )

    def forward(self, seen, cover):
        """Logits of each window.

        Parameters
        ----------
        seen : float32 tensor (n_stretches, len(LAYERS), COLUMNS, COLUMNS), as `self_similarity_matrices` gives it
        cover : float32 tensor (m, n_stretches), how much each stretch counts in each window; rows add up to 1

        Returns
        -------
        float32 tensor (m, n_classes)
        """
        return cover @ self.judged(seen)

    def judged(self, seen):
        """Logits of each stretch, float32 (n_stretches, n_classes)."""
        x = self.convolutions(seen.to(self.convolutions[0].weight.dtype, memory_format=torch.channels_last))
        return self.head(torch.cat([x.float().mean((2, 3)), x.amax((2, 3)).float()], 1))

    def fuse(self):
        """Once learning is over, have the convolutions do what the norms after them do, and in bfloat16 where the processor multiplies it."""
        pairs = zip(self.convolutions[::3], self.convolutions[1::3])
        self.convolutions = nn.Sequential(*(layer for pair in pairs for layer in (fuse_conv_bn_eval(*pair), nn.ReLU())))
        if has_fast_bfloat16():
            self.convolutions.bfloat16()


def struck(notes):
    """Where notes are struck, int64 (n, 3): column, twelfth in it, key; what lies outside a piano's keys counts as the nearest of these, what comes after the last column not at all."""
    start = notes.start * STEPS_PER_QUARTER // notes.steps_per_quarter
    found = np.stack([start // COLUMN, start % COLUMN, (notes.pitch - LOWEST_PIANO_PITCH).clip(0, KEYS - 1)], 1).astype(
        np.int64
    )
    return found[found[:, 0] < COLUMNS]


def self_similarity_matrices(some, device="cpu"):
    """How alike columns are to each other.

    Parameters
    ----------
    some : list of n int64 arrays, as `struck` gives them
    device : where to compare

    Returns
    -------
    float32 tensor (n, len(LAYERS), COLUMNS, COLUMNS) of cosines; those with an empty column are 0
    """
    piece = torch.from_numpy(np.repeat(np.arange(len(some)), [len(each) for each in some])).to(device)
    column, step, key = torch.from_numpy(np.concatenate(some)).to(device).T
    keys, rhythm = (torch.zeros((len(some), COLUMNS, size), device=device) for size in (KEYS, COLUMN))
    keys[piece, column, key] = 1
    rhythm[piece, column, step] = 1
    classes = F.pad(keys, (0, -KEYS % 12)).unflatten(2, (-1, 12)).amax(2)
    lowest = keys.argmax(2, keepdim=True)  # the first of the ones
    above = F.pad(keys, (0, KEYS)).gather(2, lowest + torch.arange(KEYS, device=device))
    layers = (F.normalize(x, dim=2) for x in (keys, classes, rhythm, above))
    return torch.stack([x @ x.transpose(1, 2) for x in layers], 1)


def compared(notes, n_steps, window_quarters):
    """A piece as the net reads it, but for the pictures: list of n_stretches int64 arrays, as `struck` gives them, and float32 (n_windows, n_stretches); parameters as `critic.features.segments.segments_and_weights`."""
    parts, cover = segments_and_weights(notes, n_steps, window_quarters)
    return [struck(part) for part in parts], cover


def collate_similarity(pieces):
    """Pieces, list of n as `compared` gives them, as one batch for `SelfSimilarityNet.forward`."""
    return self_similarity_matrices([each for some, _ in pieces for each in some]), torch.block_diag(
        *(torch.from_numpy(cover) for _, cover in pieces)
    )
