"""fastai's Learner for music, and the stages of a run."""

import gc
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from fastai.callback.progress import ProgressCallback  # noqa: F401  gives the Learner no_bar()
from fastai.callback.rnn import rnn_cbs
from fastai.callback.schedule import ParamScheduler, combined_cos
from fastai.callback.training import GradientClip
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import Adam

from clara.errors import BadSetting, ClaraError
from clara.models import get_architecture
from clara.training.callbacks import NatsPerQuarter, Precision, SeededEpochs

GROUP_LR_RATIO = 2.6  # between the rates of neighbouring groups (Howard and Ruder 2018, ULMFiT)


class Diverged(ClaraError):
    """The loss is no longer a number."""


class OutOfDeviceMemory(ClaraError):
    """A batch does not fit."""


@dataclass(frozen=True)
class Stage:
    """Some epochs under one schedule.

    Attributes
    ----------
    epochs : how many
    lr : highest rate, of the last group
    trained_groups : how many groups from the last are trained; 0 for all
    anneal : share of the stage in which the rate falls by a cosine; before it, the rate
        rises for `warm` of the stage, then stays
    warm : share in which it rises
    """

    epochs: int
    lr: float
    trained_groups: int = 0
    anneal: float = 0.75
    warm: float = 0.25


def stages(epochs, lr, schedule, n_groups, gradual):
    """The stages of a run.

    Parameters
    ----------
    epochs : of the main stage
    lr : highest rate of the main stage
    schedule : `one_cycle`, or `flat_cos` (level, then down in the last fifth)
    n_groups : of the model
    gradual : unfreeze one group an epoch before the main stage (ULMFiT)

    Returns
    -------
    list of Stage
    """
    shape = {"one_cycle": {"warm": 0.25, "anneal": 0.75}, "flat_cos": {"warm": 0.01, "anneal": 0.2}}[schedule]
    first = [Stage(1, lr, n) for n in range(1, n_groups)] if gradual else []
    return [*first, Stage(epochs, lr, 0, **shape)]


def _schedule(learn, stage, discriminative):
    """fastai's ParamScheduler for a stage, one highest rate per group."""
    n = len(learn.opt.param_lists)
    top = stage.lr / (GROUP_LR_RATIO ** np.arange(n)[::-1] if discriminative else np.ones(n))
    level = max(0.0, 1 - stage.warm - stage.anneal)
    up, down = combined_cos(0.5, top / 25, top, top), combined_cos(0.0, top, top, top / 1e4)

    def rate(share):
        if share < stage.warm:
            return up(0.5 * share / stage.warm)
        return down(max(0.0, (share - stage.warm - level) / stage.anneal))

    return ParamScheduler({"lr": rate})


def music_learner(
    dls,
    arch,
    config,
    vocab,
    *,
    tokens_per_quarter,
    alpha=2.0,
    beta=1.0,
    clip=0.25,
    moms=(0.7, 0.99),
    wd=0.01,
    bf16=False,
    path=".",
):
    """A fastai Learner for a language model of music.

    Parameters
    ----------
    dls : from `clara.data.dataloaders.dataloaders`
    arch : name in `clara.models.ARCHITECTURES`
    config : sizes and dropouts, keys of the architecture's `DEFAULTS`
    vocab : Vocab
    tokens_per_quarter : of the valid pieces
    alpha, beta : weights of activation and temporal activation regularisation
    clip : largest norm of the gradient
    moms : Adam's two averages
    wd : weight decay
    bf16 : bfloat16 matrix products

    Returns
    -------
    Learner
    """
    module = get_architecture(arch)
    model = module.build(config, len(vocab), vocab.pad_id)
    cbs = [*rnn_cbs(alpha, beta), GradientClip(clip), *([Precision()] if bf16 else [])]
    learn = Learner(
        dls,
        model,
        loss_func=CrossEntropyLossFlat(),
        cbs=cbs,
        path=path,
        wd=wd,
        opt_func=partial(Adam, mom=moms[0], sqr_mom=moms[1]),
        splitter=module.groups,
        metrics=NatsPerQuarter(tokens_per_quarter),
    )
    learn.logger, learn.create_mbar = lambda *_: None, False
    return learn


def largest_batch(learn, bs, seq_len):
    """How many streams fit the device's memory, by trying halves of bs; 0 if not even one does.

    Parameters
    ----------
    learn : Learner, whose state is reset
    bs, seq_len : streams, and words of each, that did not fit
    """
    while bs := bs // 2:
        gc.collect()  # what the failed batch held
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        ids = torch.ones(bs, seq_len, dtype=torch.long, device=learn.dls.device)
        try:
            learn.model.reset()
            learn.model(ids)[0].float().logsumexp(-1).sum().backward()
            return bs
        except RuntimeError as e:
            if not is_out_of_memory(e):
                raise
        finally:
            learn.model.zero_grad(set_to_none=True)
    return 0


def is_out_of_memory(error):
    """Whether torch raised this for want of memory, on a GPU or not."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def find_lr(learn, path):
    """fastai's search for a rate: it rises batch by batch until the loss diverges; the weights stay as they were.

    Parameters
    ----------
    learn : Learner
    path : of the plot, a PNG

    Returns
    -------
    float, the rate at which the loss fell fastest
    """
    from clara.rendering.plots import plot_lr_find

    with tempfile.TemporaryDirectory() as folder, learn.no_bar():
        learn.path = Path(folder)  # where fastai keeps the weights meanwhile
        found = learn.lr_find(show_plot=False).valley
    plot_lr_find(learn.recorder.lrs, [float(loss) for loss in learn.recorder.losses], found, path)
    return found


def tensorboard(folder):
    """fastai's callback that writes losses, rates and figures for TensorBoard, a run for each stage.

    Raises
    ------
    BadSetting
        If the package is not there.
    """
    try:
        from fastai.callback.tensorboard import TensorBoardCallback
    except ImportError as e:
        raise BadSetting("--tensorboard needs the package: pip install tensorboard") from e
    return TensorBoardCallback(folder, trace_model=False, log_preds=False)


def fit(learn, plan, seed, *, done=0, opt_state=None, discriminative=False, rank=0):
    """Train through the stages, from epoch `done` on.

    Parameters
    ----------
    learn : Learner with `CheckpointCallback` and `ProgressLogger`
    plan : list of Stage
    seed : of pieces, keys and dropout
    done : epochs that an earlier run finished
    opt_state : the optimizer's, when that run ended within a stage
    discriminative : lower rates for earlier groups
    rank : of this process, where several train together

    Raises
    ------
    Diverged
        If the loss is no longer finite.
    """
    before = 0  # epochs in the stages before this one
    for stage in plan:
        if done < before + stage.epochs:
            learn.freeze_to(-stage.trained_groups)
            if opt_state and done > before:
                learn.opt.load_state_dict(opt_state)
            with learn.no_bar():
                learn.fit(
                    stage.epochs,
                    cbs=[_schedule(learn, stage, discriminative), SeededEpochs(seed, before, rank)],
                    start_epoch=max(0, done - before),
                )
        if learn.progress_logger.fault:
            raise Diverged(learn.progress_logger.fault)
        if learn.checkpoint.stopped:
            return
        before += stage.epochs
