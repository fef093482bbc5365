import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from clara.errors import BadSetting, CheckpointMismatch
from clara.form.forms import expand_form, form_of, parse_form
from clara.form.plan import EXACT, NEW, RHYTHM, SILENT, TRANSPOSED, UNKNOWN, VARIED, Plan
from clara.form.plan_tokens import ATTRIBUTES, check_relations
from clara.form.planner import CONFIG, WEIGHTS, Planner, open_bar
from clara.sampling.settings import piece_seeds

SIGNATURES = ((4, 4), (3, 4), (6, 8), (3, 16))


@pytest.fixture(scope="module")
def planner():
    """Return a planner with random weights, so that all that is possible happens."""
    return tiny.planner(SIGNATURES)


def columns(plan):
    return {name: value for name, value in vars(plan).items() if isinstance(value, np.ndarray)}


def first_bars(plan, n):
    cut = {name: value[:n] for name, value in columns(plan).items()}
    return replace(plan, **cut | {"begin": plan.begin[: n + 1]})


def assert_equal(plan, other):
    assert plan.home == other.home and plan.steps_per_quarter == other.steps_per_quarter
    for name, value in columns(plan).items():
        np.testing.assert_array_equal(value, getattr(other, name), name)


def test_plans_have_exactly_as_many_bars_as_were_asked(planner):
    for n_bars in (1, 2, 7, 33):
        assert {len(plan) for plan in planner.compose(piece_seeds(1, 5), n_bars)} == {n_bars}


def test_whole_bars_come_nearest_to_the_quarters_that_were_asked(planner):
    for quarters in (1, 10, 33.5):
        for plan in planner.compose(piece_seeds(3, 20), quarters=quarters):
            last_bar = np.diff(plan.begin)[-1]
            assert abs(plan.n_steps - 12 * quarters) <= max(last_bar / 2, plan.n_steps if len(plan) == 1 else 0)


def test_what_is_impossible_is_never_composed(planner):
    for plan in planner.compose(piece_seeds(2, 40), 40):
        returns = np.isin(plan.relation, (EXACT, VARIED, TRANSPOSED, RHYTHM))
        assert plan.relation[0] in (NEW, SILENT)
        assert (plan.source[returns] >= 0).all() and (plan.source < np.arange(40)).all()
        assert (plan.relation[plan.source[returns]] != SILENT).all()
        assert (plan.source[~returns] == UNKNOWN).all()
        assert ((plan.shift != 0) == (plan.relation == TRANSPOSED)).all()
        exact = np.flatnonzero(plan.relation == EXACT)
        for name in ("density", "register", "texture"):
            np.testing.assert_array_equal(getattr(plan, name)[exact], getattr(plan, name)[plan.source[exact]])
        sounds = plan.relation != SILENT
        for name in ATTRIBUTES[2:]:
            assert (getattr(plan, name)[sounds] >= 0).all() and (getattr(plan, name)[~sounds] == UNKNOWN).all()
        assert (plan.key >= 0).all() and (plan.phrase >= 0).all()


