"""The folder of a classifier: `config.json`, and for a member `model.safetensors` and `vocab.txt`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue

from clara.checkpoints.checkpoint import CONFIG
from clara.encodings.settings import EncodingSettings
from clara.encodings.vocab import Vocab
from clara.errors import BadSetting, CheckpointMismatch
from clara.files import write_atomically
from clara.records import Name, Record, read_record

FORMAT = 1
INFO_KEYS = ("training", "versions", "figures")
MAX_MEMBERS = 16  # of an ensemble
MAX_CLASSES = 1000

Info = dict[str, JsonValue]


class ClassifierType(Record):
    """The part of `config.json` that says how to read the rest."""

    format: int
    type: Name


class ClassifierConfig(ClassifierType):
    """What `config.json` holds for every kind of classifier."""

    encoding: EncodingSettings
    classes: Annotated[list[Name], Field(min_length=1, max_length=MAX_CLASSES)]
    window_quarters: Annotated[float, Field(ge=0.25, le=256)]
    training: Info | None = None
    versions: Info | None = None
    figures: Info | None = None

    def info(self) -> dict[str, Any]:
        """Return how the classifier was made."""
        return {key: getattr(self, key) for key in INFO_KEYS if getattr(self, key) is not None}


class MemberEntry(Record):
    """One member in the config of an ensemble."""

    folder: Name
    weight: Annotated[float, Field(ge=0, le=1000)]
    max_log_odds: Annotated[float, Field(ge=-1000, le=1000)] | None = None


class CalibrationConfig(Record):
    """The numbers of a `critic.calibration.LengthCalibration`."""

    scale: Annotated[float, Field(gt=0, le=1000)]
    exponent: Annotated[float, Field(ge=0, le=2)]
    shift: Annotated[float, Field(ge=-100, le=100)]


class EnsembleConfig(ClassifierConfig):
    """The content of the `config.json` of an ensemble."""

    calibration: CalibrationConfig | None = None

    members: Annotated[list[MemberEntry], Field(min_length=1, max_length=MAX_MEMBERS)]


class NetConfig(Record):
    """The settings of a member's network; each kind of member has a subclass with its own."""


class EncoderConfig(Record):
    """Which shipped model a text member shares the encoder of, and the hash of its weights."""

    model: Name
    weights: Name


class MemberConfig(ClassifierConfig):
    """The content of the `config.json` of a member; `Member.net_config` checks its `net`."""

    net: Info
    temperature: Annotated[float, Field(ge=1e-3, le=1000)]
    encoder: EncoderConfig | None = None


def load_folder(folder: Path, types: Mapping[str, type]):
    """Load a folder with the class that its type names.

    Parameters
    ----------
    folder : Path
    types : mapping of str to class
        Each class has a classmethod `load(folder)`.

    Raises
    ------
    CheckpointMismatch
        If something is missing or broken, or if parts do not match; the message names the folder.
    """
    require_files(folder, CONFIG)
    kind = read_record(folder / CONFIG, ClassifierType)
    if kind.format != FORMAT:
        raise CheckpointMismatch(
            f"{folder / CONFIG}: format {kind.format}, this version of Clara reads format {FORMAT}"
        )
    if kind.type not in types:
        raise CheckpointMismatch(f"{folder / CONFIG}: type {kind.type!r}; there are {', '.join(types)}")
    try:
        return types[kind.type].load(folder)
    except (ValueError, BadSetting, KeyError, TypeError, RuntimeError) as e:
        raise CheckpointMismatch(f"{folder}: a broken {CONFIG} or weights file ({type(e).__name__} {e})") from e


def write_config(folder: Path, config: dict) -> None:
    """Write `config.json`, with the format first."""
    write_atomically(folder / CONFIG, json.dumps({"format": FORMAT} | config, indent=1) + "\n")


def require_files(folder: Path, *names: str) -> None:
    """Raise CheckpointMismatch if a file is missing."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointMismatch(f"{folder}: not a classifier's folder, {', '.join(missing)} missing")


def read_vocab(path: Path) -> Vocab:
    """Return the vocabulary; raise CheckpointMismatch with its path if it is broken."""
    try:
        return Vocab.load(path)
    except (CheckpointMismatch, UnicodeDecodeError) as e:
        raise CheckpointMismatch(f"{path}: {e}") from e
