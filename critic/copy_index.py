"""Which notes of a piece stand in a corpus too, in any key: the longest run, and where it comes from.

A piece is a row of moves, each from a note to the one that begins next (the lowest first, of those
that begin together): semitones up, and steps of a twelfth of a quarter until then. Equal rows of moves are equal music in some key, whatever
the notes' lengths. The corpus is kept as moves, two bytes a note; runs of GRAM moves are looked up by hash when it is loaded.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from clara.errors import CheckpointMismatch
from clara.files import write_whole

GRAM = 8  # moves that are looked up together; a shorter run is common property
STEPS_PER_QUARTER = 12
LONGEST_GAP = 255  # steps
MOST_PLACES = 64  # of the corpus that one run of GRAM moves is followed from


@dataclass(frozen=True)
class Run:
    """A run of notes that stands in the corpus.

    Attributes
    ----------
    notes : how many; 0 where fewer than GRAM + 1 are the same
    first : index of its first note in the piece
    source : name of the corpus's piece, or None
    """

    notes: int
    first: int
    source: str | None


def moves(notes):
    """The moves of a piece, uint16 (n_notes - 1,): semitones in the high byte, gap in the low one."""
    order = np.lexsort((notes.pitch, notes.start))
    gap = np.diff(notes.start[order]) * STEPS_PER_QUARTER // notes.steps_per_quarter
    up = np.diff(notes.pitch[order].astype(np.int64)) + 128
    return (up.clip(0, 255) << 8 | gap.clip(0, LONGEST_GAP)).astype(np.uint16)


def _hashes(row):
    """Of each GRAM moves in succession, uint64 (n - GRAM + 1,)."""
    h = np.zeros(max(0, len(row) - GRAM + 1), dtype=np.uint64)
    for i in range(GRAM):
        h = (h + row[i : i + len(h)].astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        h ^= h >> np.uint64(29)
    return h


class NoteIndex:
    """The moves of a corpus, to look up.

    Parameters
    ----------
    rows : list of uint16 arrays, the moves of each piece
    names : list of str
    """

    def __init__(self, rows, names):
        self.names = names
        self.begin = np.cumsum([0, *map(len, rows)])
        self.row = np.concatenate([*rows, np.zeros(0, dtype=np.uint16)])
        hashes = [_hashes(r) for r in rows]
        place = np.concatenate(
            [np.arange(len(h)) + b for h, b in zip(hashes, self.begin)] or [np.zeros(0, dtype=np.int64)]
        )
        hashes = np.concatenate([*hashes, np.zeros(0, dtype=np.uint64)])
        order = np.argsort(hashes, kind="stable")
        self.hashes, self.place = hashes[order], place[order]

    @classmethod
    def of(cls, pieces):
        """The index of pieces: iterable of (name, NoteSequence)."""
        told = [(name, moves(notes)) for name, notes in pieces]
        return cls([row for _, row in told], [name for name, _ in told])

    def save(self, path):
        """Write it, compressed; raises CannotWrite."""
        file = BytesIO()
        np.savez_compressed(
            file,
            up=(self.row >> 8).astype(np.uint8),
            gap=self.row.astype(np.uint8),
            length=np.diff(self.begin).astype(np.int32),
            names=np.array("\n".join(self.names)),
        )
        write_whole(path, file.getvalue())

    @classmethod
    def load(cls, path):
        """Read what `save` wrote.

        Raises
        ------
        CheckpointMismatch
            If it is missing or broken.
        """
        try:
            with np.load(BytesIO(Path(path).read_bytes()), allow_pickle=False) as told:
                row = told["up"].astype(np.uint16) << 8 | told["gap"]
                return cls(np.split(row, np.cumsum(told["length"])[:-1]), str(told["names"]).split("\n"))
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as e:
            raise CheckpointMismatch(f"{path}: no index of notes ({e})") from e

    def longest_run(self, notes):
        """The longest run of a NoteSequence's notes that stands in one piece of the corpus, the first of equally long ones."""
        row = moves(notes)
        hashes = _hashes(row)
        low, high = np.searchsorted(self.hashes, hashes, "left"), np.searchsorted(self.hashes, hashes, "right")
        best, found, upto = 0, None, np.zeros(0, dtype=np.int64)
        for i in range(len(hashes)):
            places = self.place[low[i] : min(high[i], low[i] + MOST_PLACES)]
            for place in places[~np.isin(places, upto)]:  # those that no run already reaches
                length = self._follow(row[i:], place)
                if length > best:
                    best, found = length, (i, place)
            upto = places + 1
        if found is None:
            return Run(0, 0, None)
        first, place = found
        return Run(best + 1, first, self.names[int(np.searchsorted(self.begin, place, "right")) - 1])

    def _follow(self, row, place):
        """How many moves of a row are those of the corpus from a place on, within one piece."""
        end = self.begin[np.searchsorted(self.begin, place, "right")]
        n = min(len(row), end - place)
        differs = (row[:n] != self.row[place : place + n]).nonzero()[0]
        return int(differs[0]) if len(differs) else int(n)
