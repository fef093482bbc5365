"""A network that says where in its beat and bar each cluster of notes stands, and how long the beat is.

A GRU reads the features of clusters in both directions. Its outputs are log-probabilities:

- of 30 places: the 12 steps of a simple beat (a quarter), then the 18 of a compound one (a dotted quarter);
- that the cluster begins a bar;
- of the length of the beat around it, in `N_PERIODS` classes of a sixth of an octave;
- of the number of beats in its bar, 1 to 4, or another (class 0).
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
from clara.listening.features import N_FEATURES
from clara.listening.truth import COMPOUND_STEPS, MAX_BAR_BEATS, SIMPLE_STEPS
from clara.records import Record, read_record

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHIPPED_BEATS = "beats"
FORMAT = 1
N_PLACES = SIMPLE_STEPS + COMPOUND_STEPS
N_PERIODS, PERIODS_PER_OCTAVE, SHORTEST_PERIOD_SECONDS = 24, 6, 0.2
N_BARS = MAX_BAR_BEATS + 1
N_OUTPUTS = N_PLACES + 1 + N_PERIODS + N_BARS
MAX_CLUSTERS = 4096  # that the network reads at once; longer music is read in pieces that overlap
OVERLAP_CLUSTERS = 256

_Size = Annotated[int, Field(ge=1, le=1024)]


class BeatConfig(Record):
    """The content of config.json.

    Attributes
    ----------
    beats : int
        Version of the format.
    width, n_layers : int
        Units in each direction, and layers of the GRU.
    n_features : int
    training, figures : dict, optional
        How the network was trained, and how good it is.
    """

    beats: int
    width: _Size
    n_layers: Annotated[int, Field(ge=1, le=4)]
    n_features: _Size
    training: dict[str, JsonValue] | None = None
    figures: dict[str, JsonValue] | None = None


@dataclass(frozen=True, eq=False)
class Readings:
    """What a network says about each cluster, as log-probabilities.

    Attributes
    ----------
    place : float64 array (n, N_PLACES)
    downbeat, no_downbeat : float64 arrays (n,)
    period : float64 array (n, N_PERIODS)
    bar : float64 array (n, N_BARS)
    """

    place: np.ndarray
    downbeat: np.ndarray
    no_downbeat: np.ndarray
    period: np.ndarray
    bar: np.ndarray


class BeatNetwork(nn.Module):
    """A bidirectional GRU over clusters.

    Parameters
    ----------
    width : int
        Units in each direction.
    n_layers : int
    """

    def __init__(self, width: int = 64, n_layers: int = 2):
        super().__init__()
        self.width, self.n_layers = width, n_layers
        self.first = nn.Linear(N_FEATURES, width)
        self.gru = nn.GRU(width, width, n_layers, batch_first=True, bidirectional=True)
        self.last = nn.Linear(2 * width, N_OUTPUTS)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return logits of places, bar beginnings, periods and bars, of features (batch, n, N_FEATURES)."""
        hidden, _ = self.gru(torch.relu(self.first(features)))
        place, downbeat, period, bar = self.last(hidden).split([N_PLACES, 1, N_PERIODS, N_BARS], dim=-1)
        return place, downbeat[..., 0], period, bar

    def read(self, features: np.ndarray) -> Readings:
        """Return what the network says about clusters by their features, float32 (n, N_FEATURES)."""
        n = len(features)
        outputs = np.zeros((n, N_OUTPUTS))
        step = MAX_CLUSTERS - 2 * OVERLAP_CLUSTERS
        for begin in range(0, max(n, 1), step):
            first, last = max(0, begin - OVERLAP_CLUSTERS), min(n, begin + step + OVERLAP_CLUSTERS)
            if first >= last:
                break
            with torch.no_grad():
                place, downbeat, period, bar = self(torch.from_numpy(features[None, first:last]))
                parts = [
                    place.log_softmax(-1),
                    nn.functional.logsigmoid(downbeat)[..., None],
                    period.log_softmax(-1),
                    bar.log_softmax(-1),
                ]
            outputs[begin : begin + step] = torch.cat(parts, -1)[0, begin - first :][:step].double().numpy()
        place, downbeat, period, bar = np.split(outputs, np.cumsum([N_PLACES, 1, N_PERIODS]), axis=1)
        downbeat = np.minimum(downbeat[:, 0], -1e-9)
        return Readings(place, downbeat, np.log(-np.expm1(downbeat)), period, bar)


@dataclass
class BeatModel:
    """A network and what is known about it.

    Attributes
    ----------
    network : BeatNetwork
    info : dict
        `training` and `figures`, as in config.json.
    """

    network: BeatNetwork
    info: dict

    @classmethod
    def load(cls, folder: str | Path = SHIPPED_BEATS) -> "BeatModel":
        """Load a model from its folder, or a shipped one by its name.

        Raises
        ------
        MissingModel
            If there is no such folder.
        CheckpointMismatch
            If a file is missing or broken, or the weights do not fit the config or this version of Clara.
        """
        path = find_model(folder)
        config = read_record(path / CONFIG, BeatConfig)
        if config.beats != FORMAT or config.n_features != N_FEATURES:
            raise CheckpointMismatch(
                f"{path / CONFIG}: format {config.beats} with {config.n_features} features, but this Clara reads "
                f"{FORMAT} with {N_FEATURES}; install the weights that belong to this version"
            )
        network = load_network(lambda: BeatNetwork(config.width, config.n_layers), path / WEIGHTS)
        info = {name: value for name in ("training", "figures") if (value := getattr(config, name)) is not None}
        return cls(network, info)

    def save(self, folder: str | Path) -> None:
        """Write config.json and the weights, each atomically."""
        path = make_folder(folder)
        config = {
            "beats": FORMAT,
            "width": self.network.width,
            "n_layers": self.network.n_layers,
            "n_features": N_FEATURES,
            **self.info,
        }
        save_network(self.network, path / WEIGHTS)
        write_atomically(path / CONFIG, json.dumps(config, indent=1) + "\n")


@cache
def shipped_beats() -> BeatModel:
    """Return the model that comes with Clara, loaded once.

    Raises
    ------
    MissingModel, CheckpointMismatch
        As `BeatModel.load`.
    """
    return BeatModel.load(SHIPPED_BEATS)