def test_bars_have_the_length_of_their_time_signature(planner):
    for plan in planner.compose(piece_seeds(4, 40), 20):
        np.testing.assert_array_equal(np.diff(plan.begin), plan.numerator * 48 // plan.denominator)


def test_the_grid_holds_all_time_signatures(planner):
    plans = planner.compose(piece_seeds(4, 40), 20, steps_per_quarter=2)
    assert all((16, 3) not in zip(plan.denominator, plan.numerator) for plan in plans)
    assert all(plan.steps_per_quarter == 2 for plan in plans)
    with pytest.raises(BadSetting, match="3/16.*finer grid"):
        planner.compose([0], 8, time_signature=(3, 16), steps_per_quarter=2)


def test_a_time_signature_that_the_planner_does_not_know_is_kept(planner):
    for plan in planner.compose(range(8), 12, time_signature=(7, 8)):
        assert plan.time_signatures[0][1:] == (7, 8)


def test_a_plan_does_not_depend_on_the_others(planner):
    many = planner.compose(piece_seeds(10, 6), 24)
    seeds = piece_seeds(10, 6)
    for i in (0, 3, 5):
        assert_equal(planner.compose([seeds[i]], 24)[0], many[i])
    for plan, other in zip(planner.compose(seeds[4:], 24), many[4:]):
        assert_equal(plan, other)
    assert len({plan.relation.tobytes() for plan in many}) == 6


def test_a_beginning_goes_on(planner):
    beginning = first_bars(planner.compose([5], 30, home=14)[0], 9)
    plans = planner.compose(piece_seeds(6, 4), 30, beginning=beginning)
    for plan in plans:
        assert len(plan) == 30 and plan.home == 14
        assert_equal(first_bars(plan, 9), beginning)
    assert len({plan.relation.tobytes() for plan in plans}) > 1
    for plan in planner.compose(piece_seeds(6, 4), quarters=200, beginning=beginning):
        assert abs(plan.n_steps - 2400) <= np.diff(plan.begin)[-1] / 2
    with pytest.raises(BadSetting, match="9 bars already"):
        planner.compose([0], 9, beginning=beginning)


def test_attributes_can_be_left_open(planner):
    (plan,) = planner.compose([1], 20, attributes=("density",))
    for name in ATTRIBUTES:
        assert (getattr(plan, name) == UNKNOWN).all() == (name != "density")
    costs = planner.nats_by_kind(plan)
    assert costs["key"] == 0 and costs["density"] > 0 and costs["relation"] > 0


def test_open_attributes_are_completed_and_the_rest_is_kept(planner):
    (whole,) = planner.compose([1], 20)
    plan = replace(whole, key=np.full(20, UNKNOWN), density=np.where(np.arange(20) < 10, whole.density, UNKNOWN))
    full = planner.complete(plan, seed=3)
    assert (full.key >= 0).all() and (full.density[full.relation != SILENT] >= 0).all()
    np.testing.assert_array_equal(full.density[:10], whole.density[:10])
    assert_equal(replace(full, key=whole.key, density=whole.density), whole)


@pytest.mark.parametrize("n_bars, n_closing", [(40, 8), (12, 3), (2, 0)])
def test_an_ending_is_in_the_home_key(planner, n_bars, n_closing):
    plans = planner.compose(piece_seeds(4, 12), n_bars, ending=True)
    for plan in plans:
        assert (plan.key[n_bars - n_closing :] == plan.home).all()
    assert any((plan.key != plan.home).any() for plan in plans)
    unknown = np.full(n_bars, UNKNOWN)
    completed = planner.complete(replace(plans[0], key=unknown), seed=1, ending=True)
    assert (completed.key[n_bars - n_closing :] == completed.home).all()


def test_open_relations_are_completed(planner):
    (whole,) = planner.compose([1], 24)
    is_open = np.arange(24) % 3 == 0
    kept = {"source": UNKNOWN, "shift": 0, "relation": UNKNOWN, "key": UNKNOWN}
    plan = replace(whole, **{name: np.where(is_open, value, getattr(whole, name)) for name, value in kept.items()})
    full = planner.complete(plan, seed=3)
    assert (full.relation >= 0).all() and (full.key >= 0).all()
    check_relations(full)
    for name in ("relation", "source", "shift", "key"):
        np.testing.assert_array_equal(getattr(full, name)[~is_open], getattr(whole, name)[~is_open])
    assert (full.relation[is_open] != SILENT).all()
    open_costs, costs = planner.nats_by_kind(plan), planner.nats_by_kind(full)
    assert open_costs["relation"] < costs["relation"] and all(0 <= nats < 1e3 for nats in open_costs.values())


@pytest.mark.parametrize("letters", ["A4 B4 A4", "A3 B2 A'3 C5 A3"])
def test_a_form_is_kept(planner, letters):
    form = expand_form(parse_form(letters))
    fixed = form.relation != UNKNOWN
    for plan in planner.compose(piece_seeds(1, 10), form=form, home=3):
        check_relations(plan)
        assert len(plan) == len(form)
        np.testing.assert_array_equal(plan.relation[fixed], form.relation[fixed])
        np.testing.assert_array_equal(plan.phrase[form.phrase == 1], 1)
        for name in ("numerator", "denominator"):
            np.testing.assert_array_equal(getattr(plan, name)[fixed], getattr(plan, name)[form.source[fixed]])
        returns = ~fixed & np.isin(plan.relation, (EXACT, VARIED, TRANSPOSED))
        assert (plan.source[returns] >= form.section[returns]).all()
        assert (plan.relation != SILENT).all()


def test_the_form_of_a_piece_is_kept_and_goes_on(planner):
    (model,) = planner.compose([9], 20)
    form = form_of(model)
    for plan in planner.compose(piece_seeds(1, 4), 26, form=form):
        np.testing.assert_array_equal(plan.relation[:20], model.relation)
        np.testing.assert_array_equal(plan.shift[:20], model.shift)
        assert len(plan) == 26 and plan.time_signatures[0][1:] == form.time_signature
    with pytest.raises(BadSetting, match="the form has 20 bars"):
        planner.compose([1], 19, form=form)


def test_a_form_begins_with_the_beginning(planner):
    beginning = first_bars(planner.compose([5], 30, home=14)[0], 4)
    form = expand_form(parse_form("A4 B4 A4"))
    for plan in planner.compose(piece_seeds(1, 6), form=form, beginning=beginning):
        assert_equal(first_bars(plan, 4), beginning)
        silent = beginning.relation == SILENT
        np.testing.assert_array_equal(plan.relation[8:], np.where(silent, SILENT, EXACT))


def test_costs_add_up(planner):
    (plan,) = planner.compose([1], 20)
    costs = planner.nats_by_kind(plan)
    assert planner.nats(plan) == pytest.approx(sum(costs.values()))
    assert all(0 <= cost < 1e4 for cost in costs.values())


def test_costs_are_those_of_sampling(planner):
    """The share of a plan among many short ones is its probability."""
    plans = planner.compose(range(3000), 3, attributes=(), time_signature=(4, 4), home=0)
    plans = [plan for plan in plans if plan.begin[0] == 0]
    said = [(plan.time_signatures, *map(tuple, (plan.relation, plan.source, plan.shift))) for plan in plans]
    most_frequent, count = Counter(said).most_common(1)[0]
    plan = plans[said.index(most_frequent)]
    costs, start = planner.nats_by_kind(plan), planner.start.nats(plan)
    of_bars = sum(costs[kind] for kind in ("time_signature", "relation", "same_distance", "distance", "shift"))
    probability = np.exp(start["time_signature"] - of_bars)
    assert count > 100 and count / len(plans) == pytest.approx(probability, rel=0.2)


def test_a_saved_planner_is_the_same_up_to_half_precision(planner, tmp_path):
    planner.save(tmp_path / "p")
    loaded = Planner.load(tmp_path / "p")
    (plan,) = planner.compose([1], 20)
    assert loaded.nats(plan) == pytest.approx(planner.nats(plan), rel=1e-2)
    assert loaded.start.signatures == SIGNATURES


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"n_bars": 0}, "0 bars"),
        ({"n_bars": 10**6}, "bars"),
        ({"n_bars": 4, "quarters": 3.0}, "either"),
        ({}, "either"),
        ({"quarters": float("nan")}, "quarters"),
        ({"n_bars": 4, "home": 24}, "home key 24"),
        ({"n_bars": 4, "temperature": 0}, "temperature"),
        ({"n_bars": 4, "time_signature": (0, 4)}, "0/4"),
        ({"n_bars": 4, "seeds": [0, -1]}, "seed -1"),
        ({"n_bars": 4, "seeds": []}, "no seeds"),
    ],
)
def test_requests_out_of_range_are_named(planner, wrong, message):
    with pytest.raises(BadSetting, match=message):
        planner.compose(**{"seeds": [0]} | wrong)


