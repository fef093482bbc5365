"""What `generate.py` does by itself, search guided by the critic, beside the best of independent pieces, of as many quarters or, with more of them, of as many words.

python benchmarks/search.py --judges runs/judge-blend runs/judge-notes [--batches 16] [--free] [--independent 192]

Each prompt of a test work is continued, or with --free a piece begun from nothing, by independent pieces, and by a search with --drafts texts for each of -n; there are as many of the former as texts, or --independent; of them the best 8, as generate.py ranks, and what the latter gives are
judged by critics that learned from other works. Percentiles are among the independent pieces of each prompt's own
batch; differences are of log-odds; the AUC is that of human excerpts of test works, as long as they, against the best; then how near the best of both and as many independent
pieces at random are to the human ones in the measures of `critic.features.measures`. Intervals are of 95 %, by bootstrap over prompts. "Distinct" is the share of pairs among the best 8 that
differ in the first 8 quarters of what is judged.
"""

import argparse
import itertools
import time
from functools import partial

import numpy as np
import ranking
import record

WAYS = ("plain", "search")


def distinct(pieces, quarters=8):
    """Share of pairs that differ in their first quarters."""
    first = [
        frozenset((s, p) for s, p in zip(n.start.tolist(), n.pitch.tolist()) if s < quarters * n.steps_per_quarter)
        for n in pieces
    ]
    pairs = list(itertools.combinations(first, 2))
    return sum(a != b for a, b in pairs) / len(pairs)


def composed_both_ways(args, generator, corpus, settings, rate, rng):
    """Of each prompt, or of none, yields what both ways composed, cut to what is judged, {way: list of NoteSequence}, and how many notes were written for it, {way: int}.

    `settings` is a function of the seeds of a batch that gives the settings of each piece, `rate` what `Generator.search` goes by.
    """
    from clara.music.notes import crop
    from clara.sampling.search import SearchSettings
    from critic.data.table import ENDING_QUARTERS, PROMPT_QUARTERS, SEAM_QUARTERS, CorpusPieces

    pieces, step, n_batches = CorpusPieces(corpus), corpus.encoding.steps_per_quarter, 0
    for i, at in pieces.sample_places("test", args.quarters, 20 * args.batches, rng):
        prompt = (
            crop(pieces.notes(i), (at - PROMPT_QUARTERS) * step, at * step)
            if at >= PROMPT_QUARTERS and not args.free
            else ()
        )
        if not (len(prompt) or args.free) or n_batches == args.batches:
            continue
        n_batches += 1
        search_settings = SearchSettings(top=args.top)
        first = (0 if args.free else PROMPT_QUARTERS) + SEAM_QUARTERS
        how = {
            "quarters": SEAM_QUARTERS + args.quarters + ENDING_QUARTERS,
            "prompt": prompt if len(prompt) else None,
            "threads": args.threads,
        }
        found, rated = {}, []

        def rate_and_keep(some, rated=rated):
            rated.append(some)
            return rate(some)

        n_texts = args.n * args.drafts
        for way, n, compose in zip(
            WAYS,
            (args.independent or n_texts, n_texts),
            (generator.generate, partial(generator.search, rate_and_keep, search_settings=search_settings)),
        ):
            seed = int(rng.integers(2**31))
            found[way] = compose(n=n, **how, seed=seed, settings=settings(range(seed, seed + n)))
        written = {
            "plain": sum(len(s.composed()) for s in found["plain"]),
            "search": sum(
                int((p.start >= step * search_settings.block_start_quarters(block)).sum())
                for block, some in enumerate(rated)
                for p in some
            ),
        }
        yield (
            {
                way: [crop(s.notes, first * step, (first + args.quarters) * step) for s in some]
                for way, some in found.items()
            },
            written,
        )


def judge_row(name, told, of_human, rng):
    """One judge's row of what it told of each batch's best, (batches, ways, 2, top): log-odds and percentiles; and of human music, (n,)."""
    from critic.evaluation import auc

    (plain, search), gain = told.mean((0, 3)), (told[:, 1] - told[:, 0]).mean(2)
    row = {
        "judge": name,
        "plain_odds": round(float(plain[0]), 3),
        "search_odds": round(float(search[0]), 3),
        "gain_interval": ranking.interval(gain[:, 0], np.mean, rng),
        "plain_percentile": round(float(plain[1]), 1),
        "search_percentile": round(float(search[1]), 1),
        "percentile_gain_interval": ranking.interval(gain[:, 1], np.mean, rng),
    }
    for way, odds in zip(WAYS, told[:, :, 0].transpose(1, 0, 2)):
        row |= {
            f"{way}_auc": round(auc(of_human, odds.ravel()), 3),
            f"{way}_auc_interval": ranking.interval(odds, lambda some: auc(of_human, some.ravel()), rng),
        }
    return row


