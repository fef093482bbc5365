"""Loops that numpy has no word for, compiled to machine code by numba when first called."""

from functools import cache, wraps

# numba's names for them; arrays in C order, but for those marked A
INTEGER, INTEGERS, PAIRS, BYTES = (
    "int64",
    'Array(int64, 1, "A", readonly=True)',
    'Array(int64, 2, "A", readonly=True)',
    'Array(uint8, 1, "C", readonly=True)',
)
FLOATS, FLOATS2, FLOATS3 = "float32[::1]", "float32[:,::1]", "float32[:,:,::1]"
HALVES2, HALVES3 = "uint16[:,::1]", "uint16[:,:,::1]"
INT32S, INT32S2, INT32S4 = "int32[::1]", "int32[:,::1]", "int32[:,:,:,::1]"
LONGS, LONGS2, LONGS3, LONGS4 = "int64[::1]", "int64[:,::1]", "int64[:,:,::1]", "int64[:,:,:,::1]"
BYTES1, BYTES2 = "uint8[::1]", "uint8[:,::1]"
DOUBLES, DOUBLES2, DOUBLES3 = "float64[::1]", "float64[:,::1]", "float64[:,:,::1]"

_loaders = []


def compiled(*argument_types, **options):
    """Decorate a function of arguments of these types.

    It is compiled once, with numba's options, and kept for the next process. Indices are not
    checked and integers turn over, as in C.
    """

    def of(function):
        @cache
        def loaded():
            return _load(function, argument_types, options)

        @wraps(function)
        def call(*args):
            return loaded()(*args)

        _loaders.append(loaded)
        return call

    return of


def load_all():
    """Load every compiled function now: processes forked after this share them, and need not load their own."""
    for loaded in _loaders:
        loaded()


def _load(function, argument_types, options):
    """The machine code of a function, from where it was kept if it was."""
    from numba import njit  # takes half a second: waits for the first call

    signature = f"({', '.join(argument_types)},)"
    try:
        return njit(signature, cache=True, nogil=True, **options)(function)
    except RuntimeError:  # nowhere to keep it: neither beside the module nor at home
        return njit(signature, nogil=True, **options)(function)
