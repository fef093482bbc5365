"""Cross-validation for composers: folds by work, and rare composers that count."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny

from clara.encodings.notewise import Notewise
from clara.errors import BadSetting
from clara.music.notes import build_notes
from critic import ComposerClassifier, evaluation
from critic.data.table import COLUMNS
from critic.members.base import ClassifierSettings
from critic.members.text import TextMember, TextNetSettings
from critic.training import cross_validation

pytestmark = pytest.mark.slow

QUARTERS = 8
MODEL = tiny.checkpoint()
NET = TextNetSettings("awd_lstm", MODEL.sizes, MODEL.tensors, freeze_encoder=True)
QUICK = replace(TextMember.HEAD_TRAINING, epochs=2, batches_per_epoch=10, bs=64, lr=1e-2)


def train(table, folds=5):
    """Train on a table; return a ComposerClassifier and its figures."""
    classes = tuple(sorted(set(table["label"])))
    settings = ClassifierSettings(MODEL.encoding, MODEL.vocab, classes, QUARTERS)
    member, figures = cross_validation.train_with_folds(table, settings, NET, QUICK, folds=folds, log=lambda _: None)
    return ComposerClassifier(member), figures


def compose(composer, seed):
    """Eight quarters by one of three composers: fast and high, slow and low, or either of these."""
    rng = np.random.default_rng(seed)
    fast = composer == "fast" or composer == "either" and seed % 2
    gaps = np.full(32, 3) if fast else np.full(12, 8)
    end = gaps.cumsum()
    return build_notes(end - gaps, end, rng.integers(70, 80, len(gaps)) if fast else rng.integers(45, 55, len(gaps)))[0]


@pytest.fixture(scope="module")
def table():
    """Twelve, eight and four works of theirs in train and valid, three each in test; two excerpts a work."""
    rows, encoding = [], Notewise()
    for composer, many in (("fast", 12), ("slow", 8), ("either", 4)):
        for i in range(many + 3):
            split = "test" if i >= many else "valid" if i % 4 == 0 else "train"
            for half in range(2):
                words = encoding.encode(compose(composer, 100 * many + 2 * i + half))[0]
                rows.append(
                    dict(
                        zip(
                            COLUMNS, (composer, split, 100 * many + i, composer, f"{composer}/{i}", 8 * half, "", words)
                        )
                    )
                )
    return pd.DataFrame(rows)


def test_folds_keep_works_whole_and_deal_each_class_evenly():
    rng = np.random.default_rng(0)
    label = rng.choice(3, 400, p=(0.7, 0.2, 0.1))
    work = 100 * label + rng.integers(0, 23, 400)
    work[390:] += 1000  # works of which none is judged
    judged = np.arange(400) < 380  # and ten excerpts of works of which others are
    fold = cross_validation.assign_folds(work, label, judged, 5, rng)
    assert (fold[390:] == -1).all()
    label, work, fold = label[:390], work[:390], fold[:390]
    assert set(fold) == set(range(5))
    for c in range(3):
        of_work = [set(fold[work == one]) for one in np.unique(work[label == c])]
        assert all(len(some) == 1 for some in of_work)
        many = np.bincount([some.pop() for some in of_work], minlength=5)
        assert many.max() - many.min() <= 1


@pytest.fixture(scope="module")
def learned(table):
    return [train(table, folds=3) for _ in "ab"]


def test_composers_are_learned_and_test_works_left_alone(table, learned):
    (classifier, figures), (again, figures_again) = learned
    assert isinstance(classifier, ComposerClassifier) and classifier.classes == ("either", "fast", "slow")
    assert figures == figures_again and set(figures) == {
        f"{of}_{what}" for of in ("excerpt", "piece") for what in ("accuracy", "balanced_accuracy")
    }
    assert 0.6 < figures["piece_accuracy"] < 1  # nobody can know the third in what is new
    assert evaluation.evaluate(classifier, table)["piece_accuracy"] >= 0.6
    pieces = table["tokens"].tolist()[:5]
    assert (classifier.log_probs(pieces) == again.log_probs(pieces)).all()

    changed = table.copy()
    changed["tokens"] = [
        changed["tokens"][0] if split == "test" else words for split, words in zip(changed["split"], changed["tokens"])
    ]
    other, _ = train(changed, folds=3)
    assert (classifier.log_probs(pieces) == other.log_probs(pieces)).all()


def test_no_work_is_judged_by_heads_that_met_it(table):
    """Labels here have nothing to do with the music; only heads that met a work could know its label."""
    shuffled = table.copy()
    names = dict(zip(works := shuffled["work"].unique(), np.random.default_rng(1).choice(["a", "b"], len(works))))
    shuffled["label"] = shuffled["work"].map(names)
    _, figures = train(shuffled, folds=3)
    assert figures["piece_balanced_accuracy"] < 0.8


def test_more_is_learned_from_in_other_folds_and_not_judged(table):
    """Extra excerpts of a judged work stay in its fold; those of other works teach every fold."""
    names = dict(zip(works := table["work"].unique(), np.random.default_rng(1).choice(["a", "b"], len(works))))
    shuffled = table.assign(label=table["work"].map(names))
    learned_from = shuffled[shuffled["split"] != "test"]
    _, figures = train(pd.concat([shuffled, learned_from.assign(split="extra")]), folds=3)
    assert figures["piece_balanced_accuracy"] < 0.8

    two = table[(table["label"] != "either") & (table["split"] != "test")]
    swapped = two.assign(
        label=two["label"].map({"fast": "slow", "slow": "fast"}), work=two["work"] + 10_000, split="extra"
    )
    lied_to = pd.concat(
        [two, *[swapped.assign(work=swapped["work"] + i, piece=swapped["piece"] + f"-{i}") for i in range(6)]]
    )
    for some, right in ((two, True), (lied_to, False)):
        _, figures = train(some, folds=3)
        assert (figures["piece_balanced_accuracy"] > 0.8) == right


def test_what_is_judged_is_drawn_twice_as_often():
    labels, judged = np.array([0, 1, 1, 1]), np.array([True, True, False, False])
    rows = cross_validation.drawn_rows(judged)
    assert rows.tolist() == [0, 0, 1, 1, 2, 3]
    np.testing.assert_allclose(np.exp(cross_validation.log_shares(labels[rows], 2)), [1 / 3, 2 / 3])
    fold = np.array([0, 1, -1, -1])
    assert cross_validation.drawn_rows(judged, fold != 0).tolist() == [1, 1, 2, 3]


def test_a_share_is_taken_from_the_answer(table, monkeypatch):
    """From each composer's logit so much of the logarithm of how much music there is of his."""
    figures = []
    for adjusted in (0.0, 0.5):
        monkeypatch.setattr(cross_validation, "ADJUSTMENTS", np.array([adjusted]))
        monkeypatch.setattr(cross_validation, "TEMPERATURES", np.array([2.0]))
        classifier, _ = train(table, folds=2)
        figures.append(classifier.log_probs(table["tokens"].tolist()[:6]))
    learned_from = table[table["split"] != "test"]["label"].value_counts(normalize=True)
    difference = figures[0] - figures[1]
    share = 0.5 / 2 * np.log([learned_from[c] for c in ("either", "fast", "slow")])
    np.testing.assert_allclose(
        difference - difference.mean(1, keepdims=True), np.tile(share - share.mean(), (6, 1)), atol=2e-3
    )


def test_a_rare_class_that_is_often_missed_is_raised():
    """At the adjustment that costs least more of its pieces are right, and the figures are those."""
    import torch

    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], (180, 20))
    logits = np.stack([np.full(200, 1.2), np.where(label == 1, 1.0, -1.5) + rng.normal(0, 0.6, 200)], 1).astype(
        np.float32
    )
    excerpts = type("Excerpts", (), {"table": pd.DataFrame({"piece": np.arange(200).astype(str)}), "labels": label})
    result = cross_validation.judge_epoch(3, torch.from_numpy(logits), np.log([0.9, 0.1]), excerpts, np.arange(200))
    plain = evaluation.accuracies(logits, label)
    assert result.adjustment > 0 and result.figures["piece_balanced_accuracy"] > plain["balanced_accuracy"] + 0.1


def test_one_work_each_is_too_little(table):
    few = table[table["split"] != "test"].groupby("label").head(2)
    with pytest.raises(BadSetting, match="two works"):
        train(few)
