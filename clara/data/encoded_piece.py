"""A piece as token ids, under its name."""

from dataclasses import dataclass

import numpy as np

from clara.music.notes import COMMON_TIME


@dataclass(frozen=True, eq=False)
class EncodedPiece:
    """One piece as token ids.

    Attributes
    ----------
    name : str
        Its name in the corpus, or where it came from.
    ids : int array, shape (n,)
        From xxbos to xxeos.
    context : int16 array, shape (n, n_columns), optional
        What a model that follows plans reads beside each token; see `clara.form.context`.
    time_signatures : tuple of (step, numerator, denominator)
        As of a `NoteSequence` on the grid of the encoding.
    """

    name: str
    ids: np.ndarray
    context: np.ndarray | None = None
    time_signatures: tuple = COMMON_TIME

    @classmethod
    def wrap(cls, piece: "EncodedPiece | np.ndarray", number: int) -> "EncodedPiece":
        """Return the piece itself, or an array of ids under a name made of its number."""
        return piece if isinstance(piece, EncodedPiece) else cls(f"piece {number + 1}", piece)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"EncodedPiece({self.name!r}, {len(self)} tokens)"
