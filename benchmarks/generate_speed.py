"""Words per second of composing: Clara, fastai stepping its own net, a GPT-2 of equal size with its cache, and the machine's limit.

python benchmarks/generate_speed.py [--threads 1 2]

All nets have random weights of the same sizes, 400/600/4 (9.8 million parameters), and the words of
notewise text at 12 steps. Clara's figure holds everything that `generate.py` does by default,
sampling and grammar too; fastai's and GPT-2's hold the net and a plain draw, which is less. They take
turns at each batch size; the best of some rounds counts, of batches over 256 one round. The limit of a step is
the longer of two times: its operations at the rate of the fastest 8-bit product of large square matrices, be it
ONNX Runtime's or oneDNN's, and reading the weights once as bytes. Last, what 8 bits cost in nats per
quarter: the shipped model stepping through valid pieces, if --model and --corpus are given.
"""

import argparse
import sys
import time

import numpy as np
import record
import torch

ROUNDS, STEPS, SQUARE = 5, 96, 2048
QUARTERS, QUARTERS_ALONE = 16.0, 128.0  # of texts in a batch, of one alone
ROUNDS_UP_TO = 256  # texts; one round for more
GPT2 = {"n_embd": 320, "n_layer": 8, "n_head": 8, "n_positions": 1024, "bos_token_id": None, "eos_token_id": None}
PRICE_WORDS = 600


def net():
    """A checkpoint of the full size, untrained."""
    from clara.checkpoint import Checkpoint
    from clara.encodings.notewise import Notewise
    from clara.encodings.vocab import Vocab
    from clara.models import awd_lstm

    torch.manual_seed(0)
    vocab = Vocab.from_encoding(Notewise())
    tensors = awd_lstm.to_tensors(awd_lstm.build(awd_lstm.DEFAULTS, len(vocab), vocab.pad_id))
    sizes = {k: awd_lstm.DEFAULTS[k] for k in ("emb_sz", "n_hid", "n_layers")}
    return Checkpoint("awd_lstm", sizes, Notewise(), vocab, tensors, {})


def clara(checkpoint, threads):
    """A function that composes n texts and gives words and seconds."""
    from clara.generator import Generator
    from clara.sampling.settings import SamplingSettings

    generator = Generator(checkpoint)

    def compose(n):
        began = time.perf_counter()
        pieces = generator.generate(
            n,
            QUARTERS if n > 1 else QUARTERS_ALONE,
            settings=SamplingSettings(temperature=0.95, top_p=0.98),
            seed=0,
            threads=threads,
        )
        return sum(len(p.tokens) for p in pieces) / (time.perf_counter() - began)

    return compose


@torch.inference_mode()
def _stepped(step, n):
    """Words per second of STEPS steps of n texts."""
    ids = torch.full((n, 1), 5)
    began = time.perf_counter()
    for _ in range(STEPS):
        ids = step(ids).softmax(1).multinomial(1)
    return n * STEPS / (time.perf_counter() - began)


def fastai(checkpoint):
    """The same of fastai's own net."""
    from fastai.text.models.awdlstm import AWD_LSTM
    from fastai.text.models.core import get_language_model

    from clara.models import awd_lstm

    model = get_language_model(
        AWD_LSTM,
        len(checkpoint.vocab),
        awd_lstm.DEFAULTS | {"pad_token": 1, "bidir": False, "tie_weights": True, "out_bias": True},
    )
    awd_lstm.load_tensors(model, checkpoint.tensors)
    model.eval()

    def compose(n):
        model.reset()
        return _stepped(lambda ids: model(ids)[0][:, -1], n)

    return compose


def gpt2(checkpoint):
    """The same of Hugging Face's GPT-2 with its cache."""
    sys.modules["torchvision"] = None  # text needs none, and that of a registry does not go with the CPU build of torch
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(checkpoint.vocab), **GPT2)).eval()

    def compose(n):
        cache = [None]

        def step(ids):
            out = model(ids, past_key_values=cache[0], use_cache=True)
            cache[0] = out.past_key_values
            return out.logits[:, -1]

        return _stepped(step, n)

    return compose, sum(p.numel() for p in model.parameters())


