"""What a SOURCE stands for."""

import os

import pytest
from examples import handwritten

from clara.data.sources import Piece, find_pieces, read_piece
from clara.errors import NoData
from clara.music.midi import write_midi
from clara.music.scores import read_score


@pytest.fixture
def tree(tmp_path):
    """Return a function that makes empty files below tmp_path/music and gives that folder's name."""

    def make(*names):
        for name in names:
            path = tmp_path / "music" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return str(tmp_path / "music")

    return make


def names(pieces):
    return [p.name for p in pieces]


def test_a_folder_at_any_depth_named_by_its_first_level(tree):
    source = tree("bach/inventions/1.mid", "bach/2.MIDI", "chopin/op. 9/no.2.kar", "loose.mid", "bach/notes.txt")
    pieces = find_pieces([source])
    assert names(pieces) == ["bach/2", "bach/inventions/1", "chopin/op. 9/no.2", "unknown/loose"]
    assert [p.composer for p in pieces] == ["bach", "bach", "chopin", "unknown"]
    assert all(p.path.is_file() and p.is_midi for p in pieces)


def test_folders_named_like_music_are_not_music(tree):
    source = tree("bach/1.mid")
    os.mkdir(f"{source}/bach/folder.mid")
    assert names(find_pieces([source])) == ["bach/1"]


def test_one_file(tree):
    source = tree("bach/1.mid")
    assert names(find_pieces([f"{source}/bach/1.mid"])) == ["unknown/1"]


def test_a_file_met_twice_is_one_piece(tree):
    source = tree("bach/1.mid", "bach/2.mid")
    assert names(find_pieces([source, f"{source}/bach/1.mid", source])) == ["bach/1", "bach/2"]


def test_names_that_meet_get_a_number_and_keep_it(tree):
    source = tree("bach/a.mid", "bach/A.mid", "bach/a.kar", "bach/a-2.mid")
    found = names(find_pieces([source]))
    assert len({n.lower() for n in found}) == 4
    assert found == names(find_pieces([source]))
    assert all(n.startswith(("bach/a", "bach/A")) for n in found)


def test_exclude_leaves_composers_out(tree):
    source = tree("bach/1.mid", "chopin/1.mid", "loose.mid")
    assert names(find_pieces([source], ["bach", "unknown"])) == ["chopin/1"]
    with pytest.raises(NoData, match="nothing left of it after excluding bach, chopin, unknown"):
        find_pieces([source], ["bach", "chopin", "unknown"])


def test_what_holds_no_music(tree, tmp_path):
    source = tree("bach/score.pdf")
    with pytest.raises(NoData, match=r"no music in this folder \(\.mid, \.midi, \.kar"):
        find_pieces([source])
    with pytest.raises(NoData, match="nowhere: no such file or folder"):
        find_pieces([str(tmp_path / "nowhere")])
    with pytest.raises(NoData, match="no such composer"):
        find_pieces(["music21:nobody"])


def test_music21s_corpus():
    pieces = find_pieces(["music21:monteverdi"])
    assert len(pieces) > 20 and len(set(names(pieces))) == len(pieces)
    assert all(p.composer == "monteverdi" and p.name.startswith("monteverdi/") for p in pieces)


def test_each_kind_of_file_goes_to_its_reader(tmp_path):
    write_midi(handwritten("chord", 4), tmp_path / "a.MID")
    assert read_piece(Piece("a", "", tmp_path / "a.MID"), steps_per_quarter=4)[0] == handwritten("chord", 4)
    tune = tmp_path / "a.abc"
    tune.write_text("X:1\nM:4/4\nL:1/4\nK:C\nA B c d|]\n")
    assert not Piece("a", "", tune).is_midi
    assert read_piece(Piece("a", "", tune), steps_per_quarter=4) == read_score(tune, steps_per_quarter=4)


def test_scores_of_every_kind_are_found_beside_midi(tree):
    source = tree("bach/a.mid", "bach/a.musicxml", "bach/b.XML", "bach/c.mxl", "bach/d.krn", "bach/e.abc", "bach/f.pdf")
    pieces = find_pieces([source])
    assert names(pieces) == ["bach/a", "bach/a-2", "bach/b", "bach/c", "bach/d", "bach/e"]
    assert [p.is_midi for p in pieces] == [True] + 5 * [False]


def test_each_tune_of_an_abc_file_is_a_piece(tree):
    source = tree("airs/book.abc", "airs/one.abc")
    tune = "X:{}\nM:4/4\nL:1/4\nK:C\n{} B c d|]\n\n"
    for name, text in {"book": tune.format(5, "A") + tune.format(5, "G"), "one": tune.format(1, "C")}.items():
        with open(f"{source}/airs/{name}.abc", "w", encoding="utf-8") as f:
            f.write(text)
    pieces = find_pieces([source, f"{source}/airs/book.abc"])
    assert names(pieces) == ["airs/book/1", "airs/book/2", "airs/one"]
    first = [read_piece(p, steps_per_quarter=4)[0].pitch[0] for p in pieces]
    assert first == [69, 67, 60]


def test_chamber_music_from_midi_and_scores(tmp_path):
    quartet = [p for p in find_pieces(["music21:haydn"]) if p.path.match("opus74no1/movement3.mxl")]
    notes, _ = read_piece(quartet[0], steps_per_quarter=12, ensemble="quartet")
    assert set(notes.part.tolist()) == {0, 1, 2, 3}
    write_midi(notes, tmp_path / "a.mid")
    played, _ = read_piece(Piece("a", "", tmp_path / "a.mid"), steps_per_quarter=12, ensemble="quartet")
    assert played == notes and played.time_signatures == notes.time_signatures
