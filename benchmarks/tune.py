"""Train the best recipes of a search again, beside those in use.

clara tune CORPUS --objective both --trials 44 --minutes 1 --out runs/tuned
python benchmarks/tune.py runs/tuned --corpus CORPUS --minutes 1 4

The recipes with the lowest cost and with the highest musical Inception score are trained beside the default one and
that of the small shipped model, all for the same processor time on one thread, with seeds that the search did not have.
The search chose by valid pieces; the cost here is that of the test pieces. Models are kept in --work, so that a fresh
judge can hear them:

python benchmarks/fresh_judge.py --human CORPUS --name tuned --command "python generate.py --model runs/tune/…"

A run that was interrupted can be resumed. The result also holds whether cost and Inception score agree over all trials
of the search (Spearman's rank correlation), and what mattered for each (functional ANOVA).
"""

import json
from dataclasses import asdict
from pathlib import Path

import record

SHIPPED_SMALL = {
    "emb_sz": 256,
    "n_hid": 512,
    "n_layers": 2,
    "bs": 32,
    "bptt": 160,
    "schedule": "flat_cos",
    "drop_mult": 0.2,
    "regularize": False,
}
DEFAULT_SAMPLING = {"temperature": 0.9, "top_p": 0.98}


def main():
    """Train the recipes and save the result."""
    import pandas as pd
    import torch

    args = parse_arguments()
    torch.set_num_threads(1)
    found = json.loads((args.study / "best.json").read_text())
    trials = pd.read_csv(args.study / "trials.csv")
    recipes = choose_recipes(found["best"], args.corpus)
    args.work.mkdir(parents=True, exist_ok=True)
    rows = [
        measure(name, recipe, minutes, seed, args)
        for minutes in args.minutes
        for seed in args.seeds
        for name, recipe in recipes.items()
    ]
    shares = [
        {"table": "importances", "value": value, "choice": choice, "share": share}
        for value, choices in found["importances"].items()
        for choice, share in choices.items()
    ]
    record.save(
        "tune",
        [*({"table": "trained"} | row for row in mean_over_seeds(rows)), *shares],
        trials=len(trials),
        measured=found["trials"],
        failed=int((trials["state"] == "FAIL").sum()),
        agreement=rank_agreement(trials),
        seeds=args.seeds,
        each=rows,
    )


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("study", type=Path, help="Folder that clara tune wrote, with the objective both")
    p.add_argument("--corpus", required=True, help="Folder of the corpus of the search")
    p.add_argument("--minutes", type=float, nargs="+", default=[1.0], help="Minutes of processor time to train for")
    p.add_argument("--seeds", type=int, nargs="+", default=[1], help="Random seeds; the search had 0")
    p.add_argument("--work", type=Path, default=Path("runs/tune"), help="Folder of the trained models")
    return p.parse_args()


def choose_recipes(best: list[dict], corpus: str) -> dict:
    """Return the recipes to compare by name.

    Parameters
    ----------
    best : list of dict
        The trials that no other one beats in both values, by rising cost, as in best.json.
    corpus : str
        Folder of the corpus.

    Returns
    -------
    dict of str to Recipe
    """
    import optuna

    from clara_app.tuning.recipe import Recipe, suggest_recipe

    def found(trial):
        return suggest_recipe(optuna.trial.FixedTrial(trial["choices"]), [corpus], pretrained=False, composes=True)

    return {
        "default": Recipe(corpus, **DEFAULT_SAMPLING),
        "small shipped model": Recipe(corpus, **SHIPPED_SMALL, **DEFAULT_SAMPLING),
        "lowest cost": found(best[0]),
        "highest Inception score": found(best[-1]),
    }


def measure(name, recipe, minutes, seed, args):
    """Train by a recipe and return its row; if the same recipe was measured before, the work folder has it."""
    from clara.data.corpus import Corpus
    from clara_app.tuning.trial import TrialSettings, run_trial

    folder = args.work / f"{name.replace(' ', '-').lower()}-{minutes:g}-{seed}"
    path = folder / "row.json"
    if path.is_file() and (row := json.loads(path.read_text()))["choices"] == asdict(recipe):
        return row
    result, learn = run_trial(recipe, TrialSettings(minutes, composes=True, seed=seed))
    checkpoint = learn.to_checkpoint()
    checkpoint.save(folder)
    row = {"recipe": name, "minutes": minutes, "seed": seed, "choices": asdict(recipe)}
    row |= {"nats_per_quarter": test_nats(checkpoint, Corpus.load(args.corpus))} | asdict(result)
    path.write_text(json.dumps(row) + "\n")
    print(row, flush=True)
    return row


def test_nats(checkpoint, corpus) -> float:
    """Return the cost of the test pieces in nats per quarter note."""
    from clara.models.likelihood import nats_per_piece

    nats = nats_per_piece(checkpoint.inference_model(), corpus.ids("test"), corpus.vocab.pad_id).sum()
    return round(float(nats) / float(corpus.quarters("test").sum()), 3)


def mean_over_seeds(rows: list[dict]) -> list[dict]:
    """Return a row for each recipe and number of minutes, with the means over the seeds and the range of the cost."""
    groups: dict = {}
    for row in rows:
        groups.setdefault((row["minutes"], row["recipe"]), []).append(row)
    means = []
    for (minutes, recipe), group in groups.items():
        nats = [row["nats_per_quarter"] for row in group]
        means.append(
            {
                "recipe": recipe,
                "minutes": minutes,
                "nats_per_quarter": round(sum(nats) / len(nats), 3),
                "range": round(max(nats) - min(nats), 3),
                "inception": round(sum(row["inception"] for row in group) / len(group), 2),
                "million_tokens": round(sum(row["n_tokens"] for row in group) / len(group) / 1e6, 2),
                "parameters": group[0]["n_parameters"],
            }
        )
    return means


def rank_agreement(trials) -> float:
    """Return how far low cost and a high Inception score go together over the trials, from -1 to 1 (Spearman)."""
    from scipy.stats import spearmanr

    measured = trials.dropna(subset=["values_0", "values_1"])
    return round(float(spearmanr(-measured["values_0"], measured["values_1"]).statistic), 2)


if __name__ == "__main__":
    main()
