"""The count of MIDI notes: every note is read, a drum, or merged."""

import sys

from examples import REPOSITORY, midi_bytes, off, on, track

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import midi_losses


def test_a_folder_by_hand(tmp_path):
    (tmp_path / "a").mkdir()
    first = track(on(0, 60) + on(0, 60) + off(480, 60) + off(0, 60), on(0, 40, channel=9) + off(9, 40, channel=9))
    second = track(on(3, 60) + off(480, 60) + on(0, 62) + off(480, 62))
    (tmp_path / "a" / "x.mid").write_bytes(midi_bytes(first, second))
    (tmp_path / "a" / "y.mid").write_bytes(b"broken")
    [(name, paths)] = midi_losses.files_by_folder(tmp_path).items()
    row = midi_losses.count_lost_notes(name, paths, 12)
    counts = {"folder": "a", "files": 1, "notes": 5, "read": 2, "drums": 1, "merged": 2, "doubles": 1, "met_on_grid": 1}
    assert counts.items() <= row.items() and row["refused"] == {"BadMusicFile": 1}
    assert row["unexplained"] == row["files_that_differ"] == 0
