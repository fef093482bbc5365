"""How composed pieces are played: by the performer that comes with Clara, after a prompt that keeps its own expression.

Without a performer, when its weights are missing or belong to another version, pieces have accents on the beats, one
tempo and no pedal.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from clara.checkpoints.shipped_models import MissingModel, find_model
from clara.errors import CheckpointMismatch
from clara.listening.alignment import align_if_performed
from clara.music.expression import Expression, unperformed
from clara.music.midi import MIDI_SUFFIXES
from clara.music.notes import NoteSequence
from clara.music.performed_midi import read_performed_midi
from clara.performing.chords import spread_chords
from clara.performing.performer import CONFIG, SHIPPED_PERFORMER, WEIGHTS, Performer

PLACES_PER_QUARTER = 480  # for comparing notes on different grids


@dataclass(frozen=True, eq=False)
class PlayedPrompt:
    """A prompt and how it is played.

    Attributes
    ----------
    notes : NoteSequence
    expression : Expression
    begin, end : float
        Composed music stands between these quarters; what lies before and after it keeps its expression.
    """

    notes: NoteSequence
    expression: Expression
    begin: float
    end: float = np.inf


@cache
def shipped_performer() -> Performer:
    """Return the performer that comes with Clara, loaded once.

    Raises
    ------
    MissingModel, CheckpointMismatch
        As `Performer.load`.
    """
    return Performer.load(SHIPPED_PERFORMER)


def performer_hash() -> str | None:
    """Return 16 hex digits that change with the shipped performer, or None if there is none."""
    try:
        folder = find_model(SHIPPED_PERFORMER)
        return hashlib.sha256(b"".join((folder / name).read_bytes() for name in (CONFIG, WEIGHTS))).hexdigest()[:16]
    except (MissingModel, OSError):
        return None


def performer_problem() -> str | None:
    """Return why there is no performer, or None if there is one."""
    try:
        shipped_performer()
    except (MissingModel, CheckpointMismatch) as e:
        return str(e)
    return None


def play(notes: NoteSequence, seed: int = 0, prompt: PlayedPrompt | None = None) -> Expression:
    """Return how notes are played.

    Parameters
    ----------
    notes : NoteSequence
    seed : int
        Random seed; each gives another rendering.
    prompt : PlayedPrompt, optional
        Its notes keep their expression, and what is composed goes on as loud as they are on average.
    """
    expression = _perform(notes, seed)
    if prompt is not None and len(notes):
        expression = keep_expression(notes, expression, prompt)
    return spread_chords(notes, expression, seed)


def _perform(notes, seed):
    """Return a performance; accents if there is nothing to perform, or nobody who performs it."""
    if not len(notes) or performer_problem():
        return unperformed(notes)
    return shipped_performer().perform(notes, seed)


def read_played_prompt(
    path: str | Path, steps_per_quarter: int, ensemble: str = "piano", performed: str = "auto"
) -> tuple[NoteSequence, Expression] | None:
    """Return the notes and the expression of a MIDI file; None for other formats and for flat files.

    Parameters
    ----------
    path : str or Path
    steps_per_quarter : int
    ensemble : str
    performed : str
        As of `clara.encodings.prompts.read_prompt`.

    Raises
    ------
    BadMusicFile, NoNotes, TooLong, WrongEnsemble
        As `clara.music.midi.read_midi`.
    """
    if Path(path).suffix.lower() not in MIDI_SUFFIXES:
        return None
    alignment = align_if_performed(path, performed)
    source = path if alignment is None else alignment.midi
    notes, expression = read_performed_midi(source, steps_per_quarter=steps_per_quarter, ensemble=ensemble)
    return None if expression.is_flat else (notes, expression)


def keep_expression(notes: NoteSequence, expression: Expression, prompt: PlayedPrompt) -> Expression:
    """Return an expression that is the prompt's outside of what was composed.

    Parameters
    ----------
    notes : NoteSequence
        The piece, prompt included.
    expression : Expression
        A performance of the whole piece.
    prompt : PlayedPrompt
    """
    start = notes.start / notes.steps_per_quarter
    is_new = (start >= prompt.begin) & (start < prompt.end)
    carried = _carried_velocities(notes, prompt)
    louder = 0.0 if is_new.all() else carried[~is_new].mean() - expression.velocity[~is_new].mean()
    velocity = np.clip(np.rint(np.where(is_new, expression.velocity + louder, carried)), 1, 127)
    factor = notes.qpm / prompt.notes.qpm  # another tempo may have been asked for
    quarters, qpm = _join_tempos(
        (prompt.expression.tempo_quarters, prompt.expression.tempo_qpm * factor),
        (expression.tempo_quarters, expression.tempo_qpm),
        prompt,
    )
    return Expression(velocity, quarters, qpm, _join_pedals(prompt, expression.pedal_quarters))


def _carried_velocities(notes, prompt):
    """Return the velocity in the prompt of each note, or of the note of the prompt that is next to it."""
    key = _place_and_pitch(prompt.notes)
    order = np.argsort(key, kind="stable")
    nearest = np.searchsorted(key[order], _place_and_pitch(notes))
    return prompt.expression.velocity[order][np.minimum(nearest, len(key) - 1)]


def _place_and_pitch(notes):
    """Return a number for each note that is the same on other grids and orders notes by place, then pitch."""
    return np.rint(notes.start * (PLACES_PER_QUARTER / notes.steps_per_quarter)).astype(np.int64) * 128 + notes.pitch


def _join_tempos(carried, performed, prompt):
    """Return where tempos begin, and the tempos: those that were carried outside of what was composed."""
    changes = []
    for begin, end, (quarters, qpm) in (
        (0.0, prompt.begin, carried),
        (prompt.begin, prompt.end, performed),
        (prompt.end, np.inf, carried),
    ):
        if begin >= end:
            continue
        at_begin = max(np.searchsorted(quarters, begin, side="right") - 1, 0)
        inside = (quarters > begin) & (quarters < end)
        changes += [(begin, qpm[at_begin]), *zip(quarters[inside].tolist(), qpm[inside].tolist())]
    quarters, qpm = np.array(changes).T
    return quarters, qpm


def _join_pedals(prompt, performed):
    """Return presses and releases: those that were carried outside of what was composed."""
    carried = prompt.expression.pedal_quarters
    parts = [
        _clip_pedals(carried, 0.0, prompt.begin),
        _clip_pedals(performed, prompt.begin, prompt.end),
        _clip_pedals(carried, prompt.end, np.inf),
    ]
    return np.concatenate(parts)


def _clip_pedals(pedals: np.ndarray, begin: float, end: float) -> np.ndarray:
    """Return what lies between two places of presses and releases, float64 (k, 2)."""
    clipped = np.clip(pedals, begin, end)
    return clipped[clipped[:, 1] > clipped[:, 0]]
