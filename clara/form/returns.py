"""Make returning bars return: forbid tokens with which a bar would lose its likeness to its source.

The *items* of a bar are its pairs of onset and pitch or, for a bar that shares a rhythm, its onsets. A bar is like its
source by the Jaccard index of their items: those that it kept, over all items of either. Exact and transposed bars keep
all items and add none. Varied bars and bars that share a rhythm may leave out and add items, as long as the index that
the classes of `clara.form.bars` ask for can still be reached. Nor may they become more alike than planned: a varied bar
changes something, and a bar that shares a rhythm keeps few of the notes.
"""

import numpy as np

from clara.form.bars import RHYTHM_JACCARD, VARIED_JACCARD
from clara.form.follower import (
    CLOCK,
    CURRENT_BAR,
    LAST_CODE,
    N_ADDED,
    N_EVENTS,
    N_KEPT,
    N_PRESSED,
    N_SAME,
    NONE,
    PRESS,
    RELEASE,
    WAIT,
    PlanFollower,
)
from clara.form.plan import EXACT, RHYTHM, TRANSPOSED, VARIED
from clara.jit import compiled, float64_1d, int32_2d, int32_3d, int64, int64_1d, int64_2d, uint8_2d

MIN_JACCARD = np.zeros(6)
MIN_JACCARD[[EXACT, TRANSPOSED]] = 1
MIN_JACCARD[VARIED], MIN_JACCARD[RHYTHM] = VARIED_JACCARD, RHYTHM_JACCARD


def keep_returns(allowed: np.ndarray, follower: PlanFollower) -> None:
    """Forbid tokens with which a bar would not return as planned, in place.

    Parameters
    ----------
    allowed : uint8 array (n, vocab_sz)
        1 for tokens that may come next. A text for which nothing would be left stays as it is.
    follower : PlanFollower
        Of the n texts.
    """
    events = follower.events
    _keep_returns(
        allowed,
        follower.begin,
        follower.n_bars,
        follower.source,
        follower.shift,
        follower.relation,
        follower.past,
        follower.first_event,
        follower.sounding,
        follower.state,
        events.kind,
        events.value,
        events.n_keys,
        len(events.waits) - 1,
        MIN_JACCARD,
    )


@compiled(
    uint8_2d,
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
    int64,
    int64,
    float64_1d,
)
def _keep_returns(
    allowed,
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
    n_keys,
    longest_wait,
    min_jaccard,
):
    """Do the work of `keep_returns`."""
    vocab_sz, n_tones = allowed.shape[1], sounding.shape[1]
    kept = np.empty(vocab_sz, dtype=np.uint8)
    is_source = np.empty(n_tones, dtype=np.uint8)  # the tones that the source presses in this step
    is_due = np.empty(n_tones, dtype=np.uint8)  # those of them that still can be pressed
    for row in range(len(allowed)):
        clock, last_code, bar = state[row, CLOCK], state[row, LAST_CODE], state[row, CURRENT_BAR]
        n_events = state[row, N_EVENTS]
        earlier, kind_of_bar = source[row, bar], relation[row, bar]
        returns = 0 <= earlier < bar and min_jaccard[kind_of_bar] > 0

        # The items of the source, those whose time is over, and those that are due now.
        n_items, n_over, n_due, lowest_to_release = 0, 0, 0, n_tones
        by_onset = kind_of_bar == RHYTHM
        has_pressed = last_code >= n_tones
        is_due[:] = 0
        is_source[:] = 0
        onset_due, n_source = False, 0
        if returns:
            moved, up, last_onset = begin[row, bar] - begin[row, earlier], shift[row, bar], NONE
            for i in range(first_event[row, earlier], first_event[row, earlier + 1]):
                step, code = past[row, 0, i] + moved, past[row, 1, i]
                tone = code % n_tones + up
                if code < n_tones or step >= begin[row, bar + 1]:
                    continue
                if tone < 0 or tone >= n_tones or tone // n_keys != code % n_tones // n_keys:
                    continue
                n_source += 1
                is_source[tone] |= step == clock
                if by_onset and step == last_onset:
                    continue
                last_onset = step
                n_items += 1
                if by_onset:
                    n_over += step < clock or (step == clock and has_pressed)
                    onset_due |= step == clock and not has_pressed
                    continue
                # A tone that still sounds can be pressed if its release still can come before in this step.
                is_possible = not sounding[row, tone] or tone > last_code
                if step == clock and tone + n_tones > last_code and is_possible:
                    is_due[tone] = 1
                    n_due += 1
                    if sounding[row, tone]:
                        lowest_to_release = min(lowest_to_release, tone)
                else:
                    n_over += step <= clock
        share = min_jaccard[kind_of_bar] if returns else 0.0
        n_missed, n_added = n_over - state[row, N_KEPT], state[row, N_ADDED]
        # How many more items may be left out, and whether one may be added.
        spare = int(np.floor(n_items - n_missed - share * (n_items + n_added) + 1e-9)) if n_items else vocab_sz
        may_add = not n_items or n_items - n_missed >= share * (n_items + n_added + 1) - 1e-9
        # Whether one more note of the source would make this bar too much like it.
        n_same, n_pressed = state[row, N_SAME], state[row, N_PRESSED]
        is_last_item = n_items - n_over == 1 and not n_missed and not n_added
        if by_onset:
            is_too_alike = n_same + 1 >= VARIED_JACCARD * (n_source + n_pressed - n_same)
        else:
            is_too_alike = kind_of_bar == VARIED and is_last_item and spare > 0 and may_add
        must_press = n_due > max(0, spare) or (onset_due and spare < 1)
        must_release = lowest_to_release < n_tones and must_press

        # The next onset of a source, in this bar or a later one, which no wait may pass.
        next_onset, later = NONE, bar
        while next_onset == NONE and later < n_bars[row] and begin[row, later] - clock <= longest_wait:
            origin = source[row, later]
            if 0 <= origin <= bar and min_jaccard[relation[row, later]] > 0:
                moved = begin[row, later] - begin[row, origin]
                origin_end = begin[row, origin + 1]
                for i in range(first_event[row, origin], n_events):
                    step = past[row, 0, i] + moved
                    if past[row, 0, i] >= origin_end or step >= begin[row, later + 1] or next_onset != NONE:
                        break
                    if past[row, 1, i] >= n_tones and step > clock:
                        next_onset = step
            later += 1
        # In silence a wait must lead to the next onset or barline, if nothing may be added before.
        shortest_wait = 0
        if n_items and not may_add and not sounding[row].any():
            shortest_wait = min(longest_wait, (begin[row, bar + 1] if next_onset == NONE else next_onset) - clock)

        n_kept, n_below = 0, 0
        for token in range(vocab_sz):
            kept[token] = allowed[row, token]
            if not kept[token]:
                continue
            if kind[token] == WAIT:
                kept[token] = not must_press and value[token] >= shortest_wait
                kept[token] &= next_onset == NONE or clock + value[token] <= next_onset
            elif kind[token] == PRESS and n_items:
                tone = value[token]
                if by_onset:
                    kept[token] = has_pressed or onset_due or may_add
                else:
                    n_below = 0
                    for lower in range(tone):
                        n_below += is_due[lower]
                    kept[token] = (is_due[tone] or may_add) and n_below <= max(0, spare) and not must_release
                kept[token] &= not (is_too_alike and is_source[tone])
            elif kind[token] == RELEASE and must_release:
                kept[token] = value[token] <= lowest_to_release
            n_kept += kept[token]
        if n_kept:
            allowed[row] = kept
