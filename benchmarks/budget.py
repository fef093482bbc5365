"""Training on a budget of words, for benchmarks that compare what is learned in the same time."""

import math
import time


def learn(loader, arch, config, vocab_sz, pad_id, *, words, lr, warm):
    """Train from scratch on so many words under one cosine of the rate.

    Parameters
    ----------
    loader : clara.data.dataloaders.PieceLoader, in all keys
    arch : name in `clara.models.ARCHITECTURES`
    config : its sizes and dropouts
    vocab_sz, pad_id : of the vocabulary
    words : to read
    lr, warm : highest rate, and the share of the words in which it rises

    Returns
    -------
    words : that were read
    model : the net
    """
    import fastai.callback.progress  # noqa: F401  gives the Learner no_bar()
    import torch
    from fastai.callback.core import Callback, CancelFitException
    from fastai.data.core import DataLoaders

    from clara.data.dataloaders import PieceLoader
    from clara.models import get_architecture
    from clara.training.init_weights import log_frequencies
    from clara.training.learner import music_learner

    class Budget(Callback):
        """Set the rate by the share that is gone, and stop when all is."""

        read = told = 0

        def before_train(self):
            loader.epoch = self.epoch

        def before_batch(self):
            gone = self.read / words
            if gone >= 1:
                raise CancelFitException
            rise, fall = min(1, gone / warm), 0.5 * (1 + math.cos(math.pi * max(0, gone - warm) / (1 - warm)))
            self.opt.set_hyper("lr", lr * max(1e-3, rise * fall))

        def after_batch(self):
            self.read += self.yb[0].numel()
            if 20 * self.read // words > self.told:
                self.told = 20 * self.read // words
                print(f"{5 * self.told:3d} % {self.read:12,d} words, loss {float(self.loss.detach()):.4f}", flush=True)

    budget, little = (
        Budget(),
        PieceLoader(loader.dataset[:1], 1, loader.seq_len),
    )  # fastai wants something to validate on
    vocab = type("Sized", (), {"__len__": lambda self: vocab_sz, "pad": pad_id})()
    learner = music_learner(DataLoaders(loader, little), arch, config, vocab, tokens_per_quarter=1.0, bf16=has_bf16())
    module, bias = get_architecture(arch), log_frequencies(loader.corpus.cpu().numpy(), loader.tables.cpu().numpy())
    module.load_tensors(
        learner.model, module.to_tensors(learner.model) | {"output.bias": torch.from_numpy(bias).float()}
    )
    learner.add_cb(budget)
    with learner.no_bar():
        learner.fit(10_000)
    return budget.read, learner.model


def batch_seconds(arch, config, vocab_sz, bs, bptt):
    """A function that trains one batch of random words and gives the CPU seconds it took."""
    import torch

    from clara.models import get_architecture

    model = get_architecture(arch).build(config, vocab_sz, 0).train()
    ids = torch.randint(1, vocab_sz, (bs, bptt))

    def batch():
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            logits = model(ids)[0]
        torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids.flatten()).backward()
        return time.process_time() - began

    return batch


def has_bf16():
    """Whether bfloat16 products are native here."""
    import torch

    return torch.cpu._is_avx512_bf16_supported()
