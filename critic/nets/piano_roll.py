"""The piano-roll CNN: onsets and sounding keys through convolutions, pooled around each window, to logits.

It sees what a text model misses: the reach of the hands, harmony over a bar, and patterns in any key. It shares
nothing with the language model, so its errors differ from those of the text member.

A window is classified by its own music and up to twelve quarters before and after it, 32 quarters in all. Because of
the strides, the network responds differently to the same music one semitone higher. It therefore judges a piece in
two keys and returns the mean.

A column of the last layer depends on five and a half quarters. So the columns of a piece that grows stay as they are
but for the last few, and `PianoRollNet.columns` computes these alone.
"""

from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from clara.devices import has_fast_bfloat16
from clara.jit import compiled, int64_1d_readonly, uint8_2d
from clara.music.notes import HIGHEST_PIANO_PITCH, LOWEST_PIANO_PITCH, NoteSequence

N_KEYS = HIGHEST_PIANO_PITCH - LOWEST_PIANO_PITCH + 1
WIDTHS = (24, 48, 96, 128)  # channels of the convolutions
CONTEXT_QUARTERS = 32  # music that a window is classified by
COLUMN_QUARTERS = 2  # length of a column of the last layer
STEP_BYTES = 2 * N_KEYS // 8  # of a step of a packed piano roll
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
        if self.training:
            return self.classify(self.columns(rolls, n_steps), n_steps)
        return self.classify(self.transposed_columns(rolls, n_steps), n_steps).mean(1)

    def transposed_columns(self, rolls: Tensor, n_steps: list[int], first: int = 0) -> Tensor:
        """Return the columns in each key of `TRANSPOSITIONS`, (n, n_keys, n_columns, width); see `columns`."""
        keys = [self.columns(_transpose(rolls, semitones), n_steps, first) for semitones in TRANSPOSITIONS]
        return torch.stack(keys, 1)

    def columns(self, rolls: Tensor, n_steps: list[int], first: int = 0) -> Tensor:
        """Return the mean and the maximum over the keys of each column of the last layer.

        Parameters
        ----------
        rolls : tensor (n, 2, N_KEYS, t) of zeros and ones
            From step `column_steps(first)[0]` on; the whole pieces if `first` is 0.
        n_steps : list of n int
            Length of each whole piece.
        first : int
            First column to compute, from `first_column`.

        Returns
        -------
        float32 tensor (n, n_columns - first, 2 * widths[-1])
        """
        x = rolls.to(next(self.convolutions.parameters()).dtype)
        firsts = self._first_inputs(first) if first else [0] * (len(self.convolutions) + 1)
        n_inputs, end = torch.tensor(n_steps, device=x.device), firsts[0] + x.shape[3]
        for convolution, norm, first_output in zip(self.convolutions, self.norms, firsts[1:]):
            x = norm(_convolve_from_within(convolution, x) if first else convolution(x))
            n_inputs = _n_outputs(convolution, n_inputs)
            if min(n_steps) < end:  # columns after a piece's end must not depend on the rest of the batch
                column = first_output + torch.arange(x.shape[3], device=x.device)
                x *= (column < n_inputs[:, None])[:, None, None]
            torch.relu_(x)
        return torch.cat([x.mean(2).float(), x.amax(2).float()], 1).transpose(1, 2)

    def classify(self, columns: Tensor, n_steps: list[int]) -> Tensor:
        """Return the logits of each window.

        Parameters
        ----------
        columns : float32 tensor (n, …, n_columns, 2 * widths[-1])
            From `columns`, or from `transposed_columns`.
        n_steps : list of n int

        Returns
        -------
        float32 tensor (n_windows, …, n_classes)
        """
        rows_of_span: dict[tuple[int, int], list[int]] = {}  # windows of the same columns are pooled at once
        windows_of_span: dict[tuple[int, int], list[int]] = {}
        n_windows = 0
        for row, steps in enumerate(n_steps):
            n_columns = self.n_columns(steps)
            for first, end in self.window_columns(steps):
                span = first, max(first + 1, min(end, n_columns))
                rows_of_span.setdefault(span, []).append(row)
                windows_of_span.setdefault(span, []).append(n_windows)
                n_windows += 1
        width = columns.shape[-1] // 2
        pooled = []
        for (first, end), rows in rows_of_span.items():
            inside = columns[rows, ..., first:end, :]
            pooled.append(torch.cat([inside[..., :width].mean(-2), inside[..., width:].amax(-2)], -1))
        order = torch.tensor([window for windows in windows_of_span.values() for window in windows]).argsort()
        return self.head(torch.cat(pooled)[order.to(columns.device)])

    def n_columns(self, n_steps: int) -> int:
        """Return the number of columns of the last layer of a piece."""
        for convolution in self.convolutions:
            n_steps = _n_outputs(convolution, n_steps)
        return n_steps

    @cached_property
    def _input_of_column(self) -> tuple[int, int, int]:
        """Compute the first step of column 0, the steps from one column to the next, and the steps that it sees."""
        first, stride, size = 0, 1, 1
        for kernel, layer_stride, pad in map(_time_shape, reversed(list(self.convolutions))):
            first, stride, size = first * layer_stride - pad, stride * layer_stride, (size - 1) * layer_stride + kernel
        return first, stride, size

    def column_steps(self, column: int) -> tuple[int, int]:
        """Return the first step that a column of the last layer depends on, and the one after the last.

        They lie before the beginning or after the end of a piece where the column reads padding.
        """
        first, stride, size = self._input_of_column
        return first + column * stride, first + column * stride + size

    def first_column(self, n_known: int) -> int:
        """Return the first column to compute if so many are known: 0 if the first unknown one reads padding."""
        return n_known if self.column_steps(n_known)[0] >= 0 else 0

    def _first_inputs(self, first):
        """Return the first step, and the first column of each layer, that the first column of the last depends on."""
        inputs = [first]
        for _, stride, pad in map(_time_shape, reversed(list(self.convolutions))):
            inputs.append(inputs[-1] * stride - pad)
        return inputs[::-1]

    def fuse(self) -> None:
        """Fold the batch norms into the convolutions, for inference; use bfloat16 where the processor multiplies it."""
        convolutions: list = list(self.convolutions)
        norms: list = list(self.norms)
        self.convolutions = nn.ModuleList(fuse_conv_bn_eval(*pair) for pair in zip(convolutions, norms))
        if has_fast_bfloat16():
            self.convolutions.bfloat16()
        self.norms = nn.ModuleList(nn.Identity() for _ in self.norms)

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


