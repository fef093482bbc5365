"""Compose in blocks, go on only from what is rated best.

Beam searches side by side, each with its share of the texts, so that no two results are of one beginning and none has to resemble what is rated
best of all. Their steps are blocks of some quarters: all texts are written for a block and rated, and each search forks the best of its own, as
often as makes as many texts as before. In the end each gives its best. At equal numbers of sampled words that is better than the best of as many
independent texts: see `benchmarks/search.py`.
"""

import numpy as np

from clara.sampling.engine import read, write
from clara.sampling.settings import settings_table

KEPT = 4  # one of so many goes on


def search(
    reader,
    make_stepper,
    grammar,
    settings,
    prompt_ids,
    steps,
    seeds,
    steps_per_quarter,
    first,
    block,
    rate,
    top,
    cadence=None,
    repeats=None,
    threads=1,
    on_step=None,
    stop=None,
):
    """Write one text per seed in each block; parameters as `clara.sampling.engine.sample` and

    Parameters
    ----------
    first : steps of the first block, after which beginnings are rated
    block : steps of the others, after which texts are rated; the last takes what is left over
    rate : function(list of lists of ids, prompt and xxeos left out) -> floats (n,), more is better
    top : how many searches there are, each with its share of the texts; no more than texts

    Returns
    -------
    list of `top` (lists of ids, prompt and xxeos left out; index of the seed), as many as there are texts at most, best first; none where `stop` came
    """
    n, table = len(seeds), settings_table(settings, len(seeds))
    start, texts, kept = read(reader, grammar, prompt_ids, steps), [[]], [[0]] * min(top, n)
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
