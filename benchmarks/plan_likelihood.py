"""Measure the cost of held-out music under models that follow plans, with the cost of the plans.

python benchmarks/plan_likelihood.py MODEL=CORPUS … [--planner MODEL]

Nats per quarter note of the valid and test pieces, by what the model knows beside the earlier tokens: the metre; also
where the text repeats itself; also which bars return to which, which a plan says at the cost of `returns_cost`; also
the keys, chords, densities, registers, textures and phrases of all bars, for a plan that costs `plan_cost`. The totals
are costs of the music alone, as each piece has one plan.
"""

from pathlib import Path

import record

from clara.checkpoints.checkpoint import Checkpoint
from clara.data.corpus import Corpus
from clara.form.plan_tokens import ATTRIBUTES
from clara.form.planner import Planner
from clara.form.planner_training import corpus_plans, without
from clara.training.plan_costs import costs_by_knowledge


def main():
    """Measure both splits and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("models", nargs="+", metavar="MODEL=CORPUS", help="Model folder and the folder of its corpus")
    p.add_argument("--planner", default="planner", metavar="MODEL", help="Planner's folder or name")
    p.add_argument("--name", default="plan_likelihood", help="Name of the result file")
    args = p.parse_args()
    planner = Planner.load(args.planner)
    rows = []
    for pair in args.models:
        folder, corpus_folder = pair.split("=")
        checkpoint, corpus = Checkpoint.load(folder), Corpus.load(corpus_folder)
        for split in ("valid", "test"):
            rows.append(measure(checkpoint, corpus, split, planner) | {"model": Path(folder).name})
            print(rows[-1], flush=True)
    record.save(args.name, rows)


def measure(checkpoint, corpus, split, planner):
    """Return the row of a split."""
    quarters = corpus.quarters(split).sum()
    plans = corpus_plans(corpus, split)
    returns_cost = sum(planner.nats(without(plan, ATTRIBUTES)) for plan in plans) / quarters
    plan_cost = sum(planner.nats(plan) for plan in plans) / quarters
    costs = costs_by_knowledge(checkpoint, corpus, split)
    costs |= {"returns_cost": returns_cost, "plan_cost": plan_cost}
    costs |= {"returns_total": costs["returns"] + returns_cost, "plan_total": costs["plan"] + plan_cost}
    row = {"split": split, "pieces": len(plans), "parameters": checkpoint.n_parameters}
    return row | {name: round(float(cost), 4) for name, cost in costs.items()}


if __name__ == "__main__":
    main()
