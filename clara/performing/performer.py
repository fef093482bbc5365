"""Perform scores: velocities, a tempo map and the pedal, by networks trained on performed pieces.

Recurrent networks read beats in order, and window networks read them one by one; the means of both are averaged.
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
    PEDAL_DOWN,
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
from clara.performing.window_network import WindowNetwork
from clara.records import Record, read_record

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHIPPED_PERFORMER = "performer"
FORMAT = 1
MAX_EXPRESSION, MAX_VARIATION = 2.0, 2.0
# Residuals of this share make two renderings about as alike as those of two people (r of 0.64 to 0.85).
DEFAULT_VARIATION = 0.33
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
        Number of recurrent networks.
    n_windows, window_width : int
        Number of window networks, and units of their hidden layers.
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
    n_windows: Annotated[int, Field(ge=0, le=16)] = 0
    window_width: _Size = 1
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
    windows : list of WindowNetwork
        Their expectations are averaged, and the mean with that of the recurrent networks.
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
    windows: list[WindowNetwork] = field(default_factory=list)
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
            blank = _name_networks(*_build_networks(config, sizes))
        shapes = {name: tuple(tensor.shape) for name, tensor in _tensors(blank).items()}
        check_shapes(read_shapes(path / WEIGHTS), shapes, path / WEIGHTS)
        tensors = read_weights(path / WEIGHTS)
        networks, windows = _build_networks(config, sizes)
        for prefix, network in _name_networks(networks, windows).items():
            network.load_state_dict({name: tensors[f"{prefix}.{name}"].float() for name in network.state_dict()})
        info = {name: value for name in ("training", "figures") if (value := getattr(config, name)) is not None}
        return cls(networks, windows, config.touch, config.pedalling, info)

    def save(self, folder: str | Path) -> None:
        """Write config.json and the weights, each atomically."""
        path = make_folder(folder)
        named = _name_networks(self.networks, self.windows)
        tensors = {name: tensor.half().contiguous() for name, tensor in _tensors(named).items()}
        sizes = asdict(self.networks[0].sizes)
        config = {
            "performer": FORMAT,
            "sizes": {name: size for name, size in sizes.items() if name not in ("n_beat", "n_note", "n_slot")},
            "n_members": len(self.networks),
            "n_windows": len(self.windows),
            "window_width": self.windows[0].width if self.windows else 1,
            "features": FEATURES,
            "touch": self.touch.model_dump(),
            "pedalling": self.pedalling.model_dump(),
            **self.info,
        }
        write_atomically(path / WEIGHTS, save(tensors))
        write_atomically(path / CONFIG, json.dumps(config, indent=1) + "\n")

    def expect(self, score: ScoreFeatures) -> Expectation:
        """Return what the networks expect of the performance of a score."""
        return expect(self.networks, score, self.windows)

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
        velocity, tempo = widen_levels(expected.velocity, score.beat_of_note), expected.tempo
        if variation > 0:
            velocity = velocity + variation * self.touch.sample_velocity(notes, velocity_rng)
            tempo = tempo + variation * self.touch.sample_tempo(len(tempo), tempo_rng)
        velocities = expected.velocity_mean + expression * expected.velocity_spread * velocity
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


def widen_levels(deviations: np.ndarray, beat_of_note: np.ndarray) -> np.ndarray:
    """Return deviations of velocities in which those of whole beats are scaled, so that the standard deviation is 1.

    What is expected of notes within a beat, as of the melody, is about as wide as in a performance. How loud whole
    beats are is known less well, so its expectation is too narrow. It is scaled by 1 to `MAX_WIDENING`.

    Parameters
    ----------
    deviations : float64 array (n,)
    beat_of_note : int64 array (n,)
    """
    n_notes = np.maximum(np.bincount(beat_of_note), 1)
    level = (np.bincount(beat_of_note, deviations) / n_notes)[beat_of_note]
    within = deviations - level
    missing = max(0.0, 1 - within.var())
    scale = np.clip(np.sqrt(missing) / max(level.std(), 1e-9), 1, MAX_WIDENING)
    return level.mean() + scale * (level - level.mean()) + within


def expect(
    networks: Sequence[PerformerNetwork], score: ScoreFeatures, windows: Sequence[WindowNetwork] = ()
) -> Expectation:
    """Return what networks expect of the performance of a score.

    It is the mean of the recurrent networks', averaged with the mean of the window networks', if there are any. Levels
    of the whole piece and lifts of the pedal are the recurrent networks'.
    """
    batch = join_scores([(score, 0, len(score.beats))])
    with torch.no_grad():
        predictions = [network.eval()(batch) for network in networks]
        pieces = [network.piece_values(p.piece)[0] for network, p in zip(networks, predictions)]
        by_windows = [network.eval()(score) for network in windows]
    velocity, tempo, pedal = (
        _mean([p.velocity[:, PLAYED] for p in predictions]),
        _mean([p.tempo[0] for p in predictions]),
        _mean([p.pedal for p in predictions]),
    )
    if windows:
        window_velocity, window_tempo, window_pedal = (_mean(parts) for parts in zip(*by_windows))
        velocity, tempo = (velocity + window_velocity) / 2, (tempo + window_tempo) / 2
        pedal[:, PEDAL_DOWN] = (pedal[:, PEDAL_DOWN] + window_pedal) / 2
    piece = _mean(pieces)
    return Expectation(
        velocity=velocity,
        velocity_mean=float(np.clip(piece[VELOCITY_MEAN], 1, 127)),
        velocity_spread=float(np.exp(np.clip(piece[VELOCITY_SPREAD], 0, 4))),
        tempo=tempo,
        tempo_spread=float(np.exp(np.clip(piece[TEMPO_SPREAD], -6, 0))),
        pedal=pedal,
    )


def _build_networks(config, sizes):
    """Return the recurrent networks and the window networks of a config, before their weights are read."""
    networks = [PerformerNetwork(sizes).eval() for _ in range(config.n_members)]
    return networks, [WindowNetwork(config.window_width).eval() for _ in range(config.n_windows)]


def _name_networks(networks, windows):
    """Return networks by the prefixes of their tensors in the file of weights."""
    named = {str(i): network for i, network in enumerate(networks)}
    return named | {f"windows.{i}": network for i, network in enumerate(windows)}


def _tensors(named):
    """Return the tensors of networks by their names in the file of weights."""
    return {f"{prefix}.{name}": t for prefix, network in named.items() for name, t in network.state_dict().items()}


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
