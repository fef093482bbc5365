"""A corpus and a model small enough to train and compose within a test."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from clara import cli
from clara.checkpoint import Checkpoint
from clara.data.corpus_writer import prepare_corpus
from clara.data.sources import find_pieces
from clara.encodings.notewise import Notewise
from clara.encodings.vocab import Vocab
from clara.models import ARCHITECTURES
from clara.music.midi import write_midi
from clara.music.notes import build_notes

SIZES = {"emb_sz": 8, "n_hid": 12, "n_layers": 1}


def tune(seed, n_notes=40, steps_per_quarter=12):
    """Random notes in the middle of the keyboard; silences stay under four quarters."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, steps_per_quarter, n_notes).cumsum()
    end = start + rng.integers(1, 2 * steps_per_quarter, n_notes)
    return build_notes(start, end, rng.integers(48, 76, n_notes), steps_per_quarter=steps_per_quarter)[0]


def ostinato(n_notes=200):
    """The same four notes again and again."""
    start = np.arange(n_notes) * 3
    return build_notes(start, start + 3, 60 + start % 4 * 2)[0]


def corpus(folder, pieces=None):
    """A prepared corpus of some NoteSequences; without, of six tunes: four to train on, one valid, one test."""
    music = folder / "music" / "nobody"
    music.mkdir(parents=True)
    for i, notes in enumerate(pieces or map(tune, range(6))):
        write_midi(notes, music / f"{i}.mid")
    prepare_corpus(
        find_pieces([str(folder / "music")]), folder / "corpus", {"encoding": "notewise"}, about="made by a test"
    )
    return folder / "corpus"


