"""A training run from its settings to its folder, and what it refuses."""

import json
import platform

import pandas as pd
import pytest
import tiny
import torch

from clara.checkpoints.checkpoint import CONFIG, VOCAB, WEIGHTS, Checkpoint, weights_hash
from clara.data.corpus import Corpus
from clara.data.corpus_writer import prepare_corpus
from clara.data.dataloaders import default_batch_size
from clara.data.sources import find_pieces
from clara.devices import choose_device
from clara.encodings.notewise import Notewise
from clara.errors import BadSetting, CheckpointMismatch, NoData
from clara.generation.generator import Generator
from clara.models import awd_lstm
from clara.models.likelihood import nats_per_quarter
from clara.training import callbacks
from clara.training import run as training
from clara.training.callbacks import HISTORY
from clara.training.device_memory import OutOfDeviceMemory, return_freed_memory
from clara.training.model_cards import CARD
from clara.training.resume_state import STATE
from clara.training.run import train
from clara.training.settings import STARTED, TrainSettings

pytestmark = pytest.mark.slow

FILES = {WEIGHTS, VOCAB, CONFIG, HISTORY, "loss.png", CARD}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Train for three epochs without a disturbance."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    assert train(tiny.arguments(data, out), ["train.py", "--out", out]) is False
    return out


def history(folder):
    return pd.read_csv(folder / HISTORY)


def config(folder):
    return json.loads((folder / CONFIG).read_text())


