"""Corruptions of human music, so that a critic does not mistake mere surprise for invention.

`CORRUPTIONS` and `MORE_CORRUPTIONS` change an excerpt; `critic.data.mixtures` mixes two.
"""

from collections.abc import Callable, Sequence

import numpy as np

from clara.music.notes import NoteSequence, crop, rebuild_notes

BAR = 4  # quarters
MOVED_SHARE = 0.25  # of the notes
SMALL_SHARE = 0.05  # of the notes
BARS_SHARE = 0.3
LOWEST, HIGHEST = 21, 108  # keys of a piano


def _shuffle_bars(notes, rng):
    """Shuffle the bars; a note that sounds over a bar line ends there."""
    bar_steps, n_bars = _bar_steps(notes), _n_bars(notes)
    bars = [crop(notes, bar * bar_steps, (bar + 1) * bar_steps) for bar in rng.permutation(n_bars)]
    return join(notes, bars, [position * bar_steps for position in range(n_bars)])


def _move_pitches(notes, rng):
    """Move some notes up or down by one to three semitones."""
    shift = rng.choice([-3, -2, -1, 1, 2, 3], len(notes)) * (rng.random(len(notes)) < MOVED_SHARE)
    return rebuild_notes(notes, notes.start, notes.end, _on_keyboard(notes.pitch + shift), notes.part)[0]


