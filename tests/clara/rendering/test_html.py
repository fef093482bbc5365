"""Fragments of HTML for a notebook."""

from base64 import b64decode
from pathlib import Path
from xml.etree import ElementTree

import pytest
import tiny
from examples import handwritten

from clara.errors import NoNotes
from clara.music.notes import build_notes
from clara.rendering import html
from clara.rendering.html import audio_player_html, piano_roll_svg, score_svg


@pytest.mark.parametrize("mp3, start", [(True, b"\xff"), (False, b"RIFF")])
def test_the_player_holds_the_sound(mp3, start, monkeypatch):
    if mp3 and not html.has_mp3():
        pytest.skip("libsndfile writes no MP3 here")
    monkeypatch.setattr(html, "has_mp3", lambda: mp3)
    element = ElementTree.fromstring(audio_player_html(tiny.tune(0)).replace(" controls ", " "))
    kind, _, data = element.get("src").partition(";base64,")
    assert kind == ("data:audio/mpeg" if mp3 else "data:audio/wav")
    assert b64decode(data).startswith(start)


def test_the_roll_brings_its_colours_and_marks_the_prompt():
    svg = ElementTree.fromstring(piano_roll_svg(handwritten("chord"), prompt_quarters=1, title='a "title" <'))
    assert svg.get("aria-label") == 'a "title" <'
    classes = [path.get("class") for path in svg.findall("path")]
    style = svg.find("style").text
    assert "part0 prompt" in classes and "part0" in classes
    assert all(f".roll .{name}" in style for names in classes for name in names.split())


def test_the_height_of_a_roll_is_limited():
    wide = build_notes([0, 12], [12, 24], [21, 108])[0]
    assert f"height:{html.MAX_HEIGHT}px" in piano_roll_svg(wide)
    assert f"height:{html.MIN_HEIGHT}px" in piano_roll_svg(build_notes([], [], [])[0])


def test_the_score_is_a_picture():
    assert "<svg" in score_svg(tiny.tune(0), "a title")
    with pytest.raises(NoNotes):
        score_svg(build_notes([], [], [])[0])


def test_a_piece_is_shown_as_player_roll_and_score():
    shown = html.music_html(tiny.tune(0), "a <caption>", prompt_quarters=2.0)
    assert "a &lt;caption&gt;" in shown and "<audio" in shown and shown.count("<svg") >= 2 and 'prompt"' in shown


def test_what_cannot_be_shown_is_explained():
    shown = html.music_html(build_notes([], [], [])[0], "")
    assert "<audio" in shown and "No score: no notes" in shown


def test_outside_a_notebook_the_browser_shows_it(monkeypatch):
    class Shown:
        def _repr_html_(self):
            return "<p>here</p>"

    opened = []
    monkeypatch.setattr(html.webbrowser, "open", opened.append)
    html.show_html(Shown())
    (uri,) = opened
    assert Path(uri.removeprefix("file://")).read_text().endswith("<p>here</p>")
