"""Split musical works into train, valid and test.

The split of a work depends on its music alone: the same work falls on the same side in every
corpus, and adding pieces moves no others.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clara.data.corpus import SPLITS
from clara.data.musical_works import fingerprint_digest

TEST_PERCENT = 5
GROUP_BY = ("music", "folder")


@dataclass(frozen=True)
class SplitSettings:
    """How files are grouped as works, and works are split.

    Attributes
    ----------
    group_by : str
        One of `GROUP_BY`: files are one work if their music says so, or also if they lie in one folder.
    valid_share : float
        Share of the works that validate, 0-0.5.
    with_test : bool
        Hold out test works, too; otherwise they are trained on.
    """

    group_by: str = "music"
    valid_share: float = 0.05
    with_test: bool = True

    @property
    def wanted(self) -> list[str]:
        """Return the splits that must not be empty."""
        is_wanted = {"train": True, "valid": self.valid_share > 0, "test": self.with_test}
        return [split for split in SPLITS if is_wanted[split]]

    def split_at(self, percent: float) -> str:
        """Return the split of a percentage: the lowest go to valid, the next to test, the rest to train."""
        valid_percent = 100 * self.valid_share
        if percent < valid_percent:
            return "valid"
        return "test" if self.with_test and percent < valid_percent + TEST_PERCENT else "train"


DEFAULT_SPLIT = SplitSettings()


def assign_splits(
    fingerprints: Sequence[Sequence[np.ndarray]], works: np.ndarray, settings: SplitSettings = DEFAULT_SPLIT
) -> list[str]:
    """Return the split of each file.

    Parameters
    ----------
    fingerprints : sequence of n lists of arrays from `clara.data.musical_works.compute_lines`
    works : int array, shape (n,)
        Work numbers from `clara.data.musical_works.group_works`.
    settings : SplitSettings

    Returns
    -------
    list of n str
        `train`, `valid` or `test`. None that is wanted is empty, if there are as many works as wanted splits;
        with fewer works all are `train`.
    """
    smallest_digest = {}  # by work; the smallest digest among its files stands for the work
    for lines, work in zip(fingerprints, works.tolist()):
        digest = fingerprint_digest(lines[0])  # of the top line
        smallest_digest[work] = min(digest, smallest_digest.get(work, digest))
    percent_of_work = {work: _digest_to_percent(digest) for work, digest in smallest_digest.items()}
    split_of_work = _split_works(percent_of_work, settings)
    return [split_of_work[work] for work in works.tolist()]


def _split_works(percent_of_work, settings):
    """Return {work: split}; if there are enough works, each wanted split gets at least one."""
    if len(percent_of_work) < len(settings.wanted):
        return dict.fromkeys(percent_of_work, "train")
    split_of_work = {work: settings.split_at(percent) for work, percent in percent_of_work.items()}
    by_percent = sorted(percent_of_work, key=percent_of_work.get)
    for split in settings.wanted:
        if split not in split_of_work.values():
            sizes = Counter(split_of_work.values())
            movable = [work for work in by_percent if sizes[split_of_work[work]] > 1]
            split_of_work[movable[-1] if split == "train" else movable[0]] = split
    return split_of_work


def _digest_to_percent(digest):
    """Map a digest to 0..100; hashed once more, because the smallest digest of several is biased."""
    return int.from_bytes(hashlib.sha256(digest).digest()[:8], "big") / 2**64 * 100
