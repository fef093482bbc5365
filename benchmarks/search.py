"""Compare the search guided by the critic with the best of independent pieces.

python benchmarks/search.py --judges runs/judge-ensemble runs/judge-notes [--batches 16] [--no-prompt]

Each prompt from a test work is continued (or, with --no-prompt, pieces are begun without one) by
independent pieces, and by a search with -n times --candidates-per-beam candidates. There are as many
independent pieces as candidates, or --independent. The best 8 independent pieces, ranked as generate.py
does, and the 8 pieces of the search are judged by critics that learned from other works.

Percentiles are among the independent pieces of the same batch; differences are of log-odds. The AUC compares
human excerpts of test works, of the same length, with the best. Last, the measures of
`critic.features.measures`: how close the best of both, and as many independent pieces at random, are to the
human excerpts. Intervals are 95 %, by bootstrap over batches. "Distinct" is the share of pairs among the best
8 that differ in their first 8 quarters.
"""

import itertools
import time
from dataclasses import dataclass

import numpy as np
import record
from excerpts import (
    bootstrap_interval,
    composed_quarters,
    crop_composed,
    default_settings_of_seeds,
    human_excerpts,
    random_choices,
    sample_prompts,
)
from mixed_judge import describe_judge, load_judge

from clara.music.notes import NoteSequence
from clara.sampling.search import SearchSettings
from clara.sampling.settings import piece_seeds

METHODS = ("independent", "search")
DISTINCT_QUARTERS = 8


@dataclass
class Batch:
    """What both methods composed for one prompt, as excerpts.

    Attributes
    ----------
    pieces : dict of str to list of NoteSequence
        By method.
    notes_written : dict of str to int
        Notes that each method wrote, rejected candidates included.
    best : dict of str to list of NoteSequence
        The best pieces of each method.
    """

    pieces: dict[str, list[NoteSequence]]
    notes_written: dict[str, int]
    best: dict[str, list[NoteSequence]]


def main():
    """Compose both ways, judge and save the result."""
    args = parse_arguments()
    import torch

    from clara.data.corpus import Corpus
    from clara.generation.generator import Generator
    from critic.defaults import DEFAULT_RANKING
    from critic.scores import ScoringModels, parse_ranking

    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    rng = np.random.default_rng(args.seed)
    corpus = Corpus.load(args.corpus)
    human = human_excerpts(corpus, args.human, args.quarters, args.seed)
    rank_by = DEFAULT_RANKING
    models = ScoringModels(critic_folder=args.critic)
    ranking = parse_ranking(rank_by, models)
    judges = {"the critic itself": models.critic}
    for judge in map(load_judge, args.judges):
        judges[describe_judge(judge)] = judge

    batches = []
    ratings = {name: [] for name in judges}  # of each batch, (2 methods, 2 statistics, n_best)
    for batch in compose_both_ways(args, Generator.load(args.model), corpus, ranking, rng):
        for name, judge in judges.items():
            ratings[name].append(rate_batch(judge, batch))
        batches.append(batch)
        print(len(batches), f"{time.perf_counter() - start:.0f} s", flush=True)
    rows = [judge_row(name, np.array(ratings[name]), judge.score(human), rng) for name, judge in judges.items()]
    measure_table = measure_rows(batches, human, rng)
    for row in rows + measure_table:
        print(row)
    search_settings = make_search_settings(args)
    notes_written = {method: sum(batch.notes_written[method] for batch in batches) for method in METHODS}
    distinct = {
        f"distinct_{method}": round(float(np.mean([distinct_share(batch.best[method]) for batch in batches])), 3)
        for method in METHODS
    }
    settings = {
        "batches": len(batches),
        "n_pieces": args.n,
        "candidates_per_beam": args.candidates_per_beam,
        "independent": args.independent or args.n * args.candidates_per_beam,
        "rank_by": rank_by,
        "quarters": args.quarters,
        "n_best": args.top,
        "first_block_quarters": search_settings.first_block_quarters,
        "block_quarters": search_settings.block_quarters,
        "n_human": len(human),
        "no_prompt": args.no_prompt,
        "notes_written": notes_written,
        **distinct,
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }
    record.save(args.name, rows, **settings)
    record.save(f"{args.name}_measures", measure_table, **settings)


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("--model", default="pretrained/notewise-large", help="Model that composes")
    p.add_argument("--corpus", default="data/notewise-12", help="Folder of the model's corpus")
    p.add_argument("--critic", default="pretrained/critic-notewise", help="Folder of the critic that guides")
    p.add_argument("--judges", nargs="+", required=True, metavar="FOLDER", help="Folders of the judges")
    p.add_argument("--batches", type=int, default=16, help="Number of batches")
    p.add_argument("--no-prompt", action="store_true", help="Compose without prompts")
    p.add_argument("-n", type=int, default=64, help="Number of beams")
    p.add_argument("--candidates-per-beam", type=int, default=2, help="Number of candidates for each beam")
    p.add_argument(
        "--independent", type=int, default=0, help="Number of independent pieces; 0 for as many as candidates"
    )
    p.add_argument("--top", type=int, default=8, help="Number of best pieces of a batch")
    p.add_argument("--quarters", type=int, default=32, help="Length of the judged excerpts in quarters")
    p.add_argument("--human", type=int, default=512, help="Number of human excerpts")
    p.add_argument("--seed", type=int, default=30, help="Random seed")
    p.add_argument("--threads", type=int, default=1, help="Number of CPU threads")
    p.add_argument("--name", default="search", help="Name of the result files")
    return p.parse_args()


