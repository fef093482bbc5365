"""`clara perform`: any score in, a performed MIDI file out."""

import json

import pytest
import tiny
from examples import musicxml
from symusic import Score

from clara.errors import BadMusicFile, BadSetting, CannotWrite
from clara.music.midi import read_midi, write_midi
from clara.music.notes import build_notes
from clara.music.performed_midi import read_performed_midi
from clara.performing.performer import DEFAULT_VARIATION, MAX_EXPRESSION
from clara_app import perform

NOTE = "<note><pitch><step>{}</step><octave>4</octave></pitch><duration>1</duration></note>"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("performer")
    tiny.performer().save(folder)
    return ["--performer", str(folder)]


def test_a_score_becomes_a_performance(model, tmp_path, capsys):
    score = tmp_path / "score.musicxml"
    score.write_text(musicxml("".join(NOTE.format(step) for step in "CDEF")))
    out = tmp_path / "out.mid"
    assert perform.main([str(score), "-o", str(out), "--json", *model]) == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["notes"] == 4 and not payload["kept"]
    notes, _ = read_performed_midi(out)
    assert notes.start.tolist() == [0, 48, 96, 144] and notes.pitch.tolist() == [60, 62, 64, 65]


def test_expression_is_kept_unless_asked(model, tmp_path, capsys):
    source, out = tmp_path / "in.mid", tmp_path / "out.mid"
    notes = tiny.tune(1, steps_per_quarter=48)
    expression = tiny.expression(notes)
    write_midi(notes, source, expression=expression)
    perform.main([str(source), "-o", str(out), *model])
    assert "--replace" in capsys.readouterr().out
    assert read_performed_midi(out)[1].velocity.tolist() == expression.velocity.tolist()
    perform.main([str(source), "-o", str(out), "--replace", *model])
    assert read_performed_midi(out)[1].velocity.tolist() != expression.velocity.tolist()
    assert read_midi(out, steps_per_quarter=48)[0] == notes


def test_deadpan_and_no_pedal(model, tmp_path):
    source, out = tmp_path / "in.mid", tmp_path / "out.mid"
    write_midi(tiny.tune(2), source)
    perform.main([str(source), "-o", str(out), "--no-pedal", *model])
    assert not len(read_performed_midi(out)[1].pedal_quarters)
    perform.main([str(source), "-o", str(out), "--expression", "0", *model])
    assert read_performed_midi(out)[1].is_flat


def test_chords_are_spread_on_request(model, tmp_path):
    source = tmp_path / "in.mid"
    write_midi(build_notes([0, 0, 0, 24], [24, 24, 24, 48], [48, 60, 64, 60])[0], source)
    ticks = {}
    for name, flags in (("grid", []), ("spread", ["--spread-chords"])):
        out = tmp_path / f"{name}.mid"
        perform.main([str(source), "-o", str(out), *flags, *model])
        ticks[name] = sorted(note.time for track in Score(out).tracks for note in track.notes)
    assert ticks["grid"] == [0, 0, 0, 960]
    assert ticks["spread"][0] == 0 < ticks["spread"][2] <= 16 and ticks["spread"][3] == 960


def test_the_defaults_are_those_of_the_performer():
    assert (perform.DEFAULT_VARIATION, perform.MAX_EXPRESSION) == (DEFAULT_VARIATION, MAX_EXPRESSION)


def test_bad_input_is_named(model, tmp_path):
    source = tmp_path / "in.mid"
    write_midi(tiny.tune(2), source)
    with pytest.raises(BadSetting, match="MIDI file"):
        perform.main([str(source), "-o", str(tmp_path / "out.wav"), *model])
    with pytest.raises(BadSetting, match="the score itself"):
        perform.main([str(source), "-o", str(source), *model])
    with pytest.raises(BadMusicFile):
        perform.main([str(tmp_path / "missing.mid"), "-o", str(tmp_path / "out.mid"), *model])
    with pytest.raises(CannotWrite):
        perform.main([str(source), "-o", str(tmp_path / "no" / "out.mid"), *model])
