"""A trained model on disk: a run folder with nothing pickled in it.

`model.safetensors` holds each weight once, in half precision. `vocab.txt` has one token per line. `config.json` has
the architecture, its sizes, the encoding, how it was trained and its figures. Loading checks that these agree, names
the two that do not, and never guesses.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, JsonValue
from safetensors.torch import save

from clara import encodings
from clara.checkpoints.shipped_models import find_model
from clara.checkpoints.weights import Shapes, check_shapes, read_shapes, read_weights
from clara.encodings.base import Encoding
from clara.encodings.notewise import Notewise
from clara.encodings.settings import EncodingSettings
from clara.encodings.vocab import CONTROL_TOKENS, Vocab
from clara.errors import BadSetting, CheckpointMismatch
from clara.files import make_folder, write_atomically
from clara.form.context import ContextLayout, ContextReader
from clara.models import InferenceModel, get_architecture
from clara.records import Name, Record, read_record
from clara.repeats.finder import TranspositionTable
from clara.repeats.model import RepeatModel, Repeats

WEIGHTS, VOCAB, CONFIG = "model.safetensors", "vocab.txt", "config.json"
FORMAT = 1
INFO_KEYS = ("training", "versions", "figures", "repeats")
MAX_LAYERS = 64

Info = dict[str, JsonValue]
Sizes = dict[Name, Annotated[int, Field(ge=1)] | Annotated[float, Field(ge=0, lt=1)]]  # and dropout probabilities


class RepeatsConfig(Record):
    """The part of config.json that `repeats_hash` reads."""

    repeats: Info | None = None


class SizesConfig(Record):
    """The part of config.json that `follows_plans` reads."""

    sizes: Sizes


class ModelConfig(RepeatsConfig, SizesConfig):
    """The content of config.json, but for its figures; see `Checkpoint`."""

    format: int
    arch: Name
    encoding: EncodingSettings
    vocab_sz: int
    training: Info | None = None
    versions: Info | None = None
    figures: Info | None = None

    def info(self) -> dict[str, Any]:
        """Return what says how the model was made, and its repeat model."""
        return {key: getattr(self, key) for key in INFO_KEYS if getattr(self, key) is not None}


@dataclass
class Checkpoint:
    """A model and everything needed to use it.

    Attributes
    ----------
    arch : str
        Name of the architecture, see `clara.models.ARCHITECTURES`.
    sizes : dict
        Values for the architecture's `DEFAULTS`.
    encoding : Encoding
    vocab : Vocab
    tensors : dict of str to Tensor
        Weights by their stored names, on the CPU.
    info : dict
        `training`, `versions`, `figures` and, if a repeat model was fitted, `repeats`, as in config.json.

    Examples
    --------
    >>> checkpoint = Checkpoint.load("notewise")
    >>> checkpoint.arch, len(checkpoint.vocab)
    ('awd_lstm', 203)
    """

    arch: str
    sizes: dict[str, Any]
    encoding: Encoding
    vocab: Vocab
    tensors: dict[str, torch.Tensor]
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return sum(t.numel() for t in self.tensors.values())

    def inference_model(self) -> InferenceModel:
        """Return the network to score and compose with, in float32 on the CPU."""
        return get_architecture(self.arch).InferenceModel(self.tensors)

    def repeat_model(self) -> RepeatModel | None:
        """Return the repeat model, or None if none was fitted; a model that follows plans needs none."""
        has_none = "repeats" not in self.info or self.sizes.get("context_rows")
        return None if has_none else RepeatModel.from_dict(self.info["repeats"])

    def repeats(self) -> Repeats | None:
        """Return the repeat model with the transposition table of the vocabulary, or None if none was fitted."""
        model = self.repeat_model()
        if model is None:
            return None
        with_voices = model.voice_calibration is not None
        return Repeats(model, TranspositionTable(self.vocab, self.encoding, with_voices))

    def context_reader(self) -> ContextReader | None:
        """Return what reads the contexts of texts, or None if the model follows no plans."""
        return ContextReader(self.vocab, self.encoding) if self.sizes.get("context_rows") else None

    def save(self, folder: str | Path, precision: torch.dtype = torch.float16) -> None:
        """Write the folder's three files, each atomically.

        Raises
        ------
        CannotWrite
            If the folder cannot be written.
        """
        path = make_folder(folder)
        stored = {name: tensor.to(precision).contiguous() for name, tensor in self.tensors.items()}
        config = {
            "format": FORMAT,
            "arch": self.arch,
            "sizes": self.sizes,
            "encoding": self.encoding.settings,
            "vocab_sz": len(self.vocab),
            "n_parameters": self.n_parameters,
            "precision": str(precision).removeprefix("torch."),
            **self.info,
        }
        self.vocab.save(path / VOCAB)
        write_atomically(path / WEIGHTS, save(stored))
        write_atomically(path / CONFIG, json.dumps(config, indent=1) + "\n")

    @classmethod
    def load(cls, model: str | Path) -> "Checkpoint":
        """Read a model and check that its parts agree.

        Parameters
        ----------
        model : str or Path
            A run folder or the name of a shipped model.

        Raises
        ------
        MissingModel
            If there is no such folder and no shipped model of this name.
        CheckpointMismatch
            If a file is missing or broken, or two files do not agree.
        """
        folder = find_model(model)
        _require_files(folder, (WEIGHTS, VOCAB, CONFIG))
        config = read_record(folder / CONFIG, ModelConfig)
        if config.format != FORMAT:
            raise CheckpointMismatch(f"{folder / CONFIG}: format {config.format}, this version of Clara reads {FORMAT}")
        vocab = _read_vocab(folder)
        shapes = read_shapes(folder / WEIGHTS)
        try:
            encoding = encodings.make_encoding(config.encoding.to_dict())
            _check_parts(folder, config, encoding, vocab, shapes)
            checkpoint = cls(config.arch, config.sizes, encoding, vocab, read_weights(folder / WEIGHTS), config.info())
            checkpoint.repeat_model()
        except (BadSetting, KeyError, TypeError) as e:
            raise CheckpointMismatch(f"{folder / CONFIG}: {type(e).__name__} {e}") from e
        return checkpoint


def _read_vocab(folder):
    """Return the vocabulary of a folder; raise CheckpointMismatch if it is broken."""
    try:
        return Vocab.load(folder / VOCAB)
    except (CheckpointMismatch, UnicodeDecodeError) as e:
        raise CheckpointMismatch(f"{folder / VOCAB}: {e}") from e


def _check_parts(folder, config, encoding, vocab, shapes: Shapes):
    """Raise CheckpointMismatch for the first two parts of a folder that disagree, before its weights are read."""
    n_tokens = len(vocab)
    if n_tokens != config.vocab_sz:
        raise CheckpointMismatch(f"{folder}: {VOCAB} has {n_tokens} tokens, {CONFIG} says {config.vocab_sz}")
    if not _is_vocab_of(encoding, vocab):
        raise CheckpointMismatch(f"{folder}: the tokens in {VOCAB} are not those of the encoding in {CONFIG}")
    n_rows = shapes["embedding.weight"][0] if shapes.get("embedding.weight") else None
    if n_rows != n_tokens:
        raise CheckpointMismatch(f"{folder}: {WEIGHTS} is for {n_rows} tokens, {VOCAB} has {n_tokens}")
    n_layers = config.sizes.get("n_layers", 0)
    if n_layers > MAX_LAYERS:  # before `shapes` lists the weights of so many layers
        raise CheckpointMismatch(f"{folder}: {WEIGHTS} has too few weights for the {n_layers} layers in {CONFIG}")
    context_rows = config.sizes.get("context_rows")
    if context_rows and context_rows != context_rows_of(config.arch, encoding, vocab):
        raise CheckpointMismatch(
            f"{folder}: {CONFIG} names {context_rows} rows of contexts, which do not go with its encoding"
        )
    expected = get_architecture(config.arch).shapes(config.sizes, n_tokens)
    check_shapes(shapes, expected, folder / WEIGHTS, CONFIG)


def context_rows_of(arch: str, encoding: Encoding, vocab: Vocab) -> int:
    """Return how many rows of contexts a model has that follows plans; 0 if such a model cannot follow them.

    Parameters
    ----------
    arch : str
        Name of the architecture.
    encoding : Encoding
    vocab : Vocab
    """
    can_follow = arch == "awd_lstm" and isinstance(encoding, Notewise)
    return ContextLayout(vocab, encoding).n_rows if can_follow else 0


def _require_files(folder, names):
    """Raise CheckpointMismatch if a folder lacks some files."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointMismatch(
            f"{folder}: not a model folder, {', '.join(missing)} missing; copy the whole folder of a training run"
        )


