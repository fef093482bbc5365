"""Find the most probable beats of clusters of notes by dynamic programming.

A segment leads from one cluster on a beat to a later one, over one beat or over several whose inner beats nobody
strikes. Its period is constant. Clusters inside stand on steps of the grid; each costs the squared distance from its
step and how little the network believes in that step. A change of the period from one segment to the next costs, too.
Costs are in nats, above those of the best step and period of each cluster. This is the beat tracking of Ellis ("Beat
Tracking by Dynamic Programming", 2007) with the period as a second part of the state.
"""

from dataclasses import astuple, dataclass

import numpy as np

from clara.jit import compiled, float64_1d, float64_2d, int64_1d

MAX_AHEAD = 64  # clusters of a segment
MAX_BEATS = 8  # of a segment
MAX_KEPT = 32  # segments that begin at one cluster
ALLOWED_COST, ALLOWED_COST_PER_CLUSTER = 9.0, 2.5  # of a segment, in nats
ALLOWED_PERIOD_COST = 5.0
START_SECONDS, END_SECONDS = 3.0, 3.0  # the first and last knots are at most so far from the first and last clusters
MAX_UPBEAT_BEATS, LONG_UPBEAT_COST = 4.2, 3.0
SEGMENT_SECONDS = 4.5  # longest segment without a rest
SHORTEST, LONGEST = 0.15, 2.8  # period in seconds
INFINITE = 1e18


@dataclass(frozen=True)
class PathCosts:
    """Weights of the costs.

    Attributes
    ----------
    onset_seconds, onset_share : float
        Standard deviation of onsets: seconds, and a share of the period.
    tempo, tempo_seconds : float
        Change of the log period that is usual from one segment to the next, and how much jitter in seconds adds to it.
    tempo_weight : float
        Weight of a change of the period.
    period : float
        Weight of what the network says about the period.
    missed : float
        Of a beat on which nothing begins.
    same_step : float
        Of a cluster on the step of the cluster before it.
    same_step_seconds : float
        Clusters farther apart stand on different steps.
    jump : float
        Of a rest that is longer than a segment.
    """

    onset_seconds: float = 0.012
    onset_share: float = 0.025
    tempo: float = 0.08
    tempo_seconds: float = 0.02
    tempo_weight: float = 2.0
    period: float = 0.3
    missed: float = 0.7
    same_step: float = 2.0
    same_step_seconds: float = 0.1
    jump: float = 5.0


@dataclass(frozen=True, eq=False)
class BeatPath:
    """Beats of clusters.

    Attributes
    ----------
    knots : int64 array (m,)
        Clusters on beats, between which beats are equally long.
    knot_beats : int64 array (m,)
        Number of the beat at each knot; the first is 0.
    steps : int64 array (n,)
        Step of each cluster from beat 0 on; below 0 before it.
    cost : float
        In nats, of the best alternatives of each cluster and of what departs from them.
    """

    knots: np.ndarray
    knot_beats: np.ndarray
    steps: np.ndarray
    cost: float


def find_beat_path(
    seconds: np.ndarray, place: np.ndarray, period: np.ndarray, costs: PathCosts = PathCosts()
) -> BeatPath:
    """Return the path of least cost.

    Parameters
    ----------
    seconds : float64 array (n,), n > 1
        Ascending.
    place : float64 array (n, n_steps)
        Log-probability of each step of a beat.
    period : float64 array (n, n_periods)
        Log-probability of each class of the period.
    costs : PathCosts
    """
    best = place.max(1).sum() + costs.period * period.max(1).sum()
    music = _Music(
        np.ascontiguousarray(seconds),
        np.ascontiguousarray(place.max(1)[:, None] - place),
        np.ascontiguousarray(costs.period * (period.max(1)[:, None] - period)),
        np.array(astuple(costs)),
    )
    segments = _find_segments(music, costs)
    back, n_beats, period_of, cost = _search(segments, costs, music.seconds)
    path = _read_back(back)
    knots = np.append(segments.begin[path], segments.end[path[-1]])
    beats = np.append(0, np.cumsum(n_beats[path]))
    return BeatPath(knots, beats, _place_all(music, knots, beats, period_of[path]), cost - float(best))


