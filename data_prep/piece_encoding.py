"""From one file to one text: how a piece is read, encoded and told of in the manifest."""

import hashlib
from dataclasses import dataclass

from clara.errors import ClaraError
from clara.files import make_folder, write_atomically
from clara.music.keys import transpose_to_key
from data_prep import sources
from data_prep.musical_works import FINGERPRINT_GRID, compute_fingerprint
from data_prep.onset_grid import check_grid

LOSS_COLUMNS = {
    "cut": ["cut"],
    "merged": ["merged"],
    "folded": ["folded"],
    "moved": ["moved"],
    "dropped": ["drums", "grace", "unread", "dropped"],
    "mended": ["unended"],
    "shortened": ["shortened", "relengthened"],
    "replaced": ["replaced"],
}


@dataclass(frozen=True)
class ReadSettings:
    """How the pieces of a corpus are read.

    Attributes
    ----------
    sustain : lengthen notes under the sustain pedal
    solo_track : the solo's track, by number or name, where the table of instruments does not know it
    to_key : move each piece to this major key, minor ones to its relative minor
    max_grid_error : refuse pieces with a larger share of onsets off the grid
    """

    sustain: bool = False
    solo_track: str | None = None
    to_key: str | None = None
    max_grid_error: float | None = None


def encode_piece(job, out, encoding, reading):
    """Write one piece's text unless it stands there already.

    Parameters
    ----------
    job : (Piece, row of an earlier run or None)
    out : Path of the corpus
    encoding : of `clara.encodings`
    reading : Reading

    Returns
    -------
    dict, the piece's row of the manifest, with `fingerprint` unless the row is the earlier one
    """
    piece, earlier = job
    try:
        with open(piece.path, "rb") as file:  # which may be larger than memory
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        path = out / f"{piece.name}.txt"
        if earlier and earlier["hash"] == digest and path.is_file():
            return earlier | {"composer": piece.composer, "source": sources.escape_undecodable(str(piece.path))}
        notes, losses = _read(piece, encoding, reading)
        text, n_words, more = encoding.encode_text(notes)
        make_folder(path.parent)
        write_atomically(path, text + "\n")
        runs = compute_fingerprint(_heard(piece, notes))
    except (ClaraError, OSError) as e:
        return refused_row(piece, f"{type(e).__name__}: {e}")
    losses += more
    told = {column: sum(losses[n] for n in names) for column, names in LOSS_COLUMNS.items()}
    return {
        "piece": piece.name,
        "composer": piece.composer,
        "source": sources.escape_undecodable(str(piece.path)),
        "hash": digest,
        "notes": len(notes),
        "quarters": round(notes.quarters, 4),
        "tokens": n_words,
        "reason": "",
        "fingerprint": runs,
    } | told


def _read(piece, encoding, reading):
    """The notes of a piece as they are to be encoded, and what that cost."""
    if reading.max_grid_error is not None:
        check_grid(piece, encoding.steps_per_quarter, reading.max_grid_error)
    notes, losses = sources.read_piece(
        piece,
        steps_per_quarter=encoding.steps_per_quarter,
        sustain=reading.sustain,
        ensemble=encoding.ensemble,
        solo_track=reading.solo_track,
    )
    if reading.to_key:
        notes, dropped = transpose_to_key(notes, reading.to_key)
        losses += dropped
    return notes, losses


def _heard(piece, notes):
    """The piece as every encoding would hear it, so that all of them split alike."""
    if notes.steps_per_quarter == FINGERPRINT_GRID and not notes.part.any():
        return notes
    return sources.read_piece(piece, steps_per_quarter=FINGERPRINT_GRID)[0]


def refused_row(piece, reason):
    """The manifest row of a piece that was not taken."""
    return {
        "piece": piece.name,
        "composer": piece.composer,
        "source": sources.escape_undecodable(str(piece.path)),
        "reason": sources.escape_undecodable(reason),
    }
