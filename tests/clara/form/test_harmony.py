"""Local keys and chords of small handwritten pieces."""

import numpy as np
import pytest
from examples import bars_to_notes, note_sequences
from hypothesis import given

from clara.form.bars import split_into_bars
from clara.form.harmony import KEY_CHANGE_COST, best_triads, key_profiles, local_keys, sounding_pitch_classes
from clara.form.plan import UNKNOWN
from clara.music.notes import NoteSequence, transpose

C, D_MINOR, F, G, A_MINOR, F_SHARP, C_SHARP = 0, 14, 5, 7, 21, 6, 1


def chord(root, third=4):
    """Return a bar of one triad, its bass doubled."""
    return [(0, 48 + root), (0, 60 + root), (0, 60 + root + third), (0, 67 + root)]


CADENCE = [chord(0), chord(5), chord(7), chord(0)]


def describe(*bars, **settings):
    """Return the keys and triads of the bars of a piece, and its home key."""
    notes = bars_to_notes(*bars, duration=48, **settings)
    begin = split_into_bars(notes).begin
    keys, home = local_keys(notes, begin)
    return keys.tolist(), best_triads(notes, begin).tolist(), home


def test_a_cadence():
    assert describe(*CADENCE) == ([C] * 4, [C, F, G, C], C)


def test_a_minor_cadence():
    minor = [chord(9, 3), chord(2, 3), chord(4), chord(9, 3)]
    assert describe(*minor) == ([A_MINOR] * 4, [A_MINOR, D_MINOR, 4, A_MINOR], A_MINOR)


def test_a_change_of_key():
    in_f_sharp = [[(onset, pitch + 6) for onset, pitch in bar] for bar in CADENCE]
    keys, _, home = describe(*CADENCE * 2, *in_f_sharp * 3)
    assert keys == [C] * 8 + [F_SHARP] * 12 and home == F_SHARP


def test_of_two_equally_frequent_keys_the_last_is_home():
    in_f_sharp = [[(onset, pitch + 6) for onset, pitch in bar] for bar in CADENCE]
    assert describe(*CADENCE * 2, *in_f_sharp * 2)[2] == F_SHARP
    assert describe(*in_f_sharp * 2, *CADENCE * 2)[2] == C


def test_a_foreign_bar_does_not_change_the_key():
    assert describe(*CADENCE, chord(1), *CADENCE)[0] == [C] * 9


def test_silence_has_a_key_and_no_chord():
    assert describe(*CADENCE, [], *CADENCE)[:2] == ([C] * 9, [C, F, G, C, UNKNOWN, C, F, G, C])


def test_the_lowest_note_decides_between_two_triads():
    c_e_g_a = [(0, 60), (0, 64), (0, 67), (0, 69)]
    over_a = [(0, 57), *c_e_g_a[:3]]
    assert describe(c_e_g_a, over_a)[1] == [C, A_MINOR]


def test_how_long_pitch_classes_sound():
    notes = NoteSequence.from_notes([(0, 60, 60), (40, 16, 74), (100, 10, 61), (100, 10, 73)])
    weights = sounding_pitch_classes(notes, np.array([-12, 36, 84, 132]))
    assert weights[:, [0, 1, 2]].tolist() == [[36, 0, 0], [24, 0, 16], [0, 20, 0]]
    assert weights.sum() == notes.duration.sum()


@given(note_sequences(min_notes=1))
def test_every_step_counts_once(notes):
    begin = split_into_bars(notes).begin
    weights = sounding_pitch_classes(notes, begin)
    assert weights.sum() == notes.duration.sum()
    expected = np.zeros_like(weights)
    for start, end, pitch in zip(notes.start, notes.end, notes.pitch):
        for step in range(start, end):
            expected[np.searchsorted(begin, step, "right") - 1, pitch % 12] += 1
    assert (weights == expected).all()


@given(note_sequences(min_notes=1))
def test_the_path_of_keys_is_the_best(notes):
    """No change of one stretch of bars to another key improves the path."""
    begin = split_into_bars(notes).begin
    keys, _ = local_keys(notes, begin)
    padded = np.pad(sounding_pitch_classes(notes, begin), ((2, 2), (0, 0)))
    smooth = sum(w * padded[i : i + len(keys)] for i, w in enumerate((0.25, 0.5, 1.0, 0.5, 0.25)))
    centred = smooth - smooth.mean(1, keepdims=True)
    scores = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9) @ key_profiles().T

    def total(path):
        return scores[np.arange(len(path)), path].sum() - KEY_CHANGE_COST * (np.diff(path) != 0).sum()

    best = total(keys)
    for first in range(len(keys)):
        for last in range(first + 1, len(keys) + 1):
            for key in range(0, 24, 5):
                other = keys.copy()
                other[first:last] = key
                assert total(other) <= best + 1e-9


@pytest.mark.parametrize("semitones", [-5, 1, 6])
def test_the_same_music_in_another_key(semitones):
    notes = bars_to_notes(*CADENCE, *[[(0, 55), (0, 59), (24, 66), (24, 62)], chord(7)] * 3, duration=12)
    begin = split_into_bars(notes).begin
    higher = transpose(notes, semitones)[0]
    keys, home = local_keys(notes, begin)
    assert ((keys + semitones) % 12 == local_keys(higher, begin)[0] % 12).all()
    assert (home + semitones) % 12 == local_keys(higher, begin)[1]
    assert ((best_triads(notes, begin) + semitones) % 12 == best_triads(higher, begin) % 12).all()
