"""Harmful files are refused by name or repaired, and never end a run."""

import os

import pandas as pd
import pytest
from dangers import DANGERS, ENSEMBLES, NOTE, REFUSALS
from examples import midi_bytes, track
from hypothesis import given, settings
from hypothesis import strategies as st

from clara.music.midi import read_midi
from data_prep import prepare

pytestmark = pytest.mark.slow

MANY_EXAMPLES = settings(max_examples=300)


@pytest.mark.parametrize("danger", [pytest.param(d, id=name) for name, d in DANGERS.items()])
def test_refused_or_repaired(danger, tmp_path):
    (tmp_path / "a.mid").write_bytes(danger.data)
    if danger.refused:
        with pytest.raises(danger.refused, match=f"a.mid.*{danger.message}"):
            read_midi(tmp_path / "a.mid")
        return
    notes, losses = read_midi(tmp_path / "a.mid")
    assert danger.n_notes in (len(notes), None) and losses == danger.losses
    assert danger.time_signatures in (notes.time_signatures, None)
    assert notes.qpm > 0 and (danger.qpm is None or notes.qpm == pytest.approx(danger.qpm))


@pytest.mark.parametrize("data", ENSEMBLES.values(), ids=list(ENSEMBLES))
def test_unreadable_names_leave_the_program_to_decide(data):
    notes, losses = read_midi(data, ensemble="chamber")
    assert notes.part.tolist() == [0, 1] and not losses


@pytest.fixture
def danger_folder(tmp_path):
    """Write all dangers as files, and four whose names are no UTF-8, are long, or would break a table."""
    folder = tmp_path / "music"
    (folder / "dangers").mkdir(parents=True)
    for name, danger in DANGERS.items():
        (folder / f"dangers/{name.replace('/', ' over ')}.mid").write_bytes(danger.data)
    for name in (b"Fl\xf6te", "ピアノ".encode("shift-jis"), b'a,"b"\nc', b"x" * 250):
        with open(os.fsencode(folder / "dangers/") + b"/" + name + b".mid", "wb") as file:
            file.write(midi_bytes(track(NOTE)))
    (folder / os.fsdecode(b"caf\xe9")).mkdir()
    (folder / os.fsdecode(b"caf\xe9/bad.mid")).write_bytes(b"no music")
    with open(folder / "dangers/huge.mid", "wb") as file:
        file.truncate(1 << 30)  # a hole
    return folder


def test_a_run_over_all_of_them_ends_well(danger_folder, tmp_path):
    out = tmp_path / "out"
    assert (
        prepare.main([str(danger_folder), "--out", str(out), "--workers", "2", "--timeout", "120", "--memory", "300"])
        == 0
    )
    manifest = pd.read_csv(out / "manifest.csv", keep_default_na=False).set_index("piece")
    assert len(manifest) == len(DANGERS) + 6
    for name, danger in DANGERS.items():
        reason = manifest.loc[f"dangers/{name.replace('/', ' over ')}", "reason"]
        assert reason.split(":")[0] in fates(danger)
    assert manifest.loc["dangers/huge", "reason"].startswith("TooLong")
    assert manifest.loc["dangers/" + "x" * 250, "reason"].startswith("CannotWrite")
    for name in ("dangers/Fl%F6te", "dangers/%83s%83A%83m", 'dangers/a,"b"\nc'):
        assert manifest.loc[name, "reason"] == "" and (out / f"{name}.txt").is_file()
    row = manifest.loc["caf%E9/bad"]
    assert row["composer"] == "caf%E9" and row["reason"].startswith("BadMusicFile") and "caf%E9" in row["source"]


def fates(danger):
    """Return the errors that a manifest may name for a danger; no name if it is repaired."""
    refused = danger.refused if isinstance(danger.refused, tuple) else (danger.refused,)
    return {error.__name__ if error else "" for error in refused}


def refused_or_read(data):
    try:
        notes, _ = read_midi(data)
    except REFUSALS:
        return
    assert len(notes) and notes.qpm > 0


@MANY_EXAMPLES
@given(st.binary(max_size=200))
def test_any_bytes_after_the_head(data):
    refused_or_read(b"MThd" + data)


@MANY_EXAMPLES
@given(st.binary(max_size=200))
def test_any_bytes_as_a_track(data):
    refused_or_read(DANGERS_HEAD + len(data).to_bytes(4, "big") + data)


DANGERS_HEAD = midi_bytes(b"MTrk")


@MANY_EXAMPLES
@given(
    st.sampled_from([d.data for d in DANGERS.values() if len(d.data) < 500]), st.integers(0, 499), st.integers(0, 255)
)
def test_any_byte_changed(data, at, byte):
    at %= max(1, len(data))
    refused_or_read(data[:at] + bytes([byte]) + data[at + 1 :])


@MANY_EXAMPLES
@given(st.sampled_from([d.data for d in DANGERS.values() if len(d.data) < 500]), st.integers(0, 499))
def test_cut_anywhere(data, length):
    refused_or_read(data[:length])
