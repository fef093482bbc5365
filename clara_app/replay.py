"""Write and read run.json, which holds enough to compose the same pieces again."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from clara.checkpoints.checkpoint import follows_plans, repeats_hash, versions, weights_hash
from clara.checkpoints.shipped_models import find_model, shipped_model_names
from clara.errors import BadSetting, CheckpointMismatch, OutsideFolder
from clara.files import check_name
from clara.form.planner import SHIPPED_PLANNER
from clara.music.read import MUSIC21_PREFIX
from clara.performing.playing import performer_hash
from clara.records import Name, Record, read_record
from clara_app.compose_request import ComposeRequest
from clara_app.defaults import INSTALLED_MUSIC

SEARCH_VERSION = 7  # raised whenever the same seed finds other pieces
# entries that name files
PATHS = ("model", "adapter", "prompt", "form_of", "plan", "fixed_melody", "critic", "soundfont", "mix_human")

Count = Annotated[int, Field(ge=1, le=2**20)]
Quarters = Annotated[float, Field(gt=0, le=1e6)]


@dataclass(frozen=True)
class PlaybackSettings:
    """What the page and its sound are made of, which a replay repeats too.

    Attributes
    ----------
    soundfont : str, optional
        Soundfont file (default: the one that pretty_midi installs).
    mix_human : str, optional
        Folder of human music for a blind test.
    """

    soundfont: str | None = None
    mix_human: str | None = None


def run_record(request: ComposeRequest, playback: PlaybackSettings) -> dict:
    """Return the content of run.json."""
    folder = find_model(request.model)
    return {
        **request.to_dict(),
        "soundfont": playback.soundfont,
        "mix_human": playback.mix_human,
        "weights": weights_hash(folder),
        "repeats": repeats_hash(folder),
        "planner": _planner_hash(folder),
        "performer": _performer_hash(request),
        "search_version": SEARCH_VERSION,
        "versions": versions(),
        "command": " ".join(sys.argv),
    }


class RunRecord(Record):
    """The content of run.json; the fields are those of `ComposeRequest`, its constraints and `PlaybackSettings`."""

    model_config = ConfigDict(extra="allow")  # fields without bounds, and for people

    model: Name
    adapter: str | None
    prompt: str | None
    form: str | None
    form_of: str | None
    plan: str | None
    ending: bool
    fixed_melody: str | None
    critic: str | None
    soundfont: str | None
    mix_human: str | None
    n: Count
    top: Count
    candidates_per_beam: Count
    fill_candidates: Count
    max_notes: Count | None
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    quarters: Quarters
    bars: Quarters | None = None
    time_signature: Name | None = None
    prompt_quarters: Quarters | None
    performed: str = "no"  # of earlier runs
    qpm: Annotated[float, Field(gt=0, le=10_000)] | None
    max_temperature: Annotated[float, Field(gt=0, le=1000)] | None
    fill: tuple[float, float] | None
    settings: dict[str, int | float]
    key: str | None
    ranges: list[str]
    fixed_melody_part: str | None
    precision: str
    rank_by: str | None
    search: bool
    cadence: bool
    flat: bool
    spread_chords: bool = False
    weights: str
    repeats: str | None
    planner: str | None
    performer: str | None = None
    search_version: int


def read_run(path: str | Path, replacements: Mapping[str, str | None]) -> tuple[ComposeRequest, PlaybackSettings]:
    """Read run.json and check that this version of Clara can compose the same pieces.

    Parameters
    ----------
    path : path
    replacements : mapping of str to str or None
        Paths by the names in `PATHS` that are used in place of those in the file.

    Raises
    ------
    BadSetting
        If the file is not a run.json, or its search was another.
    OutsideFolder
        If the file names a path outside the working folder.
    CheckpointMismatch
        If the model has other weights or another repeat model now, or the planner or the performer is another one.
    MissingModel
        If the model is gone.
    """
    run = read_record(path, RunRecord, BadSetting)
    values = run.model_dump() | {name: value for name, value in replacements.items() if value is not None}
    for name in PATHS:
        if replacements.get(name) is None:
            _check_path(path, name, values[name])
    try:
        request = ComposeRequest.from_dict(values)
    except (ValueError, KeyError, TypeError, BadSetting) as e:
        raise BadSetting(f"--replay {path}: not the run.json of an earlier run ({e})") from e
    if request.search and run.search_version != SEARCH_VERSION:
        raise BadSetting(
            f"--replay {path}: made by search version {run.search_version}; this Clara has version {SEARCH_VERSION} "
            "and cannot compose the same pieces"
        )
    folder = find_model(request.model)
    if weights_hash(folder) != run.weights:
        raise CheckpointMismatch(f"--replay {path}: made with weights {run.weights}, but {folder} holds others now")
    if request.settings.repeat_strength and repeats_hash(folder) != run.repeats:
        raise CheckpointMismatch(f"--replay {path}: made with another repeat model than {folder} holds now")
    if _planner_hash(folder) != run.planner:
        raise CheckpointMismatch(f"--replay {path}: made with another planner than this Clara has now")
    if _performer_hash(request) != run.performer:
        raise CheckpointMismatch(
            f"--replay {path}: made with another performer than this Clara has now; set flat to true and performer to "
            "null in that file to compose the same notes unperformed"
        )
    return request, PlaybackSettings(values["soundfont"], values["mix_human"])


def _planner_hash(folder):
    """Return the hash of the weights of the shipped planner, or None for a model that follows no plans."""
    return weights_hash(SHIPPED_PLANNER) if follows_plans(folder) else None


def _performer_hash(request):
    """Return a hash of the performer, or None if the pieces are not performed."""
    return None if request.flat else performer_hash()


def _check_path(run_json, name, value):
    """Raise OutsideFolder if a path leads out of the working folder: a run.json may come from a stranger."""
    if value is None or value in (*shipped_model_names(), INSTALLED_MUSIC):
        return
    if value.startswith(MUSIC21_PREFIX):
        check_name(value.removeprefix(MUSIC21_PREFIX), run_json)
        return
    inside = "\0" not in value and Path(os.path.realpath(value)).is_relative_to(os.path.realpath(Path.cwd()))
    if not inside:
        flag = f"--{name.replace('_', '-')}"
        raise OutsideFolder(
            f"--replay {run_json}: it names {value[:200]!r}, which is outside the working folder; "
            f"if you trust that, name it with {flag}"
        )
