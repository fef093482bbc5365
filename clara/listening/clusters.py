"""Notes as they are heard, and clusters of notes that begin together."""

from dataclasses import dataclass

import numpy as np

MAX_GAP_SECONDS = 0.03  # between neighbours of a cluster; people spread chords by 10 to 30 ms
MAX_SPREAD_SECONDS = 0.06  # of a whole cluster; sixteenths at 180 quarters per minute are 83 ms apart


@dataclass(frozen=True, eq=False)
class HeardNotes:
    """Notes in seconds, sorted by onset, then pitch.

    Attributes
    ----------
    onset, end : float64 arrays (n,)
        In seconds.
    pitch, velocity : int64 arrays (n,)
        MIDI numbers.
    """

    onset: np.ndarray
    end: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray

    def __len__(self) -> int:
        return len(self.onset)

    @classmethod
    def from_columns(cls, onset, end, pitch, velocity) -> "HeardNotes":
        """Sort notes in any order."""
        onset, end = np.asarray(onset, dtype=np.float64), np.asarray(end, dtype=np.float64)
        pitch, velocity = np.asarray(pitch, dtype=np.int64), np.asarray(velocity, dtype=np.int64)
        order = np.lexsort((pitch, onset))
        return cls(onset[order], np.maximum(end, onset)[order], pitch[order], velocity[order])


@dataclass(frozen=True, eq=False)
class Clusters:
    """Notes that begin together.

    Attributes
    ----------
    seconds : float64 array (n_clusters,)
        Mean onset of each cluster; ascending.
    cluster_of_note : int64 array (n_notes,)
    """

    seconds: np.ndarray
    cluster_of_note: np.ndarray

    def __len__(self) -> int:
        return len(self.seconds)


def find_clusters(notes: HeardNotes) -> Clusters:
    """Group notes that begin together: no gap above `MAX_GAP_SECONDS`, no group above `MAX_SPREAD_SECONDS`."""
    if not len(notes):
        return Clusters(np.zeros(0), np.zeros(0, dtype=np.int64))
    begins = np.diff(notes.onset, prepend=-np.inf) > MAX_GAP_SECONDS
    while True:
        first = notes.onset[np.flatnonzero(begins)][np.cumsum(begins) - 1]
        is_late = notes.onset - first > MAX_SPREAD_SECONDS
        late = np.flatnonzero(is_late & ~np.append(False, is_late[:-1]))
        if not len(late):
            break
        begins[late] = True
    cluster = np.cumsum(begins) - 1
    return Clusters(np.bincount(cluster, notes.onset) / np.bincount(cluster), cluster)
