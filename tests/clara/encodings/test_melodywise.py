"""What is melodywise's own: the line, its rests, and the strength of each beat."""

from dataclasses import replace

import numpy as np
import pytest
from examples import note_sequences, rows
from hypothesis import given

from clara.encodings.melodywise import Melodywise, beat_strengths
from clara.errors import BadSetting, UnknownToken
from clara.music.notes import build_notes

METRES = ["4/4", "3/4", "2/4", "2/2", "6/8", "9/8", "12/8", "5/4", "7/8", "3/8", "3/2", "5/8"]


def line(*rows_, time_signatures=((0, 4, 4),)):
    start, duration, pitch = zip(*rows_)
    return build_notes(
        start, [s + d for s, d in zip(start, duration)], pitch, steps_per_quarter=4, time_signatures=time_signatures
    )[0]


def test_by_hand():
    notes = line((0, 2, 60), (2, 2, 62), (4, 4, 64), (12, 4, 65), (16, 16, 67))
    tokens = ["p40_s4_d2", "p42_s0_d2", "p44_s1_d4", "r_s2_d4", "p45_s1_d4", "p47_s4_d16"]
    assert Melodywise().encode(notes) == (tokens, {})
    assert Melodywise().decode(tokens)[0] == notes


def test_three_four_and_a_change_of_metre():
    notes = line((0, 4, 60), (4, 4, 60), (8, 4, 60), (12, 4, 60), (16, 4, 60), time_signatures=((0, 3, 4), (12, 2, 4)))
    assert [w[4:6] for w in Melodywise().encode(notes)[0]] == ["s4", "s2", "s2", "s4", "s2"]


def test_of_a_chord_the_tone_nearest_the_line_is_kept():
    notes = line((0, 4, 60), (0, 4, 76), (4, 4, 60), (4, 4, 72), (4, 4, 79), (8, 4, 69), (8, 4, 75))
    tokens, losses = Melodywise().encode(notes)
    assert [w.split("_")[0] for w in tokens] == ["p56", "p59", "p55"]  # 76; 79 before 72; 75
    assert losses == {"dropped": 4}


def test_what_sounds_into_the_next_strike_is_shortened_and_counted():
    tokens, losses = Melodywise().encode(line((0, 16, 48), (4, 4, 60), (8, 4, 62)))
    assert tokens == ["p28_s4_d4", "p40_s1_d4", "p42_s2_d4"] and losses == {"shortened": 1}


@given(note_sequences(4, max_notes=60))
def test_it_plays_one_note_at_a_time(notes):
    played = Melodywise().decode(Melodywise().encode(notes)[0])[0]
    assert (played.end[:-1] <= played.start[1:]).all()
    assert set(played.start.tolist()) == set(notes.start.tolist())


@pytest.mark.parametrize("metre", METRES)
@pytest.mark.parametrize("steps_per_quarter", [4, 12])
def test_strengths_are_those_of_music21(metre, steps_per_quarter):
    from music21 import note, stream
    from music21.meter import TimeSignature

    meter = TimeSignature(metre)
    bar = int(meter.barDuration.quarterLength * steps_per_quarter)
    measure = stream.Measure([meter])
    for step in range(bar):
        measure.insert(step / steps_per_quarter, note.Note(quarterLength=1 / steps_per_quarter))
    theirs = [round(4 * n.beatStrength) for n in measure.notes]
    numerator, denominator = map(int, metre.split("/"))
    ours = beat_strengths(np.arange(3 * bar), ((0, numerator, denominator),), steps_per_quarter)
    assert ours.tolist() == theirs * 3


def test_a_bar_that_is_no_whole_number_of_steps():
    assert beat_strengths(np.arange(10), ((0, 5, 32),), 4)[[0, 5]].tolist() == [4, 4]  # two and a half steps a bar


def test_music_cropped_inside_a_bar_keeps_its_beats():
    metre = ((-4, 4, 4),)
    assert beat_strengths(np.array([0, 4, 8, 12]), metre, 4).tolist() == [1, 2, 1, 4]


@pytest.mark.parametrize(
    "token", ["p40_s4", "p40_s5_d1", "p40_s4_d0", "p0_s4_d1", "p89_s4_d1", "r_d4", "x_s1_d1", "p40 s1"]
)
def test_tokens_that_are_none(token):
    with pytest.raises(UnknownToken, match="token 1 of the text"):
        Melodywise().decode([token])


def test_it_is_one_line():
    with pytest.raises(BadSetting, match="one line"):
        Melodywise(prefixes=("p", "v"))
    with pytest.raises(BadSetting, match="part 1"):
        Melodywise().encode(replace(line((0, 4, 60)), part=np.array([1])))


@pytest.mark.parametrize(
    "token, nearest",
    [("p40_s4_d5", "p40_s4_d4"), ("p41_s4_d1", "p42_s4_d1"), ("r_s1_d7", "r_s1_d4"), ("p42_s0_d1", "p42_s4_d1")],
)
def test_the_nearest_word(token, nearest):
    known = ["p40_s4_d4", "p42_s4_d1", "r_s1_d4", "r_s1_d1"]
    assert Melodywise().nearest_tokens([token], known) == [nearest]


def test_rows_of_a_decoded_rest():
    assert rows(Melodywise().decode("r_s4_d3 p40_s0_d2")[0]) == [(3, 2, 60)]
