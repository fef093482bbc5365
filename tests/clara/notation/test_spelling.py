"""Names of notes: by the key, by the music around them, and by the file's octaves."""

import numpy as np
import pytest

from clara.music.notes import build_notes
from clara.notation.spelling import name_of, signature_alterations, spell

LETTERS = "FCGDAEB"


def names(pitches, fifths):
    """Return the names of equal notes one after the other, such as C# and Bb."""
    start = np.arange(len(pitches)) * 12
    notes = build_notes(start, start + 12, pitches)[0]
    spelled = [name_of(*pair) for pair in zip(spell(notes, ((0, fifths),)).tolist(), notes.pitch.tolist())]
    return [letter + "#" * alter + "b" * -alter for letter, alter, _ in spelled]


@pytest.mark.parametrize(
    "tonic, fifths, expected",
    [
        (60, 0, "C D E F G A B C"),
        (62, 2, "D E F# G A B C# D"),
        (63, -3, "Eb F G Ab Bb C D Eb"),
        (66, 6, "F# G# A# B C# D# E# F#"),
        (61, -5, "Db Eb F Gb Ab Bb C Db"),
    ],
)
def test_a_major_scale_has_each_letter_once(tonic, fifths, expected):
    scale = tonic + np.array([0, 2, 4, 5, 7, 9, 11, 12])
    assert names(np.tile(scale, 4), fifths)[:8] == expected.split()


def test_the_leading_note_of_a_minor_key_is_raised():
    scale = 57 + np.array([0, 2, 3, 5, 7, 8, 11, 12, 11, 12])
    assert names(np.tile(scale, 4), 0)[6] == "G#"


def test_spelling_does_not_depend_on_the_octave():
    scale = np.tile([57, 59, 60, 62, 64, 65, 68, 69], 4)
    assert names(scale, 0) == names(scale + 12, 0)


@pytest.mark.parametrize("fifth, pitch, name", [(0, 60, ("C", 0, 4)), (12, 60, ("B", 1, 3)), (-7, 59, ("C", -1, 4))])
def test_b_sharp_and_c_flat_stand_in_the_octave_of_their_letter(fifth, pitch, name):
    assert name_of(fifth, pitch) == name


def test_key_signatures():
    assert [letter for letter in LETTERS if signature_alterations(3)[letter] == 1] == list("FCG")
    assert [letter for letter in LETTERS if signature_alterations(-2)[letter] == -1] == list("EB")
