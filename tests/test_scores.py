"""Scores through music21, against the MIDI that music21 makes of the same score."""

from fractions import Fraction

import pytest
from conftest import rows
from hypothesis import given
from hypothesis import strategies as st

from clara.errors import BadMusicFile, NoData, NoNotes
from clara.midi import read_midi
from clara.scores import TICKS_PER_QUARTER, corpus_paths, read_score

ABC = "X:1\nM:4/4\nL:1/4\nK:C\n"


@pytest.fixture
def tune(tmp_path):
    """A function that writes an ABC file of some bars and gives its path."""
    def write(bars):
        (tmp_path / "tune.abc").write_text(ABC + bars + "\n")
        return tmp_path / "tune.abc"
    return write


@pytest.mark.parametrize("steps_per_quarter", [12, 4])
def test_a_chorale_is_what_its_midi_holds(real_midi, steps_per_quarter):
    notes, losses = read_score("bach/bwv66.6", steps_per_quarter=steps_per_quarter)
    from_midi, lost = read_midi(real_midi["bach/bwv66.6"], steps_per_quarter=steps_per_quarter)
    assert len(notes) == 154 and losses["merged"] == 9  # voices in unison
    assert notes == from_midi and losses == lost
    assert notes.qpm == pytest.approx(from_midi.qpm) == 96


def test_a_chorale_is_the_sum_of_its_written_notes():
    from music21 import corpus

    notes, losses = read_score("bach/bwv66.6")
    told = corpus.parse("bach/bwv66.6").stripTies().flatten().notes
    assert {(int(n.offset * 12), n.pitch.midi) for n in told} \
        == set(zip(notes.start.tolist(), notes.pitch.tolist()))
    assert len(told) == len(notes) + losses["merged"]


def test_by_path_and_by_name_alike():
    [path] = [p for p in corpus_paths("bach") if p.stem == "bwv66.6"]
    assert read_score(path) == read_score("bach/bwv66.6")


@pytest.mark.parametrize("bars, expected, losses", [
    ("A B c d|]", [(0, 12, 69), (12, 12, 71), (24, 12, 72), (36, 12, 74)], {}),
    ("A3 B-|B2 z2|]", [(0, 36, 69), (36, 36, 71)], {}),
    ("[CEG]2 z [CE]|]", [(0, 24, 60), (0, 24, 64), (0, 24, 67), (36, 12, 60), (36, 12, 64)], {}),
    ("{g}A2 B2|]", [(0, 24, 69), (24, 24, 71)], {"grace": 1}),
    ("(3A/B/c/ d3|]", [(0, 4, 69), (4, 4, 71), (8, 4, 72), (12, 36, 74)], {}),
    ('"Am"A2 "G"B2|]', [(0, 24, 69), (24, 24, 71)], {}),
], ids=["line", "tie over the bar", "chords and a rest", "grace note", "triplet", "chord symbols do not sound"])
def test_small_tunes(tune, bars, expected, losses):
    notes, lost = read_score(tune(bars))
    assert rows(notes) == expected and lost == losses


@given(st.integers(0, 1000), st.integers(1, 10))
def test_ticks_hold_every_small_denominator(numerator, denominator):
    assert (Fraction(numerator, denominator) * TICKS_PER_QUARTER).denominator == 1


def test_the_grid_rounds(tune):
    eighths_triplet = "(3A/B/c/ d3|]"
    assert rows(read_score(tune(eighths_triplet), steps_per_quarter=4)[0]) \
        == [(0, 1, 69), (1, 2, 71), (3, 1, 72), (4, 12, 74)]


def test_first_tempo_mark_counts(tmp_path):
    (tmp_path / "a.abc").write_text(ABC.replace("K:", "Q:1/4=72\nK:") + "A B c d|]\n")
    assert read_score(tmp_path / "a.abc")[0].qpm == 72


def test_without_tempo_mark_120(tune):
    assert read_score(tune("A B c d|]"))[0].qpm == 120


@pytest.mark.parametrize("name, content", [
    ("a.txt", "not music"),
    ("a", "\x00\x01"),
    ("a.musicxml", "<score-partwise><part"),
    ("a.xml", ""),
    ("a.mxl", "PK"),
    ("folder/", None),
    ("none.musicxml", None),
])
def test_what_is_no_score(tmp_path, name, content):
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadMusicFile, match=rf"{path.name}: ."):
        read_score(path)


def test_no_such_piece_in_the_corpus():
    with pytest.raises(BadMusicFile, match="bach/nosuch: no such file, nor a piece"):
        read_score("bach/nosuch")


def test_a_score_of_rests(tune):
    with pytest.raises(NoNotes, match="tune.abc: no notes"):
        read_score(tune("z4|]"))


def test_composers_of_the_corpus():
    paths = corpus_paths("bach")
    assert paths == sorted(paths) and len(paths) > 300 and all(p.is_file() for p in paths)
    assert not [p for p in paths if p.suffix == ".rntxt"]  # analyses, not music
    with pytest.raises(NoData, match="music21:nobody: .*no such composer"):
        corpus_paths("nobody")
