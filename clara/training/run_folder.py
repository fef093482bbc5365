"""The files of a run folder besides weights: how the run was started, its figures, its plot and its card."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from clara.checkpoints.checkpoint import Checkpoint, versions, weights_hash
from clara.data.corpus import SPLITS, Corpus
from clara.data.onset_grid import SUGGESTED_MAX_GRID_ERROR, describe_performed
from clara.errors import BadSetting
from clara.files import make_folder, write_atomically
from clara.models.likelihood import nats_per_quarter
from clara.rendering.plots import plot_history
from clara.training.callbacks import HISTORY
from clara.training.model_cards import CARD, model_card
from clara.training.plan_costs import costs_by_knowledge
from clara.training.repeat_fit import fit_to
from clara.training.settings import STARTED, TrainSettings, read_started

LOSS_PLOT = "loss.png"


def start_run_folder(settings: TrainSettings, command: Sequence[Any]) -> None:
    """Make a new run folder that records how the run was started; when resuming, add the command to the record.

    Raises
    ------
    BadSetting
        If a run is in the folder and is not resumed, or its music is not the music that the run was started with.
    CannotWrite
        If the folder cannot be made.
    """
    folder, command_line = Path(settings.out), " ".join(map(str, command))
    path = folder / STARTED
    if settings.resume:
        started = read_started(folder).model_dump(exclude_unset=True)
        _check_same_music(started, settings, path)
        resumed = {"command": command_line, "after_epoch": _count_epochs(folder)}
        started["resumed"] = [*started.get("resumed", []), resumed]
    else:
        if path.exists():
            raise BadSetting(
                f"{folder}: holds a run already; continue it with --resume {folder}, or choose another --out"
            )
        make_folder(folder)
        started = _origin(command_line) | {"arguments": settings.to_dict()} | _describe_music(settings)
    write_atomically(path, json.dumps(started, indent=1) + "\n")


def _describe_music(settings):
    """Return the description of each corpus that the run reads, by the name of its setting."""
    folders = {"data": settings.data, "replay_data": settings.replay_data}
    return {name: describe_data(Corpus.load(folder)) for name, folder in folders.items() if folder}


def _check_same_music(started, settings, path):
    """Raise BadSetting if a corpus has changed since the run was started; say what differs."""
    for name, now in _describe_music(settings).items():
        before = started.get(name, {})
        if before.get("fingerprint") == now["fingerprint"]:
            continue
        differences = [f"{key} {before.get(key)}, now {now[key]}" for key in now if before.get(key) != now[key]]
        raise BadSetting(
            f"{getattr(settings, name)}: not the music that the run was started with ({'; '.join(differences)}; see "
            f"{path}); restore it, or start a new run"
        )


def _count_epochs(folder):
    """Return the number of finished epochs of a run."""
    history = folder / HISTORY
    return len(history.read_text(encoding="utf-8").splitlines()) - 1 if history.is_file() else 0


def _origin(command_line):
    """Return by what a model is made: command, commit and date."""
    return {"command": command_line, "commit": current_commit(), "date": time.strftime("%Y-%m-%d")}


def _earlier_origins(pretrained):
    """Return by what the weights of a model were made, oldest first; see `_origin`."""
    training = Checkpoint.load(pretrained).info.get("training", {})
    origin = {name: training.get(name) for name in ("command", "commit", "date")}
    return [*training.get("earlier", []), origin] if training else []


def training_record(settings: TrainSettings, corpus: Corpus) -> dict[str, Any]:
    """Return what a run was made from, for `config.json`."""
    started = read_started(settings.out).model_dump(exclude_unset=True)
    return started | {
        "arguments": settings.to_dict(),
        "data": describe_data(corpus),
        "started_from": weights_hash(settings.pretrained) if settings.pretrained else None,
        "earlier": _earlier_origins(settings.pretrained) if settings.pretrained else [],
        "machine": platform.processor() or platform.machine(),
    }


def describe_data(corpus: Corpus) -> dict[str, Any]:
    """Return name, fingerprint, description and size of the training pieces of a corpus."""
    rows = corpus.rows("train")
    return {
        "folder": corpus.folder.name,
        "fingerprint": corpus.fingerprint,
        "about": corpus.about,
        "pieces": len(rows),
        "tokens": int(rows["tokens"].sum()),
        "quarters": float(rows["quarters"].sum()),
    }


def warn_of_performed(corpus: Corpus) -> None:
    """Warn of pieces of a corpus that follow no beat grid, on the standard error stream."""
    performed = describe_performed(corpus.manifest["grid_misfit"].tolist())
    if performed:
        print(
            f"warning: {corpus.folder}: {performed}; prepare it without them (clara prepare SOURCE --max-grid-error "
            f"{SUGGESTED_MAX_GRID_ERROR} --out FOLDER), or align them to their beats first",
            file=sys.stderr,
        )


def current_commit() -> str | None:
    """Return the commit of this code, or None outside a repository."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # git is not installed
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def held_out_figures(checkpoint: Checkpoint, corpus: Corpus, device: torch.device) -> dict[str, float]:
    """Fit the repeat model to the validation pieces, and return the exact cost of the held-out pieces.

    Without validation pieces no repeat model is fitted, and the cost is that of the training pieces. A model that
    follows plans has no repeat model; its cost is measured when it knows the metre alone, and when it also knows which
    bars return to which, without the cost of that plan.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its `info` gets the repeat model.
    corpus : Corpus
    device : torch.device

    Returns
    -------
    dict of str to float
        Nats per quarter note of each split.
    """
    if checkpoint.context_reader():
        splits = [split for split in ("valid", "test") if corpus.has_split(split)] or ["train"]
        kinds = ["metre", "returns"]
        costs = {split: costs_by_knowledge(checkpoint, corpus, split, kinds, str(device)) for split in splits}
        figures = {f"{split}_nats_per_quarter": round(cost["metre"], 4) for split, cost in costs.items()}
        return figures | {
            f"{split}_nats_per_quarter_with_returns": round(cost["returns"], 4) for split, cost in costs.items()
        }
    if corpus.has_split("valid"):
        return fit_to(checkpoint, corpus, str(device))
    network = checkpoint.inference_model().to(device)
    return {"train_nats_per_quarter": round(nats_per_quarter(network, corpus, "train"), 4)}


