"""Measure what ranking is worth: the best 8 of 64 by the critic, rated by judges that the ranking never saw.

python benchmarks/ranking.py --judges runs/judge-ensemble runs/judge-notes [--batches 48] [--no-prompt]

A batch is 64 continuations of one prompt from a test work, or with --no-prompt 64 pieces without a
prompt, sampled as `generate.py` does. Prompt, seam and ending are cut off as in the excerpts. Measured for
each judge: the mean percentile of the best 8 among their 64 (50 is chance), and the AUC of human excerpts
of the same length against the best and against all (0.5: no difference). Likelihood under a model
of another encoding is one more judge.

Then, for the measures of `critic.features.measures`: how close the best, and as many at random, are to the
human excerpts. Intervals are 95 %, by bootstrap over batches.
"""

import time

import numpy as np
import record
from excerpts import (
    bootstrap_interval,
    compose_batches,
    default_settings_of_seeds,
    human_excerpts,
    random_choices,
)
from mixed_judge import describe_judge, load_judge

from clara import cli
from clara_app.defaults import MAX_TEMPERATURE, MIN_TEMPERATURE


def main():
    """Compose, rank, judge and save the result."""
    args = parse_arguments()
    import torch

    from clara.data.corpus import Corpus
    from clara.generation.generator import Generator
    from critic.defaults import DEFAULT_RANKING
    from critic.ranking import rank_pieces
    from critic.scores import Likelihood, ScoringModels, parse_ranking

    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    corpus = Corpus.load(args.corpus)
    rng = np.random.default_rng(args.seed)
    human = human_excerpts(corpus, args.human, args.quarters, args.seed)
    temperature = args.temperature or (MIN_TEMPERATURE, MAX_TEMPERATURE)
    batches = compose_batches(
        Generator.load(args.model),
        corpus,
        args.batches,
        args.n,
        args.quarters,
        args.seed,
        default_settings_of_seeds(temperature),
        args.threads,
        args.no_prompt,
    )
    print(f"{len(batches)} batches, {time.perf_counter() - start:.0f} s", flush=True)
    rank_by = args.rank_by or DEFAULT_RANKING
    models = ScoringModels("notewise", critic_folder=args.critic)
    ranking = parse_ranking(rank_by, models)
    best = np.array([rank_pieces(batch, ranking)[0][: args.top] for batch in batches])  # (batches, top)

    judges = {"the critic itself": models.critic.score}
    for folder in args.judges:
        judge = load_judge(folder)
        judges[describe_judge(judge)] = judge.score
    judges["likelihood under the chordwise model"] = Likelihood(ScoringModels("chordwise"))
    rows = []
    for name, score in judges.items():
        rows.append(judge_row(name, score, batches, best, human, rng))
        print(rows[-1], flush=True)
    measure_table = measure_rows(batches, best, human, rng)
    for row in measure_table:
        print(row, flush=True)
    settings = {
        "batches": len(batches),
        "n_pieces": args.n,
        "n_best": args.top,
        "quarters": args.quarters,
        "n_human": len(human),
        "rank_by": rank_by,
        "no_prompt": args.no_prompt,
        "temperature": cli.format_range(temperature),
        "collapsed": degenerate_shares(batches, best, human),
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }
    record.save(args.name, rows, **settings)
    record.save(f"{args.name}_measures", measure_table, **settings)


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("--model", default="pretrained/notewise-large", help="Model that composes")
    p.add_argument("--corpus", default="data/notewise-12", help="Folder of the model's corpus")
    p.add_argument("--critic", default="pretrained/critic-notewise", help="Folder of the critic that ranks")
    p.add_argument(
        "--rank-by", help="Ranking expression, as critic + 0.1 likelihood (that of generate.py if not given)"
    )
    p.add_argument("--judges", nargs="+", required=True, metavar="FOLDER", help="Folders of the judges")
    p.add_argument("--batches", type=int, default=48, help="Number of batches")
    p.add_argument("--no-prompt", action="store_true", help="Compose without prompts")
    p.add_argument(
        "--temperature", type=cli.number_range, help="Temperature X or range X:Y (that of generate.py if not given)"
    )
    p.add_argument("-n", type=int, default=64, help="Number of pieces in a batch")
    p.add_argument("--top", type=int, default=8, help="Number of best pieces of a batch")
    p.add_argument("--quarters", type=int, default=64, help="Length of the judged excerpts in quarters")
    p.add_argument("--human", type=int, default=512, help="Number of human excerpts")
    p.add_argument("--seed", type=int, default=20, help="Random seed")
    p.add_argument("--threads", type=int, default=1, help="Number of CPU threads")
    p.add_argument("--name", default="ranking", help="Name of the result files")
    return p.parse_args()


