"""Fingerprints go to disk one by one and come back by name."""

import numpy as np
import pytest

from clara.data.fingerprints import FingerprintFile, write_fingerprints
from clara.errors import CannotWrite


def as_lists(lines):
    return [line.tolist() for line in lines]


@pytest.mark.parametrize("names", [[], ["a/b"], ["bach/1", "bach/ü 2", "c"]])
def test_kept(tmp_path, names):
    fingerprints = dict(
        zip(names, [[np.array([3, 9]), np.array([4])], [np.array([1])], [np.array([2**47, 2**48])] * 3])
    )
    with write_fingerprints(tmp_path / "f.bin") as add:
        for name, lines in fingerprints.items():
            add(name, lines)
    kept = FingerprintFile(tmp_path / "f.bin")
    assert all(name in kept for name in names) and "nobody" not in kept
    assert all(as_lists(kept[n]) == as_lists(fingerprints[n]) for n in names)
    assert all(line.dtype == np.int64 for n in names for line in kept[n])
    backwards = kept.select(names[::-1])
    assert [as_lists(lines) for lines in backwards] == [as_lists(fingerprints[n]) for n in names[::-1]]
    assert [p.name for p in tmp_path.iterdir()] == ["f.bin"]


def test_whole_or_not_at_all(tmp_path):
    (tmp_path / "f.bin").write_bytes(b"old")
    with pytest.raises(KeyError), write_fingerprints(tmp_path / "f.bin") as add:
        add("a", [np.arange(3)])
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["f.bin"] and (tmp_path / "f.bin").read_bytes() == b"old"


def test_where_it_cannot_be_written(tmp_path):
    with pytest.raises(CannotWrite, match="f.bin"), write_fingerprints(tmp_path / "nowhere/f.bin"):
        pass
