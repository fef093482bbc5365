"""The member that reads piano rolls with a CNN, trained from scratch.

Each time the training reads an excerpt it is in another key, and only a part of it is read, so that none is learned by
heart.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from clara.devices import choose_device
from clara.errors import BadSetting
from critic.members.base import ClassifierSettings, Member, to_device
from critic.members.memory import content_key
from critic.members.storage import NetConfig
from critic.nets.inputs import Text
from critic.nets.piano_roll import (
    N_KEYS,
    WIDTHS,
    PianoRollNet,
    pack_piano_roll,
    piano_roll,
    unpack_piano_rolls,
    window_columns,
)
from critic.training.settings import TrainSettings

MAX_SHIFT = 6  # semitones up or down that an excerpt is transposed by
MIN_SHARE = 0.5  # of an excerpt's quarters, that a part has at least


class PianoRollNetConfig(NetConfig):
    """The channels of the convolutions."""

    widths: Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=4, max_length=4)]


@dataclass(frozen=True, eq=False)
class RollPiece:
    """A piano roll, and what is known of it.

    Attributes
    ----------
    packed : uint8 array (n_steps, STEP_BYTES)
        From `pack_piano_roll`.
    keys : list of bytes
        The key of each column of the last layer that music after the end of the piece would not change; empty for a
        member without a memory.
    known : list of float32 tensors (n_keys, width)
        The first columns that the memory holds, from `PianoRollNet.transposed_columns`.
    """

    packed: np.ndarray
    keys: list[bytes]
    known: list[Tensor]


class PianoRollMember(Member):
    """A CNN on piano rolls.

    Its memory holds columns of the last layer by the part of the piano roll that they depend on.
    """

    type = "piano_roll"
    title = "a CNN on piano rolls"
    net_config = PianoRollNetConfig
    max_batch_size = 2**15  # steps
    net: PianoRollNet
    TRAINING = TrainSettings(epochs=8, lr=3e-3, bs=64, weight_decay=0.05, average_weights=True)

    def build_net(self) -> PianoRollNet:
        """Return the network with its weights, ready for inference."""
        net = self.load_head(self.new_net(self.settings, self.net_settings))
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        net.fuse()
        return net

    @classmethod
    def new_net(cls, settings: ClassifierSettings, net_settings: dict) -> PianoRollNet:
        """Return a network with random weights."""
        grid = settings.encoding.steps_per_quarter
        return PianoRollNet(len(settings.classes), grid, settings.window_quarters, **net_settings)

    def prepare(self, text: Text) -> RollPiece:
        """Return the piano roll of a piece, and what the memory knows of its columns."""
        packed = pack_piano_roll(text.notes, text.n_steps)
        if self.memory is None:
            return RollPiece(packed, [], [])
        keys = []
        for column in range(self.net.n_columns(len(packed))):
            first, end = self.net.column_steps(column)
            if end > len(packed):
                break  # what comes next will change this column and all later ones
            keys.append(content_key(packed[max(0, first) : end]))
        known = []
        for key in keys:
            columns = self.memory.get(key)
            if columns is None:
                break
            known.append(columns)
        return RollPiece(packed, keys, known)

    def size(self, piece: RollPiece) -> int:
        """Return the number of steps that are to be read."""
        return len(piece.packed) - self._first_step(self.net.first_column(len(piece.known)))

    def n_windows(self, piece: RollPiece) -> int:
        """Return the number of windows of a prepared piece."""
        return len(self.net.window_columns(len(piece.packed)))

    def logits(self, pieces: list[RollPiece]) -> Tensor:
        """Return the logits of each window of prepared pieces, (n_windows, n_classes)."""
        n_steps = [len(piece.packed) for piece in pieces]
        first = self.net.first_column(min(len(piece.known) for piece in pieces))
        rolls = unpack_piano_rolls([piece.packed[self._first_step(first) :] for piece in pieces])
        (rolls_on_device,) = to_device(self.net, [rolls])
        columns = self.net.transposed_columns(rolls_on_device, n_steps, first).cpu()
        if self.memory is not None:
            for piece, of_piece in zip(pieces, columns):
                for column in range(len(piece.known), len(piece.keys)):
                    self.memory.put(piece.keys[column], of_piece[:, column - first].clone())
        if first:
            known = torch.stack([torch.stack(piece.known[:first], 1) for piece in pieces])
            columns = torch.cat([known, columns], 2)
        (columns,) = to_device(self.net, [columns])
        return self.net.classify(columns, n_steps).mean(1)

    def _first_step(self, column):
        """Return the first step that the columns from this one on depend on."""
        return max(0, self.net.column_steps(column)[0])

    def describe(self) -> str:
        """Return a phrase for the model card."""
        widths = "/".join(map(str, self.net_settings["widths"]))
        return f"a CNN on piano rolls with {widths} channels, trained from scratch"

    @classmethod
    def train(
        cls,
        table,
        settings: ClassifierSettings,
        training: TrainSettings | None = None,
        *,
        start: Member | None = None,
        log=print,
        on_improvement=None,
    ) -> "PianoRollMember":
        """Train on excerpts and return the best epoch, calibrated.

        Parameters
        ----------
        table, settings, training, log, on_improvement
            As in `Member.train`.
        start : PianoRollMember, optional
            Its weights are the start.

        Raises
        ------
        BadSetting
            If `start` is another kind of member, or has another grid, other classes or other windows.
        """
        from critic.training.batches import ExcerptLoader  # fastai is slow to import and only training needs it
        from critic.training.learner import classifier_learner, head_only_tensors, train_best

        training = training or cls.TRAINING
        if start and not _can_continue(start, settings):
            raise BadSetting(
                "training can only continue from a piano_roll member of the same grid, classes and windows"
            )
        torch.manual_seed(training.seed)
        device = choose_device(training.device)[0]
        learn_from, valid = (
            PianoRollExcerpts(table[table["split"] == split], settings, device) for split in (training.split, "valid")
        )
        net_settings = {"widths": list(WIDTHS)}
        net = cls.new_net(settings, net_settings)
        if start:
            net.load_state_dict({name.removeprefix("head."): v for name, v in start.tensors.items()})
        net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        best = cls.best_model(settings, net_settings, valid.labels, log, on_improvement)
        learn = classifier_learner(
            net,
            ExcerptLoader(learn_from, training.bs, training.seed, device),
            ExcerptLoader(valid, training.bs, device=device),
            training,
        )
        return train_best(learn, training, best, head_only_tensors)


def _can_continue(start, settings):
    """Return whether a member's weights fit these settings."""
    own = start.settings
    same_grid = own.encoding.steps_per_quarter == settings.encoding.steps_per_quarter
    same_classes = own.classes == settings.classes
    return (
        start.type == PianoRollMember.type
        and same_grid
        and same_classes
        and own.window_quarters == settings.window_quarters
    )


