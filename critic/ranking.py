"""Rank pieces and keep the best.

Usage: python -m critic.ranking FILE_OR_FOLDER…

Pieces are MIDI files, scores or texts. The command writes `ranking.csv` with one row for each piece, best first.
Pieces with equal totals keep the order of their names. A file that cannot be scored is reported and skipped. In MIDI
files that were played without a metronome, beats are found first (`clara.listening`).
"""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clara import cli
from clara.errors import BadMusicFile, NoNotes, TooLong, TooShort, UnknownToken
from clara.music.expression import Expression
from clara.music.notes import NoteSequence
from critic.defaults import DEFAULT_RANKING

EXAMPLES = """
python -m critic.ranking my_pieces/ --top 8 --out best/            # copy the best eight to best/
python -m critic.ranking my_pieces/ --rank-by "critic - 0.1 longest_copied_run"  # human, and not copied
python -m critic.ranking a.mid b.mid --json                        # for a program
"""
DIGITS = 4  # decimals of a score; totals that agree in them are equal
UNSCORABLE = BadMusicFile, NoNotes, TooLong, TooShort, UnknownToken  # errors that concern one piece only
STEPS_PER_QUARTER = 12  # of pieces that are shown
BATCH_PIECES = 64  # pieces to score at a time
BATCH_FILES = 16  # files to score at a time; they may be long


@dataclass(frozen=True)
class RankedPiece:
    """A piece with its place in a ranking.

    Attributes
    ----------
    piece : Sample, NoteSequence or path
        As passed to `rank`.
    rank : int
        1 is the best.
    total : float or None
        The sum that it is ranked by; None if it cannot be scored.
    scores : dict of str to float
        Each score by name; empty if it cannot be scored.
    problem : str
        Why it cannot be scored, or empty.
    """

    piece: Any
    rank: int
    total: float | None = None
    scores: dict = field(default_factory=dict)
    problem: str = ""

    @property
    def notes(self) -> NoteSequence:
        """Return the notes, prompt included; reads the file if the piece is a path."""
        from clara.music.read import read_music

        if isinstance(self.piece, (str, Path)):
            return read_music(self.piece, STEPS_PER_QUARTER)
        return getattr(self.piece, "notes", self.piece)

    @property
    def expression(self) -> Expression | None:
        """Return how the piece is played; None if it carries no expression and is no `Sample`."""
        from clara.performing.playing import read_played_prompt

        if isinstance(self.piece, (str, Path)):
            played = read_played_prompt(self.piece, STEPS_PER_QUARTER)
            return None if played is None else played[1]
        return getattr(self.piece, "expression", None)

    def show(self) -> None:
        """Show the scores, a player, a piano roll and sheet music, in a notebook or in the web browser."""
        from clara.rendering.html import show_html

        show_html(self)

    def _repr_html_(self) -> str:
        from clara.rendering.html import music_html

        scores = ", ".join(f"{name} {value:.2f}" for name, value in self.scores.items())
        result = self.problem if self.total is None else f"total {self.total:.2f} ({scores})"
        prompt_quarters = getattr(self.piece, "prompt_quarters", 0.0)
        return music_html(self.notes, f"rank {self.rank}: {result}", prompt_quarters, self.expression)


@dataclass(frozen=True)
class _Scored:
    """The scores of a piece, or the reason why it has none."""

    scores: dict = field(default_factory=dict)
    total: float | None = None
    problem: str = ""

    def rounded(self):
        """Return the scores and the total by name; empty if there are none."""
        if self.total is None:
            return {}
        return {name: round(float(value), DIGITS) for name, value in (self.scores | {"total": self.total}).items()}


def rank(pieces: Sequence, by: str | None = None, models=None) -> list[RankedPiece]:
    """Rank pieces, best first; pieces that cannot be scored come last.

    Parameters
    ----------
    pieces : sequence of clara.generation.generator.Sample, NoteSequence, or path
        Of a Sample only the notes after the prompt are scored.
    by : str, optional
        Ranking expression, see `critic.scores.parse_ranking` (default: critic).
    models : critic.scores.ScoringModels, optional
        Default: the pretrained models for notewise text.

    Returns
    -------
    list of RankedPiece

    Raises
    ------
    BadSetting
        If `by` is not a sum of known scores.

    Examples
    --------
    >>> from clara import Generator
    >>> from critic import rank
    >>> pieces = Generator.load("notewise").generate(16)  # doctest: +SKIP
    >>> best = rank(pieces)[0]  # doctest: +SKIP
    >>> best.scores  # doctest: +SKIP
    """
    from critic.scores import ScoringModels, parse_ranking

    pieces = list(pieces)
    ranking = parse_ranking(by or DEFAULT_RANKING, models or ScoringModels())
    scored = _score_all([_notes_to_score(piece) for piece in pieces], ranking)
    return [
        RankedPiece(pieces[i], place, scored[i].total, scored[i].scores, scored[i].problem)
        for place, i in enumerate(_order(scored), start=1)
    ]


def _notes_to_score(piece):
    """Return the composed notes of a Sample, and other pieces as they are."""
    return piece.composed() if hasattr(piece, "composed") else piece


