"""What the search was worth: the recipes that are compared, and the figures of several seeds."""

import json
import sys
from dataclasses import asdict
from types import SimpleNamespace

import pandas as pd
import pytest
from examples import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import tune

from clara.errors import NoData
from clara_app.tuning.recipe import default_choices

pytest.importorskip("optuna")


def test_recipes_of_a_search_beside_those_in_use():
    choices = default_choices(["here"], pretrained=False, composes=True)
    best = [{"choices": choices | {"lr": 0.001}}, {"choices": choices | {"lr": 0.004, "temperature": 0.8}}]
    recipes = tune.choose_recipes(best, "here")
    assert recipes["default"].n_hid == 600 and recipes["small shipped model"].n_hid == 512
    assert recipes["lowest cost"].lr == 0.001
    assert (recipes["highest Inception score"].lr, recipes["highest Inception score"].temperature) == (0.004, 0.8)


def test_means_over_seeds():
    row = {"recipe": "a", "minutes": 1.0, "inception": 2.0, "n_tokens": 1_000_000, "n_parameters": 5}
    rows = [
        row | {"nats_per_quarter": 10.0},
        row | {"nats_per_quarter": 11.0},
        row | {"minutes": 2.0, "nats_per_quarter": 9.0},
    ]
    first, second = tune.mean_over_seeds(rows)
    assert (first["nats_per_quarter"], first["range"], first["million_tokens"]) == (10.5, 1.0, 1.0)
    assert (second["minutes"], second["nats_per_quarter"], second["range"]) == (2.0, 9.0, 0.0)


def test_low_cost_and_a_high_score_agree():
    trials = pd.DataFrame({"values_0": [30, 20, 10, None], "values_1": [1.0, 2.0, 3.0, None]})
    assert tune.rank_agreement(trials) == 1


def test_only_the_same_recipe_is_not_measured_again(tmp_path):
    recipes = tune.choose_recipes([{"choices": default_choices(["here"], False, True)}], "here")
    kept = {"choices": asdict(recipes["default"]), "nats_per_quarter": 1.0}
    folder = tmp_path / "some-recipe-1-2"
    folder.mkdir()
    (folder / "row.json").write_text(json.dumps(kept))
    args = SimpleNamespace(work=tmp_path, corpus="here")
    assert tune.measure("some recipe", recipes["default"], 1.0, 2, args) == kept
    with pytest.raises(NoData, match="here"):  # it would train
        tune.measure("some recipe", recipes["small shipped model"], 1.0, 2, args)
