"""Forms that are written, and forms of pieces."""

import re

import pytest
from examples import OTHER_THEME, THEME, bars_to_notes, up
from hypothesis import given
from hypothesis import strategies as st

from clara.errors import BadSetting
from clara.form.forms import expand_form, form_of, parse_form
from clara.form.plan import EXACT, MAX_BARS, NEW, TRANSPOSED, UNKNOWN, VARIED


def names(text):
    """Return name and number of bars of each section of a form."""
    return [(section.name, section.end - section.begin) for section in parse_form(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AABA", [("A", 8), ("A", 8), ("B", 8), ("A", 8)]),
        ("A8 A8' B16 A8", [("A", 8), ("A'", 8), ("B", 16), ("A", 8)]),
        ("a4b2a'", [("A", 4), ("B", 2), ("A'", 4)]),
        ("A 4 B A'4", [("A", 4), ("B", 8), ("A'", 4)]),
        ("A4 A2", [("A", 4), ("A", 2)]),
        ("A1 A’ A′", [("A", 1), ("A'", 1), ("A'", 1)]),
        ("Z", [("Z", 8)]),
    ],
)
def test_forms_as_written(text, expected):
    assert names(text) == expected


def test_sections_follow_each_other():
    sections = parse_form("A4 B3 A'")
    assert [(section.begin, section.end) for section in sections] == [(0, 4), (4, 7), (7, 11)]
    assert [section.end for section in parse_form("AB", section_bars=4)] == [4, 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the form is empty; write a form like AABA"),
        ("  ", "the form is empty"),
        ("A-B", "form 'A-B': '-' begins no section; write a form like AABA"),
        ("8A", "'8' begins no section"),
        ("A A''' B", "begins no section"),
        ("Ä", "begins no section"),
        ("A٣", "begins no section"),
        ("A0", "form 'A0': A0 has no bars; a section has at least 1"),
        ("A'B", "A' varies nothing, as it is the first A; leave out the prime"),
        ("A4 A5", "A5 is longer than the first A, which has 4 bars; add a section with a new letter"),
        ("A1 A2", "which has 1 bar; add"),
        ("A99999999999999999999", "is too long; a piece has at most 2,000 bars"),
        ("A1001 B1000", "more than 2,000 bars; use fewer or shorter sections"),
        ("A" * 300, "more than 2,000 bars"),
        ("\x00", "begins no section"),
    ],
)
def test_no_forms(text, message):
    with pytest.raises(BadSetting, match=re.escape(message)):
        parse_form(text)


@given(st.text(alphabet="ABC'0123456789 -", max_size=30))
def test_any_text_is_a_form_or_refused(text):
    try:
        sections = parse_form(text)
    except BadSetting as e:
        assert "\n" not in str(e) and len(str(e)) < 250
    else:
        assert 1 <= sections[-1].end <= MAX_BARS
        assert len(expand_form(sections)) == sections[-1].end


def test_a_form_bar_by_bar():
    form = expand_form(parse_form("A3 B2 A'2 A3"))
    assert form.relation.tolist() == [UNKNOWN] * 5 + [VARIED] * 2 + [EXACT] * 3
    assert form.source.tolist() == [UNKNOWN] * 5 + [0, 1, 0, 1, 2]
    assert form.section.tolist() == [0, 0, 0, 3, 3, 5, 5, 7, 7, 7]
    assert form.phrase.tolist() == [1, -1, -1, 1, -1, 1, -1, 1, -1, -1]
    assert form.time_signature is None
    assert form.first(4).relation.tolist() == [UNKNOWN] * 4


def test_the_form_of_a_piece():
    notes = bars_to_notes(THEME, OTHER_THEME, THEME, up(THEME, 3), time_signatures=((0, 4, 4),))
    form = form_of(notes)
    assert form.relation.tolist() == [NEW, NEW, EXACT, TRANSPOSED] and form.source.tolist() == [-1, -1, 0, 2]
    assert form.shift.tolist() == [0, 0, 0, 3] and form.time_signature == (4, 4)
