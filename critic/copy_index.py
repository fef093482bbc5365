"""Index the notes of a corpus to find copied passages.

Usage: python -m critic.copy_index CORPUS --out FILE

The score `longest_copied_run` looks a piece up in such a file, in any key. The pretrained models bring one along:
notewise/notes.npz.

A piece becomes a sequence of steps, each from one note to the next; notes that begin together are ordered by pitch.
A step holds the interval in semitones and the time in twelfths of a quarter. Equal sequences are the same music in
some key, whatever the durations. Sequences of `GRAM` steps are looked up by their hash.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from clara import cli
from clara.errors import CheckpointMismatch
from clara.files import write_atomically
from clara.wording import count_of

EXAMPLES = """
python -m critic.copy_index data/notewise-12 --out notes.npz
"""
GRAM = 8  # steps that are looked up together; a shorter run is too common to count as copied
STEPS_PER_QUARTER = 12
MAX_GAP = 255  # twelfths of a quarter; a longer gap counts as this one
MAX_PLACES = 64  # places of the corpus at which one sequence of GRAM steps is compared
HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio (Knuth, TAOCP 3, section 6.4)


@dataclass(frozen=True)
class CopiedRun:
    """A run of notes that also occurs in the corpus.

    Attributes
    ----------
    n_notes : int
        0 if fewer than GRAM + 1 notes agree.
    first_note : int
        Index of the run's first note in the piece.
    source : str or None
        Name of the piece in the corpus.
    """

    n_notes: int
    first_note: int
    source: str | None


def melodic_steps(notes) -> np.ndarray:
    """Return the step from each note to the next: interval in the high byte, gap in the low byte.

    Parameters
    ----------
    notes : NoteSequence

    Returns
    -------
    uint16 array (n_notes - 1,)
    """
    order = np.lexsort((notes.pitch, notes.start))
    gap = np.diff(notes.start[order]) * STEPS_PER_QUARTER // notes.steps_per_quarter
    interval = np.diff(notes.pitch[order].astype(np.int64)) + 128
    return (interval.clip(0, 255) << 8 | gap.clip(0, MAX_GAP)).astype(np.uint16)


def _hash_grams(steps):
    """Return a hash of each GRAM steps in succession, uint64 (n - GRAM + 1,)."""
    hashes = np.zeros(max(0, len(steps) - GRAM + 1), dtype=np.uint64)
    for i in range(GRAM):
        hashes = (hashes + steps[i : i + len(hashes)].astype(np.uint64) + np.uint64(1)) * HASH_MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return hashes


class NoteIndex:
    """The steps of all pieces of a corpus, indexed by hash.

    Parameters
    ----------
    steps : list of uint16 arrays
        The melodic steps of each piece.
    names : list of str
        The name of each piece.

    Attributes
    ----------
    steps : uint16 array (n_steps,)
        The steps of all pieces, one piece after the other.
    begin : int64 array (n_pieces + 1,)
        Where each piece begins in `steps`, and the end.
    names : list of str
    """

    def __init__(self, steps: list[np.ndarray], names: list[str]) -> None:
        self.names = names
        self.begin = np.cumsum([0, *map(len, steps)])
        self.steps = np.concatenate([*steps, np.zeros(0, dtype=np.uint16)])
        hashes = [np.zeros(0, dtype=np.uint64)]
        places = [np.zeros(0, dtype=np.int64)]
        for piece, begin in zip(steps, self.begin):
            of_piece = _hash_grams(piece)
            hashes.append(of_piece)
            places.append(np.arange(len(of_piece)) + begin)
        hashes = np.concatenate(hashes)
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._places = np.concatenate(places)[order]

    @classmethod
    def from_pieces(cls, pieces: Iterable) -> "NoteIndex":
        """Return the index of an iterable of (name, NoteSequence)."""
        steps = []
        names = []
        for name, notes in pieces:
            steps.append(melodic_steps(notes))
            names.append(name)
        return cls(steps, names)

    @classmethod
    def from_corpus(cls, corpus, split: str = "train") -> "NoteIndex":
        """Return the index of one split of a `clara.data.corpus.Corpus`."""
        from tqdm import tqdm

        names = tqdm(corpus.rows(split)["piece"], unit=" pieces", disable=None, desc="reading", leave=False)
        return cls.from_pieces((name, corpus.encoding.decode(corpus.tokens(name))[0]) for name in names)

    def save(self, path: str | Path) -> None:
        """Write the index, compressed; raises CannotWrite."""
        file = BytesIO()
        np.savez_compressed(
            file,
            up=(self.steps >> 8).astype(np.uint8),
            gap=self.steps.astype(np.uint8),
            length=np.diff(self.begin).astype(np.int32),
            names=np.array("\n".join(self.names)),
        )
        write_atomically(path, file.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "NoteIndex":
        """Read an index that `save` wrote.

        Raises
        ------
        CheckpointMismatch
            If the file is missing or broken.
        """
        try:
            with np.load(BytesIO(Path(path).read_bytes()), allow_pickle=False) as arrays:
                steps = arrays["up"].astype(np.uint16) << 8 | arrays["gap"]
                return cls(np.split(steps, np.cumsum(arrays["length"])[:-1]), str(arrays["names"]).split("\n"))
        except (OSError, EOFError, ValueError, TypeError, KeyError, BadZipFile, zlib.error) as e:
            raise CheckpointMismatch(f"{path}: not an index of notes ({e})") from e

    def longest_run(self, notes) -> CopiedRun:
        """Return the longest run of notes that occurs in one piece of the corpus; of equally long runs the first.

        Parameters
        ----------
        notes : NoteSequence
        """
        steps = melodic_steps(notes)
        hashes = _hash_grams(steps)
        low = np.searchsorted(self._hashes, hashes, "left")
        high = np.searchsorted(self._hashes, hashes, "right")
        longest, best_note, best_place = 0, 0, None
        continued = np.zeros(0, dtype=np.int64)  # places that continue a match of the previous note
        for i in range(len(hashes)):
            places = self._places[low[i] : min(high[i], low[i] + MAX_PLACES)]
            for place in places[~np.isin(places, continued)]:
                length = self._common_length(steps[i:], place)
                if length > longest:
                    longest, best_note, best_place = length, i, place
            continued = places + 1
        if best_place is None:
            return CopiedRun(0, 0, None)
        return CopiedRun(longest + 1, best_note, self.names[self._piece_at(best_place)])

    def _piece_at(self, place):
        """Return the index of the piece that holds a place."""
        return int(np.searchsorted(self.begin, place, "right")) - 1

    def _common_length(self, steps, place):
        """Return how many steps agree with the corpus from a place on, within one piece."""
        end = self.begin[self._piece_at(place) + 1]
        n = min(len(steps), end - place)
        differs = (steps[:n] != self.steps[place : place + n]).nonzero()[0]
        return int(differs[0]) if len(differs) else int(n)


def parser() -> cli.Parser:
    """Return the parser of the command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    p.add_argument_group("music").add_argument("corpus", metavar="CORPUS", help="folder that data_prep.prepare wrote")
    p.add_argument_group("run").add_argument("--out", required=True, metavar="FILE", help="File to write, a NumPy .npz")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    args = parser().parse_args(argv)
    from clara.data.corpus import Corpus  # heavy imports wait for --help

    index = NoteIndex.from_corpus(Corpus.load(args.corpus))
    index.save(args.out)
    n_notes = len(index.steps) + len(index.names)
    megabytes = Path(args.out).stat().st_size / 1e6
    print(f"{args.out}: {count_of(len(index.names), 'piece')}, {count_of(n_notes, 'note')}, {megabytes:.1f} MB")
    return 0


if __name__ == "__main__":
    cli.run(main)
