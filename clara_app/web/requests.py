"""What a person asks for on the page, checked."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clara.errors import BadSetting
from clara.music.keys import parse_key, scale_pitch_classes
from clara.sampling.grammars.base import DEFAULT_CONSTRAINTS
from clara.sampling.settings import SamplingSettings
from clara.shipped_models import shipped_models_folder

ROOT = shipped_models_folder()
MODELS = {
    "notewise": "Piano",
    "notewise-large": "Piano, surer and slower",
    "chordwise": "Piano, in chords",
    "chamber": "Violin and piano",
}
FREEDOM = (0, 50, 100)  # of the slider; the middle is what generate.py samples with
TEMPERATURE, TOP_P = (0.7, 0.975, 1.25), (0.9, 0.98, 1.0)
QUARTERS, CANDIDATES = (8, 256), (1, 256)
LONGEST_PROMPT = 512  # quarters
QPM = (20, 300)


def models(more=()):
    """The models that there are, {name: (title, folder)}: those that come with Clara and some folders of one's own."""
    found = {name: (title, ROOT / name) for name, title in MODELS.items() if (ROOT / name).is_dir()}
    return found | {Path(folder).name: (Path(folder).name, Path(folder)) for folder in more}


def freedom_settings(freedom, advanced=None):
    """Settings for a place on the slider, 0 to 100; what stands in `advanced` by name has its own value."""
    found = {
        "temperature": float(np.interp(freedom, FREEDOM, TEMPERATURE)),
        "top_p": float(np.interp(freedom, FREEDOM, TOP_P)),
    }
    return SamplingSettings(**found | {k: float(v) for k, v in (advanced or {}).items() if v is not None})


@dataclass(frozen=True)
class Wish:
    """One press of the button.

    Attributes
    ----------
    model : name
    quarters : length of what is composed, quarter notes
    candidates : how many are composed to choose from
    settings : clara.sampling.settings.Settings
    key : (tonic, is_major) to keep to, or None
    composer : whom it is to be like, or None
    prompt : id of a prompt or a piece on the shelf, or None
    prompt_quarters : from the prompt's beginning, or None for all
    seed : of the first candidate
    search, cadence : as in `Generator`
    qpm : tempo, or None for the prompt's or the usual one
    """

    model: str
    quarters: float = 32.0
    candidates: int = 32
    settings: SamplingSettings = field(default_factory=lambda: freedom_settings(50))
    key: tuple | None = None
    composer: str | None = None
    prompt: str | None = None
    prompt_quarters: float | None = None
    seed: int = 0
    search: bool = False
    cadence: bool = False
    qpm: float | None = None

    @classmethod
    def of(cls, told, known):
        """A wish from what the page sends.

        Parameters
        ----------
        told : dict
        known : names of models

        Raises
        ------
        BadSetting
            Naming what cannot be.
        """
        if not isinstance(told, dict):
            raise BadSetting("a wish is an object of settings")
        if told.get("model") not in known:
            raise BadSetting(f"no model {told.get('model')!r}; there are {', '.join(known)}")
        advanced = told.get("advanced", {})
        if not isinstance(advanced, dict) or set(advanced) - {
            "temperature",
            "top_p",
            "min_p",
            "repetition_penalty",
            "repeat_strength",
        }:
            raise BadSetting("advanced: temperature, top_p, min_p, repetition_penalty and repeat_strength are what can be set")
        advanced = {k: _number(advanced, k, None, 0, 10) for k in advanced}
        return cls(
            told["model"],
            _number(told, "quarters", 32.0, *QUARTERS),
            int(_number(told, "candidates", 32, *CANDIDATES)),
            freedom_settings(_number(told, "freedom", 50, 0, 100), advanced),
            parse_key(_text(told, "key")) if told.get("key") else None,
            _text(told, "composer"),
            _text(told, "prompt"),
            _number(told, "prompt_quarters", None, 1, LONGEST_PROMPT),
            int(_number(told, "seed", 0, 0, 2**31 - 1)),
            told.get("search") is True,
            told.get("cadence") is True,
            _number(told, "qpm", None, *QPM),
        )

    @property
    def constraints(self):
        """What the notes must keep to, clara.sampling.grammars.base.Constraints."""
        from dataclasses import replace

        return replace(DEFAULT_CONSTRAINTS, pitch_classes=scale_pitch_classes(*self.key)) if self.key else DEFAULT_CONSTRAINTS


def _number(told, name, default, low, high):
    """A number within limits, or the default where there is none."""
    value = told.get(name)
    if value is None or value == "":
        return default
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or not low <= value <= high
    ):
        raise BadSetting(f"{name} must be a number from {low} to {high}, not {value!r}")
    return value


def _text(told, name):
    """A short text, or None."""
    value = told.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > 100):
        raise BadSetting(f"{name} must be a short text")
    return value or None
