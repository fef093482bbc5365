"""Forms that are written, read from pieces, and laid over plans."""

import re

import numpy as np
import pytest
from examples import OTHER_THEME, THEME, bars_to_notes, open_plan, pieces_with_form, plans, same_plan, up
from hypothesis import assume, given
from hypothesis import strategies as st

from clara.errors import BadPlan, BadSetting
from clara.form.extraction import extract_plan
from clara.form.forms import apply_form, expand_form, form_of, parse_form
from clara.form.plan import EXACT, MAX_BARS, NEW, RHYTHM, SILENT, TRANSPOSED, UNKNOWN, VARIED
from clara.form.sections import section_letters


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


def test_a_form_over_a_plan():
    relations = [(NEW, -1), (EXACT, 0), (EXACT, 1), (TRANSPOSED, 2, 5), (NEW, -1), (NEW, -1), (NEW, -1)]
    columns = {name: np.arange(7) % 6 for name in ("key", "chord", "density", "register", "texture")}
    plan = open_plan(relations, **columns, phrase=[0, 1, 0, 1, 0, 1, 0])
    formed = apply_form(plan, expand_form(parse_form("A2 B2 A'2")))
    # Bar 2 returned to A, but B may only share its rhythm; bar 3 returns inside B.
    assert formed.relation.tolist() == [NEW, EXACT, RHYTHM, TRANSPOSED, VARIED, VARIED, NEW]
    assert formed.source.tolist() == [-1, 0, 1, 2, 0, 1, -1]
    assert formed.shift.tolist() == [0, 0, 0, 5, 0, 0, 0]
    for name in ("key", "chord", "density", "register", "texture"):
        assert getattr(formed, name).tolist() == [0, 1, 2, 3, 0, 1, 0]
    assert formed.phrase.tolist() == [1, 1, 1, 1, 1, 1, 0]
    assert plan.relation[4] == NEW  # the plan itself has not changed


def test_a_returning_bar_is_as_long_as_its_source():
    plan = extract_plan(bars_to_notes(*[[(0, 60)]] * 8, bar_steps=36, time_signatures=((0, 3, 4), (72, 4, 4))))
    formed = apply_form(plan, expand_form(parse_form("A2 B1 A2")))
    assert formed.time_signatures[:3] == ((0, 3, 4), (72, 4, 4), (120, 3, 4))
    assert np.diff(formed.begin).tolist() == [36, 36, 48, 36, 36, *np.diff(plan.begin)[5:].tolist()]


def test_silence_returns_as_silence():
    plan = open_plan([(NEW, -1), (SILENT, -1), (NEW, -1), (RHYTHM, 1)])
    formed = apply_form(plan, expand_form(parse_form("A2 A2")))
    assert formed.relation.tolist() == [NEW, SILENT, EXACT, SILENT] and formed.source.tolist() == [-1, -1, 0, -1]
    formed = apply_form(plan, expand_form(parse_form("A1 B3")))
    assert formed.relation.tolist() == [NEW, SILENT, NEW, NEW]


def test_a_form_that_is_longer_than_the_piece():
    plan = open_plan([(NEW, -1)] * 15)
    with pytest.raises(BadPlan, match="the form has 16 bars, but the piece only 15; use --bars 16 or a shorter form"):
        apply_form(plan, expand_form(parse_form("AA")))


@pytest.mark.parametrize("text", ["AABA", "ABACA", "A8 A'8 B16 A'8", "A8 A A' B4 A"])
def test_the_sections_of_a_plan_with_a_form_are_those_of_the_form(text):
    sections = parse_form(text)
    plan = open_plan([(NEW, -1)] * sections[-1].end)
    formed = apply_form(plan, expand_form(sections))
    assert section_letters(formed) == [s.name for s in sections for _ in range(s.begin, s.end)]


@given(plans(), st.sampled_from(["A1", "A2 A", "A2 B1 A'2", "A1 B2 A' A B'", "A3 A'2 B A"]))
def test_forms_hold_on_any_plan(plan, text):
    form = expand_form(parse_form(text)).first(len(plan))
    formed = apply_form(plan, form)
    returns = np.flatnonzero(form.source != UNKNOWN)
    is_silent = formed.relation[form.source[returns]] == SILENT
    assert (formed.relation[returns] == np.where(is_silent, SILENT, form.relation[returns])).all()
    assert (formed.source[returns] == np.where(is_silent, UNKNOWN, form.source[returns])).all()
    assert (formed.source < np.arange(len(plan))).all()
    literal = np.isin(formed.relation, (EXACT, VARIED, TRANSPOSED))[: len(form)] & (form.relation == UNKNOWN)
    assert (formed.source[: len(form)] >= form.section)[literal].all()
    assert len(formed) == len(plan) and formed.begin[0] == plan.begin[0] and (np.diff(formed.begin) > 0).all()
    sourced = formed.source[: len(form)]
    assert (formed.relation[sourced[sourced != UNKNOWN]] != SILENT).all()


def test_the_form_of_a_piece():
    notes = bars_to_notes(THEME, OTHER_THEME, THEME, up(THEME, 3), time_signatures=((0, 4, 4),))
    form = form_of(notes)
    assert form.relation.tolist() == [NEW, NEW, EXACT, TRANSPOSED] and form.source.tolist() == [-1, -1, 0, 2]
    assert form.shift.tolist() == [0, 0, 0, 3] and form.time_signature == (4, 4)
    plan = open_plan([(NEW, -1)] * 4, key=[0, 1, 2, 3], chord=[5, 6, 7, 8], register=[60, 61, 62, 63])
    formed = apply_form(plan, form)
    assert formed.key.tolist() == [0, 1, 0, 3] and formed.chord.tolist() == [5, 6, 5, 8]
    assert formed.register.tolist() == [60, 61, 60, 63]


@given(pieces_with_form())
def test_a_plan_with_its_own_form_does_not_change_its_returns(notes):
    plan = extract_plan(notes)
    formed = apply_form(plan, form_of(plan))
    for name in ("relation", "source", "shift", "phrase", "begin"):
        assert (getattr(formed, name) == getattr(plan, name)).all()
    assert same_plan(apply_form(formed, form_of(notes)), formed)


@given(plans(), plans())
def test_the_form_of_any_plan_over_another(plan, model):
    assume(len(model) <= len(plan))
    formed = apply_form(plan, form_of(model))
    returns = np.flatnonzero(model.source != UNKNOWN)
    returns = returns[formed.relation[model.source[returns]] != SILENT]
    assert (formed.source[returns] == model.source[returns]).all()
    assert (formed.relation[returns] == model.relation[returns]).all()
    assert (formed.source < np.arange(len(plan))).all()
