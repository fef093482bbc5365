"""The descriptor MLP: hand-crafted features of each segment to logits.

A piece is split into overlapping segments (`critic.features.segments`). The network classifies the
descriptors of each segment (`critic.features.descriptors`). The logits of a window are the weighted mean over the
segments that overlap it.
"""

import numpy as np
import torch
from torch import Tensor, nn

from clara.music.notes import NoteSequence
from critic.features.descriptors import N_DESCRIPTORS, extract_descriptors
from critic.features.segments import segments_and_weights
from critic.nets.heads import AveragedHeads

INPUT_DROPOUT, DROPOUT = 0.1, 0.4
MAX_DEVIATIONS = 6.0  # standard deviations from the mean at which a descriptor is clipped
MIN_DEVIATION = 1e-3  # half precision still holds it


class Standardize(nn.Module):
    """Subtract the mean of each descriptor, divide by its standard deviation, and clip outliers.

    The buffers `middle` and `deviation` keep these names because stored weights have them.
    """

    middle: Tensor
    deviation: Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("middle", torch.zeros(N_DESCRIPTORS))
        self.register_buffer("deviation", torch.ones(N_DESCRIPTORS))

    def fit(self, descriptors: Tensor) -> None:
        """Estimate means and deviations from descriptors, float32 (n, N_DESCRIPTORS)."""
        self.middle.copy_(descriptors.mean(0))
        self.deviation.copy_(descriptors.std(0).clamp(min=MIN_DEVIATION))

    def forward(self, descriptors: Tensor) -> Tensor:
        """Return standardized descriptors, float32 (n, N_DESCRIPTORS)."""
        return ((descriptors - self.middle) / self.deviation).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)


class DescriptorNet(nn.Module):
    """The mean of several heads of three linear layers on standardized descriptors.

    Parameters
    ----------
    n_classes : int
    hidden : int
        Units of each hidden layer.
    n_heads : int
    """

    def __init__(self, n_classes: int, hidden: int = 128, n_heads: int = 3):
        super().__init__()
        self.standard = Standardize()
        self.heads = AveragedHeads(
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

    def forward(self, descriptors: Tensor) -> Tensor:
        """Return the logits of each segment, float32 (n_segments, n_classes).

        Parameters
        ----------
        descriptors : float32 tensor (n_segments, N_DESCRIPTORS)
        """
        return self.heads(self.standard(descriptors))


def segment_descriptors(notes: NoteSequence, n_steps: int, window_quarters: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the descriptors of each segment of a piece, and the weights of the segments in each window.

    Parameters
    ----------
    notes, n_steps, window_quarters
        As in `critic.features.segments.segments_and_weights`.

    Returns
    -------
    descriptors : float32 array (n_segments, N_DESCRIPTORS)
    segment_weights : float32 array (n_windows, n_segments)
    """
    segments, weights = segments_and_weights(notes, n_steps, window_quarters)
    return np.stack([extract_descriptors(segment) for segment in segments]), weights


def window_descriptors(notes: NoteSequence, n_steps: int, window_quarters: float) -> np.ndarray:
    """Return the descriptors of each window, float32 (n_windows, N_DESCRIPTORS), the mean over its segments."""
    descriptors, weights = segment_descriptors(notes, n_steps, window_quarters)
    return weights @ descriptors
