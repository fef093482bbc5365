"""Measure the cost of held-out music, in nats per quarter note.

python benchmarks/likelihood.py MODEL=CORPUS … [--without PIECE…]

Each piece of the valid and test splits is read from xxbos to xxeos by the weights as they are stored,
by the network alone and with its repeat model (`clara.repeats.model`), which was fitted to valid
pieces. --without adds a row, without these pieces, for each split that holds one of them. The corpus of
the shipped piano model is made by `clara prepare MIDI/piano --exclude hanon sousa --out data/notewise-12`.
"""

from pathlib import Path

import numpy as np
import record

from clara.checkpoints.checkpoint import Checkpoint
from clara.data.corpus import Corpus
from clara.repeats.candidates import score_pieces
from clara.repeats.finder import TranspositionTable


def main():
    """Measure both splits and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("models", nargs="+", metavar="MODEL=CORPUS", help="Model folder and the folder of its corpus")
    p.add_argument("--without", nargs="*", default=[], metavar="PIECE", help="Pieces to leave out in extra rows")
    p.add_argument("--name", default="likelihood", help="Name of the result file")
    args = p.parse_args()
    rows = []
    for pair in args.models:
        folder, corpus_folder = pair.split("=")
        checkpoint, corpus = Checkpoint.load(folder), Corpus.load(corpus_folder)
        common = {
            "model": Path(folder).name,
            "parameters": checkpoint.n_parameters,
            "fingerprint": corpus.fingerprint,
        }
        for split in ("valid", "test"):
            for row in measure_split(checkpoint, corpus, split, args.without):
                rows.append(common | row)
                print(rows[-1], flush=True)
    record.save(args.name, rows)


def measure_split(checkpoint, corpus, split, without):
    """Return the row of a split, and one without some pieces if the split holds any of them."""
    pieces = corpus.ids(split)
    quarters = corpus.quarters(split)
    n_tokens = np.array([len(ids) for ids in pieces])
    nats = measure_nats(checkpoint, pieces, corpus.vocab.pad_id)
    names = corpus.rows(split)["piece"]
    left_out = names.isin(without).to_numpy()
    rows = [make_row(split, nats, quarters, n_tokens)]
    if left_out.any():
        title = f"{split} without {', '.join(names[left_out])}"
        rows.append(make_row(title, nats[~left_out], quarters[~left_out], n_tokens[~left_out]))
    return rows


def measure_nats(checkpoint, pieces, pad_id):
    """Return the nats of each piece, float64 (n, 2): network alone, with the repeat model (nan if none)."""
    table = TranspositionTable(checkpoint.vocab, checkpoint.encoding)
    repeat_model = checkpoint.repeat_model()
    scored = score_pieces(checkpoint.inference_model(), pieces, table, pad_id)
    return np.array(
        [[-piece.next_log_prob.sum(), repeat_model.nats(piece).sum() if repeat_model else np.nan] for piece in scored]
    )


def make_row(works, nats, quarters, n_tokens):
    """Return a row from the nats (n, 2), lengths and tokens of pieces."""
    row = {
        "works": works,
        "pieces": len(quarters),
        "quarters": round(float(quarters.sum()), 1),
        "tokens": int(n_tokens.sum()),
    }
    for suffix, total in zip(("", "_with_repeats"), nats.sum(0)):
        if np.isfinite(total):
            row[f"nats_per_quarter{suffix}"] = round(float(total / quarters.sum()), 4)
            row[f"nats_per_token{suffix}"] = round(float(total / n_tokens.sum()), 4)
    return row


if __name__ == "__main__":
    main()
