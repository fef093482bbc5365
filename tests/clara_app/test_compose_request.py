"""Requests: defaults, checks, and the way to JSON and back."""

import json

import pytest
import tiny

from clara.encodings.notewise import Chamber, Notewise
from clara.errors import BadSetting
from clara.sampling.settings import SamplingSettings
from clara_app import compose, defaults
from clara_app.compose_flags import request_from_flags
from clara_app.compose_request import ComposeRequest, MusicalConstraints, default_settings
from critic.defaults import DEFAULT_RANKING


def test_the_command_line_without_flags_is_the_default_request():
    request = request_from_flags(compose.parser().parse_args(["--seed", "0"]))
    assert request == ComposeRequest(max_temperature=defaults.MAX_TEMPERATURE)
    assert request.settings == default_settings()


def test_the_ranking_depends_on_the_prompt():
    assert ComposeRequest().rank_by == DEFAULT_RANKING
    assert ComposeRequest(prompt=tiny.tune(0)).rank_by == DEFAULT_RANKING
    assert ComposeRequest(rank_by="critic").rank_by == "critic"


@pytest.mark.parametrize(
    "values, search",
    [
        ({}, True),
        ({"n": 8, "top": 8}, False),
        ({"rank_by": "none"}, False),
        ({"prompt": "a.mid", "fill": (1, 2)}, False),
        ({"search": False}, False),
    ],
)
def test_whether_it_searches_by_default(values, search):
    assert ComposeRequest(**values).search is search


@pytest.mark.parametrize(
    "values, message",
    [
        ({"n": 0}, "n must be at least 1"),
        ({"top": 0}, "top"),
        ({"candidates_per_beam": 0}, "candidates_per_beam"),
        ({"quarters": float("nan")}, "quarters"),
        ({"quarters": 0}, "quarters"),
        ({"qpm": -1}, "qpm"),
        ({"prompt_quarters": 0}, "prompt_quarters"),
        ({"seed": -1}, "seed"),
        ({"precision": "float8"}, "float8"),
        ({"fill": (1, 2)}, "--prompt"),
        ({"fill": (1, 2), "prompt": "a.mid", "constraints": MusicalConstraints(cadence=True)}, "--cadence"),
        ({"search": True, "rank_by": "none"}, "--rank-by"),
        ({"search": True, "prompt": "a.mid", "fill": (1, 2)}, "--fill"),
        ({"form": "A-B"}, "form 'A-B': '-' begins no section"),
        ({"form": "AABA", "plan": "a.csv"}, "--form and --plan each set the form"),
        ({"form": "AABA", "form_of": "a.mid"}, "--form and --form-of each set the form"),
        ({"form_of": "a.mid", "prompt": "b.mid"}, "--form-of is for new pieces"),
        ({"plan": "a.csv", "prompt": "a.mid", "fill": (1, 2)}, "--plan and --fill exclude each other"),
        ({"ending": False, "prompt": "a.mid", "fill": (1, 2)}, "--no-ending and --fill exclude each other"),
        ({"form": "A", "constraints": MusicalConstraints(fixed_melody="a.mid")}, "--form and --fixed-melody"),
        ({"plan": "a.csv", "bars": 8}, "--plan and --bars exclude each other"),
        ({"plan": "a.csv", "time_signature": "3/4"}, "--plan and --time-signature exclude each other"),
    ],
)
def test_bad_values_are_refused(values, message):
    with pytest.raises(BadSetting, match=message):
        ComposeRequest(**values)


def test_to_json_and_back():
    request = ComposeRequest(
        "runs/mine",
        n=3,
        prompt="a.mid",
        fill=(1.0, 2.0),
        settings=SamplingSettings(top_k=5),
        constraints=MusicalConstraints(key="C", ranges=("C2-C6", "v:G3-A7"), max_notes=3),
    )
    planned = ComposeRequest(form="A8 A'8", ending=False, bars=24)
    for each in (request, planned):
        assert ComposeRequest.from_dict(json.loads(json.dumps(each.to_dict()))) == each


def test_constraints_of_an_encoding():
    constraints = MusicalConstraints(key="C major", ranges=["C2-C6", "v:G3-A7"], max_notes=3)
    grammar_constraints = constraints.for_encoding(Chamber())
    assert grammar_constraints.pitch_classes == {0, 2, 4, 5, 7, 9, 11} and grammar_constraints.max_notes == 3
    assert grammar_constraints.ranges == {0: (36, 84), 1: (55, 105)}
    with pytest.raises(BadSetting, match="v:G3-A7"):
        constraints.for_encoding(Notewise())
    with pytest.raises(BadSetting, match="--fixed-melody"):
        MusicalConstraints(fixed_melody_part="v")
