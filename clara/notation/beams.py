"""Beams, and the brackets of tuplets."""

from collections import Counter

N_BEAMS = {"eighth": 1, "16th": 2, "32nd": 3, "64th": 4}


def mark_tuplets(events):
    """Mark where the brackets of tuplets start and stop.

    Parameters
    ----------
    events : list of clara.notation.rhythm.Event
        Of a voice in a measure; their `tuplet_ends` are set.
    """
    inside = [event for event in events if event.tuplet]
    for before, event, after in zip([None, *inside], inside, [*inside[1:], None]):
        starts = before is None or before.tuplet != event.tuplet
        stops = after is None or after.tuplet != event.tuplet
        event.tuplet_ends = ("start",) * starts + ("stop",) * stops


def add_beams(events, bar, meter):
    """Join the notes of each beat that are shorter than a quarter by beams.

    A beam holds all of a tuplet, or lies inside it: where one begins in a tuplet and ends outside, verovio loses its
    place in the measure.

    Parameters
    ----------
    events : list of clara.notation.rhythm.Event
        Of a voice in a measure; their `beams` are set.
    bar : int
        Tick at which the bar begins.
    meter : clara.notation.measures.Meter
    """
    sizes = Counter(event.tuplet for event in events if event.tuplet)
    group, group_beat = [], None
    for event in events:
        beat = _beam_group(event.start - bar, meter)
        is_beamed = event.notes and event.type in N_BEAMS
        if not is_beamed or beat != group_beat:
            _beam_around_tuplets(group, sizes)
            group = []
        if is_beamed:
            group.append(event)
            group_beat = beat
    _beam_around_tuplets(group, sizes)


def _beam_around_tuplets(group, sizes):
    """Join notes by beams that end where a tuplet begins or ends that has other notes or rests, too."""
    inside = Counter(event.tuplet for event in group if event.tuplet)
    is_part = [event.tuplet is not None and inside[event.tuplet] < sizes[event.tuplet] for event in group]
    first = 0
    for index in range(1, len(group) + 1):
        is_end = index == len(group)
        changes = not is_end and group[index].tuplet != group[index - 1].tuplet
        if is_end or (changes and (is_part[index] or is_part[index - 1])):
            _beam(group[first:index])
            first = index


def _beam_group(position, meter):
    """Return the beginning of the time that is beamed together: a beat, but at least a quarter."""
    return meter.beat_at(position)[0]


def _beam(group):
    """Write the beams of notes that are joined."""
    if len(group) < 2:
        return
    counts = [N_BEAMS[event.type] for event in group]
    for index, event in enumerate(group):
        before = counts[index - 1] if index else 0
        after = counts[index + 1] if index + 1 < len(group) else 0
        event.beams = [_beam_kind(number, before, after) for number in range(1, counts[index] + 1)]


def _beam_kind(number, before, after):
    """Return the kind of a note's beam by the numbers of beams of its neighbours."""
    if before >= number and after >= number:
        return "continue"
    if after >= number:
        return "begin"
    if before >= number:
        return "end"
    return "backward hook" if before else "forward hook"
