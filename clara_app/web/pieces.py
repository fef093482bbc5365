"""Pieces of the page, and how the library keeps them: as compressed JSON."""

import json
import zlib
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np

from clara.form.plan import Plan
from clara.music.expression import Expression, unperformed
from clara.music.notes import NoteSequence
from clara.performing.playing import PlayedPrompt, play


@dataclass
class Piece:
    """A beginning or a composed piece.

    Attributes
    ----------
    notes : NoteSequence
        The notes, with the beginning.
    title : str
    prompt_quarters : float
        Length of the beginning in quarter notes.
    window_log_odds : list of float
        The critic's log-odds of each window of the composed part.
    window_quarters : float
        Length of a window in quarter notes.
    plan : Plan or None
        The plan that the piece was composed by.
    seed : int
        Of the performance.
    flat : bool
        Whether the piece is played with one velocity, one tempo and no pedal.
    played_prompt : PlayedPrompt or None
        How the beginning is played, or all of an uploaded file.
    """

    notes: NoteSequence
    title: str
    prompt_quarters: float = 0.0
    window_log_odds: list[float] = field(default_factory=list)
    window_quarters: float = 8.0
    plan: Plan | None = None
    seed: int = 0
    flat: bool = False
    played_prompt: PlayedPrompt | None = None

    @cached_property
    def expression(self) -> Expression:
        """Return how the piece is played."""
        if self.flat:
            return unperformed(self.notes, flat=True)
        return play(self.notes, self.seed, self.played_prompt)


def encode_piece(piece: Piece) -> bytes:
    """Return a piece as compressed JSON; `decode_piece` reads it."""
    return zlib.compress(json.dumps(_to_values(piece)).encode())


def decode_piece(data: bytes) -> Piece:
    """Return the piece that `encode_piece` wrote.

    Raises
    ------
    ValueError, KeyError, TypeError, zlib.error
        If it wrote no such bytes.
    """
    values = json.loads(zlib.decompress(data))
    plan, played = values["plan"], values["played_prompt"]
    return Piece(
        **values
        | {
            "notes": _notes(values["notes"]),
            "plan": plan and Plan(**{name: _as_array(value) for name, value in plan.items()}),
            "played_prompt": played and _played_prompt(played),
        }
    )


def _to_values(value):
    """Return dataclasses as dicts and arrays as lists, inside and out."""
    if isinstance(value, (NoteSequence, Plan, Expression, PlayedPrompt, Piece)):
        return {f.name: _to_values(getattr(value, f.name)) for f in fields(value)}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _as_array(value):
    return np.array(value, dtype=np.int64) if isinstance(value, list) else value


def _notes(values):
    """Return notes; JSON has lists in place of tuples."""
    tuples = {name: tuple(map(tuple, values[name])) for name in ("time_signatures", "key_signatures")}
    return NoteSequence(**values | tuples | {"instruments": tuple(values["instruments"])})


def _played_prompt(values):
    pedals = np.array(values["expression"]["pedal_quarters"], dtype=np.float64).reshape(-1, 2)
    expression = Expression(**values["expression"] | {"pedal_quarters": pedals})
    return PlayedPrompt(**values | {"notes": _notes(values["notes"]), "expression": expression})
