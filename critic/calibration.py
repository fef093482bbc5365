"""From what a critic says of the windows of a piece to the log-odds that a person wrote it.

The log-odds of the windows are averaged. A longer piece gives more evidence, so the same mean says more of it: the mean
is multiplied by a power of the length. Without a calibration the mean stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

REFERENCE_QUARTERS = 32.0


@dataclass(frozen=True)
class LengthCalibration:
    """How the mean log-odds of the windows of a piece become the log-odds of the piece.

    Attributes
    ----------
    scale : float
        Factor for a piece of `REFERENCE_QUARTERS` quarter notes.
    exponent : float
        The factor grows with this power of the length.
    shift : float
        Added to the mean.
    """

    scale: float = 1.0
    exponent: float = 0.0
    shift: float = 0.0

    def log_odds(self, means: Sequence[float], quarters: Sequence[float]) -> np.ndarray:
        """Return the log-odds of n pieces, float32 (n,), for the means of their windows and their lengths."""
        factors = self.scale * (np.asarray(quarters) / REFERENCE_QUARTERS) ** self.exponent
        return (factors * (np.asarray(means, dtype=np.float64) + self.shift)).astype(np.float32)


NO_CALIBRATION = LengthCalibration()


def fit_calibration(means: np.ndarray, quarters: np.ndarray, human: np.ndarray) -> LengthCalibration:
    """Return the calibration with the lowest cross-entropy, both classes counting alike.

    Parameters
    ----------
    means, quarters : float arrays (n,)
        Mean log-odds of the windows, and lengths, of pieces of several lengths.
    human : bool array (n,)
    """
    from scipy.optimize import minimize

    signs = np.where(human, 1.0, -1.0)
    row_weight = np.where(human, 1 / max(1, human.sum()), 1 / max(1, (~human).sum())) / 2

    def loss(parameters):
        log_odds = LengthCalibration(*parameters).log_odds(means, quarters)
        return float((row_weight * np.logaddexp(0, -signs * log_odds)).sum())

    bounds = [(0.01, 100), (0, 1), (-10, 10)]
    best = minimize(loss, [1.0, 0.3, 0.0], method="Nelder-Mead", bounds=bounds, options={"maxiter": 500})
    return LengthCalibration(*(round(float(x), 4) for x in best.x))
