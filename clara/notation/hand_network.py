"""A network that says which hand plays a note of the piano, from the notes before and after it.

It reads how far each of the neighbours in order of onset, then of pitch, is from the note in pitch and time, whether
they begin together, whether the neighbour still sounds, and how long it is.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, JsonValue
from torch import Tensor, nn

from clara.checkpoints.shipped_models import find_model
from clara.checkpoints.weights import load_network, save_network
from clara.errors import CheckpointMismatch
from clara.files import make_folder, write_atomically
from clara.records import Record, read_record

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHIPPED_HANDS = "hands"
FORMAT = 1
N_NEIGHBOUR_FEATURES, N_OWN_FEATURES = 6, 3
OCTAVE, MIDDLE_OCTAVES = 12, 5.0  # middle C is five octaves above MIDI note 0
LONGEST_QUARTERS = 8.0  # longer notes count as so long
DROPOUT = 0.1
BATCH = 4096
PITCH, START, LENGTH, END, IS_NOTE = range(5)

_Size = Annotated[int, Field(ge=1, le=1024)]


class HandConfig(Record):
    """The content of config.json.

    Attributes
    ----------
    hands : int
        Version of the format.
    n_neighbours : int
        Notes that are read before a note, and after it.
    width : int
        Units of the first layer; the second one has half of them.
    training, figures : dict, optional
        How the network was trained, and how good it is.
    """

    hands: int
    n_neighbours: _Size
    width: _Size
    training: dict[str, JsonValue] | None = None
    figures: dict[str, JsonValue] | None = None


def note_columns(
    start: np.ndarray, end: np.ndarray, pitch: np.ndarray, steps_per_quarter: int, n_neighbours: int
) -> Tensor:
    """Return the notes of a piece with `n_neighbours` empty rows at either end, float32 (n + 2 n_neighbours, 5).

    Parameters
    ----------
    start, end, pitch : int arrays (n,)
        Notes in ascending order of start, then of pitch.
    steps_per_quarter, n_neighbours : int
    """
    columns = np.zeros((len(start) + 2 * n_neighbours, 5), dtype=np.float32)
    inside = columns[n_neighbours : n_neighbours + len(start)]
    inside[:, PITCH] = pitch / OCTAVE
    inside[:, START] = start / steps_per_quarter
    inside[:, LENGTH] = np.log2(np.minimum((end - start) / steps_per_quarter, LONGEST_QUARTERS))
    inside[:, END] = end / steps_per_quarter
    inside[:, IS_NOTE] = 1
    return torch.from_numpy(columns)


def describe_notes(columns: Tensor, rows: Tensor, n_neighbours: int) -> Tensor:
    """Return what the network reads of some notes, float32 (n, n_features).

    Parameters
    ----------
    columns : float32 tensor (n_rows, 5)
        From `note_columns`.
    rows : int64 tensor (n,)
        Rows of the notes in `columns`.
    n_neighbours : int
    """
    around = columns[rows[:, None] + torch.arange(-n_neighbours, n_neighbours + 1)]
    own = columns[rows][:, None]
    is_note = around[..., IS_NOTE]
    distance = (around[..., PITCH] - own[..., PITCH]) * is_note
    quarters = around[..., START] - own[..., START]
    time = quarters.sign() * torch.log1p(4 * quarters.abs()) / 2 * is_note
    together = (quarters == 0) * is_note
    sounds = ((around[..., END] > own[..., START]) & (quarters <= 0)).float() * is_note
    height = own[:, 0, PITCH] - MIDDLE_OCTAVES
    alone = torch.stack([height, height**2, own[:, 0, LENGTH] / 2], 1)
    return torch.cat([distance, time, together, sounds, around[..., LENGTH] / 2, is_note, alone], 1)


class HandNetwork(nn.Module):
    """Two hidden layers over the neighbours of a note.

    Parameters
    ----------
    n_neighbours, width : int
        As in `HandConfig`.
    """

    def __init__(self, n_neighbours: int = 32, width: int = 256):
        super().__init__()
        self.n_neighbours, self.width = n_neighbours, width
        n_features = N_NEIGHBOUR_FEATURES * (2 * n_neighbours + 1) + N_OWN_FEATURES
        self.layers = nn.Sequential(
            nn.Linear(n_features, width),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(width, width // 2),
            nn.ReLU(),
            nn.Linear(width // 2, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the log-odds that the left hand plays each note, float32 (n,)."""
        return self.layers(features)[:, 0]

    @torch.no_grad()
    def left_log_odds(
        self, start: np.ndarray, end: np.ndarray, pitch: np.ndarray, steps_per_quarter: int
    ) -> np.ndarray:
        """Return the log-odds that the left hand plays each note, float64 (n,); parameters as of `note_columns`."""
        columns = note_columns(start, end, pitch, steps_per_quarter, self.n_neighbours)
        rows = torch.arange(len(start)) + self.n_neighbours
        log_odds = [self(describe_notes(columns, batch, self.n_neighbours)) for batch in rows.split(BATCH)]
        return torch.cat(log_odds).double().numpy() if log_odds else np.zeros(0)


@dataclass
class HandModel:
    """A network and what is known about it.

    Attributes
    ----------
    network : HandNetwork
    info : dict
        `training` and `figures`, as in config.json.
    """

    network: HandNetwork
    info: dict

    @classmethod
    def load(cls, folder: str | Path = SHIPPED_HANDS) -> "HandModel":
        """Load a model from its folder, or a shipped one by its name.

        Raises
        ------
        MissingModel
            If there is no such folder.
        CheckpointMismatch
            If a file is missing or broken, or the weights do not fit the config or this version of Clara.
        """
        path = find_model(folder)
        config = read_record(path / CONFIG, HandConfig)
        if config.hands != FORMAT:
            raise CheckpointMismatch(
                f"{path / CONFIG}: format {config.hands}, but this Clara reads {FORMAT}; install the weights that "
                "belong to this version"
            )
        network = load_network(lambda: HandNetwork(config.n_neighbours, config.width), path / WEIGHTS)
        info = {name: value for name in ("training", "figures") if (value := getattr(config, name)) is not None}
        return cls(network, info)

    def save(self, folder: str | Path) -> None:
        """Write config.json and the weights, each atomically."""
        path = make_folder(folder)
        config = {
            "hands": FORMAT,
            "n_neighbours": self.network.n_neighbours,
            "width": self.network.width,
            **self.info,
        }
        save_network(self.network, path / WEIGHTS)
        write_atomically(path / CONFIG, json.dumps(config, indent=1) + "\n")


@cache
def shipped_hands() -> HandModel:
    """Return the model that comes with Clara, loaded once.

    Raises
    ------
    MissingModel, CheckpointMismatch
        As `HandModel.load`.
    """
    return HandModel.load(SHIPPED_HANDS)
