r"""Measure what each member of a critic adds: AUC of each alone, and of the ensemble without it.

python benchmarks/critic_members.py CRITIC EXCERPTS [CRITIC EXCERPTS …] [--write-reduced FOLDER]
python benchmarks/critic_members.py --add-fresh-judges

EXCERPTS are folders that critic.excerpts wrote, of works that the members did not learn from; the test split is scored.
The members keep their weights when one is left out. Intervals of differences are from 500 bootstrap samples.

What a member is worth to a fresh judge takes hours, so a second command adds it. With --write-reduced, each critic is
also written without each of its members, as FOLDER/CRITIC-without-MEMBER. Compose and judge with each of these:

python benchmarks/fresh_judge.py --human CORPUS --name CRITIC-all --command "python generate.py --audio none"
python benchmarks/fresh_judge.py --human CORPUS --name CRITIC-without-MEMBER \
    --command "python generate.py --audio none --critic FOLDER/CRITIC-without-MEMBER"

Then --add-fresh-judges copies the AUC of the mean judge into the rows whose members have such a result. If a fresh
judge does better on pieces that were chosen without a member, the member pays.

A critic that learned in rounds has several members of a type. It is also written without each group of them: those of a
type, of a round, and of all rounds after the first. CRITIC-without-GROUP is judged in the same way.
"""

import json
import time
from pathlib import Path

import numpy as np
import record

N_BOOTSTRAP = 500
INTERVAL = (2.5, 97.5)  # percentiles


def member_names(ensemble) -> list[str]:
    """Return the type of each member, with its number where several have one type, as folders of a critic are named."""
    types = [member.type for member, _ in ensemble.members]
    return [f"{i}-{own}" if types.count(own) > 1 else own for i, own in enumerate(types, start=1)]


def weighted_odds(ensemble, row: int, tokens: list[list[str]]) -> np.ndarray:
    """Return what a member adds to the mean log-odds "human" of each excerpt, by weight and within its limit, (n,)."""
    from critic.data.table import GENERATED, HUMAN
    from critic.members.ensemble import limit_log_odds

    (member, weight), limit, settings = ensemble.members[row], ensemble.max_log_odds[row], ensemble.settings
    human, generated = settings.classes.index(HUMAN), settings.classes.index(GENERATED)
    limited = [limit_log_odds(windows, limit, settings) for windows in member.window_log_probs(tokens)]
    return weight * np.array([(windows[:, human] - windows[:, generated]).mean() for windows in limited])


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
    for row in range(len(critic.model.members)):
        start = time.perf_counter()
        odds.append(weighted_odds(critic.model, row, tokens))
        milliseconds.append(1000 * (time.perf_counter() - start) / len(tokens))
    full = np.sum(odds, axis=0)
    full_auc = auc(full[human], full[~human])
    common = {"critic": name, "excerpts": len(table)}
    names = member_names(critic.model)
    whole = {"member": "all", "alone": round(full_auc, 4), "milliseconds": round(sum(milliseconds), 2)}
    whole["groups"] = {group: [names[i] for i in rows] for group, rows in member_groups(critic.model).items()}
    rows = [common | whole]
    for member, own, ms in zip(names, odds, milliseconds):
        reduced = full - own
        without = auc(reduced[human], reduced[~human])
        row = {
            "member": member,
            "alone": round(auc(own[human], own[~human]), 4),
            "without": round(without, 4),
            "loss": round(full_auc - without, 4),
            "loss_interval": auc_loss_interval(full, reduced, human),
            "milliseconds": round(ms, 2),
        }
        rows.append(common | row)
    return rows


def member_groups(ensemble) -> dict[str, list[int]]:
    """Return the members of each group: of a type, of a round, and of all later rounds, if there are several rounds."""
    types = [member.type for member, _ in ensemble.members]
    rounds = [types[:i].count(own) for i, own in enumerate(types)]
    n_rounds = max(rounds) + 1
    if n_rounds == 1:
        return {}
    of_type = {own: [i for i, other in enumerate(types) if other == own] for own in sorted(set(types))}
    of_round = {f"round-{n}": [i for i, round_ in enumerate(rounds) if round_ == n] for n in range(n_rounds)}
    groups = of_type | of_round | {"later-rounds": [i for i, round_ in enumerate(rounds) if round_]}
    return {name: group for name, group in groups.items() if len(group) < len(types)}


