"""Search in blocks, guided by a rating: continue only the best candidates.

Several beam searches run side by side, each with its share of the candidates. So no two results have the same opening,
and none has to resemble the best one. The searches move in blocks of some quarter notes: all candidates are written to
the end of the block and rated. Each search then continues its best quarter, with as many copies as it had candidates.
At the end each search returns its best piece. For an equal number of sampled tokens the results are better than the
best independent pieces; see `benchmarks/search.py`.

Candidates may have different lengths. What continues a candidate has its length. A candidate that has reached its end
is rated again in later blocks, as it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clara.errors import BadSetting
from clara.form.plan import Plan
from clara.sampling.engine import Sampler
from clara.sampling.settings import SamplingSettings
from clara.sampling.token_choice import settings_table

CANDIDATES_PER_SURVIVOR = 4  # one candidate in so many is continued


@dataclass(frozen=True)
class SearchSettings:
    """How to search.

    Attributes
    ----------
    top : int
        Number of independent searches, each of which returns its best piece; at least 1.
    first_block_quarters : float
        Length of the first block in quarter notes; the candidates are rated for the first time after it.
    block_quarters : float
        Length of each later block in quarter notes; the last block takes what is left over.
    candidates_per_beam : int
        Number of candidates that are written in each block for each beam; at least 1.

    Raises
    ------
    BadSetting
        If a value is out of its range.
    """

    top: int = 8
    first_block_quarters: float = 8.0
    block_quarters: float = 2.0
    candidates_per_beam: int = 1

    def __post_init__(self):
        for name in ("top", "candidates_per_beam"):
            if not getattr(self, name) >= 1:
                raise BadSetting(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("first_block_quarters", "block_quarters"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadSetting(f"{name} must be above 0 quarters, not {getattr(self, name)}")

    def block_start_quarters(self, block: int) -> float:
        """Return where a block starts, in quarter notes after the prompt; blocks count from 0."""
        return self.first_block_quarters + (block - 1) * self.block_quarters if block else 0.0

    def block_ends(self, n_steps: int, steps_per_quarter: int) -> list[int | None]:
        """Return the grid step after the prompt where each block ends; None for the last, which ends the piece."""
        first = max(1, round(self.first_block_quarters * steps_per_quarter))
        block = max(1, round(self.block_quarters * steps_per_quarter))
        return [*range(first, n_steps - block + 1, block), None]


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
    """Write one candidate per seed in each block, and return the best of each search.

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
        Takes the candidates, lists of token ids without prompt and xxeos, and returns a number for each; higher is
        better.
    search_settings : SearchSettings
    plans : sequence of n Plans, optional
        What each candidate of the first block follows, for a model that follows plans; later ones go on with the plan
        of the candidate that they continue.

    Returns
    -------
    list of (text, index, first)
        The token ids of each search's best piece, without prompt and xxeos, the index of its seed, and the index of the
        candidate of the first block that it began as, whose length and plan it has; best first. As many as
        `search_settings.top`, but not more than seeds. Empty if `sampler.stop` was set.
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
    survivors = [list(range(first, n, n_searches)) for first in range(n_searches)]
    schedule = _schedule(lengths, sampler.steps_per_quarter, search_settings)
    n_blocks = max(map(len, schedule.values()))
    for block in range(n_blocks):
        parents = _deal(survivors, n)
        going = np.flatnonzero(rows[parents] >= 0)
        if not len(going):
            break
        lengths, firsts = lengths[parents], firsts[parents]
        texts = [texts[parent] for parent in parents]
        rows = rows[parents]
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
        survivors = _rank_within_searches(rate(texts), np.arange(n) % len(survivors))
        if block < n_blocks - 1:
            survivors = [own[: max(1, len(own) // CANDIDATES_PER_SURVIVOR)] for own in survivors]
    return [(texts[own[0]], own[0], int(firsts[own[0]])) for own in survivors]


def _schedule(lengths, steps_per_quarter, search_settings):
    """Return the grid step at which each block ends, by the length of the text; the last one lies beyond its end."""
    schedule = {}
    for length in set(lengths.tolist()):
        *block_ends, _ = search_settings.block_ends(length, steps_per_quarter)
        schedule[length] = [*block_ends, length + 1]
    return schedule


def _deal(survivors, n):
    """Return which candidate each of the n new ones continues, an int64 array.

    The searches get new candidates in turn. The best search comes first and gets what is left over.
    """
    n_searches = len(survivors)
    parents = np.zeros(n, dtype=np.int64)
    for i in range(n):
        own = survivors[i % n_searches]
        parents[i] = own[i // n_searches % len(own)]
    return parents


def _sampler_of_block(sampler, block, n_blocks, search_settings):
    """Return the sampler with the progress of the whole search."""
    if not sampler.on_step:
        return sampler
    block_steps = max(1, round(search_settings.block_quarters * sampler.steps_per_quarter))
    steps_after_block = (n_blocks - block - 1) * block_steps

    def on_step(steps_left):
        sampler.on_step(max(steps_left, steps_after_block))

    return replace(sampler, on_step=on_step)


def _rank_within_searches(ratings, search_of):
    """Return the candidates of each search, best first, as lists of indices; the search with the best one first."""
    ranked = np.argsort(-np.asarray(ratings), kind="stable")
    by_search = {}
    for i in ranked.tolist():
        by_search.setdefault(search_of[i], []).append(i)
    return list(by_search.values())
