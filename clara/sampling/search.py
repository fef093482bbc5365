"""Search in blocks, guided by a rating: candidates whose rating rises are continued more often than others.

Several searches run side by side, each with its share of the candidates. So no two results have the same opening, and
none has to resemble the best one. The searches move in blocks of some quarter notes: all candidates are written to the
end of the block and rated. Then each search draws which of its candidates to continue, in proportion to exp(gain),
where the gain is how much the rating has risen in the block. At the end each search draws one piece.

A rating is a log-weight: with the log-odds of a critic that a person wrote the music, each result is a draw from the
model's music, weighed by how much likelier it is to be a person's (sequential Monte Carlo). Continuing only the best
would lead to pieces that are extreme where the critic errs.

Candidates may have different lengths. What continues a candidate has its length. A candidate that has reached its end
is rated again in later blocks, as it is.

References
----------
Doucet and Johansen (2009), A tutorial on particle filtering and smoothing: fifteen years later.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clara.errors import BadSetting
from clara.form.plan import Plan
from clara.sampling.engine import Sampler
from clara.sampling.settings import SamplingSettings
from clara.sampling.token_choice import settings_table

UNRATED = 1e3  # by so much a candidate that cannot be rated is below all others


@dataclass(frozen=True)
class SearchSettings:
    """How to search.

    Attributes
    ----------
    top : int
        Number of independent searches, each of which returns one piece; at least 1.
    first_block_quarters : float
        Length of the first block in quarter notes; the candidates are rated for the first time after it.
    block_quarters : float
        Length of each later block in quarter notes; the last block takes what is left over.
    candidates_per_beam : int
        Factor for the number of candidates that are written in each block; at least 1.

    Raises
    ------
    BadSetting
        If a value is out of its range.
    """

    top: int = 8
    first_block_quarters: float = 8.0
    block_quarters: float = 4.0
    candidates_per_beam: int = 1

    def __post_init__(self):
        for name in ("top", "candidates_per_beam"):
            if not getattr(self, name) >= 1:
                raise BadSetting(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("first_block_quarters", "block_quarters"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadSetting(f"{name} must be above 0 quarters, not {getattr(self, name)}")

    def block_ends(self, n_steps: int, steps_per_quarter: int) -> list[int]:
        """Return the grid step after the prompt where each block ends; the last block ends beyond the piece."""
        first = max(1, round(self.first_block_quarters * steps_per_quarter))
        block = max(1, round(self.block_quarters * steps_per_quarter))
        return [*range(first, n_steps - block + 1, block), n_steps + 1]


def search(
    sampler: Sampler,
    prompt: np.ndarray,
    n_steps: int | np.ndarray,
    settings: SamplingSettings | Sequence[SamplingSettings],
    seeds: Sequence[int],
    rate: Callable[[list[list[int]]], Sequence[float]],
    search_settings: SearchSettings,
    plans: Sequence[Plan] | None = None,
) -> list[tuple[list[int], int, int]]:
    """Write one candidate per seed in each block, and return one piece of each search.

    Parameters
    ----------
    sampler : Sampler
    prompt : int64 array
        Its tokens, xxbos first.
    n_steps : int or int64 array (n,)
        Grid steps to write after the prompt, for all candidates or for each candidate of the first block.
    settings : SamplingSettings or sequence of SamplingSettings
        For all candidates, or one for each.
    seeds : sequence of n ints
    rate : callable
        Takes the candidates, lists of token ids without prompt and xxeos, and returns a log-weight for each: a
        candidate whose number is higher by 1 is drawn e times as often.
    search_settings : SearchSettings
    plans : sequence of n Plans, optional
        What each candidate of the first block follows, for a model that follows plans; later ones follow the plan
        of the candidate that they continue.

    Returns
    -------
    list of (text, index, first)
        The token ids of each search's piece, without prompt and xxeos, the index of its seed, and the index of the
        candidate of the first block that it began as, whose length and plan it has; those that are rated highest first.
        As many as `search_settings.top`, but not more than seeds. Empty if `sampler.stop` was set.
    """
    n = len(seeds)
    lengths = np.broadcast_to(np.asarray(n_steps, dtype=np.int64), n)
    table = settings_table(settings, n)
    start = sampler.read_prompts([prompt] * n, plans)
    texts: list[list[int]] = [[]] * n
    rows = np.arange(n)  # the row of each text in `start`; -1 for a text that has reached its end
    firsts = np.arange(n)  # the candidate of the first block that each text began as
    # The candidates that each search continues, as indices of `texts`. All searches start from the prompt.
    n_searches = min(search_settings.top, n)
    search_of = np.arange(n) % n_searches
    parents = np.arange(n)
    ratings = np.zeros(n)
    schedule = {int(length): search_settings.block_ends(int(length), sampler.steps_per_quarter) for length in lengths}
    n_blocks = max(map(len, schedule.values()))
    for block in range(n_blocks):
        going = np.flatnonzero(rows[parents] >= 0)
        if not len(going):
            break
        lengths, firsts = lengths[parents], firsts[parents]
        texts = [texts[parent] for parent in parents]
        rows, before = rows[parents], ratings[parents]
        until = np.array([schedule[length][block] for length in lengths[going].tolist()])
        added, start = _sampler_of_block(sampler, block, n_blocks, search_settings).write(
            start, rows[going], lengths[going], table[going], [[seeds[i], block] for i in going.tolist()], until
        )
        if any(ids is None for ids in added):
            return []
        for i, ids in zip(going, added):
            texts[i] = texts[i] + ids
        is_interrupted = until <= lengths[going]
        rows[going] = np.where(is_interrupted, np.cumsum(is_interrupted) - 1, -1)
        ratings = _finite(rate(texts))
        gains = ratings - before
        for one in range(n_searches):
            own = np.flatnonzero(search_of == one)
            parents[own] = own[_draw_rows(gains[own], len(own), np.random.default_rng([seeds[one], block, 1]))]
    chosen = sorted(parents[:n_searches].tolist(), key=lambda i: -ratings[i])
    return [(texts[i], i, int(firsts[i])) for i in chosen]


def _sampler_of_block(sampler, block, n_blocks, search_settings):
    """Return the sampler with the progress of the whole search."""
    if not sampler.on_step:
        return sampler
    block_steps = max(1, round(search_settings.block_quarters * sampler.steps_per_quarter))
    steps_after_block = (n_blocks - block - 1) * block_steps

    def on_step(steps_left):
        sampler.on_step(max(steps_left, steps_after_block))

    return replace(sampler, on_step=on_step)


def _finite(ratings):
    """Return ratings as a float64 array, where minus infinity is far below all others."""
    ratings = np.asarray(ratings, dtype=np.float64)
    is_rated = np.isfinite(ratings)
    lowest = ratings[is_rated].min() if is_rated.any() else 0.0
    return np.where(is_rated, ratings, lowest - UNRATED)


def _draw_rows(log_weights, n, rng):
    """Draw n rows in proportion to exp(log-weight), each as nearly as often as its share says (systematic resampling).

    The order of the rows drawn is random.
    """
    weights = np.exp(log_weights - log_weights.max())
    ends = np.cumsum(weights / weights.sum())
    at = (rng.random() + np.arange(n)) / n
    return rng.permutation(np.searchsorted(ends, at).clip(0, len(ends) - 1))
