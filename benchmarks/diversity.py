"""Compare how varied sets of pieces are, and how much they copy from the training corpus.

python benchmarks/diversity.py --human CORPUS unranked=FOLDER searched=FOLDER

A search that finds the same few pieces again and again would please a judge and bore a listener. Each FOLDER holds MIDI
files, as `benchmarks/fresh_judge.py` leaves them in runs/fresh/NAME. All pieces are cut at --quarters, and each set is
reduced to as many pieces as the smallest one has.

A run is a sequence of steps from one note to the next, each an interval and a time between onsets, as in
`critic.copy_index`; so keys do not matter. The measures of a set are

- distinct runs: how many of the runs of four steps, of all pieces together, are different;
- distance: one minus the Jaccard similarity of the runs of two pieces, the mean over all pairs;
- copied notes: the length of the longest run that also occurs in the training split of the corpus, the median.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import record

GRAM = 4  # steps
INDEX = "notes.npz"


def runs_of(notes) -> np.ndarray:
    """Return the runs of GRAM steps of a piece, one number each, int64 array (n_runs,)."""
    from critic.copy_index import melodic_steps

    steps = melodic_steps(notes).astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(steps, GRAM) if len(steps) >= GRAM else np.zeros((0, GRAM), int)
    return windows @ (1 << 16) ** np.arange(GRAM, dtype=np.int64)


def measure(pieces: list, index) -> dict[str, float]:
    """Return the measures of a set of NoteSequences; `index` is a `critic.copy_index.NoteIndex`."""
    runs = [runs_of(piece) for piece in pieces]
    together = np.concatenate(runs)
    distances = [1 - _jaccard(set(a.tolist()), set(b.tolist())) for a, b in combinations(runs, 2)]
    return {
        "distinct_runs": round(len(np.unique(together)) / len(together), 4),
        "distance": round(float(np.mean(distances)), 4),
        "copied_notes": float(np.median([index.longest_run(piece).n_notes for piece in pieces])),
    }


def _jaccard(a, b):
    """Return the Jaccard similarity of two sets; two empty ones are equal."""
    return len(a & b) / len(a | b) if a | b else 1.0


def read_pieces(folder: str, quarters: int) -> list:
    """Return the beginnings of the MIDI files of a folder, prompts left out."""
    from fresh_pieces import PROMPT_FILE, STEPS_PER_QUARTER, first_quarters

    from clara.music.midi import read_midi

    paths = [path for path in sorted(Path(folder).rglob("*.mid")) if path.name != PROMPT_FILE]
    return [first_quarters(read_midi(path, steps_per_quarter=STEPS_PER_QUARTER)[0], quarters) for path in paths]


def parse_arguments(argv: list[str] | None = None):
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("sets", nargs="+", metavar="NAME=FOLDER", help="Name of a set and its folder of MIDI files")
    p.add_argument("--human", required=True, metavar="FOLDER", help="Prepared corpus")
    p.add_argument("--quarters", type=int, default=64, metavar="N", help="Length of an excerpt")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="Random seed of the choice of pieces")
    return p.parse_args(argv)


def main() -> None:
    """Measure each set, and human openings beside them."""
    args = parse_arguments()
    from fresh_pieces import human_excerpts

    from clara.checkpoints.shipped_models import find_model
    from critic.copy_index import NoteIndex

    index = NoteIndex.load(find_model("notewise") / INDEX)
    sets = dict(entry.split("=", 1) for entry in args.sets)
    pieces_of = {name: read_pieces(folder, args.quarters) for name, folder in sets.items()}
    pieces_of["human"] = [excerpt.notes for excerpt in human_excerpts(args.human, args.quarters)]
    n = min(len(pieces) for pieces in pieces_of.values())
    rng = np.random.default_rng(args.seed)
    rows = []
    for name, pieces in pieces_of.items():
        chosen = [pieces[i] for i in rng.permutation(len(pieces))[:n]]
        rows.append({"set": name, "pieces": n} | measure(chosen, index))
        print(rows[-1], flush=True)
    record.save("diversity", rows, quarters=args.quarters)


if __name__ == "__main__":
    main()
