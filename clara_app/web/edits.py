"""Versions of a piece that a person edited in the roll, and the sounds of single keys to edit by."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from clara.errors import BadSetting
from clara.music.notes import NoteSequence, rebuild_notes
from clara.rendering.audio import encode_audio, synthesize
from clara_app.web.pieces import Piece

LOWEST, HIGHEST = 21, 108  # MIDI numbers of the keys of a piano
MAX_EDITED_NOTES = 20_000
MAX_EDITED_QUARTERS = 4096
KEY_QUARTERS, KEY_QPM = 4, 120  # how long a single key sounds
EDITED = "Edited by you"


def edit_piece(piece: Piece, rows: list[list[float]]) -> Piece:
    """Return a piece with other notes; tempo, metre, keys and instruments stay.

    Parameters
    ----------
    piece : Piece
    rows : list of [start, duration, pitch, part]
        Times in quarter notes, which are rounded to the grid of the piece.

    Raises
    ------
    BadSetting
        If there is no note or too many, or if a note lies outside the piano, the parts or the allowed length.
    """
    if not 0 < len(rows) <= MAX_EDITED_NOTES:
        raise BadSetting(f"a piece has 1 to {MAX_EDITED_NOTES:,} notes, not {len(rows):,}")
    start, duration, pitch, part = np.array(rows, dtype=np.float64).T
    n_parts = len(piece.notes.instruments)
    is_right = (start >= 0) & (duration > 0) & (start + duration <= MAX_EDITED_QUARTERS)
    is_right &= (pitch >= LOWEST) & (pitch <= HIGHEST) & (pitch % 1 == 0) & (part % 1 == 0)
    is_right &= (part >= 0) & (part < n_parts)
    if not is_right.all():
        raise BadSetting(f"note {int(np.argmin(is_right)) + 1} lies outside the piano, the piece or its parts")
    grid = piece.notes.steps_per_quarter
    first, last = np.round(start * grid).astype(np.int64), np.round((start + duration) * grid).astype(np.int64)
    notes, _ = rebuild_notes(piece.notes, first, np.maximum(last, first + 1), pitch.astype(int), part.astype(int))
    return replace(piece, notes=notes, plan=None, window_log_odds=[], prompt_quarters=0.0)


@lru_cache(maxsize=HIGHEST - LOWEST + 1)
def key_sound(pitch: int, soundfont: str | Path | None = None) -> bytes:
    """Return the sound of one piano key as WAV, struck as hard as an accompaniment is.

    Raises
    ------
    BadSetting
        If there is no such key, or the soundfont is missing or broken.
    """
    if not LOWEST <= pitch <= HIGHEST:
        raise BadSetting(f"a piano has the keys {LOWEST} to {HIGHEST}, not {pitch}")
    key = NoteSequence.from_notes([(0, 12 * KEY_QUARTERS, pitch)], qpm=KEY_QPM)
    return encode_audio(synthesize(key, soundfont, flat=True), "wav")
