"""Plans as rows of small tokens that a planner reads and writes: one row for each bar, one column for each kind.

==============  ===============================================================================================
kind            category
==============  ===============================================================================================
time_signature  index in the planner's list of time signatures; others count as the one nearest in length
phrase          1 if a phrase starts in the bar
relation        index in `clara.form.plan.RELATIONS`
same_distance   1 if the bar returns as far back as the last bar that returned
distance        bars back to the source, unless that is the same distance
shift           semitones from the source to a transposed bar, plus `MAX_SHIFT`
key, chord      relative to the tonic of the home key: 0 to 11 major, 12 to 23 minor
density         as in the plan
register        the plan's register in steps of `REGISTER_SEMITONES`
texture         as in the plan
==============  ===============================================================================================

Nothing depends on the tonic of the home key, so all twelve keys are one. Density, register and texture of exact and
transposed bars follow from their source; they cost nothing. Of bars that are note for note the same, the source is the
one at the same distance, or else the newest.
"""

from collections.abc import Sequence

import numpy as np

from clara.errors import BadSetting
from clara.form.plan import (
    EXACT,
    MAX_DENSITY,
    MAX_TEXTURE,
    N_KEYS,
    NEW,
    RELATIONS,
    RHYTHM,
    SILENT,
    TRANSPOSED,
    UNKNOWN,
    VARIED,
    Plan,
)

KINDS = (
    "time_signature",
    "phrase",
    "relation",
    "same_distance",
    "distance",
    "shift",
    "key",
    "chord",
    "density",
    "register",
    "texture",
)
TIME_SIGNATURE, PHRASE, RELATION, SAME, DISTANCE, SHIFT, KEY, CHORD, DENSITY, REGISTER, TEXTURE = range(len(KINDS))
N_KINDS = len(KINDS)
ATTRIBUTES = ("phrase", "key", "chord", "density", "register", "texture")  # what a plan may leave open
OF_SOUND = (DENSITY, REGISTER, TEXTURE)  # follow from the source in exact and transposed bars
REGISTER_SEMITONES = 2
N_REGISTERS = 128 // REGISTER_SEMITONES
MAX_SHIFT = 60
N_SHIFTS = 2 * MAX_SHIFT + 1
MINOR, N_MODES = 12, 2  # keys from MINOR on are minor
MAX_COUNT = 16  # of bars since a phrase began and of bars at one distance
BAR_LIMITS = (*range(1, 17), 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 192, 256, 384)
DISTANCE_LIMITS = (*range(2, 17), 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256)
N_BAR_BINS, N_DISTANCE_BINS = len(BAR_LIMITS) + 1, len(DISTANCE_LIMITS) + 1
N_PLACES = 16  # of a bar in groups of so many bars, and of parts of a piece

# Sizes of the categories of each kind; the time signatures come first and depend on the planner.
SIZES = (2, len(RELATIONS), 2, N_DISTANCE_BINS, N_SHIFTS, N_KEYS, N_KEYS, MAX_DENSITY + 1, N_REGISTERS, MAX_TEXTURE + 1)
CANDIDATE_KINDS = (PHRASE, RELATION, SAME, KEY, CHORD, DENSITY, REGISTER)  # read of the bar at the same distance
RETURNS = (VARIED, TRANSPOSED, RHYTHM)  # relations of later bars to a source that make it less likely
N_HINTS = len(RETURNS) + 1


def bar_quarters(signature: tuple[int, int]) -> float:
    """Return the length of a bar in quarter notes."""
    numerator, denominator = signature
    return 4 * numerator / denominator


def kind_sizes(n_signatures: int) -> tuple[int, ...]:
    """Return the number of categories of each kind; distances are in bins."""
    return (n_signatures, *SIZES)


def feature_sizes(n_signatures: int) -> tuple[int, ...]:
    """Return the number of categories of each column of `PlanRows.features`; the last one of each is *unknown*."""
    sizes = kind_sizes(n_signatures)
    places = (N_BAR_BINS, N_BAR_BINS, N_BAR_BINS, N_PLACES, N_PLACES)
    counts = (MAX_COUNT + 1, MAX_COUNT + 1, N_DISTANCE_BINS, N_DISTANCE_BINS)
    of_piece = (N_MODES, 2, n_signatures)
    candidate = (*(sizes[kind] for kind in CANDIDATE_KINDS), *(2 for _ in RETURNS))
    return tuple(size + 1 for size in (*sizes, *places, *counts, *of_piece, *candidate))


