"""What held-out music costs under models, in nats per quarter note.

python benchmarks/likelihood.py MODEL=CORPUS … [--without PIECE…]

Each piece of the valid and test splits is read from xxbos to xxeos by the weights as they
are stored. A corpus is a folder that data_prep.prepare wrote; the shipped model's is made by
python -m data_prep.prepare MIDI/piano --exclude hanon sousa --out data/notewise-12
--without adds a row for each split that holds such a piece, without it. Beside the net alone stands the net with its match
model, which was fitted to valid pieces: `clara.repeats.model`.
"""

import argparse
from pathlib import Path

import numpy as np
import record

from clara.checkpoint import Checkpoint
from clara.data.corpus import Corpus
from clara.repeats.candidates import score_pieces
from clara.repeats.finder import TranspositionTable


def measure(checkpoint, corpus, split, without):
    """A row for one split, and one without some pieces where it holds any of them."""
    ids, quarters = corpus.ids(split), corpus.quarters(split)
    told, match = (
        score_pieces(
            checkpoint.inference_model(),
            ids,
            TranspositionTable(checkpoint.vocab, checkpoint.encoding),
            corpus.vocab.pad_id,
        ),
        checkpoint.repeat_model(),
    )
    nats = np.array([[-t.next_log_prob.sum(), match.nats(t).sum() if match else np.nan] for t in told])  # (pieces, 2)
    words, kept = np.array([len(i) for i in ids]), ~corpus.rows(split)["piece"].isin(without).to_numpy()
    rows = [row_of(split, nats, quarters, words)]
    if not kept.all():
        gone = corpus.rows(split)["piece"][~kept]
        rows.append(row_of(f"{split} without {', '.join(gone)}", nats[kept], quarters[kept], words[kept]))
    return rows


def row_of(what, nats, quarters, words):
    """A row from the costs (pieces, 2), lengths and words of pieces; the costs are the net's, and with matches, nan where there is no match model."""
    return {
        "what": what,
        "pieces": len(quarters),
        "quarters": round(float(quarters.sum()), 1),
        "words": int(words.sum()),
        **{
            f"nats_per_{what}{how}": round(float(cost / over.sum()), 4)
            for how, cost in zip(("", "_with_repeats"), nats.sum(0))
            if np.isfinite(cost)
            for what, over in (("quarter", quarters), ("word", words))
        },
    }


def main():
    """Measure both splits and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("models", nargs="+", metavar="MODEL=CORPUS")
    p.add_argument("--without", nargs="*", default=[], metavar="PIECE")
    p.add_argument("--name", default="likelihood", help="of the file that is written")
    args = p.parse_args()
    rows = []
    for folder, data in (told.split("=") for told in args.models):
        checkpoint, corpus = Checkpoint.load(folder), Corpus.load(data)
        for split in ("valid", "test"):
            for row in measure(checkpoint, corpus, split, args.without):
                rows.append(
                    {
                        "model": Path(folder).name,
                        "parameters": checkpoint.n_parameters,
                        "fingerprint": corpus.fingerprint,
                    }
                    | row
                )
                print(rows[-1], flush=True)
    record.save(args.name, rows)


if __name__ == "__main__":
    main()
