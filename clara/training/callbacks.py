"""fastai callbacks of a training run: metric, precision, seeds, progress, and saving after each epoch."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback, CancelFitException  # pyright: ignore[reportAttributeAccessIssue]
from fastai.callback.rnn import RNNCallback
from fastai.learner import Learner, Metric, Recorder
from tqdm import tqdm

from clara.data.piece_contexts import tokens_of
from clara.data.piece_loader import PieceDataLoader
from clara.files import write_atomically
from clara.training.distributed import SINGLE_PROCESS, World
from clara.training.resume_state import STATE, save_state

HISTORY = "history.csv"
LOSS_CHECK_INTERVAL = 20  # batches; each look at the loss waits for the device


class NatsPerQuarter(Metric):
    """Metric: the cost of the validation pieces in nats per quarter note.

    Parameters
    ----------
    tokens_per_quarter : float
        Of the validation pieces, control tokens included.
    pad_id : int
        Id of the token that is no target.
    """

    def __init__(self, tokens_per_quarter: float, pad_id: int):
        self.tokens_per_quarter, self.pad_id = tokens_per_quarter, pad_id
        self.reset()

    def reset(self):
        """Begin a new epoch."""
        self.nats, self.n_tokens = 0.0, 0

    def accumulate(self, learn):
        """Add a batch."""
        targets = learn.yb[0]
        n = int((targets != self.pad_id).sum())
        self.nats = self.nats + learn.loss.detach().mean() * n
        self.n_tokens += n

    @property
    def value(self):
        """Nats per quarter note so far, or None before the first batch."""
        if not self.n_tokens:
            return None
        return float(self.nats) / self.n_tokens * self.tokens_per_quarter

    @property
    def name(self):
        """Return the name of the column in the history."""
        return "nats_per_quarter"


class BFloat16Autocast(Callback):
    """Multiply matrices in bfloat16; weights, optimizer state and loss stay in float32."""

    order = RNNCallback.order + 1  # then the prediction is the logits alone

    def after_create(self):
        """Put the forward pass under autocast, which ends with it even if it raises an error."""
        self.model.forward = torch.autocast(self.dls.device.type, torch.bfloat16)(self.model.forward)

    def after_pred(self):
        """Take the loss in float32."""
        self.learn.pred = self.pred.float()


class ResetBeforePieces(Callback):
    """Make the model forget its state before each batch of whole pieces; streams continue from batch to batch."""

    def before_batch(self):
        """Reset the model if the batch holds whole pieces."""
        if isinstance(self.learn.dl, PieceDataLoader):
            self.model.reset()


class ReadTokensAlone(Callback):
    """Leave out the context of tokens, which loaders have once a model that follows plans has read from them."""

    def before_batch(self):
        """Keep the tokens of the batch."""
        self.learn.xb = (tokens_of(self.xb[0]),)


class EpochHistory(Callback):
    """Keep a row of losses and metrics for each epoch of all calls of `fit`.

    Attributes
    ----------
    rows : list of dict
    """

    order = Recorder.order + 1

    def __init__(self):
        self.rows: list[dict] = []

    def after_epoch(self):
        """Add the row of an epoch that was both trained and validated."""
        names, values = list(self.recorder.metric_names), list(self.recorder.log)
        if len(values) == len(names):
            self.rows.append(dict(zip(names, values)) | {"epoch": len(self.rows) + 1})


class SeededEpochs(Callback):
    """Derive the pieces, keys and dropout of each epoch from the seed and the number of the epoch alone.

    So a resumed run equals an undisturbed one, without saving the state of any random number generator.

    Parameters
    ----------
    seed : int
    first_epoch : int
        Number of the run's epochs before this call of `fit`.
    rank : int
        Number of this process; each process drops other units.
    """

    order = -8

    def __init__(self, seed: int, first_epoch: int = 0, rank: int = 0):
        self.seed, self.first_epoch, self.rank = seed, first_epoch, rank

    def before_train(self):
        """Seed torch and move the loader to this epoch."""
        epoch = self.first_epoch + self.epoch
        own_entropy = [self.rank] if self.rank else []
        rng = np.random.default_rng([self.seed, epoch, *own_entropy])
        torch.manual_seed(int(rng.integers(2**62)))
        self.dls.train.epoch = epoch


class ProgressLogger(Callback):
    """Show a progress bar over the tokens of the run, print a line for each epoch, and stop if the loss diverges.

    Parameters
    ----------
    n_tokens : int
        Tokens to be read in the whole run.
    n_epochs : int
        Epochs of the whole run.
    world : World
    """

    order = 70

    def __init__(self, n_tokens: int, n_epochs: int, world: World = SINGLE_PROCESS):
        self.bar = tqdm(
            total=n_tokens, unit=" tokens", unit_scale=True, disable=None if world.is_rank0 else True, desc="training"
        )
        self.n_epochs, self.tokens_left, self.world = n_epochs, n_tokens, world
        self.divergence: str | None = None  # the message, once the loss is not finite

    def before_train(self):
        """Start the clock of the epoch."""
        self.start_time, self.epoch_tokens, self.epoch_nats = time.perf_counter(), 0, 0.0

    def after_batch(self):
        """Move the bar; check the loss now and then."""
        if not self.training:
            return
        n = self.y.numel() * self.world.size
        self.epoch_tokens += n
        self.epoch_nats = self.epoch_nats + self.loss.detach() * n
        self.tokens_left -= n
        if self.iter % LOSS_CHECK_INTERVAL == 0:
            self.check_loss(self.world.mean(self.loss.item()))
            loss = float(self.learn.smooth_loss)
            nats_per_quarter = loss * self.learn.metrics[0].tokens_per_quarter
            self.bar.set_postfix(loss=f"{loss:.3f}", nats_per_quarter=f"{nats_per_quarter:.2f}")
        self.bar.update(n)

    def check_loss(self, loss: float) -> None:
        """End the run if a loss is not finite."""
        if math.isfinite(loss):
            return
        checkpoint = getattr(self.learn, "checkpoint", None)
        kept = "no epoch was finished before"
        if checkpoint and checkpoint.best:
            kept = f"{checkpoint.folder} holds epoch {checkpoint.best['epoch']}, the best before"
        self.divergence = (
            f"the loss is {loss} at batch {self.iter} of epoch {self.epoch + 1}, learning rate "
            f"{self.opt.hypers[-1]['lr']:.2g}; {kept}; try a lower --lr"
        )
        raise CancelFitException

    def after_train(self):
        """Compute the epoch's tokens per second and its mean loss in nats per token."""
        self.tokens_per_second = self.epoch_tokens / (time.perf_counter() - self.start_time)
        self.train_loss = self.world.mean(self.epoch_nats) / max(1, self.epoch_tokens)

    def print_epoch(self, row: dict) -> None:
        """Print an epoch's row of the history."""
        minutes_left = self.tokens_left / row["tokens_per_second"] / 60
        self.bar.clear()
        print(
            f"epoch {row['epoch']}/{self.n_epochs}  train {row['train_loss']:.4f}  valid {row['valid_loss']:.4f}  "
            f"{row['nats_per_quarter']:.3f} nats/quarter  {row['tokens_per_second']:,.0f} tokens/s  "
            f"{minutes_left:.1f} min left",
            flush=True,
        )

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()