def _delay_onsets(notes, rng):
    """Delay some notes by up to half a quarter."""
    delay = rng.integers(1, notes.steps_per_quarter // 2 + 1, len(notes)) * (rng.random(len(notes)) < MOVED_SHARE)
    return rebuild_notes(notes, notes.start + delay, notes.end + delay, notes.pitch, notes.part)[0]


def _randomize(notes, rng):
    """Put notes of the same durations and pitches at random times."""
    start = rng.integers(0, max(1, notes.n_steps - 1), len(notes))
    end = start + rng.permutation(notes.duration)
    return rebuild_notes(notes, start, end, rng.permutation(notes.pitch), notes.part)[0]


def _move_few_pitches(notes, rng):
    """Move a few notes up or down by one or two semitones, as wrong notes in a performance."""
    is_moved = rng.random(len(notes)) < SMALL_SHARE
    is_moved[rng.integers(len(notes))] = True
    shift = rng.choice([-2, -1, 1, 2], len(notes)) * is_moved
    return rebuild_notes(notes, notes.start, notes.end, _on_keyboard(notes.pitch + shift), notes.part)[0]


def _transpose_end(notes, rng):
    """Transpose all notes after a random bar line."""
    n_bars = _n_bars(notes)
    is_after = notes.start >= rng.integers(1, max(2, n_bars)) * _bar_steps(notes)
    pitch = notes.pitch + _random_interval(rng) * is_after
    return rebuild_notes(notes, notes.start, notes.end, _on_keyboard(pitch), notes.part)[0]


def _transpose_bars(notes, rng):
    """Transpose about a third of the bars, each by an interval of its own."""
    n_bars = _n_bars(notes)
    shifts = np.array([_random_interval(rng) for _ in range(n_bars)]) * (rng.random(n_bars) < BARS_SHARE)
    shifts[rng.integers(n_bars)] = _random_interval(rng)
    pitch = notes.pitch + shifts[notes.start // _bar_steps(notes)]
    return rebuild_notes(notes, notes.start, notes.end, _on_keyboard(pitch), notes.part)[0]


def _transpose_upper_voice(notes, rng):
    """Transpose the notes above the median pitch against those below."""
    pitch = notes.pitch + _random_interval(rng) * _is_upper(notes)
    return rebuild_notes(notes, notes.start, notes.end, _on_keyboard(pitch), notes.part)[0]


def _delay_upper_voice(notes, rng):
    """Delay the notes above the median pitch by whole quarters against those below."""
    delay = rng.integers(1, BAR) * notes.steps_per_quarter * _is_upper(notes)
    return rebuild_notes(notes, notes.start + delay, notes.end + delay, notes.pitch, notes.part)[0]


def _leave_out_bars(notes, rng):
    """Leave out a random part of a phrase, one to three bars long, and close the gap."""
    bar_steps, n_bars = _bar_steps(notes), _n_bars(notes)
    n_out = int(rng.integers(1, min(4, max(2, n_bars))))
    first = int(rng.integers(0, max(1, n_bars - n_out)))
    return join(
        notes,
        [crop(notes, 0, first * bar_steps), crop(notes, (first + n_out) * bar_steps, notes.n_steps)],
        [0, first * bar_steps],
    )


def _shift_beats(notes, rng):
    """Leave out one to three beats within the excerpt and close the gap, so that bars are cut short."""
    steps = notes.steps_per_quarter
    n_quarters = max(2, notes.n_steps // steps)
    first, n_out = int(rng.integers(1, n_quarters)), int(rng.integers(1, BAR))
    return join(
        notes, [crop(notes, 0, first * steps), crop(notes, (first + n_out) * steps, notes.n_steps)], [0, first * steps]
    )


def _shuffle_beats(notes, rng):
    """Shuffle the beats within each bar; notes keep their durations."""
    steps, n_bars = notes.steps_per_quarter, _n_bars(notes)
    place = (rng.permuted(np.tile(np.arange(BAR), (n_bars, 1)), axis=1) + BAR * np.arange(n_bars)[:, None]).ravel()
    beat = notes.start // steps
    shift = (place[beat] - beat) * steps
    return rebuild_notes(notes, notes.start + shift, notes.end + shift, notes.pitch, notes.part)[0]


def _reverse(notes, rng):
    """Play the excerpt backwards."""
    end = notes.n_steps
    return rebuild_notes(notes, end - notes.end, end - notes.start, notes.pitch, notes.part)[0]


def join(notes: NoteSequence, parts: list[NoteSequence], starts: Sequence[int]) -> NoteSequence:
    """Return excerpts placed one after the other, or at the same time, with the settings of `notes`.

    Parameters
    ----------
    notes : NoteSequence
    parts : list of NoteSequence
    starts : sequence of int
        The step at which each of them starts.
    """
    columns = [(p.start + at, p.end + at, p.pitch, p.part) for p, at in zip(parts, starts)]
    return rebuild_notes(notes, *(np.concatenate(column) for column in zip(*columns)))[0]


def _is_upper(notes):
    """Return which notes are above the median pitch."""
    return notes.pitch > np.median(notes.pitch)


def _random_interval(rng):
    """Return an interval of one to six semitones, up or down."""
    return int(rng.integers(1, 7)) * int(rng.choice([-1, 1]))


def _on_keyboard(pitch):
    """Move pitches outside the piano to its nearest key."""
    return pitch.clip(LOWEST, HIGHEST)


def _bar_steps(notes):
    """Return the length of a bar of four quarters in steps."""
    return BAR * notes.steps_per_quarter


def _n_bars(notes):
    """Return the number of bars, a part of one included."""
    return -(-notes.n_steps // _bar_steps(notes))


CORRUPTIONS: dict[str, Callable[[NoteSequence, np.random.Generator], NoteSequence]] = {
    "bars shuffled": _shuffle_bars,
    "pitches moved": _move_pitches,
    "onsets delayed": _delay_onsets,
    "randomized": _randomize,
}
MORE_CORRUPTIONS: dict[str, Callable[[NoteSequence, np.random.Generator], NoteSequence]] = {
    "few pitches moved": _move_few_pitches,
    "end transposed": _transpose_end,
    "bars transposed": _transpose_bars,
    "upper voice transposed": _transpose_upper_voice,
    "upper voice delayed": _delay_upper_voice,
    "bars left out": _leave_out_bars,
    "beats left out": _shift_beats,
    "beats shuffled": _shuffle_beats,
    "reversed": _reverse,
}
