"""Perform scores: velocities, a tempo map and the pedal, by networks trained on performed pieces.

`config.json` has the sizes, the names of the features, how residuals are drawn, and how the performer was trained;
`model.safetensors` has the weights in half precision. Loading checks that they agree.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, JsonValue
from safetensors.torch import save

from clara.checkpoints.shipped_models import find_model
from clara.checkpoints.weights import check_shapes, read_shapes, read_weights
from clara.errors import BadSetting, CheckpointMismatch, NoNotes
from clara.files import make_folder, write_atomically
from clara.music.expression import HIGHEST_QPM, LOWEST_QPM, Expression
from clara.music.notes import NoteSequence
from clara.performing.beats import BEAT_FEATURES
from clara.performing.network import (
    PLAYED,
    TEMPO_SPREAD,
    VELOCITY_MEAN,
    VELOCITY_SPREAD,
    NetworkSizes,
    PerformerNetwork,
)
from clara.performing.note_features import NOTE_FEATURES
from clara.performing.passages import join_scores
from clara.performing.pedalling import Pedalling, sample_pedal_noise
from clara.performing.score import MAX_LOG_TEMPO, ScoreFeatures, describe_score
from clara.performing.slot_features import SLOT_FEATURES
from clara.performing.touch import Touch
from clara.records import Record, read_record

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHIPPED_PERFORMER = "performer"
FORMAT = 1
MAX_EXPRESSION, MAX_VARIATION = 2.0, 2.0
# Residuals of this share make two renderings about as alike as those of two people (r of 0.64 to 0.85).
DEFAULT_VARIATION = 0.25
MAX_WIDENING = 2.0  # an expectation varies less than a performance; it is widened at most so far
FEATURES = {"beat": BEAT_FEATURES, "note": NOTE_FEATURES, "slot": SLOT_FEATURES}
OTHER_FEATURES = "was trained on other features of a score; train it again with this Clara (clara train-performer)"

_Size = Annotated[int, Field(ge=1, le=1024)]


class PerformerConfig(Record):
    """The content of config.json.

    Attributes
    ----------
    performer : int
        Version of the format.
    sizes : dict of str to int
        Of `NetworkSizes`, without the numbers of features.
    n_members : int
        Number of networks.
    features : dict of str to list of str
        Names of the features of beats, notes and sixteenths.
    touch : Touch
    pedalling : Pedalling
    training, figures : dict, optional
        How the performer was trained, and how good it is.
    """

    performer: int
    sizes: dict[str, _Size]
    n_members: Annotated[int, Field(ge=1, le=16)]
    features: dict[str, list[str]]
    touch: Touch
    pedalling: Pedalling
    training: dict[str, JsonValue] | None = None
    figures: dict[str, JsonValue] | None = None


@dataclass(frozen=True, eq=False)
class Expectation:
    """What networks expect of a performance.

    Attributes
    ----------
    velocity : float64 array (n_notes,)
        In standard deviations from the mean of the piece.
    velocity_mean, velocity_spread : float
        Mean and standard deviation of the piece's velocities.
    tempo : float64 array (n_beats,)
        Log tempo in standard deviations from the median of the piece.
    tempo_spread : float
        Standard deviation of the piece's log tempo.
    pedal : float64 array (n_slots, 2)
        Logits of the pedal being down where a sixteenth begins, and of a release in it.
    """

    velocity: np.ndarray
    velocity_mean: float
    velocity_spread: float
    tempo: np.ndarray
    tempo_spread: float
    pedal: np.ndarray

    @property
    def velocities(self) -> np.ndarray:
        """Expected velocity of each note, float64 (n_notes,)."""
        return self.velocity_mean + self.velocity_spread * self.velocity


@dataclass
class Performer:
    """Networks that perform scores.

    Attributes
    ----------
    networks : list of PerformerNetwork
        Their expectations are averaged.
    touch : Touch
        How a rendering departs from what is expected.
    pedalling : Pedalling
    info : dict
        `training` and `figures`, as in config.json.

    Examples
    --------
    >>> from clara.music.read import read_music
    >>> performer = Performer.load("performer")
    >>> notes = read_music("music21:bach/bwv66.6", 48)
    >>> expression = performer.perform(notes, seed=1)
    >>> len(expression.velocity) == len(notes)
    True
    """

    networks: list[PerformerNetwork]
    touch: Touch = field(default_factory=Touch)
    pedalling: Pedalling = field(default_factory=Pedalling)
    info: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path = SHIPPED_PERFORMER) -> "Performer":
        """Load a performer from its folder, or a shipped one by its name.

        Raises
        ------
        MissingModel
            If there is no such folder.
        CheckpointMismatch
            If a file is missing or broken, the weights do not fit the config, or the features are not those of this
            version of Clara.
        """
        path = find_model(folder)
        config = read_record(path / CONFIG, PerformerConfig)
        if config.performer != FORMAT:
            raise CheckpointMismatch(
                f"{path / CONFIG}: performer format {config.performer}, but this Clara reads {FORMAT}; {OTHER_FEATURES}"
            )
        if config.features != {name: list(features) for name, features in FEATURES.items()}:
            raise CheckpointMismatch(f"{path / CONFIG}: this performer {OTHER_FEATURES}")
        try:
            sizes = NetworkSizes(*map(len, FEATURES.values()), **config.sizes)
        except TypeError as e:
            raise CheckpointMismatch(f"{path / CONFIG}: sizes do not fit ({e})") from e
        with torch.device("meta"):
            shapes = {name: tuple(t.shape) for name, t in PerformerNetwork(sizes).state_dict().items()}
        expected = {f"{i}.{name}": shape for i in range(config.n_members) for name, shape in shapes.items()}
        check_shapes(read_shapes(path / WEIGHTS), expected, path / WEIGHTS)
        tensors = read_weights(path / WEIGHTS)
        networks = []
        for i in range(config.n_members):
            network = PerformerNetwork(sizes).eval()
            network.load_state_dict({name: tensors[f"{i}.{name}"].float() for name in shapes})
            networks.append(network)
        info = {name: value for name in ("training", "figures") if (value := getattr(config, name)) is not None}
        return cls(networks, config.touch, config.pedalling, info)

    def save(self, folder: str | Path) -> None:
        """Write config.json and the weights, each atomically."""
        path = make_folder(folder)
        tensors = {
            f"{i}.{name}": tensor.half().contiguous()
            for i, network in enumerate(self.networks)
            for name, tensor in network.state_dict().items()
        }
        sizes = asdict(self.networks[0].sizes)
        config = {
            "performer": FORMAT,
            "sizes": {name: size for name, size in sizes.items() if name not in ("n_beat", "n_note", "n_slot")},
            "n_members": len(self.networks),
            "features": FEATURES,
            "touch": self.touch.model_dump(),
            "pedalling": self.pedalling.model_dump(),
            **self.info,
        }
        write_atomically(path / WEIGHTS, save(tensors))
        write_atomically(path / CONFIG, json.dumps(config, indent=1) + "\n")

    def expect(self, score: ScoreFeatures) -> Expectation:
        """Return what the networks expect of the performance of a score."""
        return expect(self.networks, score)

    def perform(
        self,
        notes: NoteSequence,
        seed: int = 0,
        *,
        expression: float = 1.0,
        variation: float = DEFAULT_VARIATION,
        pedal: bool = True,
    ) -> Expression:
        """Perform a score.

        The tempo of the score stays the median of the tempo map, and notes stay at their places.

        Parameters
        ----------
        notes : NoteSequence
            Any grid; features are measured in quarters.
        seed : int
            Random seed; each draws another rendering.
        expression : float
            0 is deadpan: one velocity, one tempo and no pedal; 1 is as the players did whom the networks learned from;
            2 doubles what departs from deadpan.
        variation : float
            0 plays what is expected, whatever the seed; 1 departs from it as far as players depart from what this
            performer expects of them.
        pedal : bool
            Use the sustain pedal.

        Raises
        ------
        NoNotes
            If there are none.
        BadSetting
            If a setting is out of range.
        """
        _check_request(notes, seed, expression, variation)
        score = describe_score(notes)
        expected = self.expect(score)
        velocity_rng, tempo_rng, pedal_rng = (np.random.default_rng([seed, i]) for i in range(3))
        velocity, tempo = expected.velocity, expected.tempo
        if variation > 0:
            velocity = velocity + variation * self.touch.sample_velocity(notes, velocity_rng)
            tempo = tempo + variation * self.touch.sample_tempo(len(tempo), tempo_rng)
        velocities = expected.velocity_mean + expression * expected.velocity_spread * widen(velocity)
        log_tempo = expression * expected.tempo_spread * widen(tempo)
        log_tempo = np.clip(log_tempo - np.median(log_tempo), -MAX_LOG_TEMPO, MAX_LOG_TEMPO)
        spans = np.zeros((0, 2))
        if pedal and expression > 0:
            noise = variation * sample_pedal_noise(len(expected.pedal), pedal_rng)
            spans = self.pedalling.spans(expected.pedal[:, 0] + noise, expected.pedal[:, 1])
        return Expression(
            np.clip(np.rint(velocities), 1, 127).astype(np.int64),
            *_tempo_map(score.beats.begin[:-1], log_tempo, notes.qpm),
            spans,
        )


def widen(deviations: np.ndarray) -> np.ndarray:
    """Return deviations scaled to a standard deviation of 1, but by no more than `MAX_WIDENING`; float64 (n,)."""
    return deviations * min(MAX_WIDENING, 1 / max(deviations.std(), 1e-9))


def expect(networks: Sequence[PerformerNetwork], score: ScoreFeatures) -> Expectation:
    """Return the mean of what networks expect of the performance of a score."""
    batch = join_scores([(score, 0, len(score.beats))])
    with torch.no_grad():
        predictions = [network.eval()(batch) for network in networks]
        pieces = [network.piece_values(p.piece)[0] for network, p in zip(networks, predictions)]
    piece = _mean(pieces)
    return Expectation(
        velocity=_mean([p.velocity[:, PLAYED] for p in predictions]),
        velocity_mean=float(np.clip(piece[VELOCITY_MEAN], 1, 127)),
        velocity_spread=float(np.exp(np.clip(piece[VELOCITY_SPREAD], 0, 4))),
        tempo=_mean([p.tempo[0] for p in predictions]),
        tempo_spread=float(np.exp(np.clip(piece[TEMPO_SPREAD], -6, 0))),
        pedal=_mean([p.pedal for p in predictions]),
    )


def _mean(tensors):
    """Return the mean of tensors as a float64 array."""
    return torch.stack(list(tensors)).double().mean(0).numpy()


def _tempo_map(begin, log_tempo, qpm):
    """Return where tempos begin in quarters, and the tempos; a tempo that does not change is left out."""
    tempo = np.clip(qpm * np.exp(log_tempo), LOWEST_QPM, HIGHEST_QPM).round(3)
    changes = np.append(True, np.diff(tempo) != 0)
    return np.append(0.0, begin[1:])[changes], tempo[changes]


def _check_request(notes, seed, expression, variation):
    """Raise an error for a request that cannot be met."""
    if not len(notes):
        raise NoNotes("no notes to perform")
    if seed < 0:
        raise BadSetting(f"seed {seed}: must be at least 0")
    if not 0 <= expression <= MAX_EXPRESSION:
        raise BadSetting(f"expression {expression}: must be from 0 (deadpan) to {MAX_EXPRESSION:g}")
    if not 0 <= variation <= MAX_VARIATION:
        raise BadSetting(f"variation {variation}: must be from 0 to {MAX_VARIATION:g}")
