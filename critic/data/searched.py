"""Excerpts of pieces that a search with a critic has chosen: what that critic takes for human.

A critic that has only heard music as it comes from a model overrates some of what a search with it finds. So it learns
in rounds: compose with the search as it is, and train members that distinguish the results from human music. Their log-
odds are added to those of the critic, as what the critic says of them and what it overlooks make up the whole (as in
boosting). The members of earlier rounds stay, so that nothing is forgotten.
"""

import json
from collections.abc import Callable
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
    threads: int = 1,
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
    threads : int
        Number of CPU threads that compose.
    on_step : function(int), optional
        Called with the number of pieces done since the last call.

    Returns
    -------
    DataFrame
        With `critic.data.table.COLUMNS`; every piece is a work of its own.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    splits = [split for split, count in counts.items() for _ in range(count)]
    rows = []
    piece_quarters = round(PIECE_LENGTH * quarters)
    composed = _compose(model, critic, len(splits), piece_quarters, seed, rng, threads, on_step)
    for number, (split, sample) in enumerate(zip(splits, composed)):
        later = int(rng.integers(1, piece_quarters - quarters + 1))
        for first in (0, later):
            row = _row(sample, seed * MAX_PIECES + number, split, first, quarters)
            rows += [row] if row else []
    return pd.DataFrame(rows, columns=COLUMNS)


def _compose(model, critic, n, quarters, seed, rng, threads, on_step):
    """Yield the generator and the notes of each of n searched pieces."""
    from clara.generation.generator import Generator
    from clara.sampling.search import SearchSettings
    from critic.ranking import total_scores
    from critic.scores import ScoringModels, parse_ranking

    generator = Generator.load(model)
    for first in range(0, n, SEARCHES):
        ranking = parse_ranking("critic", ScoringModels(generator.encoding.name, critic_folder=critic))
        samples = generator.search(
            lambda pieces: total_scores(pieces, ranking),  # noqa: B023 - it is called before the loop goes on
            SEARCHES * CANDIDATES,
            quarters,
            settings=[usual_settings(rng) for _ in range(SEARCHES * CANDIDATES)],
            seed=seed + 1 + first,
            search_settings=SearchSettings(SEARCHES),
            ending=False,
            threads=threads,
        )
        for sample in samples[: n - first]:
            yield generator, sample.notes
        if on_step:
            on_step(min(SEARCHES, n - first))


def _row(composed, number, split, first, quarters):
    """Return the row of an excerpt, or None if the excerpt is mostly silence at its end."""
    generator, notes = composed
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
