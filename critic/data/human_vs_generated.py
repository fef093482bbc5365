"""Excerpts of human, corrupted and generated music, to train a critic on.

A generated excerpt continues a prompt from a human piece, or begins with nothing where the human excerpt is the
opening of a piece. Prompt and seam are cut off, so that both classes are alike in length and place. Half of them are
sampled with the default settings of composing, half with random ones.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from clara.errors import BadSetting
from clara.music.notes import crop
from critic.data.continuations import ContinuationTask, compose_continuations
from critic.data.mixtures import BASIC, MIXTURES, corrupt, corruption_names
from critic.data.table import (
    COLUMNS,
    ENDING_QUARTERS,
    GENERATED,
    HUMAN,
    PROMPT_QUARTERS,
    SEAM_QUARTERS,
    CorpusPieces,
)

CONTINUATIONS_PER_PROMPT = 8
CORRUPTED_SHARE = 0.25  # of the class that is not human
OTHER_SHARE = 0.25  # of the prompts are continued by other models, if there are any
USUAL_SHARE = 0.5  # of the generated excerpts use the settings that composing uses by default
USUAL_TEMPERATURES = (0.8, 0.85, 0.9, 0.95)
USUAL_TOP_P = 0.98
# Settings of the other generated excerpts, from predictable to wild; a value that occurs twice is drawn more often.
TEMPERATURES = (0.8, 0.9, 0.95, 1.0, 1.1, 1.25, 1.5)
TOP_PS = (0.9, 0.95, 0.98, 1.0)
RANDOM_FREQS = (1.0, 1.0, 1.0, 0.5)
REPEAT_STRENGTHS = (1.0, 1.0, 0.0)


@dataclass(frozen=True)
class CriticExcerptSettings:
    """Which excerpts a critic is trained on.

    Attributes
    ----------
    counts : dict of str to int
        Number of excerpts of each class by split, rounded up to whole prompts.
    quarters : int
        Length of an excerpt.
    seed : int
        Random seed of places, prompts, settings and notes.
    corruptions : tuple of str
        Names or sets of corruptions, see `critic.data.mixtures.corruption_names`; each excerpt to corrupt gets one.
    corrupted_share : float
        Share of corrupted excerpts in the class that is not human.
    other_share : float
        Share of the prompts that other models continue, if there are any.
    """

    counts: dict
    quarters: int = 32
    seed: int = 0
    corruptions: tuple[str, ...] = (BASIC,)
    corrupted_share: float = CORRUPTED_SHARE
    other_share: float = OTHER_SHARE

    @property
    def n_prompts(self) -> int:
        """Number of prompts that are continued."""
        return sum(n_prompts_of(n_excerpts_of(count), self.corrupted_share) for count in self.counts.values())


def n_excerpts_of(count: int) -> int:
    """Return a number of excerpts rounded up to whole prompts."""
    return -(-count // CONTINUATIONS_PER_PROMPT) * CONTINUATIONS_PER_PROMPT


def n_prompts_of(n_excerpts: int, corrupted_share: float = CORRUPTED_SHARE) -> int:
    """Return the number of prompts to continue for a number of excerpts that are not human."""
    return round((1 - corrupted_share) * n_excerpts / CONTINUATIONS_PER_PROMPT)


@dataclass(frozen=True)
class _Cut:
    """An excerpt of the corpus, as it is or corrupted."""

    label: str
    piece: int
    from_quarter: int
    notes: object = None  # the corrupted notes, or None for the human ones
    settings: str = ""


def human_and_generated_excerpts(
    models: Sequence[str | Path],
    corpus,
    settings: CriticExcerptSettings,
    workers: int = 1,
    device: str = "cpu",
    on_step: Callable | None = None,
    other_models: Sequence[str | Path] = (),
):
    """Return excerpts of both classes.

    Parameters
    ----------
    models : sequence of path
        Folders of models with the corpus's encoding and one vocabulary. They take turns at the prompts.
    corpus : clara.data.corpus.Corpus
    settings : CriticExcerptSettings
    workers : int
        Number of processes that compose; the result does not depend on it.
    device : str
        Device to compose on, as torch takes it.
    on_step : function(int), optional
        Called with the number of prompts done since the last call.
    other_models : sequence of path
        Folders of models of any encoding that continue a share of the prompts, so that the critic knows more
        generators than the models that it is for. Their music is rounded to the corpus's grid.

    Returns
    -------
    DataFrame
        With `critic.data.table.COLUMNS`. If there are several models, `settings` names the one that composed.

    Raises
    ------
    BadSetting
        If the models have another encoding, or different vocabularies.
    """
    import pandas as pd

    from clara.checkpoints.checkpoint import follows_plans

    pieces = CorpusPieces(corpus, _shared_vocab(models, corpus))
    every_model = [*models, *other_models]
    has_repeats = [not follows_plans(model) for model in every_model]
    cuts, places, tasks = _plan(pieces, settings, has_repeats, len(other_models))
    composed_quarters = SEAM_QUARTERS + settings.quarters + ENDING_QUARTERS
    # Other processes compose while this one cuts the human excerpts.
    continuations = compose_continuations(every_model, tasks, composed_quarters, workers, device, on_step)
    rows = [_cut_row(pieces, cut, settings.quarters) for cut in cuts]
    rows += _generated_rows(pieces, places, tasks, continuations, every_model, settings.quarters)
    return pd.DataFrame([row for row in rows if row is not None], columns=COLUMNS)


def _plan(pieces, settings, have_repeats, n_other):
    """Return the excerpts to cut, and the places and tasks of the continuations.

    Parameters
    ----------
    pieces : CorpusPieces
    settings : CriticExcerptSettings
    have_repeats : list of bool
        Whether each model has a repeat model.
    n_other : int
        Number of other models; they are the last.
    """
    rng = np.random.default_rng(settings.seed)
    quarters = settings.quarters
    cuts, places, tasks = [], [], []
    for split, count in settings.counts.items():
        n_excerpts = n_excerpts_of(count)
        n_prompts = n_prompts_of(n_excerpts, settings.corrupted_share)
        n_corrupted = n_excerpts - CONTINUATIONS_PER_PROMPT * n_prompts
        for piece, first in pieces.sample_places(split, quarters, n_excerpts, rng):
            cuts.append(_Cut(HUMAN, piece, first))
        cuts += _corrupted_cuts(pieces, split, n_corrupted, settings, rng)
        for piece, first in pieces.sample_places(split, quarters, n_prompts, rng):
            model = _model_in_turn(len(tasks), len(have_repeats) - n_other, n_other, settings.other_share)
            sampling = [_random_settings(rng, have_repeats[model]) for _ in range(CONTINUATIONS_PER_PROMPT)]
            prompt = _prompt(pieces, piece, first)
            places.append((piece, first))
            tasks.append(ContinuationTask(model, prompt, sampling, int(rng.integers(2**31))))
    return cuts, places, tasks


def _model_in_turn(i, n_models, n_other, other_share):
    """Return the index of the model that continues prompt i; models take turns, other models in their share."""
    n_by_other = int(i * other_share) if n_other else 0  # of the prompts before
    is_other = n_other and int((i + 1) * other_share) > n_by_other
    return n_models + n_by_other % n_other if is_other else (i - n_by_other) % n_models


def _corrupted_cuts(pieces, split, n, settings, rng):
    """Yield n corrupted excerpts; the excerpts that mixtures mix in are of the same split."""
    quarters, names = settings.quarters, corruption_names(settings.corruptions)
    other_places = pieces.sample_places(split, quarters, n, rng)
    for piece, first in pieces.sample_places(split, quarters, n, rng):
        name = str(rng.choice(names))
        notes = _human_notes(pieces, piece, first, quarters)
        if len(notes):
            other = _human_notes(pieces, *next(other_places), quarters) if name in MIXTURES else notes
            # Notes that moved past the end of the excerpt would give the answer.
            notes = crop(corrupt(name, notes, other, rng), 0, quarters * pieces.corpus.encoding.steps_per_quarter)
        yield _Cut(GENERATED, piece, first, notes, json.dumps({"corruption": name}))


def _human_notes(pieces, piece, from_quarter, quarters):
    """Return the notes of a human excerpt, from after the seam."""
    steps_per_quarter = pieces.corpus.encoding.steps_per_quarter
    first = from_quarter + SEAM_QUARTERS
    return crop(pieces.notes(piece), first * steps_per_quarter, (first + quarters) * steps_per_quarter)


def _prompt(pieces, piece, from_quarter):
    """Return the music before an excerpt; None at the beginning of a piece, and where nothing sounds."""
    if not from_quarter:
        return None
    steps_per_quarter = pieces.corpus.encoding.steps_per_quarter
    first = from_quarter - PROMPT_QUARTERS
    prompt = crop(pieces.notes(piece), first * steps_per_quarter, from_quarter * steps_per_quarter)
    return prompt if len(prompt) else None


def _cut_row(pieces, cut, quarters):
    """Return the row of an excerpt of the corpus, or None."""
    notes = _human_notes(pieces, cut.piece, cut.from_quarter, quarters) if cut.notes is None else cut.notes
    return pieces.make_row(cut.label, cut.piece, cut.from_quarter, notes, quarters, cut.settings)


def _generated_rows(pieces, places, tasks, continuations, models, quarters) -> Iterator[dict | None]:
    """Yield the row of each generated excerpt, or None."""
    steps_per_quarter = pieces.corpus.encoding.steps_per_quarter
    for (piece, from_quarter), task, composed in zip(places, tasks, continuations):
        model = {"model": Path(models[task.model]).name} if len(models) > 1 else {}
        first = SEAM_QUARTERS + (PROMPT_QUARTERS if task.prompt is not None else 0)
        for notes, sampling in zip(composed, task.settings):
            from critic.nets.inputs import regrid  # reads MIDI, which `--help` need not load

            notes = regrid(notes, pieces.corpus.encoding)
            excerpt = crop(notes, first * steps_per_quarter, (first + quarters) * steps_per_quarter)
            settings = json.dumps(_unusual_settings(sampling) | model)
            yield pieces.make_row(GENERATED, piece, from_quarter, excerpt, quarters, settings)


def _shared_vocab(models, corpus):
    """Return the vocabulary of all models; raises BadSetting if they do not share the corpus's encoding and one."""
    from clara.checkpoints.checkpoint import Checkpoint

    checkpoints = [Checkpoint.load(folder) for folder in models]
    vocab = checkpoints[0].vocab
    for folder, checkpoint in zip(models, checkpoints):
        if checkpoint.encoding.settings != corpus.encoding.settings:
            raise BadSetting(f"{folder} and {corpus.folder} have different encodings")
        if checkpoint.vocab.tokens != vocab.tokens:
            raise BadSetting(f"{folder} and {models[0]} have different vocabularies")
    return vocab


def usual_settings(rng):
    """Draw sampling settings as composing uses them by default."""
    from clara.sampling.settings import SamplingSettings

    return SamplingSettings(temperature=float(rng.choice(USUAL_TEMPERATURES)), top_p=USUAL_TOP_P)


def _random_settings(rng, has_repeats):
    """Draw the sampling settings of one excerpt."""
    from clara.sampling.settings import SamplingSettings

    if rng.random() < USUAL_SHARE:
        return usual_settings(rng)
    random_freq = float(rng.choice(RANDOM_FREQS))
    return SamplingSettings(
        temperature=float(rng.choice(TEMPERATURES)),
        top_p=float(rng.choice(TOP_PS)),
        random_freq=random_freq,
        top_k=0 if random_freq == 1 else 3,
        repeat_strength=float(rng.choice(REPEAT_STRENGTHS)) if has_repeats else 1.0,
    )


def _unusual_settings(settings):
    """Return the sampling settings that differ from the defaults."""
    from clara.sampling.settings import SamplingSettings

    defaults = asdict(SamplingSettings())
    return {name: value for name, value in asdict(settings).items() if value != defaults[name]}
