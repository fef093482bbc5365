"""Follow a plan token by token: the place in the bar, and what the bar returned to did at this place.

A bar that returns to an earlier one offers the next event of that bar as a candidate for the next token, transposed if
the plan says so: the first release or press after the current place and token that is possible now, or a wait until it
is due. Across the barline the offer comes from the source of the next bar.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from clara.form.plan import RHYTHM, SILENT, Plan
from clara.jit import compiled, int32_2d, int32_3d, int64, int64_1d, int64_2d, int64_3d, uint8_2d
from clara.repeats.outer_voices import VoiceTokens

# columns of what `PlanFollower` reports after each token
BAR, PLACE, OFFER, FOLLOWED, ONSET_WAIT, ONSET_NOW = range(6)
N_REPORTS = 6
NONE = -1
# columns of the state of a text; the last ones count items and notes of this bar, see `clara.form.returns`
CLOCK, LAST_CODE, N_EVENTS, OFFERED, N_FOLLOWED, CURRENT_BAR, N_KEPT, N_ADDED, N_SAME, N_PRESSED = range(10)
N_STATES = 10
TEXT_ARRAYS = (
    "begin",
    "n_bars",
    "source",
    "shift",
    "relation",
    "past",
    "first_event",
    "sounding",
    "state",
    "reports",
)
INITIAL_ROOM = 1024  # events that a text can grow by before its array is enlarged
RELEASE, PRESS, WAIT, OTHER = range(4)  # kinds of tokens


@dataclass(frozen=True)
class TokenEvents:
    """What each token of a notewise vocabulary does.

    Attributes
    ----------
    kind, value : int64 arrays (vocab_sz,)
        `RELEASE` or `PRESS` and the tone, `WAIT` and the steps, or `OTHER`.
    tokens : int64 array (2, n_tones)
        Id of the token that releases and that presses each tone.
    waits : int64 array (longest wait + 1,)
        Id of the token that waits so many steps.
    n_keys : int
        Number of tones of each part.
    """

    kind: np.ndarray
    value: np.ndarray
    tokens: np.ndarray
    waits: np.ndarray
    n_keys: int

    @classmethod
    def from_voice_tokens(cls, voices: VoiceTokens) -> "TokenEvents":
        """Return the events of a vocabulary."""
        kind = np.full(len(voices.tone), OTHER)
        has_tone = voices.tone >= 0
        kind[has_tone] = np.where(voices.is_start[has_tone], PRESS, RELEASE)
        kind[voices.steps > 0] = WAIT
        value = np.where(has_tone, voices.tone, voices.steps)
        tokens = np.full((2, len(voices.start_token)), -1)
        tokens[PRESS] = voices.start_token
        releases = np.flatnonzero(kind == RELEASE)
        tokens[RELEASE, value[releases]] = releases
        return cls(kind, value, tokens, voices.wait_token, voices.n_keys)


class PlanFollower:
    """Follows the plans of texts that are written side by side, token by token.

    Parameters
    ----------
    events : TokenEvents
    plans : sequence of n Plans
        The plan of each text, from its beginning.

    Attributes
    ----------
    reports : int64 array (n, N_REPORTS)
        After the newest token of each text: `BAR`, the number of the bar; `PLACE`, the steps from its barline; `OFFER`,
        the token that its source does next, or `NONE`; `FOLLOWED`, how many tokens in a row were as offered;
        `ONSET_WAIT`, the steps until notes begin in the source after this step, or `NONE`; `ONSET_NOW`, 1 if notes
        begin in the source at this step.
    """

    def __init__(self, events: TokenEvents, plans: Sequence[Plan]):
        n, n_bars = len(plans), max(map(len, plans))
        self.events = events
        self.begin = np.stack([np.pad(plan.begin, (0, n_bars - len(plan)), mode="edge") for plan in plans])
        self.n_bars = np.array([len(plan) for plan in plans])
        self.source, self.shift = np.full((2, n, n_bars), NONE)
        self.relation = np.full((n, n_bars), NONE)
        for row, plan in enumerate(plans):
            self.relation[row, : len(plan)] = plan.relation
            self.source[row, : len(plan)] = np.where(plan.relation == SILENT, NONE, plan.source)
            self.shift[row, : len(plan)] = plan.shift
        self.past = np.zeros((n, 2, INITIAL_ROOM), dtype=np.int32)  # step and code of each release and press
        self.first_event = np.zeros((n, n_bars + 1), dtype=np.int32)  # of each bar that has begun
        self.sounding = np.zeros((n, events.tokens.shape[1]), dtype=np.uint8)
        self.state = np.zeros((n, N_STATES), dtype=np.int64)
        self.state[:, [LAST_CODE, OFFERED]] = NONE
        self.reports = np.zeros((n, N_REPORTS), dtype=np.int64)
        self.reports[:, OFFER] = NONE

    def append(self, ids: np.ndarray) -> None:
        """Append one token to each text: int64 array (n,)."""
        self.reports = self.append_many(ids[:, None])[:, 0]

    def append_many(self, ids: np.ndarray) -> np.ndarray:
        """Append m tokens to each text, int64 array (n, m), and return the reports after each, (n, m, N_REPORTS)."""
        needed = int(self.state[:, N_EVENTS].max()) + ids.shape[1]
        if needed > self.past.shape[2]:
            self.past = np.pad(self.past, ((0, 0), (0, 0), (0, needed)))
        reports = np.zeros((*ids.shape, N_REPORTS), dtype=np.int64)
        _follow(
            np.ascontiguousarray(ids, dtype=np.int64),
            self.begin,
            self.n_bars,
            self.source,
            self.shift,
            self.relation,
            self.past,
            self.first_event,
            self.sounding,
            self.state,
            self.events.kind,
            self.events.value,
            self.events.tokens,
            self.events.waits,
            self.events.n_keys,
            reports,
        )
        if ids.shape[1]:
            self.reports = reports[:, -1].copy()
        return reports

    def steps_to_last_bar(self) -> np.ndarray:
        """Return the steps from now to the last barline before the end of each text; below 0 after it, int64 (n,)."""
        last = self.begin[np.arange(len(self.n_bars)), self.n_bars - 1]
        return last - self.state[:, CLOCK]

    def last_codes(self) -> np.ndarray:
        """Return the place of the newest token in the order of its step, int64 (n,); -1 after a wait.

        Releases come first, with the number of their tone, then presses, with the number of tones more.
        """
        return np.ascontiguousarray(self.state[:, LAST_CODE])

    def is_opening(self) -> np.ndarray:
        """Return whether each text has no notes yet but those that begin now, bool (n,)."""
        return (self.state[:, N_EVENTS] == 0) | (self.past[:, 0, 0] == self.state[:, CLOCK])

    def catch_up(self, row: int, ids: np.ndarray) -> None:
        """Append many tokens, int64 array (m,), to one text."""
        one = copy(self)
        for name in TEXT_ARRAYS:
            setattr(one, name, getattr(self, name)[row : row + 1])
        one.append_many(np.asarray(ids)[None])
        if one.past.shape[2] > self.past.shape[2]:
            self.past = np.pad(self.past, ((0, 0), (0, 0), (0, one.past.shape[2] - self.past.shape[2])))
        for name in TEXT_ARRAYS:
            getattr(self, name)[row] = getattr(one, name)[0]

    def take(self, rows: np.ndarray) -> None:
        """Keep only the texts `rows`, an int64 array that may name a text more than once."""
        for name in TEXT_ARRAYS:
            setattr(self, name, getattr(self, name)[rows])


@compiled(
    int64_2d,
    int64_2d,
    int64_1d,
    int64_2d,
    int64_2d,
    int64_2d,
    int32_3d,
    int32_2d,
    uint8_2d,
    int64_2d,
    int64_1d,
    int64_1d,
    int64_2d,
    int64_1d,
    int64,
    int64_3d,
)
def _follow(
    ids,
    begin,
    n_bars,
    source,
    shift,
    relation,
    past,
    first_event,
    sounding,
    state,
    kind,
    value,
    tokens,
    waits,
    n_keys,
    reports,
):
    """Append tokens ids (n, m) to texts and report after each; see `PlanFollower`.

    The code of an event orders the events of one step: the tone for a release, the number of tones more for a press.
    """
    n_tones = tokens.shape[1]
    longest_wait = len(waits) - 1
    for row in range(len(ids)):
        clock, last_code, n_events = state[row, CLOCK], state[row, LAST_CODE], state[row, N_EVENTS]
        offered, followed, bar = state[row, OFFERED], state[row, N_FOLLOWED], state[row, CURRENT_BAR]
        n_kept, n_added, n_same, n_pressed = state[row, N_KEPT : N_PRESSED + 1]
        for k in range(ids.shape[1]):
            token = ids[row, k]
            followed = followed + 1 if token == offered else 0
            if kind[token] == WAIT:
                clock, last_code = clock + value[token], NONE
            elif kind[token] != OTHER:
                is_press = kind[token] == PRESS
                earlier = source[row, bar]
                by_onset = relation[row, bar] == RHYTHM  # then the first press of a step stands for all
                if is_press and 0 <= earlier < bar:
                    is_onset, is_same = 0, 0
                    moved, up = begin[row, bar] - begin[row, earlier], shift[row, bar]
                    for i in range(first_event[row, earlier], first_event[row, earlier + 1]):
                        if past[row, 0, i] + moved == clock and past[row, 1, i] >= n_tones:
                            is_onset = 1
                            is_same = max(is_same, past[row, 1, i] + up == value[token] + n_tones)
                    if not (by_onset and last_code >= n_tones):
                        is_kept = is_onset if by_onset else is_same
                        n_kept, n_added = n_kept + is_kept, n_added + 1 - is_kept
                    n_same, n_pressed = n_same + is_same, n_pressed + 1
                last_code = value[token] + n_tones * is_press
                sounding[row, value[token]] = is_press
                past[row, 0, n_events], past[row, 1, n_events] = clock, last_code
                n_events += 1
            while bar + 1 < n_bars[row] and begin[row, bar + 1] <= clock:
                bar += 1
                first_event[row, bar] = n_events
                n_kept, n_added, n_same, n_pressed = 0, 0, 0, 0

            # What the sources do from now on, in this bar and the next ones.
            offered, due, later = NONE, NONE, bar
            onset_wait, onset_now = NONE, 0
            while later < n_bars[row] and begin[row, later] - clock <= longest_wait:
                earlier = source[row, later]
                if earlier < 0 or earlier > bar:  # no source, or one that has not begun
                    break
                moved, up = begin[row, later] - begin[row, earlier], shift[row, later]
                source_end, bar_end = begin[row, earlier + 1], begin[row, later + 1]
                for i in range(first_event[row, earlier], n_events):
                    step, code = past[row, 0, i] + moved, past[row, 1, i]
                    if past[row, 0, i] >= source_end or step >= bar_end:
                        break
                    is_press = code >= n_tones
                    tone = code % n_tones + up
                    if step < clock or tone < 0 or tone >= n_tones or tone // n_keys != code % n_tones // n_keys:
                        continue
                    if is_press and step == clock:
                        onset_now = 1
                    if is_press and step > clock and onset_wait == NONE:
                        onset_wait = step - clock
                    if step == clock and code + up <= last_code:
                        continue
                    if due == NONE and sounding[row, tone] != is_press:
                        due = step
                        offered = tokens[1 if is_press else 0, tone]
                later += 1
            if due > clock:
                offered = waits[min(due - clock, longest_wait)]
            report = reports[row, k]
            report[BAR], report[PLACE] = bar, clock - begin[row, bar]
            report[OFFER], report[FOLLOWED] = offered, followed
            report[ONSET_WAIT], report[ONSET_NOW] = onset_wait, onset_now
        state[row, CLOCK], state[row, LAST_CODE], state[row, N_EVENTS] = clock, last_code, n_events
        state[row, OFFERED], state[row, N_FOLLOWED], state[row, CURRENT_BAR] = offered, followed, bar
        state[row, N_KEPT], state[row, N_ADDED] = n_kept, n_added
        state[row, N_SAME], state[row, N_PRESSED] = n_same, n_pressed
