"""A corpus and a model small enough to train and compose within a test."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from examples import midi_bytes, off, on, track

from clara import cli
from clara.checkpoints.checkpoint import Checkpoint
from clara.data.corpus_writer import prepare_corpus
from clara.data.sources import find_pieces
from clara.encodings.notewise import Notewise
from clara.encodings.vocab import Vocab
from clara.models import ARCHITECTURES
from clara.music.midi import write_midi
from clara.music.notes import build_notes, crop

SIZES = {"emb_sz": 8, "n_hid": 12, "n_layers": 1}


def tune(seed, n_notes=40, steps_per_quarter=12):
    """Random notes in the middle of the keyboard; silences stay under four quarters."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, steps_per_quarter, n_notes).cumsum()
    end = start + rng.integers(1, 2 * steps_per_quarter, n_notes)
    return build_notes(start, end, rng.integers(48, 76, n_notes), steps_per_quarter=steps_per_quarter)[0]


def ostinato(n_notes=200):
    """Return the same four notes again and again."""
    start = np.arange(n_notes) * 3
    return build_notes(start, start + 3, 60 + start % 4 * 2)[0]


def corpus(folder, pieces=None):
    """Return a prepared corpus of some NoteSequences; without, of six tunes: four to train on, one valid, one test."""
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
    """Return a model that was never trained."""
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
    """Return an untrained model; an open vocabulary holds the tokens of `notes`."""
    vocab = (
        Vocab.from_encoding(encoding, encoding.encode(notes)[0])
        if encoding.open_vocabulary
        else Vocab.from_encoding(encoding)
    )
    return Checkpoint("awd_lstm", SIZES, encoding, vocab, weights(vocab_sz=len(vocab)), {})


MEMBER_NETS = {
    "text": {"arch": "awd_lstm", "sizes": SIZES, "freeze_encoder": False, "context_windows": 0},
    "piano_roll": {"widths": [4, 6, 8, 8]},
    "descriptors": {"hidden": 8, "n_heads": 2},
    "boosted_trees": {"n_trees": 100, "depth": 3},
    "self_similarity": {"widths": [4, 6, 8]},
}


def member(member_type="text", classes=("generated", "human"), window_quarters=2.0, seed=0, encoding=None):
    """Return a member of an ensemble that was never trained."""
    from critic.members import MEMBERS
    from critic.members.base import ClassifierSettings

    base = checkpoint(encoding, seed)
    settings = ClassifierSettings(base.encoding, base.vocab, tuple(classes), window_quarters)
    torch.manual_seed(seed)
    tensors = {f"head.{k}": v for k, v in _member_head(member_type, settings, base).items()}
    if member_type == "text":
        tensors |= base.tensors
    info = {"training": {}, "versions": {}, "figures": {}}
    return MEMBERS[member_type](settings, tensors, dict(MEMBER_NETS[member_type]), 0.5, info)


def _member_head(member_type, settings, base):
    """Random weights of a member's network, without an encoder."""
    from critic.nets.descriptors import DescriptorNet
    from critic.nets.piano_roll import PianoRollNet
    from critic.nets.self_similarity import SelfSimilarityNet
    from critic.nets.text import training_net

    n_classes, net = len(settings.classes), MEMBER_NETS[member_type]
    if member_type == "text":
        sizes = ARCHITECTURES["awd_lstm"].DEFAULTS | SIZES
        return training_net("awd_lstm", sizes, settings.vocab, n_classes, tensors=base.tensors).head.state_dict()
    if member_type == "piano_roll":
        grid = settings.encoding.steps_per_quarter
        return PianoRollNet(n_classes, grid, settings.window_quarters, **net).state_dict()
    if member_type == "boosted_trees":
        return _random_trees(**net)
    return {"descriptors": DescriptorNet, "self_similarity": SelfSimilarityNet}[member_type](
        n_classes, **net
    ).state_dict()


def _random_trees(n_trees, depth):
    """Trees that look at random descriptors."""
    from critic.nets.boosted_trees import BoostedTrees

    trees = BoostedTrees(n_trees, depth)
    trees.feature.copy_(torch.randint(0, 700, trees.feature.shape))
    trees.threshold.copy_(torch.exp(torch.randn(trees.threshold.shape)))
    trees.value.normal_()
    return trees.state_dict()


def classifier(member_type="text", **options):
    """Return a critic, or a composer classifier, of a single member that was never trained."""
    from critic.classifier import make_classifier

    return make_classifier(member(member_type, **options))


def excerpts(n_of_split, quarters=8):
    """Return a table like that of `read_excerpts`; human excerpts are riffs, generated ones random."""
    from critic.data.table import COLUMNS

    rows, encoding = [], Notewise()
    for split, n in n_of_split.items():
        for i in range(n):
            for label, compose in (("human", riff), ("generated", tune)):
                seed = 1000 * len(rows) + i
                notes = crop(compose(seed, n_notes=160), 0, quarters * 12)
                tokens = encoding.encode(notes)[0]
                row = (label, split, len(rows), "nobody", f"{split}/{label}/{i}", 0, "", tokens)
                rows.append(dict(zip(COLUMNS, row)))
    return pd.DataFrame(rows)


