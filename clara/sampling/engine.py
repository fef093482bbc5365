"""The loop that writes many texts at once with a recurrent net.

The prompt is read once, for all samples; each step then feeds one word per sample and
carries the state. Each sample has a random generator of its own, and finished samples
leave the batch.

Contents: `sample`.
"""

import numpy as np
import torch

DRAWS_AHEAD = 256  # random numbers drawn at a time per sample


class Draws:
    """Uniform numbers for samples that each have their own generator.

    Parameters
    ----------
    seeds : list of n ints
    """

    def __init__(self, seeds):
        self.generators = [np.random.default_rng(s) for s in seeds]
        self.at = DRAWS_AHEAD

    def next(self, rows):
        """Two numbers for each sample of rows (int64 tensor), float64 (len(rows), 2)."""
        if self.at == DRAWS_AHEAD:
            self.ahead = torch.from_numpy(np.stack([g.random((DRAWS_AHEAD, 2)) for g in self.generators]))
            self.at = 0
        self.at += 1
        return self.ahead[rows, self.at - 1]


@torch.inference_mode()
def sample(reader, grammar, choose, prompt_ids, steps, seeds, on_step=None):
    """Write one text per seed.

    Parameters
    ----------
    reader : a `Reader` of `clara.models`
    grammar : of `clara.sampling.grammar`
    choose : function(logits, allowed, draws) -> ids, all with a row per sample
    prompt_ids : int64 tensor (m,), the words to go on from, xxbos first
    steps : grid steps to let pass after the prompt
    seeds : list of n ints
    on_step : function(steps left in the slowest sample), called now and then

    Returns
    -------
    list of n lists of ids, prompt and xxeos left out
    """
    n = len(seeds)
    state, written = reader.start(1), grammar.start(1, 0)
    logits, state = reader(prompt_ids[None], state)
    for word in prompt_ids[1:]:
        written = grammar.update(written, word[None])
    rows = torch.zeros(n, dtype=torch.long)  # all samples fork from the one that read the prompt
    state, written, logits = reader.take(state, rows), grammar.take(written, rows), logits[:, -1].expand(n, -1)
    written["left"] = torch.full((n,), steps)
    alive, draws, texts = torch.arange(n), Draws(seeds), [[] for _ in seeds]
    while True:
        ids = choose(logits, grammar.allowed(written), draws.next(alive))
        for row, word in zip(alive.tolist(), ids.tolist()):
            texts[row].append(word)
        written = grammar.update(written, ids)
        going = ids != grammar.eos
        if not going.all():
            rows = going.nonzero()[:, 0]
            if not len(rows):
                return [text[:-1] for text in texts]
            alive, ids, state, written = alive[rows], ids[rows], reader.take(state, rows), grammar.take(written, rows)
        logits, state = reader(ids[:, None], state)
        logits = logits[:, -1]
        if on_step:
            on_step(int(written["left"].max()))
