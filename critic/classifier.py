"""What a classifier has learned, on disk and in use: pieces in, log-probabilities of its classes out.

A folder holds `model.safetensors` (the encoder's weights and the head's; the head's alone where the encoder is a language model's that
lies beside it), `vocab.txt` and `config.json`:
architecture, encoding, classes, length of a window, the temperature that its logits are divided by (Guo et al. 2017,
found on valid), how it was trained and its figures.

There are five kinds: `tuned` and `frozen` read text (see `critic.nets.text`), `rolls` reads piano rolls (`critic.nets.piano_roll`), `statistics` what can be
counted (`critic.nets.descriptors`), and a `blend` adds up what some others say, its voices, each in a folder of its own inside, weighed as valid has it (`critic.ensemble`).
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from clara import encodings
from clara.checkpoint import CONFIG, VOCAB, WEIGHTS, weights_hash
from clara.encodings.vocab import Vocab
from clara.errors import BadSetting, CheckpointMismatch, TooShort
from clara.files import make_folder, write_atomically
from critic.nets.descriptors import DescriptorNet
from critic.nets.inputs import RollReading, SimilarityReading, StatisticsReading, TextReading, tokenize_piece
from critic.nets.piano_roll import PianoRollNet
from critic.nets.self_similarity import SelfSimilarityNet
from critic.nets.text import from_tensors, where

FORMAT = 1
LEAST_QUARTERS = 8.0  # of a piece, where windows are longer
FROZEN, ROLLS, STATISTICS, SIMILARITY, BLEND = "frozen", "rolls", "statistics", "similarity", "blend"
READ_NOTES = ROLLS, STATISTICS, SIMILARITY  # and no text
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
    kind : "tuned", "frozen", "rolls", "statistics", "similarity" or "blend"
    info : dict with `training`, `versions` and `figures`
    voices : of a blend, list of (Classifier, weight of its log-probabilities)
    encoder : folder of the language model whose encoder it shares on disk, or None
    around : of a tuned net, windows before and after that one is judged by, too
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
    voices: list = field(default_factory=list)
    encoder: Path | None = None
    around: int = 0

    def __post_init__(self):
        if self.kind == ROLLS:
            self.net = PianoRollNet(
                len(self.classes), self.encoding.steps_per_quarter, self.window_quarters, **self.sizes
            )
            self._take_weights()
            self.net.to(memory_format=torch.channels_last).fuse()
            self.reading = RollReading(self.encoding, self.net)
        elif self.kind == STATISTICS:
            self.net = DescriptorNet(len(self.classes), **self.sizes)
            self._take_weights()
            self.reading = StatisticsReading(self.encoding, self.window_quarters)
        elif self.kind == SIMILARITY:
            self.net = SelfSimilarityNet(len(self.classes), **self.sizes)
            self._take_weights()
            self.net.to(memory_format=torch.channels_last).fuse()
            self.reading = SimilarityReading(self.encoding, self.window_quarters)
        elif self.kind != BLEND:
            self.net = from_tensors(self.arch, self.tensors, len(self.classes), self.kind, around=self.around)
            self.reading = TextReading(self.encoding, self.vocab, self.window_quarters, self.counts)

    def _take_weights(self):
        """Of a net without an encoder."""
        self.net.load_state_dict(
            {k.removeprefix("head."): v.float() if v.is_floating_point() else v for k, v in self.tensors.items()}
        )
        self.net.eval().requires_grad_(False)

    @classmethod
    def load(cls, folder):
        """Read a folder.

        Raises
        ------
        CheckpointMismatch
            Naming what is missing, broken or does not agree.
        """
        folder = Path(folder)
        config = _config(folder)
        try:
            if config["classifier"] != FORMAT:
                raise CheckpointMismatch(
                    f"{folder / CONFIG}: format {config['classifier']!r}, this version of Clara reads {FORMAT}"
                )
            found = (cls._load_blend if config["kind"] == BLEND else cls._load_one)(folder, config)
        except (ValueError, SafetensorError, BadSetting, KeyError, TypeError, RuntimeError) as e:
            raise CheckpointMismatch(f"{folder}: a broken {CONFIG} or {WEIGHTS} ({type(e).__name__} {e})") from e
        found._check(folder)
        return found

    @classmethod
    def _load_one(cls, folder, config):
        _must_hold(folder, WEIGHTS, VOCAB)
        tensors, vocab = load((folder / WEIGHTS).read_bytes()), _vocab(folder / VOCAB)
        if "encoder" in config:
            tensors |= _encoder(folder, **config["encoder"])
        if config["kind"] not in READ_NOTES and len(vocab) != len(tensors["embedding.weight"]):
            raise CheckpointMismatch(
                f"{folder}: {WEIGHTS} is made for {len(tensors['embedding.weight'])} words, {VOCAB} holds {len(vocab)}"
            )
        return cls(
            config["arch"],
            config["sizes"],
            encodings.make_encoding(config["encoding"]),
            vocab,
            tensors,
            config["classes"],
            config["window_quarters"],
            config["temperature"],
            config["kind"],
            _info(config),
            encoder=(folder / config["encoder"]["model"]).resolve() if "encoder" in config else None,
            around=config.get("around", 0),
        )

    @classmethod
    def _load_blend(cls, folder, config):
        return cls.blended([(cls.load(folder / v["folder"]), v["weight"]) for v in config["voices"]], _info(config))

    @classmethod
    def blended(cls, voices, info=None):
        """A classifier of some others' voices.

        Parameters
        ----------
        voices : list of (Classifier, weight), at least one
        info : dict

        Raises
        ------
        BadSetting
            If there are none, or they do not read the same text, tell the same classes or judge the same windows.
        """
        if not voices:
            raise BadSetting("a blend of no voices says nothing")
        first = voices[0][0]
        for voice, _ in voices:
            if (
                (voice.encoding.settings, voice.classes, voice.window_quarters)
                != (first.encoding.settings, first.classes, first.window_quarters)
                or voice.kind not in READ_NOTES
                and voice.vocab.tokens != first.vocab.tokens
            ):
                raise BadSetting(
                    "voices that differ in their text, classes or windows cannot be blended; those that read text come first"
                )
        return cls(
            BLEND,
            {},
            first.encoding,
            first.vocab,
            {},
            first.classes,
            first.window_quarters,
            1.0,
            BLEND,
            info or {},
            voices,
        )

    def _check(self, folder):
        """Raise CheckpointMismatch if this is another kind of classifier."""

    def save(self, folder, encoder=None):
        """Write the folder's three files, each whole; weights in half precision.

        Parameters
        ----------
        folder : where to
        encoder : folder of the language model whose encoder this is, unchanged; its weights are then named and not stored again; without
            it the one that it shared when it was loaded

        Raises
        ------
        CannotWrite
        """
        folder = make_folder(folder)
        if self.kind == BLEND:
            self._save_blend(folder)
            return
        encoder = encoder or self.encoder
        stored = {
            k: (v.half() if v.is_floating_point() else v).contiguous()
            for k, v in self.tensors.items()
            if k != "output.bias" and (encoder is None or k.startswith("head."))
        }
        shared = (
            {"encoder": {"model": Path(os.path.relpath(encoder, folder)).as_posix(), "weights": weights_hash(encoder)}}
            if encoder
            else {}
        )
        config = {
            "classifier": FORMAT,
            "arch": self.arch,
            "sizes": self.sizes,
            "encoding": self.encoding.settings,
            "classes": self.classes,
            "window_quarters": self.window_quarters,
            "temperature": self.temperature,
            "kind": self.kind,
            **({"around": self.around} if self.around else {}),
            "n_parameters": sum(v.numel() for k, v in self.tensors.items() if k != "output.bias"),
            **shared,
            **self.info,
        }
        self.vocab.save(folder / VOCAB)
        write_atomically(folder / WEIGHTS, save(stored))
        write_atomically(folder / CONFIG, json.dumps(config, indent=1) + "\n")

    def _save_blend(self, folder):
        names = [f"{i}-{voice.kind}" for i, (voice, _) in enumerate(self.voices, start=1)]
        for name, (voice, _) in zip(names, self.voices):
            voice.save(folder / name)
        config = {
            "classifier": FORMAT,
            "kind": BLEND,
            "encoding": self.encoding.settings,
            "classes": self.classes,
            "window_quarters": self.window_quarters,
            "voices": [{"folder": name, "weight": weight} for name, (_, weight) in zip(names, self.voices)],
            **self.info,
        }
        write_atomically(folder / CONFIG, json.dumps(config, indent=1) + "\n")

    def window_log_probs(self, pieces):
        """Of each piece, the log-probabilities of each window.

        Parameters
        ----------
        pieces : list of n NoteSequence, lists of words, or paths of MIDI files, scores and texts

        Returns
        -------
        list of n float32 arrays (n_windows, n_classes)

        Raises
        ------
        TooShort, BadMusicFile, NoNotes, UnknownToken
            For a piece that is shorter than a window, silent, or cannot be read.
        """
        return self._told([self._words(p, i) for i, p in enumerate(pieces)])

    def _told(self, pieces):
        """`window_log_probs` of pieces as words, long enough and not silent.

        Batches of all voices are judged side by side, each on one thread, while the next are prepared; what is in a batch, and so what
        is said of it, does not hang on the number of threads.
        """
        voices, threads = [voice for voice, _ in self.voices] or [self], torch.get_num_threads()
        window_log_probs = [[None] * len(pieces) for _ in voices]
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                judged = [
                    (told, rows, pool.submit(voice._judge, batch))
                    for voice, told in zip(voices, window_log_probs)
                    for rows, batch in voice._batches(pieces)
                ]
                for told, rows, found in judged:
                    for i, curve in zip(rows, found.result()):
                        told[i] = curve
        finally:
            torch.set_num_threads(threads)
        if self.kind != BLEND:
            return window_log_probs[0]
        return [
            normalize_log_probs(sum(np.float32(weight) * t for t, (_, weight) in zip(each, self.voices)))
            for each in zip(*window_log_probs)
        ]

    def _batches(self, pieces):
        """Pieces as the net reads them, some of about one length at a time, long ones first: yields (indices, list)."""
        reading = self.reading
        ready = [reading.prepare(words) for words in pieces]
        by_length = sorted(range(len(ready)), key=lambda i: reading.size(ready[i]))
        while by_length:
            rows = by_length[-max(1, reading.together // reading.size(ready[by_length[-1]])) :]
            del by_length[-len(rows) :]
            yield rows, [ready[i] for i in rows]

    @torch.inference_mode()
    def _judge(self, batch):
        """The curve of each piece of a batch."""
        told = (self.net(*where(self.net, self.reading.batch(batch))) / self.temperature).log_softmax(1).cpu().numpy()
        return np.split(told, np.cumsum([self.reading.n_windows(piece) for piece in batch])[:-1])

    def log_probs(self, pieces):
        """Of each piece the mean over its windows, normalised: float32 (n, n_classes); parameters and errors as `window_log_probs`."""
        if not len(pieces):
            return np.zeros((0, len(self.classes)), dtype=np.float32)
        return normalize_log_probs(np.stack([c.mean(0) for c in self.window_log_probs(pieces)]))

    def _words(self, piece, i):
        """A piece as words, long enough to be judged."""
        name = piece if isinstance(piece, (str, Path)) else f"piece {i + 1}"
        words = tokenize_piece(piece, self.encoding, self.vocab)
        quarters = sum(self.encoding.token_steps(words)) / self.encoding.steps_per_quarter
        least = min(LEAST_QUARTERS, self.window_quarters)
        if quarters < least:
            raise TooShort(f"{name}: {quarters:g} quarters, and {least:g} is the least that can be judged")
        return words

    @property
    def counts(self):
        """Whether it reads a text and, beside it, what can be counted."""
        return self.kind == FROZEN and self.net.counts is not None


def new_classifier(arch, sizes, encoding, vocab, tensors, classes, quarters, temperature, kind="tuned", around=0):
    """A Critic or a ComposerClassifier, by its classes; sizes may name dropouts, which are over."""
    sizes = {k: v for k, v in sizes.items() if not k.endswith("_p")}
    return (Critic if HUMAN in classes else ComposerClassifier)(
        arch, sizes, encoding, vocab, tensors, classes, quarters, temperature, kind, around=around
    )


def normalize_log_probs(told):
    """Logarithms of what is in proportion to probabilities (n, n_classes) as log-probabilities, of the same type."""
    return told - np.logaddexp.reduce(told, axis=1, keepdims=True)


def _must_hold(folder, *names):
    missing = [n for n in names if not (folder / n).is_file()]
    if missing:
        raise CheckpointMismatch(f"{folder}: not a classifier's folder, {', '.join(missing)} missing")


def _config(folder):
    """What config.json says; raises CheckpointMismatch where there is none that can be read."""
    _must_hold(folder, CONFIG)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return config | {"kind": config["kind"]}
    except (ValueError, KeyError, TypeError) as e:
        raise CheckpointMismatch(f"{folder}: a broken {CONFIG} ({type(e).__name__} {e})") from e


def _info(config):
    return {k: config[k] for k in ("training", "versions", "figures") if k in config}


def _encoder(folder, model, weights):
    """The weights that a classifier shares with a language model; raises CheckpointMismatch where they are not the same any more."""
    if not (folder / model / WEIGHTS).is_file() or weights_hash(folder / model) != weights:
        raise CheckpointMismatch(
            f"{folder}: its encoder is that of {model}, with weights {weights}, which are not there"
        )
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
        """The log-odds that each piece is human, float32 (n,); parameters and errors as `Classifier.window_log_probs`."""
        if not len(pieces):
            return np.zeros(0, dtype=np.float32)
        return np.array([c.mean() for c in self.window_log_odds(pieces)], dtype=np.float32)

    def window_log_odds(self, pieces):
        """Of each piece, the log-odds of its windows: list of n float32 (n_windows,)."""
        human, generated = self.classes.index(HUMAN), self.classes.index(GENERATED)
        return [c[:, human] - c[:, generated] for c in self.window_log_probs(pieces)]

    def _check(self, folder):
        if set(self.classes) != {HUMAN, GENERATED}:
            raise CheckpointMismatch(f"{folder}: tells {', '.join(self.classes)} apart, not human from generated")


class ComposerClassifier(Classifier):
    """Whom is it like?"""

    def _check(self, folder):
        if HUMAN in self.classes:
            raise CheckpointMismatch(f"{folder}: a critic, which knows no composers")
