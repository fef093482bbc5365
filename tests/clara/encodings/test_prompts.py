"""Prompts from MIDI files, scores, texts and music21's corpus, and what is refused."""

import pytest
import tiny
from examples import midi_bytes, off, on, track

from clara.encodings.notewise import Notewise
from clara.encodings.prompts import read_prompt
from clara.errors import BadMusicFile, NoNotes, TooLong, UnknownToken
from clara.music.midi import write_midi
from clara.music.notes import crop

ENCODING = Notewise()


def test_prompt_from_midi(tmp_path):
    write_midi(tiny.tune(2), tmp_path / "a.mid")
    notes, losses = read_prompt(tmp_path / "a.mid", ENCODING)
    assert notes == tiny.tune(2) and not +losses


def test_prompt_from_text(tmp_path):
    (tmp_path / "a.txt").write_text(" ".join(ENCODING.encode(tiny.tune(2))[0]))
    notes, losses = read_prompt(str(tmp_path / "a.txt"), ENCODING)
    assert notes == tiny.tune(2) and not +losses


@pytest.mark.parametrize("encoding", [Notewise(12), Notewise(4)])
def test_prompt_from_music21(encoding):
    notes, _ = read_prompt("music21:bach/bwv66.6", encoding)
    assert notes.steps_per_quarter == encoding.steps_per_quarter
    assert notes.quarters == 36
    assert sorted(notes.pitch[notes.start == 0].tolist()) == [57, 64, 73]


def test_a_prompt_is_folded_into_the_range_and_counted(tmp_path):
    (tmp_path / "a.mid").write_bytes(midi_bytes(track(on(0, 100), off(480, 100), on(0, 60), off(480, 60))))
    notes, losses = read_prompt(tmp_path / "a.mid", Notewise(12, 38))
    assert notes.pitch.tolist() == [76, 60]
    assert losses["folded"] == 1


def test_the_first_quarters_of_a_prompt(tmp_path):
    write_midi(tiny.tune(2), tmp_path / "a.mid")
    notes, _ = read_prompt(tmp_path / "a.mid", ENCODING, quarters=4)
    assert notes == crop(tiny.tune(2), 0, 48)
    assert 0 < notes.quarters <= 4


def test_a_prompt_that_begins_after_the_quarters_asked_for(tmp_path):
    (tmp_path / "a.mid").write_bytes(midi_bytes(track(on(4800, 60), off(480, 60))))
    with pytest.raises(NoNotes, match="a.mid: no notes in it before quarter 2"):
        read_prompt(tmp_path / "a.mid", ENCODING, quarters=2)


BAD = {
    "empty.mid": (b"", BadMusicFile),
    "no_midi.mid": (b"hello", BadMusicFile),
    "truncated.mid": (midi_bytes(track(on(0, 60), off(480, 60)))[:30], BadMusicFile),
    "silent.mid": (midi_bytes(track()), NoNotes),
    "empty.txt": (b"", NoNotes),
    "waits.txt": (b"wait4 wait4", NoNotes),
    "words.txt": (b"p40 wait4 endp40 hello", UnknownToken),
    "binary.txt": (b"\xff\xfe\x00", BadMusicFile),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_prompts_are_named(tmp_path, name):
    content, error = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=name):
        read_prompt(tmp_path / name, ENCODING)


@pytest.mark.parametrize("source", ["nowhere.mid", "nowhere.txt", "music21:bach/nowhere"])
def test_missing_prompts_are_named(source):
    with pytest.raises(BadMusicFile, match="nowhere"):
        read_prompt(source, ENCODING)


@pytest.mark.parametrize("name", ["folder", "folder.txt"])
def test_a_folder_as_prompt(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(BadMusicFile, match=name):
        read_prompt(tmp_path / name, ENCODING)


def test_a_score_as_prompt(tmp_path):
    (tmp_path / "a.ABC").write_text("X:1\nM:4/4\nL:1/4\nK:C\nA B c d|]\n")
    notes, losses = read_prompt(tmp_path / "a.ABC", ENCODING)
    assert notes.pitch.tolist() == [69, 71, 72, 74] and not +losses


def test_a_text_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("clara.encodings.prompts.MAX_TEXT_BYTES", 20)
    (tmp_path / "piece.txt").write_text("p40 wait12 endp40 " * 3)
    with pytest.raises(TooLong, match=r"piece\.txt: larger than"):
        read_prompt(tmp_path / "piece.txt", Notewise())