def weights(arch="awd_lstm", sizes=SIZES, vocab_sz=203, seed=0):
    """Random weights under their names on disk."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) * 0.3
        for name, shape in ARCHITECTURES[arch].shapes(sizes, vocab_sz).items()
    }


def checkpoint(encoding=None, seed=0, arch="awd_lstm", **sizes):
    """A model that was never trained."""
    encoding, sizes = encoding or Notewise(), SIZES | sizes
    vocab = Vocab.from_encoding(encoding)
    return Checkpoint(
        arch,
        sizes,
        encoding,
        vocab,
        weights(arch, sizes, len(vocab), seed),
        {"training": {"seed": seed}, "versions": {"python": "3"}, "figures": {"epochs": 0}},
    )


def untrained(encoding, notes):
    """A model that was never trained, with the words of some notes where the vocabulary is open."""
    vocab = (
        Vocab.from_encoding(encoding, encoding.encode(notes)[0])
        if encoding.open_vocabulary
        else Vocab.from_encoding(encoding)
    )
    return Checkpoint("awd_lstm", SIZES, encoding, vocab, weights(vocab_sz=len(vocab)), {})


def classifier(classes=("generated", "human"), window_quarters=2.0, seed=0, encoding=None):
    """A critic, or a composer classifier, that was never trained."""
    from critic import ComposerClassifier, Critic
    from critic.nets.text import new_net, to_tensors

    base = checkpoint(encoding, seed)
    torch.manual_seed(seed)
    net = new_net("awd_lstm", ARCHITECTURES["awd_lstm"].DEFAULTS | SIZES, base.tensors, base.vocab, len(classes))
    kind = Critic if "human" in classes else ComposerClassifier
    return kind(
        "awd_lstm",
        SIZES,
        base.encoding,
        base.vocab,
        to_tensors(net),
        list(classes),
        window_quarters,
        0.5,
        info={"training": {}, "versions": {}, "figures": {}},
    )


def roll_classifier(classes=("generated", "human"), window_quarters=2.0, seed=0):
    """A critic or composer classifier that reads piano rolls and was never trained."""
    from critic.classifier import new_classifier
    from critic.nets.piano_roll import PianoRollNet

    torch.manual_seed(seed)
    sizes, encoding = {"widths": [4, 6, 8, 8]}, checkpoint().encoding
    net = PianoRollNet(len(classes), encoding.steps_per_quarter, window_quarters, **sizes)
    return new_classifier(
        "rolls",
        sizes,
        encoding,
        Vocab.from_encoding(encoding),
        {f"head.{k}": v for k, v in net.state_dict().items()},
        list(classes),
        window_quarters,
        0.5,
        "rolls",
    )


def statistics_classifier(classes=("generated", "human"), window_quarters=2.0, seed=0):
    """A critic or composer classifier that reads what can be counted and was never trained."""
    from critic.classifier import new_classifier
    from critic.nets.descriptors import DescriptorNet

    torch.manual_seed(seed)
    sizes, encoding = {"hidden": 8, "n_heads": 2}, checkpoint().encoding
    net = DescriptorNet(len(classes), **sizes)
    return new_classifier(
        "statistics",
        sizes,
        encoding,
        Vocab.from_encoding(encoding),
        {f"head.{k}": v for k, v in net.state_dict().items()},
        list(classes),
        window_quarters,
        0.5,
        "statistics",
    )


def similarity_classifier(classes=("generated", "human"), window_quarters=2.0, seed=0):
    """A critic or composer classifier that sees self-similarity and was never trained."""
    from critic.classifier import new_classifier
    from critic.nets.self_similarity import SelfSimilarityNet

    torch.manual_seed(seed)
    sizes, encoding = {"widths": [4, 6, 8]}, checkpoint().encoding
    net = SelfSimilarityNet(len(classes), **sizes)
    return new_classifier(
        "similarity",
        sizes,
        encoding,
        Vocab.from_encoding(encoding),
        {f"head.{k}": v for k, v in net.state_dict().items()},
        list(classes),
        window_quarters,
        0.5,
        "similarity",
    )


def learner(corpus, folder, *, seed=0, n_layers=1, keep=None, patience=10**9, epochs=3, **more):
    """A Learner with the callbacks that `clara.training.learner.fit` counts on."""
    from clara.data.dataloaders import dataloaders
    from clara.training.callbacks import CheckpointCallback, ProgressLogger
    from clara.training.learner import music_learner

    torch.manual_seed(seed)
    dls, _ = dataloaders(corpus, 4, 16, "cpu", seed)
    sizes = ARCHITECTURES["awd_lstm"].DEFAULTS | SIZES | {"n_layers": n_layers}
    learn = music_learner(dls, "awd_lstm", sizes, corpus.vocab, tokens_per_quarter=7.0, path=folder, **more)
    learn.add_cbs(
        [CheckpointCallback(folder, keep or (lambda *_: None), patience=patience), ProgressLogger(1000, epochs)]
    )
    return learn


def flags(data, out, *more):
    """A command line of `train.py` for a run of a second."""
    return [
        "--data",
        str(data),
        "--out",
        str(out),
        "--emb-sz",
        "8",
        "--n-hid",
        "12",
        "--n-layers",
        "1",
        "--bs",
        "4",
        "--bptt",
        "16",
        "--epochs",
        "3",
        "--device",
        "cpu",
        "--precision",
        "float32",
        *map(str, more),
    ]


def arguments(data, out, *more):
    """What `clara.training.run.train` takes, from scratch unless `more` names --pretrained."""
    from clara_app import train

    args = vars(train.parser().parse_args(flags(data, out, *more)))
    return args | {"from_scratch": not args["pretrained"], "pretrained": args["pretrained"] or ""}


def leave(main, argv):
    """The status with which a script leaves; `main` is its main function."""
    with pytest.raises(SystemExit) as left:
        cli.run(partial(main, [str(a) for a in argv]))
    return left.value.code or 0


def answer(main, argv, capsys):
    """The status with which a script leaves when it is asked with --json, and the object that is all its stdout, of strict JSON."""

    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    capsys.readouterr()
    status = leave(main, [*argv, "--json"])
    return status, json.loads(capsys.readouterr().out, parse_constant=refuse)


def riff(seed, n_notes=160):
    """Six random notes in a random rhythm, repeated."""
    rng = np.random.default_rng(seed)
    gaps = np.tile(rng.integers(2, 8, 6), n_notes // 6)
    end = gaps.cumsum()
    return build_notes(end - gaps, end, np.tile(rng.integers(50, 75, 6), n_notes // 6))[0]