def rates(n_bytes):
    """What one core can do at best: 8-bit operations per second of each library, bytes per second of reading n_bytes again and again."""
    from clara.sampling.int8 import MatrixProduct, QuantizedMatrix

    rng = np.random.default_rng(0)
    product = MatrixProduct(QuantizedMatrix(rng.normal(size=(SQUARE, SQUARE))))
    product.resize(SQUARE)
    packed = torch.ops.onednn.qlinear_prepack(
        torch.from_numpy(rng.integers(-127, 128, (SQUARE, SQUARE), dtype=np.int8)), None
    )
    left, ones, zeros = (
        torch.zeros(SQUARE, SQUARE, dtype=torch.int8),
        torch.ones(SQUARE),
        torch.zeros(SQUARE, dtype=torch.long),
    )
    weights = np.ones(n_bytes, np.uint8)
    takes = {
        "onnxruntime": product.multiply,
        "reading": weights.max,
        "onednn": lambda: torch.ops.onednn.qlinear_pointwise(
            left, 1.0, 0, packed, ones, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        ),
    }
    work = {"onnxruntime": 2 * SQUARE**3, "onednn": 2 * SQUARE**3, "reading": n_bytes}
    best = dict.fromkeys(takes, float("inf"))
    for name, take in takes.items():
        for _ in range(50):
            began = time.perf_counter()
            take()
            best[name] = min(best[name], time.perf_counter() - began)
    return {name: work[name] / best[name] for name in takes}


def limit(n, n_weights, rate):
    """Words per second of n texts on one core with such rates."""
    return n / max(2 * n * n_weights / max(rate["onnxruntime"], rate["onednn"]), n_weights / rate["reading"])


def price(folder, corpus):
    """Percent that 8 bits add to the nats of the first words of valid pieces, each read word by word."""
    import torch.nn.functional as F

    from clara.checkpoint import Checkpoint
    from clara.data.corpus import Corpus
    from clara.sampling.int8 import Int8Model, Int8Stepper

    reader = Checkpoint.load(folder).inference_model()
    ids = np.stack([p[:PRICE_WORDS] for p in Corpus.load(corpus).ids("valid") if len(p) >= PRICE_WORDS]).astype(
        np.int64
    )
    with torch.inference_mode():
        logits, _ = reader(torch.from_numpy(ids[:, :-1]), reader.initial_state(len(ids)))
    exact = F.cross_entropy(logits.transpose(1, 2), torch.from_numpy(ids[:, 1:])).item()
    stepper, total = Int8Stepper(Int8Model(reader)), 0.0
    stepper.begin(reader.initial_state(len(ids)), np.arange(len(ids)))
    for at in range(PRICE_WORDS - 1):
        logits = torch.from_numpy(stepper.step(np.ascontiguousarray(ids[:, at])))
        total += F.cross_entropy(logits, torch.from_numpy(ids[:, at + 1])).item()
    return round(100 * (total / (PRICE_WORDS - 1) / exact - 1), 4)


def main():
    """Measure by turns and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--threads", type=int, nargs="+", default=[1])
    p.add_argument("--bs", type=int, nargs="+", default=[1, 16, 64, 256, 1024])
    p.add_argument("--model")
    p.add_argument("--corpus")
    args = p.parse_args()
    checkpoint, rows = net(), []
    sizes = {name: t.numel() for name, t in checkpoint.tensors.items() if "weight" in name}
    first = (
        checkpoint.sizes["emb_sz"] * 4 * checkpoint.sizes["n_hid"]
    )  # what the first layer adds for a word is looked up
    n_weights = sum(sizes.values()) - first
    other, n_other = gpt2(checkpoint)
    for threads in args.threads:
        torch.set_num_threads(1)
        rate = rates(n_weights)
        torch.set_num_threads(threads)
        takes = {"clara": clara(checkpoint, threads), "fastai": fastai(checkpoint), "gpt2": other}
        for take in takes.values():
            take(2)
        for bs in args.bs:
            rounds = [
                {name: take(bs) for name, take in takes.items()} for _ in range(ROUNDS if bs <= ROUNDS_UP_TO else 1)
            ]
            best = {name: max(r[name] for r in rounds) for name in takes}
            rows.append(
                {
                    "threads": threads,
                    "bs": bs,
                    **{f"{k}_words_per_second": round(v) for k, v in best.items()},
                    "over_fastai": round(best["clara"] / best["fastai"], 2),
                    "over_gpt2": round(best["clara"] / best["gpt2"], 2),
                    "share_of_limit": round(best["clara"] / limit(bs / threads, n_weights, rate) / threads, 3),
                    "share_of_onnxruntimes": round(
                        best["clara"] / limit(bs / threads, n_weights, rate | {"onednn": 0}) / threads, 3
                    ),
                }
            )
            print(rows[-1], flush=True)
    cost = price(args.model, args.corpus) if args.model else None
    record.save(
        "generate_speed",
        rows,
        parameters=checkpoint.n_parameters,
        gpt2_parameters=n_other,
        steps=STEPS,
        rounds=ROUNDS,
        rates_of_one_core={k: round(v / 1e9, 1) for k, v in rate.items()},
        int8_cost_percent=cost,
    )


if __name__ == "__main__":
    main()
