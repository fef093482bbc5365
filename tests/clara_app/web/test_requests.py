"""Requests of the page, checked and turned into a ComposeRequest."""

import json
import re

import numpy as np
import pytest
import tiny
from examples import REPOSITORY

from clara.checkpoints.adapter import Adapter
from clara.checkpoints.checkpoint import weights_hash
from clara.checkpoints.shipped_models import find_model
from clara.encodings.notewise import Notewise
from clara.errors import BadSetting
from clara.music.notes import build_notes
from clara_app import compose
from clara_app.compose_flags import request_from_flags
from clara_app.web.pieces import Piece
from clara_app.web.requests import TEMPERATURE, TOP_P, offered_models, parse_request, sampling_settings
from critic.defaults import DEFAULT_RANKING

MODELS = ("notewise", "chamber")
PIECES = {"mine": Piece(tiny.tune(1), "Mine")}


def parse(**payload):
    return parse_request({"model": "notewise"} | payload, MODELS, PIECES.get)


def test_defaults():
    page_request = parse()
    request = page_request.compose
    assert (request.quarters, request.n, request.seed, request.prompt) == (32, 32, 0, None)
    assert request.constraints.key is None and request.rank_by == DEFAULT_RANKING and not request.search
    assert page_request.title == "Clara"


def test_the_middle_of_the_slider_is_the_default_of_the_command_line():
    request = request_from_flags(compose.parser().parse_args([]))
    middle = round((request.settings.temperature + request.max_temperature) / 2, 9)
    settings = sampling_settings(50)
    assert settings == parse().compose.settings
    assert settings.temperature == middle and settings.top_p == request.settings.top_p


def test_randomness_only_grows():
    settings = [sampling_settings(position) for position in range(101)]
    assert (np.diff([s.temperature for s in settings]) > 0).all() and (np.diff([s.top_p for s in settings]) > 0).all()


def test_advanced_settings_override_the_slider():
    advanced = {"temperature": 1.5, "min_p": 0.1, "repeat_strength": 0.5, "top_p": None}
    settings = parse(randomness=0, advanced=advanced).compose.settings
    assert (settings.temperature, settings.min_p, settings.repeat_strength) == (1.5, 0.1, 0.5)
    assert settings.top_p == sampling_settings(0).top_p


def test_a_key_is_a_scale():
    constraints = parse(key="A minor").compose.constraints.for_encoding(Notewise())
    assert constraints.pitch_classes == {9, 11, 0, 2, 4, 5, 8}
    assert parse().compose.constraints.for_encoding(Notewise()).pitch_classes is None


def test_a_prompt_and_a_composer():
    page_request = parse(prompt="mine", prompt_quarters=4, composer="chopin")
    request = page_request.compose
    assert request.prompt is PIECES["mine"].notes and request.prompt_quarters == 4
    assert request.rank_by == f"{DEFAULT_RANKING} + composer:chopin"
    assert page_request.title == "Clara, after Mine"
    with pytest.raises(BadSetting, match="no longer here"):
        parse(prompt="gone")


def test_without_a_search_every_candidate_is_kept():
    assert (parse(candidates=20).compose.top, parse(candidates=20, search=True).compose.top) == (20, 8)


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
        {"randomness": -1},
        {"randomness": [1]},
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
        {"form": "A-B"},
        {"form": 5},
        {"form": "A65"},
        {"form": "AABA", "prompt": "mine"},
        {"form": "A40", "time_signature": "4/2"},
        {"ending": "no"},
    ],
)
def test_bad_values_are_refused(bad):
    with pytest.raises(BadSetting):
        parse(**bad)


@pytest.mark.parametrize("body", ["[]", "7", "null", '"notewise"'])
def test_only_an_object_is_a_request(body):
    with pytest.raises(BadSetting):
        parse_request(json.loads(body), MODELS, PIECES.get)


