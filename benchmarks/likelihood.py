"""What held-out music costs under a model, in nats per quarter note.

python benchmarks/likelihood.py MODEL CORPUS

Each piece of the valid and test splits is read from xxbos to xxeos by the weights as they
are stored. A corpus is a folder that data_prep.encode wrote; the shipped model's is made by
python -m data_prep.encode MIDI/piano --exclude hanon sousa --out data/notewise-12
"""

import argparse
import time

import record

from clara.checkpoint import Checkpoint
from clara.corpus import Corpus
from clara.evaluate import nats_per_piece


def measure(checkpoint, corpus, split):
    """A row for one split."""
    began = time.perf_counter()
    nats, quarters = nats_per_piece(checkpoint.reader(), corpus.ids(split), corpus.vocab.pad), corpus.quarters(split)
    words = sum(map(len, corpus.ids(split)))
    return {"split": split, "pieces": len(quarters), "quarters": round(quarters.sum(), 1), "words": words,
            "nats_per_quarter": round(float(nats.sum()) / quarters.sum(), 4),
            "nats_per_word": round(float(nats.sum()) / words, 4), "seconds": round(time.perf_counter() - began, 1)}


def main():
    """Measure both splits and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("model")
    p.add_argument("corpus")
    args = p.parse_args()
    checkpoint, corpus = Checkpoint.load(args.model), Corpus.load(args.corpus)
    rows = [measure(checkpoint, corpus, split) for split in ("valid", "test")]
    for row in rows:
        print(f"{row['split']:6s} {row['pieces']:4d} pieces {row['quarters']:9.0f} quarters "
              f"{row['nats_per_quarter']:8.3f} nats/quarter {row['nats_per_word']:7.4f} nats/word")
    record.save("likelihood", rows, parameters=checkpoint.n_parameters, fingerprint=corpus.fingerprint)


if __name__ == "__main__":
    main()
