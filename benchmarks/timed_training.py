"""Train a model on a fixed number of tokens, for benchmarks that compare what is learned in the same time."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes
    ----------
    n_tokens : int
        Number of tokens to read.
    lr : float
        Highest learning rate; it follows one cosine.
    warmup : float
        Share of the tokens over which the rate rises.
    """

    n_tokens: int
    lr: float
    warmup: float

    def rate_at(self, progress: float) -> float:
        """Return the learning rate after a share `progress` of the tokens."""
        rise = min(1, progress / self.warmup)
        fall = 0.5 * (1 + math.cos(math.pi * max(0, progress - self.warmup) / (1 - self.warmup)))
        return self.lr * max(1e-3, rise * fall)


def train_on_tokens(loader, architecture: str, config: dict, vocab, encoding, schedule: Schedule) -> tuple:
    """Train a model from scratch on a fixed number of tokens.

    Parameters
    ----------
    loader : clara.data.stream_loader.StreamDataLoader
        In all keys.
    architecture : str
        Name in `clara.models.ARCHITECTURES`.
    config : dict
        Sizes and dropouts.
    vocab : Vocab
    encoding : Encoding
    schedule : Schedule

    Returns
    -------
    n_tokens : int
        Number of tokens that were read.
    model : nn.Module
    """
    import fastai.callback.progress  # noqa: F401 - gives the Learner no_bar()
    import torch
    from fastai.callback.core import Callback, CancelFitException

    from clara.data.dataloaders import MusicDataLoaders
    from clara.data.stream_loader import StreamDataLoader
    from clara.models import get_architecture
    from clara.training.init_weights import log_frequencies
    from clara.training.learner import music_learner

    class TokenBudget(Callback):
        """Set the learning rate by progress, and stop after the last token."""

        n_read = n_printed = 0

        def before_batch(self):
            progress = self.n_read / schedule.n_tokens
            if progress >= 1:
                raise CancelFitException
            self.opt.set_hyper("lr", schedule.rate_at(progress))

        def after_batch(self):
            self.n_read += self.yb[0].numel()
            twentieths = 20 * self.n_read // schedule.n_tokens
            if twentieths > self.n_printed:
                self.n_printed = twentieths
                loss = float(self.loss.detach())
                print(f"{5 * twentieths:3d} % {self.n_read:12,d} tokens, loss {loss:.4f}", flush=True)

    budget = TokenBudget()
    valid = StreamDataLoader(loader.items[:1], 1, loader.seq_len)  # fastai wants something to validate on
    dls = MusicDataLoaders(loader, valid, vocab=vocab, encoding=encoding)
    learner = music_learner(dls, architecture, config=config, bf16=has_bf16(), log=lambda _: None)
    module = get_architecture(architecture)
    bias = log_frequencies(loader.token_ids.cpu().numpy(), loader.tables.cpu().numpy())
    tensors = module.to_tensors(learner.model) | {"output.bias": torch.from_numpy(bias).float()}
    module.load_tensors(learner.model, tensors)
    learner.add_cb(budget)
    with learner.no_bar(), learner.no_logging():
        learner.fit(10_000)  # the budget ends it
    return budget.n_read, learner.model


def make_batch_timer(architecture: str, config: dict, vocab_sz: int, bs: int, bptt: int) -> Callable[[], float]:
    """Return a function that trains one batch of random tokens and returns its CPU seconds."""
    import torch

    from clara.models import get_architecture

    model = get_architecture(architecture).build(config, vocab_sz, 0).train()
    ids = torch.randint(1, vocab_sz, (bs, bptt))

    def train_batch():
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            logits = model(ids)[0]
        torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids.flatten()).backward()
        return time.process_time() - start

    return train_batch


def has_bf16() -> bool:
    """Return whether the processor has bfloat16 products."""
    import torch

    return torch.cpu._is_avx512_bf16_supported()