def finish_run_folder(
    folder: str | Path, corpus: Corpus, history: list[dict], device: torch.device, interrupted: bool
) -> str:
    """Add figures, plot and card to a run folder that holds the best weights.

    Parameters
    ----------
    folder : str or Path
    corpus : Corpus
    history : list of dict
        A row for each epoch.
    device : torch.device
    interrupted : bool
        Whether Ctrl-C ended the run; then the figures are left out.

    Returns
    -------
    str
        The figures in one line.
    """
    folder = Path(folder)
    best = Checkpoint.load(folder)
    figures: dict[str, Any] = {"epochs": len(history), "minutes": history[-1]["minutes"] if history else 0.0}
    if history:
        plot_history(history, folder / LOSS_PLOT)
    if interrupted:
        figures["interrupted"] = True
    else:
        figures |= held_out_figures(best, corpus, device)
    best.info["figures"] = figures
    best.save(folder)
    write_atomically(folder / CARD, model_card(best))
    return _describe_costs(figures) or "interrupted, usable"


def _describe_costs(figures):
    """Return the cost of each split in words, with repeats or returns in brackets; empty without figures."""
    costs = []
    for split in SPLITS:
        if (name := f"{split}_nats_per_quarter") in figures:
            known = [word for word in ("repeats", "returns") if f"{name}_with_{word}" in figures]
            note = "".join(f" ({figures[f'{name}_with_{word}']:.3f} with {word})" for word in known)
            costs.append(f"{split} {figures[name]:.3f} nats/quarter{note}")
    return ", ".join(costs)


def write_exported_learner(learn: Any, folder: Path, fit_repeats: bool) -> None:
    """Write the run folder of a `MusicLearner`.

    Parameters
    ----------
    learn : MusicLearner
        Without music in its `dls` only what it was loaded from is written again.
    folder : Path
    fit_repeats : bool
        Also fit the repeat model and record exact costs.
    """
    checkpoint, corpus, history = learn.to_checkpoint(), learn.dls.corpus, learn.epoch_history.rows
    make_folder(folder)
    if corpus is not None:
        arguments = {"arch": learn.arch, "seed": learn.dls.train.seed, "bs": learn.dls.train.bs}
        checkpoint.info["training"] = _origin("music_learner") | {
            "arguments": arguments,
            "data": describe_data(corpus),
            "started_from": learn.started_from,
            "machine": platform.processor() or platform.machine(),
        }
        checkpoint.info["figures"] = {"epochs": len(history)}
        if fit_repeats:
            checkpoint.info["figures"] |= held_out_figures(checkpoint, corpus, torch.device("cpu"))
    checkpoint.info["versions"] = versions()
    checkpoint.save(folder)
    if history:
        write_atomically(folder / HISTORY, pd.DataFrame(history).to_csv(index=False))
        plot_history(history, folder / LOSS_PLOT)
    if "training" in checkpoint.info:
        write_atomically(folder / CARD, model_card(checkpoint))
