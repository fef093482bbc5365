"""MIDI bytes written by hand are read, and other libraries read what we write."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from examples import (
    HANDWRITTEN,
    chunk,
    handwritten,
    midi_bytes,
    note_sequences,
    off,
    on,
    pedal,
    program,
    rows,
    tempo,
    track,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from symusic import Score

from clara.errors import BadMusicFile, CannotWrite, NoNotes, TooLong
from clara.music import midi, midi_scan
from clara.music.instruments import ENSEMBLES
from clara.music.midi import read_midi, write_midi
from clara.music.notes import build_notes

QUARTER = on(0, 60) + off(480, 60)
QUARTER_ROW = (0, 12, 60)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@given(data=st.data(), steps_per_quarter=st.sampled_from([1, 4, 7, 12, 24, 96, 500]))
def test_written_and_read_back_is_the_same(ensemble, data, steps_per_quarter, tmp_path_factory):
    prefixes = ENSEMBLES[ensemble]
    notes = data.draw(note_sequences(steps_per_quarter, 55, 103, parts=len(prefixes), min_notes=4))
    assume(set(notes.part.tolist()) == set(range(len(prefixes))))
    notes = replace(notes, instruments=prefixes)
    path = tmp_path_factory.getbasetemp() / "round_trip.mid"
    write_midi(notes, path)
    assert read_midi(path, steps_per_quarter=steps_per_quarter, ensemble=ensemble) == (notes, Counter())


@pytest.mark.parametrize("qpm", [2.0, 30.0, 97.3, 120.0, 480.0])
def test_tempo_comes_back_within_the_formats_microsecond(tmp_path, qpm):
    write_midi(replace(handwritten("chord"), qpm=qpm), tmp_path / "a.mid")
    slowest = 60e6 / (2**24 - 1)  # three bytes of microseconds
    assert read_midi(tmp_path / "a.mid")[0].qpm == pytest.approx(max(qpm, slowest), rel=1e-5)


def test_where_a_file_cannot_be_written(tmp_path):
    with pytest.raises(CannotWrite, match="no folder"):
        write_midi(handwritten("chord"), tmp_path / "no folder/a.mid")


@pytest.mark.parametrize("name", HANDWRITTEN)
def test_symusic_counts_the_same_notes_at_the_same_ticks(tmp_path, name):
    notes = handwritten(name)
    write_midi(notes, tmp_path / "a.mid")
    score = Score(tmp_path / "a.mid")
    assert score.ticks_per_quarter == 480
    found = sorted((n.time, n.duration, n.pitch) for t in score.tracks for n in t.notes)
    assert found == sorted((s * 40, d * 40, p) for s, d, p in rows(notes))
    assert [(t.name, t.program) for t in score.tracks] == [("Piano", 0)]


@pytest.mark.parametrize("name", ["chord", "two voices"])
def test_music21_reads_the_same_notes(tmp_path, name):
    from music21 import converter

    notes = handwritten(name)
    write_midi(notes, tmp_path / "a.mid")
    score = converter.parse(tmp_path / "a.mid", quantizePost=False).stripTies()
    found = sorted(
        (float(n.offset) * 12, float(n.quarterLength) * 12, p.midi) for n in score.flatten().notes for p in n.pitches
    )
    assert found == sorted(rows(notes))


def test_pretty_midi_hears_the_same_seconds(tmp_path):
    from pretty_midi import PrettyMIDI

    notes = replace(handwritten("rests"), qpm=90.0)
    write_midi(notes, tmp_path / "a.mid")
    [instrument] = PrettyMIDI(str(tmp_path / "a.mid")).instruments
    found = [(n.start, n.end, n.pitch) for n in instrument.notes]
    seconds_per_step = 60 / 90 / 12
    expected = [(s * seconds_per_step, (s + d) * seconds_per_step, p) for s, d, p in rows(notes)]
    assert np.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["bach/bwv66.6", "bach/bwv846"])
def test_real_files_hold_symusics_notes_rounded_to_the_grid(real_midi, name):
    score = Score(real_midi[name])
    tpq = score.ticks_per_quarter
    steps = [
        ((2 * 12 * n.time + tpq) // (2 * tpq), (2 * 12 * n.end + tpq) // (2 * tpq), n.pitch)
        for t in score.tracks
        for n in t.notes
    ]
    notes, losses = read_midi(real_midi[name])
    assert len(steps) > 150
    assert notes == build_notes(*zip(*steps))[0]
    assert len(notes) + losses["merged"] == len(steps)


@pytest.mark.parametrize(
    "data, expected, losses",
    [
        pytest.param(midi_bytes(track(QUARTER)), [QUARTER_ROW], {}, id="format 1"),
        pytest.param(midi_bytes(track(QUARTER), kind=0), [QUARTER_ROW], {}, id="format 0"),
        pytest.param(
            midi_bytes(track(on(0, 60), bytes([0, 64, 90]), off(480, 60), bytes([0, 64, 0])), kind=0),
            [(0, 12, 60), (0, 12, 64)],
            {},
            id="running status",
        ),
        pytest.param(midi_bytes(track(on(0, 60), on(480, 60, velocity=0))), [QUARTER_ROW], {}, id="velocity 0 as off"),
        pytest.param(
            midi_bytes(track(tempo(0, 500_000)), track(QUARTER), track(on(480, 48) + off(240, 48))),
            [QUARTER_ROW, (12, 6, 48)],
            {},
            id="several tracks",
        ),
        pytest.param(midi_bytes(track(QUARTER), track(QUARTER)), [QUARTER_ROW], {"merged": 1}, id="unison"),
        pytest.param(
            midi_bytes(track(on(0, 60), on(0, 64), off(480, 64), end=480)),
            [(0, 24, 60), (0, 12, 64)],
            {"unended": 1},
            id="never ended",
        ),
        pytest.param(
            midi_bytes(track(on(0, 60), off(0, 60), on(480, 62), off(480, 62))),
            [(0, 1, 60), (12, 12, 62)],
            {},
            id="zero length",
        ),
        pytest.param(
            midi_bytes(track(on(0, 60), on(240, 60), off(240, 60), off(480, 60))),
            [(0, 6, 60), (6, 18, 60)],
            {"cut": 1},
            id="overlapping",
        ),
        pytest.param(
            midi_bytes(track(on(0, 36, channel=9), off(480, 36, channel=9)), track(QUARTER)),
            [QUARTER_ROW],
            {"drums": 1},
            id="drums",
        ),
        pytest.param(
            midi_bytes(track(on(0, 60), on(0, 36, channel=9), off(480, 60), off(0, 36, channel=9)), kind=0),
            [QUARTER_ROW],
            {"drums": 1},
            id="drums in format 0",
        ),
        pytest.param(midi_bytes(track(off(0, 72), QUARTER, off(5, 60))), [QUARTER_ROW], {}, id="stray ends"),
        pytest.param(midi_bytes(track(QUARTER)) + b"junk", [QUARTER_ROW], {}, id="junk after the end"),
        pytest.param(midi_bytes(chunk(b"MTrk", QUARTER)), [QUARTER_ROW], {}, id="no end of track"),
    ],
)
def test_written_by_hand(data, expected, losses):
    notes, lost = read_midi(data)
    assert rows(notes) == expected
    assert lost == losses


def test_a_note_without_end_in_a_track_without_end_is_not_lost_in_silence():
    notes, losses = read_midi(midi_bytes(chunk(b"MTrk", QUARTER + on(0, 62))))
    assert rows(notes) == [QUARTER_ROW, (12, 1, 62)] and losses == {"unended": 1}


@pytest.mark.parametrize("division, ticks", [(1, 1), (7, 7), (35, 35), (97, 97), (480, 480), (32767, 32767)])
def test_resolutions(division, ticks):
    notes, _ = read_midi(midi_bytes(track(on(ticks, 60), off(ticks, 60)), division=division))
    assert rows(notes) == [(12, 12, 60)]


def test_rounding_is_of_onsets_and_ends_half_up():
    data = midi_bytes(track(on(20, 60), off(39, 60)))  # 20 and 59 of 480: half a step, and just under one and a half
    assert rows(read_midi(data)[0]) == [(1, 1, 60)]
    assert rows(read_midi(data, steps_per_quarter=24)[0]) == [(1, 2, 60)]


@pytest.mark.parametrize(
    "tempos, qpm",
    [
        ([], 120),
        ([tempo(0, 1_000_000)], 60),
        ([tempo(0, 500_000), tempo(480, 1_000_000)], 80),
        ([tempo(480, 1_000_000)], 80),
        ([tempo(0, 500_000), tempo(960, 9_000_000)], 120),
        ([tempo(0, 300_000), tempo(0, 600_000)], 100),
    ],
)
def test_one_tempo_that_lasts_as_long_as_all(tempos, qpm):
    notes, _ = read_midi(midi_bytes(track(*tempos), track(on(0, 60), off(960, 60))))
    assert notes.qpm == pytest.approx(qpm)
    assert notes.seconds == pytest.approx(2 * 60 / qpm)


SHORT = on(0, 60) + off(240, 60)  # half a quarter


@pytest.mark.parametrize(
    "data, plain, sustained",
    [
        pytest.param(
            midi_bytes(track(pedal(0, 127), SHORT, pedal(720, 0))), [(0, 6, 60)], [(0, 24, 60)], id="to the release"
        ),
        pytest.param(
            midi_bytes(track(SHORT, pedal(10, 127), pedal(700, 0))), [(0, 6, 60)], [(0, 6, 60)], id="pressed too late"
        ),
        pytest.param(
            midi_bytes(track(pedal(0, 127), pedal(100, 0), on(20, 60), off(120, 60))),
            [(3, 3, 60)],
            [(3, 3, 60)],
            id="released before",
        ),
        pytest.param(
            midi_bytes(track(pedal(0, 127), SHORT, on(240, 60), off(240, 60), pedal(240, 0))),
            [(0, 6, 60), (12, 6, 60)],
            [(0, 12, 60), (12, 12, 60)],
            id="struck again under it",
        ),
        pytest.param(
            midi_bytes(track(SHORT, pedal(720, 0)), track(pedal(0, 127), on(0, 48), off(240, 48), pedal(720, 0))),
            [(0, 6, 48), (0, 6, 60)],
            [(0, 24, 48), (0, 24, 60)],
            id="in another track of the part",
        ),
        pytest.param(
            midi_bytes(track(pedal(0, 127), pedal(960, 0)), track(SHORT)),
            [(0, 6, 60)],
            [(0, 24, 60)],
            id="in a track without notes",
            marks=pytest.mark.xfail(reason="symusic gives no track that holds no note, nor its pedal"),
        ),
        pytest.param(
            midi_bytes(track(pedal(0, 127), SHORT, end=720)), [(0, 6, 60)], [(0, 24, 60)], id="never released"
        ),
    ],
)
def test_sustain_lengthens_on_request(data, plain, sustained):
    assert rows(read_midi(data)[0]) == plain
    assert rows(read_midi(data, sustain=True)[0]) == sustained


def test_parts_by_program():
    data = midi_bytes(track(program(0, 0), QUARTER), track(program(0, 40, 1), on(0, 60, channel=1), off(480, 60, 1)))
    notes, losses = read_midi(data, ensemble="chamber")
    assert notes.part.tolist() == [0, 1] and not losses
    assert len(read_midi(data)[0]) == 1


WHOLE = midi_bytes(track(tempo(0, 600_000), QUARTER, program(0, 3)))


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_truncated_anywhere(length):
    assert rows(read_midi(WHOLE)[0]) == [QUARTER_ROW]
    with pytest.raises((BadMusicFile, NoNotes), match="^MIDI bytes: "):
        read_midi(WHOLE[:length])


@pytest.mark.parametrize(
    "data, message",
    [
        pytest.param(b"", "not a MIDI file", id="empty"),
        pytest.param(b"RIFF and so on", "not a MIDI file", id="another format"),
        pytest.param(WHOLE[:12] + b"\xe7\x28" + WHOLE[14:], "time-code division", id="time code"),
        pytest.param(WHOLE[:12] + b"\x00\x00" + WHOLE[14:], "0 ticks per quarter", id="resolution 0"),
        pytest.param(midi_bytes(track(bytes([0, 60, 64]))), "without a status byte", id="running status of nothing"),
        pytest.param(midi_bytes(track(on(0, 0xC0), off(96, 0xC0))), "a key outside 0-127", id="key beyond seven bits"),
        *[
            pytest.param(
                midi_bytes(track(QUARTER, bytes([0, status]), QUARTER)),
                f"status byte {status:X}, a message between devices",
                id=f"status {status:X}",
            )
            for status in (*range(0xF1, 0xF7), *range(0xF8, 0xFF))
        ],
    ],
)
def test_files_that_are_not_midi(data, message, tmp_path):
    (tmp_path / "a.mid").write_bytes(data)
    with pytest.raises(BadMusicFile, match=f"a.mid.*{message}"):
        read_midi(tmp_path / "a.mid")


def test_a_chunk_longer_than_the_file_is_refused_before_symusic_reads_past_its_end(monkeypatch):
    monkeypatch.setattr(midi, "Score", None)
    with pytest.raises(BadMusicFile):
        read_midi(WHOLE[:18] + b"\x7f" + WHOLE[19:])


@pytest.mark.parametrize(
    "data, message",
    [
        (midi_bytes(), "no notes in it$"),
        (midi_bytes(track(tempo(0, 500_000))), "no notes in it$"),
        (midi_bytes(track(on(0, 36, channel=9), off(9, 36, channel=9))), "no notes in it but drums"),
    ],
)
def test_no_notes(data, message):
    with pytest.raises(NoNotes, match=message):
        read_midi(data)


@pytest.mark.parametrize("cap, limit", [("MAX_NOTES", 1), ("MAX_QUARTERS", 1), ("MAX_BYTES", 10)])
def test_caps(monkeypatch, tmp_path, cap, limit):
    write_midi(handwritten("two voices"), tmp_path / "a.mid")
    assert len(read_midi(tmp_path / "a.mid")[0])
    monkeypatch.setattr(midi, cap, limit)
    with pytest.raises(TooLong, match="a.mid"):
        read_midi(tmp_path / "a.mid")


def test_caps_on_events_and_time_signatures(monkeypatch):
    signatures = b"\0\xff\x58\4\3\2\x18\x08" + b"\x60\xff\x58\4\4\2\x18\x08"
    data = midi_bytes(track(signatures, QUARTER))
    assert read_midi(data)[0].time_signatures == ((0, 3, 4), (2, 4, 4))
    monkeypatch.setattr(midi, "MAX_TIME_SIGNATURES", 1)
    with pytest.raises(TooLong, match="more than 1 changes of the time signature"):
        read_midi(data)
    monkeypatch.setattr(midi_scan, "MAX_EVENTS", 4)
    with pytest.raises(TooLong, match="more than 4 events"):
        read_midi(data)


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "none.mid"):
        with pytest.raises(BadMusicFile, match="cannot be read"):
            read_midi(path)
