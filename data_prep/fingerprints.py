"""The fingerprints of a corpus on disk, so that not all of them are in memory at once.

One file: the runs of all pieces one after the other (little-endian int64), then their
index as JSON (`names`, `sizes`), then the index's place in the file, as one more integer.
"""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clara.errors import CannotWrite

RUNS = np.dtype("<i8")


@contextlib.contextmanager
def write_fingerprints(path):
    """Write a file of fingerprints, whole or not at all: `with write_fingerprints(path) as add`.

    Parameters
    ----------
    path : where to; its folder must exist

    Yields
    ------
    add : function of a piece's name and its int64 array, which goes to disk at once

    Raises
    ------
    CannotWrite
        Naming the path and the system's reason.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    names, sizes = [], []

    def add(name, runs):
        file.write(runs.astype(RUNS).tobytes())
        names.append(name)
        sizes.append(len(runs))

    try:
        with open(part, "wb") as file:
            yield add
            place = file.tell()
            file.write(json.dumps({"names": names, "sizes": sizes}).encode())
            file.write(np.array([place], dtype=RUNS).tobytes())
        part.replace(path)
    except OSError as e:
        raise CannotWrite(f"{path}: cannot be written ({e.strerror})") from e
    finally:
        part.unlink(missing_ok=True)


class FingerprintFile:
    """A file that `write_fingerprints` wrote; each fingerprint is read when it is asked for.

    Parameters
    ----------
    path : of the file
    """

    def __init__(self, path):
        self.path = Path(path)
        with open(self.path, "rb") as file:
            end = file.seek(-RUNS.itemsize, os.SEEK_END)
            place = int(np.frombuffer(file.read(), dtype=RUNS)[0])
            file.seek(place)
            index = json.loads(file.read(end - place))
        self.sizes = index["sizes"]
        self.starts = np.cumsum([0, *self.sizes])
        self.places = {name: i for i, name in enumerate(index["names"])}

    def __contains__(self, name):
        return name in self.places

    def __getitem__(self, name):
        """The int64 array of a piece."""
        place = self.places[name]
        return np.fromfile(
            self.path, dtype=RUNS, count=self.sizes[place], offset=int(self.starts[place]) * RUNS.itemsize
        )

    def select(self, names):
        """The fingerprints of some pieces, in their order, as a sequence of arrays."""
        return _Ordered(self, names)


class _Ordered(Sequence):
    """Some of the fingerprints of a file."""

    def __init__(self, kept, names):
        self.kept, self.names = kept, names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, i):
        return self.kept[self.names[i]]