class PlanRows:
    """Plans side by side, written bar by bar, with what a planner reads of them.

    Parameters
    ----------
    n_plans, n_bars : int
        Number of plans, and of bars that each has room for.
    signatures : sequence of (numerator, denominator)
        The planner's time signatures.

    Attributes
    ----------
    values : int64 array (n_plans, n_bars, N_KINDS)
        The category of each bar by kind, or `UNKNOWN`. Distances are in bars.
    n_bars : int64 array (n_plans,)
        Number of bars that each plan is to have.
    mode, upbeat : int64 arrays (n_plans,)
        0 for a major and 1 for a minor home key, or `UNKNOWN`; 1 if the piece begins inside a bar.
    last_distance : int64 array (n_plans, n_bars + 1)
        Distance of the last bar before each bar that has a source; 0 before there is any.
    other_distance : int64 array (n_plans, n_bars + 1)
        The distance before that.
    group, next_copy : int64 arrays (n_plans, n_bars)
        The first bar that is note for note as this one, and the next one; `n_bars` if there is none.
    next_return : int64 array (n_plans, n_bars, len(RETURNS))
        The next bar that returns to this one, by relation; `n_bars` if there is none.
    """

    def __init__(self, n_plans: int, n_bars: int, signatures: Sequence[tuple[int, int]]):
        self.n_signatures = len(signatures)
        self.values = np.full((n_plans, n_bars, N_KINDS), UNKNOWN)
        self.n_bars = np.full(n_plans, n_bars)
        self.mode, self.upbeat = np.full(n_plans, UNKNOWN), np.zeros(n_plans, dtype=np.int64)
        self.last_distance = np.zeros((n_plans, n_bars + 1), dtype=np.int64)
        self.other_distance = self.last_distance.copy()
        self.next_return = np.full((n_plans, n_bars, len(RETURNS)), n_bars)
        self.since_phrase = np.full((n_plans, n_bars + 1), UNKNOWN)
        self.run = np.zeros((n_plans, n_bars + 1), dtype=np.int64)
        self.group = np.tile(np.arange(n_bars), (n_plans, 1))
        self.next_copy = np.full((n_plans, n_bars), n_bars)
        self.newest_copy = self.group.copy()  # of each group, by its first bar
        self.has_past = np.zeros((n_plans, n_bars + 1), dtype=bool)  # whether an earlier bar has notes

    @property
    def room(self) -> int:
        """Number of bars that each plan has room for."""
        return self.values.shape[1]

    @classmethod
    def from_plans(cls, plans: Sequence[Plan], signatures: Sequence[tuple[int, int]]) -> "PlanRows":
        """Spell plans.

        Raises
        ------
        BadSetting
            If a bar returns to one that is not before it or has no notes, or a transposed bar has no interval.
        """
        rows = cls(len(plans), max(map(len, plans)), signatures)
        for row, plan in enumerate(plans):
            check_relations(plan)
            rows.n_bars[row] = len(plan)
            rows.mode[row] = UNKNOWN if plan.home == UNKNOWN else plan.home // MINOR
            rows.upbeat[row] = plan.begin[0] < 0
            rows.values[row, : len(plan)] = _spell(plan, signatures)
        for bar in range(rows.room):
            rows.finish_bar(bar)
        return rows

    def finish_bar(self, bar: int, rows: np.ndarray | slice = slice(None)) -> None:
        """Take note of a bar whose values are set: which distances are the same, and which bars are copies.

        Parameters
        ----------
        bar : int
        rows : int64 array or slice
            The plans that go on.
        """
        rows = np.arange(len(self.values))[rows]
        values = self.values[rows, bar]
        relation = values[:, RELATION]
        returns = np.flatnonzero(values[:, DISTANCE] > 0)
        row = rows[returns]
        last = self.last_distance[row, bar]
        source = bar - values[returns, DISTANCE]
        group = self.group[row, source]
        is_same = self.is_same(bar, row, source)
        distance = np.where(is_same, last, bar - self.newest_copy[row, group])
        self.values[row, bar, SAME], self.values[row, bar, DISTANCE] = is_same, distance

        self.last_distance[rows, bar + 1] = self.last_distance[rows, bar]
        self.last_distance[row, bar + 1] = distance
        self.other_distance[rows, bar + 1] = self.other_distance[rows, bar]
        self.other_distance[row, bar + 1] = np.where(is_same, self.other_distance[row, bar], last)
        for column, kind in enumerate(RETURNS):
            of_kind = relation[returns] == kind
            at = row[of_kind], (bar - distance)[of_kind], column
            self.next_return[at] = np.minimum(self.next_return[at], bar)
        self.run[rows, bar + 1] = 0
        self.run[row, bar + 1] = np.where(is_same, np.minimum(self.run[row, bar] + 1, MAX_COUNT), 1)
        known_phrase = np.where(values[:, PHRASE] == 1, 1, np.minimum(self.since_phrase[rows, bar] + 1, MAX_COUNT))
        known_phrase[(self.since_phrase[rows, bar] == UNKNOWN) & (values[:, PHRASE] != 1)] = UNKNOWN
        self.since_phrase[rows, bar + 1] = np.where(values[:, PHRASE] == UNKNOWN, UNKNOWN, known_phrase)
        has_notes = relation != SILENT
        self.has_past[rows, bar + 1] = self.has_past[rows, bar] | has_notes

        is_exact = relation[returns] == EXACT
        row, group = row[is_exact], group[is_exact]
        self.next_copy[row, self.newest_copy[row, group]] = bar
        self.group[row, bar], self.newest_copy[row, group] = group, bar

    def is_same(self, bar: int, row: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Return whether bars that return to `source` return at the same distance, bool (n,)."""
        last = self.last_distance[row, bar]
        return (last > 0) & (self.group[row, bar - last] == self.group[row, source])

    def features(self, first: int, last: int, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return what is known before each bar from `first` to before `last`, int64 (n, last - first, n_features)."""
        rows = np.arange(len(self.values))[rows]
        row, bar = rows[:, None], np.arange(first, last)[None]
        before = np.where((bar > 0)[..., None], self.values[row, np.maximum(bar - 1, 0)], UNKNOWN)
        last_distance = self.last_distance[row, bar]
        has_candidate = (last_distance > 0) & (last_distance <= bar)
        candidate = self.values[row, np.where(has_candidate, bar - last_distance, 0)][..., CANDIDATE_KINDS]
        left = np.maximum(self.n_bars[row] - bar, 1)
        columns = [before[..., kind] for kind in range(N_KINDS)]
        columns[DISTANCE] = distance_bin(before[..., DISTANCE])
        columns += [
            np.searchsorted(BAR_LIMITS, bar, "right") + 0 * row,
            np.searchsorted(BAR_LIMITS, left, "right"),
            np.searchsorted(BAR_LIMITS, self.n_bars[row], "right") + 0 * bar,
            (bar - self.upbeat[row]) % N_PLACES,
            np.minimum(bar * N_PLACES // self.n_bars[row], N_PLACES - 1),
            self.since_phrase[row, bar],
            self.run[row, bar],
            distance_bin(last_distance),
            distance_bin(self.other_distance[row, bar]),
            self.mode[row] + 0 * bar,
            self.upbeat[row] + 0 * bar,
            self.values[row, 0, TIME_SIGNATURE] + 0 * bar,
        ]
        has_returned = self.next_return[row, np.where(has_candidate, bar - last_distance, 0)] < bar[..., None]
        candidate = np.concatenate([candidate, has_returned], axis=-1)
        columns += list(np.moveaxis(np.where(has_candidate[..., None], candidate, UNKNOWN), -1, 0))
        features = np.stack(columns, axis=-1)
        return np.where(features == UNKNOWN, np.array(feature_sizes(self.n_signatures)) - 1, features)

    def can_return(self, bar: np.ndarray | int, row: np.ndarray) -> np.ndarray:
        """Return whether a bar of each plan can have a source, bool: some earlier bar must have notes."""
        return self.has_past[row, bar]

    def candidates(self, bar: np.ndarray, row: np.ndarray, n_bars: int) -> np.ndarray:
        """Return which bars can be the source at another than the same distance, bool (n, n_bars).

        Parameters
        ----------
        bar, row : int64 arrays (n,)
            The bar that returns and its plan.
        n_bars : int
            Number of first bars to look at.
        """
        earlier = np.arange(n_bars)[None]
        bar, row = bar[:, None], row[:, None]
        relation = self.values[row, earlier, RELATION]
        last = self.last_distance[row, bar]
        same_group = np.where(last > 0, self.group[row, np.maximum(bar - last, 0)], UNKNOWN)
        is_newest_copy = self.next_copy[row, earlier] >= bar
        return (earlier < bar) & (relation != SILENT) & is_newest_copy & (self.group[row, earlier] != same_group)

    def hints(self, bar: np.ndarray, row: np.ndarray, n_bars: int) -> np.ndarray:
        """Return what is known of bars as sources, bool (n, n_bars, N_HINTS).

        A later bar may have returned to the source, by each relation of `RETURNS`; and the bar before the source may be
        note for note as the bar before the one that returns.

        Parameters
        ----------
        bar, row, n_bars
            See `candidates`.
        """
        bar, row = bar[:, None], row[:, None]
        earlier = np.arange(n_bars)[None]
        goes_on = (earlier > 0) & (self.group[row, earlier - 1] == self.group[row, bar - 1])
        return np.concatenate([self.next_return[row, earlier] < bar[..., None], goes_on[..., None]], axis=-1)

    def can_be_same(self, bar: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Return whether bars can return at the same distance, bool (n,)."""
        last = self.last_distance[row, bar]
        relation = self.values[row, np.maximum(bar - last, 0), RELATION]
        return (last > 0) & (last <= bar) & (relation != SILENT)

    def spelled(self) -> np.ndarray:
        """Return which values are spelled out, bool (n_plans, n_bars, N_KINDS); the others follow or are open."""
        values = self.values
        relation = values[..., RELATION]
        inside = np.arange(self.room) < self.n_bars[:, None]
        spelled = values != UNKNOWN
        spelled[:, 0, TIME_SIGNATURE] = False  # it is drawn before the bars
        spelled[..., DISTANCE] &= values[..., SAME] == 0
        spelled[..., SHIFT] &= relation == TRANSPOSED
        spelled[..., [CHORD, *OF_SOUND]] &= (relation != SILENT)[..., None]
        spelled[..., OF_SOUND] &= ((relation != EXACT) & (relation != TRANSPOSED))[..., None]
        return spelled & inside[..., None]

    def source_values(self) -> np.ndarray:
        """Return the values of each bar's source, moved by its shift, int64 (n_plans, n_bars, N_KINDS)."""
        row, bar = np.arange(len(self.values))[:, None], np.arange(self.room)[None]
        return moved_values(self.values, row, bar - np.maximum(self.values[..., DISTANCE], 0), self.values[row, bar])


def moved_values(values: np.ndarray, row: np.ndarray, source: np.ndarray, bar_values: np.ndarray) -> np.ndarray:
    """Return the values of sources, with keys, chords and registers moved by the shift of the bars that return.

    Parameters
    ----------
    values : int64 array (n_plans, n_bars, N_KINDS)
    row, source : int64 arrays, broadcast to shape (...)
        Plan and bar of each source.
    bar_values : int64 array (..., N_KINDS)
        The values of the bars that return; without a distance, all is `UNKNOWN`.
    """
    moved = np.where((bar_values[..., DISTANCE] > 0)[..., None], values[row, source], UNKNOWN)
    shift = np.where(bar_values[..., RELATION] == TRANSPOSED, bar_values[..., SHIFT] - MAX_SHIFT, 0)
    for kind in (KEY, CHORD):
        keys = moved[..., kind]
        moved[..., kind] = np.where(keys == UNKNOWN, UNKNOWN, keys // 12 * 12 + (keys + shift) % 12)
    register = moved[..., REGISTER] + np.rint(shift / REGISTER_SEMITONES).astype(np.int64)
    moved[..., REGISTER] = np.where(moved[..., REGISTER] == UNKNOWN, UNKNOWN, np.clip(register, 0, N_REGISTERS - 1))
    return moved


def check_relations(plan: Plan) -> None:
    """Raise BadSetting for the first bar of a plan that cannot return as it says."""
    for bar, (relation, source, shift) in enumerate(zip(plan.relation, plan.source, plan.shift)):
        if relation == UNKNOWN:
            continue
        if not 0 <= relation < len(RELATIONS):
            raise BadSetting(f"bar {bar + 1}: relation {relation} is none of {', '.join(RELATIONS)}")
        if relation in (NEW, SILENT):
            continue
        name = RELATIONS[relation]
        if not 0 <= source < bar:
            raise BadSetting(f"bar {bar + 1}: {name}, but its source is not an earlier bar; name one or make it new")
        if plan.relation[source] == SILENT:
            raise BadSetting(f"bar {bar + 1}: {name}, but its source, bar {source + 1}, is silent; name another bar")
        if relation == TRANSPOSED and not 0 < abs(shift) < 128:
            raise BadSetting(f"bar {bar + 1}: transposed by {shift} semitones; give an interval, or make it exact")


def nearest_signature(signature: tuple[int, int], signatures: Sequence[tuple[int, int]]) -> int:
    """Return the index of a time signature, or of the one nearest to it in length, then in its denominator."""
    if signature in signatures:
        return list(signatures).index(signature)
    length = bar_quarters(signature)
    distances = [(abs(bar_quarters(s) - length), abs(s[1] - signature[1])) for s in signatures]
    return distances.index(min(distances))


def _spell(plan, signatures):
    """Return the values (n_bars, N_KINDS) of a plan; `PlanRows.finish_bar` sets what depends on other bars."""
    values = np.full((len(plan), N_KINDS), UNKNOWN)
    pairs = list(zip(plan.numerator.tolist(), plan.denominator.tolist()))
    index = {pair: nearest_signature(pair, signatures) for pair in set(pairs)}
    has_source = ~np.isin(plan.relation, (NEW, SILENT, UNKNOWN))
    values[:, TIME_SIGNATURE] = [index[pair] for pair in pairs]
    values[:, PHRASE] = plan.phrase
    values[:, RELATION] = plan.relation
    values[:, DISTANCE] = np.where(has_source, np.arange(len(plan)) - plan.source, UNKNOWN)
    values[:, SHIFT] = np.where(plan.relation == TRANSPOSED, fold_shift(plan.shift) + MAX_SHIFT, UNKNOWN)
    if plan.home != UNKNOWN:
        values[:, KEY] = relative_keys(plan.key, plan.home)
        values[:, CHORD] = relative_keys(plan.chord, plan.home)
    values[:, DENSITY], values[:, TEXTURE] = plan.density, plan.texture
    values[:, REGISTER] = np.where(plan.register == UNKNOWN, UNKNOWN, plan.register // REGISTER_SEMITONES)
    values[np.ix_(plan.relation == SILENT, (CHORD, *OF_SOUND))] = UNKNOWN
    return values


def relative_keys(keys: np.ndarray, home: int) -> np.ndarray:
    """Return keys or chords relative to the tonic of a home key, int64; `UNKNOWN` stays."""
    return np.where(keys == UNKNOWN, UNKNOWN, keys // 12 * 12 + (keys - home) % 12)


def absolute_keys(keys: np.ndarray, home: int) -> np.ndarray:
    """Undo `relative_keys`."""
    return np.where(keys == UNKNOWN, UNKNOWN, keys // 12 * 12 + (keys + home) % 12)


def fold_shift(shift):
    """Return intervals moved by octaves until they are at most `MAX_SHIFT`."""
    octaves = np.ceil(np.maximum(np.abs(shift) - MAX_SHIFT, 0) / 12).astype(np.int64)
    return shift - np.sign(shift) * 12 * octaves


def distance_bin(distance):
    """Return the bin of each distance in bars; `UNKNOWN` for 0 and below."""
    return np.where(distance > 0, np.searchsorted(DISTANCE_LIMITS, distance, "right"), UNKNOWN)
