"""Check a request of the page and turn it into a `ComposeRequest`."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clara.errors import BadSetting
from clara.sampling.settings import SamplingSettings
from clara.shipped_models import find_model, shipped_model_names
from clara_app.compose_request import ComposeRequest, MusicalConstraints
from clara_app.web.piece_store import Piece
from critic.defaults import default_ranking

MODEL_TITLES = {
    "notewise": "Piano",
    "notewise-large": "Piano, larger model: better and slower",
    "chordwise": "Piano, in chords",
    "chamber": "Violin and piano",
}
# The slider sets temperature and top-p together; in the middle they are those of the command line.
RANDOMNESS = (0, 50, 100)
TEMPERATURE = (0.7, 0.975, 1.25)
TOP_P = (0.9, 0.98, 1.0)
ADVANCED_SETTINGS = ("temperature", "top_p", "min_p", "repetition_penalty", "repeat_strength")

QUARTERS_RANGE = (8, 256)
N_CANDIDATES_RANGE = (1, 256)
QPM_RANGE = (20, 300)
MAX_SEED = 2**31 - 1
MAX_PROMPT_QUARTERS = 512
MAX_TEXT = 100  # characters


@dataclass(frozen=True)
class PageRequest:
    """A request of the page.

    Attributes
    ----------
    compose : ComposeRequest
        Its `model` is a name that the page offers.
    title : str
        Title of the composed pieces.
    """

    compose: ComposeRequest
    title: str


def offered_models(folders: Sequence[str | Path] = ()) -> dict[str, tuple[str, Path]]:
    """Return the models that the page offers: the shipped ones and these run folders.

    Returns
    -------
    dict
        Title and folder of each model by name.
    """
    shipped = {name: (title, find_model(name)) for name, title in MODEL_TITLES.items() if name in shipped_model_names()}
    return shipped | {Path(folder).name: (Path(folder).name, Path(folder)) for folder in folders}


def sampling_settings(randomness: float, advanced: dict | None = None) -> SamplingSettings:
    """Return the sampling settings of a place on the slider.

    Parameters
    ----------
    randomness : float
        From 0, the most predictable, to 100.
    advanced : dict, optional
        Settings by name that override the slider.
    """
    settings = SamplingSettings(
        temperature=float(np.interp(randomness, RANDOMNESS, TEMPERATURE)),
        top_p=float(np.interp(randomness, RANDOMNESS, TOP_P)),
    )
    overrides = {name: float(value) for name, value in (advanced or {}).items() if value is not None}
    return replace(settings, **overrides)


def parse_request(payload: object, models: Collection[str], find_piece: Callable[[str], Piece | None]) -> PageRequest:
    """Check what the page sent.

    Parameters
    ----------
    payload : object
        The decoded JSON.
    models : collection of str
        Names of the models that the page offers.
    find_piece : function
        Returns the piece with an id, or None.

    Raises
    ------
    BadSetting
        If a value is missing or out of its range, with its name.
    """
    if not isinstance(payload, dict):
        raise BadSetting("the request must be a JSON object of settings")
    if payload.get("model") not in models:
        raise BadSetting(f"model must be one of {', '.join(models)}, not {payload.get('model')!r}")
    prompt = _prompt(payload, find_piece)
    n = int(_number(payload, "candidates", 32, *N_CANDIDATES_RANGE))
    search = payload.get("search") is True
    request = ComposeRequest(
        model=payload["model"],
        n=n,
        top=ComposeRequest.top if search else n,
        quarters=_number(payload, "quarters", 32.0, *QUARTERS_RANGE),
        prompt=prompt.notes if prompt else None,
        prompt_quarters=_number(payload, "prompt_quarters", MAX_PROMPT_QUARTERS, 1, MAX_PROMPT_QUARTERS),
        qpm=_number(payload, "qpm", None, *QPM_RANGE),
        seed=int(_number(payload, "seed", 0, 0, MAX_SEED)),
        settings=sampling_settings(_number(payload, "randomness", 50, 0, 100), _advanced_settings(payload)),
        constraints=MusicalConstraints(key=_text(payload, "key"), cadence=payload.get("cadence") is True),
        rank_by=_ranking(payload, has_prompt=prompt is not None),
        search=search,
        candidates_per_beam=1,
    )
    _ = request.constraints.tonic_and_mode  # raises BadSetting for an unknown key
    return PageRequest(request, f"Clara, after {prompt.title}" if prompt else "Clara")


def _prompt(payload, find_piece):
    """Return the piece to continue, or None."""
    piece_id = _text(payload, "prompt")
    if piece_id is None:
        return None
    piece = find_piece(piece_id)
    if piece is None:
        raise BadSetting("the prompt is no longer here; choose it again")
    return piece


def _ranking(payload, has_prompt):
    """Return the ranking expression; it includes the composer that the pieces should resemble."""
    composer = _text(payload, "composer")
    return default_ranking(has_prompt) + (f" + composer:{composer}" if composer else "")


def _advanced_settings(payload):
    advanced = payload.get("advanced", {})
    if not isinstance(advanced, dict) or set(advanced) - set(ADVANCED_SETTINGS):
        raise BadSetting(f"advanced must be an object with some of {', '.join(ADVANCED_SETTINGS)}")
    return {name: _number(advanced, name, None, 0, 10) for name in advanced}


def _number(payload, name, default, low, high):
    """Return a number within limits, or the default if there is none."""
    value = payload.get(name)
    if value is None or value == "":
        return default
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and low <= value <= high):
        raise BadSetting(f"{name} must be a number from {low} to {high}, not {value!r}")
    return value


def _text(payload, name):
    """Return a short text, or None."""
    value = payload.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > MAX_TEXT):
        raise BadSetting(f"{name} must be a text of at most {MAX_TEXT} characters")
    return value or None
