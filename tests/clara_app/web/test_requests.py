"""What a person asks for on the page."""

import json
import re

import numpy as np
import pytest
from examples import REPOSITORY

from clara.errors import BadSetting
from clara.sampling.settings import SamplingSettings
from clara_app import compose as generate
from clara_app.web.requests import TEMPERATURE, TOP_P, Wish, freedom_settings, models

KNOWN = ("notewise", "chamber")


def wish(**told):
    return Wish.of({"model": "notewise"} | told, KNOWN)


def test_what_is_not_said_is_as_usual():
    found = wish()
    assert (found.quarters, found.candidates, found.seed, found.key, found.composer, found.prompt) == (
        32,
        32,
        0,
        None,
        None,
        None,
    )


def test_the_middle_of_the_slider_is_what_generate_samples_with():
    asked = vars(generate.parser().parse_args([]))
    middle = {"temperature": round(sum(asked["temperature"]) / 2, 9)}
    assert freedom_settings(50) == SamplingSettings(**{k: asked[k] for k in generate.SETTINGS} | middle) == wish().settings


def test_freedom_only_grows():
    found = [freedom_settings(f) for f in range(101)]
    assert (np.diff([s.temperature for s in found]) > 0).all() and (np.diff([s.top_p for s in found]) > 0).all()


def test_advanced_settings_overrule_the_slider():
    found = wish(freedom=0, advanced={"temperature": 1.5, "min_p": 0.1, "repeat_strength": 0.5, "top_p": None}).settings
    assert (found.temperature, found.min_p, found.repeat_strength) == (1.5, 0.1, 0.5) and found.top_p == freedom_settings(0).top_p


def test_a_key_is_a_scale():
    assert wish(key="A minor").constraints.pitch_classes == {9, 11, 0, 2, 4, 5, 8} and wish().constraints.pitch_classes is None


@pytest.mark.parametrize(
    "bad",
    [
        {"model": "../etc"},
        {"model": None},
        {"quarters": 7},
        {"quarters": 1e9},
        {"quarters": "32"},
        {"quarters": True},
        {"candidates": 0},
        {"candidates": 10**6},
        {"freedom": -1},
        {"freedom": [1]},
        {"key": "H dur"},
        {"key": 5},
        {"composer": "x" * 1000},
        {"prompt": 7},
        {"seed": -1},
        {"seed": 2**40},
        {"qpm": 0},
        {"advanced": []},
        {"advanced": {"threads": 1}},
        {"advanced": {"temperature": 0}},
        {"advanced": {"top_p": "all"}},
        {"prompt_quarters": 0},
        {"quarters": float("nan")},
        {"quarters": float("inf")},
    ],
)
def test_what_cannot_be(bad):
    with pytest.raises(BadSetting):
        wish(**bad)


@pytest.mark.parametrize("body", ["[]", "7", "null", '"notewise"'])
def test_what_is_no_wish(body):
    with pytest.raises(BadSetting):
        Wish.of(json.loads(body), KNOWN)


def test_models_of_ones_own_stand_beside_those_that_come_with_clara(tmp_path):
    (tmp_path / "mine").mkdir()
    found = models([tmp_path / "mine"])
    assert {"notewise", "notewise-large", "chordwise", "chamber", "mine"} == set(found) and found["mine"][
        1
    ] == tmp_path / "mine"


def test_the_page_shows_what_the_slider_means():
    page = (REPOSITORY / "clara_app" / "web" / "static" / "page.js").read_text()
    shown = [json.loads(re.search(rf"\b{name} = (\[.*?\])", page)[1]) for name in ("TEMPERATURE", "TOP_P")]
    assert [tuple(each) for each in shown] == [TEMPERATURE, TOP_P]
