"""Time signatures of music that names none: made here, and of Bach's chorales."""

import numpy as np
import pytest
from examples import midi_bytes, off, on, track

from clara.encodings.notewise import Notewise
from clara.encodings.prompts import read_prompt
from clara.generation.arguments import convert_prompt
from clara.music.midi import read_midi
from clara.music.notes import COMMON_TIME, NoteSequence, build_notes, crop, transpose
from clara.music.read import read_music
from clara.music.signature_estimation import estimate_time_signature, with_estimated_time_signature

# chords of a bass and two notes above, one for each bar
HARMONIES = [(36, 64, 67), (41, 65, 69), (43, 62, 71), (36, 64, 72)]
# (eighth in the bar, eighths that it lasts, which notes of the chord) of an accompaniment
PATTERNS = {
    (3, 4): [(0, 2, 0), (2, 2, 1), (2, 2, 2), (4, 2, 1), (4, 2, 2)],
    (4, 4): [(0, 4, 0), (2, 1, 1), (2, 1, 2), (4, 2, 1), (6, 1, 1), (6, 1, 2)],
    (6, 8): [(0, 2, 0), (2, 1, 1), (3, 2, 2), (5, 1, 1)],
}
BAR_EIGHTHS = {(3, 4): 6, (4, 4): 8, (6, 8): 6}


def dance(signature, upbeat=0, n_bars=24, steps_per_quarter=12):
    """Return an accompaniment in a time signature, after an upbeat of some eighth notes."""
    bar, step = BAR_EIGHTHS[signature], steps_per_quarter // 2
    rows = [(upbeat - 1, 1, 67)] if upbeat else []
    for i in range(n_bars):
        chord = HARMONIES[i % len(HARMONIES)]
        rows += [(upbeat + i * bar + at, length, chord[which]) for at, length, which in PATTERNS[signature]]
    start, length, pitch = np.array(rows).T
    return build_notes(start * step, (start + length) * step, pitch, steps_per_quarter=steps_per_quarter)[0]


@pytest.mark.parametrize("steps_per_quarter", [12, 4, 24])
@pytest.mark.parametrize(
    "signature, upbeat", [((3, 4), 0), ((3, 4), 2), ((4, 4), 0), ((4, 4), 2), ((6, 8), 0), ((6, 8), 1)]
)
def test_dances(signature, upbeat, steps_per_quarter):
    [(step, *found)] = estimate_time_signature(dance(signature, upbeat, steps_per_quarter=steps_per_quarter))
    assert tuple(found) == signature
    assert step == ((upbeat - BAR_EIGHTHS[signature]) * steps_per_quarter // 2 if upbeat else 0)


def test_the_estimate_depends_on_neither_key_nor_grid():
    waltz = dance((3, 4), 2)
    assert estimate_time_signature(transpose(waltz, 5)[0]) == estimate_time_signature(waltz)


@pytest.mark.parametrize(
    "name, expected",
    [("bach/bwv846", (0, 4, 4)), ("joplin/maple_leaf_rag", (0, 2, 4))],
)
def test_real_music(name, expected):
    assert estimate_time_signature(read_music(f"music21:{name}")) == (expected,)


def test_short_music_is_in_common_time():
    assert estimate_time_signature(crop(dance((3, 4)), 0, 15 * 12)) == COMMON_TIME
    assert estimate_time_signature(NoteSequence.from_notes([])) == COMMON_TIME


def test_a_grid_without_eighth_notes_shows_nothing():
    assert estimate_time_signature(dance((3, 4), steps_per_quarter=12)) != COMMON_TIME
    odd = build_notes(np.arange(300), np.arange(300) + 1, 60 + np.arange(300) % 3, steps_per_quarter=3)[0]
    assert estimate_time_signature(odd) == COMMON_TIME


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 1200, 60)],
        [(1199, 1, 60)],
        [(i, 1, 60) for i in range(7, 900, 12)],
        [(i, 12, 60) for i in range(0, 12000, 12)],
    ],
    ids=["one long note", "one late note", "off the eighths", "equal quarters"],
)
def test_music_without_contrast_is_in_common_time(rows):
    assert estimate_time_signature(NoteSequence.from_notes(rows)) == COMMON_TIME


def waltz_events(upbeat=2):
    """Return a waltz as events of a track, at 480 ticks per quarter."""
    waltz = dance((3, 4), upbeat)
    events = sorted(
        [(start * 40, 1, pitch) for start, pitch in zip(waltz.start.tolist(), waltz.pitch.tolist())]
        + [(end * 40, 0, pitch) for end, pitch in zip(waltz.end.tolist(), waltz.pitch.tolist())]
    )
    times = np.diff([0, *(time for time, _, _ in events)]).tolist()
    return b"".join((on if kind else off)(delta, pitch) for delta, (_, kind, pitch) in zip(times, events))


def signature_event(numerator, exponent):
    return bytes([0, 0xFF, 0x58, 4, numerator, exponent, 24, 8])


def test_a_midi_file_without_a_time_signature():
    assert read_midi(midi_bytes(track(waltz_events())))[0].time_signatures == ((-24, 3, 4),)
    assert read_midi(midi_bytes(track(waltz_events())), steps_per_quarter=4)[0].time_signatures == ((-8, 3, 4),)


def test_a_written_time_signature_stays():
    for numerator in (4, 5):
        notes, _ = read_midi(midi_bytes(track(signature_event(numerator, 2), waltz_events())))
        assert notes.time_signatures == ((0, numerator, 4),)


def test_text_prompts(tmp_path):
    encoding = Notewise()
    text = encoding.encode_text(dance((3, 4), 2))[0]
    (tmp_path / "waltz.txt").write_text(text)
    assert read_prompt(tmp_path / "waltz.txt", encoding)[0].time_signatures == ((-24, 3, 4),)
    assert convert_prompt(text, encoding).time_signatures == ((-24, 3, 4),)
    assert convert_prompt(dance((3, 4), 2), encoding).time_signatures == COMMON_TIME  # notes say what they are in


def test_a_known_time_signature_gets_its_barlines_alone(tmp_path):
    encoding = Notewise()
    text = encoding.encode_text(dance((3, 4), 2))[0]
    (tmp_path / "waltz.txt").write_text(text)
    (tmp_path / "waltz.mid").write_bytes(midi_bytes(track(waltz_events())))
    (tmp_path / "named.mid").write_bytes(midi_bytes(track(signature_event(3, 2), waltz_events())))
    for known in ((4, 4), (5, 4)):
        for name in ("waltz.txt", "waltz.mid"):
            [(step, *found)] = read_prompt(tmp_path / name, encoding, time_signature=known)[0].time_signatures
            assert tuple(found) == known and -12 * known[0] < step <= 0
        named = read_prompt(tmp_path / "named.mid", encoding, time_signature=known)[0]
        assert named.time_signatures == ((0, 3, 4),)
    assert estimate_time_signature(dance((4, 4), 2), (4, 4)) == ((-36, 4, 4),)


def test_notes_stay_as_they_are():
    waltz = dance((3, 4), 2)
    estimated = with_estimated_time_signature(waltz)
    assert estimated == waltz and estimated.time_signatures == ((-24, 3, 4),)
