"""Compile loops to machine code with numba, once, when they are first called.

The names such as ``int64_1d`` are numba's argument types, for `compiled`. Arrays are contiguous (C order) unless the
name ends in ``_readonly``. bfloat16 is unknown to numba, so functions take its bits as uint16.
"""

from collections.abc import Callable
from functools import cache, wraps

int64, float64 = "int64", "float64"
int64_1d_readonly = 'Array(int64, 1, "A", readonly=True)'  # "A": strided arrays, too
int64_2d_readonly = 'Array(int64, 2, "A", readonly=True)'
int64_3d_readonly = 'Array(int64, 3, "A", readonly=True)'
float64_1d_readonly = 'Array(float64, 1, "A", readonly=True)'
uint8_1d_readonly = 'Array(uint8, 1, "C", readonly=True)'
uint8_1d, uint8_2d = "uint8[::1]", "uint8[:,::1]"
int32_1d, int32_2d = "int32[::1]", "int32[:,::1]"
int32_3d, int32_4d = "int32[:,:,::1]", "int32[:,:,:,::1]"
int64_1d, int64_2d, int64_3d, int64_4d = "int64[::1]", "int64[:,::1]", "int64[:,:,::1]", "int64[:,:,:,::1]"
float32_1d, float32_2d, float32_3d = "float32[::1]", "float32[:,::1]", "float32[:,:,::1]"
float64_1d, float64_2d = "float64[::1]", "float64[:,::1]"
bfloat16_bits_2d, bfloat16_bits_3d = "uint16[:,::1]", "uint16[:,:,::1]"

_loaders = []


def compiled(*argument_types: str, **options) -> Callable:
    """Return a decorator that compiles a function for the given argument types.

    The machine code is cached on disk for later processes. As in C, indices are not checked and integers wrap around.

    Parameters
    ----------
    *argument_types : str
        numba's type of each argument, for example `int64_1d`.
    **options
        Options of `numba.njit`.
    """

    def decorate(function):
        @cache
        def load():
            return _compile(function, argument_types, options)

        @wraps(function)
        def call(*args):
            return load()(*args)

        _loaders.append(load)
        return call

    return decorate


def load_all() -> None:
    """Load all compiled functions, so that processes forked from this one share them."""
    for load in _loaders:
        load()


def _compile(function, argument_types, options):
    """Return the machine code of a function, from the cache if it is there."""
    from numba import njit  # importing numba takes half a second

    signature = f"({', '.join(argument_types)},)"
    try:
        return njit(signature, cache=True, nogil=True, **options)(function)
    except RuntimeError:  # no folder for the cache can be written, neither beside the module nor at home
        return njit(signature, nogil=True, **options)(function)
