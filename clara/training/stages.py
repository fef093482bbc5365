"""The stages of a training run: gradual unfreezing, learning rate schedules, and training through them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastai.callback.schedule import ParamScheduler, combined_cos

from clara.errors import ClaraError
from clara.training.callbacks import SeededEpochs

GROUP_LR_RATIO = 2.6  # between neighbouring parameter groups (Howard and Ruder 2018, ULMFiT)
SCHEDULES = {
    "one_cycle": {"warm_share": 0.25, "anneal_share": 0.75},
    "flat_cos": {"warm_share": 0.01, "anneal_share": 0.2},
}
START_DIVISOR, END_DIVISOR = 25, 1e4  # the learning rate begins and ends at these fractions of the highest


class Diverged(ClaraError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class Stage:
    """Some epochs under one learning rate schedule.

    Attributes
    ----------
    epochs : int
    lr : float
        Highest learning rate, of the last parameter group.
    trained_groups : int
        How many groups, counted from the last, are trained; 0 for all.
    anneal_share : float
        Share of the stage, at its end, in which the learning rate falls by a cosine.
    warm_share : float
        Share of the stage, at its beginning, in which the learning rate rises. In between it stays.
    """

    epochs: int
    lr: float
    trained_groups: int = 0
    anneal_share: float = 0.75
    warm_share: float = 0.25


def plan_stages(epochs: int, lr: float, schedule: str, n_groups: int, gradual: bool) -> list[Stage]:
    """Return the stages of a run.

    Parameters
    ----------
    epochs : int
        Epochs of all stages together, at least 1.
    lr : float
        Highest learning rate.
    schedule : str
        "one_cycle", or "flat_cos" (constant, then down in the last fifth).
    n_groups : int
        Number of the model's parameter groups.
    gradual : bool
        Unfreeze one more group each epoch before the main stage (ULMFiT), as far as one epoch is left for that.
    """
    n_unfreezing = min(n_groups - 1, epochs - 1) if gradual else 0
    unfreezing = [Stage(1, lr, n) for n in range(1, n_unfreezing + 1)]
    return [*unfreezing, Stage(epochs - n_unfreezing, lr, 0, **SCHEDULES[schedule])]


def lr_course(stage: Stage, top: Any) -> Callable[[float], Any]:
    """Return the learning rate as a function of the share of a stage that is done.

    Parameters
    ----------
    stage : Stage
    top : float or float array (n_groups,)
        Highest learning rate, of all parameter groups or of each.

    Returns
    -------
    function(float)
        Takes a share from 0 to 1 and returns rates of the shape of `top`.
    """
    flat_share = max(0.0, 1 - stage.warm_share - stage.anneal_share)
    rising, falling = combined_cos(0.5, top / START_DIVISOR, top, top), combined_cos(0.0, top, top, top / END_DIVISOR)

    def lr_at(share):
        if share < stage.warm_share:
            return rising(0.5 * share / stage.warm_share)
        return falling(max(0.0, (share - stage.warm_share - flat_share) / stage.anneal_share))

    return lr_at


def _lr_schedule(learn, stage, discriminative):
    """Return fastai's ParamScheduler for a stage, with a highest learning rate for each group."""
    n_groups = len(learn.opt.param_lists)
    divisors = GROUP_LR_RATIO ** np.arange(n_groups)[::-1] if discriminative else np.ones(n_groups)
    return ParamScheduler({"lr": lr_course(stage, stage.lr / divisors)})


def fit_stages(
    learn: Any,
    plan: list[Stage],
    seed: int,
    *,
    finished_epochs: int = 0,
    opt_state: dict | None = None,
    discriminative: bool = False,
    rank: int = 0,
) -> None:
    """Train through the stages.

    Parameters
    ----------
    learn : Learner
        With `CheckpointCallback` and `ProgressLogger`.
    plan : list of Stage
    seed : int
        Seed of pieces, keys and dropout.
    finished_epochs : int
        Epochs that an earlier run finished.
    opt_state : dict, optional
        State of the optimizer, if that run ended within a stage.
    discriminative : bool
        Use lower learning rates for earlier parameter groups.
    rank : int
        Number of this process, if several train together.

    Raises
    ------
    Diverged
        If the loss is no longer finite.
    """
    epochs_before = 0  # in the stages before this one
    for stage in plan:
        if finished_epochs < epochs_before + stage.epochs:
            learn.freeze_to(-stage.trained_groups)
            if opt_state and finished_epochs > epochs_before:
                learn.opt.load_state_dict(opt_state)
            with learn.no_bar(), learn.no_logging(), learn.no_mbar():
                learn.fit(
                    stage.epochs,
                    cbs=[_lr_schedule(learn, stage, discriminative), SeededEpochs(seed, epochs_before, rank)],
                    start_epoch=max(0, finished_epochs - epochs_before),
                )
        if learn.progress_logger.divergence:
            raise Diverged(learn.progress_logger.divergence)
        if learn.checkpoint.stopped_early:
            return
        epochs_before += stage.epochs