def test_run_folder_holds_what_it_should(finished):
    assert {p.name for p in finished.iterdir()} == FILES | {STATE, STARTED}
    assert (finished / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_in_it_is_pickled(finished):
    for path in finished.iterdir():
        assert path.suffix in (".safetensors", ".txt", ".json", ".csv", ".png", ".md")
        assert path.read_bytes()[:2] not in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")


def test_config_says_what_was_trained_on_and_how_well(finished, data):
    recorded, corpus = config(finished), Corpus.load(data)
    assert {k: recorded["sizes"][k] for k in tiny.SIZES} == tiny.SIZES
    assert recorded["encoding"] == corpus.encoding.settings
    record = recorded["training"]
    assert record["data"]["fingerprint"] == corpus.fingerprint
    assert record["data"]["about"] == "made by a test"
    assert record["data"]["pieces"] == 4
    assert record["arguments"]["bs"] == 4 and record["arguments"]["seed"] == 0
    assert record["command"] == f"train.py --out {finished}"
    assert record["started_from"] is None
    assert record.keys() >= {"commit", "date", "machine"}
    reader = Checkpoint.load(finished).inference_model()
    for split in ("valid", "test"):
        assert recorded["figures"][f"{split}_nats_per_quarter"] == pytest.approx(
            nats_per_quarter(reader, corpus, split), abs=1e-3
        )
    assert recorded["figures"]["epochs"] == 3 and "interrupted" not in recorded["figures"]


def test_card_tells_data_and_figures(finished):
    card = (finished / CARD).read_text()
    assert "made by a test" in card
    assert str(config(finished)["figures"]["valid_nats_per_quarter"]) in card


def test_history_has_a_row_per_epoch_and_the_loss_falls(finished):
    rows = history(finished)
    assert rows["epoch"].tolist() == [1, 2, 3]
    assert rows["train_loss"].iloc[-1] < rows["train_loss"].iloc[0]


def test_the_best_epoch_is_on_disk(data, tmp_path, monkeypatch):
    row, figures = callbacks.CheckpointCallback._row, [3.0, 1.0, 2.0]
    monkeypatch.setattr(
        callbacks.CheckpointCallback, "_row", lambda self: row(self) | {"nats_per_quarter": figures[len(self.history)]}
    )
    kept = []
    monkeypatch.setattr(
        training,
        "save_model",
        lambda learn, to, save_model=training.save_model: (
            save_model(learn, to),
            kept.append((learn.epoch + 1, weights_hash(to))),
        ),
    )
    train(tiny.arguments(data, tmp_path / "run"))
    assert [epoch for epoch, _ in kept] == [1, 2]
    assert weights_hash(tmp_path / "run") == kept[-1][1] != kept[0][1]


def test_it_composes(finished):
    assert len(Generator.load(finished).generate(2, 4)) == 2


def test_the_seed_decides(finished, data, tmp_path):
    train(tiny.arguments(data, tmp_path / "same"))
    train(tiny.arguments(data, tmp_path / "other", "--seed", 1))
    assert weights_hash(tmp_path / "same") == weights_hash(finished)
    assert weights_hash(tmp_path / "other") != weights_hash(finished)


def test_patience_ends_a_run_whole(data, tmp_path):
    out = tmp_path / "run"
    assert train(tiny.arguments(data, out, "--patience", 1, "--epochs", 30, "--lr", 3)) is False
    assert len(history(out)) < 30
    assert config(out)["figures"]["epochs"] == len(history(out))


@pytest.mark.parametrize("other", [Notewise(4, 88), Notewise(12, 62)])
def test_pretrained_weights_of_another_vocabulary(data, tmp_path, capsys, other):
    start = tiny.checkpoint(encoding=other)
    start.save(tmp_path / "pretrained")
    arguments = tiny.arguments(
        data, tmp_path / "run", "--pretrained", tmp_path / "pretrained", "--epochs", 1, "--lr", 1e-9
    )
    train(arguments)
    done = Checkpoint.load(tmp_path / "run")
    shared = set(start.vocab.tokens) & set(done.vocab.tokens)
    assert f"{len(shared)} of {len(done.vocab)} tokens keep their weights" in capsys.readouterr().out
    for word in ("p40", "endp40", "wait3"):
        before, after = (c.tensors["embedding.weight"][c.vocab.id_of[word]].float() for c in (start, done))
        assert torch.allclose(before, after, atol=1e-3)


def test_a_run_is_not_overwritten(finished, data):
    before = {p.name: p.read_bytes() for p in finished.iterdir()}
    with pytest.raises(BadSetting, match=f"{finished}: holds a run already"):
        train(tiny.arguments(data, finished))
    assert {p.name: p.read_bytes() for p in finished.iterdir()} == before


def test_no_data(tmp_path):
    with pytest.raises(NoData, match="nowhere"):
        train(tiny.arguments(tmp_path / "nowhere", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_no_run_to_resume(tmp_path):
    with pytest.raises(BadSetting, match="nowhere"):
        TrainSettings.load(tmp_path / "nowhere")


@pytest.mark.parametrize("device", ["abacus", "cuda:99", ""])
def test_no_such_device(device):
    with pytest.raises(BadSetting, match=f"--device {device}"):
        choose_device(device, "float32")


@pytest.mark.parametrize("precision, bf16", [("bf16", True), ("float32", False)])
def test_device_and_precision_are_told(precision, bf16):
    device, found, name = choose_device("cpu", precision)
    assert (device, found) == (torch.device("cpu"), bf16)
    assert "cpu" in name and precision in name


@pytest.mark.parametrize(
    "words, bptt, processes, streams",
    [
        (4_000_000, 200, 1, 64),
        (500_000, 200, 1, 50),
        (50_000, 200, 1, 5),
        (1_000, 200, 1, 4),
        (500_000, 200, 4, 48),
        (10, 200, 8, 8),
    ],
)
def test_streams_for_much_and_little_music(words, bptt, processes, streams):
    assert default_batch_size(words, bptt, processes) == streams


def test_a_corpus_to_replay_in(data, tmp_path):
    out = tmp_path / "mixed"
    train(tiny.arguments(data, out, "--replay-data", data, "--replay-share", 0.5))
    assert config(out)["training"]["arguments"]["replay_share"] == 0.5
    prepare_corpus(
        find_pieces([str(data.parent / "music")]), tmp_path / "other", {"encoding": "notewise", "n_keys": 62}
    )
    with pytest.raises(CheckpointMismatch, match="other: its vocabulary is not that of .*; prepare both alike"):
        train(tiny.arguments(data, tmp_path / "run", "--replay-data", tmp_path / "other"))


@pytest.mark.parametrize(
    "fits, message",
    [
        (1, "4 streams of 16 tokens do not fit the memory of cpu; --bs 1 fits"),
        (2, "--bs 2 fits"),
        (0, "not even one stream fits"),
    ],
)
def test_out_of_memory_says_what_would_fit(data, tmp_path, monkeypatch, fits, message):
    build = awd_lstm.build

    def small_device(*args):
        model = build(*args)
        forward = model.forward

        def bounded(ids):
            if len(ids) > fits:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(ids)

        model.forward = bounded
        return model

    monkeypatch.setattr(awd_lstm, "build", small_device)
    with pytest.raises(OutOfDeviceMemory, match=message):
        train(tiny.arguments(data, tmp_path / "run"))


def test_memory_is_returned_where_the_allocator_can():
    assert return_freed_memory() == (platform.libc_ver()[0] == "glibc")