def measure_rows(composed, human, rng):
    """How near the best of both ways, and as many of all independent pieces at random, the mean of draws, are to human music, as rows.

    `composed` holds of each batch the best of each way and all independent pieces, (plain, search, all).
    """
    from critic.features.measures import Reference, measure_pieces

    of_human, rows = measure_pieces(human), []
    best, unranked = (
        [[measure_pieces(some) for some in batch[:-1]] for batch in composed],
        [measure_pieces(batch[-1]) for batch in composed],
    )
    for name in of_human:
        reference = Reference(of_human[name])
        counts = np.array([[reference.counts(some[name]) for some in batch] for batch in best])  # (batches, 2, bins)
        each = np.array([[reference.counts(v[None]) for v in some[name]] for some in unranked])  # (batches, n, bins)
        plain, search = (reference.compare(c)[0] for c in counts.sum(0))
        random, gains = [], []
        for drawn in ranking.at_random(each, len(composed[0][1]), rng):
            again = rng.integers(len(composed), size=len(composed))
            random.append(reference.compare(drawn.sum(0))[0])
            gains.append(reference.compare(counts[again, 1].sum(0))[0] - reference.compare(drawn[again].sum(0))[0])
        rows.append(
            {
                "measure": name,
                "plain_area": round(float(plain), 4),
                "search_area": round(float(search), 4),
                "random_area": round(float(np.mean(random)), 4),
                "gain_interval": [round(float(q), 4) for q in np.percentile(gains, [2.5, 97.5])],
                "nearer": bool(search > np.mean(random)),
            }
        )
    return rows


def main():
    """Compose both ways, judge, keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--model", default="pretrained/notewise-large")
    p.add_argument("--corpus", default="data/notewise-12")
    p.add_argument("--critic", default="pretrained/critic-notewise")
    p.add_argument("--judges", nargs="+", required=True)
    p.add_argument("--batches", type=int, default=16)
    p.add_argument("--free", action="store_true", help="pieces from nothing, not from a prompt")
    p.add_argument("-n", type=int, default=64)
    p.add_argument("--drafts", type=int, default=2)
    p.add_argument(
        "--independent",
        type=int,
        default=0,
        help="pieces that the best are chosen from without a search; 0: as many as the search has texts",
    )
    p.add_argument("--top", type=int, default=8)
    p.add_argument("--quarters", type=int, default=32)
    p.add_argument("--human", type=int, default=512)
    p.add_argument("--seed", type=int, default=30)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--name", default="search", help="of the files that are written")
    args = p.parse_args()
    import torch

    from clara.data.corpus import Corpus
    from clara.generator import Generator
    from clara.sampling.search import SearchSettings
    from clara.sampling.settings import spread_temperatures
    from clara_app.compose_request import default_settings
    from clara_app.defaults import MAX_TEMPERATURE
    from critic.classifier import Critic
    from critic.defaults import default_ranking
    from critic.ranking import rank_pieces, total_scores
    from critic.scores import ScoringModels, parse_ranking

    torch.set_num_threads(args.threads)
    rng, began, corpus = (
        np.random.default_rng(args.seed),
        time.perf_counter(),
        Corpus.load(args.corpus),
    )
    human = ranking.human_excerpts(corpus, args.human, args.quarters, args.seed)
    by, judges = default_ranking(not args.free), ScoringModels()
    judges.critic = Critic.load(args.critic)
    scores = parse_ranking(by, judges)
    heard = {
        "the critic itself": judges.critic,
        **{ranking.named(judge): judge for judge in map(ranking.loaded, args.judges)},
    }

    told, notes, shares, composed = {name: [] for name in heard}, [], [], []
    for ways, n_notes in composed_both_ways(
        args,
        Generator.load(args.model),
        corpus,
        partial(spread_temperatures, default_settings(), MAX_TEMPERATURE),
        partial(total_scores, scores=scores),
        rng,
    ):
        best = [[some[k] for k in rank_pieces(some, scores)[0][: args.top]] for some in ways.values()]
        for name, judge in heard.items():
            of_all, of_best = judge.score(ways["plain"]), [judge.score(some) for some in best]
            told[name].append([[t, 100 * (of_all < t[:, None]).mean(1)] for t in of_best])
        notes.append(list(n_notes.values()))
        shares.append([distinct(some) for some in best])
        composed.append((*best, ways["plain"]))
        print(
            len(notes),
            f"{time.perf_counter() - began:.0f} s",
            {name: np.round(np.mean(t[-1], 2), 2).tolist() for name, t in told.items()},
            flush=True,
        )
    rows = [judge_row(name, np.array(t), heard[name].score(human), rng) for name, t in told.items()]
    measures, shares = measure_rows(composed, human, rng), np.mean(shares, axis=0)
    for row in rows + measures:
        print(row)
    settings = {
        "batches": len(notes),
        "n": args.n,
        "drafts": args.drafts,
        "independent": args.independent or args.n * args.drafts,
        "by": by,
        "quarters": args.quarters,
        "top": args.top,
        "first": SearchSettings().first_block_quarters,
        "block": SearchSettings().block_quarters,
        "human": len(human),
        "free": args.free,
        "notes_written": dict(zip(WAYS, np.sum(notes, axis=0).tolist())),
        "distinct_plain": round(float(shares[0]), 3),
        "distinct_search": round(float(shares[1]), 3),
        "minutes": round((time.perf_counter() - began) / 60, 1),
    }
    record.save(args.name, rows, **settings)
    record.save(f"{args.name}_measures", measures, **settings)


if __name__ == "__main__":
    main()
