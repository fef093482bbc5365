"""How a player departs from what is expected: a small model of residuals, fitted to held-out pieces.

A residual is the difference between a velocity and its expectation, in standard deviations of the piece. Residuals of
neighbours are alike, so four of them predict the next one: the mean of the lower notes of its chord, that of the
nearest note of the onset before, and two running means. The rest is a mixture of a narrow and a wide logistic
distribution, rounded to whole velocities. The residual of a beat's log tempo depends on that of the beat before.
"""

import math
from bisect import bisect_left
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from clara.music.notes import NoteSequence
from clara.records import Record

FAST_QUARTERS, SLOW_QUARTERS = 1.0, 8.0  # in which the weight of a running mean's past falls to 1/e
N_CARRY = 4
MAX_RESIDUAL = 4.0
HIGHEST_VELOCITY = 127
FIT_STEPS = 60
MIN_PROBABILITY = 1e-9

_Scale = Annotated[float, Field(gt=0, le=10)]
_Carry = Annotated[float, Field(ge=-4, le=4)]


class Touch(Record):
    """A model of residuals.

    Attributes
    ----------
    carry : list of 4 floats
        Weights of the four neighbours in a velocity's residual.
    narrow, wide : float
        Scales of the two logistic distributions, in standard deviations of the piece's velocities.
    wide_share : float
        Probability of the wide one.
    tempo_carry : float
        Weight of the residual of the beat before.
    tempo_scale : float
        Standard deviation of what is new in a residual of the log tempo, in those of the piece.
    """

    carry: Annotated[list[_Carry], Field(min_length=N_CARRY, max_length=N_CARRY)] = [0.3, 0.3, 0.1, 0.2]
    narrow: _Scale = 0.2
    wide: _Scale = 0.5
    wide_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    tempo_carry: Annotated[float, Field(ge=0, lt=1)] = 0.6
    tempo_scale: _Scale = 0.5

    def sample_velocity(self, notes: NoteSequence, rng: np.random.Generator) -> np.ndarray:
        """Return a residual for each note, float64 (n,)."""
        order = playing_order(notes)
        n = len(order)
        scale = np.where(rng.random(n) < self.wide_share, self.wide, self.narrow)
        chance = np.clip(rng.random(n), 1e-4, 1 - 1e-4)
        news = (scale * np.log(chance / (1 - chance))).tolist()
        residual = np.zeros(n)
        neighbours = Neighbours()
        quarters, pitches = (notes.start[order] / notes.steps_per_quarter).tolist(), notes.pitch[order].tolist()
        for i, place, pitch, new in zip(order.tolist(), quarters, pitches, news):
            value = sum(map(float.__mul__, self.carry, neighbours.look(place, pitch))) + new
            value = min(max(value, -MAX_RESIDUAL), MAX_RESIDUAL)
            neighbours.add(pitch, value)
            residual[i] = value
        return residual

    def sample_tempo(self, n_beats: int, rng: np.random.Generator) -> np.ndarray:
        """Return a residual for each beat, float64 (n_beats,)."""
        news = (self.tempo_scale * rng.standard_normal(n_beats)).tolist()
        residual = []
        value = news[0] / math.sqrt(1 - self.tempo_carry**2)
        for new in news:
            value = self.tempo_carry * value + new
            residual.append(min(max(value, -MAX_RESIDUAL), MAX_RESIDUAL))
        return np.array(residual)

    def velocity_nats(self, notes: "PlayedNotes") -> np.ndarray:
        """Return the negative log-probability of each velocity, given those before it, float64 (n,)."""
        parameters = torch.tensor([*self.carry, math.log(self.narrow), math.log(self.wide), _logit(self.wide_share)])
        return _nats(parameters.double(), *notes.tensors()).numpy()


