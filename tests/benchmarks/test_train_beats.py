"""The smallest training of the network that hears beats: three files, two batches."""

import csv
import sys

import numpy as np
from examples import REPOSITORY

from clara.listening.network import BeatModel
from clara.music.midi import write_midi
from clara.music.notes import NoteSequence

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import train_beats


def test_training_keeps_to_its_split(tmp_path, capsys):
    start = np.cumsum(np.tile([12, 6, 6], 40)).tolist()
    rows = [("a.mid", "train"), ("b.mid", "valid"), ("c.mid", "test"), ("short.mid", "train")]
    for path, _ in rows:
        notes = [(step, 4, 60 + i % 12) for i, step in enumerate(start[: 5 if path == "short.mid" else None])]
        write_midi(NoteSequence.from_notes(notes, time_signatures=((0, 3, 4),)), tmp_path / path)
    for name, header, columns in (
        ("metadata.csv", ("path", "source"), [(path, "piano-midi.de") for path, _ in rows]),
        ("splits.csv", ("path", "split"), rows),
    ):
        with open(tmp_path / name, "w", newline="") as file:
            csv.writer(file).writerows([header, *columns])
    folders = ["--music", str(tmp_path), "--splits", str(tmp_path / "splits.csv"), "--out", str(tmp_path / "out")]
    train_beats.main([*folders, "--batches", "2", "--width", "8"])
    assert "1 pieces, 1 valid ones" in capsys.readouterr().out
    model = BeatModel.load(tmp_path / "out")
    assert model.network.width == 8 and model.info["training"]["batches"] == 2
