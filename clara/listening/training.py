"""Train a network that hears beats, on files whose ticks name them.

Files with tempo curves are heard as they are played, a little faster or slower. Scores get a tempo and a curve at
random. All get jitter, spread chords and another key, drawn anew in each pass.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from clara.listening.clusters import HeardNotes, find_clusters
from clara.listening.features import N_FEATURES, describe_clusters
from clara.listening.network import (
    N_PERIODS,
    PERIODS_PER_OCTAVE,
    SHORTEST_PERIOD_SECONDS,
    BeatNetwork,
)
from clara.listening.truth import SIMPLE_STEPS, STEPS_PER_QUARTER, WrittenNotes, places_in_beats

IGNORED = -100
SEQUENCE, BATCH = 160, 64
MAX_JITTER_SECONDS, MAX_CHORD_SPREAD_SECONDS = 0.025, 0.012  # standard deviations
SCORE_QPM, SCORE_RATE = 92.0, 5.0  # typical tempo, and clusters in a second
TEMPO_CARRY = 0.8
N_LOGS = 8  # lines of a run


@dataclass(frozen=True)
class TrainingPiece:
    """A piece to learn from.

    Attributes
    ----------
    written : WrittenNotes
    is_played : bool
        Its tempo map is a player's.
    """

    written: WrittenNotes
    is_played: bool


@dataclass(frozen=True, eq=False)
class Example:
    """Features of clusters and what is true of them; `IGNORED` where nothing is known.

    Attributes
    ----------
    features : float32 array (n, N_FEATURES)
    place, downbeat, period, bar : int64 arrays (n,)
    """

    features: np.ndarray
    place: np.ndarray
    downbeat: np.ndarray
    period: np.ndarray
    bar: np.ndarray


def hear(piece: TrainingPiece, rng: np.random.Generator) -> tuple[HeardNotes, np.ndarray, np.ndarray]:
    """Return the notes of a piece as they are heard, the place of each in quarters, and its beats in seconds."""
    written = piece.written
    if piece.is_played:
        scale = 2 ** rng.uniform(-0.35, 0.35)
        beat_seconds, seconds = written.beat_seconds * scale, written.seconds * scale
        end_seconds = written.end_seconds * scale
    else:
        beat_seconds = _draw_tempo_curve(written, rng)
        seconds = _interpolate(written.quarters, written.beat_quarters, beat_seconds)
        end_seconds = _interpolate(written.end_quarters, written.beat_quarters, beat_seconds)
    if rng.random() < 0.7:
        places, of_note = np.unique(written.quarters, return_inverse=True)
        jitter = rng.normal(0, rng.uniform(0, MAX_JITTER_SECONDS), len(places))[of_note]
        jitter = jitter + rng.normal(0, rng.uniform(0, MAX_CHORD_SPREAD_SECONDS), len(seconds))
        seconds, end_seconds = seconds + jitter, end_seconds + jitter
    order = np.lexsort((written.pitch, seconds))
    has_dynamics = rng.random() < 0.8
    velocity = written.velocity if has_dynamics else np.full(len(order), 64)
    pitch = np.clip(written.pitch + rng.integers(-5, 7), 0, 127)
    columns = (seconds, np.maximum(end_seconds, seconds), pitch, velocity)
    return HeardNotes(*(column[order] for column in columns)), written.quarters[order], beat_seconds


def _draw_tempo_curve(written, rng):
    """Return when beats begin, at a tempo that is plausible for the notes and changes like a player's."""
    n_places = len(np.unique(written.quarters))
    quarters = written.quarters[-1] - written.quarters[0] + 1
    by_rate = 60 * SCORE_RATE * quarters / n_places
    qpm = math.sqrt(SCORE_QPM * by_rate) * 2 ** rng.normal(0, 0.4)
    n = len(written.beat_quarters)
    spread = rng.uniform(0, 0.12)
    news = rng.normal(0, spread * math.sqrt(1 - TEMPO_CARRY**2), n)
    curve = np.zeros(n)
    value = 0.0
    for i, new in enumerate(news.tolist()):
        value = TEMPO_CARRY * value + new
        curve[i] = value
    seconds = written.beat_length * 60 / qpm * np.exp(-curve)
    return np.append(0, np.cumsum(seconds)[:-1])


def _interpolate(quarters, beat_quarters, beat_seconds):
    """Return when places sound; places after the last beat go on at its tempo."""
    if len(beat_quarters) < 2:
        return quarters * 0.5
    slope = (beat_seconds[-1] - beat_seconds[-2]) / (beat_quarters[-1] - beat_quarters[-2])
    after = np.maximum(quarters - beat_quarters[-1], 0)
    before = np.minimum(quarters - beat_quarters[0], 0)
    return np.interp(quarters, beat_quarters, beat_seconds) + (after + before) * slope


