"""Passages of performed pieces as batches for a network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clara.music.expression import Expression
from clara.music.notes import NoteSequence
from clara.performing.beats import find_beats
from clara.performing.network import MARKED, PLAYED, ScoreBatch
from clara.performing.score import Performance, ScoreFeatures, describe_score, measure_performance

MIN_VELOCITY_SPREAD = 1.0
MIN_TEMPO_SPREAD = 0.02  # of the log tempo
MAX_TEMPO_DEVIATIONS = 4.0


@dataclass(frozen=True, eq=False)
class PerformedPiece:
    """The score of a piece and how it is played.

    Attributes
    ----------
    name : str
    notes : NoteSequence
        At the median tempo of the performance.
    score : ScoreFeatures
    performance : Performance
    """

    name: str
    notes: NoteSequence
    score: ScoreFeatures
    performance: Performance

    @classmethod
    def from_expression(cls, name: str, notes: NoteSequence, expression: Expression) -> "PerformedPiece":
        """Describe a piece that is played with an expression; of its tempo the score shows the median."""
        performance = measure_performance(expression, find_beats(notes))
        notes = replace(notes, qpm=performance.median_qpm)
        return cls(name, notes, describe_score(notes), performance)

    def velocity_target(self) -> np.ndarray:
        """Return velocities in standard deviations from their mean, float64 (n_notes,)."""
        velocity = self.performance.velocity
        return (velocity - velocity.mean()) / max(velocity.std(), MIN_VELOCITY_SPREAD)

    def tempo_target(self) -> np.ndarray:
        """Return the log tempo in standard deviations from its median, float64 (n_beats,)."""
        log_tempo = self.performance.log_tempo
        deviations = log_tempo / max(log_tempo.std(), MIN_TEMPO_SPREAD)
        return np.clip(deviations, -MAX_TEMPO_DEVIATIONS, MAX_TEMPO_DEVIATIONS)

    def piece_target(self) -> np.ndarray:
        """Return mean and log spread of velocities and log spread of the log tempo, float64 (3,)."""
        velocity, log_tempo = self.performance.velocity, self.performance.log_tempo
        spreads = [max(velocity.std(), MIN_VELOCITY_SPREAD), max(log_tempo.std(), MIN_TEMPO_SPREAD)]
        return np.array([velocity.mean(), *np.log(spreads)])


@dataclass(frozen=True, eq=False)
class Passage:
    """Beats `begin` to `end` of a piece."""

    piece: PerformedPiece
    begin: int
    end: int


@dataclass(frozen=True, eq=False)
class TargetBatch:
    """How the passages of a `ScoreBatch` are played.

    Attributes
    ----------
    velocity, velocity_weight : tensors (n_notes,)
        Weights of a passage's notes add up to 1.
    velocity_kind : int64 tensor (n_notes,)
        `PLAYED` or `MARKED`.
    tempo, tempo_weight : tensors (n, n_beats)
    pedal : tensor (n_slots, 2)
        0 or 1: whether the pedal is down, and whether it is lifted.
    pedal_weight : tensor (n_slots,)
        0 in pieces without pedal.
    piece : tensor (n, N_PIECE)
    piece_weight : tensor (n,)
        0 if only dynamics are marked; then `tempo_weight` and `pedal_weight` are 0, too.
    """

    velocity: Tensor
    velocity_weight: Tensor
    velocity_kind: Tensor
    tempo: Tensor
    tempo_weight: Tensor
    pedal: Tensor
    pedal_weight: Tensor
    piece: Tensor
    piece_weight: Tensor


def cut_passages(pieces: Sequence[PerformedPiece], n_beats: int, rng: np.random.Generator) -> list[Passage]:
    """Cut pieces at random places into passages of up to one and a quarter times `n_beats` beats."""
    passages = []
    for piece in pieces:
        n = len(piece.score.beats)
        first = int(rng.integers(n_beats // 4, n_beats + 1))
        edges = [0, *range(first, max(1, n - n_beats // 4), n_beats), n]
        passages += [Passage(piece, begin, end) for begin, end in zip(edges, edges[1:])]
    return passages


def passage_batches(
    passages: Sequence[Passage], n_passages: int, rng: np.random.Generator
) -> Iterator[tuple[ScoreBatch, TargetBatch]]:
    """Yield all passages in random order, in batches of passages of about one length."""
    lengths = np.array([passage.end - passage.begin for passage in passages]) + rng.random(len(passages))
    order = np.argsort(lengths)
    groups = [order[first : first + n_passages] for first in range(0, len(order), n_passages)]
    for i in rng.permutation(len(groups)):
        group = [passages[j] for j in groups[i]]
        yield join_scores([(p.piece.score, p.begin, p.end) for p in group]), join_targets(group)


def join_scores(passages: Sequence[tuple[ScoreFeatures, int, int]]) -> ScoreBatch:
    """Return passages of scores, each with its first beat and the one after its last, as tensors."""
    room = max(end - begin for _, begin, end in passages)
    beat = np.zeros((len(passages), room, passages[0][0].beat.shape[1]), dtype=np.float32)
    columns: dict[str, list] = {name: [] for name in ("note", "slot", "beat_of_note", "beat_of_slot")}
    for i, (score, begin, end) in enumerate(passages):
        beat[i, : end - begin] = score.beat[begin:end]
        for name in ("note", "slot"):
            of_beat = getattr(score, f"beat_of_{name}")
            first, stop = np.searchsorted(of_beat, [begin, end])
            columns[name].append(getattr(score, name)[first:stop])
            columns[f"beat_of_{name}"].append(of_beat[first:stop] - begin + i * room)
    tensors = {name: torch.from_numpy(np.concatenate(parts)) for name, parts in columns.items()}
    n_beats = torch.tensor([end - begin for _, begin, end in passages])
    return ScoreBatch(torch.from_numpy(beat), n_beats, **tensors)


def join_targets(passages: Sequence[Passage]) -> TargetBatch:
    """Return how passages are played as tensors."""
    room = max(passage.end - passage.begin for passage in passages)
    tempo, tempo_weight = np.zeros((len(passages), room)), np.zeros((len(passages), room))
    columns: dict[str, list] = {
        name: [] for name in ("velocity", "velocity_weight", "velocity_kind", "pedal", "pedal_weight")
    }
    for i, passage in enumerate(passages):
        piece, begin, end = passage.piece, passage.begin, passage.end
        performance = piece.performance
        is_played = performance.has_tempo_curve
        tempo[i, : end - begin] = piece.tempo_target()[begin:end]
        tempo_weight[i, : end - begin] = is_played / (end - begin)
        first, stop = np.searchsorted(piece.score.beat_of_note, [begin, end])
        columns["velocity"].append(piece.velocity_target()[first:stop])
        columns["velocity_weight"].append(np.full(stop - first, 1 / max(1, stop - first)))
        columns["velocity_kind"].append(np.full(stop - first, PLAYED if is_played else MARKED))
        first, stop = np.searchsorted(piece.score.beat_of_slot, [begin, end])
        columns["pedal"].append(np.stack([performance.pedal[first:stop], performance.lift[first:stop]], axis=1))
        columns["pedal_weight"].append(np.full(stop - first, float(performance.has_pedal)))
    targets = {name: np.concatenate(parts) for name, parts in columns.items()} | {
        "tempo": tempo,
        "tempo_weight": tempo_weight,
        "piece": np.stack([passage.piece.piece_target() for passage in passages]),
        "piece_weight": np.array([passage.piece.performance.has_tempo_curve for passage in passages]),
    }
    kind = torch.from_numpy(targets.pop("velocity_kind"))
    return TargetBatch(
        velocity_kind=kind,
        **{name: torch.from_numpy(values.astype(np.float32)) for name, values in targets.items()},
    )
