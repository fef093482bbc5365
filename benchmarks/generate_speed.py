"""Words per second of composing, beside fastai stepping the same weights in its own net.

python benchmarks/generate_speed.py [--model pretrained/notewise]

Clara's figure holds everything that generate.py does by default: grammar, temperature,
top-p, carried state. fastai's holds its net and a plain multinomial draw, which is less. Both take turns at each batch size, on one
thread; the better of two runs counts.
"""

import argparse
import time
from dataclasses import asdict

import record
import torch

from clara.checkpoint import Checkpoint
from clara.generator import Generator
from clara.models import architecture
from clara.sampling.strategies import Settings

SETTINGS = Settings(temperature=0.95, top_p=0.98)  # the defaults of generate.py
STEPS = 150  # words per sample that fastai's net is stepped


def clara_rate(generator, bs):
    """Words per second of composing bs pieces of 16 quarters."""
    began = time.perf_counter()
    pieces = generator.generate(n=bs, quarters=16, settings=SETTINGS, seed=0)
    return sum(len(p.words) for p in pieces) / (time.perf_counter() - began)


@torch.inference_mode()
def fastai_rate(model, vocab, bs):
    """Words per second of stepping fastai's net for bs samples."""
    model.reset()
    ids = torch.full((bs, 1), vocab.bos)
    began = time.perf_counter()
    for _ in range(STEPS):
        ids = model(ids)[0][:, -1].softmax(1).multinomial(1)
    return bs * STEPS / (time.perf_counter() - began)


def main():
    """Measure both at each batch size and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--model", default="pretrained/notewise")
    p.add_argument("--bs", type=int, nargs="+", default=[1, 8, 64])
    args = p.parse_args()
    torch.set_num_threads(1)
    checkpoint = Checkpoint.load(args.model)
    module = architecture(checkpoint.arch)
    model = module.build(checkpoint.sizes | {k: 0.0 for k in module.DEFAULTS if k.endswith("_p")},
                         len(checkpoint.vocab), checkpoint.vocab.pad)
    module.load_tensors(model, checkpoint.tensors)
    model.eval()
    generator, rows = Generator(checkpoint), []
    for bs in args.bs:
        pairs = [(clara_rate(generator, bs), fastai_rate(model, checkpoint.vocab, bs)) for _ in range(2)]
        clara, fastai = (max(rates) for rates in zip(*pairs))
        rows.append({"bs": bs, "clara_words_per_second": round(clara), "fastai_words_per_second": round(fastai),
                     "ratio": round(clara / fastai, 2)})
        print(f"batch {bs:4d}: Clara {clara:8,.0f} words/s, fastai {fastai:8,.0f}, ratio {clara / fastai:.2f}")
    record.save("generate_speed", rows, threads=1, parameters=checkpoint.n_parameters, **asdict(SETTINGS))


if __name__ == "__main__":
    main()
