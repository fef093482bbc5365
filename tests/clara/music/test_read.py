"""One function reads every format."""

import pytest
from examples import musicxml, rows

from clara.errors import BadMusicFile
from clara.music.midi import write_midi
from clara.music.notes import NoteSequence
from clara.music.read import read_music, read_music_and_losses

NOTES = NoteSequence.from_notes([(0, 12, 60), (12, 12, 62)])
XML_NOTE = "<note><pitch><step>{}</step><octave>4</octave></pitch><duration>1</duration></note>"
TEXTS = {
    "a.musicxml": musicxml(XML_NOTE.format("C") + XML_NOTE.format("D")),
    "a.xml": musicxml(XML_NOTE.format("C") + XML_NOTE.format("D")),
    "a.krn": "**kern\n*M4/4\n=1\n4c\n4d\n*-\n",
    "a.ABC": "X:1\nM:4/4\nL:1/4\nK:C\nC D|\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_scores(tmp_path, name):
    (tmp_path / name).write_text(TEXTS[name])
    assert read_music(tmp_path / name) == NOTES
    assert rows(read_music(str(tmp_path / name), 4)) == [(0, 4, 60), (4, 4, 62)]


@pytest.mark.parametrize("name", ["a.mid", "a.MIDI", "a.kar", "no suffix"])
def test_midi_whatever_its_suffix(tmp_path, name):
    write_midi(NOTES, tmp_path / name)
    assert read_music(tmp_path / name) == NOTES


def test_music21_corpus():
    notes = read_music("music21:bach/bwv66.6", 4)
    assert notes.quarters == 36 and notes.steps_per_quarter == 4
    with pytest.raises(BadMusicFile, match="nobody/nothing: no such file"):
        read_music("music21:nobody/nothing")


def test_ensembles_and_losses(tmp_path):
    (tmp_path / "a.xml").write_text(
        musicxml(
            XML_NOTE.format("C") * 2,
            "<note><grace/><pitch><step>C</step><octave>3</octave></pitch></note>" + XML_NOTE.format("E"),
            names=["Violin", "Piano"],
        )
    )
    notes, losses = read_music_and_losses(tmp_path / "a.xml", ensemble="chamber")
    assert notes.part.tolist() == [0, 1, 1] and losses["grace"] == 1
    assert read_music(tmp_path / "a.xml", ensemble="chamber") == notes


def test_a_missing_file(tmp_path):
    with pytest.raises(BadMusicFile, match="gone.mid"):
        read_music(tmp_path / "gone.mid")
