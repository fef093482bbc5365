"""Train a planner, which composes the form of pieces, on a corpus.

Usage: clara train-planner CORPUS --out FOLDER

The planner learns from the plan of each piece which bars return, how and after how many bars, where phrases start, and
how keys, chords, density, register and texture go on. On one core 200,000 bars take about ten minutes.
"""

import sys
import time
from pathlib import Path

from clara import cli
from clara.form.planner_settings import PlannerTraining

EXAMPLES = """
clara train-planner data/mine --out runs/planner     # data/mine is a folder that clara prepare wrote
clara train-planner data/mine --epochs 60 --dropout 0.4 --out runs/planner  # for few pieces
"""
DEFAULTS = PlannerTraining()
HISTORY = "history.csv"


def parser() -> cli.Parser:
    """Return the command line parser."""
    p = cli.Parser(__doc__, EXAMPLES)
    add = p.add_argument_group("music").add_argument
    add("corpus", metavar="CORPUS", help="Folder that clara prepare wrote.")
    add = p.add_argument_group("run").add_argument
    add("--out", required=True, metavar="FOLDER", help="Folder to write; new or empty.")
    add("--threads", type=cli.at_least(1), default=1, metavar="N", help="Number of CPU threads.")
    add("--seed", type=cli.at_least(0), default=DEFAULTS.seed, metavar="N", help="Random seed.")
    cli.add_json_flag(add)
    add = p.add_argument_group("training").add_argument
    add("--epochs", type=cli.at_least(1), default=DEFAULTS.epochs, metavar="N", help="Number of passes over the music.")
    add("--lr", type=cli.above(0), default=DEFAULTS.lr, metavar="X", help="Highest learning rate.")
    add(
        "--dropout",
        type=cli.within(0, 0.9),
        default=DEFAULTS.dropout,
        metavar="P",
        help="Dropout probability; more for fewer pieces.",
    )
    add(
        "--batch-bars",
        type=cli.at_least(1),
        default=DEFAULTS.batch_bars,
        metavar="N",
        help="Number of bars in a batch.",
    )
    add("--n-units", type=cli.within(1, 1024, int), default=DEFAULTS.n_units, metavar="N", help="Units of a layer.")
    add("--n-layers", type=cli.within(1, 8, int), default=DEFAULTS.n_layers, metavar="N", help="Number of layers.")
    return p


def main(argv=None):
    """Train a planner, write its folder and print what it costs to write held-out plans."""
    args = parser().parse_args(argv)
    settings = PlannerTraining(
        epochs=args.epochs,
        lr=args.lr,
        dropout=args.dropout,
        batch_bars=args.batch_bars,
        n_units=args.n_units,
        n_layers=args.n_layers,
        seed=args.seed,
    )
    with cli.json_output(args.json) as payload:
        payload |= train(args.corpus, args.out, settings, args.threads)
    return 0


def train(corpus_folder: str | Path, out: str | Path, settings: PlannerTraining, threads: int = 1) -> dict:
    """Train a planner on a prepared corpus and write its folder.

    Returns
    -------
    dict
        Its figures on held-out pieces.

    Raises
    ------
    NoData
        If the corpus has no pieces to train on or to validate with.
    CannotWrite
        If the folder is not empty.
    """
    import torch

    from clara.data.corpus import SPLITS, Corpus
    from clara.files import make_empty_folder, write_atomically
    from clara.form.planner_training import corpus_plans, held_out_costs, train_planner
    from clara.training.model_cards import CARD, planner_card
    from clara.training.run_folder import current_commit, describe_data

    folder = make_empty_folder(out)
    torch.set_num_threads(threads)
    corpus = Corpus.load(corpus_folder)
    with cli.show_status("reading plans"):
        plans = {split: corpus_plans(corpus, split) for split in SPLITS if corpus.has_split(split)}
    planner = train_planner(plans.get("train", []), plans.get("valid", []), settings)
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    planner.info["training"] |= {
        "command": command,
        "commit": current_commit(),
        "date": time.strftime("%Y-%m-%d"),
        "data": describe_data(corpus) | {"bars": sum(map(len, plans["train"]))},
    }
    history = planner.info["training"].pop("history")
    figures = {split: held_out_costs(planner, plans[split]) for split in ("valid", "test") if split in plans}
    planner.info["figures"] = figures
    planner.save(folder)
    rows = [",".join(map(str, row.values())) for row in history]
    write_atomically(folder / HISTORY, "\n".join([",".join(history[0]), *rows]) + "\n")
    write_atomically(folder / CARD, planner_card(planner))
    for split, costs in figures.items():
        print(f"{split}: {costs['nats_per_bar']:.3f} nats per bar, {costs['nats_per_quarter']:.3f} per quarter note")
    print(f"{folder}: done")
    return {"folder": str(folder), "figures": figures}


if __name__ == "__main__":
    cli.run(main)
