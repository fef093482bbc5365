"""Find beats, bars, tempo and places on the grid of music that is heard: onsets in seconds, nothing else.

A network reads the notes (see `clara.listening.network`), and two searches find beats and bars that agree with it (see
`clara.listening.beat_path` and `clara.listening.bars`). A beat is a quarter, or a dotted quarter in compound time: 3/8,
6/8, 9/8 and 12/8. Whole pieces are simple or compound. Five and more beats in a bar are not known.
"""

from dataclasses import dataclass, replace

import numpy as np

from clara.listening.bars import BAR_BEATS, SILENT_DOWNBEAT, find_bars
from clara.listening.beat_path import BeatPath, PathCosts, find_beat_path
from clara.listening.clusters import Clusters, HeardNotes, find_clusters
from clara.listening.features import describe_clusters
from clara.listening.network import (
    N_PERIODS,
    N_PLACES,
    PERIODS_PER_OCTAVE,
    SHORTEST_PERIOD_SECONDS,
    BeatModel,
    Readings,
    shipped_beats,
)
from clara.listening.truth import COMPOUND_STEPS, SIMPLE_STEPS, STEPS_PER_QUARTER

MAX_PASSAGE = 8192  # clusters that are searched at once; longer music is cut at a rest
MIN_PASSAGE = 4096
DEFAULT_PERIOD_SECONDS = 0.6  # of music with a single onset
# A network needs context. Fewer clusters than the first number are heard with a fixed expectation, in which most notes
# are on beats, more than the second with the network; between them the log-probabilities are mixed.
SHORT, LONG = 12, 32
EXPECTED_PERIOD_SECONDS, PERIOD_OCTAVES = 0.62, 0.4  # mean and standard deviation
EXPECTED_SHARES = {0: 0.7, 6: 0.06, 3: 0.003, 9: 0.003, 4: 0.003, 8: 0.003}  # of steps of a simple beat
EXPECTED_COMPOUND_SHARES = {0: 0.06, 6: 0.01, 12: 0.02, 9: 0.01}
RARE_SHARE = 0.0003
# A few even notes are beats: the share of a period by which they miss them at most, and as a standard deviation.
MAX_EVEN_DISTANCE, MAX_EVEN_DEVIATION, MIN_EVEN = 0.35, 0.17, 4
EVEN_PERIOD_SECONDS, EVEN_OCTAVES, NEVER = (0.33, 1.1), 0.1, 1e-9
SHORT_COSTS = PathCosts(onset_seconds=0.03, tempo_seconds=0.06, missed=2.0)  # jitter is all the more likely


@dataclass(frozen=True, eq=False)
class HeardBeats:
    """Beats of music, and where its notes stand.

    Step 0 is the last beat that is not after the first note.

    Attributes
    ----------
    note_steps : int64 array (n_notes,)
        Where notes begin, in twelfths of a quarter.
    beat_seconds : float64 array (m,)
        The last beat is not before the end of the last note.
    beat_steps : int64 array (m,)
        12 or 18 apart; the first is 0.
    is_downbeat : bool array (m,)
    time_signatures : tuple of (step, numerator, denominator)
        As of a `NoteSequence` with 12 steps per quarter.
    """

    note_steps: np.ndarray
    beat_seconds: np.ndarray
    beat_steps: np.ndarray
    is_downbeat: np.ndarray
    time_signatures: tuple

    @property
    def beat_qpm(self) -> np.ndarray:
        """Tempo of each beat but the last in quarters per minute, float64 (m - 1,)."""
        return np.diff(self.beat_steps) / STEPS_PER_QUARTER * 60 / np.diff(self.beat_seconds)

    def quarters_at(self, seconds: np.ndarray) -> np.ndarray:
        """Return places in quarters of times in seconds, float64 array as `seconds`."""
        return np.interp(seconds, self.beat_seconds, self.beat_steps / STEPS_PER_QUARTER)


def track_beats(notes: HeardNotes, model: BeatModel | None = None) -> HeardBeats:
    """Find the beats of music.

    The result depends on the notes only. Time and memory grow in proportion to their number.

    Parameters
    ----------
    notes : HeardNotes, not empty
    model : BeatModel, optional
        (default: the one that comes with Clara)

    Raises
    ------
    MissingModel, CheckpointMismatch
        If the model that comes with Clara cannot be loaded.
    """
    clusters = find_clusters(notes)
    readings = (model or shipped_beats()).network.read(describe_clusters(notes, clusters))
    costs = SHORT_COSTS if len(clusters) < SHORT else PathCosts()
    readings = _mix_expectation(readings, _even_period(clusters.seconds))
    simple, compound = (_Division(clusters, readings, is_compound, costs) for is_compound in (False, True))
    return (compound if compound.score > simple.score else simple).beats(notes, clusters)


