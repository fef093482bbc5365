"""The piano-roll CNN: onsets and sounding keys through convolutions, pooled around each window, to logits.

It sees what a text model misses: the reach of the hands, harmony over a bar, and patterns in any key. It shares
nothing with the language model, so its errors differ from those of the text member.

A window is classified by its own music and up to twelve quarters before and after it, 32 quarters in all. Because of
the strides, the network responds differently to the same music one semitone higher. It therefore judges a piece in
two keys and returns the mean.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from clara.devices import has_fast_bfloat16
from clara.music.notes import HIGHEST_PIANO_PITCH, LOWEST_PIANO_PITCH, NoteSequence

N_KEYS = HIGHEST_PIANO_PITCH - LOWEST_PIANO_PITCH + 1
WIDTHS = (24, 48, 96, 128)  # channels of the convolutions
CONTEXT_QUARTERS = 32  # music that a window is classified by
COLUMN_QUARTERS = 2  # length of a column of the last layer
HIDDEN, DROPOUT = 64, 0.4
TRANSPOSITIONS = (-1, 1)  # semitones; the keys in which a piece is judged


class PianoRollNet(nn.Module):
    """Four strided convolutions over keys and time, mean and maximum around each window, two linear layers.

    Parameters
    ----------
    n_classes : int
    steps_per_quarter : int
        Grid of the piano rolls, a multiple of 4.
    window_quarters : float
    widths : sequence of int
        Channels of the convolutions.
    """

    def __init__(self, n_classes: int, steps_per_quarter: int, window_quarters: float, widths=WIDTHS):
        super().__init__()
        self.steps_per_quarter, self.window_quarters = steps_per_quarter, window_quarters
        steps_per_column = steps_per_quarter // 4  # the first layer leaves four columns a quarter
        shapes = [  # kernel, stride and padding, each over keys and time
            ((6, 2 * steps_per_column), (2, steps_per_column), (2, steps_per_column // 2)),
            ((5, 5), (2, 2), (2, 2)),
            ((5, 5), (2, 2), (2, 2)),
            ((3, 3), (2, 2), (1, 1)),
        ]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(n_in, n_out, *shape, bias=False) for n_in, n_out, shape in zip((2, *widths), widths, shapes)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.head = nn.Sequential(
            nn.Dropout(DROPOUT),
            nn.Linear(2 * widths[-1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, n_classes),
        )

    def forward(self, rolls: Tensor, n_steps: list[int]) -> Tensor:
        """Return the logits of each window; in eval mode their mean over two keys.

        Parameters
        ----------
        rolls : tensor (n, 2, N_KEYS, t) of zeros and ones
            Silent after the end of each piece.
        n_steps : list of n int
            Length of each piece.

        Returns
        -------
        float32 tensor (n_windows, n_classes), the windows of the first piece, then of the second, and so on
        """
        dtype = next(self.convolutions.parameters()).dtype
        if self.training:
            return self._logits(rolls.to(dtype), n_steps)
        logits = [self._logits(_transpose(rolls, semitones).to(dtype), n_steps) for semitones in TRANSPOSITIONS]
        return torch.stack(logits).mean(0)

    def _logits(self, rolls, n_steps):
        """Return the logits of each window in the key of the rolls."""
        x = rolls
        n_columns = torch.tensor(n_steps, device=rolls.device)
        for convolution, norm in zip(self.convolutions, self.norms):
            x = norm(convolution(x))
            kernel, stride, pad = convolution.kernel_size[1], convolution.stride[1], convolution.padding[1]
            n_columns = (n_columns + 2 * pad - kernel) // stride + 1
            if min(n_steps) < rolls.shape[3]:  # columns after a piece's end must not depend on the rest of the batch
                x *= (torch.arange(x.shape[3], device=x.device) < n_columns[:, None])[:, None, None]
            torch.relu_(x)
        piece, inside = self._window_masks(n_steps, n_columns, x.shape[3])
        mean = x.mean(2).float()[piece]  # (n_windows, width, columns)
        maximum = x.amax(2).float()[piece]
        pooled_mean = (mean * inside).sum(2) / inside.sum(2)
        pooled_maximum = maximum.masked_fill(~inside, -torch.inf).amax(2)
        return self.head(torch.cat([pooled_mean, pooled_maximum], 1))

    def fuse(self) -> None:
        """Fold the batch norms into the convolutions, for inference; use bfloat16 where the processor multiplies it."""
        convolutions: list = list(self.convolutions)
        norms: list = list(self.norms)
        self.convolutions = nn.ModuleList(fuse_conv_bn_eval(*pair) for pair in zip(convolutions, norms))
        if has_fast_bfloat16():
            self.convolutions.bfloat16()
        self.norms = nn.ModuleList(nn.Identity() for _ in self.norms)

    def _window_masks(self, n_steps, n_columns, most_columns):
        """Return the piece of each window, (n_windows,), and its columns, a bool mask (n_windows, 1, most_columns)."""
        spans = [(i, *span) for i, steps in enumerate(n_steps) for span in self.window_columns(steps)]
        piece, first, end = torch.tensor(spans, device=n_columns.device).T
        end = torch.maximum(first + 1, torch.minimum(end, n_columns[piece]))
        column = torch.arange(most_columns, device=n_columns.device)
        return piece, ((column >= first[:, None]) & (column < end[:, None]))[:, None]

    def window_columns(self, n_steps: int) -> list[tuple[int, int]]:
        """Return the range of columns, (first, end), that each window of a piece is classified by."""
        return window_columns(n_steps, self.steps_per_quarter, self.window_quarters)


def window_columns(n_steps: int, steps_per_quarter: int, window_quarters: float) -> list[tuple[int, int]]:
    """Return the range of columns, (first, end), that each window is classified by.

    A remainder shorter than half a window joins the last window.
    """
    context = max(0, (CONTEXT_QUARTERS - window_quarters) / 2)
    quarters = n_steps / steps_per_quarter
    n_windows = max(1, round(quarters / window_quarters))
    ends = [*(window_quarters * (i + 1) for i in range(n_windows - 1)), quarters]
    spans = []
    for i, end in enumerate(ends):
        first_quarter = max(0, window_quarters * i - context)
        end_quarter = min(end + context, quarters)
        spans.append((int(first_quarter // COLUMN_QUARTERS), int(-(-end_quarter // COLUMN_QUARTERS))))
    return spans


def _transpose(rolls, semitones):
    """Move rolls (n, 2, N_KEYS, t) up; notes that leave the keyboard are lost."""
    return F.pad(rolls, (0, 0, semitones, -semitones)).contiguous(memory_format=torch.channels_last)


def piano_roll(notes: NoteSequence, n_steps: int) -> np.ndarray:
    """Return onsets and sounding keys, uint8 (2, N_KEYS, n_steps); other pitches move into the keyboard by octaves."""
    roll = np.zeros((2, N_KEYS, n_steps + 1), dtype=np.int8)
    inside = notes.start < n_steps
    start = notes.start[inside]
    end = np.minimum(notes.end[inside], n_steps)
    key = notes.pitch[inside] - LOWEST_PIANO_PITCH
    key = np.where(key < 0, key % 12, np.where(key >= N_KEYS, N_KEYS - 12 + (key - N_KEYS) % 12, key))
    roll[0, key, start] = 1
    np.add.at(roll[1], (key, start), 1)
    np.add.at(roll[1], (key, end), -1)
    roll[1] = np.cumsum(roll[1], axis=1) > 0
    return roll[:, :, :n_steps].astype(np.uint8)


def collate_piano_rolls(
    pieces: list[tuple[NoteSequence, int]], semitones: np.ndarray | None = None
) -> tuple[Tensor, list[int]]:
    """Draw pieces as one batch for `PianoRollNet.forward`.

    Parameters
    ----------
    pieces : list of n (NoteSequence, n_steps)
    semitones : int array (n,), optional
        Transposition of each piece; notes that leave the keyboard are lost.

    Returns
    -------
    rolls : uint8 tensor (n, 2, N_KEYS, longest), channels last
    n_steps : list of int
    """
    n_steps = [steps for _, steps in pieces]
    rolls = np.zeros((len(pieces), 2, N_KEYS, max(n_steps)), dtype=np.uint8)
    for i, (notes, steps) in enumerate(pieces):
        roll = piano_roll(notes, steps)
        up = 0 if semitones is None else int(semitones[i])
        rolls[i, :, max(0, up) : N_KEYS + min(0, up), :steps] = roll[:, max(0, -up) : N_KEYS - max(0, up)]
    return torch.from_numpy(rolls).contiguous(memory_format=torch.channels_last), n_steps