def test_a_plan_with_an_impossible_return_is_named(planner):
    (plan,) = planner.compose([0], 6, attributes=())
    relation = np.array([NEW, NEW, EXACT, NEW, NEW, NEW])
    plan = replace(plan, relation=relation, shift=np.zeros(6, dtype=int), source=np.array([-1, -1, 4, -1, -1, -1]))
    with pytest.raises(BadSetting, match="bar 3.*earlier"):
        planner.nats(plan)


def change(folder, **changes):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | changes))


def change_weights(folder, name, tensor):
    save_file(load_file(folder / WEIGHTS) | {name: tensor}, folder / WEIGHTS)


HARM = {
    "no config": lambda f: (f / CONFIG).unlink(),
    "another format": lambda f: change(f, planner=99),
    "a huge size": lambda f: change(f, sizes={"n_units": 10**9}),
    "a size of nothing": lambda f: change(f, sizes={"n_units": 0}),
    "an unknown size": lambda f: change(f, sizes={"depth": 3}),
    "no time signatures": lambda f: change(f, time_signatures=[]),
    "a time signature of three numbers": lambda f: change(f, time_signatures=[[1, 2, 3]]),
    "a time signature of 0": lambda f: change(f, time_signatures=[[4, 0]]),
    "no weights": lambda f: (f / WEIGHTS).unlink(),
    "broken weights": lambda f: (f / WEIGHTS).write_bytes(b"\xff" * 100),
    "another shape": lambda f: change_weights(f, "join.bias", torch.zeros(3)),
    "a weight too many": lambda f: change_weights(f, "more", torch.zeros(3)),
    "NaN": lambda f: change_weights(f, "join.bias", torch.full((8,), torch.nan)),
    "infinite": lambda f: change_weights(f, "start.home", torch.full((24,), -torch.inf)),
    "integers": lambda f: change_weights(f, "join.bias", torch.zeros(8, dtype=torch.int64)),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_hostile_folder_is_refused(planner, tmp_path, harm):
    planner.save(tmp_path / "p")
    harm(tmp_path / "p")
    with pytest.raises(CheckpointMismatch, match=f"{CONFIG}|{WEIGHTS}"):
        Planner.load(tmp_path / "p")


def test_an_open_bar_begins_inside_the_bar_if_there_is_an_upbeat():
    assert open_bar((3, 4), 12, 12).begin.tolist() == [-24, 12]
    assert open_bar((3, 4), 0, 12).begin.tolist() == [0, 36]
    assert isinstance(open_bar((3, 4), 0, 12), Plan)
