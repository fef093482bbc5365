"""The report of a study: a table of all trials, the best recipe, what mattered, and plots."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from clara.errors import BadSetting
from clara.files import write_atomically
from clara_app.tuning.study import BOTH, INCEPTION, NATS, StudySettings, import_optuna

MIN_TRIALS_FOR_IMPORTANCE = 8
REPORT, TRIALS, BEST = "report.md", "trials.csv", "best.json"
UNITS = {NATS: "nats per quarter note", INCEPTION: "musical Inception score"}


def write_report(study: Any, settings: StudySettings, folder: str | Path) -> dict[str, Any]:
    """Write report.md with plots, trials.csv and best.json.

    Parameters
    ----------
    study : optuna.Study
    settings : StudySettings
    folder : path
        An existing folder.

    Returns
    -------
    dict
        The content of best.json: `trials` (number measured), `best` (a list; several for the objective "both"), each
        with `number`, `values`, `choices` and `command`; and `default`, the trial of the default recipe, or None.

    Raises
    ------
    BadSetting
        If no trial was measured; the message says why the last one failed.
    CannotWrite
    """
    folder = Path(folder)
    trials = study.get_trials(deepcopy=False)
    write_atomically(folder / TRIALS, study.trials_dataframe().to_csv(index=False))
    complete = [trial for trial in trials if trial.values]
    if not complete:
        errors = [trial.user_attrs["error"] for trial in trials if "error" in trial.user_attrs]
        why = f"; the last one failed with {errors[-1]}" if errors else ""
        raise BadSetting(f"none of {len(trials)} trials was measured{why}")
    best = sorted(study.best_trials, key=lambda trial: trial.values[0])
    default = next((trial for trial in complete if trial.number == 0), None)
    summary = {
        "trials": len(complete),
        "best": [_describe(trial) for trial in best],
        "default": default and _describe(default),
        "importances": measure_importances(study, settings),
    }
    write_atomically(folder / BEST, json.dumps(summary, indent=1) + "\n")
    _plot(complete, best, settings, summary["importances"], folder)
    write_atomically(folder / REPORT, _render(trials, summary, settings))
    return summary


def _describe(trial):
    """Return what is reported of a trial."""
    command = shlex.join(["clara", "train", *trial.user_attrs.get("flags", [])])
    measured = {name: trial.user_attrs.get(name) for name in ("nats", "inception", "n_tokens", "n_parameters")}
    return {"number": trial.number, "values": trial.values, "choices": trial.params, "command": command} | measured


def measure_importances(study: Any, settings: StudySettings) -> dict[str, dict[str, float]]:
    """Return for each value of the objective how much each choice mattered, shares that add up to 1 (fANOVA)."""
    optuna = import_optuna()
    names = [NATS, INCEPTION] if settings.objective == BOTH else [settings.objective]
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.values]
    importances = {}
    for i, name in enumerate(names):
        if len(complete) >= MIN_TRIALS_FOR_IMPORTANCE and np.ptp([trial.values[i] for trial in complete]) > 0:
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
            found = optuna.importance.get_param_importances(
                study, evaluator=evaluator, target=lambda trial, i=i: trial.values[i]
            )
            importances[name] = {choice: round(float(share), 3) for choice, share in found.items()}
    return importances


def _plot(complete, best, settings, importances, folder):
    """Draw the trials in their order, the choices that mattered, and for two values the one against the other."""
    from clara.rendering.plots import new_figure

    figure, ax = new_figure(7, 4)
    values = np.array([trial.values[0] for trial in complete])
    name = settings.objective if settings.objective != BOTH else NATS
    so_far = np.maximum.accumulate(values) if name == INCEPTION else np.minimum.accumulate(values)
    numbers = [trial.number for trial in complete]
    ax.plot(numbers, values, "o", ms=4, label="trial")
    ax.plot(numbers, so_far, label="best so far")
    ax.set(xlabel="trial", ylabel=UNITS[name])
    ax.legend()
    figure.savefig(folder / "history.png")
    for name, shares in importances.items():
        figure, ax = new_figure(7, 4)
        ax.barh(list(shares)[::-1], list(shares.values())[::-1])
        ax.set(xlabel=f"share of the differences in {UNITS[name]}")
        figure.savefig(folder / f"importances_{name}.png")
    if settings.objective == BOTH:
        figure, ax = new_figure(6, 5)
        ax.plot(*zip(*[trial.values for trial in complete]), "o", ms=4, label="trial")
        ax.plot(*zip(*[trial.values for trial in best]), "s-", ms=6, label="beaten by none in both")
        ax.set(xlabel=UNITS[NATS], ylabel=UNITS[INCEPTION])
        ax.legend()
        figure.savefig(folder / "pareto.png")


def _render(trials, summary, settings):
    """Return the text of report.md."""
    n_pruned = sum(trial.state.name == "PRUNED" for trial in trials)
    n_failed = sum(trial.state.name == "FAIL" for trial in trials)
    lines = [
        "# A search for recipes",
        "",
        f"{len(trials)} trials of {settings.trial.minutes:g} minutes: {summary['trials']} measured, {n_pruned} ended "
        f"early, {n_failed} failed. Objective: {settings.objective}.",
        "",
        "## Best",
        "",
    ]
    for row in summary["best"]:
        lines += [f"Trial {row['number']}: {_values(row)}.", "", f"    {row['command']}", ""]
    if summary["default"]:
        lines += ["## The default recipe in the same time", "", f"{_values(summary['default'])}.", ""]
    lines += ["## All trials in their order", "", "![](history.png)", ""]
    if settings.objective == BOTH:
        lines += ["![](pareto.png)", ""]
    for name, shares in summary["importances"].items():
        lines += [f"## What mattered for {UNITS[name]}", "", "| choice | share |", "|---|---|"]
        lines += [f"| {choice.replace('_', ' ')} | {share:.2f} |" for choice, share in shares.items()]
        lines += ["", f"![](importances_{name}.png)", ""]
    return "\n".join(lines)


def _values(row):
    """Return the figures of a trial in words."""
    words = [f"{row['nats']:.3f} nats per quarter"]
    words += [f"Inception score {row['inception']:.2f}"] if row["inception"] is not None else []
    words += [f"{row['n_tokens']:,} tokens read", f"{row['n_parameters']:,} parameters"]
    return ", ".join(words)
