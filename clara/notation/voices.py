"""Up to two voices on a staff.

Notes that begin and end together are one chord. A chord that begins while another one sounds, and chords that begin
together but end at different times, need two voices, or else ties: a voice writes a held note again, tied, when
another of its notes begins or ends. The assignment with the lowest cost of ties, crossings and leaps is searched for
from left to right, with a beam.
"""

from dataclasses import dataclass

UPPER, LOWER = 0, 1
BEAM_WIDTH = 6
TIE_COST = 2.0  # of a note that another one of its voice cuts, for each cut
CROSSING_COST = 3.0  # of a note below the lower voice, or above the upper one, while that sounds
LOWER_ALONE_COST = 0.6  # of a chord in the lower voice while the upper one is silent
LEAP_COST = 0.04  # for each semitone between the notes of a voice
NEW_VOICE_COST = 1.0  # of a chord in a lower voice that was silent before


@dataclass(frozen=True, eq=False)
class Chord:
    """Notes of a staff that begin and end together: `notes` are indices, ascending in pitch like `pitches`."""

    start: int
    end: int
    notes: tuple
    pitches: tuple


@dataclass(slots=True)
class _State:
    """A beginning of an assignment: what each voice holds, and what it cost."""

    cost: float
    held: tuple  # for each voice, the chords that may still sound
    last: tuple  # for each voice, the last chord or None
    path: tuple  # linked list of (choice, path before)


def assign_voices(chords: list[Chord]) -> list[int]:
    """Return the voice, 0 (upper) or 1 (lower), of each chord of a staff.

    Parameters
    ----------
    chords : list of Chord
        In ascending order of start, and of the highest pitch.
    """
    groups = _group_by_start(chords)
    states = [_State(0.0, ((), ()), (None, None), ())]
    for group in groups:
        choices = range(len(group) + 1)
        states = [_extend(state, group, n_lower) for state in states for n_lower in choices]
        states = _best_states(states) if len(states) > 1 else states
    lower_counts = []
    path = states[0].path
    while path:
        n_lower, path = path
        lower_counts.append(n_lower)
    voices = []
    for group, n_lower in zip(groups, reversed(lower_counts)):
        voices += [LOWER] * n_lower + [UPPER] * (len(group) - n_lower)
    return voices


def _group_by_start(chords):
    """Return lists of the chords that begin together."""
    groups = []
    for chord in chords:
        if groups and groups[-1][0].start == chord.start:
            groups[-1].append(chord)
        else:
            groups.append([chord])
    return groups


def _best_states(states):
    """Return the cheapest states, of those that will go on alike only one."""
    kept, seen = [], set()
    for state in sorted(states, key=lambda state: state.cost):
        future = (state.held, state.last)  # chords are compared by identity
        if future not in seen:
            seen.add(future)
            kept.append(state)
        if len(kept) == BEAM_WIDTH:
            break
    return kept


def _extend(state, group, n_lower):
    """Return a state after some chords that begin together, of which the lowest are in the lower voice."""
    now = group[0].start
    held = [tuple([chord for chord in chords if chord.end > now]) if chords else () for chords in state.held]
    new = [group[n_lower:], group[:n_lower]]
    cost = state.cost
    last = list(state.last)
    for voice in (UPPER, LOWER):
        if new[voice]:
            cost += _tie_cost(held[voice], new[voice]) + _leap_cost(last[voice], new[voice])
    cost += _crossing_cost(held, new)
    if new[LOWER]:
        was_silent = last[LOWER] is None or last[LOWER].end < now
        cost += NEW_VOICE_COST * was_silent
        if not new[UPPER] and not held[UPPER]:
            cost += LOWER_ALONE_COST
    for voice in (UPPER, LOWER):
        if new[voice]:
            held[voice] = (*held[voice], *new[voice])
            last[voice] = new[voice][-1] if voice == UPPER else new[voice][0]
    return _State(cost, tuple(held), tuple(last), (n_lower, state.path))


def _tie_cost(held, new):
    """Return the cost of the notes that are cut where chords meet in one voice."""
    if not held and len(new) == 1:
        return 0.0
    n_cuts = sum(len(chord.notes) for chord in held)
    chords = (*held, *new)
    ends = {chord.end for chord in chords}
    if len(ends) > 1:
        n_cuts += sum(len(chord.notes) * sum(end < chord.end for end in ends) for chord in chords)
    return TIE_COST * n_cuts


def _leap_cost(last, new):
    """Return the cost of the distance from a voice's last chord to its next one."""
    if last is None:
        return 0.0
    distance = min(abs(last.pitches[-1] - new[-1].pitches[-1]), abs(last.pitches[0] - new[0].pitches[0]))
    return LEAP_COST * min(distance, 24)


def _crossing_cost(held, new):
    """Return the cost of voices that cross."""
    cost = 0.0
    for chord in new[UPPER]:
        cost += CROSSING_COST * any(other.pitches[-1] > chord.pitches[0] for other in held[LOWER])
    for chord in new[LOWER]:
        cost += CROSSING_COST * any(other.pitches[0] < chord.pitches[-1] for other in held[UPPER])
    return cost


def merge_spans(chords: list[Chord]) -> list[tuple[int, int, tuple]]:
    """Return the spans of time in which the same notes of a voice sound, as (start, end, notes)."""
    boundaries = sorted({step for chord in chords for step in (chord.start, chord.end)})
    spans, sounding, waiting = [], [], 0
    for start, end in zip(boundaries, boundaries[1:]):
        sounding = [chord for chord in sounding if chord.end > start]
        while waiting < len(chords) and chords[waiting].start <= start:
            sounding.append(chords[waiting])
            waiting += 1
        if sounding:
            spans.append((start, end, tuple(sorted(note for chord in sounding for note in chord.notes))))
    return spans
