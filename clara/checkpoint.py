"""A trained model on disk: a run folder with nothing pickled in it.

`model.safetensors` holds each weight once, in half precision; `vocab.txt` a word per
line; `config.json` the architecture, its sizes, the encoding, how it was trained and
its figures. Loading checks that these agree, names the two that do not, and never
guesses.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from clara import encodings
from clara.encodings.vocab import CONTROL_TOKENS, Vocab
from clara.errors import BadSetting, CheckpointMismatch
from clara.files import make_folder, write_atomically
from clara.models import get_architecture
from clara.repeats.finder import TranspositionTable
from clara.repeats.model import RepeatModel

WEIGHTS, VOCAB, CONFIG = "model.safetensors", "vocab.txt", "config.json"
FORMAT = 1


@dataclass
class Checkpoint:
    """A model and all that is needed to use it.

    Attributes
    ----------
    arch : name of the architecture
    sizes : dict, the architecture's `DEFAULTS` as they were chosen
    encoding : the encoding of its text
    vocab : Vocab
    tensors : dict of weights by name, on the CPU
    info : dict with `training`, `versions`, `figures` and, where one was fitted, `match`, as in config.json
    """

    arch: str
    sizes: dict
    encoding: object
    vocab: Vocab
    tensors: dict
    info: dict = field(default_factory=dict)

    @property
    def n_parameters(self):
        """Numbers in all weights."""
        return sum(t.numel() for t in self.tensors.values())

    def inference_model(self):
        """The net to read and compose with, float32 on the CPU."""
        return get_architecture(self.arch).InferenceModel(self.tensors)

    def repeat_model(self):
        """The clara.repeats.model.RepeatModel that was fitted to it, or None."""
        return RepeatModel.of(self.info["match"]) if "match" in self.info else None

    def repeats(self):
        """Its MatchModel and the clara.repeats.finder.TranspositionTable of its words, or None."""
        match = self.repeat_model()
        return match and (match, TranspositionTable(self.vocab, self.encoding, voices=match.voice_lines is not None))

    def save(self, folder, precision=torch.float16):
        """Write the folder's three files, each whole.

        Raises
        ------
        CannotWrite
            If the folder cannot be written.
        """
        folder = make_folder(folder)
        stored = {k: v.to(precision).contiguous() for k, v in self.tensors.items()}
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
        self.vocab.save(folder / VOCAB)
        write_atomically(folder / WEIGHTS, save(stored))
        write_atomically(folder / CONFIG, json.dumps(config, indent=1) + "\n")

    @classmethod
    def load(cls, folder):
        """Read a folder and check that its parts agree.

        Raises
        ------
        CheckpointMismatch
            Naming the file that is missing or broken, or the two that do not agree.
        """
        folder = Path(folder)
        missing = [n for n in (WEIGHTS, VOCAB, CONFIG) if not (folder / n).is_file()]
        if missing:
            raise CheckpointMismatch(f"{folder}: not a model's folder, {', '.join(missing)} missing")
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            tensors = load((folder / WEIGHTS).read_bytes())
        except (json.JSONDecodeError, UnicodeDecodeError, SafetensorError) as e:
            raise CheckpointMismatch(f"{folder}: a broken {CONFIG} or {WEIGHTS} ({e})") from e
        told = config.get("format") if isinstance(config, dict) else None
        if told != FORMAT:
            raise CheckpointMismatch(f"{folder / CONFIG}: format {told!r}, this version of Clara reads {FORMAT}")
        try:
            vocab = Vocab.load(folder / VOCAB)
        except (CheckpointMismatch, UnicodeDecodeError) as e:
            raise CheckpointMismatch(f"{folder / VOCAB}: {e}") from e
        try:
            encoding = encodings.make_encoding(config["encoding"])
            info = {k: config[k] for k in ("training", "versions", "figures", "match") if k in config}
            checkpoint = cls(config["arch"], config["sizes"], encoding, vocab, tensors, info)
            checkpoint._check(folder, config)
            checkpoint.repeat_model()
        except (BadSetting, KeyError, TypeError) as e:
            raise CheckpointMismatch(f"{folder / CONFIG}: {type(e).__name__} {e}") from e
        return checkpoint

    def _check(self, folder, config):
        """Raise CheckpointMismatch for the first two parts that disagree."""
        if len(self.vocab) != config["vocab_sz"]:
            raise CheckpointMismatch(
                f"{folder}: {VOCAB} holds {len(self.vocab)} words, {CONFIG} says {config['vocab_sz']}"
            )
        if not _spelled_by(self.vocab, self.encoding):
            raise CheckpointMismatch(f"{folder}: the words of {VOCAB} are not those of the encoding in {CONFIG}")
        rows = self.tensors["embedding.weight"].shape[0] if "embedding.weight" in self.tensors else None
        if rows != len(self.vocab):
            raise CheckpointMismatch(f"{folder}: {WEIGHTS} is made for {rows} words, {VOCAB} holds {len(self.vocab)}")
        wanted = get_architecture(self.arch).shapes(self.sizes, len(self.vocab))
        found = {n: tuple(t.shape) for n, t in self.tensors.items()}
        if wanted != found:
            name = next(n for n in sorted(wanted.keys() | found.keys()) if wanted.get(n) != found.get(n))
            raise CheckpointMismatch(
                f"{folder}: {name} has shape {found.get(name)} in {WEIGHTS} and {wanted.get(name)} by {CONFIG}"
            )


def _spelled_by(vocab, encoding):
    """Whether a vocabulary is the encoding's, or for an open one, holds nothing else."""
    if not encoding.open_vocabulary:
        return vocab == Vocab.from_encoding(encoding)
    try:
        seen = [w for w in vocab.tokens if w not in CONTROL_TOKENS]
        for word in seen:
            encoding.tone_range(word)  # which knows its words
    except KeyError:
        return False
    return vocab == Vocab.from_encoding(encoding, seen)


def weights_hash(folder):
    """The start of the hash of a folder's weights, to tell models apart; raises CheckpointMismatch."""
    if not (Path(folder) / WEIGHTS).is_file():
        raise CheckpointMismatch(f"{folder}: not a model's folder, {WEIGHTS} missing")
    return hashlib.sha256((Path(folder) / WEIGHTS).read_bytes()).hexdigest()[:16]


def repeats_hash(folder):
    """The start of the hash of how matches count in a folder, or None where it has no match model; raises as `Checkpoint.load` for a broken `CONFIG`."""
    try:
        told = json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8")).get("match")
    except (OSError, ValueError, AttributeError) as e:
        raise CheckpointMismatch(f"{folder}: a missing or broken {CONFIG} ({e})") from e
    return told and hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def versions():
    """Versions of Python and of the libraries that a result hangs on; music21 may be missing where a net is only trained."""
    found = {"python": platform.python_version()}
    for name in ("torch", "fastai", "numpy", "symusic", "music21"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
