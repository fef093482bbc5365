"""Loops that numpy has no word for, compiled to machine code by numba when first called.

Contents: `compiled`, the types that it takes (`INTEGER`, `INTEGERS`, `PAIRS`, `BYTES`, `FLOATS` and so on), `load_all`.
"""

from functools import cache, wraps

INTEGER = "int64"
INTEGERS = "int64, shape (n,)"  # an array of any layout
PAIRS = "int64, shape (n, 2)"
BYTES = "uint8, shape (n,)"  # a read-only array
FLOATS, FLOATS2, FLOATS3 = (f"float32, {n} axes, C order" for n in (1, 2, 3))
HALVES2, HALVES3 = (f"uint16, {n} axes, C order" for n in (2, 3))

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
    from numba import njit, types  # takes half a second: waits for the first call

    known = {INTEGER: types.int64, INTEGERS: types.Array(types.int64, 1, "A", readonly=True),
             PAIRS: types.Array(types.int64, 2, "A", readonly=True),
             BYTES: types.Array(types.uint8, 1, "C", readonly=True)}
    known |= {t: types.Array(types.float32, axes, "C") for axes, t in enumerate((FLOATS, FLOATS2, FLOATS3), 1)}
    known |= {t: types.Array(types.uint16, axes, "C") for axes, t in enumerate((HALVES2, HALVES3), 2)}
    signature = tuple(known[t] for t in argument_types)
    try:
        return njit(signature, cache=True, **options)(function)
    except RuntimeError:  # nowhere to keep it: neither beside the module nor at home
        return njit(signature, **options)(function)
