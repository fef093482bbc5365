"""Train a performer on performed pieces."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from clara.checkpoints.weights import read_weights
from clara.errors import BadSetting, NoData
from clara.files import make_folder, write_atomically
from clara.performing.beats import BEAT_FEATURES
from clara.performing.figures import correlation, played_notes, tempo_residual
from clara.performing.network import NetworkSizes, PerformerNetwork, Prediction, ScoreBatch
from clara.performing.note_features import NOTE_FEATURES
from clara.performing.passages import PerformedPiece, TargetBatch, cut_passages, passage_batches
from clara.performing.pedalling import Pedalling, fit_pedalling
from clara.performing.performer import Expectation, Performer, expect
from clara.performing.settings import PerformerTraining
from clara.performing.slot_features import SLOT_FEATURES
from clara.performing.touch import Touch, fit_touch
from clara.performing.window_network import WindowRows, train_window_network

MAX_TRANSPOSITION = 6  # semitones, in training
WARM_UP = 0.1  # of all steps, in which the learning rate rises
BEAT_PITCHES = [BEAT_FEATURES.index(name) for name in ("mean_pitch", "top_pitch", "bottom_pitch")]
NOTE_PITCH = NOTE_FEATURES.index("pitch")
LOSSES = ("velocity", "tempo", "pedal", "piece")
STATE, SETTINGS = "state.safetensors", "state.json"


def train_performer(
    train: Sequence[PerformedPiece],
    valid: Sequence[PerformedPiece],
    settings: PerformerTraining | None = None,
    log: Callable[[str], None] = print,
    state_folder: str | Path | None = None,
    recurrent: Performer | None = None,
) -> Performer:
    """Train networks, keep recurrent ones as they were after their best epoch, and fit how renderings depart from them.

    Parameters
    ----------
    train, valid : sequences of PerformedPiece
    settings : PerformerTraining, optional
    log : function(str)
        Gets a line after each epoch.
    state_folder : str or Path, optional
        Folder for the state after each epoch. An interrupted training resumes from there, with the same result.
    recurrent : Performer, optional
        Performer whose recurrent networks are kept as they are; without one, new ones are trained.

    Raises
    ------
    NoData
        If either set is empty.
    BadSetting
        If the state is that of a training with other settings.
    """
    settings = settings or PerformerTraining()
    n_played = sum(piece.performance.has_tempo_curve for piece in train)
    if not n_played or not valid:
        raise NoData(f"{n_played} played pieces to train on and {len(valid)} to validate with; a performer needs both")
    members: list[MemberTraining] = []
    start = time.perf_counter()
    for i in range(settings.n_members if recurrent is None else 0):
        folder = make_folder(Path(state_folder) / f"member-{i}") if state_folder is not None else None
        member = MemberTraining(train, valid, settings, settings.seed + i, folder)
        while member.epoch < settings.epochs:
            log(f"network {i + 1}, {member.train_epoch()}")
        members.append(member)
    networks = [member.best_network() for member in members] if recurrent is None else recurrent.networks
    rows = WindowRows([piece for piece in train if piece.performance.has_tempo_curve])
    windows = []
    for i in range(settings.windows.n_members):
        begin = time.perf_counter()
        windows.append(train_window_network(rows, settings.windows, settings.seed + i))
        log(f"window network {i + 1}: {time.perf_counter() - begin:.0f} s")
    history = [{"network": i + 1, **row} for i, member in enumerate(members) for row in member.history]
    training = {
        "settings": asdict(settings),
        "history": history,
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "pieces": len(train),
        "played": n_played,
        "beats": sum(len(piece.score.beats) for piece in train),
        "notes": sum(len(piece.notes) for piece in train),
    }
    if recurrent is not None:
        earlier = recurrent.info.get("training", {})
        training["recurrent"] = earlier.get("recurrent", earlier)
    return fit_renderings(Performer(networks, windows, info={"training": training}), valid)


def fit_renderings(performer: Performer, valid: Sequence[PerformedPiece]) -> Performer:
    """Return a performer that departs from its networks' expectations as much as held-out pieces do."""
    touch, pedalling = fit_departures(valid, [performer.expect(piece.score) for piece in valid])
    return replace(performer, touch=touch, pedalling=pedalling)


def fit_departures(pieces: Sequence[PerformedPiece], expected: Sequence[Expectation]) -> tuple[Touch, Pedalling]:
    """Fit how held-out pieces depart from what was expected of them."""
    touch = fit_touch(
        [played_notes(piece, e) for piece, e in zip(pieces, expected)],
        [tempo_residual(piece, e) for piece, e in zip(pieces, expected)],
    )
    with_pedal = [(piece.performance, e.pedal) for piece, e in zip(pieces, expected) if piece.performance.has_pedal]
    performances = [performance for performance, _ in with_pedal]
    pedals = [performance.pedal_quarters for performance in performances]
    return touch, fit_pedalling(performances, pedals, [logits for _, logits in with_pedal])


