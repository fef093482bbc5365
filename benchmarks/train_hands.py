"""Train the network that says which hand plays a note, as the one that comes with Clara was trained.

python benchmarks/train_hands.py --music FOLDER --splits FILE --out FOLDER

FOLDER holds MIDI files, and FILE says which of them are for training (columns path and split). Files with a track for
each hand are learned from. Works that `benchmarks/notation.py` measures in engraved scores stay out.
"""

import csv
import re
from pathlib import Path

import numpy as np
import record
import torch
from notation import read_two_tracks
from torch import nn

from clara.errors import ClaraError
from clara.notation.hand_network import HandModel, HandNetwork, describe_notes, note_columns

ENGRAVED_WORKS = re.compile(r"846|maple|k-?545|lindenbaum|winterreise|aloha|polon.*clara|wieck|schumann-c", re.I)
STEPS_PER_QUARTER = 12
BATCH = 1024
WEIGHT_DECAY = 1e-2


def read_pieces(music: str | Path, splits: str | Path, split: str) -> list[tuple]:
    """Return start, end, pitch and hand of the notes of each file of a split that has a track for each hand."""
    with open(splits, newline="", encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file) if row["split"] == split]
    pieces = []
    for path in paths:
        if split == "train" and ENGRAVED_WORKS.search(path):
            continue
        try:
            pieces.append(read_two_tracks(Path(music, path)))
        except ClaraError as error:
            print(f"skipped: {error}", flush=True)
    return [piece for piece in pieces if piece is not None]


def join_pieces(pieces: list[tuple], n_neighbours: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the columns of all pieces, the rows of their notes, and whether the left hand plays them."""
    parts = [note_columns(*piece[:3], STEPS_PER_QUARTER, n_neighbours) for piece in pieces]
    columns = torch.cat(parts)
    rows = torch.from_numpy(np.flatnonzero(columns[:, -1]))
    return columns, rows, torch.from_numpy(np.concatenate([piece[3] for piece in pieces])).float()


def train(network: HandNetwork, pieces: list[tuple], valid: list[tuple], args) -> float:
    """Train a network with one cycle of the learning rate; return the share of right hands in valid pieces."""
    columns, rows, is_left = join_pieces(pieces, network.n_neighbours)
    n_batches = args.notes // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.epochs * n_batches)
    right = 0.0
    for epoch in range(1, args.epochs + 1):
        network.train()
        total = 0.0
        for _ in range(n_batches):
            chosen = torch.randint(len(rows), (BATCH,))
            log_odds = network(describe_notes(columns, rows[chosen], network.n_neighbours))
            loss = nn.functional.binary_cross_entropy_with_logits(log_odds, is_left[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        right = share_right(network, valid)
        print(f"epoch {epoch}/{args.epochs}  train {total / n_batches:.4f}  valid {right:.4f} right", flush=True)
    return right


def share_right(network: HandNetwork, pieces: list[tuple]) -> float:
    """Return the share of notes whose hand the network finds by itself."""
    network.eval()
    found = [network.left_log_odds(*piece[:3], STEPS_PER_QUARTER) > 0 for piece in pieces]
    return round(float(np.mean(np.concatenate(found) == np.concatenate([piece[3] for piece in pieces]))), 4)


def main(argv: list[str] | None = None) -> None:
    """Train a network and save it."""
    parser = record.argument_parser(__doc__)
    parser.add_argument("--music", required=True, metavar="FOLDER", help="Folder of MIDI files")
    parser.add_argument("--splits", required=True, metavar="FILE", help="CSV file with the columns path and split")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="Folder of the model")
    parser.add_argument("--epochs", type=int, default=24, metavar="N", help="Number of epochs")
    parser.add_argument("--notes", type=int, default=1_000_000, metavar="N", help="Number of notes of an epoch")
    parser.add_argument("--neighbours", type=int, default=32, metavar="N", help="Notes before a note, and after it")
    parser.add_argument("--width", type=int, default=256, metavar="N", help="Units of the first layer")
    parser.add_argument("--lr", type=float, default=3e-3, metavar="X", help="Highest learning rate")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="Random seed")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="Number of CPU threads")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    pieces, valid = (read_pieces(args.music, args.splits, split) for split in ("train", "valid"))
    print(f"{len(pieces)} pieces, {len(valid)} valid ones", flush=True)
    network = HandNetwork(args.neighbours, args.width)
    right = train(network, pieces, valid, args)
    training = {"epochs": args.epochs, "notes": args.notes, "pieces": len(pieces), "lr": args.lr, "seed": args.seed}
    HandModel(network.eval(), {"training": training, "figures": {"valid": right}}).save(args.out)


if __name__ == "__main__":
    main()
