"""Measure the planner: what held-out plans cost, and how composed plans compare with those of human music.

python benchmarks/planner.py --corpus CORPUS [--planner MODEL]

CORPUS is a folder that `clara prepare` wrote. Costs are nats per bar and per quarter note by kind of token, of plans
with all attributes and of plans that leave them open. Beside them stands a trigram over (relation, same distance,
distance), smoothed by interpolation. "distance, exact" is the part of the cost of sources that exact bars have.

256 plans of 64 bars are composed and compared with the plans of human pieces of at least 16 bars, and with those of
about that length.
"""

import time
from collections import Counter, defaultdict

import numpy as np
import record
import torch

from clara.data.corpus import SPLITS, Corpus
from clara.form.plan import EXACT, RELATIONS, SILENT, Plan
from clara.form.plan_tokens import ATTRIBUTES, DISTANCE, RELATION, SAME, PlanRows
from clara.form.planner import Planner
from clara.form.planner_training import corpus_plans, held_out_costs, without
from clara.sampling.settings import piece_seeds

OF_RETURNS = ("relation", "same_distance", "distance")
PRIOR_COUNT = 20.0  # weight of the shorter history in the trigram; best on the validation pieces
N_SYMBOLS = 1300  # about the number of (relation, distance) pairs, for what was never seen
MIN_BARS, LIKE_COMPOSED = 16, (48, 96)
OPENING_BARS = 16
LISTED_DISTANCES = (1, 2, 3, 4, 8, 12, 16, 24, 32)
PHRASE_HORIZON = 32


class Trigram:
    """The probability of (relation, same distance, distance) by the two bars before, interpolated.

    Parameters
    ----------
    plans : list of Plan
        To count.
    """

    def __init__(self, plans: list[Plan]):
        self.counts = [defaultdict(Counter) for _ in range(3)]
        for plan in plans:
            for history, symbol in _with_histories(plan):
                for n, count in enumerate(self.counts):
                    count[history[2 - n :]][symbol] += 1

    def nats(self, plan: Plan) -> float:
        """Return the cost of the returns of a plan."""
        return -sum(np.log(self.prob(history, symbol)) for history, symbol in _with_histories(plan))

    def prob(self, history: tuple, symbol: tuple) -> float:
        """Return the probability of a bar after two others."""
        prob = 1 / N_SYMBOLS
        for n, count in enumerate(self.counts):
            after = count[history[2 - n :]]
            prior = PRIOR_COUNT if n else 1.0
            prob = (after[symbol] + prior * prob) / (after.total() + prior)
        return prob


def _with_histories(plan):
    """Yield the symbol of each bar after those of the two bars before."""
    values = PlanRows.from_plans([plan], [(4, 4)]).values[0]
    history = (None, None)
    for relation, same, distance in values[:, [RELATION, SAME, DISTANCE]].tolist():
        symbol = (relation, same, distance if same == 0 else None)
        yield history, symbol
        history = (history[1], symbol)


def cost_rows(planner: Planner, trigram: Trigram, split: str, plans: list[Plan]) -> list[dict]:
    """Return what the plans of a split cost, by kind of token."""
    costs = held_out_costs(planner, plans)
    bars_per_quarter = costs["bars"] / costs["quarters"]
    row = {"table": "costs", "split": split, "pieces": costs["pieces"], "bars": costs["bars"]}
    rows = []
    for attributes, name in (("all", "kinds_per_bar"), ("open", "open_kinds_per_bar")):
        by_kind = costs[name] | {"all": sum(costs[name].values())}
        by_kind["returns"] = sum(by_kind[kind] for kind in OF_RETURNS)
        rows += [
            row
            | {"model": "planner", "attributes": attributes, "kind": kind}
            | _per_bar_and_quarter(nats, bars_per_quarter)
            for kind, nats in by_kind.items()
        ]
    for relation, nats in source_costs(planner, plans).items():
        kind = {"model": "planner", "attributes": "open", "kind": f"distance, {relation}"}
        rows.append(row | kind | _per_bar_and_quarter(nats / costs["bars"], bars_per_quarter))
    nats = sum(map(trigram.nats, plans)) / costs["bars"]
    kind = {"model": "trigram", "attributes": "open", "kind": "returns"}
    return [*rows, row | kind | _per_bar_and_quarter(nats, bars_per_quarter)]


