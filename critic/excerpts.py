"""Make excerpts to train a classifier on.

Usage: python -m critic.excerpts CORPUS --out FOLDER (--models MODEL | --composers 12)

For a critic, human excerpts of a corpus and generated ones, equal in length and in place: a generated excerpt
goes on from some quarters of a human piece (or begins with nothing, where the human one is a beginning), half of them sampled as `generate.py` does
by itself, half over a spread of settings, from tame to wild; and some of the class that is not human are human excerpts that were damaged, so that
surprise alone does not pass for invention. The prompt is cut off, and of both the first quarters after it too, so that neither a seam nor
a first chord gives the answer; the last quarters are cut off before the composer had to release its notes.

For a composer classifier, excerpts of the composers who left most works. Versions of a work fall
on one side of the split: `train`, `other` (works for a second opinion), `valid`, `test`. With --extra-corpora corpora there are, of the same composers, `more`: songs
and quartets, say, on one piano, which are learned from and never judged; works that are held out are left out there.

`excerpts.csv` has a row each, its text in the column `words`; `excerpts.json` says how it was made.
"""

import json
import os

from clara import cli
from critic.data.composers import composer_excerpts
from critic.data.human_vs_generated import CORRUPTED_SHARE, CONTINUATIONS_PER_PROMPT, human_and_generated_excerpts
from critic.data.table import EXCERPTS_FILE, SETTINGS_FILE

EXAMPLES = """
python -m critic.excerpts data/mine --models runs/mine --out runs/excerpts  # human and generated, for a critic
python -m critic.excerpts data/mine --models runs/small runs/large --out runs/both  # it will know what either composes
python -m critic.excerpts data/mine --composers 12 --out runs/composers      # for a composer classifier
python -m critic.excerpts data/mine --composers 12 --extra-corpora data/songs --out runs/composers-more  # it learns from their songs, too
"""


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music("corpus", metavar="CORPUS", help="folder that data_prep.prepare wrote")
    music("-n", type=cli.at_least(8), default=3000, metavar="N", help="how many; training excerpts of each class")
    music("--quarters", type=cli.at_least(8), default=32, metavar="X", help="length in quarter notes; of an excerpt")
    kind = p.add_argument_group("what is to be told apart").add_mutually_exclusive_group(required=True).add_argument
    kind(
        "--models",
        nargs="+",
        metavar="MODEL",
        help="run folders or shipped models; they compose what is to be told from human music, each its share",
    )
    kind("--composers", type=cli.at_least(2), metavar="N", help="the composers of most works, so many of them")
    music(
        "--extra-corpora",
        nargs="+",
        default=[],
        metavar="CORPUS",
        help="other music of the same composers, of the same encoding; with --composers, for critic.train --frozen to learn from and never to judge by",
    )
    run = p.add_argument_group("run").add_argument
    run("--out", required=True, metavar="FOLDER", help="folder to write; new or empty")
    run(
        "--seed",
        type=cli.at_least(0),
        default=0,
        metavar="N",
        help="of what is left to chance; places, prompts, settings and notes, but not of which works are held out",
    )
    run(
        "--workers",
        type=cli.at_least(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes; each composes for prompts of its own",
    )
    run(
        "--device",
        default="cpu",
        metavar="DEVICE",
        help="what computes; auto, cpu, cuda, cuda:1, for composing; without it cpu",
    )
    return p


def main(argv=None):
    """Parse, cut and compose, report."""
    p = parser()
    args = p.parse_args(argv)
    if args.extra_corpora and not args.composers:
        p.error("--extra-corpora goes with --composers")
    with cli.show_status("loading"):
        from clara.data.corpus import Corpus
        from clara.devices import choose_device
    from tqdm import tqdm

    from clara.files import make_empty_folder, write_atomically

    device = choose_device(args.device)[0]
    corpus, extra_corpora, out = (
        Corpus.load(args.corpus),
        [Corpus.load(folder) for folder in args.extra_corpora],
        make_empty_folder(args.out),
    )
    if args.composers:
        with tqdm(total=args.composers, unit=" composers", disable=None, desc="cutting", leave=False) as bar:
            table = composer_excerpts(
                corpus,
                args.composers,
                args.quarters,
                seed=args.seed,
                on_composer=bar.update,
                extra_corpora=extra_corpora,
            )
    else:
        n = {"train": args.n, "judge": args.n // 2, "valid": args.n // 5, "test": args.n // 3}
        prompts = sum(round((1 - CORRUPTED_SHARE) * -(-many // CONTINUATIONS_PER_PROMPT)) for many in n.values())
        with tqdm(total=prompts, unit=" prompts", disable=None, desc="composing", leave=False) as bar:
            table = human_and_generated_excerpts(
                args.models, corpus, n, args.quarters, args.seed, args.workers, str(device), bar.update
            )
    write_atomically(out / EXCERPTS_FILE, table.to_csv(index=False))
    write_atomically(
        out / SETTINGS_FILE,
        json.dumps(
            vars(args)
            | {
                "encoding": corpus.encoding.settings,
                "fingerprint": corpus.fingerprint,
                "about": " To learn from, and never judged: ".join(c.about for c in (corpus, *extra_corpora)),
            },
            indent=1,
        )
        + "\n",
    )
    print(table.groupby(["split", "label"]).size().unstack().to_string())
    return 0


if __name__ == "__main__":
    cli.run(main)
