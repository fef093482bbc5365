"""Finding copied passages in an index of notes."""

import numpy as np
import pytest
import tiny

from clara.errors import CheckpointMismatch
from clara.music.notes import build_notes, crop, transpose
from critic.copy_index import GRAM, NoteIndex


@pytest.fixture(scope="module")
def index():
    return NoteIndex.from_pieces((f"nobody/{i}", tiny.tune(i, n_notes=80)) for i in range(5))


@pytest.mark.parametrize("semitones", [-5, 0, 7])
def test_a_whole_piece_in_any_key(index, semitones):
    notes = transpose(tiny.tune(3, n_notes=80), semitones)[0]
    run = index.longest_run(notes)
    assert (run.n_notes, run.first_note, run.source) == (len(notes), 0, "nobody/3")


def test_a_passage_among_other_notes(index):
    """Twenty notes of an indexed piece within another piece; durations do not matter."""
    strange, known = tiny.tune(77, n_notes=60), tiny.tune(2, n_notes=80)
    taken = slice(30, 50)
    at = strange.start[-1] + 7 + known.start[taken] - known.start[30]
    start = np.r_[strange.start, at, at[-1] + 9 + strange.start]
    pitch = np.r_[strange.pitch, known.pitch[taken] + 2, strange.pitch]
    notes = build_notes(start, start + 1, pitch)[0]
    run = index.longest_run(notes)
    assert (run.n_notes, run.source) == (20, "nobody/2")
    assert notes.start[run.first_note] == at[0]


def test_a_new_piece_holds_nothing(index):
    assert index.longest_run(tiny.tune(99, n_notes=200)).n_notes < GRAM + 3


@pytest.mark.parametrize("n", [0, 1, GRAM])
def test_short_pieces_hold_nothing(index, n):
    run = index.longest_run(crop(tiny.tune(1), 0, 0) if n == 0 else build_notes(range(n), range(1, n + 1), [60] * n)[0])
    assert (run.n_notes, run.source) == (0, None)


def test_another_grid(index):
    notes = tiny.tune(0, n_notes=80)
    assert index.longest_run(
        build_notes(notes.start * 2, notes.end * 2, notes.pitch, steps_per_quarter=24)[0]
    ).n_notes == len(notes)


def test_a_run_does_not_continue_from_one_piece_to_the_next():
    first, second = tiny.tune(0, n_notes=30), tiny.tune(1, n_notes=30)
    index = NoteIndex.from_pieces([("a", first), ("b", second)])
    start = np.r_[first.start, first.start[-1] + second.start]
    run = index.longest_run(build_notes(start, start + 1, np.r_[first.pitch, second.pitch])[0])
    assert run.n_notes <= 31


def test_to_disk_and_back(index, tmp_path):
    index.save(tmp_path / "notes.npz")
    again = NoteIndex.load(tmp_path / "notes.npz")
    notes = tiny.tune(4, n_notes=80)
    assert again.longest_run(notes) == index.longest_run(notes)
    assert again.names == index.names


@pytest.mark.parametrize("content", [None, b"", b"no zip", b"PK\x03\x04"])
def test_a_broken_index_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "notes.npz").write_bytes(content)
    with pytest.raises(CheckpointMismatch, match="notes.npz"):
        NoteIndex.load(tmp_path / "notes.npz")
