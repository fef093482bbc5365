"""Train the network that hears beats in played music, as the one that comes with Clara was trained.

python benchmarks/train_beats.py --music FOLDER --splits FILE --out FOLDER

FOLDER holds MIDI files whose ticks name their beats, with metadata.csv beside them, and FILE says which of them are for
training. Files of piano-midi.de are heard as they are played, all others with tempo curves, jitter and spread chords at
random (`clara.listening.training`). Works of the valid and test sets stay out in every edition.
"""

import csv
from pathlib import Path

import record
import torch

from clara.errors import ClaraError
from clara.listening.network import BeatModel
from clara.listening.training import TrainingPiece, train_network
from clara.listening.truth import read_written_notes

PLAYED_SOURCE = "piano-midi.de"
MIN_NOTES = 32


def read_pieces(music: Path, splits: str | Path, split: str, only_played: bool = False) -> list[TrainingPiece]:
    """Return the pieces of a split that name their beats from the first note on."""
    with open(music / "metadata.csv", newline="", encoding="utf-8") as file:
        is_played = {row["path"]: PLAYED_SOURCE in row["source"] for row in csv.DictReader(file)}
    with open(splits, newline="", encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file) if row["split"] == split]
    pieces = []
    for path in paths:
        if only_played and not is_played[path]:
            continue
        try:
            written = read_written_notes(music / path)
        except ClaraError as error:
            print(f"skipped: {error}", flush=True)
            continue
        if len(written.quarters) >= MIN_NOTES and written.beat_quarters[0] <= written.quarters[0]:
            pieces.append(TrainingPiece(written, is_played[path]))
    return pieces


def main(argv: list[str] | None = None) -> None:
    """Train a network and save it."""
    parser = record.argument_parser(__doc__)
    parser.add_argument("--music", required=True, metavar="FOLDER", help="MIDI files, with metadata.csv beside them")
    parser.add_argument("--splits", required=True, metavar="FILE", help="CSV file with the columns path and split")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="Folder of the model")
    parser.add_argument("--batches", type=int, default=3000, metavar="N", help="Number of batches")
    parser.add_argument("--width", type=int, default=128, metavar="N", help="Units of each layer and direction")
    parser.add_argument("--lr", type=float, default=3e-3, metavar="X", help="Highest learning rate")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="Random seed")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="Number of CPU threads")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    pieces = read_pieces(Path(args.music), args.splits, "train")
    valid = read_pieces(Path(args.music), args.splits, "valid", only_played=True)
    print(f"{len(pieces)} pieces, {len(valid)} valid ones", flush=True)
    network, losses = train_network(
        pieces,
        valid,
        n_batches=args.batches,
        width=args.width,
        lr=args.lr,
        seed=args.seed,
        log=lambda line: print(line, flush=True),
        keep=lambda network: BeatModel(network, {}).save(args.out),
    )
    training = {"batches": args.batches, "pieces": len(pieces), "lr": args.lr, "seed": args.seed}
    BeatModel(network, {"training": training, "figures": {"losses": losses}}).save(args.out)


if __name__ == "__main__":
    main()
