"""Measure what half precision costs: held-out nats per quarter of weights in float32 and rounded.

python benchmarks/precision.py RUN=CORPUS …

A run folder's state.safetensors holds its last epoch's weights in float32. They are read as they are,
as float16 (as a model file stores them) and as bfloat16.
"""

from pathlib import Path

import record

DTYPES = {"float32": "float32", "float16, as stored": "float16", "bfloat16": "bfloat16"}


def main():
    """Measure every run's weights in every format and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("runs", nargs="+", metavar="RUN=CORPUS", help="Run folder and the folder of its corpus")
    args = p.parse_args()
    import torch

    torch.set_num_threads(1)
    rows = []
    for pair in args.runs:
        run_rows = measure_run(*pair.split("="))
        print(*run_rows, sep="\n", flush=True)
        rows += run_rows
    record.save("precision", rows)


def measure_run(run, corpus_folder):
    """Return a row for each format of a run's weights."""
    import torch

    from clara.checkpoints.checkpoint import Checkpoint
    from clara.data.corpus import Corpus
    from clara.models import get_architecture
    from clara.models.likelihood import nats_per_quarter

    checkpoint, corpus = Checkpoint.load(run), Corpus.load(corpus_folder)
    module = get_architecture(checkpoint.arch)
    weights = load_last_weights(run, checkpoint)
    nats = {}
    for name, dtype in DTYPES.items():
        rounded = {key: tensor.to(getattr(torch, dtype)) for key, tensor in weights.items()}
        nats[name] = nats_per_quarter(module.InferenceModel(rounded), corpus, "valid")
    return [
        {
            "model": Path(run).name,
            "format": name,
            "valid_nats_per_quarter": round(value, 4),
            "cost_percent": round(100 * (value / nats["float32"] - 1), 4),
        }
        for name, value in nats.items()
    ]


def load_last_weights(run, checkpoint):
    """Return the float32 weights of a run's last epoch, by name."""
    import torch
    from safetensors.torch import load_file

    from clara.models import get_architecture
    from clara.models.context import choose_scale
    from clara.training.resume_state import STATE
    from clara.training.settings import TrainSettings

    module = get_architecture(checkpoint.arch)
    state = load_file(Path(run, STATE))
    sizes = module.DEFAULTS | checkpoint.sizes
    if checkpoint.context_reader():
        sizes["context_scale"] = choose_scale(TrainSettings.load(run).follow_plans)
    model = module.build(sizes, len(checkpoint.vocab), checkpoint.vocab.pad_id)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(state[f"model.{name}"])
    return module.to_tensors(model)


if __name__ == "__main__":
    main()