def make_search_settings(args):
    """Return the search settings of the command line."""
    return SearchSettings(top=args.top, candidates_per_beam=args.candidates_per_beam)


def compose_both_ways(args, generator, corpus, ranking, rng):
    """Yield a `Batch` for each prompt."""
    from critic.ranking import rank_pieces, total_scores

    steps_per_quarter = corpus.encoding.steps_per_quarter
    search_settings = make_search_settings(args)
    settings_of_seeds = default_settings_of_seeds()
    n_candidates = args.n * args.candidates_per_beam
    n_independent = args.independent or n_candidates
    for prompt in sample_prompts(corpus, args.batches, args.quarters, args.no_prompt, rng):
        common = {"quarters": composed_quarters(args.quarters), "prompt": prompt, "threads": args.threads}
        seed = int(rng.integers(2**31))
        settings = settings_of_seeds(piece_seeds(seed, n_independent))
        independent = generator.generate(n=n_independent, seed=seed, settings=settings, **common)

        rated_blocks = []

        def rate(pieces, rated_blocks=rated_blocks):
            rated_blocks.append(pieces)
            return total_scores(pieces, ranking)

        seed = int(rng.integers(2**31))
        settings = settings_of_seeds(piece_seeds(seed, n_candidates))
        found = generator.search(
            rate, n=args.n, seed=seed, settings=settings, search_settings=search_settings, **common
        )
        pieces = {
            method: crop_composed(samples, args.quarters, prompt is not None, steps_per_quarter)
            for method, samples in zip(METHODS, (independent, found))
        }
        best = {method: [some[i] for i in rank_pieces(some, ranking)[0][: args.top]] for method, some in pieces.items()}
        notes_written = {
            "independent": sum(len(sample.composed()) for sample in independent),
            "search": count_search_notes(rated_blocks, search_settings, steps_per_quarter),
        }
        yield Batch(pieces, notes_written, best)


def count_search_notes(rated_blocks, search_settings, steps_per_quarter):
    """Return the notes that a search wrote in all its blocks, given the candidates rated after each."""
    n_notes = 0
    for block, pieces in enumerate(rated_blocks):
        first_step = steps_per_quarter * search_settings.block_start_quarters(block)
        n_notes += sum(int((piece.start >= first_step).sum()) for piece in pieces)
    return n_notes


