"""Pieces that the page keeps in memory between requests, limited in number and age."""

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property

from clara.form.plan import Plan
from clara.music.expression import Expression, unperformed
from clara.music.notes import NoteSequence
from clara.performing.playing import PlayedPrompt, play

MAX_PIECES = 2000
MAX_NOTES = 4_000_000  # of all pieces together, 160 MB
MAX_AGE_SECONDS = 6 * 3600.0


@dataclass
class Piece:
    """A prompt or a composed piece.

    Attributes
    ----------
    notes : NoteSequence
        The notes, with the prompt.
    title : str
    prompt_quarters : float
        Length of the prompt in quarter notes.
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
        How the prompt is played, or all of an uploaded file.
    last_used : float
        Time of the last use, in seconds of the monotonic clock.
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
    last_used: float = field(default_factory=time.monotonic)

    @cached_property
    def expression(self) -> Expression:
        """Return how the piece is played."""
        if self.flat:
            return unperformed(self.notes, flat=True)
        return play(self.notes, self.seed, self.played_prompt)


class PieceStore:
    """Pieces by random ids that nobody can guess; the least recently used go first.

    Parameters
    ----------
    max_pieces : int
    max_age_seconds : float
        How long a piece is kept after its last use.
    """

    def __init__(self, max_pieces: int = MAX_PIECES, max_age_seconds: float = MAX_AGE_SECONDS) -> None:
        self.max_pieces = max_pieces
        self.max_age_seconds = max_age_seconds
        self._pieces: OrderedDict[str, Piece] = OrderedDict()
        self._n_notes = 0
        self._lock = threading.Lock()

    def add(self, piece: Piece) -> str:
        """Keep a piece and return its id."""
        piece_id = secrets.token_urlsafe(12)
        with self._lock:
            self._pieces[piece_id] = piece
            self._n_notes += len(piece.notes)
            self._drop_old()
        return piece_id

    def get(self, piece_id: str) -> Piece | None:
        """Return the piece with this id, or None if it is not here any more."""
        with self._lock:
            self._drop_old()
            piece = self._pieces.get(piece_id)
            if piece:
                piece.last_used = time.monotonic()
                self._pieces.move_to_end(piece_id)
            return piece

    def __len__(self) -> int:
        return len(self._pieces)

    def _drop_old(self):
        """Drop the pieces that are too many or too old."""
        oldest_allowed = time.monotonic() - self.max_age_seconds
        while self._pieces:
            least_recent = next(iter(self._pieces.values()))
            is_full = len(self._pieces) > self.max_pieces or self._n_notes > MAX_NOTES
            if not is_full and least_recent.last_used >= oldest_allowed:
                return
            _, piece = self._pieces.popitem(last=False)
            self._n_notes -= len(piece.notes)
