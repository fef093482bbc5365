"""What a planner draws before the bars: time signature, upbeat, home key and number of bars, from tables of counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clara.form.plan import N_KEYS, UNKNOWN, Plan
from clara.form.plan_tokens import bar_quarters, nearest_signature

UPBEAT_UNITS = 12  # in a quarter note
MAX_UPBEAT = 6 * UPBEAT_UNITS
LENGTH_LIMITS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)  # bars
N_LENGTHS = len(LENGTH_LIMITS) + 1
PRIOR_PIECES = 10.0  # weight of all pieces in the tables of one time signature
RARE = 0.1  # pieces that are added to each count

Tables = dict[str, np.ndarray]


def table_shapes(n_signatures: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each table."""
    return {
        "start.time_signature": (n_signatures,),
        "start.upbeat": (n_signatures, MAX_UPBEAT + 1),
        "start.home": (N_KEYS,),
        "start.length": (n_signatures, N_LENGTHS),
    }


@dataclass(frozen=True)
class PlanStart:
    """The probabilities of what comes before the bars.

    Attributes
    ----------
    signatures : tuple of (numerator, denominator)
    tables : dict of str to float64 array
        Weights by name; see `table_shapes`. The last axis is the one that is drawn.
    """

    signatures: tuple[tuple[int, int], ...]
    tables: Tables

    @classmethod
    def fit(cls, plans: Sequence[Plan], signatures: Sequence[tuple[int, int]]) -> "PlanStart":
        """Count plans."""
        counts = {name: np.zeros(shape) for name, shape in table_shapes(len(signatures)).items()}
        for plan in plans:
            signature = nearest_signature(first_signature(plan), signatures)
            counts["start.time_signature"][signature] += 1
            counts["start.upbeat"][signature, _upbeat_units(plan)] += 1
            counts["start.length"][signature, _length_bin(len(plan))] += 1
            if plan.home != UNKNOWN:
                counts["start.home"][plan.home] += 1
        tables = {}
        for name, count in counts.items():
            if count.ndim == 2:
                count = count + PRIOR_PIECES * count.sum(0) / max(1, count.sum())
            tables[name] = (count + RARE / count.shape[-1]) / (count + RARE / count.shape[-1]).sum(-1, keepdims=True)
        return cls(tuple(signatures), tables)

    def nats(self, plan: Plan) -> dict[str, float]:
        """Return the cost of what comes before the bars of a plan."""
        pair = first_signature(plan)
        signature = nearest_signature(pair, self.signatures)
        upbeats = self._upbeat_probs(signature, pair)
        probs = {
            "length": self._length_probs(np.array([len(plan)]))[signature, 0],
            "time_signature": self.tables["start.time_signature"][signature],
            "upbeat": upbeats[min(_upbeat_units(plan), len(upbeats) - 1)],
            "home": 1.0 if plan.home == UNKNOWN else self.tables["start.home"][plan.home],
        }
        return {name: -float(np.log(prob)) for name, prob in probs.items()}

    def draw_signature(self, n_bars: int | None, quarters: float | None, allowed: np.ndarray, at: float) -> int:
        """Draw the time signature of a piece of some length.

        Parameters
        ----------
        n_bars, quarters : number or None
            The length, one of the two.
        allowed : bool array (n_signatures,)
        at : float
            Uniform random number.
        """
        lengths = np.array([bar_quarters(s) for s in self.signatures])
        if quarters is None:
            of_length = self._length_probs(np.array([n_bars]))[:, 0]
        else:
            bars = np.maximum(np.rint(quarters / lengths), 1).astype(np.int64)
            of_length = self._length_probs(bars)[np.arange(len(bars)), np.arange(len(bars))] / lengths
        return int(draw(self.tables["start.time_signature"] * of_length * allowed, at))

    def draw_upbeat(self, pair: tuple[int, int], steps_per_quarter: int, at: float) -> int:
        """Draw the length of the upbeat in steps; 0 for none."""
        probs = self._upbeat_probs(nearest_signature(pair, self.signatures), pair)
        on_grid = np.arange(len(probs)) * steps_per_quarter % UPBEAT_UNITS == 0
        return int(draw(probs * on_grid, at)) * steps_per_quarter // UPBEAT_UNITS

    def draw_home(self, at: float) -> int:
        """Draw the home key."""
        return int(draw(self.tables["start.home"], at))

    def _upbeat_probs(self, signature, pair):
        """Return the probabilities of the upbeats that are shorter than a bar."""
        n = int(np.clip(np.ceil(bar_quarters(pair) * UPBEAT_UNITS), 1, MAX_UPBEAT + 1))
        probs = self.tables["start.upbeat"][signature, :n]
        return probs / probs.sum()

    def _length_probs(self, n_bars):
        """Return the probability of numbers of bars by time signature, (n_signatures, n)."""
        edges = np.array((1, *LENGTH_LIMITS, 2 * LENGTH_LIMITS[-1]))
        bins = _length_bin(n_bars)
        return self.tables["start.length"][:, bins] / np.diff(edges)[bins]


def first_signature(plan: Plan) -> tuple[int, int]:
    """Return the time signature of the first bar."""
    return int(plan.numerator[0]), int(plan.denominator[0])


def upbeat_steps(plan: Plan) -> int:
    """Return the length of the first bar if the piece begins inside it, else 0."""
    return int(plan.begin[1]) if plan.begin[0] < 0 else 0


def draw(weights: np.ndarray, at: np.ndarray | float) -> np.ndarray:
    """Return where uniform random numbers fall in weights, int64 (...).

    Parameters
    ----------
    weights : float64 array (..., n)
        Not negative; need not add up to 1.
    at : float64 array (...)
        From 0 to below 1.
    """
    total = np.cumsum(weights, axis=-1)
    return (total <= np.asarray(at)[..., None] * total[..., -1:]).sum(-1)


def _upbeat_units(plan):
    """Return the length of the upbeat in units, at most `MAX_UPBEAT`."""
    return min(round(upbeat_steps(plan) * UPBEAT_UNITS / plan.steps_per_quarter), MAX_UPBEAT)


def _length_bin(n_bars):
    """Return the bin of numbers of bars."""
    return np.searchsorted(LENGTH_LIMITS, n_bars, "right")
