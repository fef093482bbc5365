"""Networks that read one beat, note or sixteenth at a time, with the windows around it.

They know less about the order of beats than recurrent nets and are trained in a minute. Their errors are others, so the
mean of both is better than either.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clara.performing.beats import BEAT_FEATURES
from clara.performing.note_features import NOTE_FEATURES
from clara.performing.passages import PerformedPiece
from clara.performing.score import ScoreFeatures
from clara.performing.settings import WindowTraining
from clara.performing.slot_features import SLOT_FEATURES
from clara.performing.windows import COMPARED_BEAT, COMPARED_NOTE, MEAN_BEATS, beat_windows, note_columns, slot_columns

N_BEAT_COLUMNS = (3 + len(MEAN_BEATS)) * len(BEAT_FEATURES) + 2 * (len(COMPARED_BEAT) + len(COMPARED_NOTE))
N_COLUMNS = {
    "velocity": 2 * len(NOTE_FEATURES) + N_BEAT_COLUMNS,
    "tempo": N_BEAT_COLUMNS,
    "pedal": 2 * len(SLOT_FEATURES) + N_BEAT_COLUMNS,
}
MAX_DEVIATIONS = 5.0  # a standardised column is cut there
WARM_UP_STEPS = 100


class RowNetwork(nn.Module):
    """A number from a row of columns: a linear function, and what two hidden layers add to it.

    Parameters
    ----------
    n_columns, width : int
        Numbers of columns and of units of a hidden layer.
    input_dropout, dropout : float
        Probabilities that a column and a hidden unit are dropped, while training.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_columns: int, width: int, input_dropout: float = 0.0, dropout: float = 0.0):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_columns))
        self.register_buffer("scale", torch.ones(n_columns))
        self.linear = nn.Linear(n_columns, 1)
        nn.init.zeros_(self.linear.weight)
        self.first = nn.Linear(n_columns, width)
        self.second = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)
        self.input_dropout, self.dropout = nn.Dropout(input_dropout), nn.Dropout(dropout)

    def fit_scales(self, columns: Tensor) -> None:
        """Take over the mean and standard deviation of columns, float tensor (n, n_columns)."""
        self.mean.copy_(columns.mean(0))
        self.scale.copy_(columns.std(0).clamp(min=0.01))

    def forward(self, columns: Tensor) -> Tensor:
        """Return a number for each row, tensor (n,)."""
        x = ((columns - self.mean) / self.scale).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
        hidden = self.dropout(F.gelu(self.first(self.input_dropout(x))))
        hidden = self.dropout(F.gelu(self.second(hidden)))
        return (self.linear(x) + self.out(hidden))[:, 0]


class WindowNetwork(nn.Module):
    """Networks of velocity, tempo and pedal that read windows.

    Parameters
    ----------
    width : int
        Units of a hidden layer.
    input_dropout, dropout : float
        Probabilities, while training.
    """

    def __init__(self, width: int, input_dropout: float = 0.0, dropout: float = 0.0):
        super().__init__()
        self.width = width
        self.velocity, self.tempo, self.pedal = (
            RowNetwork(n, width, input_dropout, dropout) for n in N_COLUMNS.values()
        )

    def forward(self, score: ScoreFeatures) -> tuple[Tensor, Tensor, Tensor]:
        """Return velocities (n_notes,), log tempos (n_beats,) and logits of the pedal (n_slots,), standardised."""
        windows = beat_windows(score)
        rows = (note_columns(score, windows), windows, slot_columns(score, windows))
        velocity, tempo, pedal = (torch.from_numpy(columns) for columns in rows)
        return self.velocity(velocity), self.tempo(tempo), self.pedal(pedal)


class WindowRows:
    """Rows of played pieces to train on.

    Parameters
    ----------
    pieces : sequence of PerformedPiece
        With a tempo curve.
    """

    def __init__(self, pieces: Sequence[PerformedPiece]):
        self.pieces = pieces
        self.windows = [beat_windows(piece.score) for piece in pieces]

    def draw(self, name: str, n_rows: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return columns (n, m), targets (n,) and weights (n,) of random rows; pieces have equal weight.

        Parameters
        ----------
        name : str
            `velocity`, `tempo` or `pedal`.
        n_rows : int
            Of a piece, at most.
        rng : numpy Generator
        """
        columns, targets, weights = [], [], []
        for piece, windows in zip(self.pieces, self.windows):
            target = _target(name, piece)
            if target is None:
                continue
            which = rng.permutation(len(target))[:n_rows]
            columns.append(_columns(name, piece.score, windows, which))
            targets.append(target[which])
            weights.append(np.full(len(which), n_rows / len(which)))
        if not columns:
            return torch.zeros(0, N_COLUMNS[name]), torch.zeros(0), torch.zeros(0)
        parts = (np.concatenate(columns), np.concatenate(targets), np.concatenate(weights))
        rows, target, weight = (torch.from_numpy(part.astype(np.float32)) for part in parts)
        return rows, target, weight


def train_window_network(rows: WindowRows, settings: WindowTraining, seed: int) -> WindowNetwork:
    """Train networks of velocity, tempo and, if a piece has one, of the pedal."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = WindowNetwork(settings.width, settings.input_dropout, settings.dropout)
    for name in N_COLUMNS:
        drawn = rows.draw(name, settings.rows_of_piece, rng)
        if len(drawn[0]):
            _train_rows(getattr(network, name), drawn, settings, is_pedal=name == "pedal")
    return network.eval()


def _train_rows(network, drawn, settings, is_pedal):
    """Train a network on rows, their targets and weights."""
    columns, target, weight = drawn
    network.fit_scales(columns)
    optimizer = torch.optim.AdamW(network.parameters(), settings.lr, weight_decay=settings.weight_decay)
    n_batches = max(1, len(columns) // settings.batch_rows)
    n_steps = settings.epochs * n_batches
    network.train()
    for step in range(n_steps):
        if step % n_batches == 0:
            batches = torch.randperm(len(columns)).tensor_split(n_batches)
        chosen = batches[step % n_batches]
        fall = 0.5 * (1 + np.cos(np.pi * step / n_steps))
        optimizer.param_groups[0]["lr"] = settings.lr * min(1, (step + 1) / WARM_UP_STEPS) * fall
        expected = network(columns[chosen])
        if is_pedal:
            losses = F.binary_cross_entropy_with_logits(expected, target[chosen], reduction="none")
        else:
            losses = (expected - target[chosen]) ** 2
        optimizer.zero_grad()
        (weight[chosen] * losses).mean().backward()
        optimizer.step()


def _target(name, piece):
    """Return what is learned of a piece, float64 (n,), or None if it has no pedal."""
    if name == "velocity":
        return piece.velocity_target()
    if name == "tempo":
        return piece.tempo_target()
    return piece.performance.pedal.astype(np.float64) if piece.performance.has_pedal else None


def _columns(name, score, windows, which):
    """Return the columns of some notes, beats or sixteenths."""
    if name == "velocity":
        return note_columns(score, windows, which)
    return windows[which] if name == "tempo" else slot_columns(score, windows, which)
