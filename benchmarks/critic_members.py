"""Measure what each member of a critic adds: AUC of each alone, and of the ensemble without it.

python benchmarks/critic_members.py CRITIC EXCERPTS [CRITIC EXCERPTS …]

EXCERPTS are folders that critic.excerpts wrote, of works that the members did not learn from; the test split is scored.
The members keep their weights when one is left out. Intervals of differences are from 500 bootstrap samples.
"""

import time
from pathlib import Path

import numpy as np
import record

N_BOOTSTRAP = 500
INTERVAL = (2.5, 97.5)  # percentiles


def member_odds(member, tokens: list[list[str]], classes) -> np.ndarray:
    """Return the mean log-odds "human" of each excerpt by one member, float (n,)."""
    from critic.data.table import GENERATED, HUMAN

    human, generated = classes.index(HUMAN), classes.index(GENERATED)
    windows = member.window_log_probs(tokens)
    return np.array([(log_probs[:, human] - log_probs[:, generated]).mean() for log_probs in windows])


def auc_loss_interval(full: np.ndarray, reduced: np.ndarray, human: np.ndarray) -> list[float]:
    """Return the bootstrap interval of the AUC that is lost between two lists of scores (n,)."""
    from critic.evaluation import auc

    rng = np.random.default_rng(0)
    losses = []
    for _ in range(N_BOOTSTRAP):
        rows = rng.integers(len(human), size=len(human))
        is_human = human[rows]
        losses.append(
            auc(full[rows][is_human], full[rows][~is_human]) - auc(reduced[rows][is_human], reduced[rows][~is_human])
        )
    return [round(float(limit), 4) for limit in np.percentile(losses, INTERVAL)]


def ablation_rows(name: str, critic, table) -> list[dict]:
    """Return one row for the ensemble and one for each member."""
    from critic.data.table import HUMAN
    from critic.evaluation import auc

    human = (table["label"] == HUMAN).to_numpy()
    tokens = table["tokens"].tolist()
    odds, milliseconds = [], []
    for member, weight in critic.model.members:
        start = time.perf_counter()
        odds.append(weight * member_odds(member, tokens, critic.classes))
        milliseconds.append(1000 * (time.perf_counter() - start) / len(tokens))
    full = np.sum(odds, axis=0)
    full_auc = auc(full[human], full[~human])
    common = {"critic": name, "excerpts": len(table)}
    rows = [common | {"member": "all", "alone": round(full_auc, 4), "milliseconds": round(sum(milliseconds), 2)}]
    for (member, _), own, ms in zip(critic.model.members, odds, milliseconds):
        reduced = full - own
        without = auc(reduced[human], reduced[~human])
        row = {
            "member": member.type,
            "alone": round(auc(own[human], own[~human]), 4),
            "without": round(without, 4),
            "loss": round(full_auc - without, 4),
            "loss_interval": auc_loss_interval(full, reduced, human),
            "milliseconds": round(ms, 2),
        }
        rows.append(common | row)
    return rows


def main():
    """Run the benchmark."""
    parser = record.argument_parser(__doc__)
    parser.add_argument("pairs", nargs="+", metavar="CRITIC EXCERPTS", help="critic and excerpts, in turn")
    parser.add_argument("--threads", type=int, default=2, help="number of CPU threads")
    args = parser.parse_args()
    import torch

    from critic import Critic
    from critic.data.table import read_excerpts

    torch.set_num_threads(args.threads)
    rows, fingerprints = [], {}
    for critic_folder, excerpts in zip(args.pairs[::2], args.pairs[1::2]):
        table, info = read_excerpts(excerpts)
        name = Path(critic_folder).name
        fingerprints[name] = {key: info[key] for key in ("fingerprint", "seed", "arguments")}
        test = table[table["split"] == "test"].reset_index(drop=True)
        rows += ablation_rows(name, Critic.load(critic_folder), test)
    for row in rows:
        print(row)
    record.save("critic_members", rows, excerpts=fingerprints)


if __name__ == "__main__":
    main()
