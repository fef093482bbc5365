"""What ranking is worth: the best 8 of 64 by the critic, in the eyes of judges that the ranking never saw.

python benchmarks/ranking.py --judges runs/judge-blend runs/judge-notes [--batches 48] [--free] [--quarters 32]

A batch is 64 continuations of one prompt of a test work, or, with --free, 64 pieces from nothing, as
`generate.py` samples them; prompt, seam and ending are cut off as in the excerpts, and --quarters are left, as many as `generate.py` composes by itself. Of each judge: the mean percentile of the best 8 among their 64
(chance: 50), and how well it tells human excerpts of test works, as long as they, from them (AUC; 0.5: not at all), beside all samples unranked. Likelihood under a
model of another encoding is one more judge. Then, for the measures of `critic.features.measures`, how near the best and as many at
random, the mean of DRAWS draws, are to the human excerpts. Intervals are of 95 %, by bootstrap over batches.
"""

import argparse
import time
from dataclasses import replace
from functools import partial

import numpy as np
import record
from notes_judge import NotesJudge
from other_judge import OtherJudge, loaded

from clara import cli

DRAWS = 500


def interval(values, statistic, rng):
    """Bootstrap interval of a statistic of rows, 95 %."""
    draws = [statistic(values[rng.integers(len(values), size=len(values))]) for _ in range(DRAWS)]
    return [round(float(q), 3) for q in np.percentile(draws, [2.5, 97.5])]


def batches(generator, corpus, n_batches, n, quarters, seed, settings, threads, free=False):
    """Of each batch, n pieces of some quarters as NoteSequence; prompts are of test works, or there are none.

    `settings` is a function of the seeds of a batch that gives the settings of each piece.
    """
    from clara.music.notes import crop
    from critic.data.table import ENDING_QUARTERS, PROMPT_QUARTERS, SEAM_QUARTERS, CorpusPieces

    pieces, rng = CorpusPieces(corpus), np.random.default_rng(seed)
    step, found = corpus.encoding.steps_per_quarter, []

    def composed(prompt, before):
        first = int(rng.integers(2**31))
        samples = generator.generate(
            n,
            SEAM_QUARTERS + quarters + ENDING_QUARTERS,
            prompt,
            settings([first + i for i in range(n)]),
            seed=first,
            threads=threads,
        )
        found.append(
            [
                crop(s.notes, (before + SEAM_QUARTERS) * step, (before + SEAM_QUARTERS + quarters) * step)
                for s in samples
            ]
        )

    for i, at in pieces.sample_places("test", quarters, 20 * n_batches, rng):
        if len(found) == n_batches:
            break
        prompt = crop(pieces.notes(i), (at - PROMPT_QUARTERS) * step, at * step) if at >= PROMPT_QUARTERS else ()
        if free:
            composed(None, 0)
        elif len(prompt):
            composed(prompt, PROMPT_QUARTERS)
    return found


def human_excerpts(corpus, n, quarters, seed):
    """N human excerpts of some quarters, of test works, as NoteSequence."""
    from clara.music.notes import crop
    from critic.data.table import SEAM_QUARTERS, CorpusPieces

    pieces, rng, step = CorpusPieces(corpus), np.random.default_rng(seed), corpus.encoding.steps_per_quarter
    return [
        crop(pieces.notes(i), (at + SEAM_QUARTERS) * step, (at + SEAM_QUARTERS + quarters) * step)
        for i, at in pieces.sample_places("test", quarters, n, rng)
    ]


def likelihoods(folder):
    """A judge: minus nats per quarter under another model."""
    from critic.scores import Likelihood, ScoringModels

    judges = ScoringModels("chordwise", folder)
    return Likelihood(judges)


def named(judge):
    """A judge by what it is made of, and how good it is by itself."""
    if isinstance(judge, NotesJudge):
        return f"notes and self-similarity, convolutions, from scratch (AUC {judge.auc:.2f})"
    if isinstance(judge, OtherJudge):
        return f"WaveNet of text, convolutions along notes, trees of statistics (AUC {judge.auc:.2f})"
    auc = judge.info["figures"]["test"]["auc"]
    return f"{judge.model.describe()} (AUC {auc:.2f})"


def judge_rows(name, judge, composed, best, human, rng):
    """What one judge says, as a row."""
    from critic.evaluation import auc

    told = np.stack([judge(batch) for batch in composed])  # (batches, n)
    of_human = judge(human)
    below = (told[:, :, None] > told[:, None, :]).sum(2) + 0.5 * ((told[:, :, None] == told[:, None, :]).sum(2))
    percentile = 100 * np.take_along_axis(below / told.shape[1], best, 1).mean(1)
    chosen = np.take_along_axis(told, best, 1)
    return {
        "judge": name,
        "percentile": round(float(percentile.mean()), 1),
        "percentile_interval": interval(percentile, np.mean, rng),
        "auc_best": round(auc(of_human, chosen.ravel()), 3),
        "auc_best_interval": interval(chosen, lambda c: auc(of_human, c.ravel()), rng),
        "auc_unranked": round(auc(of_human, told.ravel()), 3),
    }


def at_random(each, top, rng):
    """`DRAWS` times the histograms of some of each batch drawn at random: yields (batches, bins), of all their pieces' `each` (batches, n, bins) sums over `top`."""
    n_batches, n = each.shape[:2]
    for _ in range(DRAWS):
        yield np.take_along_axis(
            each, rng.permuted(np.tile(np.arange(n), (n_batches, 1)), axis=1)[:, :top, None], 1
        ).sum(1)


