"""Search guided by the critic, beside the best of independent pieces, at equal numbers of sampled words.

python benchmarks/search.py --judges runs/judge-lstm runs/judge-roll [--batches 16]

Each prompt of a test work is continued by n independent pieces and by a search with n texts; of both the best 8, as generate.py ranks, are
judged by critics that learned from other works. Percentiles are among the independent pieces of all prompts' own
batches; differences are of log-odds, with 95 % intervals by bootstrap over prompts. "Distinct" is the share of pairs among the best 8 that
differ in the first 8 quarters of what is judged.
"""

import argparse
import itertools
import time
from functools import partial

import numpy as np
import ranking
import record


def distinct(pieces, quarters=8):
    """Share of pairs that differ in their first quarters."""
    first = [frozenset((s, p) for s, p in zip(n.start.tolist(), n.pitch.tolist()) if s < quarters * n.steps_per_quarter) for n in pieces]
    pairs = list(itertools.combinations(first, 2))
    return sum(a != b for a, b in pairs) / len(pairs)


def composed_both_ways(args, generator, corpus, settings, rate, rng):
    """Of each prompt, yields what both ways composed, cut to what is judged, {way: list of NoteSequence}, and the words it took, {way: int}.

    `settings` is a function of the seeds of a batch that gives the settings of each piece, `rate` what `Generator.search` goes by.
    """
    from clara.notes import crop
    from critic.excerpts import ENDING, PROMPT, SEAM, Pieces

    pieces, step, n_batches = Pieces(corpus), corpus.encoding.steps_per_quarter, 0
    for i, at in pieces.places("test", args.quarters, 20 * args.batches, rng):
        prompt = crop(pieces.notes(i), (at - PROMPT) * step, at * step) if at >= PROMPT else ()
        if not len(prompt) or n_batches == args.batches:
            continue
        n_batches += 1
        how = {"n": args.n, "quarters": SEAM + args.quarters + ENDING, "prompt": prompt, "threads": args.threads}
        found = {}
        for way, compose in (("plain", generator.generate), ("search", partial(generator.search, rate))):
            seed = int(rng.integers(2**31))
            found[way] = compose(**how, seed=seed, settings=settings(range(seed, seed + args.n)))
        yield ({way: [crop(s.notes, (PROMPT + SEAM) * step, (PROMPT + SEAM + args.quarters) * step) for s in some] for way, some in found.items()},
               {way: sum(len(s.words) - s.prompt_words for s in some) for way, some in found.items()})


def judge_row(name, told, rng):
    """One judge's row of what it told of each batch's best, (batches, ways, 2): log-odds and percentiles."""
    (plain, search), gain = told.mean(0), told[:, 1] - told[:, 0]
    return {"judge": name, "plain_odds": round(float(plain[0]), 3), "search_odds": round(float(search[0]), 3), "gain_interval": ranking.interval(gain[:, 0], np.mean, rng),
            "plain_percentile": round(float(plain[1]), 1), "search_percentile": round(float(search[1]), 1),
            "percentile_gain_interval": ranking.interval(gain[:, 1], np.mean, rng)}


def main():
    """Compose both ways, judge, keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--model", default="pretrained/notewise-large")
    p.add_argument("--corpus", default="data/notewise-12")
    p.add_argument("--critic", default="pretrained/critic-notewise")
    p.add_argument("--judges", nargs="+", required=True)
    p.add_argument("--batches", type=int, default=16)
    p.add_argument("-n", type=int, default=64)
    p.add_argument("--top", type=int, default=8)
    p.add_argument("--quarters", type=int, default=32)
    p.add_argument("--seed", type=int, default=30)
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    import torch

    import generate
    from clara.corpus import Corpus
    from clara.generator import Generator
    from clara.sampling.strategies import spread
    from critic.classifier import Critic
    from critic.rank import ranked
    from critic.scores import Judges, weighted

    torch.set_num_threads(args.threads)
    rng, began, asked = np.random.default_rng(args.seed), time.perf_counter(), generate.parser().parse_args([])
    judges = Judges()
    judges.critic = Critic.load(args.critic)
    scores = weighted(asked.by, judges)
    heard = {"the critic itself": judges.critic, **{ranking.named(judge): judge for judge in map(ranking.loaded, args.judges)}}

    def rate(some):
        return [told.get("total", -np.inf) for told in ranked(some, scores)[1]]
    told, words, shares = {name: [] for name in heard}, [], []
    for ways, n_words in composed_both_ways(args, Generator.load(args.model), Corpus.load(args.corpus), partial(spread, generate.settings_of(asked), asked.temperature[1]), rate, rng):
        best = [[some[k] for k in ranked(some, scores)[0][:args.top]] for some in ways.values()]
        for name, judge in heard.items():
            of_all, of_best = judge.score(ways["plain"]), [judge.score(some) for some in best]
            told[name].append([[float(t.mean()), float(100 * np.mean([(of_all < x).mean() for x in t]))] for t in of_best])
        words.append(list(n_words.values()))
        shares.append([distinct(some) for some in best])
        print(len(words), {name: np.round(t[-1], 2).tolist() for name, t in told.items()}, flush=True)
    rows = [judge_row(name, np.array(t), rng) for name, t in told.items()]
    for row in rows:
        print(row)
    shares = np.mean(shares, axis=0)
    record.save("search", rows, batches=len(words), n=args.n, by=asked.by, quarters=args.quarters, top=args.top, words_of_pieces=dict(zip(("plain", "search"), np.sum(words, axis=0).tolist())),
                distinct_plain=round(float(shares[0]), 3), distinct_search=round(float(shares[1]), 3), minutes=round((time.perf_counter() - began) / 60, 1))


if __name__ == "__main__":
    main()
