"""Rank pieces, and keep the best: python -m critic.rank FILE_OR_FOLDER…

Pieces are MIDI files, scores or texts, from anywhere. `ranking.csv` has a row each, best first; equal ones stay in the
order of their names. A file that cannot be judged is listed with the reason, and the others are ranked.
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np

from clara import cli
from clara.errors import BadMusicFile, NoNotes, TooLong, TooShort, UnknownWord
from critic.defaults import BY

EXAMPLES = """
python -m critic.rank my_pieces/ --top 8 --out best/            # copy the best eight there
python -m critic.rank my_pieces/ --by "critic + 0.1 copied"     # human, and not copied from the training music
python -m critic.rank a.mid b.mid --json                        # for a program
"""
DIGITS = 4  # of a score; what lies closer is equal
ABOUT_THE_PIECE = BadMusicFile, NoNotes, TooLong, TooShort, UnknownWord
TOGETHER, FILES = 64, 16  # pieces that are scored at a time; of files, which may be long, fewer
SUFFIXES = (".mid", ".midi", ".txt", ".musicxml", ".mxl", ".xml", ".krn", ".abc")


def ranked(pieces, scores, on_pieces=None):
    """The order of pieces of which some may be silent or too short to be judged.

    Parameters
    ----------
    pieces : list of n, as `critic.classifier.Classifier.curves` takes them
    scores : from `critic.scores.weighted`
    on_pieces : function(int), called with how many are done, now and then

    Returns
    -------
    order : list of int, best first; at last those that cannot be judged, as they came
    told : list of dict, of each piece its scores by name and `total`, rounded; empty where it has none
    """
    told, fine, _ = _scored(pieces, scores, TOGETHER, on_pieces)
    rows = [{} for _ in pieces]
    for at, i in enumerate(fine):
        rows[i] = {name: round(float(s[at]), DIGITS) for name, s in (told[0] | {"total": told[1]}).items()}
    judgeable = [fine[at] for at in in_order(told[1])] if fine else []
    return judgeable + [i for i in range(len(pieces)) if i not in set(fine)], rows


def totals(pieces, scores):
    """Of each piece the sum that it is ranked by, what `Generator.search` goes by: list of float, minus infinity for what cannot be judged; parameters as `ranked`."""
    return [told.get("total", -np.inf) for told in ranked(pieces, scores)[1]]


def judged(paths, scores, on_pieces=None):
    """Rank files.

    Parameters
    ----------
    paths : list of Path
    scores : from `critic.scores.weighted`
    on_pieces : function(int), called with how many are done, now and then

    Returns
    -------
    rows : list of dict with `rank`, `file`, `total` and each score, best first
    bad : list of (Path, str), what could not be judged and why
    """
    told, fine, why = _scored(paths, scores, FILES, on_pieces)
    bad = [(paths[i], reason) for i, reason in why]
    if not fine:
        return [], bad
    each, total = told
    return [
        {"rank": n, "file": str(paths[fine[i]]), "total": round(float(total[i]), DIGITS)}
        | {name: round(float(s[i]), DIGITS) for name, s in each.items()}
        for n, i in enumerate(in_order(total), start=1)
    ], bad


def _scored(pieces, scores, n, on_pieces):
    """((each, total) or None, indices of what could be judged, [(index, why not)]): n at a time, singly where that fails."""
    parts, fine, bad = [], [], []
    for first in range(0, len(pieces), n):
        some = pieces[first : first + n]
        told, at, why = _together(some, scores) or _one_by_one(some, scores)
        parts += told
        fine += [first + i for i in at]
        bad += [(first + i, reason) for i, reason in why]
        if on_pieces:
            on_pieces(len(some))
    if not parts:
        return None, [], bad
    return (
        (
            {name: np.concatenate([e[name] for e, _ in parts]) for name in parts[0][0]},
            np.concatenate([t for _, t in parts]),
        ),
        fine,
        bad,
    )


def _together(pieces, scores):
    """([(each, total)], indices, []), or None where one of them cannot be judged."""
    try:
        return [scores(pieces)], range(len(pieces)), []
    except ABOUT_THE_PIECE:
        return None


def _one_by_one(pieces, scores):
    """([(each, total) of one], indices, [(index, why not)])."""
    parts, fine, bad = [], [], []
    for i, piece in enumerate(pieces):
        try:
            parts.append(scores([piece]))
            fine.append(i)
        except ABOUT_THE_PIECE as e:
            bad.append((i, str(e)))
    return parts, fine, bad


def in_order(total):
    """Indices, best first; equal ones as they came."""
    return np.argsort(-np.round(total.astype(np.float64), DIGITS), kind="stable").tolist()


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music("pieces", nargs="+", metavar="FILE_OR_FOLDER", help="MIDI files, scores and texts, and folders of them")
    judge = p.add_argument_group("judgement").add_argument
    judge(
        "--by",
        default=BY,
        metavar="SCORES",
        help="what makes them best; critic, composer:NAME, novelty, likelihood, copied, fullness, silence, or a sum "
        "as critic + 0.1 copied",
    )
    judge(
        "--critic",
        metavar="FOLDER",
        help="another critic than the one that comes with Clara, as critic.train leaves it",
    )
    judge(
        "--top",
        type=cli.at_least(1),
        default=8,
        metavar="N",
        help="how many are the best; they are shown, and copied to --out",
    )
    judge(
        "--encoding", default="notewise", choices=["notewise", "chordwise"], help="how music is spelled; for the judges"
    )
    run = p.add_argument_group("run").add_argument
    run("--out", metavar="FOLDER", help="folder to write; new or empty, without it ranking.csv goes beside the pieces")
    run("--threads", type=cli.at_least(1), default=os.cpu_count() or 1, metavar="N", help="CPU threads; for the nets")
    cli.add_json(run)
    return p


def main(argv=None):
    """Parse, judge, report."""
    args = parser().parse_args(argv)
    with cli.answering(args.json) as answer:
        return _run(args, answer)


def _run(args, answer):
    """Judge, write, report; fills the answer in."""
    with cli.waiting("loading"):
        import pandas as pd  # heavy imports wait for --help
        import torch

        from critic.scores import Judges, weighted
    from tqdm import tqdm

    from clara.errors import NoData
    from clara.files import new_folder, write_whole

    paths = _paths(args.pieces)
    if not paths:
        raise NoData(f"{', '.join(args.pieces)}: no MIDI file, score or text")
    torch.set_num_threads(args.threads)
    judges = Judges(args.encoding, critic_folder=args.critic)
    scores = weighted(args.by, judges)
    with tqdm(total=len(paths), unit=" pieces", disable=None, desc="judging", leave=False) as bar:
        rows, bad = judged(paths, scores, bar.update)
    for path, why in bad:
        print(f"left out: {why if str(path) in why else f'{path}: {why}'}", file=sys.stderr)
    if not rows:
        raise NoData("not one piece could be judged")
    if bad:
        print(f"{len(bad)} of {len(paths)} could not be judged", file=sys.stderr)
    table = pd.DataFrame(rows)
    folder = new_folder(args.out) if args.out else Path(args.pieces[0]) if Path(args.pieces[0]).is_dir() else Path()
    write_whole(folder / "ranking.csv", table.to_csv(index=False))
    if args.out:
        for row in rows[: args.top]:
            shutil.copy(row["file"], folder / f"{row['rank']:02d}-{Path(row['file']).name}")
    print(table.head(args.top).to_string(index=False))
    variety = _variety([r["file"] for r in rows], judges)
    if variety:
        print(f"inception score of all {len(rows)}: {variety:.2f} of at most {len(judges.composers.classes)}")
    answer |= {
        "folder": folder,
        "ranking": folder / "ranking.csv",
        "pieces": rows,
        "inception_score": variety,
        "left_out": [{"file": path, "reason": why} for path, why in bad],
    }
    return 0


def _variety(files, judges):
    """The inception score of some files, or None of one, and where no composers are known."""
    from tqdm import tqdm

    from critic.scores import inception_score

    if len(files) < 2 or not (judges.folder / f"composer-{judges.encoding}").is_dir():
        return None
    some = [files[i : i + FILES] for i in range(0, len(files), FILES)]
    found = [
        judges.composers.log_probabilities(s)
        for s in tqdm(some, unit=" batches", disable=None, desc="whom they are like", leave=False)
    ]
    return inception_score(np.concatenate(found))


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


def best_and_worst(pieces, n=3, critic=None):
    """The n best and the n worst of some pieces, for a look at what the critic likes.

    Parameters
    ----------
    pieces : list of `clara.generator.Sample`, of which only what was composed counts, or what `Critic.score` takes
    n : how many of each
    critic : Critic, the shipped one for notewise text where it is None

    Returns
    -------
    best, worst : lists of (piece, log-odds), best first and worst first
    """
    from critic.rank import in_order
    from critic.scores import Judges

    critic = critic or Judges().critic
    scores = critic.score([p.composed() if hasattr(p, "composed") else p for p in pieces])
    named = [(pieces[i], float(scores[i])) for i in in_order(scores)]
    return named[:n], named[::-1][:n]