def _per_bar_and_quarter(nats_per_bar, bars_per_quarter):
    return {
        "nats_per_bar": round(float(nats_per_bar), 4),
        "nats_per_quarter": round(float(nats_per_bar * bars_per_quarter), 4),
    }


def source_costs(planner: Planner, plans: list[Plan]) -> dict[str, float]:
    """Return what sources (same distance or not, and which distance) cost in nats, by the relation of the bar."""
    totals = Counter()
    for plan in plans:
        rows = PlanRows.from_plans([without(plan, ATTRIBUTES)], planner.start.signatures)
        with torch.no_grad():
            log_probs = planner.network(rows)
        for kind in (SAME, DISTANCE):
            relation = rows.values[..., RELATION][rows.spelled()[..., kind]]
            costs = np.bincount(relation, -log_probs[kind].numpy(), minlength=len(RELATIONS))
            totals.update(dict(zip(RELATIONS, costs.tolist())))
    return {relation: total for relation, total in totals.items() if total}


def percent(values) -> float:
    """Return the mean in percent, rounded."""
    return round(100 * float(np.mean(values)), 1)


def form_rows(name: str, plans: list[Plan]) -> list[dict]:
    """Return what is compared between human and composed plans."""
    rows = []
    for part, n_bars in (("first 16 bars", OPENING_BARS), ("whole", None)):
        relation = np.concatenate([plan.relation[1:n_bars] for plan in plans])
        relation = relation[relation != SILENT]
        shares = {RELATIONS[i]: percent(relation == i) for i in range(SILENT)}
        rows.append(
            {"table": "classes", "set": name, "part": part, "pieces": len(plans), "bars": len(relation)} | shares
        )
    distances = np.concatenate([_exact_distances(plan) for plan in plans])
    shares = {f"d{distance}": percent(distances == distance) for distance in LISTED_DISTANCES}
    multiples = {f"multiples_of_{n}": percent(distances % n == 0) for n in (2, 4, 8)}
    rows.append({"table": "distances", "set": name, "returns": len(distances)} | shares | multiples)
    phrases = np.concatenate([np.flatnonzero(plan.phrase == 1) - (plan.begin[0] < 0) for plan in plans])
    phrases = phrases[(phrases > 0) & (phrases <= PHRASE_HORIZON)]
    n_bars, n_phrases = sum(map(len, plans)), sum((plan.phrase == 1).sum() for plan in plans)
    rows.append(
        {
            "table": "phrases",
            "set": name,
            "bars_per_phrase": round(float(n_bars / n_phrases), 2),
            "at_multiples_of_four": percent(phrases % 4 == 0),
            "exact_run_bars": round(_mean_exact_run(plans), 2),
        }
    )
    rows.append(
        {
            "table": "keys",
            "set": name,
            "begins_in_home_key": percent([plan.key[0] == plan.home for plan in plans]),
            "ends_in_home_key": percent([plan.key[-1] == plan.home for plan in plans]),
            "ends_as_it_began": percent([plan.key[-1] == plan.key[0] for plan in plans]),
            "last_chord_on_tonic": percent([plan.chord[-1] % 12 == plan.home % 12 for plan in plans]),
            "bars_in_home_key": percent(np.concatenate([plan.key == plan.home for plan in plans])),
            "key_changes_per_100_bars": percent(np.concatenate([np.diff(plan.key) != 0 for plan in plans])),
            "minor": percent([plan.home >= 12 for plan in plans]),
        }
    )
    rows.append(
        {"table": "sound", "set": name}
        | {f"{kind}_mean": round(_known_mean(plans, kind), 2) for kind in ("density", "register", "texture")}
        | {f"{kind}_step": round(_mean_step(plans, kind), 2) for kind in ("density", "register", "texture")}
        | {"chord_changes": percent(np.concatenate([np.diff(plan.chord) != 0 for plan in plans]))}
    )
    signatures = Counter("{1}/{2}".format(*plan.time_signatures[0]) for plan in plans)
    changes = sum(len(plan.time_signatures) - 1 for plan in plans)
    rows.append(
        {"table": "time_signatures", "set": name}
        | {f"s{name}": round(100 * signatures[name] / len(plans), 1) for name in _LISTED_SIGNATURES}
        | {"changes_per_100_bars": round(100 * changes / n_bars, 2)}
        | {"upbeats": percent([plan.begin[0] < 0 for plan in plans])}
    )
    return rows