class _Music:
    """Clusters and the costs of their steps and periods."""

    def __init__(self, seconds, place_cost, period_cost, weights):
        self.seconds, self.place_cost, self.period_cost, self.weights = seconds, place_cost, period_cost, weights

    def place(self, begin, end, knot, period, n_beats, limit, steps=None):
        """Return the cost of placing the clusters of each range on a grid from a knot on, float64 (m,)."""
        cost = np.zeros(len(begin))
        steps = np.zeros(len(self.seconds), dtype=np.int64) if steps is None else steps
        columns = (np.ascontiguousarray(c, dtype=np.int64) for c in (begin, end, knot, n_beats))
        periods, limits = (np.ascontiguousarray(c, dtype=np.float64) for c in (period, limit))
        _place_clusters(
            self.seconds, self.place_cost, self.period_cost, self.weights, *columns, periods, limits, cost, steps
        )
        return cost


@dataclass(frozen=True, eq=False)
class _Segments:
    """Segments sorted by begin; those over a long rest have 0 beats until the tempo before it is known.

    `start` and `stop` are what it costs to begin the music before a segment, or to end it after it.
    """

    begin: np.ndarray
    end: np.ndarray
    beats: np.ndarray
    cost: np.ndarray
    start: np.ndarray
    stop: np.ndarray


def _find_segments(music, costs):
    """Return the segments that are worth a look."""
    seconds, n = music.seconds, len(music.seconds)
    begin, end, beats = _list_candidates(music, costs)
    limit = ALLOWED_COST + ALLOWED_COST_PER_CLUSTER * (end - begin)
    missed = costs.missed * (beats - 1)
    period = (seconds[end] - seconds[begin]) / beats
    cost = missed + music.place(begin, end, begin, period, beats, limit - missed)
    kept = _keep_best(begin, cost / (1 + end - begin), cost < limit)
    begin, end, beats, cost = begin[kept], end[kept], beats[kept], cost[kept]
    alone = np.setdiff1d(np.arange(n - 1), begin)  # nothing fits after them: a rest
    next_knot = np.minimum(np.maximum(np.searchsorted(seconds, seconds[alone] + SHORTEST), alone + 1), n - 1)
    begin, end = np.append(begin, alone), np.append(end, next_knot)
    beats = np.append(beats, np.zeros(len(alone), dtype=np.int64))
    cost = np.append(cost, costs.jump + ALLOWED_COST_PER_CLUSTER * (next_knot - alone))
    order = np.lexsort((end, begin))
    begin, end, beats, cost = begin[order], end[order], beats[order], cost[order]
    period = (seconds[end] - seconds[begin]) / np.maximum(beats, 1)
    return _Segments(begin, end, beats, cost, *_margins(music, begin, end, period, beats > 0))


def _list_candidates(music, costs):
    """Return begins, ends and beats of all segments with plausible periods."""
    seconds, n = music.seconds, len(music.seconds)
    begins, ends, all_beats = [], [], []
    for ahead in range(1, min(MAX_AHEAD, n - 1) + 1):
        span = seconds[ahead:] - seconds[:-ahead]
        near = np.flatnonzero((span >= SHORTEST) & (span <= SEGMENT_SECONDS))
        if not len(near):
            continue
        for n_beats in range(1, MAX_BEATS + 1):
            period = span[near] / n_beats
            begin = near[(period >= SHORTEST) & (period <= LONGEST)]
            begins.append(begin)
            ends.append(begin + ahead)
            all_beats.append(np.full(len(begin), n_beats))
    empty = np.zeros(0, dtype=np.int64)
    begin, end, beats = (np.concatenate([empty, *parts]) for parts in (begins, ends, all_beats))
    period_cost = _period_costs(music.period_cost, begin, (seconds[end] - seconds[begin]) / beats)
    likely = period_cost <= ALLOWED_PERIOD_COST * costs.period
    likely &= music.place_cost[end, 0] <= ALLOWED_COST + ALLOWED_COST_PER_CLUSTER * (end - begin)
    return begin[likely], end[likely], beats[likely]


