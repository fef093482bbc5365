"""The split of works into train, valid and test."""

from collections import Counter

import numpy as np
import pytest
from examples import melody

from clara.data.musical_works import compute_fingerprint, group_works
from clara.data.splits import SplitSettings, assign_splits


def fingerprints(*seeds):
    return [[compute_fingerprint(melody(seed))] for seed in seeds]


@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_every_file_has_a_split(n):
    assert len(assign_splits(fingerprints(*range(n)), np.arange(n))) == n


def test_the_order_of_files_changes_no_split():
    prints = fingerprints(*range(30), *range(10))
    order = np.random.default_rng(0).permutation(len(prints))
    splits = assign_splits(prints, group_works(prints))
    shuffled = [prints[i] for i in order]
    assert assign_splits(shuffled, group_works(shuffled)) == [splits[i] for i in order]
    assert splits[:10] == splits[30:]


def test_works_keep_their_split_when_others_are_added():
    few, many = fingerprints(*range(60)), fingerprints(*range(100))
    before, after = assign_splits(few, np.arange(60)), assign_splits(many, np.arange(100))
    assert set(before) == {"train", "valid", "test"}
    assert before == after[:60]


def test_shares_of_the_split():
    random = np.random.default_rng(0)
    prints = [[random.integers(0, 2**48, 3)] for _ in range(4000)]
    splits = Counter(assign_splits(prints, np.arange(4000)))
    assert splits["valid"] == pytest.approx(200, abs=45) and splits["test"] == pytest.approx(200, abs=45)
    assert splits.total() == 4000 and set(splits) == {"train", "valid", "test"}


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_train_is_never_empty(n):
    random = np.random.default_rng(n)
    for _ in range(4000):
        splits = assign_splits([[random.integers(0, 2**48, 3)] for _ in range(n)], np.arange(n))
        assert "train" in splits
        assert n < 3 or {"valid", "test"} < set(splits)


@pytest.mark.parametrize("n", [1, 2, 3, 400])
@pytest.mark.parametrize(
    "settings, wanted",
    [
        (SplitSettings(), {"train", "valid", "test"}),
        (SplitSettings(with_test=False), {"train", "valid"}),
        (SplitSettings(valid_share=0), {"train", "test"}),
        (SplitSettings(valid_share=0, with_test=False), {"train"}),
        (SplitSettings(valid_share=0.5), {"train", "valid", "test"}),
    ],
)
def test_only_wanted_splits_are_filled(settings, wanted, n):
    random = np.random.default_rng(n)
    prints = [[random.integers(0, 2**48, 3)] for _ in range(n)]
    splits = assign_splits(prints, np.arange(n), settings)
    assert set(splits) == (wanted if n >= len(wanted) else {"train"})
    if n == 400:
        assert splits.count("valid") == pytest.approx(400 * settings.valid_share, abs=40)


def test_the_test_works_alone_change_sides_without_a_test():
    random = np.random.default_rng(0)
    prints = [[random.integers(0, 2**48, 3)] for _ in range(400)]
    before, after = (assign_splits(prints, np.arange(400), SplitSettings(with_test=flag)) for flag in (True, False))
    assert [{"test": "train"}.get(split, split) for split in before] == after
