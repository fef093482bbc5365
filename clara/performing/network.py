"""The network of a performer: it reads notes, then beats in both directions, then notes and sixteenths again.

An encoding of each note is averaged over its beat. A recurrent net reads the beats in both directions: the state of a
beat depends on what follows. Its states give the tempo of each beat. Notes read the states of their beat and the next
one, and their neighbours by convolutions, and give velocities; sixteenths read the states and give the pedal. A second
output learns the velocities of scores with dynamic marks, so that the recurrent net learns from their beats, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

VELOCITY_MEAN, VELOCITY_SPREAD, TEMPO_SPREAD = range(3)  # what is estimated of a whole piece
N_PIECE = 3
PEDAL_DOWN, PEDAL_LIFT = range(2)
PLAYED, MARKED = range(2)  # velocities as people play, and as the dynamic marks of a score
MAX_DEVIATIONS = 6.0  # a standardised feature is cut there


@dataclass(frozen=True)
class NetworkSizes:
    """Sizes of a performer's network.

    Attributes
    ----------
    n_beat, n_note, n_slot : int
        Numbers of features.
    note_width : int
        Of the encoding of a note.
    n_units, n_layers : int
        Of the recurrent net, in each direction.
    hidden : int
        Of the layers that give velocities.
    kernel, n_blocks : int
        Notes that a convolution sees, and number of blocks of convolutions.
    slot_width : int
        Of the layers that give the pedal.
    """

    n_beat: int
    n_note: int
    n_slot: int
    note_width: int = 64
    n_units: int = 96
    n_layers: int = 2
    hidden: int = 64
    kernel: int = 5
    n_blocks: int = 2
    slot_width: int = 64


@dataclass(frozen=True, eq=False)
class ScoreBatch:
    """Passages of scores as tensors; the notes, and the sixteenths, of all passages are concatenated.

    Attributes
    ----------
    beat : float tensor (n, n_beats, n_beat)
        Features of the beats, padded with zeros.
    n_beats : int64 tensor (n,)
    note, slot : float tensors (n_notes, n_note), (n_slots, n_slot)
    beat_of_note, beat_of_slot : int64 tensors
        Position in the flattened beats.
    """

    beat: Tensor
    n_beats: Tensor
    note: Tensor
    slot: Tensor
    beat_of_note: Tensor
    beat_of_slot: Tensor


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network expects of a performance.

    Attributes
    ----------
    velocity : tensor (n_notes, 2)
        In standard deviations from the mean of the piece: `PLAYED` and `MARKED`.
    tempo : tensor (n, n_beats)
        Log tempo in standard deviations from the median of the piece.
    pedal : tensor (n_slots, 2)
        Logits of `PEDAL_DOWN` and `PEDAL_LIFT`.
    piece : tensor (n, N_PIECE)
        Mean and log standard deviation of velocities, and log standard deviation of the log tempo; standardised, see
        `PerformerNetwork.piece_values`.
    """

    velocity: Tensor
    tempo: Tensor
    pedal: Tensor
    piece: Tensor


