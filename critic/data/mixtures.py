"""Mixtures of two human excerpts: each part is human, but what belongs together is not together."""

from collections.abc import Callable, Sequence

import numpy as np

from clara.errors import BadSetting
from clara.music.notes import NoteSequence, crop, rebuild_notes, select
from critic.data.corruptions import BAR, CORRUPTIONS, MORE_CORRUPTIONS, join

REPLACED_SHARE = 0.5  # of the bars


def _replace_bars(notes, other, rng):
    """Take each bar from one of the two excerpts."""
    bar_steps = BAR * notes.steps_per_quarter
    n_bars = -(-notes.n_steps // bar_steps)
    is_other = rng.random(n_bars) < REPLACED_SHARE
    is_other[rng.integers(n_bars)] = True
    sources = [other if replaced else notes for replaced in is_other]
    bars = [crop(source, bar * bar_steps, (bar + 1) * bar_steps) for bar, source in enumerate(sources)]
    return join(notes, bars, [bar * bar_steps for bar in range(n_bars)])


def _change_piece(notes, other, rng):
    """Go on with the other excerpt at a random bar line."""
    bar_steps = BAR * notes.steps_per_quarter
    change = int(rng.integers(1, max(2, notes.n_steps // bar_steps))) * bar_steps
    return join(notes, [crop(notes, 0, change), crop(other, change, max(change + 1, other.n_steps))], [0, change])


def _swap_voices(notes, other, rng):
    """Put the notes above the median pitch of one excerpt over those below the median pitch of the other."""
    above = select(notes, notes.pitch > np.median(notes.pitch))
    below = select(other, other.pitch <= np.median(other.pitch))
    return join(notes, [above, below], [0, 0])


def _take_rhythm(notes, other, rng):
    """Give the rhythm of the other excerpt the pitches of this one, in the order of their onsets."""
    n = min(len(notes), len(other))
    return rebuild_notes(notes, other.start[:n], other.end[:n], notes.pitch[:n], notes.part[:n])[0]


MIXTURES: dict[str, Callable[[NoteSequence, NoteSequence, np.random.Generator], NoteSequence]] = {
    "bars of another piece": _replace_bars,
    "end of another piece": _change_piece,
    "voice of another piece": _swap_voices,
    "rhythm of another piece": _take_rhythm,
}
BASIC = "basic"
SETS = {
    BASIC: list(CORRUPTIONS),
    "more": list(MORE_CORRUPTIONS),
    "mixtures": list(MIXTURES),
    "all": [*CORRUPTIONS, *MORE_CORRUPTIONS, *MIXTURES],
}


def corruption_names(chosen: Sequence[str]) -> list[str]:
    """Return the names of corruptions and mixtures that a list of names and sets stands for.

    Parameters
    ----------
    chosen : sequence of str
        Names of corruptions or of `SETS`.

    Raises
    ------
    BadSetting
        If a name is unknown.
    """
    names = [name for choice in chosen for name in SETS.get(choice, [choice])]
    for name in names:
        if name not in SETS["all"]:
            raise BadSetting(f"no corruption {name!r}; there are {', '.join([*SETS, *SETS['all']])}")
    return list(dict.fromkeys(names))


def corrupt(name: str, notes: NoteSequence, other: NoteSequence, rng: np.random.Generator) -> NoteSequence:
    """Return a corrupted excerpt.

    Parameters
    ----------
    name : str
        From `corruption_names`.
    notes : NoteSequence
        A human excerpt that is not empty.
    other : NoteSequence
        A human excerpt of another piece, which mixtures use; if it is empty, so is a mixture.
    rng : numpy Generator
    """
    if name in MIXTURES:
        return MIXTURES[name](notes, other, rng) if len(other) else other
    return (CORRUPTIONS | MORE_CORRUPTIONS)[name](notes, rng)