class MemberTraining:
    """The training of one network, epoch by epoch.

    Parameters
    ----------
    train, valid : sequences of PerformedPiece
    settings : PerformerTraining
    seed : int
    folder : Path, optional
        For the state after each epoch.
    """

    def __init__(self, train, valid, settings: PerformerTraining, seed: int, folder: Path | None):
        self.train, self.valid, self.settings, self.seed, self.folder = train, valid, settings, seed, folder
        torch.manual_seed(seed)
        sizes = NetworkSizes(
            len(BEAT_FEATURES),
            len(NOTE_FEATURES),
            len(SLOT_FEATURES),
            settings.note_width,
            settings.n_units,
            settings.n_layers,
            settings.hidden,
            settings.kernel,
            settings.n_blocks,
            settings.slot_width,
        )
        self.network = PerformerNetwork(sizes, settings.dropout)
        for name in ("beat", "note", "slot"):
            self.network.fit_scales(name, [getattr(piece.score, name) for piece in train])
        played = [piece for piece in train if piece.performance.has_tempo_curve]
        self.network.fit_scales("piece", [piece.piece_target()[None] for piece in played])
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.best_score = -math.inf
        if folder is not None and (folder / SETTINGS).exists():
            self._load_state(folder)

    def train_epoch(self) -> str:
        """Train on all pieces once, and return a line about it."""
        start = time.perf_counter()
        torch.manual_seed(self.seed * 100_003 + self.epoch)
        rng = np.random.default_rng([self.seed, self.epoch])
        passages = cut_passages(self.train, self.settings.passage_beats, rng)
        batches = list(passage_batches(passages, self.settings.batch_passages, rng))
        total = np.zeros(len(LOSSES))
        self.network.train()
        for i, (score, target) in enumerate(batches):
            done = (self.epoch + i / len(batches)) / self.settings.epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.lr * learning_rate(done)
            losses = self._losses(self.network(transpose(score, rng)), target)
            weights = (1.0, self.settings.tempo_weight, self.settings.pedal_weight, self.settings.piece_weight)
            loss = torch.stack([weight * losses[name] for weight, name in zip(weights, LOSSES)]).sum()
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
            self.optimizer.step()
            total += [float(losses[name].detach()) for name in LOSSES]
        self.epoch += 1
        row = {"epoch": self.epoch, **{name: round(x, 4) for name, x in zip(LOSSES, (total / len(batches)).tolist())}}
        row |= self._validate()
        self.history.append(row)
        if self.folder is not None:
            self._save_state(self.folder)
        numbers = ", ".join(f"{name} {value:.3f}" for name, value in row.items() if name != "epoch")
        return f"epoch {self.epoch}: {numbers}, {time.perf_counter() - start:.0f} s"

    def best_network(self) -> PerformerNetwork:
        """Return the network as it was after the best epoch."""
        network = PerformerNetwork(self.network.sizes).eval()
        network.load_state_dict(self.best)
        return network

    def _losses(self, prediction: Prediction, target: TargetBatch) -> dict[str, Tensor]:
        """Return the loss of each prediction."""
        n, n_played = len(target.piece), target.piece_weight.sum().clamp(min=1)
        by_slot = F.binary_cross_entropy_with_logits(prediction.pedal, target.pedal, reduction="none").sum(1)
        velocity = prediction.velocity.gather(1, target.velocity_kind[:, None])[:, 0]
        by_piece = ((prediction.piece - self.network.standardize("piece", target.piece)) ** 2).mean(1)
        return {
            "velocity": (target.velocity_weight * (velocity - target.velocity) ** 2).sum() / n,
            "tempo": (target.tempo_weight * (prediction.tempo - target.tempo) ** 2).sum() / n_played,
            "pedal": (target.pedal_weight * by_slot).sum() / target.pedal_weight.sum().clamp(min=1),
            "piece": (target.piece_weight * by_piece).sum() / n_played,
        }

    def _validate(self):
        """Measure the network on held-out pieces, and keep its weights if they are the best."""
        velocity, tempo = [], []
        for piece in self.valid:
            expected = expect([self.network], piece.score)
            velocity.append(correlation(piece.performance.velocity, expected.velocity))
            tempo.append(correlation(piece.performance.log_tempo, expected.tempo))
        row = {"velocity_r": round(float(np.mean(velocity)), 4), "tempo_r": round(float(np.mean(tempo)), 4)}
        score = row["velocity_r"] + row["tempo_r"]
        if score > self.best_score:
            self.best_score = score
            self.best = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        return row

    def _save_state(self, folder):
        """Write all that the next epoch needs."""
        moments = self.optimizer.state_dict()["state"]
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors |= {f"best.{name}": t for name, t in self.best.items()}
        tensors |= {f"moment.{i}.{name}": t.float() for i, state in moments.items() for name, t in state.items()}
        write_atomically(folder / STATE, save({name: t.contiguous() for name, t in tensors.items()}))
        state = {
            "settings": asdict(self.settings),
            "pieces": [piece.name for piece in (*self.train, *self.valid)],
            "epoch": self.epoch,
            "best_score": self.best_score,
            "history": self.history,
        }
        write_atomically(folder / SETTINGS, json.dumps(state))

    def _load_state(self, folder):
        """Go on from the state after the last epoch."""
        state = json.loads((folder / SETTINGS).read_text())
        pieces = [piece.name for piece in (*self.train, *self.valid)]
        if state["settings"] != asdict(self.settings) or state["pieces"] != pieces:
            raise BadSetting(f"{folder}: a training with other settings or pieces began here; choose another --out")
        tensors = read_weights(folder / STATE)
        self.network.load_state_dict(_below(tensors, "network."))
        self.best = _below(tensors, "best.")
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(tensors, "moment.").items():
            i, key = name.split(".")
            moments.setdefault(int(i), {})[key] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.epoch, self.best_score, self.history = state["epoch"], state["best_score"], state["history"]


def _below(tensors, prefix):
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def transpose(score: ScoreBatch, rng: np.random.Generator) -> ScoreBatch:
    """Return the features of passages moved by a random interval; the features of the arrays change in place."""
    semitones = int(rng.integers(-MAX_TRANSPOSITION, MAX_TRANSPOSITION + 1))
    score.beat[..., BEAT_PITCHES] += semitones / 12
    score.note[:, NOTE_PITCH] += semitones / 24
    return score


def learning_rate(done: float) -> float:
    """Return the learning rate after a share of all steps: it rises, then falls like a cosine."""
    if done < WARM_UP:
        return (done + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))
