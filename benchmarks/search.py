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


def main():
    """Compose both ways, judge, keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--model", default="pretrained/notewise")
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
    from clara.notes import crop
    from clara.sampling.strategies import spread
    from critic.classifier import Critic
    from critic.excerpts import ENDING, PROMPT, SEAM, Pieces
    from critic.rank import ranked
    from critic.scores import Judges, weighted

    torch.set_num_threads(args.threads)
    corpus, rng, began = Corpus.load(args.corpus), np.random.default_rng(args.seed), time.perf_counter()
    generator, pieces, critic = Generator.load(args.model), Pieces(corpus, 0), Critic.load(args.critic)
    judges = {folder: ranking.loaded(folder) for folder in args.judges}
    step, asked = corpus.encoding.steps_per_quarter, generate.parser().parse_args([])
    settings, ranking_judges = generate.settings_of(asked), Judges()
    ranking_judges.critic = critic
    scores = weighted(asked.by, ranking_judges)

    def rate(some):
        return [told.get("total", -np.inf) for told in ranked(some, scores)[1]]

    def cut(composed):
        return [crop(s.notes, (PROMPT + SEAM) * step, (PROMPT + SEAM + args.quarters) * step) for s in composed]
    found, words = [], {"plain": 0, "search": 0}
    for i, at in pieces.places("test", args.quarters, 20 * args.batches, rng):
        prompt = crop(pieces.notes(i), (at - PROMPT) * step, at * step) if at >= PROMPT else ()
        if not len(prompt) or len(found) == args.batches:
            continue
        how = {"n": args.n, "quarters": SEAM + args.quarters + ENDING, "prompt": prompt, "threads": args.threads}
        plain, search = (way(**how, seed=seed, settings=spread(settings, asked.temperature[1], range(seed, seed + args.n)))
                         for way, seed in ((generator.generate, int(rng.integers(2**31))), (partial(generator.search, rate), int(rng.integers(2**31)))))
        words["plain"] += sum(len(s.words) - s.prompt_words for s in plain)
        words["search"] += sum(len(s.words) - s.prompt_words for s in search)
        ways = {"plain": cut(plain), "search": cut(search)}
        best = {way: [some[k] for k in ranked(some, scores)[0][:args.top]] for way, some in ways.items()}
        row = {"distinct": [distinct(best[way]) for way in ways]}
        for name, judge in {"the critic itself": critic, **judges}.items():
            of_all = judge.score(ways["plain"])
            told = [judge.score(best[way]) for way in ways]
            row[name] = [[float(t.mean()), float(100 * np.mean([(of_all < x).mean() for x in t]))] for t in told]
        found.append(row)
        print(row, flush=True)
    rows = []
    for name in ["the critic itself", *judges]:
        told = np.array([r[name] for r in found])  # (batches, ways, 2)
        gain = told[:, 1, 0] - told[:, 0, 0]
        rows.append({"judge": ranking.named(judges[name]) if name in judges else name, "plain_odds": round(float(told[:, 0, 0].mean()), 3), "search_odds": round(float(told[:, 1, 0].mean()), 3),
                     "gain_interval": ranking.interval(gain, np.mean, rng), "plain_percentile": round(float(told[:, 0, 1].mean()), 1),
                     "search_percentile": round(float(told[:, 1, 1].mean()), 1)})
        print(rows[-1])
    shares = np.array([r["distinct"] for r in found]).mean(0)
    record.save("search", rows, batches=len(found), n=args.n, by=asked.by, quarters=args.quarters, top=args.top, words_of_pieces=words, distinct_plain=round(float(shares[0]), 3),
                distinct_search=round(float(shares[1]), 3), minutes=round((time.perf_counter() - began) / 60, 1))


if __name__ == "__main__":
    main()
