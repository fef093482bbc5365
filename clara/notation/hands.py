"""Which hand plays a note of the piano.

At each onset, the lowest notes go to the left hand and the others to the right one. Where they are divided costs what
a network thinks of it (`clara.notation.hand_network`), and what it asks of the hands: reach (a hand spans an octave,
and holds what still sounds), leaps since the hand's last chord, hands that cross, notes far beyond the middle of the
keyboard, and chords that change hands or note values. It is cheap to divide where the gap between neighbours is wide,
and between notes that end at different times. A beam search finds the cheapest division of all onsets.

The costs were fitted to piano music with a track for each hand; `benchmarks/notation.py` measures the result on other
files.
"""

import numpy as np

from clara.jit import compiled, float64_1d, int64, int64_1d_readonly

RIGHT, LEFT = 0, 1
MIDDLE_C = 60

BEAM_WIDTH = 12
DEMAND_WEIGHT = 0.25  # of the costs below, beside the network's log-odds
MAX_GROUP = 64  # candidates of one hypothesis
LOW, HIGH, END, CENTER, ONSET, LENGTH, N_STATE = 0, 1, 2, 3, 4, 5, 6  # what is known of a hand; ONSET is -1 at first
SPAN, HELD_SPAN = 12.0, 14.0  # semitones that a hand takes without cost: a chord, and with what it holds
MAX_LEAP, MAX_CROSSING, MAX_GAP, MAX_FINGERS = 24.0, 12.0, 12, 5

SPAN_COST = 4.294  # for each semitone more
HELD_SPAN_COST = 0.169
LEAP_COST = 0.07  # for each semitone between the centres of chords, divided by LEAP_PATIENCE + quarters between them
EDGE_LEAP_COST = 0.018  # for each semitone between the nearer edges of chords, likewise
LENGTH_CHANGE_COST = 0.212  # for each halving or doubling of note values, likewise
LEAP_PATIENCE = 2.727
CROSSING_COST = 0.09  # for each semitone by which a hand reaches beyond the other one's last notes
CROSSING_DECAY = 0.05  # for each quarter since
NEARNESS_COST, NEARNESS = 0.156, 2.814  # for each semitone that a hand comes nearer to the other one's centre than this
FAR_COST = 0.033  # for each semitone of each note beyond the limits of its hand
LEFT_LIMIT, RIGHT_LIMIT = 66.066, 63.251
ONE_HAND_COST = 0.563  # of a chord that one hand takes alone
FINGER_COST = 0.089  # of each note more than a hand has fingers
GAP_GAIN = 0.017  # for each semitone between the hands' neighbouring notes
SAME_END_COST = 0.325  # of hands whose neighbouring notes end together


def split_at_middle_c(pitch: np.ndarray) -> np.ndarray:
    """Return the hand of each note, 0 (right) or 1 (left), by middle C alone."""
    return (pitch < MIDDLE_C).astype(np.int64)


def assign_hands(start: np.ndarray, end: np.ndarray, pitch: np.ndarray, steps_per_quarter: int) -> np.ndarray:
    """Return the hand of each note, 0 (right) or 1 (left), int64 (n,).

    Parameters
    ----------
    start, end, pitch : int64 arrays (n,)
        Notes of a piano in ascending order of start, then of pitch.
    steps_per_quarter : int

    Raises
    ------
    MissingModel, CheckpointMismatch
        If the network that comes with Clara cannot be loaded.
    """
    from clara.notation.hand_network import shipped_hands  # imports torch

    if not len(start):
        return np.zeros(0, dtype=np.int64)
    log_odds = shipped_hands().network.left_log_odds(start, end, pitch, steps_per_quarter)
    return _search(start, end, pitch, steps_per_quarter, log_odds)