def measure_rows(composed, best, human, rng):
    """How near the best, as many at random and all unranked are to human music, as rows."""
    from critic.features.measures import Reference, measure_pieces

    flat = [p for batch in composed for p in batch]
    values, of_human = measure_pieces(flat), measure_pieces(human)
    half, n_batches, n, top = len(human) // 2, len(composed), len(composed[0]), best.shape[1]
    rows = []
    for name in values:
        reference = Reference(of_human[name])
        each = np.stack([reference.counts(v[None]) for v in values[name]]).reshape(
            n_batches, n, -1
        )  # (batches, n, bins)
        chosen = np.take_along_axis(each, best[:, :, None], 1).sum(1)
        halves, random, gains = Reference(of_human[name][:half]), [], []
        for drawn in at_random(each, top, rng):
            again = rng.integers(n_batches, size=n_batches)
            random.append(reference.compare(drawn.sum(0)))
            gains.append(reference.compare(chosen[again].sum(0))[0] - reference.compare(drawn[again].sum(0))[0])
        (best_area, best_kl), (area, kl) = reference.compare(chosen.sum(0)), np.mean(random, axis=0)
        means = {
            "best_mean": np.take_along_axis(values[name].reshape(n_batches, n, -1), best[:, :, None], 1),
            "all_mean": values[name],
            "human_mean": of_human[name],
        }
        rows.append(
            {
                "measure": name,
                **({k: round(float(v.mean()), 4) for k, v in means.items()} if values[name].shape[1] == 1 else {}),
                "best_area": round(float(best_area), 4),
                "random_area": round(float(area), 4),
                "gain_interval": [round(float(q), 4) for q in np.percentile(gains, [2.5, 97.5])],
                "best_kl": round(float(best_kl), 4),
                "random_kl": round(float(kl), 4),
                "nearer": bool(best_area > area),
                "all_area": round(float(reference.compare(each.sum((0, 1)))[0]), 4),
                "human_area": round(halves.compare(halves.counts(of_human[name][half:]))[0], 3),
            }
        )
    return rows


def parser():
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--model", default="pretrained/notewise-large")
    p.add_argument("--corpus", default="data/notewise-12")
    p.add_argument("--critic", default="pretrained/critic-notewise")
    p.add_argument(
        "--by", help="a sum of scores, as critic + 0.1 likelihood; without it as generate.py ranks by itself"
    )
    p.add_argument("--judges", nargs="+", required=True)
    p.add_argument("--batches", type=int, default=48)
    p.add_argument("--free", action="store_true", help="pieces from nothing, not from a prompt")
    p.add_argument(
        "--temperature",
        type=cli.number_range,
        help="X or X:Y, as generate.py takes it; without it as it has it by itself",
    )
    p.add_argument("-n", type=int, default=64)
    p.add_argument("--top", type=int, default=8)
    p.add_argument("--quarters", type=int, default=64, help="length of what is judged")
    p.add_argument("--human", type=int, default=512)
    p.add_argument("--seed", type=int, default=20)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--name", default="ranking", help="of the files that are written")
    return p


def main():
    """Compose, rank, judge, keep the result."""
    args = parser().parse_args()
    import torch

    from clara.data.corpus import Corpus
    from clara.generator import Generator
    from clara.sampling.settings import spread_temperatures
    from clara_app.compose_request import default_settings
    from clara_app.defaults import MAX_TEMPERATURE, MIN_TEMPERATURE
    from critic.classifier import Critic
    from critic.defaults import default_ranking
    from critic.features.measures import is_degenerate
    from critic.ranking import rank_pieces
    from critic.scores import ScoringModels, parse_ranking

    torch.set_num_threads(args.threads)
    corpus, rng, began = Corpus.load(args.corpus), np.random.default_rng(args.seed), time.perf_counter()
    human = human_excerpts(corpus, args.human, args.quarters, args.seed)
    by = args.by or default_ranking(not args.free)
    lowest, highest = args.temperature or (MIN_TEMPERATURE, MAX_TEMPERATURE)
    settings = partial(spread_temperatures, replace(default_settings(), temperature=lowest), highest)
    composed = batches(
        Generator.load(args.model),
        corpus,
        args.batches,
        args.n,
        args.quarters,
        args.seed,
        settings,
        args.threads,
        args.free,
    )
    fine = min(len(piece) for batch in composed for piece in batch)
    print(f"{len(composed)} batches, {fine} notes at least, {time.perf_counter() - began:.0f} s", flush=True)
    judges = ScoringModels("notewise")
    judges.critic = Critic.load(args.critic)
    score = parse_ranking(by, judges)
    best = np.array([rank_pieces(batch, score)[0][: args.top] for batch in composed])
    rows = [judge_rows("the critic itself", judges.critic.score, composed, best, human, rng)]
    for folder in args.judges:
        judge = loaded(folder)
        rows.append(judge_rows(named(judge), judge.score, composed, best, human, rng))
        print(rows[-1], flush=True)
    rows.append(judge_rows("likelihood, chordwise", likelihoods("pretrained"), composed, best, human, rng))
    measures = measure_rows(composed, best, human, rng)
    for row in rows + measures:
        print(row, flush=True)
    chosen = [batch[i] for batch, order in zip(composed, best) for i in order]
    shares = {
        what: round(float(np.mean([is_degenerate(p) for p in some])), 4)
        for what, some in (("best", chosen), ("unranked", [p for b in composed for p in b]), ("human", human))
    }
    told = {
        "batches": len(composed),
        "n": args.n,
        "top": args.top,
        "quarters": args.quarters,
        "human": len(human),
        "by": by,
        "free": args.free,
        "temperature": cli.format_range((lowest, highest)),
        "collapsed": shares,
        "minutes": round((time.perf_counter() - began) / 60, 1),
    }
    record.save(args.name, rows, **told)
    record.save(f"{args.name}_measures", measures, **told)


if __name__ == "__main__":
    main()
