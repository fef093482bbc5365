"""Compare ways of fine-tuning on about ten pieces of a style that the weights do not know.

python benchmarks/finetune.py FOLDER_OF_MIDI --base-corpus data/notewise-12 [--pieces 10]

A third of the works is held out, two of the others choose the epoch, and --pieces pieces are trained
on. The commands are those of a user: train.py, alone and with --adapter, --replay-data or
--from-scratch. Measured are the nats per quarter of the held-out works, those of the base model's own
test pieces (which show what was forgotten), and minutes.
"""

import contextlib
import io
import tempfile
import time
from pathlib import Path

import record

SEED = 0
SMALL_SIZES = ["--emb-sz", 256, "--n-hid", 512, "--n-layers", 2]


def main():
    """Fine-tune in each way and save the result."""
    args = parse_arguments()
    import torch

    from clara.checkpoints.checkpoint import Checkpoint, weights_hash
    from clara.data.corpus import Corpus

    torch.set_num_threads(args.threads)
    methods = {
        "adapter": ["--adapter"],
        "full": [],
        "full, with replay data": ["--replay-data", args.base_corpus],
        "from scratch": ["--from-scratch", *SMALL_SIZES],
    }
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch, "corpus")
        n_train, n_held_out = prepare_small_corpus(args.folder, data, args.pieces)
        corpora = Corpus.load(data), Corpus.load(args.base_corpus)
        base = Checkpoint.load(args.pretrained)
        base_size = Path(args.pretrained, "model.safetensors").stat().st_size
        rows = [make_row("no fine-tuning", base, corpora, 0.0, base_size)]
        for method, flags in methods.items():
            out = Path(scratch, method.replace(" ", "-").replace(",", ""))
            common = ["--data", data, "--pretrained", args.pretrained, "--threads", args.threads, "--seed", SEED]
            minutes = run_train([*common, *flags, "--out", out])
            checkpoint, n_bytes = load_trained(method, out, args.pretrained)
            rows.append(make_row(method, checkpoint, corpora, minutes, n_bytes))
    record.save(
        "finetune",
        rows,
        train_pieces=n_train,
        held_out_pieces=n_held_out,
        base=weights_hash(args.pretrained),
        threads=args.threads,
    )


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("folder", help="Folder of MIDI files in one style")
    p.add_argument("--base-corpus", required=True, help="Folder of the base model's corpus")
    p.add_argument("--pieces", type=int, default=10, help="Number of pieces to train on")
    p.add_argument("--pretrained", default="pretrained/notewise", help="Folder of the base model")
    p.add_argument("--threads", type=int, default=2, help="Number of CPU threads")
    return p.parse_args()


def prepare_small_corpus(folder, out, n_pieces):
    """Prepare a corpus: a third of the works is test, two works are valid, `n_pieces` pieces are train.

    Returns the number of training pieces and of test pieces.
    """
    import numpy as np
    import pandas as pd

    from clara.data.corpus import MANIFEST, read_manifest
    from clara.data.corpus_writer import prepare_corpus
    from clara.data.sources import find_pieces

    prepare_corpus(find_pieces([folder]), out, {"encoding": "notewise"}, about=f"Music from {folder}.")
    manifest = read_manifest(out)
    rows = manifest[manifest["reason"] == ""].copy()
    works = np.random.default_rng(SEED).permutation(rows["work"].unique()).tolist()
    third = len(works) // 3
    split_of_work = dict.fromkeys(works[:third], "test") | dict.fromkeys(works[third : third + 2], "valid")
    rows["split"] = [split_of_work.get(work, "train") for work in rows["work"]]
    train = rows[rows["split"] == "train"].head(n_pieces)
    held_out = rows[rows["split"] != "train"]
    pd.concat([train, held_out]).to_csv(out / MANIFEST, index=False)
    return len(train), len(rows[rows["split"] == "test"])


def run_train(flags):
    """Run train.py with some flags, and return the minutes."""
    from clara_app import train

    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        train.main([str(flag) for flag in flags])
    return round((time.perf_counter() - start) / 60, 1)


def load_trained(method, out, pretrained):
    """Return the checkpoint that a training left, and the bytes of its new weights."""
    from clara.checkpoints.adapter import Adapter
    from clara.checkpoints.checkpoint import Checkpoint
    from clara.training.adapter_tuning import ADAPTER_FILE

    if method == "adapter":
        path = out / ADAPTER_FILE
        checkpoint = Adapter.load(path).apply_to(Checkpoint.load(pretrained), pretrained)
    else:
        path = out / "model.safetensors"
        checkpoint = Checkpoint.load(out)
    return checkpoint, path.stat().st_size


def test_cost(checkpoint, corpus):
    """Return nats per quarter note of the test pieces; a model that follows plans knows their metre."""
    from clara.models.likelihood import nats_per_quarter
    from clara.training.plan_costs import costs_by_knowledge

    if checkpoint.context_reader():
        return costs_by_knowledge(checkpoint, corpus, "test", ["metre"])["metre"]
    return nats_per_quarter(checkpoint.inference_model(), corpus, "test")


def make_row(method, checkpoint, corpora, minutes, n_bytes):
    """Return the row of a method; `corpora` are the new and the base corpus."""
    new_nats, base_nats = (round(test_cost(checkpoint, corpus), 3) for corpus in corpora)
    row = {
        "method": method,
        "nats_per_quarter": new_nats,
        "base_nats_per_quarter": base_nats,
        "minutes": minutes,
        "kilobytes": round(n_bytes / 1e3),
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