@compiled(int64_1d_readonly, int64_1d_readonly, int64_1d_readonly, int64, float64_1d)
def _search(start, end, pitch, steps_per_quarter, left_log_odds):
    """Find the cheapest division of all onsets with a beam search."""

    def hand_cost(low, high, now, length, own, other, is_left):
        """Return the cost of giving the notes from `low` to `high` to a hand whose state is `own`."""
        held_low, held_high = low, high
        if own[END] > now:
            held_low, held_high = min(low, own[LOW]), max(high, own[HIGH])
        cost = SPAN_COST * max(0.0, high - low - SPAN) + HELD_SPAN_COST * max(0.0, held_high - held_low - HELD_SPAN)
        if own[ONSET] >= 0:
            leap = min(abs(0.5 * (low + high) - own[CENTER]), MAX_LEAP)
            edge_leap = min(abs(low - own[LOW]), abs(high - own[HIGH]), MAX_LEAP)
            change = min(abs(np.log2(length / own[LENGTH])), 2.0)
            weighted = LEAP_COST * leap + EDGE_LEAP_COST * edge_leap + LENGTH_CHANGE_COST * change
            cost += weighted / (LEAP_PATIENCE + (now - own[ONSET]) / steps_per_quarter)
        if other[ONSET] >= 0:
            quarters = (now - other[ONSET]) / steps_per_quarter
            presence = 1.0 if other[END] > now else 1.0 / (1.0 + CROSSING_DECAY * quarters)
            beyond = high - other[LOW] if is_left else other[HIGH] - low
            near = NEARNESS + (high - other[CENTER] if is_left else other[CENTER] - low)
            if beyond >= 0:
                cost += CROSSING_COST * min(beyond + 1.0, MAX_CROSSING) * presence
            if near > 0:
                cost += NEARNESS_COST * min(near, MAX_LEAP) * presence
        return cost

    def play(hand, low, high, now, last_end, length):
        """Change a hand's state by notes that it plays."""
        if hand[END] > now:
            hand[LOW], hand[HIGH] = min(low, hand[LOW]), max(high, hand[HIGH])
            hand[END] = max(last_end, hand[END])
        else:
            hand[LOW], hand[HIGH], hand[END] = low, high, last_end
        hand[CENTER], hand[ONSET], hand[LENGTH] = 0.5 * (low + high), now, length

    n = len(start)
    states = np.zeros((BEAM_WIDTH, 2, N_STATE))
    states[:, :, ONSET] = -1
    costs = np.zeros(BEAM_WIDTH)
    n_states = 1
    parents = np.zeros((n, BEAM_WIDTH), dtype=np.int64)
    divisions = np.zeros((n, BEAM_WIDTH), dtype=np.int64)  # number of notes of the left hand
    firsts = np.zeros(n + 1, dtype=np.int64)
    new_states = np.zeros((BEAM_WIDTH * MAX_GROUP, 2, N_STATE))
    new_costs = np.zeros(BEAM_WIDTH * MAX_GROUP)
    new_parents = np.zeros(BEAM_WIDTH * MAX_GROUP, dtype=np.int64)
    new_divisions = np.zeros(BEAM_WIDTH * MAX_GROUP, dtype=np.int64)
    n_onsets, first = 0, 0
    while first < n:
        stop, now = first, start[first]
        while stop < n and start[stop] == now:
            stop += 1
        size = stop - first
        n_new = 0
        for state in range(n_states):
            for n_left in range(min(size + 1, MAX_GROUP)):
                cost = 0.0
                new_states[n_new] = states[state]
                for i in range(size):
                    if i < n_left:
                        cost += FAR_COST * max(0.0, pitch[first + i] - LEFT_LIMIT)
                    else:
                        cost += FAR_COST * max(0.0, RIGHT_LIMIT - pitch[first + i])
                cost += FINGER_COST * (max(0, n_left - MAX_FINGERS) + max(0, size - n_left - MAX_FINGERS))
                middle = first + n_left
                if size > 1 and (n_left == 0 or n_left == size):
                    cost += ONE_HAND_COST
                if 0 < n_left < size:
                    cost -= GAP_GAIN * min(pitch[middle] - pitch[middle - 1], MAX_GAP)
                    if end[middle] == end[middle - 1]:
                        cost += SAME_END_COST
                left, right = states[state, LEFT], states[state, RIGHT]
                if n_left > 0:
                    low, high, length = float(pitch[first]), float(pitch[middle - 1]), float(end[first] - now)
                    cost += hand_cost(low, high, now, length, left, right, True)
                    play(new_states[n_new, LEFT], low, high, now, float(end[first:middle].max()), length)
                if n_left < size:
                    low, high, length = float(pitch[middle]), float(pitch[stop - 1]), float(end[stop - 1] - now)
                    cost += hand_cost(low, high, now, length, right, left, False)
                    play(new_states[n_new, RIGHT], low, high, now, float(end[middle:stop].max()), length)
                expected = 0.0  # cost of what the network says, a constant aside
                for i in range(middle, stop):
                    expected += left_log_odds[i]
                new_costs[n_new] = costs[state] + expected + DEMAND_WEIGHT * cost
                new_parents[n_new], new_divisions[n_new] = state, n_left
                n_new += 1
        n_states = 0
        for candidate in np.argsort(new_costs[:n_new]):
            is_new = True
            for state in range(n_states):
                is_new = is_new and not (states[state] == new_states[candidate]).all()
            if is_new:
                states[n_states], costs[n_states] = new_states[candidate], new_costs[candidate]
                parents[n_onsets, n_states] = new_parents[candidate]
                divisions[n_onsets, n_states] = new_divisions[candidate]
                n_states += 1
            if n_states == BEAM_WIDTH:
                break
        costs -= costs[0]
        firsts[n_onsets] = first
        n_onsets += 1
        first = stop
    hands = np.zeros(n, dtype=np.int64)
    state = 0
    for onset in range(n_onsets - 1, -1, -1):
        n_left = divisions[onset, state]
        hands[firsts[onset] : firsts[onset] + n_left] = LEFT
        state = parents[onset, state]
    return hands
