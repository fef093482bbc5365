"""Split musical works into train, valid and test.

The split of a work depends on its music alone: the same work falls on the same side in every
corpus, and adding pieces moves no others.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from clara.data.corpus import SPLITS
from clara.data.musical_works import fingerprint_digest

VALID_PERCENT, TEST_PERCENT = 5, 5


def assign_splits(fingerprints: Sequence[Sequence[np.ndarray]], works: np.ndarray) -> list[str]:
    """Return the split of each file.

    Parameters
    ----------
    fingerprints : sequence of n lists of arrays from `clara.data.musical_works.compute_lines`
    works : int array, shape (n,)
        Work numbers from `clara.data.musical_works.group_works`.

    Returns
    -------
    list of n str
        `train`, `valid` or `test`. With three works or more, none of the three is empty.
    """
    smallest_digest = {}  # by work; the smallest digest among its files stands for the work
    for lines, work in zip(fingerprints, works.tolist()):
        digest = fingerprint_digest(lines[0])  # of the top line
        smallest_digest[work] = min(digest, smallest_digest.get(work, digest))
    percent_of_work = {work: _digest_to_percent(digest) for work, digest in smallest_digest.items()}
    split_of_work = _split_works(percent_of_work)
    return [split_of_work[work] for work in works.tolist()]


def _split_works(percent_of_work):
    """Return {work: split}; of three works or more, each split gets at least one."""
    if len(percent_of_work) < 3:
        return dict.fromkeys(percent_of_work, "train")
    split_of_work = {work: _split_at(percent) for work, percent in percent_of_work.items()}
    by_percent = sorted(percent_of_work, key=percent_of_work.get)
    for split in SPLITS:
        if split not in split_of_work.values():
            sizes = Counter(split_of_work.values())
            movable = [work for work in by_percent if sizes[split_of_work[work]] > 1]
            split_of_work[movable[-1] if split == "train" else movable[0]] = split
    return split_of_work


def _digest_to_percent(digest):
    """Map a digest to 0..100; hashed once more, because the smallest digest of several is biased."""
    return int.from_bytes(hashlib.sha256(digest).digest()[:8], "big") / 2**64 * 100


def _split_at(percent):
    """Return the split of a percentage: the lowest go to valid, the next to test, the rest to train."""
    if percent < VALID_PERCENT:
        return "valid"
    return "test" if percent < VALID_PERCENT + TEST_PERCENT else "train"
