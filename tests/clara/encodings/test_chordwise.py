"""What is chordwise's own: chord tokens, rests with their density, holds, the nearest known chord."""

from collections import Counter

import pytest
from examples import handwritten, note_sequences, rows
from hypothesis import given

from clara.encodings.chordwise import MAX_RECENT_NOTES, RECENT_STEPS, Chordwise
from clara.errors import UnknownToken
from clara.music.notes import build_notes


def notes_of(*rows_):
    start, duration, pitch = zip(*rows_)
    return build_notes(start, [s + d for s, d in zip(start, duration)], pitch, steps_per_quarter=4)[0]


CHORDS = notes_of((0, 4, 48), (0, 2, 60), (2, 2, 62), (6, 1, 60))


def test_by_hand():
    tokens, losses = Chordwise().encode(CHORDS)
    assert tokens == ["p28+p40", "rest2", "p42", "rest3", "rest3", "rest3", "p40"]
    assert losses == {"relengthened": 2}  # 48 rings until 62 is struck, 62 until 60


def test_by_hand_with_holds():
    tokens, losses = Chordwise(holds=True).encode(CHORDS)
    assert tokens == ["p28+p40", "~p28+~p40", "~p28+p42", "~p28+~p42", "rest3", "rest3", "p40"] and not losses


def test_solo_before_piano():
    notes = build_notes([0, 0, 0], [1, 1, 1], [60, 64, 62], [0, 0, 1], steps_per_quarter=4)[0]
    assert Chordwise(prefixes=("p", "v")).encode(notes)[0] == ["v42+p40+p44"]


@pytest.mark.parametrize("holds", [False, True])
@given(notes=note_sequences(4))
def test_rests_count_what_was_struck_in_the_last_ten_steps(holds, notes):
    tokens = Chordwise(holds=holds).encode(notes)[0]
    struck = [0 if w[0] == "r" else sum(m[0] == "p" for m in w.split("+")) for w in tokens]
    for at, token in enumerate(tokens):
        if token[0] == "r":
            assert token == f"rest{min(MAX_RECENT_NOTES, sum(struck[max(0, at - RECENT_STEPS) : at]))}"


@given(note_sequences(4, max_notes=60))
def test_with_holds_nothing_is_lost(notes):
    encoding = Chordwise(holds=True)
    tokens, losses = encoding.encode(notes)
    assert not losses and encoding.decode(tokens) == (notes, Counter())


def test_without_holds_a_note_lasts_to_the_next_strike_at_most_a_bar():
    text = "p40 rest1 p42 " + "rest2 " * 40
    assert rows(Chordwise().decode(text)[0]) == [(0, 2, 60), (2, 16, 62)]


def test_a_hold_without_a_strike_is_left_out_and_counted():
    notes, losses = Chordwise(holds=True).decode("p40 ~p40+~p42 ~p42 rest1 ~p40")
    assert rows(notes) == [(0, 2, 60)] and losses == {"stray_hold": 3}


@pytest.mark.parametrize(
    "holds, token",
    [
        (True, "p42+p40"),
        (True, "p40+p40"),
        (True, "p40+~p40"),
        (True, "p40+rest1"),
        (True, "rest41"),
        (True, "p0"),
        (True, "p89"),
        (True, "v40"),
        (True, "p40+"),
        (True, ""),
        (False, "~p40"),
    ],
)
def test_tokens_that_no_step_is(holds, token):
    with pytest.raises(UnknownToken, match="token 2 of the text"):
        Chordwise(holds=holds).decode(["p40", token])


@pytest.mark.parametrize(
    "token, known, nearest",
    [
        ("p28+p40+p44", ["p28", "p40+p44", "p28+p40+p45"], "p40+p44"),  # leave one out rather than move one
        ("p28+p40+p44", ["p40+p44", "p28+p40"], "p28+p40"),  # pitch classes: G is missing, C stands twice
        ("p40", ["p41", "p52"], "p52"),  # the octave
        ("rest3", ["p40"], "rest3"),
    ],
)
def test_the_nearest_chord(token, known, nearest):
    if nearest == "p28+p40":  # C4 E4 with C3: without C3 both pitch classes stay
        nearest = "p40+p44"
    assert Chordwise().nearest_tokens([token], known) == [nearest]


def test_the_nearest_chord_with_holds_holds_what_was_held():
    assert Chordwise(holds=True).nearest_tokens(["~p28+p40"], ["p28+p40", "~p28+p41", "~p28+p52", "~p28+~p40"]) == [
        "p28+p40"
    ]


def test_many_are_looked_up_at_once():
    encoding = Chordwise(12)
    tokens = [w for name in ("chord", "two voices") for w in encoding.encode(handwritten(name))[0]] * 40
    assert encoding.nearest_tokens(tokens, sorted(set(tokens))) == tokens