def distinct_share(pieces):
    """Return the share of pairs of pieces that differ in their first quarters."""
    openings = []
    for notes in pieces:
        is_early = notes.start < DISTINCT_QUARTERS * notes.steps_per_quarter
        openings.append(frozenset(zip(notes.start[is_early].tolist(), notes.pitch[is_early].tolist())))
    pairs = list(itertools.combinations(openings, 2))
    return sum(a != b for a, b in pairs) / len(pairs)


def rate_batch(judge, batch):
    """Return, for the best pieces of each method, their log-odds and their percentiles among the independent."""
    independent_odds = judge.score(batch.pieces["independent"])
    ratings = []
    for method in METHODS:
        odds = judge.score(batch.best[method])
        ratings.append([odds, 100 * (independent_odds < odds[:, None]).mean(1)])
    return ratings


def judge_row(name, ratings, human_odds, rng):
    """Return the row of a judge.

    Parameters
    ----------
    name : str
    ratings : array (n_batches, 2 methods, 2, n_best)
        Log-odds and percentiles of the best pieces.
    human_odds : array (n,)
    rng : numpy Generator
    """
    from critic.evaluation import auc

    (independent, search), gain = ratings.mean((0, 3)), (ratings[:, 1] - ratings[:, 0]).mean(2)
    row = {
        "judge": name,
        "independent_log_odds": round(float(independent[0]), 3),
        "search_log_odds": round(float(search[0]), 3),
        "gain_interval": bootstrap_interval(gain[:, 0], np.mean, rng),
        "independent_percentile": round(float(independent[1]), 1),
        "search_percentile": round(float(search[1]), 1),
        "percentile_gain_interval": bootstrap_interval(gain[:, 1], np.mean, rng),
    }
    for i, method in enumerate(METHODS):
        odds = ratings[:, i, 0]  # (n_batches, n_best)
        row[f"{method}_auc"] = round(auc(human_odds, odds.ravel()), 3)
        row[f"{method}_auc_interval"] = bootstrap_interval(odds, lambda some: auc(human_odds, some.ravel()), rng)
    return row


def measure_rows(batches, human, rng):
    """Return a row for each measure: how close the best of both methods and random pieces are to human music."""
    from critic.features.measures import measure_pieces

    human_values = measure_pieces(human)
    best_values = [{method: measure_pieces(batch.best[method]) for method in METHODS} for batch in batches]
    all_values = [measure_pieces(batch.pieces["independent"]) for batch in batches]
    n_best = len(batches[0].best["search"])
    rows = []
    for name in human_values:
        best = [[of_batch[method][name] for method in METHODS] for of_batch in best_values]
        independent = [of_batch[name] for of_batch in all_values]
        rows.append(measure_row(name, best, independent, human_values[name], n_best, rng))
    return rows


def measure_row(name, best, independent, human_values, n_best, rng):
    """Return the row of one measure.

    Parameters
    ----------
    name : str
    best : list of n_batches pairs of arrays
        Values of the best pieces by method.
    independent : list of n_batches arrays
        Values of all independent pieces.
    human_values : array
    n_best : int
    rng : numpy Generator
    """
    from critic.features.measures import Reference

    reference = Reference(human_values)
    best_histograms = np.array([[reference.counts(values) for values in of_batch] for of_batch in best])
    histograms = np.array([[reference.counts(value[None]) for value in values] for values in independent])
    independent_area, search_area = (reference.compare(histogram)[0] for histogram in best_histograms.sum(0))
    random_areas, gains = [], []
    for random_histograms in random_choices(histograms, n_best, rng):
        draw = rng.integers(len(best), size=len(best))
        random_areas.append(reference.compare(random_histograms.sum(0))[0])
        gains.append(
            reference.compare(best_histograms[draw, 1].sum(0))[0] - reference.compare(random_histograms[draw].sum(0))[0]
        )
    random_area = float(np.mean(random_areas))
    return {
        "measure": name,
        "independent_area": round(float(independent_area), 4),
        "search_area": round(float(search_area), 4),
        "random_area": round(random_area, 4),
        "gain_interval": [round(float(bound), 4) for bound in np.percentile(gains, [2.5, 97.5])],
        "closer_to_human": bool(search_area > random_area),
    }


if __name__ == "__main__":
    main()
