"""The self-similarity CNN: self-similarity matrices of each segment (Foote 1999) through convolutions, to logits.

A segment is cut into columns of half a quarter, and every pair of columns is compared in four ways: by their keys, by
their pitch classes, by their rhythm, and by the keys above the lowest, which do not change when a chord is moved. A
repetition shows as a stripe beside the diagonal, a uniform section as a square.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from clara.devices import has_fast_bfloat16
from clara.music.notes import HIGHEST_PIANO_PITCH, LOWEST_PIANO_PITCH, NoteSequence
from critic.features.segments import SEGMENT_QUARTERS, STEPS_PER_QUARTER, segments_and_weights

WIDTHS = (24, 48, 64)  # channels of the convolutions
LAYERS = ("keys", "pitch classes", "rhythm", "keys above the lowest")  # of a self-similarity matrix
COLUMN_STEPS = 6  # length of a column, in steps of `STEPS_PER_QUARTER`
N_COLUMNS = SEGMENT_QUARTERS * STEPS_PER_QUARTER // COLUMN_STEPS
N_KEYS = HIGHEST_PIANO_PITCH - LOWEST_PIANO_PITCH + 1
HIDDEN, DROPOUT = 64, 0.4


class SelfSimilarityNet(nn.Module):
    """Strided convolutions over self-similarity matrices, mean and maximum, two linear layers.

    Parameters
    ----------
    n_classes : int
    widths : sequence of int
        Channels of the convolutions.
    """

    def __init__(self, n_classes: int, widths=WIDTHS):
        super().__init__()
        layers = []
        for n_in, n_out in zip((len(LAYERS), *widths), widths):
            layers += [nn.Conv2d(n_in, n_out, 5, 2, 2, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Dropout(DROPOUT),
            nn.Linear(2 * widths[-1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, n_classes),
        )

    def forward(self, matrices: Tensor, segment_weights: Tensor) -> Tensor:
        """Return the logits of each window.

        Parameters
        ----------
        matrices : float32 tensor (n_segments, len(LAYERS), N_COLUMNS, N_COLUMNS)
            From `self_similarity_matrices`.
        segment_weights : float32 tensor (n_windows, n_segments)
            Weight of each segment in each window; rows sum to 1.

        Returns
        -------
        float32 tensor (n_windows, n_classes)
        """
        return segment_weights @ self.segment_logits(matrices)

    def segment_logits(self, matrices: Tensor) -> Tensor:
        """Return the logits of each segment, float32 (n_segments, n_classes)."""
        dtype = next(self.convolutions.parameters()).dtype
        x = self.convolutions(matrices.to(dtype, memory_format=torch.channels_last))
        return self.head(torch.cat([x.float().mean((2, 3)), x.amax((2, 3)).float()], 1))

    def fuse(self) -> None:
        """Fold the batch norms into the convolutions, for inference; use bfloat16 where the processor multiplies it."""
        modules: list = list(self.convolutions)
        layers = []
        for convolution, norm in zip(modules[::3], modules[1::3]):
            layers += [fuse_conv_bn_eval(convolution, norm), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        if has_fast_bfloat16():
            self.convolutions.bfloat16()


def onset_table(notes: NoteSequence) -> np.ndarray:
    """Return where notes start, int64 (n, 3): the column, the step in the column, and the key.

    Notes after the last column are left out; pitches that a piano lacks count as its nearest key.
    """
    start = notes.start * STEPS_PER_QUARTER // notes.steps_per_quarter
    key = (notes.pitch - LOWEST_PIANO_PITCH).clip(0, N_KEYS - 1)
    table = np.stack([start // COLUMN_STEPS, start % COLUMN_STEPS, key], 1).astype(np.int64)
    return table[table[:, 0] < N_COLUMNS]


def self_similarity_matrices(onset_tables: list[np.ndarray], device="cpu") -> Tensor:
    """Return the cosine similarity of every pair of columns; it is 0 if a column is empty.

    Parameters
    ----------
    onset_tables : list of n int64 arrays
        From `onset_table`.
    device : torch device, optional

    Returns
    -------
    float32 tensor (n, len(LAYERS), N_COLUMNS, N_COLUMNS)
    """
    n = len(onset_tables)
    row = torch.from_numpy(np.repeat(np.arange(n), [len(table) for table in onset_tables])).to(device)
    column, step, key = torch.from_numpy(np.concatenate(onset_tables)).to(device).T
    keys = torch.zeros((n, N_COLUMNS, N_KEYS), device=device)
    keys[row, column, key] = 1
    rhythm = torch.zeros((n, N_COLUMNS, COLUMN_STEPS), device=device)
    rhythm[row, column, step] = 1
    pitch_classes = F.pad(keys, (0, -N_KEYS % 12)).unflatten(2, (-1, 12)).amax(2)
    lowest = keys.argmax(2, keepdim=True)  # argmax returns the first of the ones
    above_lowest = F.pad(keys, (0, N_KEYS)).gather(2, lowest + torch.arange(N_KEYS, device=device))
    layers = [F.normalize(x, dim=2) for x in (keys, pitch_classes, rhythm, above_lowest)]
    return torch.stack([x @ x.transpose(1, 2) for x in layers], 1)


def segment_onset_tables(
    notes: NoteSequence, n_steps: int, window_quarters: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the onset table of each segment of a piece, and the weights of the segments in each window.

    Parameters
    ----------
    notes, n_steps, window_quarters
        As in `critic.features.segments.segments_and_weights`.

    Returns
    -------
    onset_tables : list of n_segments int64 arrays
    segment_weights : float32 array (n_windows, n_segments)
    """
    segments, weights = segments_and_weights(notes, n_steps, window_quarters)
    return [onset_table(segment) for segment in segments], weights


def collate_self_similarity(pieces: list[tuple[list[np.ndarray], np.ndarray]]) -> tuple[Tensor, Tensor]:
    """Join pieces, as `segment_onset_tables` returns them, into one batch for `SelfSimilarityNet.forward`."""
    matrices = self_similarity_matrices([table for tables, _ in pieces for table in tables])
    return matrices, torch.block_diag(*(torch.from_numpy(weights) for _, weights in pieces))