class CheckpointCallback(Callback):
    """After each epoch save the best weights, the history and the state to resume from; stop when patience runs out.

    Parameters
    ----------
    folder : str or Path
        The run folder.
    save_model : function(learn, folder)
        Saves the model as it is now.
    history : sequence of dict
        Rows of the epochs before, if a run is resumed.
    patience : int
        Epochs without a lower cost of the validation pieces before the run stops.
    world : World
        Its process 0 writes.
    """

    order = 80

    def __init__(
        self,
        folder: str | Path,
        save_model: Callable[[Learner, Path], None],
        history: Sequence[dict] = (),
        patience: int = 10**9,
        world: World = SINGLE_PROCESS,
    ):
        self.folder, self.save_model, self.patience, self.world = Path(folder), save_model, patience, world
        self.history, self.stopped_early, self.is_complete = list(history), False, False

    @property
    def best(self) -> dict | None:
        """Return the row of the best epoch so far, or None."""
        return min(self.history, key=lambda row: row["nats_per_quarter"], default=None)

    def before_epoch(self):
        """Forget that the epoch before was complete."""
        self.is_complete = False

    def after_validate(self):
        """Note that this epoch was trained and validated, not skipped or cut off."""
        self.is_complete = True

    def after_epoch(self):
        """Save the model, then the state, then the history: a kill in between repeats this epoch and nothing else."""
        if not self.is_complete:
            return
        row = self.world.broadcast(self._row())
        self.learn.progress_logger.check_loss(row["train_loss"])
        self.learn.progress_logger.check_loss(row["nats_per_quarter"])
        best = self.best
        self.history.append(row)
        if self.world.is_rank0:
            if best is None or row["nats_per_quarter"] < best["nats_per_quarter"]:
                self.save_model(self.learn, self.folder)
            save_state(self.learn, self.folder / STATE, self.history)
            write_atomically(self.folder / HISTORY, pd.DataFrame(self.history).to_csv(index=False))
        self.learn.progress_logger.print_epoch(row)
        if row["epoch"] - self.best["epoch"] >= self.patience:
            self.stopped_early = True
            print(f"no better for {self.patience} epochs: stopping")
            raise CancelFitException

    def _row(self):
        """Return this epoch's row of the history."""
        metric, progress = self.learn.metrics[0], self.learn.progress_logger
        minutes_before = self.history[-1]["minutes"] if self.history else 0.0
        return {
            "epoch": len(self.history) + 1,
            "train_loss": progress.train_loss,
            "valid_loss": metric.value / metric.tokens_per_quarter,
            "nats_per_quarter": metric.value,
            "tokens_per_second": round(progress.tokens_per_second),
            "minutes": round(minutes_before + (time.perf_counter() - progress.start_time) / 60, 2),
        }
