"""Piano rolls as SVG."""

import re
from xml.etree import ElementTree

import pytest
import tiny
from examples import HANDWRITTEN, handwritten, note_sequences
from hypothesis import given

from clara.music.notes import build_notes
from clara.rendering.roll_svg import n_pitch_rows, octave_labels, unstyled_roll_svg

BAR = re.compile(r"M(\S+) (\S+)h(\S+)v\S+z")


def drawn(svg):
    """Return (class, x, y, width) of each note."""
    paths = ElementTree.fromstring(svg).findall("path")
    return sorted(
        (p.get("class"), float(x), float(y), float(h.split("v")[0]))
        for p in paths
        if p.get("class").startswith("part")
        for x, y, h in re.findall(r"M(\S+) ([^h]+)h(\S+?v\S+?)h", p.get("d"))
    )


@given(note_sequences(parts=3))
def test_every_note_is_drawn_where_it_sounds(notes):
    top = int(max(notes.pitch.max() if len(notes) else 60, 0))
    found = drawn(unstyled_roll_svg(notes))
    assert sorted((c, x) for c, x, _, _ in found) == sorted(
        (f"part{p}", float(s)) for p, s in zip(notes.part, notes.start)
    )
    if len(notes):
        highest = min(y for _, _, y, _ in found)
        assert sorted(top - round(y - highest) for _, _, y, _ in found) == sorted(notes.pitch.tolist())
        assert all(0 < w <= d for w, d in zip(sorted(w for *_, w in found), sorted(notes.duration.tolist())))


@pytest.mark.parametrize("name", HANDWRITTEN)
def test_all_notes_are_inside(name):
    svg = ElementTree.fromstring(unstyled_roll_svg(handwritten(name)))
    _, _, width, height = map(float, svg.get("viewBox").split())
    assert height == n_pitch_rows(handwritten(name))
    assert all(
        x >= 0 and x + w <= width and 0 <= y < height for _, x, y, w in drawn(unstyled_roll_svg(handwritten(name)))
    )


def test_the_prompt_has_a_class():
    classes = [c for c, *_ in drawn(unstyled_roll_svg(handwritten("chord"), prompt_quarters=1))]
    assert classes == ["part0"] * 3 + ["part0 prompt"] * 3


def test_octave_labels_are_at_their_keys():
    notes = build_notes([0, 0], [12, 12], [48, 84])[0]
    low, high = octave_labels(notes)[0], octave_labels(notes)[-1]
    assert (low[0], high[0]) == ("C3", "C6")
    y = {
        p: (at - 0.06) / n_pitch_rows(notes)
        for p, at in zip((84, 48), sorted(y for _, _, y, _ in drawn(unstyled_roll_svg(notes))))
    }
    assert low[1] == pytest.approx(y[48] + 0.5 / n_pitch_rows(notes)) and high[1] == pytest.approx(
        y[84] + 0.5 / n_pitch_rows(notes)
    )


def test_the_title_is_escaped():
    svg = ElementTree.fromstring(unstyled_roll_svg(tiny.tune(0), title='"<b>&'))
    assert svg.get("aria-label") == '"<b>&'


@pytest.mark.parametrize(
    "time_signatures, lines",
    [(((0, 4, 4),), ["48"]), (((-24, 3, 4),), ["12", "48", "84"]), (((0, 3, 8),), ["18", "36"])],
)
def test_lines_are_where_bars_begin(time_signatures, lines):
    notes = build_notes([0, 84], [12, 96], [60, 62], time_signatures=time_signatures)[0]
    (path,) = (p for p in ElementTree.fromstring(unstyled_roll_svg(notes)).findall("path") if p.get("class") == "bars")
    assert re.findall(r"M(\S+) 0v", path.get("d"))[: len(lines)] == lines
