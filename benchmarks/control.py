"""Measure how many bars have the relation to earlier bars that was asked for.

python benchmarks/control.py

Pieces are composed with some forms, with the default temperatures and without ranking. The planner composes what the
form leaves open. The plan of the composed notes is then read as that of any piece, and the two are compared bar by
bar. The first bar of a piece does not count.
"""

import numpy as np
import record
import torch
from excerpts import default_settings_of_seeds

from clara.form.extraction import extract_plan
from clara.form.plan import RELATIONS
from clara.generation.generator import Generator
from clara.sampling.settings import piece_seeds
from clara_app.defaults import DEFAULT_MODEL

FORMS = ("AABA", "A8 A'8 B8 A8", "A4 B4 A4")


def main():
    """Compose, compare and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("--model", default=DEFAULT_MODEL, metavar="MODEL", help="Folder or name of the model")
    p.add_argument("--pieces", type=int, default=64, metavar="N", help="Number of pieces of each form")
    p.add_argument("--seed", type=int, default=3, metavar="N", help="Random seed")
    args = p.parse_args()
    torch.set_num_threads(1)
    generator = Generator.load(args.model)
    settings = default_settings_of_seeds()(piece_seeds(args.seed, args.pieces))
    counts = {}
    for form in FORMS:
        pieces = generator.generate(args.pieces, form=form, seed=args.seed, settings=settings)
        counts[form] = sum(count_relations(piece) for piece in pieces)
        print(form, counts[form].tolist(), flush=True)
    counts["all"] = sum(counts.values())
    record.save("control", [share_row(form, count) for form, count in counts.items()], pieces_of_a_form=args.pieces)


def count_relations(piece) -> np.ndarray:
    """Return the number of bars by planned and by composed relation, int64 (len(RELATIONS), len(RELATIONS))."""
    composed = extract_plan(piece.notes).relation
    n_bars = min(len(composed), len(piece.plan))
    count = np.zeros((len(RELATIONS), len(RELATIONS)), dtype=np.int64)
    np.add.at(count, (piece.plan.relation[1:n_bars], composed[1:n_bars]), 1)
    return count


def share_row(form: str, count: np.ndarray) -> dict:
    """Return the share of bars of the planned relation, in all and by planned relation, in percent."""
    shares = {name: share(count[i, i], count[i].sum()) for i, name in enumerate(RELATIONS)}
    return {"form": form, "bars": int(count.sum()), "as_planned": share(count.trace(), count.sum())} | shares


def share(part, whole) -> float | None:
    """Return a share in percent, or None of nothing."""
    return round(100 * float(part / whole), 1) if whole else None


if __name__ == "__main__":
    main()
