"""Compose in blocks, go on only from what is rated best.

Beam searches side by side, each with its share of the texts, so that no two results are of one beginning and none has to resemble what is rated
best of all. Their steps are blocks of some quarters: all texts are written for a block and rated, and each search forks the best of its own, as
often as makes as many texts as before. In the end each gives its best. At equal numbers of sampled words that is better than the best of as many
independent texts: see `benchmarks/search.py`.
"""

from dataclasses import dataclass

import numpy as np

from clara.errors import BadSetting
from clara.sampling.engine import read, write
from clara.sampling.settings import settings_table

KEPT = 4  # one of so many goes on


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
        Length of each later block in quarter notes.
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

    def block_start_quarters(self, block):
        """Return where a block starts, in quarter notes after the prompt; blocks count from 0."""
        return self.first_block_quarters + (block - 1) * self.block_quarters if block else 0.0


def search(
    reader,
    make_stepper,
    grammar,
    settings,
    prompt_ids,
    steps,
    seeds,
    steps_per_quarter,
    search_settings,
    rate,
    cadence=None,
    repeats=None,
    threads=1,
    on_step=None,
    stop=None,
):
    """Write one text per seed in each block; parameters as `clara.sampling.engine.sample` and

    Parameters
    ----------
    search_settings : SearchSettings
    rate : function(list of lists of ids, prompt and xxeos left out) -> floats (n,), more is better

    Returns
    -------
    list of `top` (lists of ids, prompt and xxeos left out; index of the seed), as many as there are texts at most, best first; none where `stop` came
    """
    first, block = (
        max(1, round(quarters * steps_per_quarter))
        for quarters in (search_settings.first_block_quarters, search_settings.block_quarters)
    )
    n, table = len(seeds), settings_table(settings, len(seeds))
    start, texts, kept = read(reader, grammar, prompt_ids, steps), [[]], [[0]] * min(search_settings.top, n)
    ends = [*range(first, steps - block + 1, block), None]
    for at, until in enumerate(ends):
        line = np.arange(n) % len(kept)  # the search of each text; the best first, so that what is left over is theirs
        parents = np.array([kept[k][i % len(kept[k])] for k, i in zip(line, np.arange(n) // len(kept))])
        left = (len(ends) - at - 1) * block
        more, start = write(
            reader,
            make_stepper,
            grammar,
            table,
            start,
            parents,
            [[s, at] for s in seeds],
            steps,
            steps_per_quarter,
            cadence if until is None else None,
            repeats,
            threads,
            on_step and (lambda to_go, left=left: on_step(max(to_go, left))),
            stop,
            until,
        )
        if any(words is None for words in more):
            return []
        texts = [texts[p] + words for p, words in zip(parents, more)]
        best = np.argsort(-np.asarray(rate(texts)), kind="stable")
        lines = list(dict.fromkeys(line[best].tolist()))  # the best first
        kept = [[i for i in best.tolist() if line[i] == each] for each in lines]
        if until is None:
            return [(texts[some[0]], some[0]) for some in kept]
        kept = [some[: max(1, len(some) // KEPT)] for some in kept]
    raise AssertionError("the last block has no end")
