"""Adapters change the style of a model, leave its weights as they are and refuse other models."""

import shutil

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from clara.checkpoints.adapter import Adapter
from clara.checkpoints.checkpoint import Checkpoint
from clara.data.corpus import Corpus
from clara.encodings.notewise import Notewise
from clara.errors import BadSetting, CheckpointMismatch
from clara.generation.generator import Generator
from clara.models.likelihood import nats_per_quarter
from clara.training.adapter_tuning import ADAPTER_FILE, AdapterSettings, fit_adapter
from clara.training.callbacks import HISTORY
from clara.training.model_cards import CARD
from clara.training.plan_costs import costs_by_knowledge
from clara_app import compose as generate
from clara_app import train
from clara_app.composer import model_for_adapter
from clara_app.defaults import DEFAULT_MODEL


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny.checkpoint().save(folder)
    return folder


@pytest.fixture(scope="module")
def made(data, base, tmp_path_factory):
    """Train an adapter on the command line; return its folder."""
    out = tmp_path_factory.mktemp("light") / "run"
    argv = [
        "--data",
        data,
        "--adapter",
        "--pretrained",
        base,
        "--out",
        out,
        "--epochs",
        6,
        "--lr",
        0.05,
        "--threads",
        1,
    ]
    assert tiny.leave(train.main, argv) == 0
    return out


def test_it_lowers_the_cost_of_its_music(made, data, base):
    adapter = Adapter.load(made / ADAPTER_FILE)
    figures = adapter.info["figures"]
    assert figures["valid_after"] < 0.95 * figures["valid_before"]
    assert set(adapter.tensors) == {"output.weight", "output.bias", "initial_state.0.h", "initial_state.0.c"}
    checkpoint = adapter.apply_to(Checkpoint.load(base), base)
    corpus = Corpus.load(data)
    for split in ("valid", "test"):
        assert nats_per_quarter(checkpoint.inference_model(), corpus, split) == pytest.approx(
            figures[f"{split}_after"], abs=1e-3
        )
        assert nats_per_quarter(Checkpoint.load(base).inference_model(), corpus, split) == pytest.approx(
            figures[f"{split}_before"], abs=1e-3
        )
    history = pd.read_csv(made / HISTORY)
    assert history["nats_per_quarter"].min() == pytest.approx(figures["valid_after"], rel=1e-2)


def test_the_base_stays_as_it_is(made, base):
    before = tiny.checkpoint().tensors
    after = Checkpoint.load(base).tensors
    assert all(torch.equal(after[n].float(), before[n].half().float()) for n in before)
    styled = Adapter.load(made / ADAPTER_FILE).apply_to(Checkpoint.load(base), base).tensors
    assert all(torch.equal(styled[n], after[n]) for n in after if n != "output.bias")


def test_every_piece_starts_in_the_adapters_state(made, base):
    plain, styled = Generator.load(base).model, Generator.load(base, made / ADAPTER_FILE).model
    assert all((s == 0).all() for layer in plain.initial_state(2) for s in layer)
    loaded = Adapter.load(made / ADAPTER_FILE).tensors
    for layer in styled.initial_state(3):
        for s, name in zip(layer, ("initial_state.0.h", "initial_state.0.c")):
            assert s.shape == (1, 3, 8) and torch.equal(s, loaded[name].float().expand(1, 3, 8))
            assert s.abs().max() > 0


def test_composing_with_an_adapter_can_be_replayed(made, base, tmp_path):
    argv = [
        "--model",
        base,
        "--adapter",
        made / ADAPTER_FILE,
        "--quarters",
        4,
        "-n",
        2,
        "--seed",
        3,
        "--no-audio",
        "--rank-by",
        "none",
    ]
    assert tiny.leave(generate.main, [*argv, "--out", tmp_path / "a"]) == 0
    replay = ["--replay", tmp_path / "a" / "run.json", "--model", base, "--adapter", made / ADAPTER_FILE, "--no-audio"]
    assert tiny.leave(generate.main, [*replay, "--out", tmp_path / "b"]) == 0
    texts = [(tmp_path / run / "01.txt").read_text() for run in "ab"]
    assert texts[0] == texts[1]


