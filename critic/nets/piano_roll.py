"""A net that reads piano rolls: onsets and sounding keys through convolutions, pooled around each window, to logits.

It hears what a language model's encoder does not: how hands lie, what sounds together over a bar, patterns in any key. Nothing of a
language model is in it, so that what it thinks of generated music errs in other places than an encoder's head does, and the
mean of both is nearer to the truth (see `critic.ensemble`).

A window is judged by what sounds in it and up to twelve quarters before and after, 32 quarters in all, or in the window itself where that is as long.
Strides make the net hear the same music otherwise a semitone higher; what it judges, it hears in two keys, and says the mean, which errs less.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from clara.devices import has_fast_bfloat16

LOWEST, KEYS = 21, 88
SIZES = {"widths": [24, 48, 96, 128]}  # channels of the convolutions
SPAN = 32  # quarters, that a window is judged by
COLUMN = 2  # quarters, of the last layer's columns
HIDDEN, DROPOUT = 64, 0.4
HEARD = (-1, 1)  # semitones, that a piece is moved by to be judged


class PianoRollNet(nn.Module):
    """Four strided convolutions over keys and time, mean and largest around each window, two linear layers.

    Parameters
    ----------
    n_classes : int
    steps_per_quarter : of the rolls, a multiple of 4
    window_quarters : length of a window
    widths : channels of the convolutions
    """

    def __init__(self, n_classes, steps_per_quarter, window_quarters, widths=SIZES["widths"]):
        super().__init__()
        fine = steps_per_quarter // 4  # the first layer leaves four columns a quarter
        self.steps_per_quarter, self.window_quarters = steps_per_quarter, window_quarters
        shapes = [
            ((6, 2 * fine), (2, fine), (2, fine // 2)),
            ((5, 5), (2, 2), (2, 2)),
            ((5, 5), (2, 2), (2, 2)),
            ((3, 3), (2, 2), (1, 1)),
        ]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, width, *shape, bias=False) for before, width, shape in zip((2, *widths), widths, shapes)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.head = nn.Sequential(
            nn.Dropout(DROPOUT),
            nn.Linear(2 * widths[-1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, n_classes),
        )

    def forward(self, rolls, n_steps):
        """Logits of each window; once learning is over the mean of two keys.

        Parameters
        ----------
        rolls : tensor (n, 2, KEYS, t) of zeros and ones of any type, silent after each piece's end
        n_steps : list of n int, how long each piece is

        Returns
        -------
        float32 tensor (m, n_classes), of the windows of the first piece, then the second and so on
        """
        dtype = self.convolutions[0].weight.dtype
        if self.training:
            return self._logits(rolls.to(dtype), n_steps)
        return torch.stack([self._logits(_moved(rolls, shift).to(dtype), n_steps) for shift in HEARD]).mean(0)

    def _logits(self, rolls, n_steps):
        """As `forward`, of the rolls as they are."""
        x, length = rolls, torch.tensor(n_steps, device=rolls.device)
        for convolution, norm in zip(self.convolutions, self.norms):
            x = norm(convolution(x))
            kernel, stride, pad = convolution.kernel_size[1], convolution.stride[1], convolution.padding[1]
            length = (length + 2 * pad - kernel) // stride + 1
            if min(n_steps) < rolls.shape[3]:  # what lies after a piece's end must not tell how long its neighbours are
                x *= (torch.arange(x.shape[3], device=x.device) < length[:, None])[:, None, None]
            torch.relu_(x)
        piece, inside = self._windows(n_steps, length, x.shape[3])
        mean, largest = x.mean(2).float()[piece], x.amax(2).float()[piece]  # (m, width, columns)
        told = [(mean * inside).sum(2) / inside.sum(2), largest.masked_fill(~inside, -torch.inf).amax(2)]
        return self.head(torch.cat(told, 1))

    def fuse(self):
        """Once learning is over, have the convolutions do what the norms after them do, and in bfloat16 where the processor multiplies it."""
        self.convolutions = nn.ModuleList(fuse_conv_bn_eval(*pair) for pair in zip(self.convolutions, self.norms))
        if has_fast_bfloat16():
            self.convolutions.bfloat16()
        self.norms = nn.ModuleList(nn.Identity() for _ in self.norms)

    def _windows(self, n_steps, length, n_columns):
        """The piece of each window (m,), and which of the last layer's columns it is judged by, bool (m, 1, n_columns); length is in columns, of each piece."""
        spans = [(i, *span) for i, steps in enumerate(n_steps) for span in self.spans(steps)]
        piece, begin, end = torch.tensor(spans, device=length.device).T
        end = torch.maximum(begin + 1, torch.minimum(end, length[piece]))
        column = torch.arange(n_columns, device=length.device)
        return piece, ((column >= begin[:, None]) & (column < end[:, None]))[:, None]

    def spans(self, n_steps):
        """The columns that each window of a piece is judged by, list of (first, end)."""
        around = max(0, (SPAN - self.window_quarters) / 2)
        quarters = n_steps / self.steps_per_quarter
        n = max(1, round(quarters / self.window_quarters))
        ends = [*(self.window_quarters * (k + 1) for k in range(n - 1)), quarters]
        return [
            (int(max(0, self.window_quarters * k - around) // COLUMN), int(-(-min(end + around, quarters) // COLUMN)))
            for k, end in enumerate(ends)
        ]


def _moved(rolls, shift):
    """Rolls (n, 2, KEYS, t) some semitones higher; what leaves the keyboard is lost."""
    return F.pad(rolls, (0, 0, shift, -shift)).contiguous(memory_format=torch.channels_last)


def roll(notes, n_steps):
    """Onsets and sounding keys.

    Parameters
    ----------
    notes : NoteSequence; what lies outside a piano's keys moves by octaves
    n_steps : length

    Returns
    -------
    uint8 (2, KEYS, n_steps)
    """
    told = np.zeros((2, KEYS, n_steps + 1), dtype=np.int8)
    here = notes.start < n_steps
    start, end, key = notes.start[here], np.minimum(notes.end[here], n_steps), notes.pitch[here] - LOWEST
    key = np.where(key < 0, key % 12, np.where(key >= KEYS, KEYS - 12 + (key - KEYS) % 12, key))
    told[0, key, start] = 1
    np.add.at(told[1], (key, start), 1)
    np.add.at(told[1], (key, end), -1)
    told[1] = np.cumsum(told[1], axis=1) > 0
    return told[:, :, :n_steps].astype(np.uint8)


def collate_rolls(pieces, shift=None):
    """Pieces as a batch.

    Parameters
    ----------
    pieces : list of n (NoteSequence, n_steps)
    shift : int array (n,), semitones that each is moved by, or None; what leaves the keyboard is lost

    Returns
    -------
    rolls : uint8 tensor (n, 2, KEYS, longest), channels last
    n_steps : list of int
    """
    n_steps = [steps for _, steps in pieces]
    told = np.zeros((len(pieces), 2, KEYS, max(n_steps)), dtype=np.uint8)
    for i, (notes, steps) in enumerate(pieces):
        one = roll(notes, steps)
        up = 0 if shift is None else int(shift[i])
        told[i, :, max(0, up) : KEYS + min(0, up), :steps] = one[:, max(0, -up) : KEYS - max(0, up)]
    return torch.from_numpy(told).contiguous(memory_format=torch.channels_last), n_steps
