"""fastai callbacks of classifiers: keep the best model, and average weights."""

import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

TEMPERATURES = (0.25, 8.0)  # range that a temperature is fitted in
MEAN_DECAY = 0.998  # of the running mean of weights, per batch
MEAN_START = 10  # at first the decay is less: after n batches the mean covers about the last n / 10


class BestModel:
    """The weights with the lowest calibrated loss on the validation excerpts.

    Parameters
    ----------
    make_member : function(tensors, temperature) -> Member
    class_weights : float32 tensor (n_classes,), optional
        Weights of the classes in that loss.
    log : function(str)
        Called with a line for each epoch.
    on_improvement : function(Member), optional
        Called with each model that is better than all before.

    Attributes
    ----------
    loss : float
    tensors : dict of str to Tensor
    temperature : float
    """

    def __init__(
        self,
        make_member: Callable,
        class_weights: Tensor | None = None,
        log: Callable[[str], None] = print,
        on_improvement: Callable | None = None,
    ):
        self.make_member, self.class_weights = make_member, class_weights
        self.log, self.on_improvement = log, on_improvement
        self.loss, self.tensors, self.temperature = float("inf"), {}, 1.0

    def member(self):
        """Return the best member so far."""
        return self.make_member(self.tensors, self.temperature)

    def update(self, epoch: str, train_loss: float, seconds: float, tensors: dict, logits: Tensor, labels: Tensor):
        """Keep the weights if they are better than those before.

        Parameters
        ----------
        epoch : str
            For the log, such as ``"3/8"``.
        train_loss : float
        seconds : float
            Time that the epoch took.
        tensors : dict of str to Tensor
            The weights; the caller must not change them later.
        logits, labels : tensors (m, n_classes) and (m,)
            Of the validation windows.
        """
        temperature = fit_temperature(logits, labels, self.class_weights)
        loss = float(F.cross_entropy(logits / temperature, labels, self.class_weights))
        accuracy = float((logits.argmax(1) == labels).float().mean())
        self.log(f"epoch {epoch}  train {train_loss:.4f}  valid {loss:.4f}  accuracy {accuracy:.3f}  {seconds:.0f} s")
        if loss < self.loss:
            self.loss, self.tensors, self.temperature = loss, tensors, temperature
            if self.on_improvement:
                with torch.random.fork_rng([]):  # building a member draws random weights; training must not notice
                    self.on_improvement(self.member())


class ValidationLogits(Callback):
    """Collect the logits and labels of each validation, and the mean training loss.

    Subclasses use them in `after_epoch`.
    """

    order = 60  # after AverageWeights

    def before_epoch(self):
        """Start the clock."""
        self.start = time.perf_counter()
        self.losses, self.logits, self.labels = [], [], []

    def after_batch(self):
        """Collect the results of a batch."""
        if self.training:
            self.losses.append(self.loss.detach())
        else:
            self.logits.append(self.pred.float().cpu())
            self.labels.append(self.y.cpu())

    @property
    def train_loss(self) -> float:
        """Mean loss of the epoch's training batches."""
        return float(torch.stack(self.losses).mean())


class KeepBestModel(ValidationLogits):
    """Offer the weights after each epoch to a BestModel.

    Parameters
    ----------
    best : BestModel
    stored_tensors : function(nn.Module) -> dict
        Returns the weights of the network by their stored names.
    n_epochs : int
        Of the whole run, for the log.
    """

    def __init__(self, best: BestModel, stored_tensors: Callable, n_epochs: int):
        self.best, self.stored_tensors, self.n_epochs, self.done = best, stored_tensors, n_epochs, 0

    def after_validate(self):
        """Update the best model; the learner still has the weights that were validated."""
        self.done += 1
        self.best.update(
            f"{self.done}/{self.n_epochs}",
            self.train_loss,
            time.perf_counter() - self.start,
            self.stored_tensors(self.learn.model),
            torch.cat(self.logits),
            torch.cat(self.labels),
        )


class AverageWeights(Callback):
    """Validate with a running mean of the weights (Izmailov et al. 2018), which generalizes better.

    Parameters
    ----------
    net : nn.Module
        The learner's network.
    """

    order = 65  # after_validate of KeepBestModel comes first

    def __init__(self, net: nn.Module):
        self.average = running_mean(net)

    def after_batch(self):
        """Move the mean after each step of the optimizer."""
        if self.training:
            self.average.update_parameters(self.learn.model)

    def before_validate(self):
        """Put the mean in place of the network."""
        self.trained = self.learn.model
        self.learn.model = self.average.module.eval()

    def after_validate(self):
        """Put the network back."""
        self.learn.model = self.trained


def running_mean(net: nn.Module) -> AveragedModel:
    """Return a copy of a network that follows the mean of its recent weights.

    Call `update_parameters(net)` after each batch; the attribute `module` has the mean.
    """

    def move(mean, new, n_averaged):
        return mean + (new - mean) * (MEAN_START / (n_averaged + MEAN_START)).clamp(min=1 - MEAN_DECAY)

    return AveragedModel(net, avg_fn=move, use_buffers=True)


def class_weights(labels: Tensor, n_classes: int) -> Tensor:
    """Return a weight for each class, so that all classes count alike: float32 (n_classes,) of labels, int64 (n,).

    Where no class is absent, this is scikit-learn's `compute_class_weight("balanced")`.
    """
    counts = torch.bincount(labels, minlength=n_classes).float()
    return counts.mean() / counts.clamp(min=1)


def fit_temperature(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """Return the temperature with the lowest cross-entropy (temperature scaling, Guo et al. 2017).

    Parameters
    ----------
    logits : float32 tensor (n, n_classes)
    labels : int64 tensor (n,)
    weights : float32 tensor (n_classes,), optional
        Of the classes.
    """

    def loss(log_temperature):
        return float(F.cross_entropy(logits / np.exp(log_temperature), labels, weights))

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))
