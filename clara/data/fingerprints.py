"""Keep the fingerprints of a corpus on disk, so that they need not all be in memory at once.

The file holds the runs of all lines of all pieces one after the other (little-endian int64), then
their index as JSON (`names`, and `sizes`: a list of the sizes of each piece's lines), then the position
of the index in the file as one more int64.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from clara.errors import CannotWrite, NoData
from clara.records import Record, parse_record

FINGERPRINTS = "fingerprints.bin"  # file of a prepared folder
RUN_DTYPE = np.dtype("<i8")


@contextlib.contextmanager
def write_fingerprints(path: str | Path) -> Iterator:
    """Write a file of fingerprints, complete or not at all.

    Use it as `with write_fingerprints(path) as add:`.

    Parameters
    ----------
    path : str or Path
        File to write; its folder must exist.

    Yields
    ------
    add : callable
        `add(name, lines)` writes the int64 arrays of a piece to disk at once.

    Raises
    ------
    CannotWrite
        With the path and the system's reason.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    names, sizes = [], []

    def add(name, lines):
        for runs in lines:
            file.write(runs.astype(RUN_DTYPE).tobytes())
        names.append(name)
        sizes.append([len(runs) for runs in lines])

    try:
        with open(part, "wb") as file:
            yield add
            index_position = file.tell()
            file.write(json.dumps({"names": names, "sizes": sizes}).encode())
            file.write(np.array([index_position], dtype=RUN_DTYPE).tobytes())
        part.replace(path)
    except OSError as error:
        raise CannotWrite(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


class _Index(Record):
    """How many runs each line of each piece has, in the order of the file."""

    names: list[str]
    sizes: list[Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]]


class FingerprintFile:
    """A file that `write_fingerprints` wrote; each fingerprint is read when it is needed.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    NoData
        If the file is broken.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            index, n_runs = self._read_index()
        except (OSError, ValueError) as e:
            raise NoData(f"{self.path}: broken ({e}); prepare the folder again") from e
        if len(index.names) != len(index.sizes) or sum(map(sum, index.sizes)) != n_runs:
            raise NoData(f"{self.path}: broken (its index is not that of its content); prepare the folder again")
        self.sizes = index.sizes
        self.starts = np.cumsum([0, *map(sum, self.sizes)])
        self.row_of_name = {name: row for row, name in enumerate(index.names)}

    def _read_index(self):
        """Return the index, and the number of runs that the file holds."""
        with open(self.path, "rb") as file:
            index_end = file.seek(-RUN_DTYPE.itemsize, os.SEEK_END)
            index_position = int(np.frombuffer(file.read(), dtype=RUN_DTYPE)[0])
            file.seek(index_position)
            text = file.read(max(0, index_end - index_position))
        return parse_record(text, _Index, self.path, NoData), index_position // RUN_DTYPE.itemsize

    def __contains__(self, name):
        return name in self.row_of_name

    def __getitem__(self, name):
        """Read the lines of a piece, a list of int64 arrays."""
        row = self.row_of_name[name]
        sizes = self.sizes[row]
        runs = np.fromfile(
            self.path, dtype=RUN_DTYPE, count=sum(sizes), offset=int(self.starts[row]) * RUN_DTYPE.itemsize
        )
        return np.split(runs, np.cumsum(sizes)[:-1])

    def select(self, names: Sequence[str]) -> Sequence[list[np.ndarray]]:
        """Return the fingerprints of the named pieces, in their order, each read when it is used."""
        return _SelectedFingerprints(self, names)


class _SelectedFingerprints(Sequence):
    """The fingerprints of some pieces of a file."""

    def __init__(self, file, names):
        self.file = file
        self.names = names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, i):
        return self.file[self.names[i]]


def load_fingerprints(folder: str | Path, pieces: Sequence[str]) -> Sequence[list[np.ndarray]]:
    """Return the fingerprints of the named pieces of a prepared folder, each read when it is used.

    Raises
    ------
    NoData
        If the folder has no fingerprints.
    """
    path = Path(folder) / FINGERPRINTS
    if not path.is_file():
        raise NoData(f"{folder}: no {FINGERPRINTS}; prepare it again")
    return FingerprintFile(path).select(list(pieces))