def _is_vocab_of(encoding, vocab):
    """Return whether a vocabulary is the encoding's; that of an open vocabulary may hold any tokens it can parse."""
    if not encoding.open_vocabulary:
        return vocab == Vocab.from_encoding(encoding)
    seen_tokens = [token for token in vocab.tokens if token not in CONTROL_TOKENS]
    try:
        for token in seen_tokens:
            encoding.tone_range(token)
    except KeyError:
        return False
    return vocab == Vocab.from_encoding(encoding, seen_tokens)


def weights_hash(model: str | Path) -> str:
    """Return the first 16 hex digits of the SHA-256 of a model's weights.

    Parameters
    ----------
    model : str or Path
        A run folder or the name of a shipped model.

    Raises
    ------
    MissingModel
        If there is no such folder and no shipped model of this name.
    CheckpointMismatch
        If the folder has no weights.
    """
    folder = find_model(model)
    _require_files(folder, [WEIGHTS])
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:16]


def repeats_hash(model: str | Path) -> str | None:
    """Return the first 16 hex digits of the SHA-256 of a model's repeat model, or None if it has none.

    Raises
    ------
    MissingModel
        If there is no such folder and no shipped model of this name.
    CheckpointMismatch
        If config.json is missing or broken.
    """
    repeats = read_record(find_model(model) / CONFIG, RepeatsConfig).repeats
    if not repeats:
        return None
    return hashlib.sha256(json.dumps(repeats, sort_keys=True).encode()).hexdigest()[:16]


def follows_plans(model: str | Path) -> bool:
    """Return whether a model follows plans.

    Raises
    ------
    MissingModel
        If there is no such folder and no shipped model of this name.
    CheckpointMismatch
        If config.json is missing or broken.
    """
    return bool(read_record(find_model(model) / CONFIG, SizesConfig).sizes.get("context_rows"))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that affect results, as far as they are installed."""
    installed = {"python": platform.python_version()}
    for name in ("torch", "fastai", "numpy", "symusic", "music21"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed
