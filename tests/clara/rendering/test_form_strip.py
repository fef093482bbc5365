"""The strip of a piece's form: as text, as SVG and for the web page."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from examples import OTHER_THEME, THEME, bars_to_notes, open_plan, pieces_with_form, plans, up
from hypothesis import given

from clara.form.plan import EXACT, NEW, RELATIONS, RHYTHM, SILENT, TRANSPOSED, UNKNOWN, VARIED
from clara.form.sections import Section
from clara.music.notes import NoteSequence, build_notes
from clara.rendering.form_strip import (
    DARKNESS,
    MAX_BARS,
    SECTION_COLOURS,
    SIGNS,
    STYLE,
    FormStrip,
    colour_number,
    form_strip_svg,
)

SVG = "{http://www.w3.org/2000/svg}"
ALL = [(NEW, -1), (EXACT, 0), (VARIED, 1), (TRANSPOSED, 2, -5), (RHYTHM, 3), (SILENT, -1), (UNKNOWN, -1)]


def strip_of(relations, **columns):
    """Return the strip of a plan."""
    return FormStrip.from_plan(open_plan(relations, **columns))


def section_piece():
    """Return the strip of eight bars, the same again, and four others."""
    rows = [(NEW, -1)] * 8 + [(EXACT, bar) for bar in range(8)] + [(NEW, -1)] * 4
    keys = [0] * 16 + [19] * 4
    phrases = [int(bar % 8 == 0) for bar in range(20)]
    return strip_of(rows, key=keys, phrase=phrases)


def test_a_sign_for_each_relation():
    assert len(SIGNS) == len(DARKNESS) == len(RELATIONS) and len(set(SIGNS)) == len(SIGNS)
    assert strip_of(ALL).to_text() == ["    1 AAAAAAA", "      .=~^:- "]


def test_bars_in_words():
    strip = strip_of(ALL)
    assert [strip.describe_bar(bar) for bar in range(7)] == [
        "Bar 1: new",
        "Bar 2: exact, as bar 1",
        "Bar 3: varied, as bar 2",
        "Bar 4: transposed, -5 semitones from bar 3",
        "Bar 5: rhythm, as bar 4",
        "Bar 6: silent",
        "Bar 7",
    ]


def test_an_upbeat_is_bar_0():
    notes = NoteSequence.from_notes([(0, 12, 60), (12, 48, 62), (60, 48, 62)], time_signatures=((-36, 4, 4),))
    strip = FormStrip.from_notes(notes)
    assert strip.describe_bar(0) == "Bar 0: new" and strip.describe_bar(2) == "Bar 2: exact, as bar 1"
    assert strip.begin.tolist() == [0, 1, 5, 9] and strip.to_text()[0].startswith("    0 ")


def test_sections_keys_and_phrases():
    strip = section_piece()
    assert strip.summary == "A8 A8 B4"
    assert strip.keys == ((0, "C major"), (16, "G minor")) and strip.phrases == (0, 8, 16)
    expected = "Form: A, 8 bars; A, 8 bars; B, 4 bars. Keys: C major; G minor from bar 17."
    assert strip.description == expected
    assert strip.to_text() == ["    1 |AAAAAAAA|AAAAAAAA|BBBB", "      |........|========|...."]


def test_a_key_of_one_bar_is_not_named():
    strip = strip_of([(NEW, -1)] * 6, key=[0, 0, 7, 0, 9, 9])
    assert strip.keys == ((0, "C major"), (4, "A major"))
    assert strip_of([(NEW, -1)] * 2).description == "Form: A, 2 bars. Keys: open."


def test_varied_sections_have_small_letters():
    rows = [(NEW, -1)] * 8 + [(VARIED, bar) for bar in range(8)]
    strip = strip_of(rows)
    assert strip.summary == "A8 A'8" and strip.to_text()[0] == "    1 AAAAAAAAaaaaaaaa"
    assert "A varied, 8 bars" in strip.description


def test_long_pieces_take_several_lines():
    lines = strip_of([(NEW, -1)] * 130).to_text()
    assert [line[:6] for line in lines[::2]] == ["    1 ", "   65 ", "  129 "] and len(lines[0]) == 70


def test_pieces_without_a_form():
    assert FormStrip.from_notes(build_notes([], [], [])[0]) is None
    assert FormStrip.from_notes(bars_to_notes(THEME)) is None
    assert FormStrip.from_notes(bars_to_notes(*[[(0, 60)]] * (MAX_BARS + 1))) is None
    assert len(FormStrip.from_notes(bars_to_notes(THEME, THEME))) == 2


def test_a_plan_comes_before_what_the_notes_are():
    plan = open_plan([(NEW, -1), (RHYTHM, 0)])
    strip = FormStrip.from_notes(bars_to_notes(THEME, THEME), plan)
    assert strip.relation.tolist() == [NEW, RHYTHM]


@pytest.mark.parametrize(("letter", "number"), [("A", 0), ("B", 1), ("G", 6), ("H", 0), ("Z", 25 % 7), ("AA", 26 % 7)])
def test_colours_of_letters(letter, number):
    assert colour_number(Section(0, 1, letter)) == number


def luminance(colour):
    """Return the relative luminance of a colour, as the Web Content Accessibility Guidelines define it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_letters_can_be_read_on_every_colour():
    assert len(set(SECTION_COLOURS)) == len(SECTION_COLOURS)
    for colour in SECTION_COLOURS:
        assert (luminance(colour) + 0.05) / (luminance("#111111") + 0.05) >= 4.5


def parts(svg):
    """Return (class, left, right) in percent of each rectangle."""
    found = []
    for box in ElementTree.fromstring(svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)).iter(
        f"{SVG}svg"
    ):
        for rectangle in box.findall(f"{SVG}rect"):
            left, width = (float(box.get(name).rstrip("%")) for name in ("x", "width"))
            found.append((rectangle.get("class"), left, left + width))
    return found


def test_svg_by_hand():
    svg = form_strip_svg(section_piece(), 80)
    found = parts(svg)
    assert found[:3] == [("form0", 0, 40), ("form0", 40, 80), ("form1", 80, 100)]
    assert found[3:] == [("new" if bar not in range(8, 16) else "exact", 5 * bar, 5 * bar + 5) for bar in range(20)]
    assert re.findall('class="letter"[^>]*>(.*?)<', svg) == ["A", "A", "B"]
    assert re.findall('class="tonality"[^>]*>(.*?)<', svg) == ["C major", "G minor"]
    assert svg.count('class="phrase"') == 3 and svg.count(">=</text>") == 8
    assert 'role="img" aria-label="Form: A, 8 bars; A, 8 bars; B, 4 bars.' in svg
    assert "<title>Bar 9: exact, as bar 1</title>" in svg and "<title>A: 8 bars from bar 9</title>" in svg


def test_svg_of_many_bars_has_no_signs():
    svg = form_strip_svg(strip_of([(NEW, -1)] * 200), 800)
    assert 'class="sign' not in svg and len(parts(svg)) == 201


def test_music_that_is_shorter_than_its_width():
    """The last bar may end after the notes, and the roll may be wider than the music."""
    strip = section_piece()
    assert max(right for _, _, right in parts(form_strip_svg(strip, 78))) == pytest.approx(100, abs=1e-3)
    assert max(right for _, _, right in parts(form_strip_svg(strip, 160))) == pytest.approx(50, abs=1e-3)


@given(plans(max_bars=30))
def test_every_strip_is_whole(plan):
    strip = FormStrip.from_plan(plan)
    quarters = max(float(strip.begin[-1]), 0.25)
    found = parts(form_strip_svg(strip, quarters))
    assert len(found) == len(strip.sections) + len(plan)
    assert all(-1e-3 <= left <= right <= 100 + 1e-3 for _, left, right in found)
    names = {name for name, _, _ in found}
    assert names <= {*RELATIONS, "open", *(f"form{i}" for i in range(7))} and all(f".{name}" in STYLE for name in names)
    drawn = json.loads(json.dumps(strip.to_dict(), allow_nan=False))
    assert len(drawn["bars"]) == len(plan) + 1 and len(drawn["relations"]) == len(drawn["hints"]) == len(plan)
    assert drawn["sections"][0][0] == drawn["bars"][0] and drawn["sections"][-1][1] == drawn["bars"][-1]


@given(pieces_with_form())
def test_text_has_a_letter_and_a_sign_for_each_bar(notes):
    strip = FormStrip.from_notes(notes)
    if strip is None:
        return
    letters, signs = (line[6:].replace("|", "") for line in strip.to_text())
    assert len(letters) == len(signs) == len(strip)


def test_a_piece_of_every_kind_of_bar():
    bars = [THEME, OTHER_THEME, THEME, up(THEME, 4), [], [*THEME[:3], (36, 70)]]
    assert FormStrip.from_notes(bars_to_notes(*bars)).to_text()[1].replace("|", "").strip() == "..=^-~"
