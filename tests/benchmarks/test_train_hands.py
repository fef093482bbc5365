"""The smallest training of the network that finds hands: files with two tracks, two batches."""

import csv
import sys

from examples import REPOSITORY, midi_bytes, off, on, track

from clara.notation.hand_network import HandModel

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import train_hands


def line(*pitches):
    """Return a track of quarters."""
    return track(*(event for pitch in pitches for event in (on(0, pitch), off(480, pitch))))


def test_training_keeps_to_its_split(tmp_path, capsys):
    upper, lower = line(*range(60, 80)), line(*range(30, 50))
    rows = [
        ("a.mid", "train"),
        ("b.mid", "valid"),
        ("c.mid", "test"),
        ("one_track.mid", "train"),
        ("k545.mid", "train"),
    ]
    for path, _ in rows:
        tracks = [upper] if path == "one_track.mid" else [lower, upper]
        (tmp_path / path).write_bytes(midi_bytes(*tracks))
    with open(tmp_path / "splits.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "split"), *rows])
    folders = ["--music", str(tmp_path), "--splits", str(tmp_path / "splits.csv"), "--out", str(tmp_path / "out")]
    train_hands.main(
        [*folders, "--epochs", "1", "--notes", "102400", "--lr", "0.02", "--neighbours", "2", "--width", "8"]
    )
    assert "1 pieces, 1 valid ones" in capsys.readouterr().out
    model = HandModel.load(tmp_path / "out")
    assert model.network.width == 8 and model.info["figures"]["valid"] > 0.9
