"""The key of scales and of real music, compared with music21, and transposing to a key."""

import pytest

from clara.music.keys import TONICS, estimate_key, parse_key, transpose_to_key
from clara.music.midi import read_midi
from clara.music.notes import build_notes, transpose

MAJOR_SCALE, MINOR_SCALE = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 11)


def scale(degrees, tonic):
    """Return a scale that dwells on its tonic and its fifth."""
    pitch = [60 + tonic + d for d in degrees]
    length = [8 if d in (0, 7) else 4 for d in degrees]
    start = [sum(length[:i]) for i in range(len(length))]
    return build_notes(start, [s + n for s, n in zip(start, length)], pitch)[0]


@pytest.mark.parametrize("tonic", range(12))
def test_scales(tonic):
    assert estimate_key(scale(MAJOR_SCALE, tonic)) == (tonic, True)
    assert estimate_key(scale(MINOR_SCALE, tonic)) == (tonic, False)


def test_real_music_has_the_key_that_music21_hears(real_midi):
    from music21 import converter
    from music21.analysis.discrete import KrumhanslKessler

    for path in real_midi.values():
        heard = KrumhanslKessler().getSolution(converter.parse(path))
        assert estimate_key(read_midi(path)[0]) == (heard.tonic.pitchClass, heard.mode == "major")


@pytest.mark.parametrize("target", TONICS)
def test_every_key_transposes_to_the_target_by_at_most_six_semitones(target):
    for tonic in range(12):
        for degrees, relative in ((MAJOR_SCALE, 0), (MINOR_SCALE, 9)):
            notes = scale(degrees, tonic)
            moved, losses = transpose_to_key(notes, target)
            assert not +losses and estimate_key(moved) == (
                (TONICS.index(target) + relative) % 12,
                degrees is MAJOR_SCALE,
            )
            assert -6 <= moved.pitch[0] - notes.pitch[0] <= 5
            assert transpose(notes, moved.pitch[0] - notes.pitch[0])[0] == moved


def test_no_notes_stay_unchanged():
    nothing = build_notes([], [], [])[0]
    assert transpose_to_key(nothing, "C")[0] == nothing


@pytest.mark.parametrize(
    "name, key",
    [
        ("a", (9, False)),
        ("f#", (6, False)),
        ("bb", (10, False)),
        ("b", (11, False)),
        ("A", (9, True)),
        ("Bb", (10, True)),
        ("a major", (9, True)),
        ("amaj", (9, True)),
        ("a minor", (9, False)),
        ("A minor", (9, False)),
        ("Am", (9, False)),
    ],
)
def test_a_small_letter_alone_is_a_minor_key(name, key):
    assert parse_key(name) == key
