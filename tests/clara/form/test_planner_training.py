from dataclasses import replace

import numpy as np
import pytest

from clara.errors import NoData
from clara.form.extraction import extract_plan
from clara.form.plan import EXACT, UNKNOWN
from clara.form.plan_tokens import ATTRIBUTES
from clara.form.planner_settings import PlannerTraining
from clara.form.planner_training import batches, frequent_signatures, held_out_costs, train_planner, vary, without
from clara.music.notes import build_notes

TINY = PlannerTraining(
    width=16, n_units=16, n_layers=1, hidden=16, n_query=4, dropout=0.0, epochs=28, batch_bars=64, lr=2e-2
)


def tune(seed, n_bars=12):
    """Return the plan of a piece in 3/4 of which each bar returns after four bars."""
    rng = np.random.default_rng(seed)
    motif = rng.integers(55, 75, 12)
    pitch = np.tile(motif, n_bars // 4)
    start = np.arange(len(pitch)) * 12
    notes, _ = build_notes(start, start + 12, pitch)
    return extract_plan(replace(notes, time_signatures=((0, 3, 4),)))


@pytest.fixture(scope="module")
def planner():
    return train_planner([tune(i) for i in range(16)], [tune(90), tune(91)], TINY, log=lambda _: None)


def test_a_tiny_planner_learns_that_bars_return_after_four(planner):
    plans = planner.compose(range(8), 12)
    assert np.mean([plan.relation[4:] == EXACT for plan in plans]) > 0.9
    exact = [bar - plan.source[bar] for plan in plans for bar in np.flatnonzero(plan.relation == EXACT)]
    assert np.mean(np.array(exact) == 4) > 0.9
    assert {plan.time_signatures[0][1:] for plan in plans} == {(3, 4)}


def test_costs_fall(planner):
    history = planner.info["training"]["history"]
    assert len(history) == TINY.epochs and history[-1]["valid"] < history[0]["valid"] / 2


def test_held_out_costs_agree_with_the_planner(planner):
    plans = [tune(95), tune(96)]
    costs = held_out_costs(planner, plans)
    nats = sum(planner.nats(plan) for plan in plans)
    assert costs["bars"] == 24 and costs["quarters"] == 72
    assert costs["nats_per_bar"] == pytest.approx(nats / 24, abs=1e-3)
    assert costs["nats_per_quarter"] == pytest.approx(nats / 72, abs=1e-3)
    open_nats = sum(planner.nats(without(plan, ATTRIBUTES)) for plan in plans)
    assert sum(costs["open_kinds_per_bar"].values()) == pytest.approx(open_nats / 24, abs=1e-2)
    assert "key" not in costs["open_kinds_per_bar"]


def test_the_same_seed_trains_the_same_planner():
    plans = [tune(i) for i in range(6)]
    short = replace(TINY, epochs=1)
    first, second = (train_planner(plans, plans, short, log=lambda _: None) for _ in range(2))
    assert first.nats(plans[0]) == second.nats(plans[0])


def test_each_plan_is_in_one_batch():
    plans = [tune(i, n_bars) for i, n_bars in enumerate((4, 4, 8, 40, 12, 8))]
    groups = list(batches(plans, 16, np.random.default_rng(0)))
    assert sorted(id(plan) for group in groups for plan in group) == sorted(map(id, plans))
    assert all(len(group) == 1 or len(group) * max(map(len, group)) <= 16 for group in groups)


def test_variants_keep_the_form():
    plan = tune(1)
    rng = np.random.default_rng(0)
    variants = [vary(plan, rng) for _ in range(40)]
    for variant in variants:
        np.testing.assert_array_equal(variant.relation, plan.relation)
        np.testing.assert_array_equal(variant.begin, plan.begin)
    n_open = [sum((getattr(variant, name) == UNKNOWN).all() for name in ATTRIBUTES) for variant in variants]
    assert 0 in n_open and len(ATTRIBUTES) in n_open
    assert len({variant.home for variant in variants}) > 6


def test_rare_time_signatures_are_left_out_unless_all_are_rare():
    plans = [tune(1), tune(2)]
    assert frequent_signatures(plans, 2) == [(3, 4)]
    assert frequent_signatures(plans, 3) == [(3, 4)]


def test_without_music_nothing_is_trained():
    with pytest.raises(NoData, match="0 plans to train on"):
        train_planner([], [tune(1)])
