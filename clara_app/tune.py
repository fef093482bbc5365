"""Search for the recipe that learns most in a given time.

Usage: clara tune CORPUS… --out FOLDER

Optuna draws recipes (sizes, dropout, learning rate, schedule, batches, and how to sample), each is trained for the same
time, and trials that look hopeless end early. The default recipe is the first trial. All trials are kept in a database:
the same command continues a search after Ctrl-C or a crash, and other machines help with the same --storage. The folder
holds report.md with plots, trials.csv, and best.json with the command that trains by the best recipe.
"""

import os
import sys
from pathlib import Path

from clara import cli

EXAMPLES = """
clara tune data/mine --out tuned                                  # 40 trials of 2 minutes
clara tune data/notewise-12 data/chordwise-4 --out tuned          # and which encoding
clara tune data/mine --pretrained notewise --out tuned            # fine-tuning
clara tune data/mine --objective both --trials 100 --out tuned    # nats and Inception score
clara tune data/mine --storage postgresql://host/db --out tuned   # the same on every machine that helps
"""
OBJECTIVES = ("nats", "inception", "both")


def parser() -> cli.Parser:
    """Return the parser of the command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    add = p.add_argument_group("music").add_argument
    add(
        "corpora",
        nargs="+",
        metavar="CORPUS",
        help="Folder that clara prepare wrote; of several, recipes choose one, so that encodings and grids compete.",
    )
    add("--pretrained", metavar="MODEL", help="Fine-tune this model (default: start from random weights).")
    add = p.add_argument_group("search").add_argument
    add("--trials", type=cli.at_least(1), default=40, metavar="N", help="Number of trials, those of earlier runs too.")
    add(
        "--minutes",
        type=cli.above(0),
        default=2.0,
        metavar="X",
        help="Minutes that each trial trains; processor time on one thread, so that workers do not slow each other.",
    )
    add(
        "--objective",
        choices=OBJECTIVES,
        default="nats",
        help="nats: cost of held-out music; inception: musical Inception score of composed excerpts; both: trials that "
        "no other one beats in both.",
    )
    add("--classifier", metavar="FOLDER", help="Composer classifier of the Inception score (default: the shipped one).")
    add("--seed", type=cli.at_least(0), default=0, metavar="N", help="Random seed of the trainings.")
    add = p.add_argument_group("run").add_argument
    add("--out", required=True, metavar="FOLDER", help="Folder to write; of an earlier search, to continue it.")
    add("--storage", metavar="URL", help="Database that several machines share (default: study.db in --out).")
    add("--workers", type=cli.at_least(1), default=os.cpu_count() or 1, metavar="N", help="Number of processes.")
    add("--device", default="auto", metavar="DEVICE", help="Device to compute on; auto, cpu, cuda or cuda:1.")
    cli.add_json_flag(add)
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    args = parser().parse_args(argv)
    with cli.json_output(args.json) as answer:
        return _run(args, answer)


def _run(args, answer):
    """Search, write the report and print the best; fill in the answer."""
    from clara_app.tuning.study import import_optuna

    import_optuna()
    with cli.show_status("loading"):
        from clara.checkpoints.shipped_models import find_model
        from clara.data.corpus import Corpus
        from clara.files import make_folder
        from clara_app.tuning.report import REPORT, write_report
        from clara_app.tuning.study import StudySettings, database_of, open_study, run_workers
        from clara_app.tuning.trial import TrialSettings, load_classifier
    corpora = [Corpus.load(folder) for folder in args.corpora]
    if args.pretrained:
        find_model(args.pretrained)
    composes = args.objective != "nats"
    if composes:
        for corpus in corpora:
            load_classifier(args.classifier, corpus.encoding.name)
    trial = TrialSettings(args.minutes, args.pretrained, composes, args.classifier, args.device, args.seed)
    settings = StudySettings(tuple(corpus.fingerprint for corpus in corpora), args.objective, trial)
    folder = make_folder(args.out)
    url = args.storage or database_of(folder)
    interrupted = False
    try:
        run_workers(url, settings, args.corpora, args.trials, args.workers)
    except KeyboardInterrupt:
        interrupted = True
    summary = write_report(open_study(url, settings, args.corpora), settings, Path(folder))
    for row in summary["best"]:
        print(f"trial {row['number']}: {row['nats']:.3f} nats per quarter; {row['command']}")
    print(Path(folder, REPORT))
    if interrupted:
        print("interrupted: the same command continues the search", file=sys.stderr)
    answer |= summary | {"folder": folder, "interrupted": interrupted}
    return cli.INTERRUPTED if interrupted else 0


if __name__ == "__main__":
    cli.run(main)
