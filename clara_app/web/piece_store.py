"""What the page keeps between two requests: in memory, for a while, and never more than so much."""

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from clara.music.notes import NoteSequence

PIECES, SECONDS = 2000, 6 * 3600.0


@dataclass
class Piece:
    """A prompt or a candidate.

    Attributes
    ----------
    notes : NoteSequence, prompt included
    title : str
    prompt_quarters : how much of it was given
    curve : the critic's log-odds of each window of what is composed, list of float
    window_quarters : length of a window
    made : time, seconds
    """

    notes: NoteSequence
    title: str
    prompt_quarters: float = 0.0
    curve: list = field(default_factory=list)
    window_quarters: float = 8.0
    made: float = field(default_factory=time.monotonic)


class Shelf:
    """Pieces by names that nobody guesses; the oldest go first.

    Parameters
    ----------
    most : pieces
    seconds : that a piece is kept after it was last asked for
    """

    def __init__(self, most=PIECES, seconds=SECONDS):
        self.most, self.seconds = most, seconds
        self._pieces, self._lock = OrderedDict(), threading.Lock()

    def put(self, piece):
        """Keep a piece; returns its name."""
        name = secrets.token_urlsafe(12)
        with self._lock:
            self._pieces[name] = piece
            self._clear()
        return name

    def get(self, name):
        """The Piece of a name, or None where there is none any more."""
        with self._lock:
            self._clear()
            piece = self._pieces.get(name)
            if piece:
                piece.made = time.monotonic()
                self._pieces.move_to_end(name)
            return piece

    def __len__(self):
        return len(self._pieces)

    def _clear(self):
        """Let go what is too old or too much."""
        limit = time.monotonic() - self.seconds
        while self._pieces and (len(self._pieces) > self.most or next(iter(self._pieces.values())).made < limit):
            self._pieces.popitem(last=False)
