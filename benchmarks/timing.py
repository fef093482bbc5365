"""Time functions that take turns, so that a slow moment of the machine slows all of them."""

import time
from collections.abc import Callable


def best_seconds(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Call each function in turn, `rounds` times, and return its shortest time in seconds."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def best_rates(functions: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Call functions that return a rate in turn, `rounds` times, and return the highest rate of each."""
    results = [{name: function() for name, function in functions.items()} for _ in range(rounds)]
    return {name: max(result[name] for result in results) for name in functions}
