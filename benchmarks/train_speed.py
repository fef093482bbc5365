"""Training, words per second: Clara beside fastai's own language_model_learner, same sizes, same machine, by turns.

python benchmarks/train_speed.py CORPUS [--device cpu] [--sizes 256/512/2 400/600/4]

Both train an AWD-LSTM with fastai's default dropouts on the same words, in whole passes of
their own learners with their own data loaders, callbacks and schedules of nothing: what a
person gets who calls them. Clara as `train.py` does it: all keys in turn, bfloat16 where the
machine has it. The limit is the fastest matrix product found here, of which a share is used.
"""

import argparse
import time
from itertools import pairwise

import record

WORDS = 80_000  # a pass, on a CPU
ROUNDS = 3
PRODUCT = 2048  # rows and columns of the matrices that the limit is measured with


def clara_pass(corpus, sizes, bs, bptt, device):
    """A function that trains one pass with Clara's learner and gives its words."""
    import torch
    from fastai.data.core import DataLoaders

    from clara.data.dataloaders import SHIFTS, PieceLoader
    from clara.devices import choose_device
    from clara.encodings.vocab import transposition_tables
    from clara.models import awd_lstm
    from clara.training.learner import music_learner

    _, bf16, _ = choose_device(device, "auto")
    tables = transposition_tables(corpus.vocab, corpus.encoding, SHIFTS)
    pieces = some_pieces(corpus)
    loader = PieceLoader(pieces, bs, bptt, device, tables, 0)
    dls = DataLoaders(loader, PieceLoader(pieces[:1], 1, bptt, device), device=torch.device(device))
    learn = music_learner(dls, "awd_lstm", awd_lstm.DEFAULTS | sizes, corpus.vocab, tokens_per_quarter=1.0, bf16=bf16)
    return lambda: passed(learn, len(loader) * bs * bptt)


def fastai_pass(corpus, sizes, bs, bptt, device):
    """The same with fastai's."""
    import torch
    from fastai.data.core import DataLoaders
    from fastai.text.data import LMDataLoader, TensorText
    from fastai.text.learner import language_model_learner
    from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_lm_config

    pieces = [(TensorText(torch.from_numpy(p).long()),) for p in some_pieces(corpus)]
    loader = LMDataLoader(pieces, bs=bs, seq_len=bptt, device=torch.device(device), shuffle=True)
    little = LMDataLoader(pieces[:1], bs=1, seq_len=bptt, device=torch.device(device))
    dls = DataLoaders(loader, little, device=torch.device(device))
    dls.vocab = list(corpus.vocab.tokens)
    config = awd_lstm_lm_config | sizes
    learn = language_model_learner(dls, AWD_LSTM, config=config, pretrained=False, drop_mult=1.0)
    return lambda: passed(learn, len(loader) * bs * bptt)


def some_pieces(corpus):
    """Training pieces of WORDS words in all."""
    pieces, n = [], 0
    for piece in corpus.ids("train"):
        if n < WORDS:
            pieces.append(piece)
            n += len(piece)
    return pieces


def passed(learn, words):
    """Train a pass without looking at valid; words per second."""
    import torch
    from fastai.callback.core import Callback, CancelValidException

    class NoValid(Callback):
        """Skip the validation."""

        def before_validate(self):
            raise CancelValidException

    began = time.perf_counter()
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3, cbs=NoValid())
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return words / (time.perf_counter() - began)


def product_peak(device):
    """The most operations per second that a square matrix product reaches, in float32 or bfloat16."""
    import torch

    best = 0.0
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(PRODUCT, PRODUCT, device=device).to(dtype) for _ in range(2))
        for _ in range(6):
            began = time.perf_counter()
            c = a @ b
            if c.is_cuda:
                torch.cuda.synchronize()
            best = max(best, 2 * PRODUCT**3 / (time.perf_counter() - began))
    return best


def operations(sizes, vocab_sz):
    """Of the matrix products for one word, forward and backward."""
    emb, hid, n = sizes["emb_sz"], sizes["n_hid"], sizes["n_layers"]
    widths = [emb, *[hid] * (n - 1), emb]
    weights = sum(4 * out * (into + out) for into, out in pairwise(widths)) + vocab_sz * emb
    return 6 * weights


def main():
    """Time both for each of the sizes and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("corpus")
    p.add_argument("--device", default="cpu")
    p.add_argument("--sizes", nargs="*", default=["256/512/2", "400/600/4"])
    p.add_argument("--bs", type=int, default=64)
    p.add_argument("--bptt", type=int, default=72, help="fastai's default")
    args = p.parse_args()
    import fastai.callback.progress  # noqa: F401  gives the Learner no_bar()
    import torch

    from clara.data.corpus import Corpus

    corpus, rows = Corpus.load(args.corpus), []
    for told in args.sizes:
        sizes = dict(zip(("emb_sz", "n_hid", "n_layers"), map(int, told.split("/"))))
        passes = {
            "clara": clara_pass(corpus, sizes, args.bs, args.bptt, args.device),
            "fastai": fastai_pass(corpus, sizes, args.bs, args.bptt, args.device),
        }
        speed = {name: [] for name in passes}
        for _ in range(ROUNDS):
            for name, take in passes.items():
                speed[name].append(take())
        best = {name: max(s) for name, s in speed.items()}
        peak = product_peak(args.device)
        rows.append(
            {
                "sizes": told,
                "device": args.device,
                "threads": torch.get_num_threads(),
                "clara_words_per_second": round(best["clara"]),
                "fastai_words_per_second": round(best["fastai"]),
                "ratio": round(best["clara"] / best["fastai"], 2),
                "share_of_peak": round(best["clara"] * operations(sizes, len(corpus.vocab)) / peak, 3),
                "peak_gflops": round(peak / 1e9),
            }
        )
        print(rows[-1], flush=True)
    record.save("train_speed", rows, bs=args.bs, bptt=args.bptt, words=WORDS, rounds=ROUNDS)


if __name__ == "__main__":
    main()
