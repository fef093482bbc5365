"""Train a performer, which gives scores dynamics, tempo and pedal, on performed MIDI files.

Usage: clara train-performer FOLDER --out FOLDER

A file teaches if its notes lie on a beat grid and it carries velocities and tempo changes, as files from a sequencer
do; the pedal is learned from files that have one. Files with dynamics but a steady tempo teach dynamics. Recordings
without beats, and flat files, are counted and left out. Velocities and tempos are learned relative to each piece.
"""

import csv
import sys
import time
from pathlib import Path

from clara import cli
from clara.errors import NoData
from clara.performing.settings import PerformerTraining

EXAMPLES = """
clara train-performer my_performances/ --out runs/performer
clara train-performer my_performances/ --epochs 60 --dropout 0.5 --out runs/performer  # for few pieces
clara perform sonata.musicxml --performer runs/performer -o sonata.mid                 # then perform with it
"""
DEFAULTS = PerformerTraining()
HISTORY, STATE = "history.csv", "training"


def parser() -> cli.Parser:
    """Return the command line parser."""
    p = cli.Parser(__doc__, EXAMPLES)
    add = p.add_argument_group("music").add_argument
    add("folder", type=cli.folder_path, metavar="FOLDER", help="Performed MIDI files, at any depth.")
    add(
        "--splits",
        type=cli.file_path,
        metavar="FILE",
        help="CSV file with the columns path (below the folder) and split (train, valid or test) (default: by work).",
    )
    add("--about", default="", metavar="TEXT", help="What the music is and its licence, for the model card.")
    add = p.add_argument_group("run").add_argument
    add(
        "--out",
        required=True,
        metavar="FOLDER",
        help="Folder to write; new or empty, or that of an interrupted training, to continue it.",
    )
    add("--threads", type=cli.at_least(1), default=1, metavar="N", help="Number of CPU threads.")
    add("--seed", type=cli.at_least(0), default=DEFAULTS.seed, metavar="N", help="Random seed.")
    add(
        "--recurrent",
        metavar="MODEL",
        help="Performer whose recurrent networks to keep; only the quick ones are trained (default: train all).",
    )
    cli.add_json_flag(add)
    add = p.add_argument_group("training").add_argument
    add("--epochs", type=cli.at_least(1), default=DEFAULTS.epochs, metavar="N", help="Number of passes over the music.")
    add(
        "--n-members",
        type=cli.within(1, 16, int),
        default=DEFAULTS.n_members,
        metavar="N",
        help="Number of recurrent networks whose predictions are averaged.",
    )
    add("--lr", type=cli.above(0), default=DEFAULTS.lr, metavar="X", help="Highest learning rate.")
    add(
        "--dropout",
        type=cli.within(0, 0.9),
        default=DEFAULTS.dropout,
        metavar="P",
        help="Dropout probability; more for fewer pieces.",
    )
    add("--n-units", type=cli.within(1, 1024, int), default=DEFAULTS.n_units, metavar="N", help="Units of a layer.")
    return p


def main(argv=None):
    """Train a performer, write its folder and print its figures on held-out pieces."""
    args = parser().parse_args(argv)
    settings = PerformerTraining(
        epochs=args.epochs,
        n_members=args.n_members,
        lr=args.lr,
        dropout=args.dropout,
        n_units=args.n_units,
        seed=args.seed,
    )
    with cli.json_output(args.json) as payload:
        payload |= train(
            args.folder,
            args.out,
            settings,
            splits=args.splits,
            about=args.about,
            threads=args.threads,
            recurrent=args.recurrent,
        )
    return 0


def train(
    music: str | Path,
    out: str | Path,
    settings: PerformerTraining,
    *,
    splits: str | Path | None = None,
    about: str = "",
    threads: int = 1,
    recurrent: str | Path | None = None,
) -> dict:
    """Train a performer on a folder of performed MIDI files and write its folder.

    With `recurrent`, a performer's folder or name, its recurrent networks are kept.

    Returns
    -------
    dict
        Its figures on held-out pieces.

    Raises
    ------
    NoData
        If there are no performed pieces to train on or to validate with.
    CannotWrite
        If the folder is not empty.
    """
    import shutil

    import torch

    from clara.files import make_empty_folder, make_folder, write_atomically
    from clara.performing.card import performer_card
    from clara.performing.figures import mean_figures, measure_piece
    from clara.performing.performer import Performer
    from clara.performing.reading import read_performances
    from clara.performing.training import train_performer
    from clara.training.model_cards import CARD
    from clara.training.run_folder import current_commit

    known = Performer.load(recurrent) if recurrent is not None else None
    is_interrupted = (Path(out) / STATE).is_dir()
    folder = make_folder(out) if is_interrupted else make_empty_folder(out)
    torch.set_num_threads(threads)
    with cli.show_status("reading performances"):
        pieces = read_performances(music, _read_splits(splits) if splits else None)
    left_out = ", ".join(f"{n} {reason}" for reason, n in pieces.left_out.items())
    print(
        f"{len(pieces.train)} pieces to train on, {len(pieces.valid)} to validate with; left out: {left_out or 'none'}"
    )
    performer = train_performer(pieces.train, pieces.valid, settings, state_folder=folder / STATE, recurrent=known)
    performer.info["training"] |= {
        "command": _describe_command(about),
        "commit": current_commit(),
        "date": time.strftime("%Y-%m-%d"),
        "about": about,
        "left_out": dict(pieces.left_out),
    }
    history = performer.info["training"].pop("history")
    figures = {}
    for split in ("valid", "test"):
        measured = [
            measure_piece(piece, performer.expect(piece.score), performer.touch, performer.pedalling)
            for piece in getattr(pieces, split)
        ]
        if measured:
            figures[split] = mean_figures(measured)
    performer.info["figures"] = figures
    performer.save(folder)
    if history:
        rows = [",".join(map(str, row.values())) for row in history]
        write_atomically(folder / HISTORY, "\n".join([",".join(history[0]), *rows]) + "\n")
    write_atomically(folder / CARD, performer_card(performer))
    shutil.rmtree(folder / STATE, ignore_errors=True)
    for split, values in figures.items():
        print(
            f"{split}: velocity r {values['velocity_r']:.3f}, tempo r {values['tempo_r']:.3f}, pedal F1 "
            f"{values['pedal_f1']:.3f}, {values['nats_per_note']:.3f} nats per note"
        )
    print(f"{folder}: done")
    return {"folder": str(folder), "figures": figures}


def _describe_command(about):
    """Return the command line; the card has the text of --about in a place of its own."""
    return " ".join([Path(sys.argv[0]).name, *("TEXT" if about and word == about else word for word in sys.argv[1:])])


def _read_splits(path):
    """Return the split of each path in a CSV file.

    Raises
    ------
    NoData
        If the file cannot be read, or lacks a column.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return {row["path"]: row["split"] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise NoData(f"{path}: cannot be read as CSV ({e})") from e
    except KeyError as e:
        raise NoData(f"{path}: no column {e}; the columns path and split are needed") from e


if __name__ == "__main__":
    cli.run(main)
