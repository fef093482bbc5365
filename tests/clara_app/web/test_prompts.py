"""Prompts that come to the page."""

from pathlib import Path

import numpy as np
import pytest
import tiny

from clara.data import sources
from clara.errors import BadMusicFile, ClaraError, NoNotes, TooLong
from clara.music.midi import to_symusic_score
from clara_app.web import prompts


def test_a_file_is_read_as_it_is():
    notes = tiny.tune(3)
    found, losses = prompts.read_upload("../../my tune.MID", to_symusic_score(notes).dumps_midi())
    assert np.array_equal(found.start, notes.start) and np.array_equal(found.pitch, notes.pitch) and not losses


def test_a_recording_is_put_on_its_beats():
    """Fifty quarters at 96 per minute, with jitter, in a file that says 120."""
    onsets = 1 + np.arange(50) * 0.625 + np.random.default_rng(0).normal(0, 0.015, 50)
    upload = prompts.open_upload("take.mid", tiny.recorded_midi(onsets))
    assert np.diff(upload.notes.start).tolist() == [12] * 49
    assert "about 9" in upload.beats and upload.played is not None
    tempo = upload.played.expression.tempo_qpm
    assert abs(np.median(tempo) - 96) < 5


def test_a_score_keeps_its_beats():
    upload = prompts.open_upload("tune.mid", to_symusic_score(tiny.tune(3)).dumps_midi())
    assert not upload.beats and np.array_equal(upload.notes.start, tiny.tune(3).start)


@pytest.mark.parametrize(
    "name, data, error",
    [
        ("x.exe", b"MZ", BadMusicFile),
        ("mid", b"", BadMusicFile),
        ("", b"", BadMusicFile),
        ("x.mid", b"", BadMusicFile),
        ("x.mid", b"MThd nonsense", BadMusicFile),
        ("x.musicxml", b"<score-partwise", BadMusicFile),
        ("x.mxl", b"PK\x03\x04", BadMusicFile),
        ("x.mid", bytes(prompts.MAX_BYTES + 1), TooLong),
    ],
)
def test_bad_files_are_refused_by_name(name, data, error):
    with pytest.raises(error) as message:
        prompts.read_upload(name, data)
    assert name in str(message.value) and "/tmp" not in str(message.value) and "clara-" not in str(message.value)


def test_a_reader_that_dies_is_reported(monkeypatch):
    monkeypatch.setattr(prompts, "READ_SECONDS", 0.0)
    with pytest.raises(BadMusicFile, match="x.mid: cannot be read .Timeout"):
        prompts.read_upload("x.mid", to_symusic_score(tiny.tune(3)).dumps_midi())


def test_no_file_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    prompts.read_upload("x.mid", to_symusic_score(tiny.tune(3)).dumps_midi())
    with pytest.raises(ClaraError):
        prompts.read_upload("x.mid", b"none")
    assert not list(tmp_path.iterdir())


def test_examples_are_short():
    assert set(prompts.EXAMPLES) == {"chorale", "prelude", "sonata", "mazurka", "rag"}
    for name in ("chorale", "prelude"):
        notes = prompts.load_example(name)
        assert len(notes) > 30 and notes.quarters <= prompts.EXAMPLES[name].quarters
    with pytest.raises(BadMusicFile):
        prompts.load_example("../passwd")


def test_key_presses_are_rounded_to_the_grid():
    notes = prompts.quantize_key_presses([[60, 10.0, 10.49], [64, 10.51, 11.0], [67, 11.0, 11.0]], 120)
    assert notes.start.tolist() == [0, 12, 24] and notes.duration.tolist() == [12, 12, 1]
    assert notes.pitch.tolist() == [60, 64, 67] and notes.qpm == 120


@pytest.mark.parametrize(
    "key_presses, error",
    [
        (None, NoNotes),
        ([], NoNotes),
        ("60", BadMusicFile),
        ([[60, 0]], BadMusicFile),
        ([[60, 0, None]], BadMusicFile),
        ([["a", 0, 1]], BadMusicFile),
        ([[7, 0, 1]], BadMusicFile),
        ([[60, 1, 0]], BadMusicFile),
        ([[60, 0, 1e300]], TooLong),
        ([[60, 0, float("inf")]], BadMusicFile),
        ([[60, 0, 1]] * 30_000, TooLong),
    ],
)
def test_bad_key_presses_are_refused(key_presses, error):
    with pytest.raises(error):
        prompts.quantize_key_presses(key_presses, 120)


def test_every_format_of_the_commands_is_accepted():
    data = to_symusic_score(tiny.tune(3)).dumps_midi()
    assert set(sources.SUFFIXES) == set(prompts.SUFFIXES)
    page = (Path(prompts.__file__).parent / "static/index.html").read_text(encoding="utf-8")
    assert f'accept="{",".join(prompts.SUFFIXES)}"' in page
    assert prompts.read_upload("x.kar", data)[0] == prompts.read_upload("x.mid", data)[0]