def make_example(piece: TrainingPiece, rng: np.random.Generator) -> Example:
    """Return features and truth of a piece, heard in one of many ways."""
    notes, quarters, beat_seconds = hear(piece, rng)
    clusters = find_clusters(notes)
    n_notes = np.bincount(clusters.cluster_of_note)
    place = np.bincount(clusters.cluster_of_note, quarters) / n_notes
    written = piece.written
    beat, step = places_in_beats(written, place)
    is_next = step >= np.where(written.is_compound[beat], 18, SIMPLE_STEPS)
    beat, step = np.where(is_next, np.minimum(beat + 1, len(beat_seconds) - 1), beat), np.where(is_next, 0, step)
    is_compound = written.is_compound[beat]
    period = np.diff(beat_seconds, append=2 * beat_seconds[-1] - beat_seconds[-2])
    period = np.log2(np.maximum(period, 0.01) / SHORTEST_PERIOD_SECONDS) * PERIODS_PER_OCTAVE
    period = np.clip(np.floor(period), 0, N_PERIODS - 1).astype(np.int64)[beat]
    whole = np.abs(place * STEPS_PER_QUARTER - np.rint(place * STEPS_PER_QUARTER)) < 0.3
    return Example(
        describe_clusters(notes, clusters),
        np.where(whole, np.where(is_compound, SIMPLE_STEPS, 0) + step, IGNORED),
        (written.is_downbeat[beat] & (step == 0)).astype(np.int64),
        period,
        written.bar_beats[beat],
    )


def draw_batches(pieces: Sequence[TrainingPiece], rng: np.random.Generator, played_weight: int = 3):
    """Yield batches of one pass: features and the four targets as tensors of `SEQUENCE` clusters."""
    order = rng.permutation([i for i, p in enumerate(pieces) for _ in range(played_weight if p.is_played else 1)])
    rows: list[tuple] = []
    for number, i in enumerate(order.tolist(), 1):
        example = make_example(pieces[i], rng)
        n = len(example.features)
        for begin in range(int(rng.integers(-SEQUENCE // 2, 1)), n, SEQUENCE):
            cut = slice(max(begin, 0), begin + SEQUENCE)
            if len(example.place[cut]) >= SEQUENCE // 8:
                rows.append(tuple(column[cut] for column in vars(example).values()))
        if len(rows) >= 4 * BATCH or number == len(order):
            chosen = rng.permutation(len(rows))
            for k in range(0, len(rows), BATCH):
                yield _stack([rows[j] for j in chosen[k : k + BATCH]])
            rows = []


def _stack(rows):
    """Return rows of at most `SEQUENCE` clusters as tensors; what is missing is ignored."""
    features = np.zeros((len(rows), SEQUENCE, N_FEATURES), dtype=np.float32)
    targets = np.full((4, len(rows), SEQUENCE), IGNORED, dtype=np.int64)
    for i, (row, *columns) in enumerate(rows):
        features[i, : len(row)] = row
        for target, column in zip(targets, columns):
            target[i, : len(row)] = column
    return torch.from_numpy(features), *map(torch.from_numpy, targets)


def losses(network: BeatNetwork, batch) -> list[torch.Tensor]:
    """Return the mean negative log-likelihoods of place, downbeat, period and bar."""
    features, place, downbeat, period, bar = batch
    logits = network(features)
    known = downbeat != IGNORED
    return [
        nn.functional.cross_entropy(logits[0].flatten(0, 1), place.flatten(), ignore_index=IGNORED),
        nn.functional.binary_cross_entropy_with_logits(logits[1][known], downbeat[known].float()),
        nn.functional.cross_entropy(logits[2].flatten(0, 1), period.flatten(), ignore_index=IGNORED),
        nn.functional.cross_entropy(logits[3].flatten(0, 1), bar.flatten(), ignore_index=IGNORED),
    ]


def train_network(
    pieces: Sequence[TrainingPiece],
    valid: Sequence[TrainingPiece],
    *,
    n_batches: int,
    width: int = 64,
    initial: BeatNetwork | None = None,
    lr: float = 4e-3,
    seed: int = 0,
    log: Callable[[str], None] = print,
    keep: Callable[[BeatNetwork], None] = lambda network: None,
) -> tuple[BeatNetwork, list[float]]:
    """Train a network with one cycle of the learning rate; return it and its losses on valid pieces.

    Parameters
    ----------
    pieces, valid : sequences of TrainingPiece
    n_batches : int
        Number of batches of `BATCH` times `SEQUENCE` clusters.
    width : int
        Of a new network.
    initial : BeatNetwork, optional
        A network to train further.
    lr : float
        Highest learning rate.
    seed : int
    log : function(str)
    keep : function(BeatNetwork)
        Called now and then, so that an interrupted run leaves something.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    valid_batches = list(draw_batches(valid, np.random.default_rng(1), 1))
    network = initial or BeatNetwork(width)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=1e-4)
    done = 0
    while done < n_batches:
        for batch in draw_batches(pieces, rng):
            if done == n_batches:
                break
            share = done / n_batches
            factor = min(1.0, share / 0.05 + 0.02) if share < 0.05 else 0.5 * (1 + math.cos(math.pi * share))
            for group in optimizer.param_groups:
                group["lr"] = lr * max(factor, 0.01)
            network.train()
            optimizer.zero_grad()
            parts = losses(network, batch)
            (parts[0] + parts[1] + 0.5 * parts[2] + 0.3 * parts[3]).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            done += 1
            if done * N_LOGS // n_batches > (done - 1) * N_LOGS // n_batches:
                log(f"{done} batches, valid {valid_losses(network, valid_batches)}")
                keep(network)
    return network.eval(), valid_losses(network, valid_batches)


def valid_losses(network: BeatNetwork, batches) -> list[float]:
    """Return the losses on batches, and the share of right places."""
    network.eval()
    with torch.no_grad():
        means = torch.stack([torch.stack(losses(network, batch)) for batch in batches]).mean(0).tolist()
        right = [
            (network(batch[0])[0].argmax(-1) == batch[1])[batch[1] != IGNORED].float().mean().item()
            for batch in batches
        ]
    return [round(value, 4) for value in (*means, float(np.mean(right)))]
