"""How a piece is heard in the player: performed or flat, in another key, or without one of its hands or parts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from clara.errors import BadSetting
from clara.music.expression import unperformed
from clara.music.notes import select, transpose
from clara.notation.hands import LEFT, RIGHT, assign_hands
from clara_app.web.pieces import Piece

MAX_SEMITONES = 12
HANDS = {"right": RIGHT, "left": LEFT}


@dataclass(frozen=True)
class Hearing:
    """What the player asks for.

    Attributes
    ----------
    flat : bool
        Whether all notes are equally loud, at one tempo.
    semitones : int
        By which the piece sounds higher, up to `MAX_SEMITONES`, or lower.
    only : str
        What is heard alone: "right" or "left" for a hand, the prefix of a part, or "" for everything.

    Raises
    ------
    BadSetting
        If the piece would sound too high or too low.
    """

    flat: bool = False
    semitones: int = 0
    only: str = ""

    def __post_init__(self):
        if abs(self.semitones) > MAX_SEMITONES:
            raise BadSetting(f"semitones must be from -{MAX_SEMITONES} to {MAX_SEMITONES}, not {self.semitones}")

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "Hearing":
        """Return what the query of an address asks for; raise BadSetting for a wrong value."""
        try:
            semitones = int(query.get("semitones", "0"))
        except ValueError as e:
            raise BadSetting(f"semitones must be a whole number, not {query['semitones']!r}") from e
        return cls("flat" in query, semitones, query.get("only", ""))


AS_IT_IS = Hearing()


def hear(piece: Piece, hearing: Hearing) -> Piece:
    """Return a piece as the player asks for it.

    Raises
    ------
    BadSetting
        If the piece has no such part.
    """
    if hearing == AS_IT_IS:
        return piece
    expression = unperformed(piece.notes, flat=True) if hearing.flat else piece.expression
    pitch = piece.notes.pitch + hearing.semitones
    kept = _is_heard(piece.notes, hearing.only) & (pitch >= 0) & (pitch <= 127)
    delay = expression.delay_seconds
    notes, _ = transpose(select(piece.notes, kept), hearing.semitones)
    heard = replace(piece, notes=notes)
    heard.expression = replace(  # of the whole piece, so that a hand alone is played as with the other one
        expression, velocity=expression.velocity[kept], delay_seconds=None if delay is None else delay[kept]
    )
    return heard


def _is_heard(notes, only):
    """Return whether each note belongs to a hand or a part, bool (n,)."""
    if not only:
        return np.ones(len(notes), dtype=bool)
    if only in notes.instruments:
        return notes.part == notes.instruments.index(only)
    if only not in HANDS or "p" not in notes.instruments:
        raise BadSetting(f"only must be one of {', '.join([*HANDS, *notes.instruments])}, not {only!r}")
    is_heard = notes.part == notes.instruments.index("p")
    piano = np.flatnonzero(is_heard)
    piano = piano[np.lexsort((notes.pitch[piano], notes.start[piano]))]
    hands = assign_hands(notes.start[piano], notes.end[piano], notes.pitch[piano], notes.steps_per_quarter)
    is_heard[piano] = hands == HANDS[only]
    return is_heard
