"""TODO."""

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel

from critic.classifier import GENERATED, HUMAN

WINDOW = 8.0  # quarters


MEAN_DECAY = 0.998  # of a running mean of weights: per batch; at first less, so that after n batches it is of about the last n / 10


MEAN_START = 10


def classes_of(table):
    """The classes of a table of excerpts, in the order of a classifier's columns."""
    return [GENERATED, HUMAN] if HUMAN in set(table["label"]) else sorted(set(table["label"]))


class Best:
    """The weights that cost least on valid once calibrated, and the temperature that calibrates them.

    Parameters
    ----------
    tell : function(str) for progress
    made : function(tensors, temperature) that makes a classifier of them
    keep : function(classifier), called with each that is better than those before, or None
    """

    def __init__(self, tell, made, keep=None):
        self.tell, self.made, self.keep, self.cost, self.tensors, self.temperature = (
            tell,
            made,
            keep,
            float("inf"),
            None,
            None,
        )

    def classifier(self):
        """The best that was offered."""
        return self.made(self.tensors, self.temperature)

    def offer(self, when, learned, tensors, logits, labels, weight=None, began=None):
        """Take them if they are better than what there was.

        Parameters
        ----------
        when : str, how far learning is
        learned : mean loss of late
        tensors : dict of weights by name, the caller's to give away
        logits, labels : of valid, (m, n_classes) and (m,)
        weight : of classes, or None
        began : time.perf_counter() of an epoch's beginning, or None
        """
        temperature = calibrated(logits, labels, weight)
        cost = float(F.cross_entropy(logits / temperature, labels, weight))
        right = float((logits.argmax(1) == labels).float().mean())
        self.tell(
            f"{when}  train {learned:.4f}  valid {cost:.4f}  right {right:.3f}"
            + (f"  {time.perf_counter() - began:.0f} s" if began else "")
        )
        if cost < self.cost:
            self.cost, self.tensors, self.temperature = cost, tensors, temperature
            if self.keep:
                self.keep(self.classifier())


def running_mean(net):
    """A net to be told after each batch, `update_parameters(net)`, whose `module` has the mean of the weights of late (Izmailov et al. 2018), which errs less."""

    def mixed(mean, new, n):
        return mean + (new - mean) * (MEAN_START / (n + MEAN_START)).clamp(min=1 - MEAN_DECAY)

    return AveragedModel(net, avg_fn=mixed, use_buffers=True)


def class_weights(labels, n_classes):
    """A weight for each class, so that all count alike: float32 tensor (n_classes,) of labels, int64 tensor (n,)."""
    many = torch.bincount(labels, minlength=n_classes).float()
    return many.mean() / many.clamp(min=1)


def calibrated(logits, labels, weight=None):
    """The temperature under which the labels cost least, weighted by class where that is given."""
    tries = np.geomspace(0.25, 8, 121)
    return float(min(tries, key=lambda t: float(F.cross_entropy(logits / t, labels, weight))))
