"""Keep the notes of a corpus's training pieces, to look up what is copied: python -m data_prep.index CORPUS --out FILE

`critic.scores` asks such a file how long a run of notes stands in the training music, in any key; one is shipped as
pretrained/notewise/notes.npz.
"""

from pathlib import Path

from clara import cli

EXAMPLES = """
python -m data_prep.index data/notewise-12 --out notes.npz
"""


def index(corpus, split="train"):
    """The `critic.copy_index.NoteIndex` of a split of a clara.data.corpus.Corpus."""
    from tqdm import tqdm

    from critic.copy_index import NoteIndex

    pieces = tqdm(corpus.rows(split)["piece"], unit=" pieces", disable=None, desc="reading", leave=False)
    return NoteIndex.of((piece, corpus.encoding.decode(corpus.words(piece))[0]) for piece in pieces)


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    p.add_argument_group("music").add_argument("corpus", metavar="CORPUS", help="folder that data_prep.encode wrote")
    p.add_argument_group("run").add_argument("--out", required=True, metavar="FILE", help="file to write; numpy's npz")
    return p


def main(argv=None):
    """Parse, read, report."""
    args = parser().parse_args(argv)
    from clara.data.corpus import Corpus  # heavy imports wait for --help

    found = index(Corpus.load(args.corpus))
    found.save(args.out)
    print(
        f"{args.out}: {len(found.names):,} pieces, {len(found.row) + len(found.names):,} notes, {Path(args.out).stat().st_size / 1e6:.1f} MB"
    )
    return 0


if __name__ == "__main__":
    cli.run(main)
