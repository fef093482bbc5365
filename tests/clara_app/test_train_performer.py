"""`clara train-performer`: from a folder of performed MIDI to a folder that performs."""

import json

import pytest
import tiny

from clara.errors import CannotWrite, NoData
from clara.music.midi import write_midi
from clara.performing.performer import Performer
from clara_app import train_performer

FLAGS = ["--epochs", "2", "--n-units", "8", "--n-members", "2", "--about", "made by a test, CC0"]


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    for seed in range(5):
        notes = tiny.tune(seed, n_notes=60)
        write_midi(notes, folder / f"{seed}.mid", expression=tiny.expression(notes, seed))
    return folder


def test_a_performer_is_trained_and_described(music, tmp_path, capsys):
    out = tmp_path / "performer"
    assert train_performer.main([str(music), "--out", str(out), *FLAGS, "--json"]) == 0
    payload = json.loads(capsys.readouterr().out)
    assert set(payload["figures"]) == {"valid", "test"}
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "history.csv", "README.md"}
    card = (out / "README.md").read_text()
    assert "made by a test, CC0" in card and "| pieces | 1 | 1 |" in card
    assert len((out / "history.csv").read_text().splitlines()) == 5
    performer = Performer.load(out)
    assert len(performer.networks) == 2
    assert len(performer.perform(tiny.tune(9), 1).velocity) == 40


def test_splits_from_a_file(music, tmp_path, capsys):
    splits = tmp_path / "splits.csv"
    splits.write_text("path,split\n0.mid,train\n1.mid,valid\n")
    train_performer.main([str(music), "--out", str(tmp_path / "out"), "--splits", str(splits), *FLAGS])
    assert "1 pieces to train on, 1 to validate with; left out: 3 in no split" in capsys.readouterr().out
    splits.write_text("file,split\n0.mid,train\n")
    with pytest.raises(NoData, match="no column 'path'"):
        train_performer.main([str(music), "--out", str(tmp_path / "other"), "--splits", str(splits), *FLAGS])


def test_an_interrupted_training_goes_on(music, tmp_path, monkeypatch):
    out, flags = tmp_path / "performer", [str(music), "--out", str(tmp_path / "performer"), *FLAGS]

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("clara.performing.figures.measure_piece", interrupt)
        train_performer.main(flags)
    assert {path.name for path in out.iterdir()} == {train_performer.STATE}
    assert train_performer.main(flags) == 0
    assert len((out / "history.csv").read_text().splitlines()) == 5 and not (out / train_performer.STATE).exists()


def test_nothing_is_overwritten(music, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="not empty"):
        train_performer.main([str(music), "--out", str(tmp_path), *FLAGS])