def test_without_a_model_the_base_of_the_adapter_is_found(made, tmp_path, monkeypatch):
    for seed, name in enumerate(("a", DEFAULT_MODEL)):
        tiny.checkpoint(seed=seed).save(tmp_path / "pretrained" / name)
    monkeypatch.setattr("clara.checkpoints.shipped_models.shipped_models_folder", lambda: tmp_path / "pretrained")
    assert model_for_adapter(None) == DEFAULT_MODEL
    assert model_for_adapter(made / ADAPTER_FILE) == "a"
    shutil.rmtree(tmp_path / "pretrained" / "a")
    argv = [
        "--adapter",
        made / ADAPTER_FILE,
        "--quarters",
        4,
        "-n",
        2,
        "--no-audio",
        "--rank-by",
        "none",
        "--out",
        tmp_path / "out",
    ]
    assert tiny.leave(generate.main, argv) == 2  # named, as Generator.load names it


def test_the_same_again(data):
    corpus = Corpus.load(data)
    runs = [fit_adapter(tiny.checkpoint(), corpus, AdapterSettings(epochs=2, seed=5))[1] for _ in range(2)]
    assert [r["nats_per_quarter"] for r in runs[0]] == [r["nats_per_quarter"] for r in runs[1]]
    assert np.isnan(runs[0][0]["train_loss"])


def test_patience(data):
    _, history = fit_adapter(tiny.checkpoint(), Corpus.load(data), AdapterSettings(epochs=50, lr=5.0, patience=2))
    assert len(history) < 50


def test_an_adapter_of_other_weights(made, tmp_path):
    tiny.checkpoint(seed=1).save(tmp_path / "other")
    with pytest.raises(CheckpointMismatch, match="trained for weights"):
        Generator.load(tmp_path / "other", made / ADAPTER_FILE)


@pytest.mark.parametrize("contents", [None, b"", b"hello", b"\x08\0\0\0\0\0\0\0{}      "])
def test_not_an_adapter_file(base, tmp_path, contents):
    path = tmp_path / "a.safetensors"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(CheckpointMismatch, match="adapter file"):
        Generator.load(base, path)


def test_bad_input_of_adapter_training(data, base, made, tmp_path, capsys):
    other = tmp_path / "other"
    tiny.checkpoint(encoding=Notewise(4)).save(other)
    for argv, message in (
        (["--pretrained", other], "vocabulary"),
        (["--pretrained", base, "--from-scratch"], "pretrained model"),
        (["--pretrained", base, "--out", made], "holds an adapter already"),
    ):
        assert tiny.leave(train.main, ["--data", data, "--adapter", "--out", tmp_path / "run", *argv]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(BadSetting, match="awd_lstm"):
        fit_adapter(Checkpoint("lstm", {}, Notewise(), tiny.checkpoint().vocab, {}), Corpus.load(data))


def test_a_model_that_follows_plans(data, tmp_path):
    """Expect that the adapter reads the plans of pieces, in training and when it composes."""
    base, out = tmp_path / "base", tmp_path / "run"
    tiny.plan_follower().save(base)
    argv = ["--data", data, "--adapter", "--pretrained", base, "--out", out]
    assert tiny.leave(train.main, [*argv, "--epochs", 6, "--lr", 0.05, "--threads", 1]) == 0
    adapter = Adapter.load(out / ADAPTER_FILE)
    assert set(adapter.tensors) == {"output.weight", "output.bias", "initial_state.0.h", "initial_state.0.c"}
    adapted = adapter.apply_to(Checkpoint.load(base), base)
    for when, checkpoint in {"before": Checkpoint.load(base), "after": adapted}.items():
        costs = costs_by_knowledge(checkpoint, Corpus.load(data), "valid")
        assert adapter.info["figures"][f"valid_{when}"] == pytest.approx(costs["metre"], abs=1e-3)
        assert adapter.info["figures"][f"valid_{when}_with_returns"] == pytest.approx(costs["returns"], abs=1e-3)
    assert costs["returns"] < 0.95 * adapter.info["figures"]["valid_before_with_returns"]
    history = pd.read_csv(out / HISTORY)
    assert history["nats_per_quarter"].min() == pytest.approx(costs["plan"], rel=1e-2)
    assert "which bars return" in (out / CARD).read_text()
    generator = Generator.load(base, out / ADAPTER_FILE)
    generator.planner = tiny.planner()
    assert len(generator.generate(1, bars=2)[0].notes)


def test_for_a_program(data, base, tmp_path, capsys):
    argv = ["--data", data, "--adapter", "--pretrained", base, "--out", tmp_path / "run", "--epochs", 1, "--threads", 1]
    status, answer = tiny.answer(train.main, argv, capsys)
    assert (
        status == 0
        and answer["figures"] == Adapter.load(answer["adapter"]).info["figures"]
        and answer["folder"] == str(tmp_path / "run")
    )
