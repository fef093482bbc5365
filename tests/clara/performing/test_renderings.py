"""What departs from the expectation: residuals of velocities and tempo, and presses of the pedal."""

import numpy as np
import pytest
import tiny

from clara.performing.pedalling import Pedalling, fit_pedalling, pedal_f1
from clara.performing.score import find_beats, measure_performance
from clara.performing.touch import PlayedNotes, Touch, fit_touch

NOTES = tiny.tune(2, n_notes=600)
TOUCH = Touch(carry=[0.5, 0.2, 0.1, 0.1], narrow=0.1, wide=0.4, wide_share=0.2, tempo_carry=0.7, tempo_scale=0.3)


def played(touch, seed, spread=14.0):
    residual = touch.sample_velocity(NOTES, np.random.default_rng(seed))
    expected = np.full(len(NOTES), 64.0)
    velocity = np.clip(np.rint(expected + spread * residual), 1, 127).astype(int)
    return PlayedNotes(NOTES, velocity, expected, spread)


def test_the_probabilities_of_all_velocities_add_up_to_one():
    touch = Touch()
    probs = 0.0
    for velocity in range(1, 128):
        notes = PlayedNotes(NOTES, np.full(len(NOTES), velocity), np.full(len(NOTES), 100.0), 20.0)
        notes.neighbours[:] = 0.3
        probs += np.exp(-touch.velocity_nats(notes))
    assert probs == pytest.approx(np.ones(len(NOTES)), abs=1e-5)


def test_a_fit_finds_what_residuals_were_drawn_from():
    tempos = [TOUCH.sample_tempo(800, np.random.default_rng(seed)) for seed in range(3)]
    fitted = fit_touch([played(TOUCH, seed) for seed in range(3)], tempos)
    assert fitted.carry[0] == pytest.approx(0.5, abs=0.1)
    assert fitted.tempo_carry == pytest.approx(0.7, abs=0.05)
    assert fitted.tempo_scale == pytest.approx(0.3, abs=0.03)
    true, default = (touch.velocity_nats(played(TOUCH, 9)).mean() for touch in (TOUCH, Touch()))
    assert fitted.velocity_nats(played(TOUCH, 9)).mean() == pytest.approx(true, abs=0.03)
    assert true < default


def test_presses_and_releases():
    down = np.array([-9, 9, 9, 9, -9, 9.0])
    lift = np.array([-9, -9, 9, -9, -9, -9.0])
    spans = Pedalling(release=0.25, press=0.5).spans(down, lift) * 4
    assert spans.tolist() == [[0.5, 2.25], [2.5, 3.25], [4.5, 5.25]]
    assert Pedalling().spans(np.full(3, -9.0), np.zeros(3)).shape == (0, 2)


def test_a_fit_of_the_pedal_finds_thresholds_and_places():
    expression = tiny.expression(NOTES)
    performance = measure_performance(expression, find_beats(NOTES))
    logits = np.stack([performance.pedal * 2.0, performance.lift * 2.0], axis=1) - 3  # down at -1, up at -3
    fitted = fit_pedalling([performance], [performance.pedal_quarters], [logits])
    assert fitted.press == pytest.approx(0.5) and fitted.release == pytest.approx(0.25)
    spans = fitted.spans(*logits.T)
    again = (np.searchsorted(spans[:, 0], np.arange(len(logits)) / 4, "right")) > np.searchsorted(
        spans[:, 1], np.arange(len(logits)) / 4, "right"
    )
    assert pedal_f1(performance.pedal, again) == 1.0


def test_the_pedal_is_down_no_more_than_a_good_f1_needs():
    expression = tiny.expression(NOTES)
    performance = measure_performance(expression, find_beats(NOTES))
    logits = np.stack([np.where(performance.pedal, 1.0, -3.0), performance.lift * 2.0], axis=1)
    logits[np.flatnonzero(performance.pedal)[0], 0] = -2.0  # one sixteenth that looks as if the pedal was up
    fitted = fit_pedalling([performance], [performance.pedal_quarters], [logits])
    assert 0.5 < fitted.down < 1 / (1 + np.exp(-1))


def test_no_pedal_to_learn_from_leaves_the_defaults():
    assert fit_pedalling([], [], []) == Pedalling()