def rank_pieces(
    pieces: Sequence, ranking: Callable, on_pieces: Callable | None = None
) -> tuple[list[int], list[dict[str, float]]]:
    """Rank pieces, some of which may be silent or too short to be scored.

    Parameters
    ----------
    pieces : sequence of n pieces, as `critic.classifier.Classifier.window_log_probs` takes them
    ranking : function
        From `critic.scores.parse_ranking`.
    on_pieces : function(int), optional
        Called with the number of pieces done since the last call.

    Returns
    -------
    order : list of int
        Indices, best first; pieces that cannot be scored come last, in their order.
    rows : list of dict
        For each piece its scores by name and `total`, rounded; empty if it cannot be scored.
    """
    scored = _score_all(pieces, ranking, BATCH_PIECES, on_pieces)
    return _order(scored), [piece.rounded() for piece in scored]


def total_scores(pieces: Sequence, ranking: Callable) -> list[float]:
    """Return the total of each piece, minus infinity for a piece that cannot be scored.

    `Generator.search` keeps the pieces with the highest totals.

    Parameters
    ----------
    pieces, ranking
        As in `rank_pieces`.
    """
    return [row.get("total", -np.inf) for row in rank_pieces(pieces, ranking)[1]]


def rank_files(
    paths: Sequence[Path], ranking: Callable, on_pieces: Callable | None = None
) -> tuple[list[dict], list[tuple[Path, str]]]:
    """Rank files.

    Parameters
    ----------
    paths : sequence of Path
    ranking, on_pieces
        As in `rank_pieces`.

    Returns
    -------
    rows : list of dict
        `rank`, `file`, `total` and each score, best first.
    skipped : list of (Path, str)
        Each file that cannot be scored, with the reason.
    """
    scored = _score_all(paths, ranking, BATCH_FILES, on_pieces)
    ranked = [i for i in _order(scored) if scored[i].total is not None]
    rows = []
    for place, i in enumerate(ranked, start=1):
        scores = scored[i].rounded()
        rows.append({"rank": place, "file": str(paths[i]), "total": scores.pop("total")} | scores)
    return rows, [(path, piece.problem) for path, piece in zip(paths, scored) if piece.total is None]


def best_and_worst(pieces: Sequence, n: int = 3, critic=None) -> tuple[list, list]:
    """Return the n best and the n worst pieces by the critic.

    Parameters
    ----------
    pieces : sequence of clara.generation.generator.Sample, NoteSequence, or path
        Of a Sample only the notes after the prompt are scored.
    n : int
    critic : Critic, optional
        Default: the pretrained critic for notewise text.

    Returns
    -------
    best, worst : lists of (piece, log-odds)
        Best first and worst first.
    """
    from critic.scores import ScoringModels

    critic = critic or ScoringModels().critic
    scores = critic.score([_notes_to_score(piece) for piece in pieces])
    ranked = [(pieces[i], float(scores[i])) for i in _best_first(scores)]
    return ranked[:n], ranked[::-1][:n]


def _score_all(pieces, ranking, batch_size=BATCH_PIECES, on_pieces=None):
    """Return a _Scored for each piece."""
    scored = []
    for first in range(0, len(pieces), batch_size):
        batch = pieces[first : first + batch_size]
        scored += _score_batch(batch, ranking)
        if on_pieces:
            on_pieces(len(batch))
    return scored


def _score_batch(batch, ranking):
    """Return a _Scored for each piece of a batch; a batch that fails is halved until the piece is found."""
    try:
        scores, totals = ranking(batch)
    except UNSCORABLE as e:
        if len(batch) == 1:
            return [_Scored(problem=str(e))]
        middle = len(batch) // 2
        return _score_batch(batch[:middle], ranking) + _score_batch(batch[middle:], ranking)
    return [
        _Scored({name: float(values[i]) for name, values in scores.items()}, float(totals[i]))
        for i in range(len(batch))
    ]


def _order(scored):
    """Return indices, best first; pieces without a total come last."""
    valid = [i for i, piece in enumerate(scored) if piece.total is not None]
    invalid = [i for i, piece in enumerate(scored) if piece.total is None]
    totals = np.array([scored[i].total for i in valid])
    return [valid[k] for k in _best_first(totals)] + invalid


def _best_first(totals):
    """Return indices by falling total; equal totals keep their order."""
    return np.argsort(-np.round(totals.astype(np.float64), DIGITS), kind="stable").tolist()


