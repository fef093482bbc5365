"""What every member of an ensemble does, over the registry."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from clara.checkpoints.checkpoint import CONFIG
from critic.classifier import make_classifier
from critic.evaluation import evaluate
from critic.members import MEMBERS
from critic.members.base import ClassifierSettings
from critic.members.storage import load_folder
from critic.members.text import TextNetSettings
from critic.nets.inputs import Text

pytestmark = pytest.mark.slow

SETTINGS = ClassifierSettings(tiny.checkpoint().encoding, tiny.checkpoint().vocab, ("generated", "human"), 4.0)
LR = {"text": 2e-2}  # so small a network learns at a higher rate
OPTIONS = {"text": {"net": TextNetSettings(sizes=tiny.SIZES)}}


def train(member_type, table, log=lambda _: None, **options):
    kind = MEMBERS[member_type]
    training = replace(kind.TRAINING, epochs=12, bs=8, lr=LR.get(member_type, kind.TRAINING.lr))
    return kind.train(table, SETTINGS, training, log=log, **OPTIONS.get(member_type, {}), **options)


@pytest.fixture(scope="module")
def table():
    return tiny.excerpts({"train": 16, "valid": 8, "test": 8})


@pytest.fixture(scope="module", params=MEMBERS)
def member_type(request):
    return request.param


@pytest.fixture(scope="module")
def trained(member_type, table):
    """Return a trained member, its log, and the members that were kept on the way."""
    lines, kept = [], []
    return train(member_type, table, lines.append, on_improvement=kept.append), lines, kept


def test_the_registry_names_each_type(member_type):
    assert MEMBERS[member_type].type == member_type


def test_it_learns_to_tell_riffs_from_noise(trained, table):
    member, lines, kept = trained
    assert evaluate(make_classifier(member), table)["auc"] > 0.9
    assert lines and all(line.startswith("epoch ") for line in lines) and 1 <= len(kept) <= len(lines)
    texts = table["tokens"].tolist()[:4]
    for a, b in zip(kept[-1].window_log_probs(texts), member.window_log_probs(texts)):
        assert a.tolist() == b.tolist()


def test_the_same_seed_trains_the_same(member_type, trained, table):
    texts = table["tokens"].tolist()[:6]
    again = train(member_type, table)
    for a, b in zip(trained[0].window_log_probs(texts), again.window_log_probs(texts)):
        assert a.tolist() == b.tolist()


def test_a_folder_gives_the_same_log_probabilities(member_type, trained, table, tmp_path):
    trained[0].save(tmp_path / "first")
    first = load_folder(tmp_path / "first", MEMBERS)
    first.save(tmp_path / "second")
    second = load_folder(tmp_path / "second", MEMBERS)
    assert type(second) is MEMBERS[member_type] and second.settings.classes == SETTINGS.classes
    assert json.loads((tmp_path / "second" / CONFIG).read_text())["type"] == member_type
    assert (tmp_path / "second" / CONFIG).read_text() == (tmp_path / "first" / CONFIG).read_text()
    texts = table["tokens"].tolist()[:6]
    results = (m.window_log_probs(texts) for m in (trained[0], first, second))
    for a, b, c in zip(*results):
        assert b == pytest.approx(a, abs=0.05)  # half precision
        assert c.tolist() == b.tolist()


def test_scores_do_not_depend_on_batches(member_type, monkeypatch):
    """One by one as all at once, and in any order."""
    member = tiny.member(member_type)
    texts = [member.settings.encoding.encode(tiny.tune(i, n_notes=30 + 40 * i))[0] for i in range(6)]
    together = member.window_log_probs(texts)
    for i, text in enumerate(texts):
        assert member.window_log_probs([text])[0] == pytest.approx(together[i], abs=1e-4)
    for a, b in zip(member.window_log_probs(texts[::-1])[::-1], together):
        assert a == pytest.approx(b, abs=1e-4)
    monkeypatch.setattr(type(member), "max_batch_size", 1)
    for a, b in zip(member.window_log_probs(texts), together):
        assert a == pytest.approx(b, abs=1e-4)


def test_log_probabilities_of_each_window_sum_to_one(member_type):
    classes = ("bach", "chopin", "satie")[: 2 if member_type == "boosted_trees" else 3]
    member = tiny.member(member_type, classes=classes)
    notes = tiny.tune(1, n_notes=100)
    (log_probs,) = member.window_log_probs([member.settings.encoding.encode(notes)[0]])
    assert log_probs.dtype == np.float32
    assert log_probs.shape == (round(notes.quarters / member.settings.window_quarters), len(classes))
    assert np.exp(log_probs).sum(1) == pytest.approx(np.ones(len(log_probs)), abs=1e-5)


def test_threads_change_nothing(member_type, monkeypatch):
    member = tiny.member(member_type)
    texts = [member.settings.encoding.encode(tiny.tune(i, n_notes=40 + 25 * i))[0] for i in range(5)]
    sizes = [member.size(member.prepare(Text(text, member.settings.encoding))) for text in texts]
    monkeypatch.setattr(type(member), "max_batch_size", max(sizes) * 2)
    before, results = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        results.append(member.window_log_probs(texts))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert all(a.tolist() == b.tolist() for a, b in zip(*results))


def test_it_describes_itself(member_type):
    assert len(tiny.member(member_type).describe()) > 20