def judge_row(name, score, batches, best, human, rng):
    """Return the row of a judge; `best` are the indices of the best pieces, (n_batches, n_best)."""
    from critic.evaluation import auc

    scores = np.stack([score(batch) for batch in batches])  # (n_batches, n)
    human_scores = score(human)
    n_lower = (scores[:, :, None] > scores[:, None, :]).sum(2)
    n_equal = (scores[:, :, None] == scores[:, None, :]).sum(2)
    percentile = 100 * (n_lower + 0.5 * n_equal) / scores.shape[1]
    percentile_of_best = np.take_along_axis(percentile, best, 1).mean(1)  # (n_batches,)
    best_scores = np.take_along_axis(scores, best, 1)
    return {
        "judge": name,
        "percentile": round(float(percentile_of_best.mean()), 1),
        "percentile_interval": bootstrap_interval(percentile_of_best, np.mean, rng),
        "auc_best": round(auc(human_scores, best_scores.ravel()), 3),
        "auc_best_interval": bootstrap_interval(best_scores, lambda some: auc(human_scores, some.ravel()), rng),
        "auc_unranked": round(auc(human_scores, scores.ravel()), 3),
    }


def measure_rows(batches, best, human, rng):
    """Return a row for each measure: how close the best, random and all pieces are to human music."""
    from critic.features.measures import measure_pieces

    values = measure_pieces([piece for batch in batches for piece in batch])
    human_values = measure_pieces(human)
    shape = len(batches), len(batches[0])
    return [measure_row(name, values[name], human_values[name], shape, best, rng) for name in values]


def measure_row(name, values, human_values, shape, best, rng):
    """Return the row of one measure from the values of all pieces and of the human excerpts."""
    from critic.features.measures import Reference

    reference = Reference(human_values)
    histograms = np.stack([reference.counts(value[None]) for value in values]).reshape(*shape, -1)
    best_histograms = np.take_along_axis(histograms, best[:, :, None], 1).sum(1)  # (n_batches, n_bins)
    random_results, gains = [], []
    for random_histograms in random_choices(histograms, best.shape[1], rng):
        draw = rng.integers(shape[0], size=shape[0])
        random_results.append(reference.compare(random_histograms.sum(0)))
        gains.append(
            reference.compare(best_histograms[draw].sum(0))[0] - reference.compare(random_histograms[draw].sum(0))[0]
        )
    best_area, best_kl = reference.compare(best_histograms.sum(0))
    random_area, random_kl = np.mean(random_results, axis=0)
    half = len(human_values) // 2
    half_reference = Reference(human_values[:half])
    row = {"measure": name}
    if values.shape[1] == 1:
        best_values = np.take_along_axis(values.reshape(shape), best, 1)
        means = {"best_mean": best_values, "all_mean": values, "human_mean": human_values}
        row |= {key: round(float(value.mean()), 4) for key, value in means.items()}
    return row | {
        "best_area": round(float(best_area), 4),
        "random_area": round(float(random_area), 4),
        "gain_interval": [round(float(bound), 4) for bound in np.percentile(gains, [2.5, 97.5])],
        "best_kl": round(float(best_kl), 4),
        "random_kl": round(float(random_kl), 4),
        "closer_to_human": bool(best_area > random_area),
        "all_area": round(float(reference.compare(histograms.sum((0, 1)))[0]), 4),
        "human_area": round(half_reference.compare(half_reference.counts(human_values[half:]))[0], 3),
    }


def degenerate_shares(batches, best, human):
    """Return the share of degenerate pieces among the best, all and the human ones."""
    from critic.features.measures import is_degenerate

    best_pieces = [batch[i] for batch, order in zip(batches, best) for i in order]
    all_pieces = [piece for batch in batches for piece in batch]
    groups = {"best": best_pieces, "unranked": all_pieces, "human": human}
    return {
        name: round(float(np.mean([is_degenerate(piece) for piece in pieces])), 4) for name, pieces in groups.items()
    }


if __name__ == "__main__":
    main()
