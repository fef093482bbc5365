"""Write and read run.json, which holds enough to compose the same pieces again."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from clara.checkpoint import repeats_hash, versions, weights_hash
from clara.errors import BadSetting, CheckpointMismatch
from clara.shipped_models import find_model
from clara_app.compose_request import ComposeRequest

SEARCH_VERSION = 6  # raised whenever the same seed finds other pieces


@dataclass(frozen=True)
class PlaybackSettings:
    """How the pieces sound, which a replay repeats too.

    Attributes
    ----------
    flat : bool
        Whether all notes are equally loud, without accents.
    soundfont : str, optional
        Soundfont file (default: the one that pretty_midi installs).
    mix_human : str, optional
        Folder of human music for a blind test.
    """

    flat: bool = False
    soundfont: str | None = None
    mix_human: str | None = None


def run_record(request: ComposeRequest, playback: PlaybackSettings) -> dict:
    """Return the content of run.json."""
    folder = find_model(request.model)
    return {
        **request.to_dict(),
        "flat": playback.flat,
        "soundfont": playback.soundfont,
        "mix_human": playback.mix_human,
        "weights": weights_hash(folder),
        "repeats": repeats_hash(folder),
        "search_version": SEARCH_VERSION,
        "versions": versions(),
        "command": " ".join(sys.argv),
    }


def read_run(path: str | Path) -> tuple[ComposeRequest, PlaybackSettings]:
    """Read run.json and check that this version of Clara can compose the same pieces.

    Raises
    ------
    BadSetting
        If the file is not a run.json, or its search was another.
    CheckpointMismatch
        If the model has other weights or another repeat model now.
    MissingModel
        If the model is gone.
    """
    try:
        run = json.loads(Path(path).read_text(encoding="utf-8"))
        request = ComposeRequest.from_dict(run)
        playback = PlaybackSettings(run["flat"], run["soundfont"], run["mix_human"])
        weights, repeats, search_version = run["weights"], run["repeats"], run["search_version"]
    except (OSError, ValueError, KeyError, TypeError, BadSetting) as e:
        raise BadSetting(f"--replay {path}: not the run.json of an earlier run ({e})") from e
    if request.search and search_version != SEARCH_VERSION:
        raise BadSetting(
            f"--replay {path}: made by search version {search_version}; this Clara has version {SEARCH_VERSION} "
            "and cannot compose the same pieces"
        )
    folder = find_model(request.model)
    if weights_hash(folder) != weights:
        raise CheckpointMismatch(f"--replay {path}: made with weights {weights}, but {folder} holds others now")
    if request.settings.repeat_strength and repeats_hash(folder) != repeats:
        raise CheckpointMismatch(f"--replay {path}: made with another repeat model than {folder} holds now")
    return request, playback
