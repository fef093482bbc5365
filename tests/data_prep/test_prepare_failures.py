"""`python -m data_prep.prepare` where files, folders or arguments are bad, or it is interrupted."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from examples import REPOSITORY, SOURCES, melody, midi_bytes, off, on, texts, track

from clara import cli
from clara.data import sources, workers
from clara.data.sources import read_piece
from clara.errors import CannotWrite, NoData
from clara.music.midi import write_midi
from data_prep import prepare

pytestmark = pytest.mark.slow


def test_bad_files_are_named_and_the_others_go_on(music, encode_into, tmp_path, capsys):
    whole = (music / "bach/1.mid").read_bytes()
    bad = {
        "bach/text": b"not MIDI",
        "bach/half": whole[: len(whole) // 2],
        "loose": b"",
        "chopin/drums": midi_bytes(track(on(0, 36, channel=9), off(9, 36, channel=9))),
    }
    for name, data in bad.items():
        (music / f"{name}.mid").write_bytes(data)
    status, manifest = encode_into(music)
    assert status == 0 and len(manifest) == 9
    reasons = manifest["reason"].str.split(":").str[0]
    assert reasons[reasons != ""].to_dict() == {
        "bach/text": "BadMusicFile",
        "bach/half": "BadMusicFile",
        "unknown/loose": "BadMusicFile",
        "chopin/drums": "NoNotes",
    }
    assert set(texts(tmp_path / "out")) == set(SOURCES)
    out = capsys.readouterr().out
    assert "5 pieces, 400 notes" in out and "refused: 3 BadMusicFile, 1 NoNotes" in out
    assert f"{music / 'bach/text.mid'}: BadMusicFile: " in out


def hang():
    time.sleep(600)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def surprise():
    raise KeyError("something that a library did not foresee")


def exhaust():
    raise MemoryError


@pytest.mark.parametrize(
    "evil, reason", [(hang, "Timeout"), (die, "WorkerDied"), (surprise, "KeyError"), (exhaust, "OutOfMemory")]
)
def test_a_hostile_file_costs_itself_alone(music, encode_into, tmp_path, monkeypatch, evil, reason):
    def read(piece, **kwargs):
        return evil() if piece.name == "bach/2" else read_piece(piece, **kwargs)

    monkeypatch.setattr(sources, "read_piece", read)
    status, manifest = encode_into(music, "--timeout", "2" if evil is hang else "60")
    assert status == 0
    assert reason in manifest.loc["bach/2", "reason"]
    assert (manifest["reason"] != "").sum() == 1
    assert set(texts(tmp_path / "out")) == set(SOURCES) - {"bach/2"}


def test_after_ctrl_c_what_was_done_stands(music, encode_into, tmp_path, monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        yield next(process_pieces(*args, **kwargs))
        raise KeyboardInterrupt

    process_pieces = workers.process_pieces
    _, whole = encode_into(music)
    monkeypatch.setattr(workers, "process_pieces", interrupted)
    write_midi(melody(98), music / "bach/1.mid")
    status, manifest = encode_into(music)
    assert status == cli.INTERRUPTED and "interrupted" in capsys.readouterr().err
    assert set(texts(tmp_path / "out")) == set(manifest["piece"]) == set(SOURCES)
    assert manifest.loc["bach/1", "hash"] != whole.loc["bach/1", "hash"]


def test_nothing_accepted_is_no_data_and_the_manifest_tells_why(tmp_path, encode_into):
    (tmp_path / "a.mid").write_bytes(b"not MIDI")
    with pytest.raises(NoData, match="a.mid: not one of 1 files was accepted"):
        encode_into(tmp_path / "a.mid")
    [reason] = pd.read_csv(tmp_path / "out/manifest.csv")["reason"]
    assert reason.startswith("BadMusicFile: ")


def test_where_it_cannot_write(music, tmp_path):
    (tmp_path / "file").write_text("")
    for out in ("file", "file/inside"):
        with pytest.raises(CannotWrite, match="file"):
            prepare.main([str(music), "--out", str(tmp_path / out)])


def test_sources_without_music(tmp_path):
    for source in (tmp_path, tmp_path / "nowhere", "music21:nobody"):
        with pytest.raises(NoData):
            prepare.main([str(source), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], "error: nowhere: no such file or folder\n"),
        (["a.mid", "--steps-per-quarter", "0"], "argument --steps-per-quarter: must be from 1 to 96, not 0"),
        (["a.mid", "--keys", "61"], "argument --keys"),
    ],
)
def test_bad_input_on_the_command_line(tmp_path, arguments, message):
    done = subprocess.run(
        [sys.executable, "-m", "data_prep.prepare", *arguments, "--out", "out"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert message in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
