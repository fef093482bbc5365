"""Key signatures: read from files, kept by each step, asked for, or estimated."""

from dataclasses import replace

import numpy as np
import pytest
from examples import chunk, event, midi_bytes, off, on

from clara.music.key_signatures import collect_key_signatures, signature_of_key, transpose_signature
from clara.music.keys import estimate_key_signature, parse_key
from clara.music.midi import read_midi, write_midi
from clara.music.notes import build_notes, crop, transpose
from clara.music.scores import read_score

MAJOR_SCALE = np.array([0, 2, 4, 5, 7, 9, 11, 12])


def scale(tonic, **settings):
    """Return quarters of two major scales."""
    start = np.arange(16) * 12
    return build_notes(start, start + 12, tonic + np.tile(MAJOR_SCALE, 2), **settings)[0]


def midi_in(tonic, *fifths):
    """Return MIDI bytes of a major scale with key signatures at its beginning."""
    keys = b"".join(event(0, 0xFF, 0x59, 2, f % 256, 0) for f in fifths)
    notes = b"".join(on(0, tonic + i) + off(480, tonic + i) for i in MAJOR_SCALE.tolist())
    return midi_bytes(chunk(b"MTrk", keys + notes + event(0, 0xFF, 0x2F, 0)), kind=0)


@pytest.mark.parametrize(
    "name, fifths",
    [("C", 0), ("Ab major", -4), ("E minor", 1), ("F# major", 6), ("Eb minor", 6), ("Bb minor", -5), ("Am", 0)],
)
def test_the_signature_of_a_key(name, fifths):
    assert signature_of_key(*parse_key(name)) == fifths


@pytest.mark.parametrize("fifths", range(-7, 8))
def test_transposed_signatures_go_round_the_circle(fifths):
    assert transpose_signature(fifths, 0) == transpose_signature(fifths, 12) == fifths
    moved = [transpose_signature(fifths, semitones) for semitones in range(12)]
    assert {f % 12 for f in moved} == set(range(12)) and max(map(abs, moved[1:])) <= 6


def test_impossible_and_repeated_signatures_are_left_out():
    assert collect_key_signatures([(6, -4), (12, -4), (24, 9), (48, 2)]) == ((0, -4), (48, 2))
    assert collect_key_signatures([]) == ()


def test_signatures_are_cropped_and_transposed():
    notes = replace(scale(60), key_signatures=((0, 0), (48, -4)))
    assert crop(notes, 0, 48).key_signatures == ((0, 0),)
    assert crop(notes, 24, 100).key_signatures == ((0, 0), (24, -4))
    assert crop(notes, 60, 100).key_signatures == ((0, -4),)
    assert transpose(notes, 2)[0].key_signatures == ((0, 2), (48, -2))


@pytest.mark.parametrize(
    "tonic, fifths, expected",
    [
        (60, (), ()),
        (60, (0,), ((0, 0),)),
        (68, (-4,), ((0, -4),)),
        (68, (0, -4), ((0, -4),)),
        (65, (0,), ((0, 0),)),  # F major without its flat: in C, as older scores have it
        (68, (0,), ()),  # no one chose C major for this
        (60, (3,), ((0, 3),)),
    ],
)
def test_midi_files_name_their_key(tonic, fifths, expected):
    assert read_midi(midi_in(tonic, *fifths))[0].key_signatures == expected


@pytest.mark.parametrize("key_signatures", [(), ((0, -4),), ((0, -4), (96, -5))])
def test_midi_keeps_key_signatures(key_signatures, tmp_path):
    write_midi(replace(scale(68), key_signatures=key_signatures), tmp_path / "a.mid")
    assert read_midi(tmp_path / "a.mid")[0].key_signatures == key_signatures


HUMDRUM = "**kern\n*M4/4\n*k[b-e-]\n4c\n4d\n*k[f#]\n4e\n4f#\n*-\n"
ABC = "X:1\nT:a\nM:4/4\nL:1/4\nK:Bb\ncd[K:G]ef\n"
MUSICXML = (
    '<score-partwise><part-list><score-part id="P1"><part-name>x</part-name></score-part></part-list><part id="P1">'
    "<measure><attributes><divisions>1</divisions><key><fifths>{}</fifths></key>{}</attributes>"
    "<note><pitch><step>C</step><octave>4</octave></pitch><duration>4</duration></note></measure></part></score-partwise>"
)
CLARINET = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"


@pytest.mark.parametrize(
    "suffix, text, expected",
    [
        (".krn", HUMDRUM, ((0, -2), (24, 1))),
        (".abc", ABC, ((0, -2), (24, 1))),
        (".musicxml", MUSICXML.format(-2, ""), ((0, -2),)),
        (".musicxml", MUSICXML.format(0, CLARINET), ((0, -2),)),
        (".musicxml", MUSICXML.format("many", ""), ()),
    ],
)
def test_scores_name_their_key(suffix, text, expected, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_text(text)
    assert read_score(path)[0].key_signatures == expected


def test_eight_even_quarters_of_a_c_major_chord_are_in_c_major():
    start = np.arange(8) * 12
    notes, _ = build_notes(start, start + 12, [60, 64, 67, 72, 67, 64, 60, 67])
    assert estimate_key_signature(notes) == 0
