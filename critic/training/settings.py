"""Settings of the training of a classifier."""

from dataclasses import dataclass

from critic.features.segments import SEGMENT_QUARTERS


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a training run.

    Attributes
    ----------
    epochs : int
        Passes over the excerpts.
    lr : float
        Highest learning rate.
    bs : int
        Excerpts in a batch.
    weight_decay : float
    schedule : str
        ``"one_cycle"`` (Smith and Topin 2017), or ``"constant"``.
    clip : float, optional
        Largest norm of the gradients.
    average_weights : bool
        Whether a running mean of the weights is evaluated and kept.
    batches_per_epoch : int, optional
        For heads that draw batches of their own.
    segment_quarters : int
        Length of the segments that are read at a time, for members that read descriptors; that of the excerpts.
    split : str
        Split of the excerpts to learn from.
    seed : int
        Random seed of weights, order, augmentation and dropout.
    device : str
        As `clara.devices.choose_device` takes it.
    """

    epochs: int
    lr: float
    bs: int
    weight_decay: float = 0.01
    schedule: str = "one_cycle"
    clip: float | None = None
    average_weights: bool = False
    batches_per_epoch: int | None = None
    segment_quarters: int = SEGMENT_QUARTERS
    split: str = "train"
    seed: int = 0
    device: str = "cpu"
