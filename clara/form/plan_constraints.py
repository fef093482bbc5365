"""What a plan that is composed has to keep to: bars that are given, a form, and what is possible at all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clara.form.forms import Form
from clara.form.plan import EXACT, RHYTHM, SILENT, TRANSPOSED, UNKNOWN, VARIED, Plan
from clara.form.plan_start import first_signature
from clara.form.plan_tokens import (
    DISTANCE,
    KEY,
    MAX_SHIFT,
    N_KINDS,
    PHRASE,
    RELATION,
    SAME,
    SHIFT,
    TIME_SIGNATURE,
    PlanRows,
    fold_shift,
    nearest_signature,
)
from clara.form.planner_network import allowed_categories

CLOSING_BARS = 8  # in the home key at the end of a piece with an ending, or a quarter of a short piece


@dataclass(frozen=True)
class PlanRequest:
    """What a plan to compose begins with.

    Attributes
    ----------
    start : Plan
        The first bars, which are kept; of a new piece, one open bar with the time signature and the upbeat.
    n_kept : int
        Number of bars to keep; 0 for a new piece.
    home : int
        Home key.
    n_bars : int
        Number of bars in all; may change if `quarters` is given and the time signature does.
    seed : int
    quarters : float, optional
        Length that the whole bars are to come nearest to.
    form : Form, optional
        How bars return; it begins with the piece. Bars to keep have precedence.
    known : Plan, optional
        A plan of which all that is known is kept; then there is no form and no bar to keep.
    ending : bool
        Whether the piece closes in its home key, in which its last bars are then.
    """

    start: Plan
    n_kept: int
    home: int
    n_bars: int
    seed: int
    quarters: float | None = None
    form: Form | None = None
    known: Plan | None = None
    ending: bool = False


class PlanConstraints:
    """What is given of plans that are composed side by side, and what is possible in their bars.

    Parameters
    ----------
    rows : PlanRows
        The plans, as far as they are composed.
    requests : sequence of PlanRequest
        One for each plan.
    signatures : sequence of (numerator, denominator)
    """

    def __init__(self, rows: PlanRows, requests: Sequence[PlanRequest], signatures: Sequence[tuple[int, int]]):
        n, room = len(requests), rows.room
        self.rows, self.signatures = rows, signatures
        self.given = np.full((n, room, N_KINDS), UNKNOWN)
        self.n_kept = np.array([request.n_kept for request in requests])
        self.has_ending = np.array([request.ending for request in requests])
        self.section = np.zeros((n, room), dtype=np.int64)  # first bar that an open bar may return to
        self.n_with_notes = np.zeros(n, dtype=np.int64)  # open bars before this one are not silent: others return there
        for row, request in enumerate(requests):
            self._give(row, request)

    def _give(self, row, request):
        """Set what is given of a plan."""
        given = self.given[row]
        given[0, TIME_SIGNATURE] = nearest_signature(first_signature(request.start), self.signatures)
        if request.known is not None:
            given[: request.n_bars] = self._values(request.known)
            self.n_with_notes[row] = request.n_bars
        if request.form is not None:
            self._lay_form(row, request.form)
        if request.n_kept:
            given[: request.n_kept] = self._values(replace(request.start, home=request.home))

    def _values(self, plan):
        """Return the values of a plan, int64 (n_bars, N_KINDS)."""
        return PlanRows.from_plans([plan], self.signatures).values[0]

    def _lay_form(self, row, form):
        """Set what a form says of its bars."""
        bars = np.arange(len(form))
        given = self.given[row, : len(form)]
        given[:, RELATION], given[:, PHRASE] = form.relation, form.phrase
        given[:, DISTANCE] = np.where(form.source == UNKNOWN, UNKNOWN, bars - form.source)
        given[:, SHIFT] = np.where(form.relation == TRANSPOSED, fold_shift(form.shift) + MAX_SHIFT, UNKNOWN)
        self.section[row, : len(form)] = form.section
        self.n_with_notes[row] = len(form)

    def is_kept(self, bar: int, row: np.ndarray) -> np.ndarray:
        """Return whether a bar is among those that plans begin with, bool (n,)."""
        return bar < self.n_kept[row]

    def values(self, bar: int, row: np.ndarray) -> np.ndarray:
        """Return what is given of a bar, int64 (n, N_KINDS), or `UNKNOWN`.

        A bar that is to return to a silent one is silent, too. One that is more than a rhythm has the time signature of
        its source. The last bars of a piece with an ending are in the home key.
        """
        given = self.given[row, bar].copy()
        closes = self.has_ending[row] & ~self.is_kept(bar, row) & (given[:, KEY] == UNKNOWN)
        closes &= bar >= self.rows.n_bars[row] - np.minimum(CLOSING_BARS, self.rows.n_bars[row] // 4)
        given[closes, KEY] = 12 * self.rows.mode[row[closes]]  # relative to the home key
        returns = ~self.is_kept(bar, row) & (given[:, DISTANCE] > 0)
        source = bar - np.maximum(given[:, DISTANCE], 0)
        of_source = self.rows.values[row, source]
        silent = returns & (of_source[:, RELATION] == SILENT)
        given[silent, RELATION] = SILENT
        given[np.ix_(silent, (SAME, DISTANCE, SHIFT))] = UNKNOWN
        returns &= ~silent
        given[returns, SAME] = self.rows.is_same(bar, row[returns], source[returns])
        like_source = returns & (given[:, RELATION] != RHYTHM) & (given[:, TIME_SIGNATURE] == UNKNOWN)
        given[like_source, TIME_SIGNATURE] = of_source[like_source, TIME_SIGNATURE]
        return given

    def sources(self, bar: int, row: np.ndarray, relation: np.ndarray) -> np.ndarray:
        """Return which bars can be the source at another than the same distance, bool (n, bar).

        A bar that a form leaves open returns to its own section, but it may share the rhythm of any bar.

        Parameters
        ----------
        bar : int
        row, relation : int64 arrays (n,)
            Plans, and the relation of the bar.
        """
        in_section = np.arange(bar) >= self.section[row, bar][:, None]
        return self.rows.candidates(np.full(len(row), bar), row, bar) & (in_section | (relation == RHYTHM)[:, None])

    def allowed(self, kind: int, bar: int, row: np.ndarray, relation: np.ndarray, n: int) -> np.ndarray:
        """Return which of n categories of a kind are possible, bool (len(row), n); parameters as of `sources`."""
        if kind == DISTANCE:
            return self.sources(bar, row, relation)
        allowed = allowed_categories(kind, self.rows, np.full(len(row), bar), row, n)
        if kind == RELATION:
            relation = np.full(len(row), EXACT)
            can_return = self.sources(bar, row, relation).any(1) | self._can_be_same(bar, row, relation)
            allowed[:, [EXACT, VARIED, TRANSPOSED]] &= can_return[:, None]
            allowed[:, SILENT] &= bar >= self.n_with_notes[row]
        elif kind == SAME:
            allowed[:, 0] = self.sources(bar, row, relation).any(1)
            allowed[:, 1] = self._can_be_same(bar, row, relation)
        return allowed

    def _can_be_same(self, bar, row, relation):
        """Return whether a bar can return at the same distance, bool (n,)."""
        in_section = bar - self.rows.last_distance[row, bar] >= self.section[row, bar]
        return self.rows.can_be_same(np.full(len(row), bar), row) & (in_section | (relation == RHYTHM))
