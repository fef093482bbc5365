"""A composed piece: what was composed, MIDI, and how a notebook shows it."""

import webbrowser
from html.parser import HTMLParser

import pytest
import tiny

from clara.encodings.notewise import Notewise
from clara.errors import BadSetting
from clara.generation.sample import Sample
from clara.music.midi import read_midi
from clara.music.notes import build_notes, crop
from clara.rendering import html

VOID = {"meta", "br", "img", "input", "link", "source"}


class Elements(HTMLParser):
    """Checks that elements are nested and collects them as (tag, attributes)."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def sample():
    notes = tiny.tune(0, n_notes=12)
    return Sample(Notewise().encode(notes)[0], notes, 8, 2.0, seed=3)


def test_what_was_composed(sample):
    assert sample.composed() == crop(sample.notes, 24, sample.notes.n_steps)


def test_a_sample_as_midi(sample, tmp_path):
    sample.write_midi(tmp_path / "a.mid")
    assert read_midi(tmp_path / "a.mid")[0] == sample.notes


def test_a_notebook_shows_player_roll_and_score_without_a_network(sample):
    text = sample._repr_html_()
    elements = Elements(text).elements
    [player] = [attributes for tag, attributes in elements if tag == "audio"]
    assert player["src"].startswith("data:audio/") and len(player["src"]) > 1000
    assert [tag for tag, _ in elements].count("svg") >= 2
    links = [attributes.get(name, "") for _, attributes in elements for name in ("src", "href", "xlink:href")]
    assert not [link for link in links if "://" in link]


def test_without_sound_or_notes_the_rest_is_shown(sample, monkeypatch):
    def fail(notes, **_):
        raise BadSetting("no such soundfont <there>")

    monkeypatch.setattr(html, "audio_player_html", fail)
    text = sample._repr_html_()
    assert "No sound: no such soundfont &lt;there&gt;" in text and "<audio" not in text and "<svg" in text
    silent = Sample([], build_notes([], [], [])[0], 0, 0.0, 1)._repr_html_()
    assert "No score" in silent and "<svg" in silent


def test_outside_a_notebook_the_browser_shows_it(sample, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(Sample, "_repr_html_", lambda self: "<p>here</p>")
    sample.show()
    [url] = opened
    assert url.startswith("file://") and url.endswith(".html")
