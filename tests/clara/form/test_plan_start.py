from dataclasses import replace

import numpy as np
import pytest

from clara.form.plan_start import PlanStart, draw, table_shapes, upbeat_steps
from clara.form.planner import open_bar

SIGNATURES = ((4, 4), (3, 4))


def long_plan(signature, n_bars, upbeat=0, home=0):
    bar = open_bar(signature, upbeat, 12)
    columns = {name: np.repeat(value, n_bars) for name, value in vars(bar).items() if isinstance(value, np.ndarray)}
    steps = int(np.diff(bar.begin)[0])
    columns["begin"] = bar.begin[0] + steps * np.arange(n_bars + 1)
    return replace(bar, **columns, home=home)


@pytest.fixture
def start():
    plans = [long_plan((4, 4), 16)] * 30 + [long_plan((3, 4), 64, upbeat=12, home=21)] * 30
    return PlanStart.fit(plans, SIGNATURES)


def test_tables_hold_probabilities(start):
    for name, shape in table_shapes(2).items():
        assert start.tables[name].shape == shape
        np.testing.assert_allclose(start.tables[name].sum(-1), 1)
        assert (start.tables[name] > 0).all()


def test_what_is_frequent_costs_little(start):
    frequent, rare = start.nats(long_plan((3, 4), 64, 12, 21)), start.nats(long_plan((3, 4), 900, 7, 5))
    assert frequent["time_signature"] == pytest.approx(np.log(2), abs=0.01)
    assert all(frequent[kind] < rare[kind] for kind in ("upbeat", "length", "home"))
    assert sum(frequent.values()) < 6 < sum(rare.values()) < 40


def test_the_time_signature_depends_on_the_length(start):
    at = np.linspace(0, 0.999, 200)
    both = np.array([True, True])
    shares = [np.mean([start.draw_signature(n, None, both, x) for x in at]) for n in (16, 64)]
    assert shares[0] < 0.3 and shares[1] > 0.7
    shares = [np.mean([start.draw_signature(None, n, both, x) for x in at]) for n in (64.0, 192.0)]
    assert shares[0] < 0.3 and shares[1] > 0.7
    assert {start.draw_signature(64, None, np.array([True, False]), x) for x in at} == {0}


def test_an_upbeat_is_shorter_than_the_bar_and_on_the_grid(start):
    at = np.linspace(0, 0.9999, 500)
    assert {start.draw_upbeat((1, 4), 12, x) for x in at} <= set(range(12))
    drawn = [start.draw_upbeat((3, 4), 4, x) for x in at]
    assert np.mean(np.array(drawn) == 4) > 0.5


def test_draws_follow_the_weights():
    weights = np.array([0.0, 2.0, 0.0, 6.0, 0.0])
    drawn = draw(np.tile(weights, (1000, 1)), np.arange(1000) / 1000)
    assert np.bincount(drawn, minlength=5).tolist() == [0, 250, 0, 750, 0]


def test_upbeats_are_measured_in_steps():
    assert upbeat_steps(open_bar((3, 4), 12, 12)) == 12 and upbeat_steps(open_bar((3, 4), 0, 12)) == 0
