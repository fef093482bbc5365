"""Encode one piece as one text, and describe it in the manifest."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from clara.data import sources
from clara.data.musical_works import FINGERPRINT_GRID, compute_lines
from clara.data.onset_grid import check_grid, grid_misfit
from clara.data.sources import Piece, escape_undecodable
from clara.errors import ClaraError
from clara.files import make_folder, path_inside, write_atomically
from clara.listening.alignment import align_if_performed
from clara.music.bars import format_time_signatures
from clara.music.keys import transpose_to_key
from clara.music.midi import describe_midi, read_midi

# manifest column: the losses that it adds up
LOSS_COLUMNS = {
    "cut": ["cut"],
    "merged": ["merged"],
    "folded": ["folded"],
    "moved": ["moved", "microtones"],
    "dropped": ["drums", "grace", "cue", "unread", "dropped"],
    "lost": ["lost"],
    "mended": ["unended"],
    "shortened": ["shortened", "relengthened"],
    "replaced": ["replaced"],
}


@dataclass(frozen=True)
class ReadSettings:
    """How the pieces of a corpus are read.

    Attributes
    ----------
    sustain : bool
        Lengthen notes while the sustain pedal is down.
    solo_track : str or None
        Track of the solo, by number or name, if the table of instruments does not know it.
    to_key : str or None
        Move each piece to this major key, and minor pieces to its relative minor.
    max_grid_error : float or None
        Refuse pieces with a larger share of onsets off the grid, 0-1, before their beats are found.
    performed : str
        Which MIDI files were performed, so that their beats must be found: "auto", "yes" or "no"; see
        `clara.listening.alignment.align_if_performed`.
    """

    sustain: bool = False
    solo_track: str | None = None
    to_key: str | None = None
    max_grid_error: float | None = None
    performed: str = "no"


def encode_piece(job: tuple[Piece, dict | None], folder: Path, encoding, settings: ReadSettings) -> dict:
    """Write one piece's text, unless it is already there.

    Parameters
    ----------
    job : tuple of Piece and dict or None
        The piece, and its row of an earlier run.
    folder : Path
        Folder of the corpus.
    encoding : Encoding
        From `clara.encodings`.
    settings : ReadSettings

    Returns
    -------
    dict
        The piece's row of the manifest, with `aligned` (whether its beats were found) and `fingerprint` unless it is
        the earlier row.
    """
    piece, earlier_row = job
    source = escape_undecodable(str(piece.path))
    try:
        with open(piece.path, "rb") as file:  # hashed in blocks, as the file may be larger than memory
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        path = path_inside(folder, f"{piece.name}.txt")
        if earlier_row and earlier_row["hash"] == digest and path.is_file() and path.stat().st_size:
            return earlier_row | {"composer": piece.composer, "source": source}
        if settings.max_grid_error is not None:
            check_grid(piece, encoding.steps_per_quarter, settings.max_grid_error)
        alignment = align_if_performed(piece.path, settings.performed)
        notes, losses = _read_notes(piece, alignment, encoding, settings)
        text, n_tokens, encoding_losses = encoding.encode_text(notes)
        make_folder(path.parent)
        write_atomically(path, text + "\n", durable=False)  # a text is quickly made again
        midi = piece.path if alignment is None else alignment.midi
        description = describe_midi(midi) if piece.is_midi else None
        lines = compute_lines(_notes_for_fingerprint(piece, alignment, notes), description)
        misfit = grid_misfit(description.onset_ticks, description.ticks_per_quarter) if description else 0.0
    except (ClaraError, OSError) as error:
        return refused_row(piece, f"{type(error).__name__}: {error}")
    losses += encoding_losses
    return {
        "piece": piece.name,
        "composer": piece.composer,
        "source": source,
        "hash": digest,
        "notes": len(notes),
        "quarters": round(notes.quarters, 4),
        "tokens": n_tokens,
        "grid_misfit": round(misfit, 4),
        "time_signatures": format_time_signatures(notes.time_signatures),
        "reason": "",
        "aligned": alignment is not None,
        "fingerprint": lines,
    } | {column: sum(losses[name] for name in names) for column, names in LOSS_COLUMNS.items()}


def _read_notes(piece, alignment, encoding, settings):
    """Return the notes of a piece as they will be encoded, and the losses."""
    how = {
        "steps_per_quarter": encoding.steps_per_quarter,
        "sustain": settings.sustain,
        "ensemble": encoding.ensemble,
        "solo_track": settings.solo_track,
    }
    if alignment is not None:
        notes, losses = read_midi(alignment.midi, **how)
    else:
        notes, losses = sources.read_piece(piece, **how)
    if settings.to_key:
        notes, key_losses = transpose_to_key(notes, settings.to_key)
        losses += key_losses
    return notes, losses


def _notes_for_fingerprint(piece, alignment, notes):
    """Return the piece as one part on the fingerprint's grid, so that all encodings split alike."""
    if notes.steps_per_quarter == FINGERPRINT_GRID and not notes.part.any():
        return notes
    if alignment is not None:
        return read_midi(alignment.midi, steps_per_quarter=FINGERPRINT_GRID)[0]
    return sources.read_piece(piece, steps_per_quarter=FINGERPRINT_GRID)[0]


def refused_row(piece: Piece, reason: str) -> dict:
    """Return the manifest row of a piece that was refused."""
    return {
        "piece": piece.name,
        "composer": piece.composer,
        "source": escape_undecodable(str(piece.path)),
        "reason": escape_undecodable(reason),
    }
