"""Runs cut off and resumed, interrupted, and begun from pretrained weights."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest
import tiny
import torch
from examples import REPOSITORY
from safetensors.torch import load_file

from clara.checkpoints.checkpoint import CONFIG, WEIGHTS, Checkpoint, weights_hash
from clara.errors import BadSetting
from clara.generation.generator import Generator
from clara.training import callbacks
from clara.training.callbacks import HISTORY
from clara.training.model_cards import CARD
from clara.training.resume_state import STATE
from clara.training.run import train
from clara.training.settings import STARTED, TrainSettings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("resuming"))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Train for three epochs without a disturbance."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    train(tiny.arguments(data, out))
    return out


@pytest.fixture(scope="module")
def pretrained(data, tmp_path_factory):
    """Train a model of two layers to start from."""
    out = tmp_path_factory.mktemp("pretrained") / "model"
    train(tiny.arguments(data, out, "--n-layers", 2, "--epochs", 1))
    return out


@pytest.fixture(scope="module")
def tuned(data, pretrained, tmp_path_factory):
    """Fine-tune without a disturbance: two epochs partly frozen, two of all groups."""
    out = tmp_path_factory.mktemp("tuned") / "run"
    train(tiny.arguments(data, out, "--pretrained", pretrained, "--epochs", 4))
    return out


def history(folder):
    return pd.read_csv(folder / HISTORY)


def config(folder):
    return json.loads((folder / CONFIG).read_text())


def resume(out, data):
    return train(replace(TrainSettings.load(out), data=str(data)))


def assert_same_run(found, expected):
    """Bit-equal weights, best and last, and the same valid figures."""
    assert (found / WEIGHTS).read_bytes() == (expected / WEIGHTS).read_bytes()
    a, b = load_file(found / STATE), load_file(expected / STATE)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    figures = ["epoch", "valid_loss", "nats_per_quarter"]  # fastai smooths the other over the epochs of a process
    pd.testing.assert_frame_equal(history(found)[figures], history(expected)[figures], check_exact=True)


def stop(monkeypatch, where, error, epoch, batch=5):
    """Make a run end by an error at a point of its n-th epoch, counted from 1."""
    if where == "batch":
        whole = callbacks.ProgressLogger.after_batch

        def after_batch(self):
            if self.training and len(self.learn.checkpoint.history) == epoch - 1 and self.iter == batch:
                raise error
            whole(self)

        monkeypatch.setattr(callbacks.ProgressLogger, "after_batch", after_batch)
    elif where == "before the state is saved":
        save = callbacks.save_state

        def save_state(learn, path, rows):
            if len(rows) == epoch:
                raise error
            save(learn, path, rows)

        monkeypatch.setattr(callbacks, "save_state", save_state)
    else:

        def print_epoch(self, row):
            if row["epoch"] == epoch:
                raise error

        monkeypatch.setattr(callbacks.ProgressLogger, "print_epoch", print_epoch)


def test_a_model_that_follows_plans_resumes_to_the_same_weights(data, tmp_path):
    tiny.plan_follower().save(tmp_path / "base")  # its weights for plans are fine-tuned like all others
    flags = ("--pretrained", tmp_path / "base", "--replay-data", data)
    train(tiny.arguments(data, tmp_path / "whole", *flags))
    with pytest.MonkeyPatch.context() as patched:
        stop(patched, "after", SystemExit(9), 2)
        with pytest.raises(SystemExit):
            train(tiny.arguments(data, tmp_path / "run", *flags))
    assert resume(tmp_path / "run", data) is False
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    assert Checkpoint.load(tmp_path / "run").context_reader()


@pytest.mark.parametrize(
    "where, epoch", [("after", 1), ("after", 2), ("batch", 1), ("batch", 3), ("before the state is saved", 2)]
)
def test_a_killed_run_resumes_to_the_same_weights(finished, data, tmp_path, where, epoch):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patched:
        stop(patched, where, SystemExit(9), epoch)
        with pytest.raises(SystemExit):
            train(tiny.arguments(data, out))
    assert resume(out, data) is False
    assert_same_run(out, finished)
    assert {p.name for p in out.iterdir()} == {p.name for p in finished.iterdir()}


def test_a_run_killed_twice(finished, data, tmp_path):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patched:
        stop(patched, "after", SystemExit(9), 1)
        with pytest.raises(SystemExit):
            train(tiny.arguments(data, out))
    with pytest.MonkeyPatch.context() as patched:
        stop(patched, "batch", SystemExit(9), 3)
        with pytest.raises(SystemExit):
            resume(out, data)
    resume(out, data)
    assert_same_run(out, finished)


def test_a_real_kill(data, tmp_path):
    """SIGKILL while a process trains, then --resume; the same run undisturbed."""
    out, epochs = tmp_path / "run", ("--epochs", 20)
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(REPOSITORY / "train.py"),
        "--from-scratch",
        "--threads",
        "1",
        *tiny.flags(data, out, *epochs),
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (out / HISTORY).is_file():
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert 1 <= len(history(out)) < 20
    resume(out, data)
    train(tiny.arguments(data, tmp_path / "whole", *epochs))
    assert_same_run(out, tmp_path / "whole")


def test_the_card_says_how_a_run_was_resumed(data, tmp_path):
    out = tmp_path / "run"
    train(tiny.arguments(data, out, "--epochs", 1), command=["train.py", "--first"])
    settings = replace(TrainSettings.load(out), data=str(data), epochs=2)
    train(settings, command=["train.py", "--resume", "run", "--epochs", "2"])
    assert config(out)["training"]["resumed"] == [{"command": "train.py --resume run --epochs 2", "after_epoch": 1}]
    assert "`train.py --first`; after epoch 1 `train.py --resume run --epochs 2`; seed" in (out / CARD).read_text()


def test_resuming_a_finished_run_changes_no_weight(finished, data, tmp_path):
    out = tmp_path / "run"
    train(tiny.arguments(data, out))
    resume(out, data)
    assert_same_run(out, finished)


@pytest.mark.parametrize("epoch", [1, 2])
def test_ctrl_c_leaves_a_folder_that_composes(data, tmp_path, epoch):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patched:
        stop(patched, "batch", KeyboardInterrupt, epoch)
        assert train(tiny.arguments(data, out)) is True
    assert len(Generator.load(out).generate(2, 4)) == 2
    figures = config(out)["figures"]
    assert figures["interrupted"] is True and figures["epochs"] == epoch - 1
    assert (out / CARD).is_file() and (out / "loss.png").is_file() == (epoch > 1)


def test_ctrl_c_then_resume(finished, data, tmp_path):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patched:
        stop(patched, "batch", KeyboardInterrupt, 2)
        train(tiny.arguments(data, out))
    assert resume(out, data) is False
    assert_same_run(out, finished)
    assert "interrupted" not in config(out)["figures"]


def test_fine_tuning_unfreezes_one_group_an_epoch(tuned, pretrained):
    assert len(history(tuned)) == 4
    recorded = config(tuned)
    assert recorded["training"]["started_from"] == weights_hash(pretrained)
    assert [origin["command"] for origin in recorded["training"]["earlier"]] == [
        config(pretrained)["training"]["command"]
    ]
    assert recorded["sizes"]["n_layers"] == 2


@pytest.mark.parametrize("flags, moved", [([], {"embedding.weight", "output.bias"}), (["--all-layers"], None)])
def test_fine_tuning_starts_from_the_pretrained_weights(data, pretrained, tmp_path, flags, moved):
    """In the first epoch only embedding and output move, or with --all-layers everything."""
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patched:
        stop(patched, "after", KeyboardInterrupt, 1)
        train(tiny.arguments(data, out, "--pretrained", pretrained, *flags))
    found, start = Checkpoint.load(out).tensors, Checkpoint.load(pretrained).tensors
    changed = {name for name in start if not torch.equal(found[name], start[name])}
    assert changed == (moved or set(start))


@pytest.mark.parametrize(
    "where, epoch", [("batch", 1), ("after", 1), ("batch", 2), ("after", 2), ("batch", 3), ("after", 3)]
)
def test_fine_tuning_resumes_in_every_stage(tuned, data, pretrained, tmp_path, where, epoch):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patched:
        stop(patched, where, SystemExit(9), epoch)
        with pytest.raises(SystemExit):
            train(tiny.arguments(data, out, "--pretrained", pretrained, "--epochs", 4))
    resume(out, data)
    assert_same_run(out, tuned)


def test_a_run_is_not_resumed_on_other_music(data, tmp_path):
    out = tmp_path / "run"
    train(tiny.arguments(data, out, "--epochs", 1))
    other = tiny.corpus(tmp_path, [tiny.tune(seed) for seed in range(10, 17)])
    before = (out / STARTED).read_bytes()
    with pytest.raises(BadSetting, match="not the music that the run was started with.*pieces 4, now 5; .*tokens"):
        resume(out, other)
    assert (out / STARTED).read_bytes() == before


def test_the_music_against_forgetting_may_not_change_either(data, tmp_path):
    out = tmp_path / "run"
    replay = tiny.corpus(tmp_path / "replay", [tiny.tune(seed) for seed in range(10, 17)])
    train(tiny.arguments(data, out, "--epochs", 1, "--replay-data", replay))
    other = tiny.corpus(tmp_path / "other", [tiny.tune(seed) for seed in range(20, 27)])
    with pytest.raises(BadSetting, match=f"{other}: not the music"):
        train(replace(TrainSettings.load(out), data=str(data), replay_data=str(other)))
