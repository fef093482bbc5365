"""Train judges from nothing to separate composed pieces from human music; an AUC near 0.5 is best.

python benchmarks/fresh_judge.py --human CORPUS --name searched --command "python generate.py --audio none"
python benchmarks/fresh_judge.py --human CORPUS --name other --folder FOLDER_OF_MIDI

A judge that chose the pieces, or that learned from pieces before the choice, cannot say whether the chosen ones sound
human. So the command under test is run with one seed after the other until there are --pieces pieces (it must take
--seed and --out), and new judges learn from those pieces and from human excerpts of the same length. With
--prompt-quarters the command continues the beginnings of held-out pieces (it must take --prompt), and the human
excerpts are what the composers wrote after as many quarters. An interrupted run can be resumed.

Four judges of three kinds are trained by cross-validation; works, runs and prompts are never on both sides:

- descriptors: boosted trees, extremely randomised trees and logistic regression, averaged;
- two small networks: a piano-roll CNN and a self-similarity CNN;
- a text model: TF-IDF of runs of one to four notewise tokens in C, with logistic regression.

Scores are ranked within each fold; the mean judge averages these ranks. Intervals are 95 %, by bootstrap over works
and runs. An excerpt is cut at --quarters; to leave endings out, choose less than the command composes.

Nothing that is trained here, and nothing that learns from its data, may ever choose what is put out. A search that
pleases these judges would make them deaf.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import record

N_FOLDS = 5
N_BOOTSTRAP = 1000
INTERVAL = (2.5, 97.5)  # percentiles
N_LISTED = 20  # descriptors
MEAN, ALL_NAMED, CRITIC_SET = "mean of the judges", "all named", "those of the critic"
REPETITION, BUT_REPETITION = "bar repetition", "all named but bar repetition"

Judge = Callable[[Sequence, np.ndarray, Sequence, int], np.ndarray]


def cross_validate(judge: Judge, excerpts: Sequence, human: np.ndarray, folds: list, seed: int) -> np.ndarray:
    """Return the score of each excerpt by a judge that has not seen its group.

    Parameters
    ----------
    judge : function
        Takes training excerpts, their labels, test excerpts and a seed; returns log-odds.
    excerpts : sequence of n
        As the judge reads them; a list or an array.
    human : bool array (n,)
    folds : list of (train rows, test rows)
    seed : int

    Returns
    -------
    float array (n,)
        Ranks within the fold, from 0 to 1, because the log-odds of differently trained judges have different scales.
    """
    from scipy.stats import rankdata

    scores = np.zeros(len(human))
    for train, test in folds:
        odds = judge(take(excerpts, train), human[train], take(excerpts, test), seed)
        scores[test] = (rankdata(odds) - 0.5) / len(test)
    return scores


def take(excerpts, rows):
    """Return some rows of a list or an array."""
    return excerpts[rows] if isinstance(excerpts, np.ndarray) else [excerpts[row] for row in rows]


def make_folds(
    human: np.ndarray, groups: Sequence[str], n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (train rows, test rows) of each fold, with equal shares of human excerpts and no group on both sides."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros((len(human), 1)), human, groups))


def auc_interval(scores: np.ndarray, human: np.ndarray, groups: Sequence[str], seed: int = 0) -> list[float]:
    """Return the 95 % interval of the AUC by bootstrap over the groups of each class."""
    from critic.evaluation import auc

    rng = np.random.default_rng(seed)
    rows_of_groups = [group_rows(groups, human), group_rows(groups, ~human)]
    draws = []
    for _ in range(N_BOOTSTRAP):
        positive, negative = (
            np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))]) for rows in rows_of_groups
        )
        draws.append(auc(scores[positive], scores[negative]))
    return np.round(np.percentile(draws, INTERVAL), 3).tolist()


def group_rows(groups: Sequence[str], chosen: np.ndarray) -> list[np.ndarray]:
    """Return the chosen rows of each group that has any."""
    rows = np.flatnonzero(chosen)
    _, group = np.unique(np.asarray(groups)[rows], return_inverse=True)
    return [rows[group == i] for i in range(group.max() + 1)]


def auc_row(table: str, name: str, scores: np.ndarray, human: np.ndarray, groups: Sequence[str], **more) -> dict:
    """Return the AUC of some scores with its interval, as a row of the result."""
    from critic.evaluation import auc

    value = round(auc(scores[human], scores[~human]), 3)
    row = {"table": table, "name": name, "auc": value, "interval": auc_interval(scores, human, groups)} | more
    print(f"{name:34}{value:6.3f}  {row['interval'][0]:.3f} to {row['interval'][1]:.3f}", flush=True)
    return row


def describe_all(pieces: Sequence, quarters: int) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Return the named descriptors of pieces, float array (n, n_descriptors), and the group and name of each."""
    from fresh_descriptors import describe

    tables = [describe(piece, quarters) for piece in pieces]
    names = [(group, name) for group, values in tables[0].items() for name in values]
    return np.array([[table[group][name] for group, name in names] for table in tables], dtype=float), names


