"""fastai callbacks that a run of ours lives by, and the state that it resumes from."""

import json
import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.rnn import RNNCallback
from fastai.learner import Metric
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tqdm import tqdm

from clara.errors import CheckpointMismatch
from clara.files import write_atomically
from clara.training.distributed import World

STATE, HISTORY = "state.safetensors", "history.csv"
ALONE = World()
CHECK_EVERY = 20  # batches between looks at the loss, each of which waits for the device


class NatsPerQuarter(Metric):
    """Cost of the valid pieces in nats per quarter note, their stream read in a row.

    Parameters
    ----------
    tokens_per_quarter : of those pieces, control words among the words
    """

    def __init__(self, tokens_per_quarter):
        self.tokens_per_quarter = tokens_per_quarter
        self.reset()

    def reset(self):
        """Begin a new epoch."""
        self.nats, self.words = 0.0, 0

    def accumulate(self, learn):
        """Add a batch."""
        n = learn.yb[0].numel()
        self.nats, self.words = self.nats + learn.loss.detach() * n, self.words + n

    @property
    def value(self):
        """Nats per quarter note so far, or None."""
        return float(self.nats) / self.words * self.tokens_per_quarter if self.words else None

    @property
    def name(self):
        """As the history calls it."""
        return "nats_per_quarter"


class Precision(Callback):
    """bfloat16 matrix products under autocast; weights, state of the optimizer and loss in float32."""

    order = RNNCallback.order + 1  # when the prediction is the logits alone

    def after_create(self):
        """Put the forward pass under autocast, which it leaves whatever breaks."""
        self.model.forward = torch.autocast(self.dls.device.type, torch.bfloat16)(self.model.forward)

    def after_pred(self):
        """Take the loss in float32."""
        self.learn.pred = self.pred.float()


class SeededEpochs(Callback):
    """Make each epoch's pieces, keys and dropout hang on the seed and its number alone.

    That is what lets a resumed run equal an undisturbed one without keeping the state
    of any random generator.
    """

    order = -8

    def __init__(self, seed, done=0, rank=0):
        self.seed, self.done, self.rank = seed, done, rank

    def before_train(self):
        """Seed torch and turn the loader to this epoch."""
        epoch = self.done + self.epoch
        own = [self.rank] if self.rank else []  # each process drops units of its own
        torch.manual_seed(int(np.random.default_rng([self.seed, epoch, *own]).integers(2**62)))
        self.dls.train.epoch = epoch


class ProgressLogger(Callback):
    """A bar over all words of the run, and a line per epoch.

    Parameters
    ----------
    words : to be read in the whole run
    epochs : in the whole run
    world : clara.training.distributed.World
    """

    order = 70

    def __init__(self, words, epochs, world=ALONE):
        self.bar = tqdm(
            total=words, unit=" words", unit_scale=True, disable=None if world.first else True, desc="training"
        )
        self.epochs, self.tokens_left, self.fault, self.world = epochs, words, None, world

    def before_train(self):
        """Start the epoch's clock."""
        self.began, self.epoch_tokens, self.epoch_nats = time.perf_counter(), 0, 0.0

    def after_batch(self):
        """Move the bar; look at the loss now and then."""
        if not self.training:
            return
        n = self.x.numel() * self.world.size
        self.epoch_tokens += n
        self.epoch_nats = self.epoch_nats + self.loss.detach() * n
        self.tokens_left -= n
        if self.iter % CHECK_EVERY == 0:
            self.check(self.world.mean(self.loss.item()))
            loss = float(self.learn.smooth_loss)
            self.bar.set_postfix(
                loss=f"{loss:.3f}", nats_per_quarter=f"{loss * self.learn.metrics[0].tokens_per_quarter:.2f}"
            )
        self.bar.update(n)

    def check(self, loss):
        """End the run where a loss is no longer a number."""
        if not math.isfinite(loss):
            kept = getattr(self.learn, "run_folder", None)
            good = (
                f"{kept.folder} holds epoch {kept.best['epoch']}, the best before"
                if kept and kept.best
                else "no epoch was whole before"
            )
            self.fault = (
                f"the loss is {loss} at batch {self.iter} of epoch {self.epoch + 1}, rate "
                f"{self.opt.hypers[-1]['lr']:.2g}; {good}; try a lower --lr"
            )
            raise CancelFitException

    def after_train(self):
        """Keep the epoch's rate, words per second, and its mean loss, in nats per word."""
        self.tokens_per_second = self.epoch_tokens / (time.perf_counter() - self.began)
        self.train_loss = self.world.mean(self.epoch_nats) / max(1, self.epoch_tokens)

    def told(self, row):
        """Print an epoch's row of the history."""
        left = self.tokens_left / row["tokens_per_second"] / 60
        self.bar.clear()
        print(
            f"epoch {row['epoch']}/{self.epochs}  train {row['train_loss']:.4f}  valid {row['valid_loss']:.4f}  "
            f"{row['nats_per_quarter']:.3f} nats/quarter  {row['tokens_per_second']:,.0f} words/s  "
            f"{left:.1f} min left",
            flush=True,
        )

    def close(self):
        """Remove the bar."""
        self.bar.close()