class PianoRollExcerpts:
    """Excerpts as piano rolls, one bit for each key and step.

    Parameters
    ----------
    table : DataFrame
        Excerpts of one split.
    settings : ClassifierSettings
    device : torch.device
        Where the bits are kept.
    """

    lengths: np.ndarray | None = None  # excerpts are about equally long

    def __init__(self, table, settings: ClassifierSettings, device: str | torch.device = "cpu"):
        encoding = settings.encoding
        self.settings = settings
        self.labels = np.array([settings.classes.index(label) for label in table["label"]])
        self.n_steps = [sum(encoding.token_steps(tokens)) for tokens in table["tokens"]]
        bits = np.zeros((len(table), 2, N_KEYS, -(-max(self.n_steps) // 8)), dtype=np.uint8)
        progress = tqdm(table["tokens"], "drawing piano rolls", leave=False, disable=None, unit=" excerpts")
        for i, (tokens, steps) in enumerate(zip(progress, self.n_steps)):
            packed = np.packbits(piano_roll(encoding.decode(tokens)[0], steps), axis=2, bitorder="little")
            bits[i, :, :, : packed.shape[2]] = packed
        self.bits = torch.from_numpy(bits).to(device)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> tuple[Tensor, list[int], Tensor]:
        """Return piano rolls, their lengths in steps, and the label of each window.

        With a random generator each excerpt is transposed and cut to a part.
        """
        if rng is None:
            rolls, n_steps = self.rolls(rows)
        else:
            semitones = rng.integers(-MAX_SHIFT, MAX_SHIFT + 1, len(rows))
            rolls, n_steps = self.rolls(rows, semitones, self.random_parts(rows, rng))
        return rolls, n_steps, self.window_labels(rows, n_steps)

    def window_labels(self, rows: np.ndarray, n_steps: list[int]) -> Tensor:
        """Return the label of each window, int64 (n_windows,)."""
        grid, window_quarters = self.settings.encoding.steps_per_quarter, self.settings.window_quarters
        n_windows = [len(window_columns(steps, grid, window_quarters)) for steps in n_steps]
        return torch.from_numpy(np.repeat(self.labels[rows], n_windows))

    def rolls(
        self, rows: np.ndarray, semitones: np.ndarray | None = None, parts: np.ndarray | None = None
    ) -> tuple[Tensor, list[int]]:
        """Return excerpts as `collate_piano_rolls` does.

        Parameters
        ----------
        rows : int array (n,)
        semitones : int array (n,), optional
            Transposition of each.
        parts : int array (n, 2), optional
            First step and number of steps of the part that is returned.

        Returns
        -------
        rolls : float32 tensor (n, 2, N_KEYS, longest), channels last
        n_steps : list of int
        """
        n_steps = [self.n_steps[i] for i in rows] if parts is None else parts[:, 1].tolist()
        rolls = self._unpack(rows)
        if parts is not None:
            rolls = _cut(rolls, parts)
        rolls = rolls[..., : max(n_steps)].float()
        if semitones is not None:
            rolls = _transpose_each(rolls, semitones)
        return rolls.contiguous(memory_format=torch.channels_last), n_steps

    def _unpack(self, rows):
        """Return the bits of excerpts as bytes, (n, 2, N_KEYS, t)."""
        device = self.bits.device
        packed = self.bits[torch.as_tensor(rows, device=device)]
        return (packed[..., None] >> torch.arange(8, dtype=torch.uint8, device=device) & 1).flatten(3)

    def random_parts(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a part of each excerpt in whole quarters: first step and number of steps, int array (n, 2)."""
        grid = self.settings.encoding.steps_per_quarter
        quarters = np.array([self.n_steps[i] for i in rows]) // grid
        length = np.maximum(1, np.round(quarters * rng.uniform(MIN_SHARE, 1, len(rows)))).astype(np.int64)
        first = rng.integers(np.maximum(quarters - length, 0) + 1)
        return np.stack([first, length], 1) * grid


def _cut(rolls, parts):
    """Return the part of each roll, from its first step on; what is longer in the batch is silent."""
    first, length = torch.as_tensor(parts, device=rolls.device).T
    step = torch.arange(int(length.max()), device=rolls.device)
    inside = step < length[:, None]
    index = torch.where(inside, first[:, None] + step, 0)[:, None, None].expand(-1, *rolls.shape[1:3], -1)
    return rolls.gather(3, index) * inside[:, None, None]


def _transpose_each(rolls, semitones):
    """Move each roll up; notes that leave the keyboard are lost."""
    source = torch.arange(N_KEYS, device=rolls.device) - torch.as_tensor(semitones, device=rolls.device)[:, None]
    inside = (source >= 0) & (source < N_KEYS)
    index = source.clamp(0, N_KEYS - 1)[:, None, :, None].expand_as(rolls)
    return rolls.gather(2, index) * inside[:, None, :, None]