def differing_rows(values: np.ndarray, names: list[tuple[str, str]], human: np.ndarray) -> list[dict]:
    """Return the descriptors with the highest AUC of their own, with the medians of both classes."""
    from critic.evaluation import auc

    aucs = np.array([auc(column[human], column[~human]) for column in values.T])
    rows = []
    for i in np.argsort(-np.abs(aucs - 0.5))[:N_LISTED]:
        medians = {
            key: float(np.median(values[chosen, i])) for key, chosen in (("human", human), ("generated", ~human))
        }
        group, name = names[i]
        row = {"table": "descriptors", "name": name, "group": group, "auc": round(float(max(aucs[i], 1 - aucs[i])), 3)}
        rows.append(row | {key: float(f"{median:.3g}") for key, median in medians.items()})
        print(f"{row['auc']:.3f}  human {rows[-1]['human']:8g}  generated {rows[-1]['generated']:8g}  {group}: {name}")
    return rows


def judge_rows(pieces: Sequence, human: np.ndarray, groups: Sequence[str], args) -> list[dict]:
    """Train all judges and return the rows of the result."""
    from fresh_models import NetSettings, judge_descriptors, judge_piano_rolls, judge_self_similarity, judge_text, texts

    from critic.features.descriptors import extract_descriptors

    folds = make_folds(human, groups, args.folds, args.judge_seed)
    named, names = describe_all(pieces, args.quarters)
    critic_set = np.stack([extract_descriptors(piece) for piece in pieces])
    settings = NetSettings(args.quarters, args.epochs)
    judges = {
        "descriptors": (judge_descriptors, np.hstack([named, critic_set])),
        "piano-roll CNN": (partial(judge_piano_rolls, settings=settings), pieces),
        "self-similarity CNN": (partial(judge_self_similarity, settings=settings), pieces),
        "text model": (judge_text, texts(pieces)),
    }
    rows, scores = [], []
    for name, (judge, excerpts) in judges.items():
        start = time.perf_counter()
        scores.append(cross_validate(judge, excerpts, human, folds, args.judge_seed))
        seconds = round(time.perf_counter() - start)
        rows.append(auc_row("judges", name, scores[-1], human, groups, seconds=seconds))
    rows.append(auc_row("judges", MEAN, np.mean(scores, axis=0), human, groups, seconds=0))
    for name, columns in descriptor_sets(named, names, critic_set).items():
        group_scores = cross_validate(judge_descriptors, columns, human, folds, args.judge_seed)
        rows.append(auc_row("groups", name, group_scores, human, groups, descriptors=columns.shape[1]))
    return rows + differing_rows(named, names, human)