def _even_period(seconds: np.ndarray) -> float | None:
    """Return the period of a few even notes in seconds, or None if they are many or uneven."""
    if not MIN_EVEN <= len(seconds) < SHORT:
        return None
    number = np.arange(len(seconds))
    period, first = np.polyfit(number, seconds, 1)
    distance = np.abs(seconds - first - number * period) / period
    is_even = distance.max() <= MAX_EVEN_DISTANCE and np.sqrt((distance**2).mean()) <= MAX_EVEN_DEVIATION
    return float(period) if is_even and EVEN_PERIOD_SECONDS[0] <= period <= EVEN_PERIOD_SECONDS[1] else None


def _mix_expectation(readings: Readings, even_period: float | None) -> Readings:
    """Return readings of short music in which the fixed expectation of steps and periods has its weight."""
    n = len(readings.place)
    weight = min(max((n - SHORT) / (LONG - SHORT), 0.0), 1.0)
    if weight == 1:
        return readings
    shares = np.full(N_PLACES, RARE_SHARE)
    shares[list(EXPECTED_SHARES)] = list(EXPECTED_SHARES.values())
    shares[[SIMPLE_STEPS + step for step in EXPECTED_COMPOUND_SHARES]] = list(EXPECTED_COMPOUND_SHARES.values())
    expected, deviation = EXPECTED_PERIOD_SECONDS, PERIOD_OCTAVES
    if even_period is not None:
        shares[1:], expected, deviation = NEVER, even_period, EVEN_OCTAVES
    octaves = (np.arange(N_PERIODS) + 0.5) / PERIODS_PER_OCTAVE - np.log2(expected / SHORTEST_PERIOD_SECONDS)
    return replace(
        readings,
        place=weight * readings.place + (1 - weight) * np.log(shares / shares.sum()),
        period=weight * readings.period - (1 - weight) * 0.5 * (octaves / deviation) ** 2,
    )


