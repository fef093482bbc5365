"""The study: trials of recipes in a database that survives a kill and that several workers share."""

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clara.errors import BadSetting, ClaraError
from clara_app.tuning.recipe import default_choices, suggest_recipe
from clara_app.tuning.trial import TrialSettings, run_trial

STUDY_NAME = "clara tune"
RECORD = "settings"  # the attribute of the study that holds its StudySettings
NATS, INCEPTION, BOTH = "nats", "inception", "both"
OBJECTIVES = (NATS, INCEPTION, BOTH)
HEARTBEAT_SECONDS, GRACE_SECONDS = 20, 60  # a worker that was silent for so long is dead, and its trial is tried again
N_STARTUP_TRIALS = 8  # drawn at random, and never ended early
SECONDS_FOR_LOCK = 60  # to wait for a database that another process has locked


@dataclass(frozen=True)
class StudySettings:
    """What a study is about; whoever joins it must agree.

    Attributes
    ----------
    corpora : tuple of str
        Fingerprints of the corpora among which recipes choose.
    objective : str
        "nats" (nats per quarter of the validation pieces, lower is better), "inception" (musical Inception score,
        higher is better) or "both" (the recipes that no other one beats in both).
    trial : TrialSettings
    """

    corpora: tuple[str, ...]
    objective: str
    trial: TrialSettings

    @property
    def directions(self) -> list[str]:
        """Return what Optuna does with each value."""
        return {NATS: ["minimize"], INCEPTION: ["maximize"], BOTH: ["minimize", "maximize"]}[self.objective]

    def to_text(self) -> str:
        """Return JSON; equal studies have equal texts."""
        return json.dumps(asdict(self), sort_keys=True)


def import_optuna() -> Any:
    """Return Optuna, which is optional.

    Raises
    ------
    BadSetting
        If it is not installed.
    """
    try:
        import optuna
    except ImportError as e:
        raise BadSetting("clara tune needs the package optuna: pip install optuna") from e
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextlib.contextmanager
def name_storage_errors(url: str) -> Iterator[None]:
    """Turn errors of the database into BadSetting."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    optuna = import_optuna()
    shown = _without_password(url)
    try:
        yield
    except (ArgumentError, NoSuchModuleError, ImportError) as e:
        raise BadSetting(f"{shown}: no database that can be used ({_first_line(e)})") from e
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as e:
        raise BadSetting(
            f"{shown}: the database cannot be used ({_first_line(e)}); if another program has locked it, wait or name "
            "another --storage; what was measured is kept"
        ) from e


def _without_password(url):
    """Return the URL of a database as messages show it."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "--storage"


def _first_line(error):
    """Return the first line of the innermost error."""
    return str(error.__cause__ or error).splitlines()[0][:160]


def open_study(url: str, settings: StudySettings, corpora: Sequence[str]) -> Any:
    """Open the study of a database, or begin one whose first trial is the default recipe.

    The sampler has no seed: workers that join, and runs that continue, must not draw the same recipes again.

    Parameters
    ----------
    url : str
        Of a database, as SQLAlchemy writes it, such as ``sqlite:///study.db``.
    settings : StudySettings
    corpora : sequence of str
        Folders of the corpora.

    Returns
    -------
    optuna.Study

    Raises
    ------
    BadSetting
        If the database cannot be used, or holds a study with other settings.
    """
    optuna = import_optuna()
    with name_storage_errors(url):
        storage = _open_storage(optuna, url)
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=STUDY_NAME,
                directions=settings.directions,
                sampler=optuna.samplers.TPESampler(n_startup_trials=N_STARTUP_TRIALS),
                pruner=optuna.pruners.MedianPruner(N_STARTUP_TRIALS),
                load_if_exists=True,
            )
        except ValueError as e:  # the same name with other directions
            raise BadSetting(_describe_other(url)) from e
        found = study.user_attrs.get(RECORD)
        if found is None:
            study.set_user_attr(RECORD, settings.to_text())
            is_fine_tuning = settings.trial.pretrained is not None
            study.enqueue_trial(default_choices(corpora, is_fine_tuning, settings.trial.composes))
        elif found != settings.to_text():
            raise BadSetting(_describe_other(url))
    return study


def _open_storage(optuna, url):
    """Return Optuna's storage; trials of a worker that died are tried again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": SECONDS_FOR_LOCK}} if url.startswith("sqlite") else None,
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=1),
        )


def _describe_other(url):
    """Return a message about a database with another study."""
    return (
        f"{_without_password(url)}: holds a study of other music, another objective or other settings; continue it "
        "with the same flags, or name another --storage or --out"
    )


def run_trials(url: str, settings: StudySettings, corpora: Sequence[str], n_trials: int) -> None:
    """Run trials until the study has `n_trials` that were measured or ended early, by whatever worker.

    Parameters
    ----------
    url, settings, corpora
        As for `open_study`.
    n_trials : int

    Raises
    ------
    BadSetting
        As `open_study`.
    """
    optuna = import_optuna()
    study = open_study(url, settings, corpora)
    counted = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL)
    with name_storage_errors(url):
        if len(study.get_trials(deepcopy=False, states=counted)) >= n_trials:
            return
        study.optimize(
            lambda trial: _objective(trial, settings, corpora),
            callbacks=[optuna.study.MaxTrialsCallback(n_trials, counted)],
            catch=(ClaraError, RuntimeError),
        )


def _objective(trial, settings, corpora):
    """Train by the recipe of a trial and return its values; a hopeless one ends early."""
    optuna = import_optuna()
    recipe = suggest_recipe(trial, corpora, settings.trial.pretrained is not None, settings.trial.composes)
    trial.set_user_attr("flags", recipe.flags(settings.trial.pretrained))

    def on_check(number, nats):
        if settings.objective == NATS:
            trial.report(nats, number)
            if trial.should_prune():
                raise optuna.TrialPruned

    try:
        result, _ = run_trial(recipe, settings.trial, on_check)
    except (ClaraError, RuntimeError) as e:
        trial.set_user_attr("error", f"{type(e).__name__}: {str(e).splitlines()[0][:200]}")
        raise
    for name, value in asdict(result).items():
        trial.set_user_attr(name, value)
    print(f"trial {trial.number}: {result.nats:.3f} nats per quarter, {result.n_tokens:,} tokens", file=sys.stderr)
    values = {NATS: [result.nats], INCEPTION: [result.inception], BOTH: [result.nats, result.inception]}
    return values[settings.objective]


def run_workers(url: str, settings: StudySettings, corpora: Sequence[str], n_trials: int, workers: int) -> None:
    """Run trials in several processes of this machine; parameters and errors as for `run_trials`."""
    import multiprocessing

    with name_storage_errors(url):
        open_study(url, settings, corpora)  # one process makes the tables
    if workers == 1:
        _work(url, settings, corpora, n_trials)
        return
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_work, args=(url, settings, corpora, n_trials)) for _ in range(workers)]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.terminate()


def _work(url, settings, corpora, n_trials):
    """Run trials on one thread, so that workers do not slow each other down."""
    import torch

    torch.set_num_threads(1)
    run_trials(url, settings, corpora, n_trials)


def database_of(folder: str | Path) -> str:
    """Return the URL of the database in a folder."""
    return f"sqlite:///{Path(folder) / 'study.db'}"