def _period_costs(period_cost, cluster, period):
    """Return the costs of periods at clusters, float64 (m,)."""
    at = np.clip(np.log2(period / 0.2) * 6 - 0.5, 0, period_cost.shape[1] - 1.000001)
    low = at.astype(np.int64)
    return (low + 1 - at) * period_cost[cluster, low] + (at - low) * period_cost[cluster, low + 1]


def _keep_best(begin, cost, is_allowed):
    """Return the indices of the `MAX_KEPT` cheapest of each begin among those that are allowed."""
    allowed = np.flatnonzero(is_allowed)
    order = allowed[np.lexsort((cost[allowed], begin[allowed]))]
    first = np.searchsorted(begin[order], begin[order])
    return order[np.arange(len(order)) - first < MAX_KEPT]


def _margins(music, begin, end, period, is_known):
    """Return what it costs to begin the music before segments and to end it after them; infinite far from its ends."""
    seconds, n = music.seconds, len(music.seconds)
    start, stop = np.full(len(begin), INFINITE), np.full(len(begin), INFINITE)
    upbeat = seconds[begin] - seconds[0]
    first = np.flatnonzero((upbeat <= START_SECONDS) & (begin < MAX_AHEAD) & (is_known | (begin == 0)))
    zero = np.zeros(len(first), dtype=np.int64)
    start[first] = music.place(zero, begin[first], begin[first], period[first], zero, zero + INFINITE)
    start[first] += LONG_UPBEAT_COST * (upbeat[first] > MAX_UPBEAT_BEATS * period[first])
    left = seconds[-1] - seconds[end]
    last = np.flatnonzero((left <= END_SECONDS) & (end >= n - MAX_AHEAD) & (is_known | (end == n - 1)))
    zero = np.zeros(len(last), dtype=np.int64)
    stop[last] = music.place(end[last], zero + n, end[last], period[last], zero, zero + INFINITE)
    return start, stop


def _search(segments, costs, seconds):
    """Return the segment before each one (-1: none; the last entry is the end), beats, periods and the least cost."""
    n = len(segments.begin)
    back, beats = np.full(n + 1, -1, dtype=np.int64), segments.beats.copy()
    period = (seconds[segments.end] - seconds[segments.begin]) / np.maximum(beats, 1)
    total = np.zeros(n)
    tempo = np.array([costs.tempo, costs.tempo_seconds, costs.tempo_weight])
    _find_predecessors(
        segments.begin, segments.end, beats, period, segments.cost, segments.start, tempo, seconds, total, back
    )
    back[n] = int((total + segments.stop).argmin())
    return back, beats, period, float((total + segments.stop).min())


def _read_back(back):
    """Return the segments of the best path in their order."""
    path = [int(back[-1])]
    while back[path[-1]] >= 0:
        path.append(int(back[path[-1]]))
    return np.array(path[::-1])


def _place_all(music, knots, beats, period):
    """Return the step of each cluster on the best path, int64 (n,)."""
    n, n_steps = music.place_cost.shape
    steps = np.zeros(n, dtype=np.int64)
    begin, end = np.append(0, knots), np.append(knots, n)
    knot, periods = np.append(knots[0], knots), np.concatenate([period[:1], period, period[-1:]])
    n_beats = np.concatenate([[0], np.diff(beats), [0]])
    music.place(begin, end, knot, periods, n_beats, np.full(len(begin), INFINITE), steps)
    first_step = np.repeat(np.append(0, beats) * n_steps, end - begin)
    return steps + first_step


