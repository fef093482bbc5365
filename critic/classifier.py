"""What a classifier has learned, on disk and in use: pieces in, log-probabilities of its classes out.

A folder holds `model.safetensors` (the encoder's weights and the head's; the head's alone where the encoder is a language model's that
lies beside it), `vocab.txt` and `config.json`:
architecture, encoding, classes, length of a window, the temperature that its logits are divided by (Guo et al. 2017,
found on valid), how it was trained and its figures.

Contents: `Classifier`, `Critic`, `ComposerClassifier`, `read_piece`.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from clara import encodings
from clara.checkpoint import CONFIG, VOCAB, WEIGHTS, weights_hash
from clara.errors import BadSetting, CheckpointMismatch, NoNotes, TooShort
from clara.files import make_folder, write_whole
from clara.generator import read_prompt
from clara.notes import NoteSequence, mend
from clara.vocab import Vocab, spelled
from critic.net import collate, from_tensors, windows_of

FORMAT = 1
LEAST_QUARTERS = 8.0  # of a piece, where windows are longer
WORDS_AT_ONCE = 2**14  # read side by side, which bounds memory
HUMAN, GENERATED = "human", "generated"


@dataclass
class Classifier:
    """Tells classes of music apart.

    Attributes
    ----------
    arch, sizes : of the encoder
    encoding, vocab : of the text that it reads
    tensors : dict of weights by name
    classes : list of str
    window_quarters : length of a window
    temperature : that logits are divided by
    kind : of the net, in `critic.net.KINDS`
    info : dict with `training`, `versions` and `figures`
    """

    arch: str
    sizes: dict
    encoding: object
    vocab: Vocab
    tensors: dict
    classes: list
    window_quarters: float
    temperature: float = 1.0
    kind: str = "tuned"
    info: dict = field(default_factory=dict)

    def __post_init__(self):
        self.net = from_tensors(self.arch, self.tensors, len(self.classes), self.kind)

    @classmethod
    def load(cls, folder):
        """Read a folder.

        Raises
        ------
        CheckpointMismatch
            Naming what is missing, broken or does not agree.
        """
        folder = Path(folder)
        missing = [n for n in (WEIGHTS, VOCAB, CONFIG) if not (folder / n).is_file()]
        if missing:
            raise CheckpointMismatch(f"{folder}: not a classifier's folder, {', '.join(missing)} missing")
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            tensors = load((folder / WEIGHTS).read_bytes())
            vocab = _vocab(folder / VOCAB)
            if config["classifier"] != FORMAT:
                raise CheckpointMismatch(f"{folder / CONFIG}: format {config['classifier']!r}, this version of Clara reads {FORMAT}")
            if "encoder" in config:
                tensors |= _encoder(folder, **config["encoder"])
            info = {k: config[k] for k in ("training", "versions", "figures") if k in config}
            if len(vocab) != len(tensors["embedding.weight"]):
                raise CheckpointMismatch(f"{folder}: {WEIGHTS} is made for {len(tensors['embedding.weight'])} words, {VOCAB} holds {len(vocab)}")
            found = cls(config["arch"], config["sizes"], encodings.make(config["encoding"]), vocab, tensors, config["classes"],
                        config["window_quarters"], config["temperature"], config["kind"], info)
        except (ValueError, SafetensorError, BadSetting, KeyError, TypeError, RuntimeError) as e:
            raise CheckpointMismatch(f"{folder}: a broken {CONFIG} or {WEIGHTS} ({type(e).__name__} {e})") from e
        found._check(folder)
        return found

    def _check(self, folder):
        """Raise CheckpointMismatch if this is another kind of classifier."""

    def save(self, folder, encoder=None):
        """Write the folder's three files, each whole; weights in half precision.

        Parameters
        ----------
        folder : where to
        encoder : folder of the language model whose encoder this is, unchanged; its weights are then named and not stored again

        Raises
        ------
        CannotWrite
        """
        folder = make_folder(folder)
        stored = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in self.tensors.items()
                  if k != "output.bias" and (encoder is None or k.startswith("head."))}
        shared = {"encoder": {"model": Path(os.path.relpath(encoder, folder)).as_posix(), "weights": weights_hash(encoder)}} if encoder else {}
        config = {"classifier": FORMAT, "arch": self.arch, "sizes": self.sizes, "encoding": self.encoding.settings,
                  "classes": self.classes, "window_quarters": self.window_quarters, "temperature": self.temperature, "kind": self.kind,
                  "n_parameters": sum(v.numel() for k, v in self.tensors.items() if k != "output.bias"), **shared, **self.info}
        self.vocab.save(folder / VOCAB)
        write_whole(folder / WEIGHTS, save(stored))
        write_whole(folder / CONFIG, json.dumps(config, indent=1) + "\n")

    def curves(self, pieces):
        """Of each piece, the log-probabilities of each window.

        Parameters
        ----------
        pieces : list of n NoteSequence, lists of words, or paths of MIDI files, scores and texts

        Returns
        -------
        list of n float32 arrays (n_windows, n_classes)

        Raises
        ------
        TooShort, BadMusicFile, NoNotes, UnknownWord
            For a piece that is shorter than a window, silent, or cannot be read.
        """
        texts = [self._text(p, i) for i, p in enumerate(pieces)]
        curves, by_length = [None] * len(texts), sorted(range(len(texts)), key=lambda i: len(texts[i][0]))
        while by_length:
            longest = len(texts[by_length[-1]][0])
            rows = by_length[-max(1, WORDS_AT_ONCE // longest):]
            del by_length[-len(rows):]
            ids, window = collate([texts[i] for i in rows], self.vocab.pad)
            with torch.inference_mode():
                told = (self.net(ids, window) / self.temperature).log_softmax(1).numpy()
            bounds = np.cumsum([0, *(texts[i][1].max() + 1 for i in rows)])
            for i, begin, end in zip(rows, bounds, bounds[1:]):
                curves[i] = told[begin:end]
        return curves

    def log_probabilities(self, pieces):
        """Of each piece the mean over its windows, normalised: float32 (n, n_classes); parameters and errors as `curves`."""
        if not len(pieces):
            return np.zeros((0, len(self.classes)), dtype=np.float32)
        means = np.stack([c.mean(0) for c in self.curves(pieces)])
        return (means - np.logaddexp.reduce(means, axis=1, keepdims=True)).astype(np.float32)

    def _text(self, piece, i):
        """A piece as ids after xxbos, and each one's window."""
        name = piece if isinstance(piece, (str, Path)) else f"piece {i + 1}"
        words = read_piece(piece, self.encoding, self.vocab)
        quarters = sum(self.encoding.steps(words)) / self.encoding.steps_per_quarter
        least = min(LEAST_QUARTERS, self.window_quarters)
        if quarters < least:
            raise TooShort(f"{name}: {quarters:g} quarters, and {least:g} is the least that can be judged")
        window = windows_of(self.encoding, words, self.window_quarters)
        return self.vocab.ids(["xxbos", *words]), np.r_[window[:1], window]


