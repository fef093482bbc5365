"""Compare the training speed of Clara and fastai's language_model_learner, in tokens per second.

python benchmarks/train_speed.py CORPUS [--device cpu] [--sizes 256/512/2 400/600/4]

Both train an AWD-LSTM with fastai's default dropouts on the same tokens. Each makes whole passes with
its own learner, data loader and callbacks at a fixed learning rate: what a person gets who calls it.
Clara trains as `train.py` does: in all keys, with bfloat16 if the machine has it. They take turns.
The peak is the fastest matrix product found on the machine.
"""

import time
from itertools import pairwise

import record
from timing import best_rates

PASS_TOKENS = 80_000
ROUNDS = 3
PEAK_MATRIX_SIZE = 2048  # rows and columns of the matrices that the peak is measured with
PEAK_ROUNDS = 6
LEARNING_RATE = 1e-3


def main():
    """Time both for each of the sizes and save the result."""
    args = parse_arguments()
    import fastai.callback.progress  # noqa: F401 - gives the Learner no_bar()

    from clara.data.corpus import Corpus

    corpus = Corpus.load(args.corpus)
    rows = []
    for sizes in args.sizes:
        rows.append(measure(corpus, sizes, args))
        print(rows[-1], flush=True)
    record.save("train_speed", rows, bs=args.bs, bptt=args.bptt, tokens=PASS_TOKENS, rounds=ROUNDS)


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("corpus", help="Folder of a prepared corpus")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--sizes", nargs="*", default=["256/512/2", "400/600/4"], help="Embedding/hidden units/layers")
    p.add_argument("--bs", type=int, default=64, help="Batch size")
    p.add_argument("--bptt", type=int, default=72, help="Tokens in a window; 72 is fastai's default")
    return p.parse_args()


def measure(corpus, sizes_text, args):
    """Return the row of some sizes, given as `256/512/2`."""
    import torch

    sizes = dict(zip(("emb_sz", "n_hid", "n_layers"), map(int, sizes_text.split("/"))))
    passes = {
        "clara": make_clara_pass(corpus, sizes, args.bs, args.bptt, args.device),
        "fastai": make_fastai_pass(corpus, sizes, args.bs, args.bptt, args.device),
    }
    best = best_rates(passes, ROUNDS)
    peak = measure_peak(args.device)
    return {
        "sizes": sizes_text,
        "device": args.device,
        "threads": torch.get_num_threads(),
        "clara_tokens_per_second": round(best["clara"]),
        "fastai_tokens_per_second": round(best["fastai"]),
        "speedup": round(best["clara"] / best["fastai"], 2),
        "share_of_peak": round(best["clara"] * operations_per_token(sizes, len(corpus.vocab)) / peak, 3),
        "peak_gflops": round(peak / 1e9),
    }


def make_clara_pass(corpus, sizes, bs, bptt, device):
    """Return a function that trains one pass with Clara's learner and returns tokens per second."""
    from clara.data.dataloaders import MusicDataLoaders
    from clara.data.stream_loader import StreamDataLoader
    from clara.devices import choose_device
    from clara.encodings.vocab import SHIFTS, transposition_tables
    from clara.training.learner import music_learner

    _, bf16, _ = choose_device(device, "auto")
    tables = transposition_tables(corpus.vocab, corpus.encoding, SHIFTS)
    pieces = take_pieces(corpus)
    train = StreamDataLoader(pieces, bs, bptt, device, tables, 0)
    valid = StreamDataLoader(pieces[:1], 1, bptt, device)
    dls = MusicDataLoaders(train, valid, vocab=corpus.vocab, encoding=corpus.encoding)
    learn = music_learner(dls, config=sizes, bf16=bf16, log=lambda _: None)
    return lambda: train_pass(learn, len(train) * bs * bptt)


def make_fastai_pass(corpus, sizes, bs, bptt, device):
    """Return a function that trains one pass with fastai's learner and returns tokens per second."""
    import torch
    from fastai.data.core import DataLoaders
    from fastai.text.data import LMDataLoader, TensorText
    from fastai.text.learner import language_model_learner
    from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_lm_config

    pieces = [(TensorText(torch.from_numpy(ids).long()),) for ids in take_pieces(corpus)]
    train = LMDataLoader(pieces, bs=bs, seq_len=bptt, device=torch.device(device), shuffle=True)
    valid = LMDataLoader(pieces[:1], bs=1, seq_len=bptt, device=torch.device(device))
    dls = DataLoaders(train, valid, device=torch.device(device))
    dls.vocab = list(corpus.vocab.tokens)
    learn = language_model_learner(dls, AWD_LSTM, config=awd_lstm_lm_config | sizes, pretrained=False, drop_mult=1.0)
    return lambda: train_pass(learn, len(train) * bs * bptt)


def take_pieces(corpus):
    """Return training pieces of about PASS_TOKENS tokens in all."""
    pieces = []
    n_tokens = 0
    for ids in corpus.ids("train"):
        if n_tokens < PASS_TOKENS:
            pieces.append(ids)
            n_tokens += len(ids)
    return pieces


def train_pass(learn, n_tokens):
    """Train one pass without validation, and return tokens per second."""
    import torch
    from fastai.callback.core import Callback, CancelValidException

    class NoValidation(Callback):
        """Skip the validation."""

        def before_validate(self):
            raise CancelValidException

    start = time.perf_counter()
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, LEARNING_RATE, cbs=NoValidation())
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return n_tokens / (time.perf_counter() - start)


def measure_peak(device):
    """Return the most operations per second of a square matrix product, in float32 or bfloat16."""
    import torch

    best = 0.0
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(PEAK_MATRIX_SIZE, PEAK_MATRIX_SIZE, device=device).to(dtype)
        b = torch.randn(PEAK_MATRIX_SIZE, PEAK_MATRIX_SIZE, device=device).to(dtype)
        for _ in range(PEAK_ROUNDS):
            start = time.perf_counter()
            product = a @ b
            if product.is_cuda:
                torch.cuda.synchronize()
            best = max(best, 2 * PEAK_MATRIX_SIZE**3 / (time.perf_counter() - start))
    return best


def operations_per_token(sizes, vocab_sz):
    """Return the operations of the matrix products for one token, forward and backward."""
    emb_sz, n_hid, n_layers = sizes["emb_sz"], sizes["n_hid"], sizes["n_layers"]
    widths = [emb_sz, *[n_hid] * (n_layers - 1), emb_sz]
    lstm_weights = sum(4 * n_out * (n_in + n_out) for n_in, n_out in pairwise(widths))
    return 6 * (lstm_weights + vocab_sz * emb_sz)


if __name__ == "__main__":
    main()