@compiled(
    float64_1d,
    float64_2d,
    float64_2d,
    float64_1d,
    int64_1d,
    int64_1d,
    int64_1d,
    int64_1d,
    float64_1d,
    float64_1d,
    float64_1d,
    int64_1d,
)
def _place_clusters(
    seconds, place_cost, period_cost, weights, begins, ends, knots, beats, periods, limits, costs, steps
):
    """Place clusters begin to end - 1 of each range on the steps of a grid with a period, from a knot on.

    Writes the costs of ranges, infinite above their limits, and the steps of clusters from the knot on. A range with
    beats ends at a cluster that is so many beats after the knot.
    """
    n_steps, n_periods = place_cost.shape[1], period_cost.shape[1]
    onset_seconds, onset_share, same_step, same_seconds = weights[0], weights[1], weights[7], weights[8]
    for m in range(len(begins)):
        begin, end, knot, n_beats, period = begins[m], ends[m], knots[m], beats[m], periods[m]
        step_seconds = period / n_steps
        deviation = (onset_seconds + onset_share * period) / step_seconds
        at = min(max(np.log2(period / 0.2) * 6 - 0.5, 0.0), n_periods - 1.000001)
        low = int(at)
        high_share = at - low
        last_place = n_beats * n_steps
        cost = 0.0
        last_step = -1_000_000_000
        for k in range(begin, end):
            exact = (seconds[k] - seconds[knot]) / step_seconds
            near = int(np.floor(exact + 0.5))
            best, best_step = 1e18, max(near, last_step)
            for step in range(near - 3, near + 4):
                if step < last_step or (k == knot and step != 0):
                    continue
                if n_beats > 0 and (step < 0 or step > last_place):
                    continue
                one = 0.5 * ((exact - step) / deviation) ** 2 + place_cost[k, step % n_steps]
                if step == last_step:
                    if seconds[k] - seconds[k - 1] > same_seconds:
                        continue
                    one += same_step
                if n_beats > 0 and step == last_place:
                    if seconds[end] - seconds[k] > same_seconds:
                        continue
                    one += same_step
                if one < best:
                    best, best_step = one, step
            cost += best + (1 - high_share) * period_cost[k, low] + high_share * period_cost[k, low + 1]
            if cost > limits[m]:
                cost = 1e18
                break
            last_step = best_step
            steps[k] = best_step
        costs[m] = cost


@compiled(
    int64_1d,
    int64_1d,
    int64_1d,
    float64_1d,
    float64_1d,
    float64_1d,
    float64_1d,
    float64_1d,
    float64_1d,
    int64_1d,
)
def _find_predecessors(begin, end, beats, period, cost, start, tempo, seconds, total, back):
    """Write the least cost up to the end of each segment, and the segment before it; set beats over long rests."""
    head = np.full(len(seconds), -1)
    following = np.full(len(begin), -1)
    for s in range(len(begin)):
        if beats[s] == 0:
            at, least = -1, 1e18
            q = head[begin[s]]
            while q >= 0:
                if total[q] < least:
                    at, least = q, total[q]
                q = following[q]
            usual = period[at] if at >= 0 else 0.6
            beats[s] = max(1, int(np.floor(period[s] / usual + 0.5)))
            period[s] /= beats[s]
        best, best_q = start[s], -1
        q = head[begin[s]]
        while q >= 0:
            spread = tempo[0] + tempo[1] / min(period[s], period[q])
            change = np.log(period[s] / period[q]) / spread
            value = total[q] + 2 * tempo[2] * np.log1p(0.5 * change * change)
            if value < best:
                best, best_q = value, q
            q = following[q]
        total[s], back[s] = best + cost[s], best_q
        if best < 1e17:
            following[s] = head[end[s]]
            head[end[s]] = s