_LISTED_SIGNATURES = ("3/4", "4/4", "2/4", "6/8", "3/8", "2/2", "12/8", "3/2", "9/8", "6/4")


def _exact_distances(plan):
    exact = np.flatnonzero(plan.relation == EXACT)
    return exact - plan.source[exact]


def _mean_exact_run(plans):
    """Return the mean number of exact bars in a row."""
    n_bars = sum((plan.relation == EXACT).sum() for plan in plans)
    return float(n_bars / sum((np.diff((plan.relation == EXACT).astype(int), prepend=0) == 1).sum() for plan in plans))


def _known_mean(plans, kind):
    values = np.concatenate([getattr(plan, kind) for plan in plans])
    return float(values[values >= 0].mean())


def _mean_step(plans, kind):
    """Return the mean change from bar to bar."""
    steps = []
    for plan in plans:
        values = getattr(plan, kind)
        known = (values[1:] >= 0) & (values[:-1] >= 0)
        steps.append(np.abs(np.diff(values))[known])
    return float(np.concatenate(steps).mean())


def main():
    """Run the benchmark."""
    parser = record.argument_parser(__doc__)
    parser.add_argument("--corpus", required=True, metavar="CORPUS", help="Prepared corpus with its splits")
    parser.add_argument("--planner", default="planner", metavar="MODEL", help="Planner")
    parser.add_argument("--n-plans", type=int, default=256, metavar="N", help="Number of plans to compose")
    parser.add_argument("--n-bars", type=int, default=64, metavar="N", help="Bars of each of them")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="Sampling temperature")
    parser.add_argument("--seed", type=int, default=1000, metavar="N", help="Random seed")
    parser.add_argument("--result", default="planner", metavar="NAME", help="Name of the result file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    corpus = Corpus.load(args.corpus)
    planner = Planner.load(args.planner)
    plans = {split: corpus_plans(corpus, split) for split in SPLITS}
    trigram = Trigram(plans["train"])
    rows = [row for split in ("valid", "test") for row in cost_rows(planner, trigram, split, plans[split])]
    human = [plan for split in SPLITS for plan in plans[split] if len(plan) >= MIN_BARS]
    start = time.perf_counter()
    planner.compose(piece_seeds(args.seed, 64), args.n_bars)
    seconds = round(time.perf_counter() - start, 2)
    composed = planner.compose(piece_seeds(args.seed, args.n_plans), args.n_bars, temperature=args.temperature)
    low, high = LIKE_COMPOSED
    rows += form_rows("human", human)
    rows += form_rows("human, 48 to 96 bars", [plan for plan in human if low <= len(plan) <= high])
    rows += form_rows("planner", composed)
    for row in rows:
        print(row)
    settings = {"n_bars": args.n_bars, "temperature": args.temperature, "seconds_for_64_plans": seconds}
    record.save(args.result, rows, **settings)


if __name__ == "__main__":
    main()