def _encoder(folder, model, weights):
    """The weights that a classifier shares with a language model; raises CheckpointMismatch where they are not the same any more."""
    if not (folder / model / WEIGHTS).is_file() or weights_hash(folder / model) != weights:
        raise CheckpointMismatch(f"{folder}: its encoder is that of {model}, with weights {weights}, which are not there")
    return {k: v for k, v in load((folder / model / WEIGHTS).read_bytes()).items() if k != "output.bias"}


def _vocab(path):
    """A vocabulary; raises CheckpointMismatch with its name."""
    try:
        return Vocab.load(path)
    except (CheckpointMismatch, UnicodeDecodeError) as e:
        raise CheckpointMismatch(f"{path}: {e}") from e


class Critic(Classifier):
    """Human or generated?"""

    def score(self, pieces):
        """The log-odds that each piece is human, float32 (n,); parameters and errors as `Classifier.curves`."""
        if not len(pieces):
            return np.zeros(0, dtype=np.float32)
        return np.array([c.mean() for c in self.windows(pieces)], dtype=np.float32)

    def windows(self, pieces):
        """Of each piece, the log-odds of its windows: list of n float32 (n_windows,)."""
        human, generated = self.classes.index(HUMAN), self.classes.index(GENERATED)
        return [c[:, human] - c[:, generated] for c in self.curves(pieces)]

    def _check(self, folder):
        if set(self.classes) != {HUMAN, GENERATED}:
            raise CheckpointMismatch(f"{folder}: tells {', '.join(self.classes)} apart, not human from generated")


class ComposerClassifier(Classifier):
    """Whom is it like?"""

    def _check(self, folder):
        if HUMAN in self.classes:
            raise CheckpointMismatch(f"{folder}: a critic, which knows no composers")


def read_piece(piece, encoding, vocab):
    """A piece as words of a vocabulary.

    Parameters
    ----------
    piece : NoteSequence, list of words, or path of a MIDI file, score or text
    encoding, vocab : to spell it in

    Returns
    -------
    list of str

    Raises
    ------
    BadMusicFile, NoNotes, UnknownWord
    """
    if isinstance(piece, (str, Path)):
        piece = read_prompt(piece, encoding)[0]
    if isinstance(piece, NoteSequence):
        if not len(piece):
            raise NoNotes("a piece without notes cannot be judged")
        return spelled(encoding.fit(on_grid(piece, encoding))[0], encoding, vocab)[0]
    words = [w for w in piece if not w.startswith("xx")]
    if not len(encoding.decode(words)[0]):
        raise NoNotes("a text without notes cannot be judged")
    return words


def on_grid(notes, encoding):
    """Notes on an encoding's grid, rounded where it is coarser, all in one part where it has one."""
    new, old = encoding.steps_per_quarter, notes.steps_per_quarter
    start, end = ((2 * at * new + old) // (2 * old) for at in (notes.start, notes.end))
    part = notes.part if len(encoding.prefixes) > 1 else 0
    return mend(start, np.maximum(end, start + 1), notes.pitch, part, steps_per_quarter=new, qpm=notes.qpm)[0]