class CheckpointCallback(Callback):
    """Keep the best weights, the history and the state to resume from, after every epoch.

    Parameters
    ----------
    folder : Path of the run
    keep : function(learn, folder) that saves the model as it is now
    history : rows of the epochs before, where a run is resumed
    patience : epochs without a better valid figure before it stops
    world : clara.training.distributed.World, whose first process writes
    """

    order = 80

    def __init__(self, folder, keep, history=(), patience=10**9, world=ALONE):
        self.folder, self.keep, self.patience, self.world = Path(folder), keep, patience, world
        self.history, self.stopped, self.trained = list(history), False, False

    @property
    def best(self):
        """The row of the best epoch so far, or None."""
        return min(self.history, key=lambda r: r["nats_per_quarter"], default=None)

    def before_epoch(self):
        """Nothing of this epoch is known yet."""
        self.trained = False

    def after_validate(self):
        """This epoch was trained and validated, not skipped or cut off."""
        self.trained = True

    def after_epoch(self):
        """Save, then record; a kill between the two repeats the epoch and nothing else."""
        if not self.trained:
            return
        row = self.world.broadcast(self._row())
        self.learn.progress_logger.check(row["train_loss"])
        self.learn.progress_logger.check(row["nats_per_quarter"])
        best = self.best
        self.history.append(row)
        if self.world.first:
            if best is None or row["nats_per_quarter"] < best["nats_per_quarter"]:
                self.keep(self.learn, self.folder)
            save_state(self.learn, self.folder / STATE, self.history)
            write_atomically(self.folder / HISTORY, pd.DataFrame(self.history).to_csv(index=False))
        self.learn.progress_logger.told(row)
        if row["epoch"] - self.best["epoch"] >= self.patience:
            self.stopped = True
            print(f"no better for {self.patience} epochs: stopping")
            raise CancelFitException

    def _row(self):
        """This epoch's row of the history."""
        metric, progress_logger = self.learn.metrics[0], self.learn.progress_logger
        before = self.history[-1]["minutes"] if self.history else 0.0
        return {
            "epoch": len(self.history) + 1,
            "train_loss": progress_logger.train_loss,
            "valid_loss": metric.value / metric.tokens_per_quarter,
            "nats_per_quarter": metric.value,
            "tokens_per_second": round(progress_logger.tokens_per_second),
            "minutes": round(before + (time.perf_counter() - progress_logger.began) / 60, 2),
        }


def save_state(learn, path, history):
    """Write all that resuming needs: weights and optimizer in float32, and the history."""
    tensors = {f"model.{n}": p.detach() for n, p in learn.model.named_parameters()}
    scalars = []
    for i, state in enumerate(learn.opt.state_dict()["state"]):
        tensors |= {f"opt.{i}.{k}": v for k, v in state.items() if isinstance(v, torch.Tensor)}
        scalars.append({k: v for k, v in state.items() if not isinstance(v, torch.Tensor)})
    tensors = {k: v.cpu().contiguous() for k, v in tensors.items()}
    told = {"history": history, "scalars": scalars, "hypers": [dict(h) for h in learn.opt.hypers]}
    write_atomically(path, save(tensors, {"told": json.dumps(told, default=float)}))


def load_state(learn, path):
    """Put back what `save_state` wrote.

    Returns
    -------
    history : list of rows
    opt_state : for `fit`

    Raises
    ------
    CheckpointMismatch
        If the file is not there or is of another model.
    """
    if not Path(path).is_file():
        raise CheckpointMismatch(f"{path}: nothing to resume from; no epoch was finished")
    try:
        with safe_open(path, "pt") as f:
            told = json.loads(f.metadata()["told"])
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 - it is no dict
    except (SafetensorError, TypeError, KeyError, ValueError) as e:
        raise CheckpointMismatch(f"{path}: not the state of a run ({e})") from e
    parameters = dict(learn.model.named_parameters())
    if {f"model.{n}": p.shape for n, p in parameters.items()} != {
        k: t.shape for k, t in tensors.items() if k.startswith("model.")
    }:
        raise CheckpointMismatch(f"{path}: made by a model of other sizes than the flags ask for")
    with torch.no_grad():
        for name, p in parameters.items():
            p.copy_(tensors[f"model.{name}"])
    device = next(iter(parameters.values())).device
    state = [
        {k.split(".", 2)[2]: v.to(device) for k, v in tensors.items() if k.startswith(f"opt.{i}.")} | s
        for i, s in enumerate(told["scalars"])
    ]
    learn.model.reset()
    return told["history"], {"state": state, "hypers": told["hypers"]}