def parser() -> cli.Parser:
    """Return the parser of the command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music("pieces", nargs="+", metavar="FILE_OR_FOLDER", help="MIDI files, scores and texts, and folders of them")
    ranking = p.add_argument_group("ranking").add_argument
    ranking(
        "--rank-by",
        default=DEFAULT_RANKING,
        metavar="SCORES",
        help="Score or weighted sum of scores to rank by; the scores are critic, composer:NAME, novelty, likelihood, "
        "longest_copied_run, density_likelihood, note_density and rest_ratio. A sum is written like critic - 0.1 "
        "longest_copied_run",
    )
    ranking(
        "--critic",
        metavar="FOLDER",
        help="Folder of another critic, as clara critic writes it; default: the pretrained critic",
    )
    ranking(
        "--model",
        metavar="MODEL",
        help="Run folder or pretrained model that composed the pieces; the critic in MODEL-critic ranks if it learned "
        "from this model's weights",
    )
    ranking(
        "--top",
        type=cli.at_least(1),
        default=8,
        metavar="N",
        help="Number of best pieces to keep; they are shown, and copied to --out",
    )
    ranking(
        "--encoding", default="notewise", choices=["notewise", "chordwise"], help="Encoding that the classifiers read"
    )
    run = p.add_argument_group("run").add_argument
    run(
        "--out",
        metavar="FOLDER",
        help="Folder to write, new or empty; without it ranking.csv is written beside the pieces",
    )
    run("--threads", type=cli.at_least(1), default=os.cpu_count() or 1, metavar="N", help="Number of CPU threads")
    cli.add_json_flag(run)
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    args = parser().parse_args(argv)
    with cli.json_output(args.json) as answer:
        return _run(args, answer)


def _run(args, answer):
    """Rank the files, write the ranking and print it; fill in the JSON answer."""
    with cli.show_status("loading"):
        import pandas as pd  # heavy imports wait for --help
        import torch

        from critic.own_critic import find_own_critic
        from critic.scores import ScoringModels, parse_ranking
    from tqdm import tqdm

    from clara.errors import NoData
    from clara.files import make_empty_folder, write_atomically

    paths = _list_files(args.pieces)
    if not paths:
        raise NoData(f"{', '.join(args.pieces)}: no MIDI file, score or text")
    torch.set_num_threads(args.threads)
    critic = args.critic or (find_own_critic(args.model) if args.model else None)
    models = ScoringModels(args.encoding, critic_folder=critic)
    ranking = parse_ranking(args.rank_by, models)
    with tqdm(total=len(paths), unit=" pieces", disable=None, desc="scoring", leave=False) as bar:
        rows, skipped = rank_files(paths, ranking, bar.update)
    _report_skipped(skipped, len(paths))
    _report_performed(row["file"] for row in rows)
    if not rows:
        raise NoData("none of the pieces could be scored")
    table = pd.DataFrame(rows)
    folder = _output_folder(args)
    if args.out:
        make_empty_folder(folder)
    write_atomically(folder / "ranking.csv", table.to_csv(index=False))
    if args.out:
        for row in rows[: args.top]:
            shutil.copy(row["file"], folder / f"{row['rank']:02d}-{Path(row['file']).name}")
    print(table.head(args.top).to_string(index=False))
    variety = _inception_score([row["file"] for row in rows], models)
    if variety:
        print(f"inception score of all {len(rows)}: {variety:.2f} of at most {len(models.composer_classifier.classes)}")
    answer |= {
        "folder": folder,
        "ranking": folder / "ranking.csv",
        "pieces": rows,
        "inception_score": variety,
        "skipped": [{"file": path, "reason": reason} for path, reason in skipped],
    }
    return 0


def _output_folder(args):
    """Return the folder for ranking.csv: --out, or the first folder that was named, or the current one."""
    if args.out:
        return Path(args.out)
    first = Path(args.pieces[0])
    return first if first.is_dir() else Path()


def _report_skipped(skipped, n_files):
    """Print each file that cannot be scored, and their number, to stderr."""
    for path, reason in skipped:
        print(f"skipped: {reason if str(path) in reason else f'{path}: {reason}'}", file=sys.stderr)
    if skipped:
        print(f"{len(skipped)} of {n_files} files could not be scored", file=sys.stderr)


def _report_performed(files):
    """Print how many files were performed and have been scored on the beats that were found."""
    from clara.listening.alignment import is_performed
    from clara.wording import count_of

    n_performed = sum(map(is_performed, files))
    if n_performed:
        print(f"{count_of(n_performed, 'file')} followed no beat grid, so the beats were found")


def _inception_score(files, models):
    """Return the Inception score of some files, or None for a single file or without a composer classifier."""
    from tqdm import tqdm

    from critic.scores import inception_score

    if len(files) < 2 or not (models.folder / f"composer-{models.encoding}").is_dir():
        return None
    batches = [files[i : i + BATCH_FILES] for i in range(0, len(files), BATCH_FILES)]
    log_probs = [
        models.composer_classifier.log_probs(batch)
        for batch in tqdm(batches, unit=" batches", disable=None, desc="classifying composers", leave=False)
    ]
    return inception_score(np.concatenate(log_probs))


def _list_files(named):
    """Return the named files and the files in named folders, by name; a text is left out if its MIDI file is there."""
    from clara.data.sources import MIDI_SUFFIXES, SUFFIXES  # slow to import

    paths = []
    for path in map(Path, named):
        inside = (
            sorted(q for q in path.iterdir() if q.suffix.lower() in (*SUFFIXES, ".txt")) if path.is_dir() else [path]
        )
        midi = {q.stem for q in inside if q.suffix.lower() in MIDI_SUFFIXES}
        paths += [q for q in inside if q.suffix.lower() != ".txt" or q.stem not in midi]
    return paths


if __name__ == "__main__":
    cli.run(main)
