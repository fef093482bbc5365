"""Keep the notes of a corpus's training pieces, to look up what is copied: python -m data_prep.index CORPUS --out FILE

Contents: `index`.
"""

import argparse
from pathlib import Path

from clara import cli


def index(corpus, split="train"):
    """The `clara.note_index.NoteIndex` of a split of a clara.corpus.Corpus."""
    from clara.note_index import NoteIndex

    return NoteIndex.of((piece, corpus.encoding.decode(corpus.words(piece))[0]) for piece in corpus.rows(split)["piece"])


def main(argv=None):
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m data_prep.index", description=__doc__.split(":")[0])
    p.add_argument("corpus", help="folder that data_prep.encode wrote")
    p.add_argument("--out", required=True, metavar="FILE", help="as pretrained/notewise/notes.npz")
    args = p.parse_args(argv)
    from clara.corpus import Corpus

    found = index(Corpus.load(args.corpus))
    found.save(args.out)
    print(f"{args.out}: {len(found.names):,} pieces, {len(found.row) + len(found.names):,} notes, {Path(args.out).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    cli.run(main)
