"""From a corpus to excerpts to a classifier, at the smallest size."""

import json

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from clara.data.corpus import Corpus
from clara.errors import BadSetting
from clara.generator import Generator
from clara.models import ARCHITECTURES
from clara.music.notes import build_notes
from critic import Critic, excerpts
from critic import ensemble as blend
from critic import train as command
from critic.data import human_vs_generated
from critic.data.human_vs_generated import CriticExcerptSettings, human_and_generated_excerpts
from critic.data.table import (
    EXCERPTS_FILE,
    read_excerpts,
)
from critic.evaluation import accuracies, auc, evaluate
from critic.features.descriptors import N_DESCRIPTORS
from critic.nets.piano_roll import collate_rolls
from critic.training import text as training
from critic.training.common import calibrated
from critic.training.descriptors import train_statistics
from critic.training.piano_roll import Rolls, train_rolls
from critic.training.self_similarity import train_similarity
from critic.training.text import Excerpts

QUARTERS = 8


def figure(seed, n_notes=160):
    """Six notes of a rhythm of their own, again and again."""
    rng = np.random.default_rng(seed)
    gaps = np.tile(rng.integers(2, 8, 6), n_notes // 6)
    end = gaps.cumsum()
    return build_notes(end - gaps, end, np.tile(rng.integers(50, 75, 6), n_notes // 6))[0]


@pytest.fixture(scope="module", autouse=True)
def quick():
    """A fifth of the usual steps of learning a frozen net's heads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "STEPS", training.STEPS // 5)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Human here is a few notes again and again."""
    return Corpus.load(tiny.corpus(tmp_path_factory.mktemp("critic"), [figure(i) for i in range(24)]))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two of the same vocabulary."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for seed, folder in enumerate(folders):
        tiny.checkpoint(seed=seed).save(folder)
    return folders


@pytest.fixture(scope="module")
def made(models, corpus):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(human_vs_generated, "USUAL_SHARE", 0.0)  # of so few each must be sampled otherwise
        counts = {"train": 16, "judge": 8, "valid": 8, "test": 8}
        return human_and_generated_excerpts(models[:1], corpus, CriticExcerptSettings(counts, QUARTERS, seed=3))


@pytest.fixture(scope="module")
def critic(made, corpus):
    table = made.assign(tokens=made["tokens"].str.split())
    model = tiny.checkpoint()
    from clara.models import ARCHITECTURES

    sizes = ARCHITECTURES["awd_lstm"].DEFAULTS | model.sizes
    return training.train(
        table,
        corpus.encoding,
        model.vocab,
        "awd_lstm",
        sizes,
        model.tensors,
        epochs=10,
        lr=0.02,
        bs=8,
        tell=lambda _: None,
    ), table


def test_figures_are_told_from_noise(critic):
    classifier, table = critic
    assert isinstance(classifier, Critic)
    assert evaluate(classifier, table)["auc"] > 0.9
    composed = Generator(tiny.checkpoint()).generate(8, 2 * QUARTERS, seed=77)
    human, generated = (
        classifier.score([figure(i) for i in range(90, 98)]),
        classifier.score([s.notes for s in composed]),
    )
    assert auc(human, generated) > 0.9 and human.mean() > 0 > generated.mean()


def test_the_same_seed_trains_the_same(made, corpus):
    table, model = made.assign(tokens=made["tokens"].str.split()), tiny.checkpoint()
    from clara.models import ARCHITECTURES

    sizes = ARCHITECTURES["awd_lstm"].DEFAULTS | model.sizes
    a, b = (
        training.train(
            table, corpus.encoding, model.vocab, "awd_lstm", sizes, model.tensors, epochs=1, bs=8, tell=lambda _: None
        )
        for _ in "ab"
    )
    pieces = [tiny.tune(i, n_notes=60) for i in range(3)]
    assert a.score(pieces).tolist() == b.score(pieces).tolist()


def test_excerpts_kept_as_bits_are_the_same_rolls(made, corpus):
    table = made[:9].assign(tokens=made["tokens"].str.split())
    kept, rows, shift = Rolls(table, corpus.encoding, ["generated", "human"]), np.array([4, 0, 7]), np.array([5, -6, 0])
    pieces = [
        (corpus.encoding.decode(table["tokens"][i])[0], sum(corpus.encoding.token_steps(table["tokens"][i])))
        for i in rows
    ]
    for moved in (shift, None):
        (found, n_found), (rolls, n_steps) = kept.rolls(rows, moved), collate_rolls(pieces, moved)
        assert n_found == n_steps and np.array_equal(found.numpy(), rolls.numpy()) and rolls.any()


def test_a_run_of_an_excerpt_is_its_roll_from_there_on(made, corpus):
    table = made[:9].assign(tokens=made["tokens"].str.split())
    kept, rows, shift = (
        Rolls(table, corpus.encoding, ["generated", "human"]),
        np.array([4, 0, 7, 4]),
        np.array([5, -6, 0, 5]),
    )
    runs = kept.runs(rows, np.random.default_rng(3))
    (whole, n_whole), (found, n_found) = kept.rolls(rows, shift), kept.rolls(rows, shift, runs)
    assert (runs % 12 == 0).all() and len(set(map(tuple, runs.tolist()))) > 1 and found.any()
    for one, run, all_of_it, steps, (first, many) in zip(found, n_found, whole, n_whole, runs):
        assert run == many >= 0.5 * (steps // 12) * 12 - 12 and first + many <= steps
        assert np.array_equal(one[:, :, :many], all_of_it[:, :, first : first + many]) and not one[:, :, many:].any()


def test_classes_of_unequal_number_are_drawn_alike(made, corpus):
    table = made.assign(tokens=made["tokens"].str.split())
    table = table[(table["label"] == "human") | (np.arange(len(table)) % 3 == 0)].reset_index(drop=True)
    kept = Rolls(table, corpus.encoding, ["generated", "human"])
    drawn = np.bincount(kept.label[np.concatenate(kept.batches(4, np.random.default_rng(0)))])
    have = np.bincount(kept.label)
    assert have[0] < drawn[0] and drawn[1] < have[1]


def test_the_mean_of_the_weights_follows_them():
    net = torch.nn.Linear(1, 1, bias=False)
    mean = training.running_mean(net)
    for step in range(5000):
        with torch.no_grad():
            net.weight.fill_(step % 2)
        mean.update_parameters(net)
        assert step > 5 or abs(mean.module.weight.item() - step % 2) < 0.95
    assert mean.module.weight.item() == pytest.approx(0.5, abs=0.01)


def test_rolls_go_on_from_what_was_learned(made, corpus, tmp_path):
    table, vocab = made.assign(tokens=made["tokens"].str.split()), tiny.checkpoint().vocab
    learned = train_rolls(table, corpus.encoding, vocab, quarters=4, epochs=12, bs=8, tell=lambda _: None)
    learned.save(tmp_path / "learned")
    start = Critic.load(tmp_path / "learned")
    told = []
    further = train_rolls(
        table, corpus.encoding, vocab, quarters=4, start=start, epochs=1, lr=1e-4, bs=8, tell=told.append
    )
    assert evaluate(further, table)["auc"] > 0.9 and float(told[0].split()[5]) < 0.5
    with pytest.raises(BadSetting, match="same windows"):
        train_rolls(table, corpus.encoding, vocab, quarters=2, start=start, epochs=1, bs=8)


def test_a_reader_goes_on_from_what_was_learned(made, corpus, tmp_path):
    """From its weights, head and all, its windows and what stands around them; what is best so far is told as it comes."""
    table, model = made.assign(tokens=made["tokens"].str.split()), tiny.checkpoint()
    start = training.train(
        table,
        corpus.encoding,
        model.vocab,
        "awd_lstm",
        ARCHITECTURES["awd_lstm"].DEFAULTS | tiny.SIZES,
        None,
        quarters=4,
        around=1,
        epochs=6,
        lr=1e-2,
        bs=8,
        tell=lambda _: None,
    )
    start.save(tmp_path / "learned")
    start, told, kept = Critic.load(tmp_path / "learned"), [], []
    sizes = ARCHITECTURES["awd_lstm"].DEFAULTS | start.sizes
    again = training.train(
        table,
        corpus.encoding,
        start.vocab,
        "awd_lstm",
        sizes,
        start.tensors,
        quarters=4,
        around=1,
        epochs=2,
        lr=1e-9,
        bs=8,
        tell=told.append,
        keep=kept.append,
    )
    assert len(told) == 2  # no epoch for the head alone
    pieces = [figure(50), tiny.tune(3, n_notes=100)]
    assert 1 <= len(kept) <= 2 and kept[-1].score(pieces).tolist() == again.score(pieces).tolist()
    assert all(
        torch.allclose(again.tensors[k].float(), v.float(), atol=1e-3)
        for k, v in start.tensors.items()
        if k.startswith("head.") and k.endswith("weight")
    )


@pytest.mark.parametrize(
    "learn, kind", [(train_rolls, "rolls"), (train_statistics, "statistics"), (train_similarity, "similarity")]
)
def test_a_net_learns_from_notes(made, corpus, learn, kind):
    """Figures that come again and again, told from noise."""
    table, vocab = made.assign(tokens=made["tokens"].str.split()), tiny.checkpoint().vocab
    a, b = (learn(table, corpus.encoding, vocab, quarters=4, epochs=12, bs=8, tell=lambda _: None) for _ in "ab")
    assert isinstance(a, Critic) and a.kind == kind and evaluate(a, table)["auc"] > 0.9
    pieces = [figure(i) for i in range(3)]
    assert a.score(pieces).tolist() == b.score(pieces).tolist()


@pytest.fixture(scope="module")
def frozen(made, corpus):
    table, model = made.assign(tokens=made["tokens"].str.split()), tiny.checkpoint()
    return [
        training.train_frozen(
            table,
            corpus.encoding,
            model.vocab,
            "awd_lstm",
            model.sizes,
            model.tensors,
            quarters=QUARTERS,
            tell=lambda _: None,
        )
        for _ in "ab"
    ], table


def test_a_frozen_encoder_is_the_generators_and_hears_enough(frozen):
    (classifier, again), table = frozen
    model = tiny.checkpoint()
    assert all(
        classifier.tensors[k] is model.tensors[k] or (classifier.tensors[k] == model.tensors[k]).all()
        for k in model.tensors
    )
    assert evaluate(classifier, table)["auc"] > 0.9
    pieces = [tiny.tune(i, n_notes=100) for i in range(3)]
    assert classifier.score(pieces).tolist() == again.score(pieces).tolist()


@pytest.fixture(scope="module")
def counting(made, corpus):
    """A head that reads what can be counted, too."""
    table, model = made.assign(tokens=made["tokens"].str.split()), tiny.checkpoint()
    return training.train_frozen(
        table,
        corpus.encoding,
        model.vocab,
        "awd_lstm",
        model.sizes,
        model.tensors,
        quarters=QUARTERS,
        counts=True,
        tell=lambda _: None,
    ), table


def test_a_head_reads_text_and_counts(counting, frozen):
    classifier, table = counting
    assert classifier.counts and not frozen[0][0].counts and evaluate(classifier, table)["auc"] > 0.9
    inputs = classifier.net.heads[0][1].in_features
    assert inputs == frozen[0][0].net.heads[0][1].in_features + N_DESCRIPTORS
    pieces, net = [figure(50), tiny.tune(3, n_notes=100)], classifier.net
    before = classifier.score(pieces)
    weight = net.heads[0][1].weight.data[:, -N_DESCRIPTORS:]
    kept = weight.clone()
    weight.zero_()
    assert (classifier.score(pieces) != before).all()
    weight.copy_(kept)


@pytest.mark.parametrize("counts", [False, True])
def test_a_frozen_net_is_kept_whole(frozen, counting, counts, tmp_path):
    classifier = counting[0] if counts else frozen[0][0]
    classifier.save(tmp_path)
    found, pieces = Critic.load(tmp_path), [figure(50), tiny.tune(3, n_notes=100)]
    assert found.kind == "frozen" and found.window_quarters == QUARTERS and found.counts == counts
    np.testing.assert_allclose(found.score(pieces), classifier.score(pieces), rtol=0.02, atol=0.05)
    np.testing.assert_allclose(found.score(pieces), [found.score([p])[0] for p in pieces], atol=1e-3)


def test_the_deviation_is_a_deviation(frozen):
    """What a frozen net sums up is what numpy says of the encoder's outputs."""
    import torch

    from critic.nets.text import collate

    (classifier, _), _ = frozen
    net, ids, window = classifier.net, np.arange(3, 43), np.repeat([0, 1], 20)
    batch = collate([(ids, window), (ids[:25], window[:25])], classifier.vocab.pad_id)
    told = net.summaries(*batch).numpy()
    outputs = net.encode(torch.from_numpy(ids)[None])[0].float().numpy()
    for row, part in zip(told, (outputs[:20], outputs[20:], outputs[:20], outputs[20:25])):
        np.testing.assert_allclose(row, np.concatenate([part.mean(0), part.std(0), part.max(0)]), atol=2e-3)


def test_composers_count_alike_in_training():
    rows = [{"label": label, "tokens": ["p40", "wait24", "wait24", "endp40"] * 4} for label in ["a"] * 40 + ["b"] * 10]
    model = tiny.checkpoint()
    learn = Excerpts(pd.DataFrame(rows), model.encoding, model.vocab, ["a", "b"])
    seen = np.concatenate([learn.label[rows] for rows, *_ in learn.batches(8, np.random.default_rng(0), balanced=True)])
    assert np.bincount(seen).tolist() == [32, 16]  # the square root of how many there are
    assert len(np.concatenate([rows for rows, *_ in learn.batches(8)])) == 50


def test_the_commands(corpus, tmp_path):
    tiny.checkpoint().save(tmp_path / "model")
    argv = [
        corpus.folder,
        "--out",
        tmp_path / "excerpts",
        "--models",
        tmp_path / "model",
        "-n",
        16,
        "--quarters",
        QUARTERS,
    ]
    assert tiny.leave(excerpts.main, argv) == 0
    table, how = read_excerpts(tmp_path / "excerpts")
    assert how["quarters"] == QUARTERS and len(table) > 32
    argv = [tmp_path / "excerpts", "--pretrained", tmp_path / "model", "--out", tmp_path / "critic", "--epochs", 1]
    assert tiny.leave(command.main, argv) == 0
    critic = Critic.load(tmp_path / "critic")
    argv = [
        tmp_path / "excerpts",
        "--pretrained",
        tmp_path / "model",
        "--out",
        tmp_path / "frozen",
        "--frozen",
        "--window",
        4,
    ]
    assert tiny.leave(command.main, argv) == 0
    assert Critic.load(tmp_path / "frozen").window_quarters == 4
    assert "Tells human music from generated" in (tmp_path / "frozen" / "README.md").read_text()
    assert (
        tiny.leave(command.main, [tmp_path / "excerpts", "--from-scratch", "--out", tmp_path / "no", "--frozen"]) == 2
    )
    assert set(critic.info["figures"]["test"]) == {"auc", "accuracy"}
    argv = [
        tmp_path / "excerpts",
        "--from-scratch",
        "--emb-sz",
        8,
        "--n-hid",
        12,
        "--n-layers",
        1,
        "--epochs",
        1,
        "--out",
        tmp_path / "small",
    ]
    assert tiny.leave(command.main, argv) == 0
    small = Critic.load(tmp_path / "small")
    assert (small.kind, *(small.sizes[k] for k in ("emb_sz", "n_hid", "n_layers"))) == ("tuned", 8, 12, 1)
    assert tiny.leave(command.main, [*argv[:-1], tmp_path / "no", "--device", "abacus"]) == 2
    argv = [tmp_path / "excerpts", "--start", tmp_path / "small", "--epochs", 1, "--out", tmp_path / "newer"]
    assert (
        tiny.leave(command.main, argv) == 0
        and Critic.load(tmp_path / "newer").info["training"]["before"] == small.info["training"]
    )
    card = (tmp_path / "newer" / "README.md").read_text()
    assert "from scratch" in card and card.count("`python -m critic.train") == 2
    assert (
        tiny.leave(command.main, [tmp_path / "excerpts", "--start", tmp_path / "frozen", "--out", tmp_path / "no"]) == 2
    )
    argv = [tmp_path / "excerpts", "--rolls", "--window", 4, "--epochs", 1, "--bs", 8, "--out", tmp_path / "rolls"]
    assert tiny.leave(command.main, argv) == 0 and "piano rolls" in (tmp_path / "rolls" / "README.md").read_text()
    argv = [
        tmp_path / "excerpts",
        "--pretrained",
        tmp_path / "model",
        "--out",
        tmp_path / "both",
        "--frozen",
        "--statistics",
        "--window",
        4,
    ]
    assert (
        tiny.leave(command.main, argv) == 0
        and "reads what can be counted, too" in (tmp_path / "both" / "README.md").read_text()
    )
    argv = [tmp_path / "excerpts", "--statistics", "--window", 4, "--epochs", 1, "--out", tmp_path / "statistics"]
    assert (
        tiny.leave(command.main, argv) == 0
        and "what can be counted" in (tmp_path / "statistics" / "README.md").read_text()
    )
    argv = [tmp_path / "excerpts", "--similarity", "--window", 4, "--epochs", 1, "--out", tmp_path / "similarity"]
    assert (
        tiny.leave(command.main, argv) == 0
        and "sees where music is like itself" in (tmp_path / "similarity" / "README.md").read_text()
    )
    argv = [
        *(tmp_path / voice for voice in ("frozen", "rolls", "statistics", "similarity")),
        "--excerpts",
        tmp_path / "excerpts",
        "--most",
        12,
        "--out",
        tmp_path / "blend",
    ]
    assert tiny.leave(blend.main, argv) == 0
    assert tiny.leave(blend.main, [*argv[:-1], tmp_path / "even", "--even"]) == 0
    assert all(w > 0 for _, w in Critic.load(tmp_path / "even").voices)
    blended, card = Critic.load(tmp_path / "blend"), (tmp_path / "blend" / "README.md").read_text()
    assert [voice.kind for voice, _ in blended.voices] == ["frozen", "rolls", "statistics", "similarity"] and set(
        blended.info["figures"]
    ) == {"valid", "test"}
    assert "A blend of voices" in card and card.count("`python -m critic.") == 6  # excerpts, four voices, the blend
    assert (
        tiny.leave(blend.main, [tmp_path / "critic", tmp_path / "rolls", *argv[4:6], "--out", tmp_path / "no"]) == 2
    )  # other windows
    assert (
        tiny.leave(excerpts.main, [corpus.folder, "--out", tmp_path / "by", "--composers", 2, "--quarters", QUARTERS])
        == 0
    )
    assert read_excerpts(tmp_path / "by")[0]["label"].unique().tolist() == ["nobody"]
    assert tiny.leave(excerpts.main, [corpus.folder, "--out", tmp_path / "no"]) == 2


def test_one_start_and_its_own_net(tmp_path, capsys):
    for more, told in (
        ([], "required"),
        (["--from-scratch", "--pretrained", "x"], "not allowed"),
        (["--pretrained", "x", "--arch", "wavenet"], "--arch"),
        (["--rolls", "--statistics"], "stands alone"),
        (["--pretrained", "x", "--statistics"], "stands alone"),
        (["--rolls", "--n-hid", 8], "--from-scratch"),
        (["--start", "x", "--pretrained", "x"], "--start"),
        (["--start", "x", "--statistics"], "--start"),
        (["--similarity", "--statistics"], "stands alone"),
        (["--similarity", "--rolls"], "not allowed"),
        (["--start", "x", "--similarity"], "--start"),
        (["--rolls", "--around", 1], "--around"),
        (["--start", "x", "--around", 1], "--around"),
        (["--pretrained", "x", "--frozen", "--around", 1], "--around"),
    ):
        assert tiny.leave(command.main, [tmp_path, "--out", tmp_path / "no", *more]) == 2
        assert told in capsys.readouterr().err
    assert f"without it {training.WINDOW:g}" in " ".join(command.parser().format_help().split())


def test_what_was_best_stands_after_an_interruption(made, corpus, tmp_path, monkeypatch):
    """Ctrl-C in a later epoch leaves a critic that can be used, and no card that tells of figures."""
    folder = tmp_path / "excerpts"
    folder.mkdir()
    made.to_csv(folder / EXCERPTS_FILE, index=False)
    (folder / "excerpts.json").write_text(
        json.dumps(
            {"encoding": corpus.encoding.settings, "quarters": QUARTERS, "fingerprint": "", "about": "", "seed": 0}
        )
    )
    tiny.checkpoint().save(tmp_path / "model")
    offered, offer = [], training.Best.offer

    def stopped(best, *what, **more):
        offer(best, *what, **more)
        offered.append(best.temperature)
        if len(offered) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Best, "offer", stopped)
    assert (
        tiny.leave(
            command.main,
            [folder, "--pretrained", tmp_path / "model", "--window", 4, "--epochs", 9, "--out", tmp_path / "critic"],
        )
        == 130
    )
    critic = Critic.load(tmp_path / "critic")
    assert critic.temperature == offered[-1] and critic.info["training"]["arguments"]["epochs"] == 9
    assert np.isfinite(critic.score([figure(50)])).all() and not (tmp_path / "critic" / "README.md").exists()


def test_area_under_the_curve():
    assert auc(np.array([3.0, 2.0]), np.array([1.0, 0.0])) == 1
    assert auc(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0.5
    assert auc(np.array([2.0, 0.0]), np.array([1.0])) == 0.5
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 40).astype(float), rng.integers(0, 7, 50).astype(float)
    assert auc(a, b) == pytest.approx(((a[:, None] > b) + 0.5 * (a[:, None] == b)).mean())


def test_accuracies():
    told, truth = np.eye(2)[[0, 0, 0, 1, 0]], np.array([0, 0, 0, 1, 1])
    assert accuracies(told, truth) == {"accuracy": 0.8, "balanced_accuracy": 0.75}


def test_calibration_counts_classes_as_told():
    import torch

    logits, labels = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 0, 1])
    assert calibrated(logits, labels) < calibrated(logits, labels, torch.tensor([1.0, 2.0]))


def test_calibration_finds_the_temperature():
    import torch

    torch.manual_seed(0)
    logits = torch.randn(4000, 2)
    labels = torch.multinomial(logits.softmax(1), 1)[:, 0]
    assert calibrated(logits * 3, labels) == pytest.approx(3, rel=0.15)
