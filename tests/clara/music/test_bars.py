"""Bars, and upbeats as time signatures."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara.errors import BadSetting
from clara.music.bars import (
    bar_lines,
    describe_time_signatures,
    format_time_signatures,
    join_upbeat,
    parse_time_signature,
    parse_time_signatures,
    split_upbeat,
)
from clara.music.midi import read_midi, to_symusic_score
from clara.music.notes import build_notes, crop


@pytest.mark.parametrize(
    "time_signatures, lines",
    [
        (((0, 4, 4),), [0, 48, 96]),
        (((0, 3, 4),), [0, 36, 72, 108]),
        (((-24, 3, 4),), [-24, 12, 48, 84]),
        (((-36, 3, 4),), [0, 36, 72, 108]),
        (((-84, 3, 4),), [-12, 24, 60, 96]),
        (((0, 3, 4), (36, 6, 8), (108, 2, 2)), [0, 36, 72, 108]),
        (((0, 3, 4), (30, 4, 4)), [0, 30, 78]),
        (((0, 3, 4), (200, 4, 4)), [0, 36, 72, 108]),
    ],
)
def test_where_bars_begin(time_signatures, lines):
    assert bar_lines(time_signatures, 12, 120) == lines


def test_bars_shorter_than_a_step_are_exact():
    assert bar_lines(((0, 3, 8),), 1, 4) == [0, Fraction(3, 2), 3]
    assert bar_lines(((0, 4, 4),), 12, 0) == [0]


@pytest.mark.parametrize(
    "written, joined",
    [
        (((0, 1, 4), (12, 3, 4)), ((-24, 3, 4),)),
        (((0, 1, 8), (6, 3, 8)), ((-12, 3, 8),)),
        (((0, 1, 8), (6, 3, 8), (78, 2, 4)), ((-12, 3, 8), (78, 2, 4))),
        (((0, 3, 4), (36, 4, 4)), ((-12, 4, 4),)),
    ],
)
def test_a_short_first_bar_is_an_upbeat_and_is_written_as_one(written, joined):
    assert join_upbeat(written, 12) == joined
    assert split_upbeat(joined, 12) == written


@pytest.mark.parametrize(
    "time_signatures",
    [
        ((0, 4, 4),),
        ((0, 3, 4), (72, 4, 4)),
        ((0, 4, 4), (48, 3, 4)),
        ((0, 3, 4), (30, 4, 4)),
        ((-24, 3, 4), (48, 2, 4)),
    ],
)
def test_other_signatures_stay(time_signatures):
    assert join_upbeat(time_signatures, 12) == time_signatures


signature = st.tuples(st.integers(1, 12), st.sampled_from([2, 4, 8, 16]))


@given(signature, st.integers(0, 200))
def test_an_upbeat_of_any_length_keeps_its_bar_lines(first, elapsed):
    time_signatures = ((-elapsed, *first),)
    before = [line for line in bar_lines(time_signatures, 12, 500) if line >= 0]
    after = bar_lines(split_upbeat(time_signatures, 12), 12, 500)
    assert after[-1] == before[-1] and set(before) <= {*after} or split_upbeat(time_signatures, 12)[0] == (0, *first)


@pytest.mark.parametrize("time_signatures", [((-24, 3, 4),), ((-24, 3, 4), (48, 2, 4)), ((-6, 6, 8), (102, 9, 8))])
def test_upbeats_and_changes_survive_midi(time_signatures):
    notes = build_notes([0, 12, 120], [12, 24, 180], [60, 62, 64], time_signatures=time_signatures)[0]
    again = read_midi(to_symusic_score(notes).dumps_midi())[0]
    assert again == notes and again.time_signatures == time_signatures


def test_a_cropped_piece_has_the_signatures_of_its_own_bars():
    """Changes after the end once stayed, and the music composed after a prompt changed its signature there."""
    notes = build_notes([0, 12, 120], [12, 24, 180], [60, 62, 64], time_signatures=((-24, 3, 4), (48, 2, 4)))[0]
    assert crop(notes, 0, 48).time_signatures == ((-24, 3, 4),)
    assert crop(notes, 12, 49).time_signatures == ((-36, 3, 4), (36, 2, 4))
    assert crop(notes, 60, 180).time_signatures == ((-12, 2, 4),)


@given(
    st.integers(-1000, 0),
    st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 64), st.integers(1, 64)), min_size=1, max_size=5),
)
def test_time_signatures_as_text(first, rows):
    steps = [first]
    for distance, _, _ in rows[1:]:
        steps.append(max(steps[-1], 0) + distance)
    time_signatures = tuple((step, n, d) for step, (_, n, d) in zip(steps, rows))
    assert parse_time_signatures(format_time_signatures(time_signatures)) == time_signatures


def test_a_time_signature_as_text():
    assert parse_time_signature("3/4") == (3, 4)
    assert parse_time_signature(" 12/8 ") == (12, 8)
    assert parse_time_signature((5, 4)) == (5, 4)
    assert describe_time_signatures(((-24, 3, 4), (120, 4, 4), (216, 3, 4))) == "3/4, 4/4"
    assert format_time_signatures(((-24, 3, 4), (120, 4, 4))) == "-24 3/4, 120 4/4"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "3/",
        "0/4",
        "3/0",
        "65/4",
        "4/65",
        "-3/4",
        "3.5/4",
        "3/4/4",
        "3 / 4",
        "waltz",
        (3,),
        (3, 4.0),
        3.4,
        None,
    ],
)
def test_text_that_is_no_time_signature(text):
    with pytest.raises(BadSetting, match="is no time signature; write two whole numbers from 1 to 64, such as 3/4"):
        parse_time_signature(text)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "'' is no step with a time signature, such as 0 3/4"),
        ("3/4", "'3/4' is no step"),
        ("0 3/4,", "'3/4,' is no time signature"),
        ("0 3/4, ", "'' is no step"),
        ("0 3/4; 12 4/4", "is no step"),
        ("0 0/4", "'0/4' is no time signature"),
        ("9999999999999999 3/4", "is no step"),
        ("12 3/4", "must begin at step 0 or before it, not at 12"),
        ("0 3/4, 24 4/4, 24 3/4", "ascending order of steps: '24 3/4'"),
    ],
)
def test_text_that_is_no_list_of_time_signatures(text, message):
    with pytest.raises(BadSetting, match=message):
        parse_time_signatures(text)