def learner(corpus, folder, *, seed=0, n_layers=1, keep=None, patience=10**9, epochs=3, **more):
    """Return a Learner with the callbacks that `clara.training.stages.fit_stages` needs."""
    from clara.data.dataloaders import MusicDataLoaders
    from clara.training.callbacks import CheckpointCallback, ProgressLogger
    from clara.training.learner import music_learner

    torch.manual_seed(seed)
    dls = MusicDataLoaders.from_corpus(corpus, bs=4, seq_len=16, device="cpu", seed=seed)
    learn = music_learner(dls, config=SIZES | {"n_layers": n_layers}, path=folder, log=lambda _: None, **more)
    learn.add_cbs(
        [CheckpointCallback(folder, keep or (lambda *_: None), patience=patience), ProgressLogger(1000, epochs)]
    )
    return learn


def flags(data, out, *more):
    """Return a command line of `train.py` for a run of a second."""
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
    """Return the TrainSettings of a run of a second, from scratch unless `more` names --pretrained."""
    from clara_app import train

    settings = train.settings_from_args(vars(train.parser().parse_args(flags(data, out, *more))))
    return replace(settings, from_scratch=not settings.pretrained)


def leave(main, argv):
    """Return the status with which a script leaves; `main` is its main function."""
    with pytest.raises(SystemExit) as left:
        cli.run(partial(main, [str(a) for a in argv]))
    return left.value.code or 0


def answer(main, argv, capsys):
    """Return a script's exit status and the object that it prints with --json."""

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


def performed_midi(seed=0, n_notes=40):
    """Return a MIDI file whose onsets follow no beat."""
    rng = np.random.default_rng(seed)
    ticks = np.sort(rng.integers(0, 480 * 20, n_notes))
    deltas = np.diff(ticks, prepend=0)
    notes = (
        on(int(delta), int(pitch)) + off(0, int(pitch)) for delta, pitch in zip(deltas, rng.integers(48, 76, n_notes))
    )
    return midi_bytes(track(*notes))


def recorded_midi(onsets, seed=0):
    """Return a MIDI file of notes that begin at times in seconds; its ticks are a clock, not beats."""
    rng = np.random.default_rng(seed)
    ticks = np.rint(np.asarray(onsets) * 960).astype(int).tolist()
    events, now = [], 0
    for tick, following in zip(ticks, [*ticks[1:], ticks[-1] + 200]):
        pitch, length = int(rng.choice([60, 62, 64, 65, 67])), max(1, (following - tick) * 3 // 4)
        events += [on(tick - now, pitch, int(rng.integers(50, 90))), off(length, pitch)]
        now = tick + length
    return midi_bytes(track(*events))


def plan_follower(seed=0, encoding=None, **sizes):
    """Return a model that follows plans and was never trained."""
    from clara.form.context import ContextReader

    encoding = encoding or Notewise()
    n_rows = ContextReader(Vocab.from_encoding(encoding), encoding).layout.n_rows
    return checkpoint(encoding, seed, context_rows=n_rows, **sizes)


def planner(signatures=((4, 4), (3, 4), (6, 8), (3, 16)), seed=0, **sizes):
    """Return a planner with random weights, so that all that is possible happens."""
    from clara.form.plan_start import PlanStart
    from clara.form.planner import Planner, open_bar
    from clara.form.planner_network import NetworkSizes, PlannerNetwork

    torch.manual_seed(seed)
    sizes = {"width": 8, "n_units": 8, "n_layers": 1, "hidden": 8, "n_query": 4} | sizes
    network = PlannerNetwork(NetworkSizes(len(signatures), **sizes)).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    return Planner(network, PlanStart.fit([open_bar(s, 0, 12) for s in signatures], signatures))


def performer(seed=0, n_members=1):
    """Return a performer with random weights."""
    from clara.performing.network import NetworkSizes, PerformerNetwork
    from clara.performing.performer import FEATURES, Performer
    from clara.performing.window_network import WindowNetwork

    torch.manual_seed(seed)
    sizes = NetworkSizes(*map(len, FEATURES.values()), 8, 8, 1, 8, 3, 1, 8)
    networks = [PerformerNetwork(sizes).eval() for _ in range(n_members)]
    for network in networks:
        network.piece_mean.copy_(torch.tensor([60.0, 2.5, -2.0]))
    return Performer(networks, [WindowNetwork(8).eval()])


def expression(notes, seed=0):
    """Return a made-up expression of notes: high notes are loud, each beat has a tempo, and each second one a pedal."""
    from clara.music.expression import Expression

    rng = np.random.default_rng(seed)
    beats = np.arange(max(1, int(notes.quarters)))
    tempo = 100 + 20 * np.sin(beats / 3) + rng.integers(0, 5, len(beats))
    pedal = np.stack([beats[::2] + 0.125, beats[::2] + 1.0625], axis=1)
    return Expression(np.clip(notes.pitch + rng.integers(-4, 5, len(notes)), 1, 127), beats, tempo, pedal)
