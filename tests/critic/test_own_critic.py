"""The critic in the folder beside a model."""

from pathlib import Path

import pytest
import tiny

from clara.checkpoints.checkpoint import CONFIG, weights_hash
from clara.checkpoints.shipped_models import MissingModel
from clara.errors import CheckpointMismatch
from critic.own_critic import find_own_critic, own_critic_folder


@pytest.fixture
def model(tmp_path):
    tiny.checkpoint().save(tmp_path / "mine")
    return tmp_path / "mine"


def save_critic(folder, models):
    critic = tiny.classifier("descriptors")
    critic.model.info = {"training": {"excerpts": {"models": models}}}
    critic.save(folder)


def test_a_critic_lies_beside_its_model():
    assert own_critic_folder("runs/mine") == Path("runs/mine-critic")
    assert own_critic_folder("runs/mine/") == Path("runs/mine-critic")
    assert own_critic_folder(".") == Path.cwd().with_name(f"{Path.cwd().name}-critic")


def test_a_critic_of_these_weights_is_found(model, tmp_path, capsys):
    assert find_own_critic(model) is None
    (tmp_path / "mine-critic").mkdir()  # as while `clara critic` is at work
    assert find_own_critic(model) is None
    save_critic(tmp_path / "mine-critic", {"other": "0" * 16, "mine": weights_hash(model)})
    assert find_own_critic(model) == find_own_critic(f"{model}/") == str(tmp_path / "mine-critic")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("models", [{}, {"mine": "0" * 16}])
def test_a_critic_of_other_weights_is_not_used(model, tmp_path, models, capsys):
    save_critic(tmp_path / "mine-critic", models)
    assert find_own_critic(model) is None
    assert f"clara critic {model}" in capsys.readouterr().err


def test_a_critic_that_records_no_training_is_not_used(model, tmp_path, capsys):
    tiny.classifier("descriptors").save(tmp_path / "mine-critic")
    assert find_own_critic(model) is None
    assert "learned from other weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    "config", [None, "{", '{"training": {"excerpts": [1]}}', '{"training": {"excerpts": {"models": 1}}}']
)
def test_a_broken_folder_is_refused(model, tmp_path, config):
    folder = tmp_path / "mine-critic"
    folder.mkdir()
    (folder / "notes.txt").write_text("not a critic")
    if config:
        (folder / CONFIG).write_text(config)
    with pytest.raises(CheckpointMismatch, match="mine-critic"):
        find_own_critic(model)


def test_shipped_models_use_the_shipped_critics():
    assert find_own_critic("notewise") is None


def test_a_missing_model_is_named():
    with pytest.raises(MissingModel):
        find_own_critic("no such model")
