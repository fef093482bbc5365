"""TODO."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from clara.errors import BadSetting
from critic.data.continuations import ContinuationTask, compose_continuations
from critic.data.corruptions import CORRUPTIONS
from critic.data.table import (
    COLUMNS,
    ENDING_QUARTERS,
    GENERATED,
    HUMAN,
    MIN_SOUNDING_SHARE,
    PROMPT_QUARTERS,
    SEAM_QUARTERS,
    CorpusPieces,
)

CONTINUATIONS_PER_PROMPT = 8  # continuations of a prompt


RANDOM_FREQS = (1.0, 1.0, 1.0, 0.5)


TEMPERATURES = (0.8, 0.9, 0.95, 1.0, 1.1, 1.25, 1.5)


TOP_PS = (0.9, 0.95, 0.98, 1.0)


REPEAT_STRENGTHS = (1.0, 1.0, 0.0)  # of the half over a spread; else 1


USUAL_SHARE = 0.5  # share of what is composed that is sampled as generate.py does


USUAL_TEMPERATURES = (0.85, 0.9, 0.95, 1.0, 1.1)


USUAL_TOP_P = 0.98


CORRUPTED_SHARE = 0.25  # share of the class that is not human: human excerpts, damaged


def human_and_generated_excerpts(models, corpus, n, quarters, seed=0, workers=1, device="cpu", on_step=None):
    """Excerpts of both classes.

    Parameters
    ----------
    models : folders of one or more models of the corpus's encoding and of one vocabulary; each composes for its share of the prompts
    corpus : clara.data.corpus.Corpus
    n : {split: how many of each class}, made up to whole prompts
    quarters : length of each
    seed : of what is left to chance
    workers : processes, each of which composes for prompts of its own; what comes of it is the same for any number
    device : what they compose with, as torch takes it
    on_step : function(prompts done since the last call)

    Returns
    -------
    DataFrame, `COLUMNS`; of several models `settings` names the one

    Raises
    ------
    BadSetting
        If the models are of another encoding, or differ in their words.
    """
    import pandas as pd

    from clara.music.notes import crop

    pieces, rng, step = (
        CorpusPieces(corpus, _shared_vocab(models, corpus)),
        np.random.default_rng(seed),
        corpus.encoding.steps_per_quarter,
    )

    def there(i, at):
        return crop(pieces.notes(i), (at + SEAM_QUARTERS) * step, (at + SEAM_QUARTERS + quarters) * step)

    cut, tasks, places = [], [], []
    for split, many in n.items():
        many = -(-many // CONTINUATIONS_PER_PROMPT) * CONTINUATIONS_PER_PROMPT
        cut += [(HUMAN, i, at, None, "") for i, at in pieces.places(split, quarters, many, rng)]
        n_prompts = round((1 - CORRUPTED_SHARE) * many / CONTINUATIONS_PER_PROMPT)
        for i, at in pieces.places(split, quarters, many - CONTINUATIONS_PER_PROMPT * n_prompts, rng):
            way, here = str(rng.choice(list(CORRUPTIONS))), there(i, at)
            damaged = (
                crop(CORRUPTIONS[way](here, rng), 0, quarters * step) if len(here) else here
            )  # what moved past the end would tell
            cut.append((GENERATED, i, at, damaged, json.dumps({"corruption": way})))
        for i, at in pieces.places(split, quarters, n_prompts, rng):
            settings = [_settings(rng) for _ in range(CONTINUATIONS_PER_PROMPT)]
            prompt = crop(pieces.notes(i), (at - PROMPT_QUARTERS) * step, at * step) if at else None
            places.append((i, at))
            tasks.append(
                ContinuationTask(
                    len(tasks) % len(models),
                    prompt if prompt is not None and len(prompt) else None,
                    settings,
                    int(rng.integers(2**31)),
                )
            )
    composing = compose_continuations(
        models, tasks, SEAM_QUARTERS + quarters + ENDING_QUARTERS, workers, device, on_step
    )  # and meanwhile
    rows = [
        pieces.row(label, i, at, there(i, at) if notes is None else notes, told) for label, i, at, notes, told in cut
    ]
    for (i, at), task, composed in zip(places, tasks, composing):
        by, first = (
            {"model": Path(models[task.model]).name} if len(models) > 1 else {},
            (PROMPT_QUARTERS if task.prompt is not None else 0) + SEAM_QUARTERS,
        )
        rows += [
            pieces.row(
                GENERATED, i, at, crop(notes, first * step, (first + quarters) * step), json.dumps(_told(how) | by)
            )
            for notes, how in zip(composed, task.settings)
        ]
    return pd.DataFrame([row for row, left in rows if left >= MIN_SOUNDING_SHARE * quarters], columns=COLUMNS)


def _shared_vocab(models, corpus):
    """The vocabulary of all the models; raises BadSetting where there is no such thing."""
    from clara.checkpoint import Checkpoint

    found = [Checkpoint.load(folder) for folder in models]
    for folder, model in zip(models, found):
        if model.encoding.settings != corpus.encoding.settings:
            raise BadSetting(f"{folder} and {corpus.folder} are of different encodings")
        if model.vocab.tokens != found[0].vocab.tokens:
            raise BadSetting(f"{folder} and {models[0]} know different words")
    return found[0].vocab


def _settings(rng):
    """How one excerpt is sampled."""
    from clara.sampling.settings import SamplingSettings

    if rng.random() < USUAL_SHARE:
        return SamplingSettings(temperature=float(rng.choice(USUAL_TEMPERATURES)), top_p=USUAL_TOP_P)
    freq = float(rng.choice(RANDOM_FREQS))
    return SamplingSettings(
        temperature=float(rng.choice(TEMPERATURES)),
        top_p=float(rng.choice(TOP_PS)),
        random_freq=freq,
        top_k=0 if freq == 1 else 3,
        repeat_strength=float(rng.choice(REPEAT_STRENGTHS)),
    )


def _told(settings):
    """What of some settings is not as usual."""
    from clara.sampling.settings import SamplingSettings

    usual = asdict(SamplingSettings())
    return {k: v for k, v in asdict(settings).items() if v != usual[k]}
