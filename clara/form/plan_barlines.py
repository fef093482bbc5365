"""Barlines of plans that are composed side by side: time signatures, and how many bars a length needs."""

from collections.abc import Sequence

import numpy as np

from clara.form.plan_constraints import PlanRequest
from clara.form.plan_tokens import TIME_SIGNATURE, PlanRows, bar_quarters


class Barlines:
    """Where the bars of plans begin.

    Parameters
    ----------
    rows : PlanRows
        The plans; their numbers of bars may change with the time signature.
    requests : sequence of PlanRequest
        One for each plan, on one grid.
    signatures : sequence of (numerator, denominator)

    Attributes
    ----------
    begin : int64 array (n_plans, room + 1)
        Step of each barline.
    numerator, denominator : int64 arrays (n_plans, room)
    """

    def __init__(self, rows: PlanRows, requests: Sequence[PlanRequest], signatures: Sequence[tuple[int, int]]):
        self.rows, self.signatures = rows, np.array(signatures)
        self.steps_per_quarter = requests[0].start.steps_per_quarter
        self.bar_steps = np.array([bar_quarters(pair) for pair in signatures]) * self.steps_per_quarter
        self.wanted_steps = np.array([request.quarters or np.nan for request in requests]) * self.steps_per_quarter
        self.n_kept = np.array([request.n_kept for request in requests])
        self.begin = np.zeros((len(requests), rows.room + 1), dtype=np.int64)
        self.numerator, self.denominator = np.zeros((2, len(requests), rows.room), dtype=np.int64)
        for row, request in enumerate(requests):
            n = max(1, request.n_kept)
            self.begin[row, : n + 1] = request.start.begin[: n + 1]
            self.numerator[row, :n] = request.start.numerator[:n]
            self.denominator[row, :n] = request.start.denominator[:n]

    def allowed(self, bar: int, row: np.ndarray) -> np.ndarray:
        """Return which time signatures a bar can have, bool (n, n_signatures).

        The grid must hold the bar; and if quarters were asked for, it may exceed them by half of its length.
        """
        rest = self.wanted_steps[row] - self.begin[row, bar]
        fits_rest = np.isnan(rest)[:, None] | (self.bar_steps <= 2 * rest[:, None])
        allowed = fits_rest & (self.bar_steps % 1 == 0)
        allowed[np.arange(len(row)), self.rows.values[row, bar - 1, TIME_SIGNATURE]] = True
        return allowed

    def finish_bar(self, bar: int, row: np.ndarray) -> None:
        """Set time signature and end of a bar whose values are set; those of bars to keep are known."""
        row = row[bar >= np.maximum(self.n_kept[row], 1)]
        index = self.rows.values[row, bar, TIME_SIGNATURE]
        changes = index != self.rows.values[row, bar - 1, TIME_SIGNATURE]
        self.numerator[row, bar] = np.where(changes, self.signatures[index, 0], self.numerator[row, bar - 1])
        self.denominator[row, bar] = np.where(changes, self.signatures[index, 1], self.denominator[row, bar - 1])
        steps = self.numerator[row, bar] * 4 * self.steps_per_quarter // self.denominator[row, bar]
        self.begin[row, bar + 1] = self.begin[row, bar] + steps
        self._fit_length(bar, row[changes], steps[changes])

    def _fit_length(self, bar, row, steps):
        """Change the number of bars where a new time signature begins, so that the length stays nearest."""
        has_length = np.isfinite(self.wanted_steps[row])
        row, steps = row[has_length], steps[has_length]
        left = np.rint((self.wanted_steps[row] - self.begin[row, bar]) / steps).astype(np.int64)
        self.rows.n_bars[row] = np.minimum(bar + np.maximum(left, 1), self.rows.room)


def room_for(request: PlanRequest, signatures: Sequence[tuple[int, int]]) -> int:
    """Return how many bars a plan can have at most."""
    if request.quarters is None:
        return request.n_bars
    rest = max(0.0, request.quarters - request.start.n_steps / request.start.steps_per_quarter)
    shortest = min(map(bar_quarters, signatures))
    return max(request.n_bars, request.n_kept + int(np.ceil(rest / shortest)) + 1)
