"""Train a planner on the plans of a corpus."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from clara.data.corpus import Corpus
from clara.errors import NoData
from clara.form.extraction import extract_plan
from clara.form.plan import UNKNOWN, Plan
from clara.form.plan_start import PlanStart
from clara.form.plan_tokens import ATTRIBUTES, KINDS, PlanRows
from clara.form.planner import Planner
from clara.form.planner_network import NetworkSizes, PlannerNetwork
from clara.form.planner_settings import PlannerTraining

MAX_TRANSPOSITION = 6  # semitones; registers move, and what is relative to the home key stays
ALL_OPEN, SOME_OPEN = 0.35, 0.15  # shares of pieces of which a planner reads no attribute, or only some of them
SHARE_OPEN = 0.5  # of the attributes of a piece with some open
WARM_UP = 0.1  # of all steps, in which the learning rate rises


def train_planner(
    train: Sequence[Plan],
    valid: Sequence[Plan],
    settings: PlannerTraining | None = None,
    log: Callable[[str], None] = print,
) -> Planner:
    """Train a planner and return it as it was after the best epoch.

    Parameters
    ----------
    train, valid : sequences of Plan
        With all attributes known.
    settings : PlannerTraining, optional
    log : function(str)
        Gets a line after each epoch.

    Raises
    ------
    NoData
        If either set is empty.
    """
    settings = settings or PlannerTraining()
    if not train or not valid:
        raise NoData(f"{len(train)} plans to train on and {len(valid)} to validate with; a planner needs both")
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    signatures = frequent_signatures(train, settings.min_signature_pieces)
    sizes = NetworkSizes(
        len(signatures), settings.width, settings.n_units, settings.n_layers, settings.hidden, settings.n_query
    )
    network = PlannerNetwork(sizes, settings.dropout)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    n_steps = settings.epochs * len(list(batches(train, settings.batch_bars, rng)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / n_steps))
    best, best_cost = None, math.inf
    history = []
    start = time.perf_counter()
    for epoch in range(1, settings.epochs + 1):
        network.train()
        cost = _train_epoch(network, train, signatures, settings, rng, optimizer, schedule)
        network.eval()
        valid_cost = sum(mean_costs(network, valid, signatures).values())
        history.append({"epoch": epoch, "train": round(cost, 4), "valid": round(valid_cost, 4)})
        log(f"epoch {epoch}: nats per bar {cost:.3f}, valid {valid_cost:.3f}, {time.perf_counter() - start:.0f} s")
        if valid_cost < best_cost:
            best, best_cost = {name: t.clone() for name, t in network.state_dict().items()}, valid_cost
    assert best is not None
    network = PlannerNetwork(sizes).double().eval()
    network.load_state_dict(best)
    minutes = round((time.perf_counter() - start) / 60, 1)
    training = {"settings": asdict(settings), "history": history, "minutes": minutes, "pieces": len(train)}
    return Planner(network, PlanStart.fit(train, signatures), {"training": training})


def corpus_plans(corpus: Corpus, split: str) -> list[Plan]:
    """Return the plan of each piece of a split, by the time signatures in the manifest.

    Raises
    ------
    NoData
        If the split is empty, or a text or the manifest is broken.
    """
    pieces = corpus.rows(split)["piece"]
    plans = []
    for piece, time_signatures in zip(pieces, corpus.time_signatures(split)):
        notes, _ = corpus.encoding.decode(corpus.tokens(piece))
        if len(notes):
            plans.append(extract_plan(replace(notes, time_signatures=time_signatures)))
    return plans


def frequent_signatures(plans: Sequence[Plan], min_pieces: int) -> list[tuple[int, int]]:
    """Return the time signatures of at least so many pieces, or else of all, the most frequent first."""
    counts = Counter(pair for plan in plans for pair in set(zip(plan.numerator.tolist(), plan.denominator.tolist())))
    frequent = [pair for pair, count in counts.items() if count >= min_pieces] or list(counts)
    return sorted(frequent, key=lambda pair: (-counts[pair], pair))


def batches(plans: Sequence[Plan], batch_bars: int, rng: np.random.Generator) -> Iterator[list[Plan]]:
    """Yield all plans in random order, in batches of plans of about one length."""
    lengths = np.array([len(plan) for plan in plans])
    order = np.argsort(lengths * rng.uniform(0.9, 1.1, len(plans)), kind="stable")
    groups, group = [], []
    for i in order:
        longest = max([lengths[i], *(lengths[j] for j in group)])
        if group and longest * (len(group) + 1) > batch_bars:
            groups.append(group)
            group = []
        group.append(i)
    groups.append(group)
    for i in rng.permutation(len(groups)):
        yield [plans[j] for j in groups[i]]


def vary(plan: Plan, rng: np.random.Generator) -> Plan:
    """Return a plan in a random key, now and then with open attributes."""
    plan = plan.transpose(int(rng.integers(-MAX_TRANSPOSITION, MAX_TRANSPOSITION + 1)))
    at = rng.random()
    if at < ALL_OPEN:
        return without(plan, ATTRIBUTES)
    if at < ALL_OPEN + SOME_OPEN:
        return without(plan, [name for name in ATTRIBUTES if rng.random() < SHARE_OPEN])
    return plan


def without(plan: Plan, attributes: Sequence[str]) -> Plan:
    """Return a plan that leaves some attributes open."""
    unknown = np.full(len(plan), UNKNOWN)
    return replace(plan, **dict.fromkeys(attributes, unknown))


def mean_costs(
    network: PlannerNetwork, plans: Sequence[Plan], signatures: Sequence[tuple[int, int]]
) -> dict[str, float]:
    """Return the mean cost of a bar in nats by kind of token."""
    totals = np.zeros(len(KINDS))
    with torch.no_grad():
        for batch in batches(plans, 4096, np.random.default_rng(0)):
            for kind, log_probs in network(PlanRows.from_plans(batch, signatures)).items():
                totals[kind] -= float(log_probs.sum())
    return dict(zip(KINDS, (totals / sum(map(len, plans))).tolist()))


def held_out_costs(planner: Planner, plans: Sequence[Plan]) -> dict[str, Any]:
    """Return what plans cost in nats, in all and by kind of token, with attributes and with all of them open.

    Returns
    -------
    dict
        `bars` and `quarters`, the size of the plans; `nats_per_bar` and `nats_per_quarter`; `kinds_per_bar` and
        `open_kinds_per_bar`, dicts by kind. Beside the kinds of the tokens these name `length`, `upbeat` and `home`.
    """
    n_bars = sum(map(len, plans))
    quarters = sum((plan.n_steps - max(0, int(plan.begin[0]))) / plan.steps_per_quarter for plan in plans)
    by_kind = {}
    for name, attributes in (("kinds_per_bar", ()), ("open_kinds_per_bar", ATTRIBUTES)):
        costs = Counter(
            mean_costs(planner.network, [without(plan, attributes) for plan in plans], planner.start.signatures)
        )
        for plan in plans:
            costs.update({kind: nats / n_bars for kind, nats in planner.start.nats(plan).items()})
        by_kind[name] = {kind: round(cost, 4) for kind, cost in costs.items() if cost}
    per_bar = sum(by_kind["kinds_per_bar"].values())
    return {
        "pieces": len(plans),
        "bars": n_bars,
        "quarters": round(quarters, 1),
        "nats_per_bar": round(per_bar, 4),
        "nats_per_quarter": round(per_bar * n_bars / quarters, 4),
        **by_kind,
    }


def _rate(done):
    """Return the learning rate after a share of all steps: it rises, then falls like a cosine."""
    if done < WARM_UP:
        return (done + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))


def _train_epoch(network, plans, signatures, settings, rng, optimizer, schedule):
    """Train on all plans once, and return the mean cost of a bar in nats."""
    total = 0.0
    mean_bars = settings.batch_bars
    for batch in batches(plans, settings.batch_bars, rng):
        rows = PlanRows.from_plans([vary(plan, rng) for plan in batch], signatures)
        cost = -torch.cat(list(network(rows).values())).sum()
        optimizer.zero_grad()
        (cost / mean_bars).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimizer.step()
        schedule.step()
        total += float(cost.detach())
    return total / sum(map(len, plans))
