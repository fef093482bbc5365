"""Compose in blocks, go on only from what is rated best.

A beam search whose steps are blocks of some quarters: all texts are written for a block, rated as they
stand, and the next block goes on from the best of them, each forked so often that there are as many texts as before. At
equal numbers of sampled words the best of it stand above the best of as many independent texts, and are more alike, as they
share beginnings: see `benchmarks/search.py`.

Contents: `search`.
"""

import numpy as np

from clara.sampling.engine import join, read, read_on, write
from clara.sampling.strategies import settings_table

KEPT = 4  # one of so many goes on


def search(reader, make_stepper, grammar, settings, prompt_ids, steps, seeds, steps_per_quarter, block, rate, cadence=None, matching=None,
           threads=1, on_step=None, stop=None):
    """Write one text per seed; parameters as `clara.sampling.engine.sample` and

    Parameters
    ----------
    block : steps after which texts are rated; the last block takes what is left over
    rate : function(list of lists of ids, prompt and xxeos left out) -> floats (n,), more is better

    Returns
    -------
    list of (lists of ids, prompt and xxeos left out; index of the seed), best first; none where `stop` came
    """
    n, table = len(seeds), settings_table(settings, len(seeds))
    start, texts = read(reader, grammar, prompt_ids, steps), [[]]
    ends = [*range(block, steps - block + 1, block), None]
    for at, until in enumerate(ends):
        parents = np.arange(n) % len(texts)  # the best first, so that what is left over is theirs
        left = (len(ends) - at - 1) * block
        more = write(make_stepper, grammar, table, start, parents, [[s, at] for s in seeds], steps, steps_per_quarter,
                     cadence if until is None else None, matching, threads, on_step and (lambda to_go, left=left: on_step(max(to_go, left))), stop, until)
        if any(words is None for words in more):
            return []
        texts = [texts[p] + words for p, words in zip(parents, more)]
        best = np.argsort(-np.asarray(rate(texts)), kind="stable")
        if until is None:
            return [(texts[i], int(i)) for i in best]
        best = best[:max(1, n // KEPT)]
        start = join(reader, [read_on(reader, grammar, start, parents[i], more[i]) for i in best])
        texts = [texts[i] for i in best]
    raise AssertionError("the last block has no end")
