"""Settings of a planner's training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PlannerTraining:
    """Settings of a planner's training.

    Attributes
    ----------
    width, n_units, n_layers, hidden, n_query : int
        Sizes; see `clara.form.planner_network.NetworkSizes`.
    dropout : float
        Probability.
    epochs : int
        Passes over the corpus.
    batch_bars : int
        Bars in a batch, padding included.
    lr, weight_decay : float
        Highest learning rate and weight decay of Adam (AdamW).
    clip : float
        Largest norm of the gradient.
    min_signature_pieces : int
        Number of pieces in which a time signature must occur to be one of the planner's.
    seed : int
    """

    width: int = 128
    n_units: int = 192
    n_layers: int = 2
    hidden: int = 128
    n_query: int = 32
    dropout: float = 0.2
    epochs: int = 30
    batch_bars: int = 2048
    lr: float = 3e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    min_signature_pieces: int = 3
    seed: int = 0
