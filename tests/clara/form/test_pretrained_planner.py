"""The planner that comes with Clara: small, described, and better than chance at real music."""

from dataclasses import replace

import numpy as np
import pytest
from examples import REPOSITORY

from clara.encodings.notewise import Notewise
from clara.encodings.prompts import read_prompt
from clara.form.extraction import extract_plan
from clara.form.plan import EXACT, RELATIONS
from clara.form.planner import Planner

pytestmark = pytest.mark.slow

FOLDER = REPOSITORY / "pretrained" / "planner"


@pytest.fixture(scope="module")
def planner():
    return Planner.load("planner")


def test_small_and_unpickled():
    files = sorted(FOLDER.iterdir())
    assert {file.name for file in files} == {"README.md", "config.json", "history.csv", "model.safetensors"}
    assert sum(file.stat().st_size for file in files) < 3e6


def test_card_names_sources_and_licences():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for said in ("CC BY 4.0", "piano-midi.de", "CC BY-SA 3.0 DE", "Mutopia", "same distance", "valid", "test"):
        assert said in card


def test_expects_the_order_of_real_music(planner):
    plan = extract_plan(read_prompt("music21:bach/bwv66.6", Notewise(12))[0])
    order = np.random.default_rng(0).permutation(len(plan))
    shuffled = replace(plan, key=plan.key[order], chord=plan.chord[order], density=plan.density[order])
    assert planner.nats(plan) < planner.nats(shuffled)


def test_bars_return_as_in_music(planner):
    plans = planner.compose(range(64), 64)
    relation = np.concatenate([plan.relation for plan in plans])
    shares = np.bincount(relation, minlength=len(RELATIONS)) / len(relation)
    for share, (low, high) in zip(shares, [(0.1, 0.3), (0.1, 0.2), (0.005, 0.06), (0.4, 0.65), (0.05, 0.2), (0, 0.03)]):
        assert low < share < high
    exact = np.concatenate(
        [np.flatnonzero(plan.relation == EXACT) - plan.source[plan.relation == EXACT] for plan in plans]
    )
    assert 0.4 < np.mean(exact % 4 == 0) < 0.65
    assert np.mean([plan.key[-1] == plan.home for plan in plans]) > 0.6
