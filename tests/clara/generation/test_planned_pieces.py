"""Pieces that follow plans: their plans, lengths and forms, with an untrained model and planner."""

from dataclasses import replace

import numpy as np
import pytest
import tiny

from clara.errors import BadSetting
from clara.form.plan import EXACT, RHYTHM, UNKNOWN
from clara.form.plan_files import write_plan
from clara.form.sections import trace_origins
from clara.generation.generator import Generator
from clara.generation.planning import fit_plan


@pytest.fixture(scope="module")
def generator():
    generator = Generator(tiny.plan_follower(), precision="float32")
    generator.planner = tiny.planner()
    return generator


@pytest.mark.parametrize("ending, last", [(True, RHYTHM), (False, EXACT)])
def test_a_form_sets_the_length(generator, ending, last):
    for sample in generator.generate(3, form="A2 B1 A", ending=ending, seed=1):
        # With an ending the last bar does not repeat note for note: it closes.
        assert sample.plan.relation[3:].tolist() == [EXACT, last]
        assert trace_origins(sample.plan)[0][3] == 0
        assert len(sample.plan) == 5 and sample.notes.n_steps <= sample.plan.n_steps


@pytest.mark.parametrize("ending", [True, False])
def test_a_plan_ends_with_its_piece(generator, ending):
    for sample in generator.generate(3, bars=3, ending=ending, seed=2):
        assert len(sample.plan) == 3
        assert sum(generator.encoding.token_steps(sample.tokens)) == sample.plan.n_steps


def test_the_plan_of_a_piece_composes_it_again(generator, tmp_path):
    (sample,) = generator.generate(1, form="A2 B1 A'", seed=5)
    write_plan(sample.plan, tmp_path / "1.plan.csv")
    (again,) = generator.generate(1, plan=tmp_path / "1.plan.csv", seed=5)
    assert again.tokens == sample.tokens
    np.testing.assert_array_equal(again.plan.begin, sample.plan.begin)


def test_a_key_moves_a_given_plan(generator):
    plan = replace(generator.planner.compose([0], 2)[0], home=0, key=np.array([0, 7]))
    (sample,) = generator.generate(1, plan=plan, key="B major", seed=1)
    assert sample.plan.home == 11
    assert sample.plan.key.tolist() == [11, 6]
    with pytest.raises(BadSetting, match="the plan is in a major key"):
        generator.generate(1, plan=plan, key="B minor")


def test_pieces_around_other_music_have_no_plan(generator):
    melody = tiny.tune(0, n_notes=6)
    assert generator.generate(1, fixed_melody=melody)[0].plan is None
    assert generator.fill(tiny.tune(0), 2, 3, n=1)[0][0].plan is None
    for option in ({"form": "A1"}, {"plan": generator.planner.compose([0], 2)[0]}):
        with pytest.raises(BadSetting, match="a fixed melody has a form of its own"):
            generator.generate(1, fixed_melody=melody, **option)


def test_a_repeat_strength_is_for_models_with_a_repeat_model(generator):
    with pytest.raises(BadSetting, match="has no repeat model"):
        generator.generate(1, settings={"repeat_strength": 0.5})
    with pytest.raises(BadSetting, match="has no repeat model"):
        next(generator.stream(settings={"repeat_strength": 0.5}))


def test_plans_on_another_grid(generator):
    (plan,) = generator.planner.compose([0], 4, time_signature=(3, 8))
    coarse = fit_plan(plan, 4)
    assert coarse.steps_per_quarter == 4 and (coarse.begin * 3 == plan.begin).all()
    with pytest.raises(BadSetting, match="does not begin on a step"):
        fit_plan(plan, 1)
    with pytest.raises(BadSetting, match="the plan is over before the prompt is"):
        fit_plan(plan, 12, prompt_end=plan.n_steps)
    assert fit_plan(plan.open(np.full(4, True)), 12).relation.tolist() == [UNKNOWN] * 4
