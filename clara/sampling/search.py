"""Search in blocks, guided by a rating: continue only the best candidates.

Several beam searches run side by side, each with its share of the candidates. So no two results have the same opening,
and none has to resemble the best one. The searches move in blocks of some quarter notes: all candidates are written to
the end of the block and rated. Each search then continues its best quarter, with as many copies as it had candidates.
At the end each search returns its best piece. For an equal number of sampled tokens the results are better than the
best independent pieces; see `benchmarks/search.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clara.errors import BadSetting
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
    n_steps: int,
    settings: SamplingSettings | Sequence[SamplingSettings],
    seeds: Sequence[int],
    rate: Callable[[list[list[int]]], Sequence[float]],
    search_settings: SearchSettings,
) -> list[tuple[list[int], int]]:
    """Write one candidate per seed in each block, and return the best of each search.

    Parameters
    ----------
    sampler : Sampler
    prompt : int64 array
        Its tokens, xxbos first.
    n_steps : int
        Grid steps to write after the prompt.
    settings : SamplingSettings or sequence of SamplingSettings
        For all candidates, or one for each.
    seeds : sequence of n ints
    rate : callable
        Takes the candidates, lists of token ids without prompt and xxeos, and returns a number for each; higher is
        better.
    search_settings : SearchSettings

    Returns
    -------
    list of (text, index)
        The token ids of each search's best piece, without prompt and xxeos, and the index of its seed; best first. As
        many as `search_settings.top`, but not more than seeds. Empty if `sampler.stop` was set.
    """
    n = len(seeds)
    table = settings_table(settings, n)
    start = sampler.read_prompt(prompt, n_steps)
    texts = [[]]
    # The candidates that each search continues, as indices of `texts`. All searches start from the prompt.
    survivors = [[0]] * min(search_settings.top, n)
    block_ends = search_settings.block_ends(n_steps, sampler.steps_per_quarter)
    for block, block_end in enumerate(block_ends):
        # Deal the candidates to the searches in turn. The best search comes first and gets what is left over.
        n_searches = len(survivors)
        search_of = np.arange(n) % n_searches
        parents = np.zeros(n, dtype=np.int64)
        for i in range(n):
            own = survivors[search_of[i]]
            parents[i] = own[i // n_searches % len(own)]
        block_sampler = _sampler_of_block(sampler, block, block_ends, search_settings)
        block_seeds = [[seed, block] for seed in seeds]
        added, start = block_sampler.write(start, parents, n_steps, table, block_seeds, block_end)
        if any(ids is None for ids in added):
            return []
        texts = [texts[parent] + ids for parent, ids in zip(parents, added)]
        survivors = _rank_within_searches(rate(texts), search_of)
        if block_end is not None:
            survivors = [own[: max(1, len(own) // CANDIDATES_PER_SURVIVOR)] for own in survivors]
    return [(texts[own[0]], own[0]) for own in survivors]


def _sampler_of_block(sampler, block, block_ends, search_settings):
    """Return the sampler with the progress of the whole search, and with a cadence in the last block only."""
    on_step = None
    if sampler.on_step:
        block_steps = max(1, round(search_settings.block_quarters * sampler.steps_per_quarter))
        steps_after_block = (len(block_ends) - block - 1) * block_steps

        def on_step(steps_left):
            sampler.on_step(max(steps_left, steps_after_block))

    is_last = block_ends[block] is None
    return replace(sampler, on_step=on_step, cadence=sampler.cadence if is_last else None)


def _rank_within_searches(ratings, search_of):
    """Return the candidates of each search, best first, as lists of indices; the search with the best one first."""
    ranked = np.argsort(-np.asarray(ratings), kind="stable")
    by_search = {}
    for i in ranked.tolist():
        by_search.setdefault(search_of[i], []).append(i)
    return list(by_search.values())