def test_models_of_your_own_are_offered_beside_the_shipped_ones(tmp_path):
    (tmp_path / "mine").mkdir()
    models = offered_models([tmp_path / "mine"])
    assert {"notewise", "notewise-large", "chordwise", "chamber", "mine"} == set(models)
    assert models["mine"][1] == tmp_path / "mine"


def test_adapters_are_offered_with_their_models(tmp_path):
    base = find_model("chordwise")
    Adapter({}, {"base": weights_hash(base)}).save(tmp_path / "waltzes.safetensors")
    models = offered_models(adapters=[tmp_path / "waltzes.safetensors"])
    offered = models["waltzes (chordwise)"]
    assert offered.folder == base and offered.adapter == str(tmp_path / "waltzes.safetensors")


def test_a_ranking_of_ones_own():
    def parse(**changes):
        return parse_request({"model": "notewise"} | changes, MODELS, PIECES.get).compose

    assert parse(rank_by="novelty", composer="chopin").rank_by == "novelty + composer:chopin"
    unranked = parse(rank_by="none", composer="chopin", search=True)
    assert not unranked.is_ranked and not unranked.search and unranked.top == unranked.n


def test_the_page_shows_the_values_of_the_slider():
    script = (REPOSITORY / "clara_app" / "web" / "static" / "page.js").read_text()
    shown = [json.loads(re.search(rf"\b{name} = (\[.*?\])", script)[1]) for name in ("TEMPERATURE", "TOP_P")]
    assert [tuple(values) for values in shown] == [TEMPERATURE, TOP_P]


@pytest.mark.parametrize("asked, end", [(None, None), (1, 1), (8, None), (400, None)])
def test_a_prompt_ends_with_its_last_note_at_the_latest(asked, end):
    notes = build_notes([0, 12], [12, 24], [60, 62])[0]
    payload = {"model": "notewise", "prompt": "x", "prompt_quarters": asked}
    request = parse_request({k: v for k, v in payload.items() if v}, ["notewise"], lambda _: Piece(notes, "tune"))
    assert request.compose.prompt_quarters == end


def test_bars_are_those_of_the_prompt():
    waltz = Piece(build_notes([0, 12], [12, 24], [60, 62], time_signatures=((0, 3, 4),))[0], "waltz")
    endless = Piece(build_notes([0], [12], [60], time_signatures=((0, 64, 1),))[0], "endless")
    pieces = {"waltz": waltz, "endless": endless}
    for prompt, bars, expected in (("waltz", 8, 8), (None, 32, 32), ("endless", 32, 1)):
        payload = {"model": "notewise", "prompt": prompt, "bars": bars}
        assert parse_request(payload, ["notewise"], pieces.get).compose.bars == expected


def test_a_time_signature():
    payload = {"model": "notewise", "bars": 64, "time_signature": "3/4"}
    compose = parse_request(payload, ["notewise"], {}.get).compose
    assert (compose.time_signature, compose.bars) == ("3/4", 64)
    longer = parse_request(payload | {"time_signature": "4/2"}, ["notewise"], {}.get).compose
    assert longer.bars == 32  # 256 quarter notes
    assert parse_request(payload | {"time_signature": ""}, ["notewise"], {}.get).compose.time_signature is None


@pytest.mark.parametrize("value", ["3", "waltz", "3/4, 4/4", 3, ["3/4"], "0/1"])
def test_a_time_signature_that_is_none_is_named(value):
    for length in ({"bars": 8}, {"quarters": 8}):
        with pytest.raises(BadSetting, match="time.signature"):
            parse_request({"model": "notewise", "time_signature": value} | length, ["notewise"], {}.get)


def test_a_form_and_an_open_end():
    request = parse(form="A8 B8 A'8", ending=False).compose
    assert (request.form, request.bars, request.ending) == ("A8 B8 A'8", None, False)
    assert parse(form="").compose.form is None and parse().compose.ending
    with pytest.raises(BadSetting, match="the form has 72 bars; this page composes at most 64"):
        parse(form="AAAAAAAAA")