def write_reduced(folder: Path, name: str, critic) -> list[Path]:
    """Write a critic without each of its members and groups, and return the folders; one member must be left."""
    from critic import Critic, Ensemble

    members, limits = critic.model.members, critic.model.max_log_odds
    singles = {left_out: [i] for i, left_out in enumerate(member_names(critic.model))} if len(members) > 1 else {}
    folders = []
    for left_out, rows in (singles | member_groups(critic.model)).items():
        kept = [i for i in range(len(members)) if i not in rows]
        reduced = Ensemble([members[i] for i in kept], max_log_odds=[limits[i] for i in kept])
        folders.append(folder / reduced_name(name, left_out))
        Critic(reduced).save(folders[-1])
    return folders


def reduced_name(critic: str, member: str) -> str:
    """Return the name of a critic without a member; "all" means that none is left out."""
    return f"{critic}-all" if member == "all" else f"{critic}-without-{member}"


def add_fresh_judges() -> int:
    """Add to each row the AUC of fresh judges on pieces chosen without its member; return how many rows have one."""
    path = record.RESULTS / "critic_members.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    n_found = 0
    result["groups"] = []
    for row in result["rows"]:
        judged = read_fresh_judge(reduced_name(row["critic"], row["member"]))
        row |= judged
        n_found += bool(judged)
        for group, left_out in row.get("groups", {}).items():
            judged = read_fresh_judge(reduced_name(row["critic"], group))
            if judged:
                result["groups"].append({"critic": row["critic"], "group": group, "left_out": left_out} | judged)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{path}: {n_found} of {len(result['rows'])} rows have a fresh judge")
    return n_found


def read_fresh_judge(name: str) -> dict:
    """Return the AUC of the mean judge and its interval, or an empty dict if there is no such result."""
    from fresh_judge import MEAN

    path = record.RESULTS / f"fresh_judge_{name}.json"
    if not path.is_file():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    (mean,) = (judge for judge in rows if judge["name"] == MEAN)
    return {"fresh_judge": mean["auc"], "fresh_judge_interval": mean["interval"]}


def judged_names() -> set[str]:
    """Return the names of the results of fresh judges that critic_members.json sums up."""
    result = json.loads((record.RESULTS / "critic_members.json").read_text(encoding="utf-8"))
    left_out = [(row["critic"], row["member"]) for row in result["rows"] if "fresh_judge" in row]
    left_out += [(row["critic"], row["group"]) for row in result["groups"]]
    return {f"fresh_judge_{reduced_name(*names)}" for names in left_out}


def main(argv: list[str] | None = None):
    """Run the benchmark."""
    parser = record.argument_parser(__doc__)
    parser.add_argument("pairs", nargs="*", metavar="CRITIC EXCERPTS", help="critic and excerpts, in turn")
    parser.add_argument("--write-reduced", metavar="FOLDER", help="write each critic without each of its members there")
    parser.add_argument("--add-fresh-judges", action="store_true", help="add the results of fresh_judge.py, and stop")
    parser.add_argument("--threads", type=int, default=2, help="number of CPU threads")
    args = parser.parse_args(argv)
    if args.add_fresh_judges:
        add_fresh_judges()
        return
    if not args.pairs or len(args.pairs) % 2:
        parser.error("name pairs of a critic and its excerpts")
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
        critic = Critic.load(critic_folder)
        rows += ablation_rows(name, critic, test)
        if args.write_reduced:
            write_reduced(Path(args.write_reduced), name, critic)
    for row in rows:
        print(row)
    record.save("critic_members", rows, excerpts=fingerprints)


if __name__ == "__main__":
    main()
