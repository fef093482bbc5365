"""Compiled functions work without a cache, and take only the argument types that they declare."""

from types import FunctionType

import numpy as np
import pytest
from numba import njit

from clara.jit import compiled, int64, int64_1d_readonly, load_all, uint8_1d_readonly


def _twice(n):
    return 2 * n


def test_without_a_cache():
    without_file = FunctionType(_twice.__code__.replace(co_filename="<nowhere>"), globals())
    with pytest.raises(RuntimeError, match="cannot cache"):
        njit(cache=True)(without_file)
    assert compiled(int64)(without_file)(21) == 42


@compiled(int64_1d_readonly)
def _sum(numbers):
    total = 0
    for n in numbers:
        total += n
    return total


@compiled(uint8_1d_readonly, int64)
def _byte(data, at):
    return data[at] + 0


def test_integers_of_any_layout():
    frozen = np.arange(10)
    frozen.flags.writeable = False
    assert _sum(np.arange(10)) == _sum(frozen) == 45
    assert _sum(np.arange(10)[::2]) == 20
    assert _sum(np.arange(0)) == 0


def test_other_types_are_refused():
    assert _byte(np.frombuffer(b"abc", dtype=np.uint8), 1) == ord("b")
    with pytest.raises(TypeError, match="No matching definition"):
        _byte(np.array([1.5]), 0)


def test_load_all():
    load_all()
    assert _sum(np.arange(3)) == 3
    assert _sum.__wrapped__(range(3)) == 3  # the Python function