class _Division:
    """The best beats and bars if all beats are simple, or all compound."""

    def __init__(self, clusters: Clusters, readings: Readings, is_compound: bool, costs: PathCosts):
        self.is_compound = is_compound
        self.n_steps = COMPOUND_STEPS if is_compound else SIMPLE_STEPS
        place = readings.place[:, SIMPLE_STEPS:] if is_compound else readings.place[:, :SIMPLE_STEPS]
        self.knot_seconds, self.knot_beats, self.steps, cost = _join_passages(clusters, place, readings.period, costs)
        self.score = -cost
        self._find_bars(readings)

    def _find_bars(self, readings):
        """Find bars from the first beat not after the first cluster to the beat of the last one."""
        self.first_beat = int(np.floor(self.steps.min() / self.n_steps))
        beat = self.steps // self.n_steps - self.first_beat
        n_beats = int(beat.max()) + 1
        downbeat = np.full(n_beats, np.log(SILENT_DOWNBEAT))
        no_downbeat = np.full(n_beats, np.log(1 - SILENT_DOWNBEAT))
        on_beat = np.flatnonzero(self.steps % self.n_steps == 0)[::-1]  # of several the first counts
        downbeat[beat[on_beat]] = readings.downbeat[on_beat]
        no_downbeat[beat[on_beat]] = readings.no_downbeat[on_beat]
        count = np.bincount(beat, minlength=n_beats)
        bar = np.stack([np.bincount(beat, column, minlength=n_beats) for column in readings.bar.T], axis=1)
        bar = bar / np.maximum(count, 1)[:, None]
        self.place, self.length, _ = find_bars(downbeat, no_downbeat, bar, BAR_BEATS[self.is_compound])

    def beats(self, notes: HeardNotes, clusters: Clusters) -> HeardBeats:
        """Return beats and bars from the first note to the end of the last."""
        ends_at = float(notes.end.max())
        last_period = self._seconds_at(np.array([self.knot_beats[-1], self.knot_beats[-1] + 1.0]))
        n_after = max(0, int(np.ceil((ends_at - last_period[0]) / np.diff(last_period)[0] - 1e-9)))
        last_beat = max(self.first_beat + len(self.place), int(self.knot_beats[-1]) + n_after)
        numbers = np.arange(self.first_beat, last_beat + 1)
        place, length = self._extend_bars(len(numbers))
        steps_per_beat = self.n_steps  # in twelfths of a quarter, both divisions
        return HeardBeats(
            (self.steps - self.first_beat * self.n_steps)[clusters.cluster_of_note],
            self._seconds_at(numbers.astype(float)),
            np.arange(len(numbers)) * steps_per_beat,
            place == 0,
            self._time_signatures(place, length),
        )

    def _extend_bars(self, n_beats):
        """Return places in bars and lengths of bars of more beats: bars go on as they are."""
        place, length = self.place[:n_beats], self.length[:n_beats]
        more = np.arange(1, n_beats - len(place) + 1)
        return np.append(place, (place[-1] + more) % length[-1]), np.append(length, np.full(len(more), length[-1]))

    def _time_signatures(self, place, length):
        """Return time signatures; the first bar may have begun before step 0."""
        signatures = []
        begins = np.flatnonzero((place == 0) | (np.arange(len(place)) == 0))
        ends = np.append(begins[1:], begins[-1] + length[begins[-1]] - place[begins[-1]])
        for beat, end in zip(begins.tolist(), ends.tolist()):
            n = int(end - beat + place[beat])  # a bar may break off
            signature = (3 * n, 8) if self.is_compound else (n, 4)
            if not signatures or signatures[-1][1:] != signature:
                signatures.append(((beat - int(place[beat])) * self.n_steps, *signature))
        return tuple(signatures)

    def _seconds_at(self, beats):
        """Return the times of beats, whole or not; before the first knot and after the last the tempo goes on."""
        knots, seconds = self.knot_beats, self.knot_seconds
        if len(knots) == 1:
            return seconds[0] + (beats - knots[0]) * DEFAULT_PERIOD_SECONDS
        first, last = ((seconds[i + 1] - seconds[i]) / (knots[i + 1] - knots[i]) for i in (0, len(knots) - 2))
        times = np.interp(beats, knots, seconds)
        return times + np.minimum(beats - knots[0], 0) * first + np.maximum(beats - knots[-1], 0) * last


def _join_passages(clusters, place, period, costs):
    """Return knots in seconds and beats, the step of each cluster, and the cost; passages follow after whole beats."""
    n_steps = place.shape[1]
    knot_seconds, knot_beats, steps, cost = [], [], [], 0.0
    for begin, end in _passages(clusters.seconds):
        seconds = clusters.seconds[begin:end]
        path = _find_path(seconds, place[begin:end], period[begin:end], costs)
        first = 0
        if knot_beats:
            at, beats = knot_seconds[-1], knot_beats[-1]
            last_period = (at[-1] - at[-2]) / (beats[-1] - beats[-2]) if len(at) > 1 else DEFAULT_PERIOD_SECONDS
            rest = int(np.rint((seconds[path.knots[0]] - at[-1]) / last_period))
            after_last = (int(steps[-1].max()) - int(path.steps.min())) // n_steps + 1
            first = max(int(beats[-1]) + rest, after_last)
        knot_seconds.append(seconds[path.knots])
        knot_beats.append(path.knot_beats + first)
        steps.append(path.steps + first * n_steps)
        cost += path.cost
    return np.concatenate(knot_seconds), np.concatenate(knot_beats), np.concatenate(steps), cost


def _find_path(seconds, place, period, costs):
    """Return the best path; a single cluster stands on a beat."""
    if len(seconds) == 1 or seconds[-1] - seconds[0] < 0.2:
        zero = np.zeros(1, dtype=np.int64)
        steps = np.minimum(np.arange(len(seconds)), 3)
        return BeatPath(zero, zero, steps, float(-place[0, 0]))
    return find_beat_path(seconds, place, period, costs)


def _passages(seconds):
    """Return begins and ends of passages of at most `MAX_PASSAGE` clusters, cut at the longest rest that is allowed."""
    begin, passages = 0, []
    while len(seconds) - begin > MAX_PASSAGE:
        gaps = np.diff(seconds[begin + MIN_PASSAGE - 1 : begin + MAX_PASSAGE])
        end = begin + MIN_PASSAGE + int(gaps.argmax())
        passages.append((begin, end))
        begin = end
    return [*passages, (begin, len(seconds))]