def descriptor_sets(named: np.ndarray, names: list[tuple[str, str]], critic_set: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of each set of descriptors that is judged alone."""
    group_of_column = np.array([group for group, _ in names])
    sets = {ALL_NAMED: named, BUT_REPETITION: named[:, group_of_column != REPETITION]}
    sets |= {group: named[:, group_of_column == group] for group in dict.fromkeys(group_of_column.tolist())}
    return sets | {CRITIC_SET: critic_set}


def parse_arguments(argv: list[str] | None = None):
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--command", metavar="COMMAND", help="Command that composes; --seed and --out are appended")
    source.add_argument("--folder", metavar="FOLDER", help="Folder of MIDI files that exist already")
    p.add_argument("--human", required=True, metavar="FOLDER", help="Prepared corpus, or folder of MIDI files")
    p.add_argument("--name", required=True, help="Name of what is judged; the result is fresh_judge_NAME.json")
    p.add_argument("--work", metavar="FOLDER", help="Folder of the composed runs; default runs/fresh/NAME")
    p.add_argument("--pieces", type=int, default=256, metavar="N", help="Number of composed pieces, at least")
    p.add_argument("--quarters", type=int, default=64, metavar="N", help="Length of an excerpt")
    p.add_argument("--prompt-quarters", type=int, default=0, metavar="N", help="Length of the prompts; 0 for none")
    p.add_argument("--prompts", type=int, default=32, metavar="N", help="Number of prompts, if there are any")
    p.add_argument("--max-human", type=int, default=768, metavar="N", help="Number of human excerpts, at most")
    p.add_argument("--seed", type=int, default=1, metavar="N", help="Random seed of the first run")
    p.add_argument("--judge-seed", type=int, default=0, metavar="N", help="Random seed of folds and judges")
    p.add_argument("--folds", type=int, default=N_FOLDS, metavar="N", help="Number of folds")
    p.add_argument("--epochs", type=int, default=8, metavar="N", help="Number of epochs of the CNNs")
    p.add_argument("--threads", type=int, default=2, metavar="N", help="Number of CPU threads of the judges")
    p.add_argument("--compose-only", action="store_true", help="Compose, and train no judges")
    return p.parse_args(argv)


def composed(args) -> tuple[list, str]:
    """Return the composed excerpts, from the command or the folder, and the commit that composed them if known."""
    from fresh_pieces import compose, composed_excerpts, folder_excerpts, prompts, read_settings

    if args.folder:
        return folder_excerpts(args.folder, args.quarters, args.prompt_quarters), ""
    prompt_list = []
    if args.prompt_quarters:
        prompt_list = prompts(args.human, args.quarters, args.prompt_quarters, args.prompts, args.seed)
    work = Path(args.work or record.REPOSITORY / "runs" / "fresh" / args.name)
    runs = compose(args.command, work, args.pieces, args.seed, prompt_list)
    excerpts = composed_excerpts(runs, args.quarters, args.folds, prompt_list, args.prompt_quarters)
    return excerpts, read_settings(work)["commit"]


def main():
    """Run the benchmark."""
    args = parse_arguments()
    generated, commit = composed(args)
    if args.compose_only:
        return
    import torch
    from fresh_pieces import human_excerpts

    torch.set_num_threads(args.threads)
    human = human_excerpts(args.human, args.quarters, args.prompt_quarters)
    if not human:
        raise SystemExit(f"{args.human} holds no piece of {args.prompt_quarters + args.quarters} quarters")
    chosen = np.random.default_rng(args.judge_seed).permutation(len(human))[: args.max_human]
    excerpts = [human[i] for i in chosen] + generated
    is_human = np.arange(len(excerpts)) < len(chosen)
    groups = [excerpt.group for excerpt in excerpts]
    print(f"{len(chosen)} human and {len(generated)} generated excerpts of {args.quarters} quarters", flush=True)
    rows = judge_rows([excerpt.notes for excerpt in excerpts], is_human, groups, args)
    record.save(
        f"fresh_judge_{args.name}",
        rows,
        judged=args.command or "MIDI files",
        composed_at=commit,
        human=len(chosen),
        generated=len(generated),
        quarters=args.quarters,
        prompt_quarters=args.prompt_quarters,
        folds=args.folds,
        epochs=args.epochs,
    )


if __name__ == "__main__":
    main()