def _time_shape(convolution):
    """Return the kernel, the stride and the padding of a convolution over time."""
    return convolution.kernel_size[1], convolution.stride[1], convolution.padding[1]


def _n_outputs(convolution, n_inputs):
    """Return the number of outputs of a convolution over time, of an int or of each int of a tensor."""
    kernel, stride, pad = _time_shape(convolution)
    return (n_inputs + 2 * pad - kernel) // stride + 1


def _convolve_from_within(convolution, x):
    """Convolve the last part of a piece: pad it at its end, but not at its beginning, where the inputs are at hand."""
    keys_pad, time_pad = convolution.padding
    x = F.pad(x, (0, time_pad)).contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, convolution.weight, convolution.bias, convolution.stride, (keys_pad, 0))


def _transpose(rolls, semitones):
    """Move rolls (n, 2, N_KEYS, t) up; notes that leave the keyboard are lost."""
    return F.pad(rolls, (0, 0, semitones, -semitones)).contiguous(memory_format=torch.channels_last)


def piano_roll(notes: NoteSequence, n_steps: int) -> np.ndarray:
    """Return onsets and sounding keys, uint8 (2, N_KEYS, n_steps); other pitches move into the keyboard by octaves."""
    bits = np.unpackbits(pack_piano_roll(notes, n_steps), axis=1, bitorder="little")
    return bits.reshape(n_steps, 2, N_KEYS).transpose(1, 2, 0)


def pack_piano_roll(notes: NoteSequence, n_steps: int) -> np.ndarray:
    """Return a piano roll as bits, the onsets of a step before its sounding keys, uint8 (n_steps, STEP_BYTES)."""
    packed = np.zeros((n_steps, STEP_BYTES), dtype=np.uint8)
    _draw(notes.start, notes.end, notes.pitch, packed)
    return packed


@compiled(int64_1d_readonly, int64_1d_readonly, int64_1d_readonly, uint8_2d)
def _draw(start, end, pitch, packed):
    """Set the bits of the onsets and the sounding keys of notes."""
    n_steps = len(packed)
    for note in range(len(start)):
        key = pitch[note] - LOWEST_PIANO_PITCH
        if key < 0:
            key %= 12
        elif key >= N_KEYS:
            key = N_KEYS - 12 + (key - N_KEYS) % 12
        if start[note] < n_steps:
            packed[start[note], key >> 3] |= 1 << (key & 7)
        key += N_KEYS
        for step in range(start[note], min(end[note], n_steps)):
            packed[step, key >> 3] |= 1 << (key & 7)


def unpack_piano_rolls(packed: list[np.ndarray]) -> Tensor:
    """Return n piano rolls or parts of them, from `pack_piano_roll`, as one batch for `PianoRollNet`.

    Returns
    -------
    uint8 tensor (n, 2, N_KEYS, longest)
    """
    joined = np.zeros((len(packed), max(map(len, packed)), STEP_BYTES), dtype=np.uint8)
    for row, roll in zip(joined, packed):
        row[: len(roll)] = roll
    bits = np.unpackbits(joined, axis=2, bitorder="little").reshape(*joined.shape[:2], 2, N_KEYS)
    return torch.from_numpy(bits).permute(0, 2, 3, 1)


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
