"""The text member: fine-tuned, continued, and with heads on a frozen encoder."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from clara.generation.generator import Generator
from clara.models import ARCHITECTURES
from clara.music.notes import crop
from critic.classifier import Critic
from critic.evaluation import auc, evaluate
from critic.features.descriptors import N_DESCRIPTORS
from critic.members.base import ClassifierSettings
from critic.members.text import TextMember, TextNetSettings
from critic.members.text_excerpts import TextExcerpts, extract_features
from critic.nets.text import frozen_training_net

pytestmark = pytest.mark.slow

MODEL = tiny.checkpoint()
SETTINGS = ClassifierSettings(MODEL.encoding, MODEL.vocab, ("generated", "human"), 4.0)
SIZES = ARCHITECTURES["awd_lstm"].DEFAULTS | tiny.SIZES
PRETRAINED = TextNetSettings("awd_lstm", SIZES, MODEL.tensors)
QUICK = replace(TextMember.HEAD_TRAINING, epochs=3, batches_per_epoch=20, bs=32)
PIECES = [tiny.riff(50), tiny.tune(3, n_notes=100)]


def ignore(line):
    """Drop a line of the log."""


def compose(n, quarters, seed):
    """Return what an untrained model composes with the seeds from one on."""
    seeds = range(seed, seed + n)
    return [sample.notes for sample in Generator(MODEL).continue_each([None] * n, quarters, None, seeds)]


@pytest.fixture(scope="module")
def table():
    return tiny.excerpts({"train": 16, "valid": 8, "test": 8})


def test_fine_tuning_tells_riffs_from_composed_music():
    """Human here is a few notes again and again, generated what an untrained model composes."""
    composed = compose(40, 8, seed=3)
    rows = [("human", crop(tiny.riff(i), 0, 96)) for i in range(40)] + [("generated", notes) for notes in composed]
    table = pd.DataFrame(
        {"label": label, "split": "valid" if i % 4 == 0 else "train", "tokens": MODEL.encoding.encode(notes)[0]}
        for i, (label, notes) in enumerate(rows)
    )
    training = replace(TextMember.TRAINING, epochs=6, lr=0.02, bs=8)
    critic = Critic(TextMember.train(table, SETTINGS, training, net=PRETRAINED, log=ignore))
    human = critic.score([tiny.riff(i) for i in range(90, 98)])
    generated = critic.score(compose(8, 16, seed=77))
    assert auc(human, generated) > 0.9 and human.mean() > 0 > generated.mean()


def test_a_new_head_trains_alone_for_an_epoch(table):
    """Then the encoder learns, too; the log counts all epochs."""
    lines, kept = [], []
    training = replace(TextMember.TRAINING, epochs=1, bs=8)
    TextMember.train(table, SETTINGS, training, net=PRETRAINED, log=lines.append, on_improvement=kept.append)
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    name = "rnns.0.weight_hh_l0" if "rnns.0.weight_hh_l0" in MODEL.tensors else next(iter(MODEL.tensors))
    assert torch.equal(kept[0].tensors[name], MODEL.tensors[name])


def test_training_continues_from_a_member(table, tmp_path):
    """From its weights, head and all, with its windows and their context; the best so far is handed over."""
    net = TextNetSettings(sizes=tiny.SIZES, context_windows=1)
    training = replace(TextMember.TRAINING, epochs=6, lr=1e-2, bs=8)
    TextMember.train(table, SETTINGS, training, net=net, log=ignore).save(tmp_path)
    start, lines, kept = Critic.load(tmp_path).model, [], []
    again = TextMember.train(
        table,
        SETTINGS,
        replace(training, epochs=2, lr=1e-9),
        net=TextNetSettings.from_member(start),
        log=lines.append,
        on_improvement=kept.append,
    )
    assert len(lines) == 2  # no epoch for the head alone
    assert again.net_settings["context_windows"] == 1
    assert 1 <= len(kept) <= 2
    assert Critic(kept[-1]).score(PIECES).tolist() == Critic(again).score(PIECES).tolist()
    assert all(
        torch.allclose(again.tensors[name].float(), v.float(), atol=1e-3)
        for name, v in start.tensors.items()
        if name.startswith("head.") and name.endswith("weight")
    )


@pytest.fixture(scope="module", params=[False, True], ids=["text", "text and descriptors"])
def frozen(request, table):
    """Heads on a frozen encoder, trained twice."""
    net = replace(PRETRAINED, freeze_encoder=True, add_descriptors=request.param)
    return [TextMember.train(table, SETTINGS, QUICK, net=net, log=ignore) for _ in range(2)]


def test_a_frozen_encoder_is_the_models_and_knows_enough(frozen, table):
    member, again = frozen
    assert all(torch.equal(member.tensors[name], v) for name, v in MODEL.tensors.items() if name in member.tensors)
    assert sum(not name.startswith("head.") for name in member.tensors) >= len(MODEL.tensors) - 1
    assert evaluate(Critic(member), table)["auc"] > 0.9
    assert Critic(member).score(PIECES).tolist() == Critic(again).score(PIECES).tolist()


def test_heads_read_descriptors_if_asked(frozen):
    net, critic = frozen[0].net, Critic(frozen[0])
    n_inputs = net.heads[0][1].in_features
    assert n_inputs == net.width + N_DESCRIPTORS * frozen[0].reads_descriptors
    if frozen[0].reads_descriptors:
        before = critic.score(PIECES)
        weight = net.heads[0][1].weight.data[:, -N_DESCRIPTORS:]
        kept = weight.clone()
        weight.zero_()
        assert (critic.score(PIECES) != before).all()
        weight.copy_(kept)


def test_heads_are_kept_whole(frozen, tmp_path):
    frozen[0].save(tmp_path)
    critic = Critic.load(tmp_path)
    assert critic.model.net_settings["freeze_encoder"] and critic.window_quarters == 4
    assert critic.model.reads_descriptors == frozen[0].reads_descriptors
    np.testing.assert_allclose(critic.score(PIECES), Critic(frozen[0]).score(PIECES), rtol=0.02, atol=0.05)
    np.testing.assert_allclose(critic.score(PIECES), [critic.score([p])[0] for p in PIECES], atol=1e-3)


def test_features_do_not_depend_on_the_batch(table):
    excerpts = TextExcerpts(table, SETTINGS)
    net = frozen_training_net("awd_lstm", MODEL.tensors, 2)
    features = extract_features(net, excerpts)
    assert np.bincount(features.excerpt).tolist() == excerpts.n_windows(np.arange(len(excerpts)))
    assert (excerpts.labels[features.excerpt] == features.labels.numpy()).all()
    alone = extract_features(net, TextExcerpts(table[3:4], SETTINGS))
    rows = torch.from_numpy(features.excerpt == 3)
    assert torch.allclose(features.values[rows], alone.values, atol=1e-2)
