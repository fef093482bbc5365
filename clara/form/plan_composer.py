"""Compose plans bar by bar, many side by side, each from random numbers of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from clara.form.forms import Form
from clara.form.plan import EXACT, NEW, RELATIONS, RHYTHM, SILENT, TRANSPOSED, UNKNOWN, VARIED, Plan
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
    bar_quarters,
    distance_bin,
    fold_shift,
    moved_values,
    nearest_signature,
)
from clara.form.planner_network import NEVER, PlannerNetwork, allowed_categories

IN_REGISTER = N_KINDS  # column of the random numbers that choose a pitch within a register
N_DRAWS = N_KINDS + 1
HIGHEST_PITCH = 127


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
    """

    start: Plan
    n_kept: int
    home: int
    n_bars: int
    seed: int
    quarters: float | None = None
    form: Form | None = None
    known: Plan | None = None


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
        self.network, self.signatures, self.requests = network, list(signatures), requests
        self.temperature = temperature
        self.steps_per_quarter = requests[0].start.steps_per_quarter
        lengths = np.array([bar_quarters(signature) for signature in signatures]) * self.steps_per_quarter
        self.fits_grid = lengths % 1 == 0
        self.bar_steps = lengths
        wanted = {KINDS.index(name) for name in attributes}
        self.is_composed = [name not in ATTRIBUTES or kind in wanted for kind, name in enumerate(KINDS)]
        room = max(map(self._room, requests))
        n = len(requests)
        self.rows = PlanRows(n, room, signatures)
        self.given = np.full((n, room, N_KINDS), UNKNOWN)
        self.numerator, self.denominator = np.zeros((2, n, room), dtype=np.int64)
        self.begin = np.zeros((n, room + 1), dtype=np.int64)
        self.register = np.full((n, room), UNKNOWN)
        # bars that return to open ones need notes there, so that up to here open bars are not silent
        self.section, self.n_formed = np.zeros((n, room), dtype=np.int64), np.zeros(n, dtype=np.int64)
        self.n_kept = np.array([request.n_kept for request in requests])
        self.quarters = np.array([np.nan if r.quarters is None else r.quarters for r in requests])
        self.draws = np.stack([np.random.default_rng(r.seed).random((room, N_DRAWS)) for r in requests])
        for row, request in enumerate(requests):
            self._begin(row, request)
        self.keys = torch.zeros((n, room, network.sizes.n_query), dtype=network.precision)

    def compose(self) -> list[Plan]:
        """Compose all bars and return the plans."""
        with torch.no_grad():
            state = None
            active = np.arange(len(self.requests))
            for bar in range(self.rows.room):
                going_on = self.rows.n_bars[active] > bar
                if state is not None:
                    state = tuple(part[:, torch.from_numpy(going_on)] for part in state)
                active = active[going_on]
                if not len(active):
                    break
                state = self._compose_bar(bar, active, state)
        return [self._plan(row) for row in range(len(self.requests))]

    def _room(self, request):
        """Return how many bars a plan can have at most."""
        if request.quarters is None:
            return request.n_bars
        rest = max(0.0, request.quarters - request.start.n_steps / self.steps_per_quarter)
        shortest = min(map(bar_quarters, self.signatures))
        return max(request.n_bars, request.n_kept + int(np.ceil(rest / shortest)) + 1)

    def _begin(self, row, request):
        """Set the first bars of a plan."""
        start, n_kept = request.start, request.n_kept
        rows, n = self.rows, max(1, n_kept)
        rows.n_bars[row] = request.n_bars
        rows.mode[row] = request.home // 12
        rows.upbeat[row] = start.begin[0] < 0
        self.numerator[row, :n], self.denominator[row, :n] = start.numerator[:n], start.denominator[:n]
        self.begin[row, : n + 1] = start.begin[: n + 1]
        self.register[row, :n_kept] = start.register[:n_kept]
        self.given[row, 0, TIME_SIGNATURE] = nearest_signature(
            (int(start.numerator[0]), int(start.denominator[0])), self.signatures
        )
        if request.known is not None:
            self.given[row, : request.n_bars] = PlanRows.from_plans([request.known], self.signatures).values[0]
            self.n_formed[row] = request.n_bars
        if request.form is not None:
            self._lay_form(row, request.form, n_kept)
        if n_kept:
            kept = PlanRows.from_plans([_with_home(start, request.home)], self.signatures)
            self.given[row, :n_kept] = kept.values[0, :n_kept]

    def _lay_form(self, row, form, n_kept):
        """Give the bars of a form after the bars to keep what it says of them."""
        bars = np.arange(n_kept, len(form))
        relation, source = form.relation[bars], form.source[bars]
        given = self.given[row, bars]
        given[:, RELATION], given[:, PHRASE] = relation, form.phrase[bars]
        given[:, DISTANCE] = np.where(source == UNKNOWN, UNKNOWN, bars - source)
        given[:, SHIFT] = np.where(relation == TRANSPOSED, fold_shift(form.shift[bars]) + MAX_SHIFT, UNKNOWN)
        self.given[row, bars] = given
        self.section[row, bars] = form.section[bars]
        self.n_formed[row] = len(form)

    def _given(self, bar, rows):
        """Return what is given of a bar, int64 (n, N_KINDS), with what follows from the bars before."""
        given = self.given[rows, bar].copy()
        composed = bar >= self.n_kept[rows]
        returns = composed & (given[:, DISTANCE] > 0)
        source = bar - np.maximum(given[:, DISTANCE], 0)
        of_source = self.rows.values[rows, source]
        silent = returns & (of_source[:, RELATION] == SILENT)
        given[silent, RELATION] = SILENT
        given[np.ix_(silent, (SAME, DISTANCE, SHIFT))] = UNKNOWN
        returns &= ~silent
        given[returns, SAME] = self.rows.is_same(bar, rows[returns], source[returns])
        like_source = returns & (given[:, RELATION] != RHYTHM) & (given[:, TIME_SIGNATURE] == UNKNOWN)
        given[like_source, TIME_SIGNATURE] = of_source[like_source, TIME_SIGNATURE]
        return given

    def _compose_bar(self, bar, active, state):
        """Compose a bar of the plans `active`, and return the new state of the network."""
        context, key, state = self.network.read(self.rows.features(bar, bar + 1, active), state)
        if bar:
            self.keys[active, bar - 1] = key[:, 0]
        context = context[:, 0]
        n = len(active)
        rows = self.rows
        before = rows.values[active, bar - 1] if bar else np.full((n, N_KINDS), UNKNOWN)
        values = np.full((n, N_KINDS), UNKNOWN)
        source = values
        all_given = self._given(bar, active)
        for kind in range(N_KINDS):
            given = all_given[:, kind]
            is_kept = (bar < self.n_kept[active]) | (given != UNKNOWN)
            values[:, kind] = given
            drawn = np.flatnonzero(~is_kept & self._is_drawn(kind, values))
            if len(drawn):
                known = context[drawn], before[drawn], values[drawn], source[drawn]
                logits, allowed = self._logits(kind, *known, bar, active[drawn])
                logits = logits.masked_fill(~torch.from_numpy(allowed), NEVER)
                probs = torch.softmax(logits / self.temperature, -1).numpy()
                chosen = draw(probs, self.draws[active[drawn], bar, kind])
                values[drawn, kind] = bar - chosen if kind == DISTANCE else chosen
            if kind == DISTANCE:
                same = np.flatnonzero(values[:, SAME] == 1)
                values[same, DISTANCE] = rows.last_distance[active[same], bar]
                embedded = np.where(values[:, SAME] == 0, distance_bin(values[:, DISTANCE]), UNKNOWN)
            else:
                if kind in OF_SOUND and self.is_composed[kind]:
                    follows = ~is_kept & ((values[:, RELATION] == EXACT) | (values[:, RELATION] == TRANSPOSED))
                    values[follows, kind] = source[follows, kind]
                embedded = values[:, kind]
            context = self.network.add(kind, context, embedded)
            if kind == SHIFT:
                at = bar - np.maximum(values[:, DISTANCE], 0)
                source = moved_values(rows.values, active, at, values)
                context = self.network.add_source(context, source)
        rows.values[active, bar] = values
        rows.finish_bar(bar, active)
        self._finish_bar(bar, active, values)
        return state

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

    def _logits(self, kind, context, before, values, source, bar, rows):
        """Return logits of the next token, and which categories are possible."""
        n = len(rows)
        bars = np.full(n, bar)
        if kind == DISTANCE:
            hints = self.rows.hints(bars, rows, bar)
            logits = self.network.distance_logits(context, self.keys[rows, :bar], bars, values[:, RELATION], hints)
            return logits, self._sources(bars, rows, values[:, RELATION])
        logits = self.network.logits(kind, context, before, values, source)
        allowed = allowed_categories(kind, self.rows, bars, rows, logits.shape[1])
        if kind == RELATION:
            others = np.full(n, EXACT)
            can_return = self._sources(bars, rows, others).any(1) | self._can_be_same(bars, rows, others)
            allowed[:, [EXACT, VARIED, TRANSPOSED]] &= can_return[:, None]
            allowed[:, SILENT] &= bar >= self.n_formed[rows]
        if kind == SAME:
            allowed[:, 0] = self._sources(bars, rows, values[:, RELATION]).any(1)
            allowed[:, 1] = self._can_be_same(bars, rows, values[:, RELATION])
        if kind == TIME_SIGNATURE:
            allowed &= self.fits_grid & self._fits_rest(bar, rows)
            allowed[np.arange(n), before[:, TIME_SIGNATURE]] = True
        return logits, allowed

    def _sources(self, bars, rows, relation):
        """Return which bars can be the source at another than the same distance, bool (n, bar).

        A bar that a form leaves open returns to its own section, but it may share the rhythm of any bar.
        """
        bar = bars[0]
        in_section = np.arange(bar) >= self.section[rows, bars][:, None]
        return self.rows.candidates(bars, rows, bar) & (in_section | (relation == RHYTHM)[:, None])

    def _can_be_same(self, bars, rows, relation):
        """Return whether bars can return at the same distance, bool (n,)."""
        source = bars - self.rows.last_distance[rows, bars]
        in_section = source >= self.section[rows, bars]
        return self.rows.can_be_same(bars, rows) & (in_section | (relation == RHYTHM))

    def _fits_rest(self, bar, rows):
        """Return which time signatures fit into the rest of the quarters with at most half a bar too much."""
        rest = self.quarters[rows] * self.steps_per_quarter - self.begin[rows, bar]
        return np.isnan(rest)[:, None] | (self.bar_steps <= 2 * rest[:, None])

    def _finish_bar(self, bar, active, values):
        """Set where the bar ends, its time signature and its register."""
        draws = self.draws[active, bar, IN_REGISTER]
        composed = active[bar >= self.n_kept[active]]
        values = values[bar >= self.n_kept[active]]
        draws = draws[bar >= self.n_kept[active]]
        if bar:
            index = values[:, TIME_SIGNATURE]
            changes = index != self.rows.values[composed, bar - 1, TIME_SIGNATURE]
            pairs = np.array(self.signatures)[index]
            self.numerator[composed, bar] = np.where(changes, pairs[:, 0], self.numerator[composed, bar - 1])
            self.denominator[composed, bar] = np.where(changes, pairs[:, 1], self.denominator[composed, bar - 1])
            steps = self.numerator[composed, bar] * 4 * self.steps_per_quarter // self.denominator[composed, bar]
            self.begin[composed, bar + 1] = self.begin[composed, bar] + steps
            self._fit_length(bar, composed[changes], steps[changes])
        register = values[:, REGISTER]
        register = np.where(
            register == UNKNOWN, UNKNOWN, register * REGISTER_SEMITONES + (draws * REGISTER_SEMITONES).astype(np.int64)
        )
        source = bar - np.maximum(values[:, DISTANCE], 0)
        relation = values[:, RELATION]
        shift = np.where(relation == TRANSPOSED, values[:, SHIFT] - MAX_SHIFT, 0)
        copied = self.register[composed, source]
        follows = ((relation == EXACT) | (relation == TRANSPOSED)) & (copied != UNKNOWN) & (register != UNKNOWN)
        self.register[composed, bar] = np.where(follows, np.clip(copied + shift, 0, HIGHEST_PITCH), register)

    def _fit_length(self, bar, rows, steps):
        """Change the number of bars where a new time signature begins, so that the length stays nearest."""
        wanted = self.quarters[rows] * self.steps_per_quarter
        has_length = np.isfinite(wanted)
        rows, steps, wanted = rows[has_length], steps[has_length], wanted[has_length]
        left = np.maximum(np.rint((wanted - self.begin[rows, bar]) / steps), 1).astype(np.int64)
        self.rows.n_bars[rows] = np.minimum(bar + left, self.rows.room)

    def _plan(self, row):
        """Return a plan as composed."""
        n = int(self.rows.n_bars[row])
        values = self.rows.values[row, :n]
        home = self.requests[row].home
        has_source = values[:, DISTANCE] > 0
        is_transposed = values[:, RELATION] == TRANSPOSED
        plan = Plan(
            begin=self.begin[row, : n + 1].copy(),
            numerator=self.numerator[row, :n].copy(),
            denominator=self.denominator[row, :n].copy(),
            relation=values[:, RELATION].copy(),
            source=np.where(has_source, np.arange(n) - values[:, DISTANCE], UNKNOWN),
            shift=np.where(is_transposed, values[:, SHIFT] - MAX_SHIFT, 0),
            key=absolute_keys(values[:, KEY], home),
            chord=absolute_keys(values[:, CHORD], home),
            density=values[:, DENSITY].copy(),
            register=self.register[row, :n].copy(),
            texture=values[:, TEXTURE].copy(),
            phrase=values[:, PHRASE].copy(),
            home=home,
            steps_per_quarter=self.steps_per_quarter,
        )
        return _with_first_bars(plan, self.requests[row])


def _with_home(plan, home):
    """Return a plan with another home key; its bars stay as they are."""
    return Plan(**{**vars(plan), "home": home})


def _with_first_bars(plan, request):
    """Return a plan that begins with exactly the bars to keep."""
    n = request.n_kept
    kept = {}
    for name in ("relation", "source", "shift", "key", "chord", "density", "register", "texture", "phrase"):
        kept[name] = np.concatenate([getattr(request.start, name)[:n], getattr(plan, name)[n:]])
    return Plan(**{**vars(plan), **kept})


assert len(RELATIONS) == SILENT + 1
