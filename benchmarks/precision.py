"""What stored precision costs: held-out nats per quarter of weights in float32, and halved as a model file keeps them.

python benchmarks/precision.py RUN=CORPUS …

A run folder's state.safetensors holds its last epoch's weights in float32. They are read as
they are, as float16 and as bfloat16.
"""

import argparse
from pathlib import Path

import record

FORMATS = {"float32": "float32", "float16, as stored": "float16", "bfloat16": "bfloat16"}


def main():
    """Read every run's weights in every format and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("runs", nargs="+", metavar="RUN=CORPUS")
    args = p.parse_args()
    import torch
    from safetensors.torch import load_file

    from clara.checkpoint import Checkpoint
    from clara.data.corpus import Corpus
    from clara.models import get_architecture
    from clara.models.likelihood import nats_per_quarter
    from clara.training.callbacks import STATE

    torch.set_num_threads(1)
    rows = []
    for run, folder in (told.split("=") for told in args.runs):
        checkpoint, corpus = Checkpoint.load(run), Corpus.load(folder)
        module = get_architecture(checkpoint.arch)
        state = load_file(Path(run, STATE))
        model = module.build(module.DEFAULTS | checkpoint.sizes, len(checkpoint.vocab), checkpoint.vocab.pad_id)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(state[f"model.{name}"])
        weights = module.to_tensors(model)
        nats = {
            told: nats_per_quarter(
                module.InferenceModel({k: t.to(getattr(torch, dtype)) for k, t in weights.items()}), corpus, "valid"
            )
            for told, dtype in FORMATS.items()
        }
        exact = nats["float32"]
        rows += [
            {
                "model": Path(run).name,
                "format": told,
                "valid_nats_per_quarter": round(n, 4),
                "cost_percent": round(100 * (n / exact - 1), 4),
            }
            for told, n in nats.items()
        ]
        print(*rows[-len(nats) :], sep="\n", flush=True)
    record.save("precision", rows)


if __name__ == "__main__":
    main()
