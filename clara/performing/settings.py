"""Settings of a performer's training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WindowTraining:
    """Settings of the training of networks that read windows.

    Attributes
    ----------
    n_members : int
        Number of networks whose predictions are averaged.
    width : int
        Units of a hidden layer.
    input_dropout, dropout : float
        Probabilities that a column and a hidden unit are dropped.
    epochs : int
        Passes over the drawn rows.
    rows_of_piece : int
        Notes, beats and sixteenths of a piece that are drawn, at most.
    batch_rows : int
    lr, weight_decay : float
        Highest learning rate and weight decay of Adam (AdamW).
    """

    n_members: int = 2
    width: int = 128
    input_dropout: float = 0.25
    dropout: float = 0.5
    epochs: int = 6
    rows_of_piece: int = 600
    batch_rows: int = 512
    lr: float = 2e-3
    weight_decay: float = 0.5


@dataclass(frozen=True)
class PerformerTraining:
    """Settings of a performer's training.

    Attributes
    ----------
    note_width, n_units, n_layers, hidden, kernel, n_blocks, slot_width : int
        Sizes; see `clara.performing.network.NetworkSizes`.
    n_members : int
        Number of recurrent networks whose predictions are averaged.
    dropout : float
        Probability.
    epochs : int
        Passes over the music, of each network.
    passage_beats : int
        Length of the passages that are trained on.
    batch_passages : int
        Passages in a batch.
    lr, weight_decay : float
        Highest learning rate and weight decay of Adam (AdamW).
    clip : float
        Largest norm of the gradient.
    tempo_weight, pedal_weight, piece_weight : float
        Of the losses of tempo, pedal and of the estimates of a whole piece, beside that of velocity.
    windows : WindowTraining
        Of the networks that read windows.
    seed : int
    """

    note_width: int = 64
    n_units: int = 96
    n_layers: int = 2
    hidden: int = 64
    kernel: int = 5
    n_blocks: int = 2
    slot_width: int = 64
    n_members: int = 2
    dropout: float = 0.3
    epochs: int = 16
    passage_beats: int = 128
    batch_passages: int = 24
    lr: float = 3e-3
    weight_decay: float = 0.02
    clip: float = 1.0
    tempo_weight: float = 1.0
    pedal_weight: float = 0.5
    piece_weight: float = 0.1
    windows: WindowTraining = WindowTraining()
    seed: int = 0
