"""Make excerpts of what a search with a critic takes for human, so that the next members know better.

Usage: python -m critic.hard_negatives EXCERPTS --model MODEL --critic CRITIC --out FOLDER

The model composes with a search that the critic guides. Two excerpts of each piece are the generated ones, beside the
human excerpts of EXCERPTS. The folder has the files that critic.excerpts writes. Members that learn from it find what
the critic overrates; `critic.ensemble --add-to CRITIC` adds them to it. See `critic.data.searched`.
"""

import os
import shutil
from pathlib import Path

from clara import cli

EXAMPLES = """
python -m critic.hard_negatives runs/excerpts --model runs/mine --critic runs/critic --out runs/excerpts-1
"""


def counts_of_splits(n_train: int) -> dict[str, int]:
    """Return the number of searched pieces by split, for a number of training pieces."""
    return {"train": n_train, "valid": -(-n_train // 5), "test": -(-n_train // 5)}


def parser() -> cli.Parser:
    """Return the parser of the command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music("excerpts", metavar="EXCERPTS", help="Folder that critic.excerpts or this command wrote.")
    music("--model", required=True, metavar="MODEL", help="Run folder or pretrained model that composes.")
    music("--critic", required=True, metavar="FOLDER", help="Critic that guides the search.")
    music(
        "-n",
        dest="n_train",
        type=cli.at_least(1),
        default=500,
        metavar="N",
        help="Number of pieces to train on; a fifth as many are for validation, and for testing.",
    )
    run = p.add_argument_group("run").add_argument
    run("--out", required=True, metavar="FOLDER", help="Folder to write; it must be new or empty.")
    run("--seed", type=cli.at_least(0), default=0, metavar="N", help="Random seed; take another one in each round.")
    run("--workers", type=cli.at_least(1), default=os.cpu_count() or 1, metavar="N", help="Number of worker processes.")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    args = parser().parse_args(argv)
    with cli.show_status("loading"):
        import pandas as pd
        from tqdm import tqdm

        from clara.checkpoints.shipped_models import find_model
        from critic.data.searched import searched_excerpts
    from clara.files import make_empty_folder, write_atomically
    from critic.data.table import EXCERPTS_FILE, HUMAN, SETTINGS_FILE, read_excerpts

    table, info = read_excerpts(args.excerpts)
    folder = make_empty_folder(args.out)
    counts = counts_of_splits(args.n_train)
    with tqdm(total=sum(counts.values()), unit=" pieces", disable=None, desc="composing", leave=False) as bar:
        model, critic = find_model(args.model), find_model(args.critic)
        searched = searched_excerpts(model, critic, counts, info["quarters"], args.seed, args.workers, bar.update)
    human = table[table["label"] == HUMAN]
    both = pd.concat([human.assign(tokens=human["tokens"].str.join(" ")), searched])
    write_atomically(folder / EXCERPTS_FILE, both.to_csv(index=False))
    shutil.copy(Path(args.excerpts) / SETTINGS_FILE, folder / SETTINGS_FILE)
    print(both.groupby(["split", "label"]).size().unstack().to_string())
    return 0


if __name__ == "__main__":
    cli.run(main)
