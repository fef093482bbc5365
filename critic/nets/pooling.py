"""Pooling of token outputs by window."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

NO_WINDOW = -1  # window index of padding


def window_indices(encoding, tokens: list[str], window_quarters: float) -> np.ndarray:
    """Return the window that each token of a piece starts in, int64 (n_tokens,).

    A remainder shorter than half a window joins the last window.

    Parameters
    ----------
    encoding : Encoding
    tokens : list of str
        Without control tokens.
    window_quarters : float
    """
    steps = np.array(encoding.token_steps(tokens), dtype=np.int64)
    window_steps = window_quarters * encoding.steps_per_quarter
    start = np.cumsum(steps) - steps
    last_window = max(0, round(steps.sum() / window_steps) - 1)
    return np.minimum(start // window_steps, last_window).astype(np.int64)


@dataclass(frozen=True)
class _Slots:
    """Outputs with the slot of each; piece i has the slots from i * n_slots_per_piece on, the last slot is padding.

    Attributes
    ----------
    outputs : tensor (n_tokens, width)
    slot : int64 tensor (n_tokens,)
    count : float32 tensor (n_slots + 1,), the number of tokens in each slot
    """

    outputs: Tensor
    slot: Tensor
    count: Tensor

    @property
    def filled(self):
        """Indices of the slots that hold a window, in order."""
        return (self.count > 0)[:-1].nonzero()[:, 0]

    def mean(self, values):
        """Return the mean of values (n_tokens, width) in each slot."""
        sums = values.new_zeros(len(self.count), values.shape[1]).index_add_(0, self.slot, values)
        return sums / self.count.clamp(min=1)[:, None]

    def maximum(self):
        """Return the largest output in each slot."""
        index = self.slot[:, None].expand(-1, self.outputs.shape[1])
        empty = self.outputs.new_zeros(len(self.count), self.outputs.shape[1])
        return empty.scatter_reduce_(0, index, self.outputs, "amax", include_self=False)

    def last(self):
        """Return the last output in each slot."""
        position = torch.arange(len(self.outputs), device=self.slot.device)
        last = torch.zeros_like(self.count, dtype=torch.long)
        return self.outputs[last.scatter_reduce_(0, self.slot, position, "amax", include_self=False)]


def _assign_slots(outputs, window):
    """Return the _Slots of outputs (n, t, width) with window indices (n, t)."""
    n, t, width = outputs.shape
    per_piece = int(window.max()) + 1
    first_slot = torch.arange(n, device=window.device)[:, None] * per_piece
    slot = torch.where(window < 0, n * per_piece, first_slot + window).flatten()
    return _Slots(outputs.reshape(n * t, width), slot, torch.bincount(slot, minlength=n * per_piece + 1).float())


def concat_pool(outputs: Tensor, window: Tensor, context_windows: int = 0) -> Tensor:
    """Return the mean, the maximum and the last output of each window (concat pooling, Howard and Ruder 2018).

    Parameters
    ----------
    outputs : tensor (n, t, width)
    window : int64 tensor (n, t)
        Window of each token, from 0 and without gaps; NO_WINDOW for padding.
    context_windows : int, optional
        Windows before and after that the mean and the maximum include.

    Returns
    -------
    tensor (n_windows, 3 * width), the windows of the first piece, then of the second, and so on
    """
    slots = _assign_slots(outputs, window)
    mean, maximum = slots.mean(slots.outputs)[:-1], slots.maximum()[:-1]
    if context_windows:
        mean, maximum = _include_neighbors(mean, maximum, slots.count[:-1], len(outputs), context_windows)
    filled = slots.filled
    return torch.cat([mean[filled], maximum[filled], slots.last()[filled]], 1)


def moment_pool(outputs: Tensor, window: Tensor) -> Tensor:
    """Return the mean, the standard deviation and the maximum of each window; parameters as `concat_pool`."""
    slots = _assign_slots(outputs, window)
    mean = slots.mean(slots.outputs)
    deviation = (slots.mean(slots.outputs**2) - mean**2).clamp(min=0).sqrt()
    filled = slots.filled
    return torch.cat([x[filled] for x in (mean, deviation, slots.maximum())], 1)


def _include_neighbors(mean, maximum, count, n_pieces, context_windows):
    """Extend means and maxima (n_slots, width) over so many windows before and after; count (n_slots,) is in tokens."""
    span = 2 * context_windows + 1

    def by_piece(x):
        return x.reshape(n_pieces, -1, x.shape[1]).transpose(1, 2)  # (n_pieces, width, slots per piece)

    def windowed_sum(x):
        return F.avg_pool1d(by_piece(x), span, 1, context_windows) * span

    spread = windowed_sum(mean * count[:, None]) / windowed_sum(count[:, None]).clamp(min=1)
    occupied = maximum.masked_fill(count[:, None] == 0, -torch.inf)
    highest = F.max_pool1d(by_piece(occupied), span, 1, context_windows)
    return tuple(x.transpose(1, 2).flatten(0, 1) for x in (spread, highest))
