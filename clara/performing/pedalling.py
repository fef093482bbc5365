"""The sustain pedal, from what is expected at each sixteenth to presses and releases."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from clara.performing.score import Performance
from clara.performing.slot_features import SLOTS_PER_QUARTER
from clara.records import Record

PEDAL_NOISE = 0.5  # standard deviation of what is added to logits in a sampled rendering
NOISE_CARRY = 0.9  # from sixteenth to sixteenth
THRESHOLDS = np.linspace(0.1, 0.9, 33)
F1_TOLERANCE = 0.01  # what F1 may lose so that the pedal is down less
_Share = Annotated[float, Field(ge=0, le=1)]


class Pedalling(Record):
    """How probabilities become presses and releases.

    Attributes
    ----------
    down, lift : float
        Lowest probabilities at which the pedal is down, and is lifted between two sixteenths with pedal.
    release, press : float
        Where in a sixteenth the pedal is released and pressed: 0 is its beginning, 1 its end.
    """

    down: _Share = 0.5
    lift: _Share = 0.5
    release: _Share = 0.1
    press: _Share = 0.5

    def spans(self, down_logits: np.ndarray, lift_logits: np.ndarray) -> np.ndarray:
        """Return presses and releases in quarters, float64 (k, 2).

        Parameters
        ----------
        down_logits, lift_logits : float64 arrays (n_slots,)
            Of the pedal being down where each sixteenth begins, and of a release in it.
        """
        is_down = np.append(_probability(down_logits) >= self.down, False)
        is_lifted = np.append(_probability(lift_logits) >= self.lift, False)
        is_lifted[0] = False  # nothing sounds yet
        spans = []
        pressed_at = 0.0 if is_down[0] else None
        for slot in range(len(is_down) - 1):
            now, following = is_down[slot], is_down[slot + 1]
            release, press = slot + self.release, slot + max(self.press, self.release)
            if now and (not following or is_lifted[slot]):
                spans.append((pressed_at, release))
                pressed_at = None
            if following and pressed_at is None:
                pressed_at = press
        return np.array(spans, dtype=np.float64).reshape(-1, 2) / SLOTS_PER_QUARTER


def sample_pedal_noise(n_slots: int, rng: np.random.Generator) -> np.ndarray:
    """Return what a sampled rendering adds to the logits of the pedal, float64 (n_slots,)."""
    news = (PEDAL_NOISE * np.sqrt(1 - NOISE_CARRY**2) * rng.standard_normal(n_slots)).tolist()
    value, noise = 0.0, []
    for new in news:
        value = NOISE_CARRY * value + new
        noise.append(value)
    return np.array(noise)


def fit_pedalling(
    performances: Sequence[Performance], pedals: Sequence[np.ndarray], logits: Sequence[np.ndarray]
) -> Pedalling:
    """Choose a threshold with a good F1, as many lifts as there are, and the usual places in a sixteenth.

    F1 is best where the pedal is down far more often than players have it, and is nearly as good for much less. The
    highest threshold within `F1_TOLERANCE` of the best one is chosen.

    Parameters
    ----------
    performances : sequence of Performance
        Held-out ones with pedal.
    pedals : sequence of float64 arrays (k, 2)
        Their presses and releases, in quarters.
    logits : sequence of float arrays (n_slots, 2)
        What was expected of them.
    """
    if not performances:
        return Pedalling()
    down = np.concatenate([performance.pedal for performance in performances])
    lift = np.concatenate([performance.lift for performance in performances])
    probability = _probability(np.concatenate(logits).astype(np.float64))
    scores = np.array([pedal_f1(down, probability[:, 0] >= threshold) for threshold in THRESHOLDS])
    good = THRESHOLDS[scores >= scores.max() - F1_TOLERANCE]
    presses, releases = (np.concatenate(pedals) * SLOTS_PER_QUARTER % 1).T
    release = float(np.median(releases))
    lifted_down = probability[down, 1]
    lift_threshold = np.quantile(lifted_down, 1 - lift[down].mean()) if down.any() else 0.5
    return Pedalling(
        down=round(float(good[-1]), 4),
        lift=round(float(lift_threshold), 4),
        release=round(release, 4),
        press=round(max(release, float(np.median(presses))), 4),
    )


def pedal_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the F1 score of where the pedal is down, of bool arrays (n,); 0 if it never is."""
    return float(2 * (truth & predicted).sum() / max(1, truth.sum() + predicted.sum()))


def _probability(logits):
    """Return the logistic function of logits."""
    return 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
