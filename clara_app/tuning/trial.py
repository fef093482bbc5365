"""Train by a recipe for a given time, and measure what was learned."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback, CancelFitException  # pyright: ignore[reportAttributeAccessIssue]

from clara.data.corpus import Corpus
from clara.data.dataloaders import MusicDataLoaders
from clara.devices import choose_device
from clara.generation.generator import Generator
from clara.sampling.settings import SamplingSettings
from clara.training.callbacks import SeededEpochs
from clara.training.learner import MusicLearner, music_learner
from clara.training.stages import SCHEDULES, Diverged, Stage, lr_course
from clara_app.tuning.recipe import Recipe
from critic import ComposerClassifier
from critic.scores import inception_score

N_CHECKS = 4  # how often the cost is measured; a hopeless trial ends there
MAX_VALID_TOKENS = 60_000  # of the validation pieces, the first ones
N_COMPOSED, COMPOSED_QUARTERS = 64, 32
MANY_EPOCHS = 10_000  # the clock ends the training


@dataclass(frozen=True)
class TrialSettings:
    """What all trials of a study have in common.

    Attributes
    ----------
    minutes : float
        Time of each training, without the measuring.
    pretrained : str or None
        Model to start from, or None for random weights.
    composes : bool
        Compose excerpts and measure their Inception score.
    classifier : str or None
        Folder of the composer classifier (default: the shipped one of the encoding).
    device : str
        "auto" or the name of a torch device.
    seed : int
    """

    minutes: float
    pretrained: str | None = None
    composes: bool = False
    classifier: str | None = None
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class TrialResult:
    """What a recipe learned.

    Attributes
    ----------
    nats : float
        Cost of the validation pieces, in nats per quarter note.
    inception : float or None
        Musical Inception score of composed excerpts.
    n_tokens : int
        Number of tokens that the training read.
    n_parameters : int
    """

    nats: float
    inception: float | None
    n_tokens: int
    n_parameters: int


class TimeBudget(Callback):
    """Set the learning rate by the share of the time that has passed, and end `fit` after a part of the time.

    Parameters
    ----------
    seconds : float
        Of training in all calls of `fit` together: of the processor for one thread, else of the clock.
    course : function(float)
        The learning rate after a share of the time.
    """

    def __init__(self, seconds: float, course: Callable[[float], float]):
        self.seconds, self.course = seconds, course
        self.passed, self.until, self.n_tokens = 0.0, seconds, 0

    def before_batch(self):
        """Set the learning rate, or end."""
        if not self.training:
            return
        if self.passed >= self.until:
            raise CancelFitException
        self.opt.set_hyper("lr", self.course(self.passed / self.seconds))
        self.began = _now(self.dls.device)

    def after_batch(self):
        """Count time and tokens; end if the loss is not finite."""
        if not self.training:
            return
        if not torch.isfinite(self.loss.detach()):
            raise Diverged("the loss is no longer finite")
        self.passed += _now(self.dls.device) - self.began
        self.n_tokens += self.yb[0].numel()


def _now(device):
    """Return seconds: of this process on one thread, so that other processes do not count, else of the clock."""
    is_alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if is_alone else time.perf_counter()


def run_trial(
    recipe: Recipe, settings: TrialSettings, on_check: Callable[[int, float], None] = lambda number, nats: None
) -> tuple[TrialResult, MusicLearner]:
    """Train by a recipe and measure.

    Parameters
    ----------
    recipe : Recipe
    settings : TrialSettings
    on_check : function(int, float)
        Called with the number of a check, from 0, and the nats per quarter note; it may end the trial by an exception.

    Returns
    -------
    TrialResult
    learn : MusicLearner

    Raises
    ------
    Diverged
        If the loss is no longer finite.
    ClaraError
        If corpus, weights or classifier cannot be used.
    """
    torch.manual_seed(settings.seed)
    device, bf16, _ = choose_device(settings.device, "auto")
    corpus = shorten_valid(Corpus.load(recipe.data))
    dls = MusicDataLoaders.from_corpus(corpus, bs=recipe.bs, seq_len=recipe.bptt, device=device, seed=settings.seed)
    alpha, beta = (2.0, 1.0) if recipe.regularize else (0.0, 0.0)
    learn = music_learner(
        dls,
        pretrained=settings.pretrained,
        config=recipe.sizes(),
        drop_mult=recipe.drop_mult,
        adapt_vocab=True,
        alpha=alpha,
        beta=beta,
        wd=recipe.wd,
        bf16=bf16,
        log=lambda message: None,
    )
    course = lr_course(Stage(1, recipe.lr, 0, **SCHEDULES[recipe.schedule]), recipe.lr)
    budget = TimeBudget(60 * settings.minutes, course)
    nats = np.inf
    for number in range(N_CHECKS):
        budget.until = budget.seconds * (number + 1) / N_CHECKS
        with learn.no_bar(), learn.no_logging():
            learn.fit(MANY_EPOCHS, cbs=[budget, SeededEpochs(settings.seed, number * MANY_EPOCHS)])
            nats = float(learn.validate()[1])
        if not np.isfinite(nats):
            raise Diverged("the cost of the validation pieces is not finite")
        on_check(number, nats)
    inception = measure_inception(learn, recipe, settings) if settings.composes else None
    n_parameters = sum(p.numel() for p in learn.model.parameters())
    return TrialResult(nats, inception, budget.n_tokens, n_parameters), learn


def shorten_valid(corpus: Corpus) -> Corpus:
    """Return a corpus whose validation pieces are the first ones, with `MAX_VALID_TOKENS` tokens in all or one more."""
    manifest = corpus.manifest
    is_valid = manifest["split"] == "valid"
    tokens_before = (manifest["tokens"] * is_valid).cumsum() - manifest["tokens"]
    return replace(corpus, manifest=manifest[~is_valid | (tokens_before < MAX_VALID_TOKENS)].reset_index(drop=True))


def measure_inception(learn: MusicLearner, recipe: Recipe, settings: TrialSettings) -> float:
    """Return the musical Inception score of excerpts that a model composes from nothing, as the recipe samples."""
    assert recipe.temperature is not None and recipe.top_p is not None
    checkpoint = learn.to_checkpoint()
    generator = Generator(checkpoint)
    classifier = load_classifier(settings.classifier, checkpoint.encoding.name)
    sampling = SamplingSettings(temperature=recipe.temperature, top_p=recipe.top_p)
    samples = generator.generate(N_COMPOSED, COMPOSED_QUARTERS, settings=sampling, seed=settings.seed, ending=False)
    return inception_score(classifier.log_probs([sample.notes for sample in samples]))


def load_classifier(folder: str | Path | None, encoding: str) -> ComposerClassifier:
    """Return the composer classifier of a folder, or the shipped one of an encoding."""
    return ComposerClassifier.load(folder) if folder else ComposerClassifier.from_pretrained(encoding)
