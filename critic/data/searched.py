"""Excerpts of pieces that a search with a critic has chosen: what that critic takes for human.

A critic that has only heard music as it comes from a model overrates some of what a search with it finds. So it learns
in rounds: compose with the search as it is, and train members that distinguish the results from human music. Their log-
odds are added to those of the critic, as what the critic says of them and what it overlooks make up the whole (as in
boosting). The members of earlier rounds stay, so that nothing is forgotten.
"""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from clara.music.notes import crop
from critic.data.human_vs_generated import usual_settings
from critic.data.table import COLUMNS, GENERATED, MIN_SOUNDING_SHARE

SEARCHES = 8  # side by side
CANDIDATES = 8  # of each search
PIECE_LENGTH = 1.5  # of a piece, in excerpts
MAX_PIECES = 100_000  # of a round; works of different rounds have different numbers


def searched_excerpts(
    model: str | Path,
    critic: str | Path,
    counts: dict[str, int],
    quarters: int = 32,
    seed: int = 0,
    workers: int = 1,
    on_step: Callable[[int], object] | None = None,
):
    """Compose new pieces with a search, and return two excerpts of each: its opening and a later part.

    Parameters
    ----------
    model : path
        Folder of the model that composes.
    critic : path
        Folder of the critic that guides the search.
    counts : dict of str to int
        Number of pieces by split.
    quarters : int
        Length of an excerpt; a piece is `PIECE_LENGTH` times as long.
    seed : int
        Random seed of the notes and of the places.
    workers : int
        Number of processes that compose. The pieces do not depend on it.
    on_step : function(int), optional
        Called with the number of pieces done since the last call.

    Returns
    -------
    DataFrame
        With `critic.data.table.COLUMNS`; every piece is a work of its own.
    """
    import pandas as pd

    from clara.generation.generator import Generator

    rng = np.random.default_rng(seed)
    splits = [split for split, count in counts.items() for _ in range(count)]
    n_batches = -(-len(splits) // SEARCHES)
    batches = [
        ([usual_settings(rng) for _ in range(SEARCHES * CANDIDATES)], seed + 1 + number * SEARCHES)
        for number in range(n_batches)
    ]
    piece_quarters = round(PIECE_LENGTH * quarters)
    pieces = list(_compose_batches(model, critic, piece_quarters, batches, workers, on_step))
    generator = Generator.load(model)
    rows = []
    for number, (split, notes) in enumerate(zip(splits, pieces)):
        later = int(rng.integers(1, piece_quarters - quarters + 1))
        for first in (0, later):
            row = _row(generator, notes, seed * MAX_PIECES + number, split, first, quarters)
            rows += [row] if row else []
    return pd.DataFrame(rows, columns=COLUMNS)


def _compose_batches(model, critic, quarters, batches, workers, on_step):
    """Yield the notes of all pieces, batch by batch; a batch is the settings of its candidates, and a seed."""
    import clara.generation.generator  # noqa: F401 - what it and the next compile is loaded once, before processes fork
    from clara.jit import load_all
    from critic.features import descriptors  # noqa: F401

    compose = partial(_search, model, critic, quarters)
    load_all()
    with ProcessPoolExecutor(workers) as pool:
        for pieces in pool.map(compose, *zip(*batches)):
            if on_step:
                on_step(len(pieces))
            yield from pieces


def _search(model, critic, quarters, settings, seed):
    """Return the notes of the pieces that searches side by side find, on one thread."""
    import torch

    from clara.sampling.search import SearchSettings
    from critic.ranking import total_scores
    from critic.scores import ScoringModels, parse_ranking

    torch.set_num_threads(1)
    generator = _load_generator(model)
    ranking = parse_ranking("critic", ScoringModels(generator.encoding.name, critic_folder=critic))
    samples = generator.search(
        lambda pieces: total_scores(pieces, ranking),
        len(settings),
        quarters,
        settings=settings,
        seed=seed,
        search_settings=SearchSettings(SEARCHES),
        ending=False,
    )
    return [sample.notes for sample in samples]


@lru_cache(maxsize=1)
def _load_generator(model):
    """Return the generator of this process."""
    from clara.generation.generator import Generator

    return Generator.load(model)


def _row(generator, notes, number, split, first, quarters):
    """Return the row of an excerpt, or None if the excerpt is mostly silence at its end."""
    steps_per_quarter = notes.steps_per_quarter
    excerpt = crop(notes, first * steps_per_quarter, (first + quarters) * steps_per_quarter)
    tokens = generator.tokenize(excerpt)[0]
    if sum(generator.encoding.token_steps(tokens)) < MIN_SOUNDING_SHARE * quarters * steps_per_quarter:
        return None
    return {
        "label": GENERATED,
        "split": split,
        "work": -1 - number,
        "composer": "",
        "piece": f"searched-{number}",
        "from_quarter": first,
        "settings": json.dumps({"searched": True}),
        "tokens": " ".join(tokens),
    }
