"""The folder of a classifier: `config.json`, and for a member `model.safetensors` and `vocab.txt`."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError

from clara.checkpoint import CONFIG
from clara.encodings.vocab import Vocab
from clara.errors import BadSetting, CheckpointMismatch
from clara.files import write_atomically

FORMAT = 1
INFO_KEYS = ("training", "versions", "figures")


def load_folder(folder: Path, types: Mapping[str, type]):
    """Load a folder with the class that its type names.

    Parameters
    ----------
    folder : Path
    types : mapping of str to class
        Each class has a classmethod `load(folder, config)`.

    Raises
    ------
    CheckpointMismatch
        If something is missing or broken, or if parts do not match; the message names the folder.
    """
    config = read_config(folder)
    try:
        if config["format"] != FORMAT:
            raise CheckpointMismatch(
                f"{folder / CONFIG}: format {config['format']!r}, this version of Clara reads format {FORMAT}"
            )
        if config["type"] not in types:
            raise CheckpointMismatch(f"{folder / CONFIG}: type {config['type']!r}; there are {', '.join(types)}")
        return types[config["type"]].load(folder, config)
    except (ValueError, SafetensorError, BadSetting, KeyError, TypeError, RuntimeError) as e:
        raise CheckpointMismatch(f"{folder}: a broken {CONFIG} or weights file ({type(e).__name__} {e})") from e


def read_config(folder: Path) -> dict:
    """Return the content of `config.json`.

    Raises
    ------
    CheckpointMismatch
        If there is none, or if it is no JSON object.
    """
    require_files(folder, CONFIG)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as e:
        raise CheckpointMismatch(f"{folder}: a broken {CONFIG} ({type(e).__name__} {e})") from e
    if not isinstance(config, dict):
        raise CheckpointMismatch(f"{folder}: a broken {CONFIG} (no JSON object)")
    return config


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


def info_of(config: dict) -> dict:
    """Return how a classifier was made: the entries `training`, `versions` and `figures` of its config."""
    return {key: config[key] for key in INFO_KEYS if key in config}