class NoteBlock(nn.Module):
    """Two convolutions over a row of notes, added to what they read."""

    def __init__(self, width: int, kernel: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.second = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return a row of notes (n_notes, width) with what their neighbours add."""
        inner = self.first(self.norm(x).T[None])
        return x + self.dropout(self.second(F.gelu(inner))[0].T)


class PerformerNetwork(nn.Module):
    """The network of a performer.

    Parameters
    ----------
    sizes : NetworkSizes
    dropout : float
        Probability, while training.
    """

    beat_mean: Tensor
    beat_scale: Tensor
    note_mean: Tensor
    note_scale: Tensor
    slot_mean: Tensor
    slot_scale: Tensor
    piece_mean: Tensor
    piece_scale: Tensor

    def __init__(self, sizes: NetworkSizes, dropout: float = 0.0):
        super().__init__()
        self.sizes = sizes
        counts = {"beat": sizes.n_beat, "note": sizes.n_note, "slot": sizes.n_slot, "piece": N_PIECE}
        for name, n in counts.items():  # mean and scale of each column, see `standardize`
            self.register_buffer(f"{name}_mean", torch.zeros(n))
            self.register_buffer(f"{name}_scale", torch.ones(n))
        width, units, hidden = sizes.note_width, sizes.n_units, sizes.hidden
        self.dropout = nn.Dropout(dropout)
        self.note_in = nn.Linear(sizes.n_note, width)
        self.note_gate = nn.Linear(width, 1)
        self.beat_in = nn.Linear(sizes.n_beat + 2 * width, units)
        self.rnn = nn.GRU(units, units, sizes.n_layers, batch_first=True, bidirectional=True)
        if sizes.n_layers > 1:
            self.rnn.dropout = dropout
        self.tempo_hidden = nn.Linear(2 * units, units)
        self.tempo_out = nn.Linear(units, 1)
        self.piece_out = nn.Linear(2 * units, N_PIECE)
        self.beat_to_note = nn.Linear(2 * units, hidden)
        self.next_beat_to_note = nn.Linear(2 * units, hidden)
        self.note_to_note = nn.Linear(width, hidden)
        self.blocks = nn.ModuleList(NoteBlock(hidden, sizes.kernel, dropout) for _ in range(sizes.n_blocks))
        self.velocity_hidden = nn.Linear(hidden, hidden)
        self.velocity_out = nn.Linear(hidden, 2)
        self.beat_to_slot = nn.Linear(2 * units, sizes.slot_width)
        self.slot_in = nn.Linear(sizes.n_slot, sizes.slot_width)
        self.slot_hidden = nn.Linear(sizes.slot_width, sizes.slot_width)
        self.slot_out = nn.Linear(sizes.slot_width, 2)

    def fit_scales(self, name: str, columns: Sequence[np.ndarray]) -> None:
        """Take over the mean and standard deviation of columns, float arrays (n, n_columns).

        Parameters
        ----------
        name : str
            `beat`, `note`, `slot` or `piece`.
        columns : sequence of arrays
        """
        values = np.concatenate(columns).astype(np.float64)
        self.get_buffer(f"{name}_mean").copy_(torch.from_numpy(values.mean(0)))
        self.get_buffer(f"{name}_scale").copy_(torch.from_numpy(np.maximum(values.std(0), 0.01)))

    def standardize(self, name: str, values: Tensor) -> Tensor:
        """Return values in standard deviations from their mean, at most `MAX_DEVIATIONS`."""
        deviations = (values - self.get_buffer(f"{name}_mean")) / self.get_buffer(f"{name}_scale")
        return deviations.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)

    def piece_values(self, piece: Tensor) -> Tensor:
        """Return what is estimated of whole pieces in its own units, tensor (n, N_PIECE)."""
        return piece * self.piece_scale + self.piece_mean

    def forward(self, batch: ScoreBatch) -> Prediction:
        """Return what is expected of the performance of passages."""
        n, room, _ = batch.beat.shape
        in_piece = torch.arange(room) < batch.n_beats[:, None]
        beat_features = self.standardize("beat", batch.beat) * in_piece[..., None]
        encoded = F.gelu(self.note_in(self.standardize("note", batch.note)))
        pooled = self._pool(encoded, batch.beat_of_note, n * room).unflatten(0, (n, room))
        beat = self.dropout(F.gelu(self.beat_in(torch.cat([beat_features, pooled], -1))))
        states = self._read_beats(beat, batch.n_beats)
        mean_state = (states * in_piece[..., None]).sum(1) / batch.n_beats[:, None]
        states = self.dropout(states)
        tempo = self.tempo_out(F.gelu(self.tempo_hidden(states)))[..., 0]
        following = torch.cat([states[:, 1:], states[:, -1:]], 1)
        to_note = (self.beat_to_note(states) + self.next_beat_to_note(following)).flatten(0, 1)
        x = self.note_to_note(self.dropout(encoded)) + to_note[batch.beat_of_note]
        for block in self.blocks:
            x = block(x)
        velocity = self.velocity_out(self.dropout(F.gelu(self.velocity_hidden(x))))
        to_slot = self.beat_to_slot(states).flatten(0, 1)[batch.beat_of_slot]
        slot = self.dropout(F.gelu(self.slot_in(self.standardize("slot", batch.slot)) + to_slot))
        pedal = self.slot_out(F.gelu(self.slot_hidden(slot)))
        return Prediction(velocity, tempo, pedal, self.piece_out(self.dropout(mean_state)))

    def _pool(self, encoded, beat_of_note, n_beats):
        """Return the mean and the weighted mean of the notes of each beat, tensor (n_beats, 2 * note_width)."""
        gate = torch.sigmoid(self.note_gate(encoded))
        columns = torch.cat([encoded, encoded * gate, gate, torch.ones_like(gate)], 1)
        total = columns.new_zeros(n_beats, columns.shape[1]).index_add(0, beat_of_note, columns)
        width = self.sizes.note_width
        mean = total[:, :width] / total[:, -1:].clamp(min=1)
        weighted = total[:, width : 2 * width] / total[:, -2:-1].clamp(min=1e-3)
        return torch.cat([mean, weighted], 1)

    def _read_beats(self, beat, n_beats):
        """Return the states of the recurrent net, tensor (n, n_beats, 2 * n_units)."""
        if len(beat) == 1:
            return self.rnn(beat)[0]
        packed = nn.utils.rnn.pack_padded_sequence(beat, n_beats, batch_first=True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=beat.shape[1])[0]
