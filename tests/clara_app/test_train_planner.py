"""`clara train-planner`: from a prepared corpus to a folder that composes plans."""

import json

import pytest
import tiny

from clara.errors import CannotWrite
from clara.form.planner import Planner
from clara_app import train_planner

FLAGS = ["--epochs", "2", "--n-units", "8", "--n-layers", "1", "--batch-bars", "64"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("music"))


def test_a_planner_is_trained_and_described(corpus, tmp_path, capsys):
    out = tmp_path / "planner"
    assert train_planner.main([str(corpus), "--out", str(out), *FLAGS, "--json"]) == 0
    payload = json.loads(capsys.readouterr().out)
    assert set(payload["figures"]) == {"valid", "test"}
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "history.csv", "README.md"}
    card = (out / "README.md").read_text()
    assert "made by a test" in card and "| relation |" in card
    assert len((out / "history.csv").read_text().splitlines()) == 3
    planner = Planner.load(out)
    assert planner.info["training"]["data"]["pieces"] == 4
    assert [len(plan) for plan in planner.compose(range(2), 8)] == [8, 8]


def test_nothing_is_overwritten(corpus, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="not empty"):
        train_planner.main([str(corpus), "--out", str(tmp_path), *FLAGS])
