"""Run folders of strangers, and two processes that want the same one."""

import json

import pytest
import tiny
from safetensors.torch import load_file, save_file

from clara.errors import BadSetting, CannotWrite, CheckpointMismatch
from clara.files import lock_folder
from clara.training.resume_state import METADATA_KEY, STATE
from clara.training.run import train
from clara.training.settings import STARTED, TrainSettings


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a run that was started."""
    settings = tiny.arguments(tmp_path / "data", tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STARTED).write_text(json.dumps({"command": "train", "arguments": settings.to_dict()}))
    return tmp_path / "run"


def test_what_was_started_is_read(folder, tmp_path):
    settings = TrainSettings.load(folder)
    assert settings.resume and settings.out == str(folder) and settings.data == str(tmp_path / "data")
    assert settings.moms == TrainSettings("", "").moms


CHANGES = {
    "a data folder that is a number": {"data": 1},
    "epochs that are a text": {"epochs": "3"},
    "no epochs": {"epochs": 0},
    "a billion layers": {"n_layers": 10**9},
    "a huge batch": {"bs": 10**12},
    "a dropout of 2": {"hidden_p": 2.0},
    "a rate of NaN": {"lr": float("nan")},
    "momenta that are a number": {"moms": 0.9},
    "a flag that is a text": {"from_scratch": "yes"},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_wrong_argument_is_named(folder, changes):
    started = json.loads((folder / STARTED).read_text())
    (folder / STARTED).write_text(json.dumps({"arguments": started["arguments"] | changes}))
    with pytest.raises(BadSetting, match=f"{STARTED}: arguments.{next(iter(changes))}"):
        TrainSettings.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"arguments": []}', '{"arguments": {}}', "[" * 100_000])
def test_a_broken_record_is_named(folder, text):
    (folder / STARTED).write_text(text)
    with pytest.raises(BadSetting, match=STARTED):
        TrainSettings.load(folder)


def test_a_run_is_resumed_by_one_process(tmp_path):
    data, out = tiny.corpus(tmp_path), tmp_path / "run"
    train(tiny.arguments(data, out, "--epochs", 1))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with lock_folder(out), pytest.raises(CannotWrite, match="in use by another process"):
        train(TrainSettings.load(out))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert train(TrainSettings.load(out)) is False


@pytest.mark.parametrize("text", ["", "[", "{}", "[" * 100_000, '{"history": 1, "scalars": [], "hypers": []}'])
def test_a_state_of_other_metadata_is_named(tmp_path, text):
    data, out = tiny.corpus(tmp_path), tmp_path / "run"
    train(tiny.arguments(data, out, "--epochs", 1))
    save_file(load_file(out / STATE), out / STATE, {METADATA_KEY: text})
    with pytest.raises(CheckpointMismatch, match=STATE):
        train(TrainSettings.load(out))
