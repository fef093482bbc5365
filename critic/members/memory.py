"""What a member has computed of the parts of the pieces that it has read.

A search scores the same texts again and again, each time a little longer. Most parts of a text, such as its finished
windows, are then as they were. A member with a memory finds their results by their content. So texts that begin alike
share what they have in common, whichever of them was read first, and a text that was changed is read anew.
"""

from collections import OrderedDict
from hashlib import blake2b
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")
MAX_PARTS = 2**14  # of up to 2 KiB


class Memory(Generic[T]):
    """Results by the content of what they were computed from; the least recently used are forgotten.

    Parameters
    ----------
    max_parts : int
        Largest number of results.
    """

    def __init__(self, max_parts: int = MAX_PARTS):
        self.max_parts = max_parts
        self._results: OrderedDict[bytes, T] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._results)

    def get(self, key: bytes) -> T | None:
        """Return the result of a key, or None."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def put(self, key: bytes, result: T) -> None:
        """Store the result of a key."""
        with self._lock:
            self._results[key] = result
            self._results.move_to_end(key)
            if len(self._results) > self.max_parts:
                self._results.popitem(last=False)


def content_key(*arrays) -> bytes:
    """Return a short key that tells contiguous arrays apart by their bytes; all keys have as many arrays."""
    digest = blake2b(digest_size=16)
    for array in arrays:
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(array)
    return digest.digest()