class PlayedNotes:
    """Notes with their velocities, what is expected of them, and the residuals of their neighbours.

    Parameters
    ----------
    notes : NoteSequence
    velocity : int64 array (n,)
    expected : float64 array (n,)
        Expected velocity of each note.
    spread : float
        Standard deviation of the piece's velocities.
    """

    def __init__(self, notes: NoteSequence, velocity: np.ndarray, expected: np.ndarray, spread: float):
        order = playing_order(notes)
        self.velocity, self.expected = velocity[order].astype(np.float64), expected[order].astype(np.float64)
        self.spread = np.full(len(order), float(spread))
        residuals = np.clip((self.velocity - self.expected) / spread, -MAX_RESIDUAL, MAX_RESIDUAL).tolist()
        self.neighbours = np.zeros((len(order), N_CARRY))
        neighbours = Neighbours()
        quarters, pitches = (notes.start[order] / notes.steps_per_quarter).tolist(), notes.pitch[order].tolist()
        for i, (place, pitch, residual) in enumerate(zip(quarters, pitches, residuals)):
            self.neighbours[i] = neighbours.look(place, pitch)
            neighbours.add(pitch, residual)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return velocities, expectations, spreads and the residuals of neighbours as tensors."""
        columns = (self.velocity, self.expected, self.spread, self.neighbours)
        velocity, expected, spread, neighbours = map(torch.from_numpy, columns)
        return velocity, expected, spread, neighbours


class Neighbours:
    """The residuals around the next note of a piece; notes come by onset, and by pitch within one."""

    def __init__(self):
        self.place = 0.0  # of the current onset, in quarters
        self.pitches: list[int] = []  # of the current onset, with their residuals
        self.residuals: list[float] = []
        self.total = 0.0
        self.last_pitches: list[int] = []
        self.last_residuals: list[float] = []
        self.fast = self.slow = 0.0

    def look(self, place: float, pitch: int) -> tuple[float, float, float, float]:
        """Return the four residuals that predict the one of a note at a place in quarters."""
        if self.pitches and place > self.place:
            self._end_onset(place)
        self.place = place
        in_chord = self.total / len(self.pitches) if self.pitches else 0.0
        return in_chord, self._nearest(pitch), self.fast, self.slow

    def add(self, pitch: int, residual: float) -> None:
        """Take in the residual of the note that `look` was asked about."""
        self.pitches.append(pitch)
        self.residuals.append(residual)
        self.total += residual

    def _end_onset(self, place):
        mean = self.total / len(self.pitches)
        fast = math.exp((self.place - place) / FAST_QUARTERS)
        slow = math.exp((self.place - place) / SLOW_QUARTERS)
        self.fast = fast * self.fast + (1 - fast) * mean
        self.slow = slow * self.slow + (1 - slow) * mean
        self.last_pitches, self.last_residuals = self.pitches, self.residuals
        self.pitches, self.residuals, self.total = [], [], 0.0

    def _nearest(self, pitch):
        """Return the residual of the note of the onset before with the nearest pitch."""
        if not self.last_pitches:
            return 0.0
        right = min(bisect_left(self.last_pitches, pitch), len(self.last_pitches) - 1)
        left = max(right - 1, 0)
        is_left = abs(self.last_pitches[left] - pitch) < abs(self.last_pitches[right] - pitch)
        return self.last_residuals[left if is_left else right]


def playing_order(notes: NoteSequence) -> np.ndarray:
    """Return the notes by onset and pitch, whatever their part, int64 (n,)."""
    return np.lexsort((notes.pitch, notes.start))


def fit_touch(pieces: list[PlayedNotes], tempo_residuals: list[np.ndarray]) -> Touch:
    """Fit a model of residuals to held-out pieces, each with equal weight.

    Parameters
    ----------
    pieces : list of n PlayedNotes
    tempo_residuals : list of n float64 arrays
        Of the beats of each piece.
    """
    columns = [torch.cat(parts) for parts in zip(*(piece.tensors() for piece in pieces))]
    weights = torch.cat([torch.full((len(piece.velocity),), 1 / len(piece.velocity)) for piece in pieces]).double()
    weights = weights / weights.sum()
    parameters = torch.tensor([0.3, 0.3, 0.1, 0.2, math.log(0.2), math.log(0.5), -1.0], dtype=torch.float64)
    parameters.requires_grad_()
    optimizer = torch.optim.LBFGS([parameters], max_iter=FIT_STEPS, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        cost = (weights * _nats(parameters, *columns)).sum() + 1e-3 * (parameters**2).sum()
        cost.backward()
        return cost

    optimizer.step(closure)
    *carry, narrow, wide, share = parameters.detach().tolist()
    before = np.concatenate([residual[:-1] for residual in tempo_residuals])
    after = np.concatenate([residual[1:] for residual in tempo_residuals])
    tempo_carry = float(np.clip((before @ after) / max(before @ before, 1e-9), 0, 0.95))
    news = after - tempo_carry * before
    tempo_scale = float(np.clip(news.std() if len(news) else 0.5, 0.01, 2))
    return Touch(
        carry=[round(min(max(weight, -4), 4), 4) for weight in carry],
        narrow=round(min(max(math.exp(narrow), 0.01), 10), 4),
        wide=round(min(max(math.exp(wide), 0.01), 10), 4),
        wide_share=round(1 / (1 + math.exp(-share)), 4),
        tempo_carry=round(tempo_carry, 4),
        tempo_scale=round(tempo_scale, 4),
    )


def _nats(parameters, velocity, expected, spread, neighbours):
    """Return the negative log-probability of velocities, tensor (n,)."""
    centre = expected + spread * (neighbours @ parameters[:N_CARRY]).clamp(-MAX_RESIDUAL, MAX_RESIDUAL)
    prob = MIN_PROBABILITY
    share = torch.sigmoid(parameters[-1])
    for log_scale, weight in ((parameters[N_CARRY], 1 - share), (parameters[N_CARRY + 1], share)):
        scale = spread * log_scale.exp()
        above = torch.where(
            velocity >= HIGHEST_VELOCITY, torch.ones_like(velocity), torch.sigmoid((velocity + 0.5 - centre) / scale)
        )
        below = torch.where(velocity <= 1, torch.zeros_like(velocity), torch.sigmoid((velocity - 0.5 - centre) / scale))
        prob = prob + weight * (above - below).clamp(min=0)
    return -torch.log(prob)


def _logit(share):
    """Return the logit of a share, which is kept away from 0 and 1."""
    share = min(max(share, 1e-4), 1 - 1e-4)
    return math.log(share / (1 - share))
