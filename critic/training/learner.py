"""The training loop of all classifiers: fastai's Learner with callbacks."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastai.callback.progress import ProgressCallback  # noqa: F401  gives the Learner no_bar()
from fastai.callback.schedule import fit_one_cycle  # noqa: F401  a method of the Learner
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import Adam
from fastai.torch_core import trainable_params
from torch import Tensor, nn

from clara.devices import choose_device
from clara.training.callbacks import BFloat16Autocast
from critic.training.callbacks import AverageWeights, BestModel, KeepBestModel
from critic.training.settings import TrainSettings

LAYER_RATIO = 2.6  # of the rates of neighbouring parameter groups (ULMFiT, Howard and Ruder 2018)


def classifier_learner(
    net: nn.Module,
    train,
    valid,
    training: TrainSettings,
    *,
    cbs=(),
    splitter: Callable = trainable_params,
    class_weights: Tensor | None = None,
) -> Learner:
    """Build a fastai Learner for a classifier.

    Parameters
    ----------
    net : nn.Module
        Maps the inputs of a batch to logits.
    train, valid : iterables of batches
        Of `critic.training.batches`.
    training : TrainSettings
    cbs : sequence of Callback, optional
    splitter : function(nn.Module) -> list of parameter groups, optional
        For discriminative learning rates.
    class_weights : float32 tensor (n_classes,), optional
        Of the training loss.

    Returns
    -------
    Learner
    """
    device, bf16, _ = choose_device(training.device)
    callbacks = list(cbs)
    if training.average_weights:
        callbacks.append(AverageWeights(net.to(device)))
    if training.clip:
        callbacks.append(GradientClip(training.clip))
    if bf16:
        callbacks.append(BFloat16Autocast())
    # fastai's eps of 1e-5 is not small beside the gradients of averaged heads
    optimizer: Any = partial(Adam, eps=1e-8)
    learn = Learner(
        DataLoaders(train, valid, device=device),
        net.to(device),
        loss_func=CrossEntropyLossFlat(weight=class_weights),
        opt_func=optimizer,
        wd=training.weight_decay,
        splitter=splitter,
        cbs=callbacks,
    )
    learn.logger = lambda *_: None  # type: ignore[assignment]
    learn.create_mbar = False
    return learn


def train_best(
    learn: Learner, training: TrainSettings, best: BestModel, stored_tensors: Callable, *, new_head: bool = False
):
    """Train and return the best member.

    Parameters
    ----------
    learn : Learner
    training : TrainSettings
    best : BestModel
    stored_tensors : function(nn.Module) -> dict
        Returns the weights of the network by their stored names.
    new_head : bool
        Whether the last parameter group has random weights and the others do not. The last group then trains alone
        for an epoch; after that the rates fall from layer to layer towards the input (ULMFiT).

    Returns
    -------
    Member
    """
    n_epochs = training.epochs + new_head
    keep = KeepBestModel(best, stored_tensors, n_epochs)
    lr = training.lr
    with learn.no_bar(), learn.added_cbs(keep):
        if new_head:
            learn.freeze()
            learn.fit(1, lr)
            learn.unfreeze()
            lr = slice(lr / LAYER_RATIO ** (len(learn.splitter(learn.model)) - 1), lr)
        if training.schedule == "one_cycle":
            learn.fit_one_cycle(training.epochs, lr)
        else:
            learn.fit(training.epochs, lr)
    return best.member()


def head_only_tensors(net: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a network without an encoder on the CPU, named `head.…` as they are stored."""
    return {f"head.{name}": v.detach().cpu().clone() for name, v in net.state_dict().items()}
