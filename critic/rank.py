"""Rank pieces, and keep the best: python -m critic.rank FOLDER [--by critic] [--top 8] [--out best/]

Pieces are MIDI files, scores or texts, from anywhere. `ranking.csv` has a row each, best first; equal ones stay in the
order of their names. A file that cannot be judged is listed with the reason, and the others are ranked.

Contents: `ranked`, `judged`, `in_order`.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np

from clara import cli

DIGITS = 4  # of a score; what lies closer is equal
SUFFIXES = (".mid", ".midi", ".txt", ".musicxml", ".mxl", ".xml", ".krn", ".abc")


def ranked(pieces, scores):
    """The order of pieces of which some may be silent or too short to be judged.

    Parameters
    ----------
    pieces : list of n, as `critic.classifier.Classifier.curves` takes them
    scores : from `critic.scores.weighted`

    Returns
    -------
    order : list of int, best first; at last those that cannot be judged, as they came
    told : list of dict, of each piece its scores by name and `total`, rounded; empty where it has none
    """
    told, fine, _ = _one_by_one(pieces, scores)
    rows = [{} for _ in pieces]
    for at, i in enumerate(fine):
        rows[i] = {name: round(float(s[at]), DIGITS) for name, s in (told[0] | {"total": told[1]}).items()}
    judgeable = [fine[at] for at in in_order(told[1])] if fine else []
    return judgeable + [i for i in range(len(pieces)) if i not in set(fine)], rows


def judged(paths, scores):
    """Rank files.

    Parameters
    ----------
    paths : list of Path
    scores : from `critic.scores.weighted`

    Returns
    -------
    rows : list of dict with `rank`, `file`, `total` and each score, best first
    bad : list of (Path, str), what could not be judged and why
    """
    told, fine, why = _one_by_one(paths, scores)
    bad = [(paths[i], reason) for i, reason in why]
    if not fine:
        return [], bad
    each, total = told
    return [{"rank": n, "file": str(paths[fine[i]]), "total": round(float(total[i]), DIGITS)} |
            {name: round(float(s[i]), DIGITS) for name, s in each.items()} for n, i in enumerate(in_order(total), start=1)], bad


def _one_by_one(pieces, scores):
    """((each, total), indices of what could be judged, [(index, why not)]): all together, or singly if that fails."""
    from clara.errors import BadMusicFile, NoNotes, TooLong, TooShort, UnknownWord

    about_the_piece = BadMusicFile, NoNotes, TooLong, TooShort, UnknownWord
    try:
        return scores(pieces), list(range(len(pieces))), []
    except about_the_piece:
        parts, fine, bad = [], [], []
    for i, piece in enumerate(pieces):
        try:
            parts.append(scores([piece]))
            fine.append(i)
        except about_the_piece as e:
            bad.append((i, str(e)))
    if not parts:
        return None, [], bad
    return ({name: np.concatenate([e[name] for e, _ in parts]) for name in parts[0][0]}, np.concatenate([t for _, t in parts])), fine, bad


def in_order(total):
    """Indices, best first; equal ones as they came."""
    return np.argsort(-np.round(total.astype(np.float64), DIGITS), kind="stable").tolist()


def parser():
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m critic.rank", description=__doc__.split(":")[0])
    p.add_argument("pieces", nargs="+", metavar="FILE_OR_FOLDER")
    p.add_argument("--by", default="critic", metavar="SCORES", help="critic, composer:NAME, novelty, likelihood, copied, or a sum as critic + 0.1 copied")
    p.add_argument("--top", type=cli.at_least(1), default=8, metavar="N", help="how many are the best")
    p.add_argument("--out", metavar="FOLDER", help="copy the best there, numbered")
    p.add_argument("--encoding", default="notewise", help="the text in which pieces are judged: notewise or chordwise")
    return p


def main(argv=None):
    """Parse, do, report."""
    args = parser().parse_args(argv)
    import pandas as pd

    from clara.errors import NoData
    from clara.files import new_folder, write_whole
    from critic.scores import Judges, inception_score, weighted

    paths = _paths(args.pieces)
    if not paths:
        raise NoData(f"{', '.join(args.pieces)}: no MIDI file, score or text")
    judges = Judges(args.encoding)
    rows, bad = judged(paths, weighted(args.by, judges))
    for path, why in bad:
        print(f"left out: {why if str(path) in why else f'{path}: {why}'}")
    if not rows:
        raise NoData("not one piece could be judged")
    table = pd.DataFrame(rows)
    folder = new_folder(args.out) if args.out else Path(args.pieces[0]) if Path(args.pieces[0]).is_dir() else Path()
    write_whole(folder / "ranking.csv", table.to_csv(index=False))
    if args.out:
        for row in rows[:args.top]:
            shutil.copy(row["file"], folder / f"{row['rank']:02d}-{Path(row['file']).name}")
    print(table.head(args.top).to_string(index=False))
    if len(rows) > 1 and (judges.folder / f"composer-{args.encoding}").is_dir():
        print(f"inception score of all {len(rows)}: "
              f"{inception_score(judges.composers.log_probabilities([r['file'] for r in rows])):.2f} of at most {len(judges.composers.classes)}")
    return 0


def _paths(named):
    """The files that are named, and those in the folders that are, by name; of a piece that is there as MIDI the text is left out."""
    found = []
    for path in map(Path, named):
        inside = sorted(q for q in path.iterdir() if q.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        midi = {q.stem for q in inside if q.suffix.lower() in (".mid", ".midi")}
        found += [q for q in inside if q.suffix.lower() != ".txt" or q.stem not in midi]
    return found


if __name__ == "__main__":
    cli.run(main)
