"""Compose plans bar by bar, many side by side, each from random numbers of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from clara.form.plan import COLUMNS, EXACT, NEW, SILENT, TRANSPOSED, UNKNOWN, Plan, transpose_pitches
from clara.form.plan_barlines import Barlines, room_for
from clara.form.plan_constraints import PlanConstraints, PlanRequest
from clara.form.plan_start import draw
from clara.form.plan_tokens import (
    ATTRIBUTES,
    CHORD,
    DENSITY,
    DISTANCE,
    KEY,
    KINDS,
    MAX_SHIFT,
    N_KINDS,
    OF_SOUND,
    PHRASE,
    REGISTER,
    REGISTER_SEMITONES,
    RELATION,
    SAME,
    SHIFT,
    TEXTURE,
    TIME_SIGNATURE,
    PlanRows,
    absolute_keys,
    distance_bin,
    moved_values,
)
from clara.form.planner_network import NEVER, PlannerNetwork

IN_REGISTER = N_KINDS  # column of the random numbers that choose a pitch within a register
N_DRAWS = N_KINDS + 1


@dataclass
class _Bar:
    """A bar of several plans while it is composed.

    Attributes
    ----------
    number : int
    row : int64 array (n,)
        The plans.
    before, given, values, source : int64 arrays (n, N_KINDS)
        Values of the bar before; of this bar as they are given, and as they are so far; of its source, moved.
    is_kept : bool array (n,)
        Whether the bar is one to keep, with all that it leaves open.
    """

    number: int
    row: np.ndarray
    before: np.ndarray
    given: np.ndarray
    values: np.ndarray
    source: np.ndarray
    is_kept: np.ndarray


class PlanComposer:
    """Composes plans side by side.

    Parameters
    ----------
    network : PlannerNetwork
        In double precision, so that the others in a batch do not change a plan.
    signatures : sequence of (numerator, denominator)
    requests : sequence of PlanRequest
        On one grid.
    temperature : float
    attributes : sequence of str
        What to compose beside relations; of `clara.form.plan_tokens.ATTRIBUTES`.
    """

    def __init__(
        self,
        network: PlannerNetwork,
        signatures: Sequence[tuple[int, int]],
        requests: Sequence[PlanRequest],
        temperature: float = 1.0,
        attributes: Sequence[str] = ATTRIBUTES,
    ):
        self.network, self.requests, self.temperature = network, requests, temperature
        n, room = len(requests), max(room_for(request, signatures) for request in requests)
        self.rows = PlanRows(n, room, signatures)
        self.rows.n_bars = np.array([request.n_bars for request in requests])
        self.rows.mode = np.array([request.home // 12 for request in requests])
        self.rows.upbeat = np.array([int(request.start.begin[0] < 0) for request in requests])
        self.constraints = PlanConstraints(self.rows, requests, signatures)
        self.barlines = Barlines(self.rows, requests, signatures)
        self.is_composed = [name not in ATTRIBUTES or name in attributes for name in KINDS]
        self.draws = np.stack([np.random.default_rng(request.seed).random((room, N_DRAWS)) for request in requests])
        self.keys = torch.zeros((n, room, network.sizes.n_query), dtype=network.precision)

    def compose(self) -> list[Plan]:
        """Compose all bars and return the plans."""
        row, state = np.arange(len(self.requests)), None
        with torch.no_grad():
            for bar in range(self.rows.room):
                goes_on = self.rows.n_bars[row] > bar
                row = row[goes_on]
                if not len(row):
                    break
                if state is not None:
                    state = tuple(part[:, torch.from_numpy(goes_on)] for part in state)
                state = self._compose_bar(bar, row, state)
        return [self._plan(row) for row in range(len(self.requests))]

    def _compose_bar(self, number, row, state):
        """Compose a bar of some plans, and return the new state of the network."""
        context, key, state = self.network.read(self.rows.features(number, number + 1, row), state)
        context = context[:, 0]
        unknown = np.full((len(row), N_KINDS), UNKNOWN)
        before = unknown
        if number:
            self.keys[row, number - 1] = key[:, 0]
            before = self.rows.values[row, number - 1]
        given, is_kept = self.constraints.values(number, row), self.constraints.is_kept(number, row)
        bar = _Bar(number, row, before, given, given.copy(), unknown, is_kept)
        for kind in range(N_KINDS):
            self._draw(kind, bar, context)
            values = bar.values[:, kind]
            if kind == DISTANCE:
                values = np.where(bar.values[:, SAME] == 0, distance_bin(values), UNKNOWN)
            context = self.network.add(kind, context, values)
            if kind == SHIFT:
                source = number - np.maximum(bar.values[:, DISTANCE], 0)
                bar.source = moved_values(self.rows.values, row, source, bar.values)
                context = self.network.add_source(context, bar.source)
        self.rows.values[row, number] = bar.values
        self.rows.finish_bar(number, row)
        self.barlines.finish_bar(number, row)
        return state

    def _draw(self, kind, bar, context):
        """Draw the values of a kind that are not given, and set those that follow from others."""
        values, relation = bar.values, bar.values[:, RELATION]
        is_open = ~bar.is_kept & (bar.given[:, kind] == UNKNOWN)
        drawn = np.flatnonzero(is_open & self._is_drawn(kind, values))
        if len(drawn):
            probs = self._probs(kind, bar, context, drawn)
            chosen = draw(probs, self.draws[bar.row[drawn], bar.number, kind])
            values[drawn, kind] = bar.number - chosen if kind == DISTANCE else chosen
        if kind == DISTANCE:
            same = values[:, SAME] == 1
            values[same, DISTANCE] = self.rows.last_distance[bar.row[same], bar.number]
        if kind in OF_SOUND and self.is_composed[kind]:
            follows = is_open & ((relation == EXACT) | (relation == TRANSPOSED))
            values[follows, kind] = bar.source[follows, kind]

    def _is_drawn(self, kind, values):
        """Return for which bars a token of a kind is drawn, bool (n,)."""
        relation = values[:, RELATION]
        if not self.is_composed[kind]:
            return np.zeros(len(values), dtype=bool)
        if kind == SAME:
            return (relation != NEW) & (relation != SILENT)
        if kind == DISTANCE:
            return values[:, SAME] == 0
        if kind == SHIFT:
            return relation == TRANSPOSED
        if kind == CHORD:
            return relation != SILENT
        if kind in OF_SOUND:
            return (relation != SILENT) & (relation != EXACT) & (relation != TRANSPOSED)
        return np.ones(len(values), dtype=bool)

    def _probs(self, kind, bar, context, at):
        """Return the probabilities of the next token of the plans at some indices, float64 (len(at), size)."""
        number, row, values = bar.number, bar.row[at], bar.values[at]
        relation = values[:, RELATION]
        if kind == DISTANCE:
            numbers = np.full(len(at), number)
            hints = self.rows.hints(numbers, row, number)
            logits = self.network.distance_logits(context[at], self.keys[row, :number], numbers, relation, hints)
        else:
            logits = self.network.logits(kind, context[at], bar.before[at], values, bar.source[at])
        allowed = self.constraints.allowed(kind, number, row, relation, logits.shape[1])
        if kind == TIME_SIGNATURE:
            allowed &= self.barlines.allowed(number, row)
        logits = logits.masked_fill(~torch.from_numpy(allowed), NEVER)
        return torch.softmax(logits / self.temperature, -1).numpy()

    def _plan(self, row):
        """Return a plan as composed."""
        request, n = self.requests[row], int(self.rows.n_bars[row])
        values = self.rows.values[row, :n]
        has_source = values[:, DISTANCE] > 0
        plan = Plan(
            begin=self.barlines.begin[row, : n + 1].copy(),
            numerator=self.barlines.numerator[row, :n].copy(),
            denominator=self.barlines.denominator[row, :n].copy(),
            relation=values[:, RELATION].copy(),
            source=np.where(has_source, np.arange(n) - values[:, DISTANCE], UNKNOWN),
            shift=np.where(values[:, RELATION] == TRANSPOSED, values[:, SHIFT] - MAX_SHIFT, 0),
            key=absolute_keys(values[:, KEY], request.home),
            chord=absolute_keys(values[:, CHORD], request.home),
            density=values[:, DENSITY].copy(),
            register=self._registers(row, n),
            texture=values[:, TEXTURE].copy(),
            phrase=values[:, PHRASE].copy(),
            home=request.home,
            steps_per_quarter=request.start.steps_per_quarter,
        )
        kept = {name: getattr(plan, name).copy() for name in COLUMNS}
        for name in COLUMNS:
            kept[name][: request.n_kept] = getattr(request.start, name)[: request.n_kept]
        plan = replace(plan, **kept)
        return replace(plan, register=follow_registers(plan, request.n_kept))

    def _registers(self, row, n):
        """Return a pitch within each register, int64 (n,)."""
        register = self.rows.values[row, :n, REGISTER]
        within = (self.draws[row, :n, IN_REGISTER] * REGISTER_SEMITONES).astype(np.int64)
        return np.where(register == UNKNOWN, UNKNOWN, register * REGISTER_SEMITONES + within)


def follow_registers(plan: Plan, n_kept: int) -> np.ndarray:
    """Return the registers of a plan, int64 (n,), after those of exact and transposed bars were set by their sources.

    Parameters
    ----------
    plan : Plan
    n_kept : int
        Number of first bars that stay as they are.
    """
    register = plan.register.copy()
    follows = ((plan.relation == EXACT) | (plan.relation == TRANSPOSED)) & (register != UNKNOWN)
    for bar in n_kept + np.flatnonzero(follows[n_kept:]):
        moved = transpose_pitches(register[plan.source[bar]][None], plan.shift[bar])[0]
        register[bar] = register[bar] if moved == UNKNOWN else moved
    return register
