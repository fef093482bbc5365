"""From the windows of a piece to the log-odds that a person wrote it."""

import numpy as np
import pytest
import tiny

from critic.calibration import NO_CALIBRATION, LengthCalibration, fit_calibration
from critic.classifier import Critic, make_classifier
from critic.members.ensemble import Ensemble


def test_without_a_calibration_the_mean_stays():
    assert NO_CALIBRATION.log_odds([1.5, -2], [8, 64]).tolist() == [1.5, -2]


def test_a_fit_finds_how_evidence_grows():
    """Means that say the more, the longer the piece is."""
    rng = np.random.default_rng(0)
    n, quarters = 20_000, rng.choice([8.0, 16.0, 32.0, 64.0], 20_000)
    means = rng.normal(0, 2, n)
    true = LengthCalibration(scale=1.5, exponent=0.5, shift=0.4)
    human = rng.random(n) < 1 / (1 + np.exp(-true.log_odds(means, quarters)))
    fitted = fit_calibration(means, quarters, human)
    assert fitted.scale == pytest.approx(1.5, abs=0.15) and fitted.exponent == pytest.approx(0.5, abs=0.1)


def test_an_ensemble_keeps_its_calibration(tmp_path):
    calibration = LengthCalibration(1.2, 0.3, -0.5)
    ensemble = Ensemble([(tiny.member("descriptors"), 1.0)], {"training": {}}, calibration)
    make_classifier(ensemble).save(tmp_path)
    critic = Critic.load(tmp_path)
    assert critic.model.calibration == critic.remembering().model.calibration == calibration
    pieces = [tiny.tune(seed, n_notes=60) for seed in range(3)]
    quarters = np.array([text.n_steps for text in critic.read(pieces)]) / critic.encoding.steps_per_quarter
    means = [windows.mean() for windows in critic.window_log_odds(pieces)]
    expected = 1.2 * (quarters / 32) ** 0.3 * (np.array(means) - 0.5)
    assert critic.score(pieces) == pytest.approx(expected, rel=1e-4)
