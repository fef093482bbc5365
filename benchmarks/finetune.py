"""Little music: what some ten pieces of a manner that the weights do not know do for it, by each way of tuning.

python benchmarks/finetune.py FOLDER_OF_MIDI --base-corpus data/notewise-12 [--pieces 10]

A third of the works is held out, two of the others choose the epoch, some ten are trained on. The same
commands as a user's: train.py, with --replay-data, with --adapter, with --from-scratch. Given are
nats per quarter note of the works held out, what the base's own test pieces cost
afterwards (which tells what was forgotten), and minutes.
"""

import argparse
import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path

import record

ROOT = Path(__file__).resolve().parents[1]
SEED = 0


def prepare(folder, out, n_pieces):
    """A corpus of which a third of the works is test, two works valid, n_pieces train, and the rest left out."""
    import numpy as np
    import pandas as pd

    from clara.data.corpus import MANIFEST, read_manifest
    from clara.data.corpus_writer import prepare_corpus
    from clara.data.sources import find_pieces

    prepare_corpus(find_pieces([folder]), out, {"encoding": "notewise"}, about=f"Music from {folder}.")
    rows = read_manifest(out).query("reason == ''")
    works = np.random.default_rng(SEED).permutation(rows["work"].unique())
    third = len(works) // 3
    sides = dict.fromkeys(works[:third].tolist(), "test") | dict.fromkeys(works[third : third + 2].tolist(), "valid")
    rows["split"] = [sides.get(w, "train") for w in rows["work"]]
    train = rows[rows["split"] == "train"].head(n_pieces)
    kept = rows[rows["split"] != "train"]
    pd.concat([train, kept]).to_csv(out / MANIFEST, index=False)
    return len(train), len(rows[rows["split"] == "test"])


def told_by(argv):
    """train.py with these flags; minutes."""
    from clara_app import train

    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        train.main([str(a) for a in argv])
    return round((time.perf_counter() - began) / 60, 1)


def main():
    """Tune by each way and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("folder")
    p.add_argument("--base-corpus", required=True)
    p.add_argument("--pieces", type=int, default=10)
    p.add_argument("--pretrained", default="pretrained/notewise")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    sys.path.insert(0, str(ROOT))
    import torch

    from clara.adapter import Adapter
    from clara.checkpoint import Checkpoint, weights_hash
    from clara.data.corpus import Corpus
    from clara.models.likelihood import nats_per_quarter
    from clara.training.adapter_tuning import ADAPTER_FILE

    torch.set_num_threads(args.threads)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch, "corpus")
        n_train, n_test = prepare(args.folder, data, args.pieces)
        corpus, base_corpus = Corpus.load(data), Corpus.load(args.base_corpus)

        def row(way, checkpoint, minutes, n_bytes):
            reader = checkpoint.inference_model()
            rows.append(
                {
                    "way": way,
                    "nats_per_quarter": round(nats_per_quarter(reader, corpus, "test"), 3),
                    "base_nats_per_quarter": round(nats_per_quarter(reader, base_corpus, "test"), 3),
                    "minutes": minutes,
                    "kilobytes": round(n_bytes / 1e3),
                }
            )
            print(rows[-1], flush=True)

        base = Checkpoint.load(args.pretrained)
        row("before", base, 0.0, Path(args.pretrained, "model.safetensors").stat().st_size)
        common = ["--data", data, "--pretrained", args.pretrained, "--threads", args.threads, "--seed", SEED]
        ways = {
            "light": ["--adapter"],
            "full": [],
            "full, a quarter of the base's music mixed in": ["--replay-data", args.base_corpus],
            "from scratch": ["--from-scratch", "--emb-sz", 256, "--n-hid", 512, "--n-layers", 2],
        }
        for way, flags in ways.items():
            out = Path(scratch, way.replace(" ", "-").replace(",", ""))
            minutes = told_by([*common, *flags, "--out", out])
            if way == "light":
                adapter = Adapter.load(out / ADAPTER_FILE)
                checkpoint = adapter.apply_to(Checkpoint.load(args.pretrained), args.pretrained)
                row(way, checkpoint, minutes, (out / ADAPTER_FILE).stat().st_size)
            else:
                row(way, Checkpoint.load(out), minutes, (out / "model.safetensors").stat().st_size)
    record.save(
        "finetune",
        rows,
        train_pieces=n_train,
        held_out_pieces=n_test,
        base=weights_hash(args.pretrained),
        threads=args.threads,
    )


if __name__ == "__main__":
    main()
