"""The settings that decide how freely tokens are sampled."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from math import inf
from numbers import Integral, Real
from typing import Any

from clara.errors import BadSetting

GOLDEN_RATIO_FRACTION = (5**0.5 - 1) / 2  # its multiples modulo 1 fill the unit interval evenly
# Between the seeds of the pieces of a batch, so that batches of other seeds share no piece. It is a Fibonacci number
# plus 1: its multiples by the golden ratio fill the unit interval as evenly as those of 1.
SEED_STRIDE = 832_041


@dataclass(frozen=True)
class SamplingSettings:
    """How freely to sample the next token.

    Attributes
    ----------
    temperature : float
        Divides the logits; above 0, from 0.7 (predictable) to 1.3 (wild) as a rule. 1 samples as the model predicts.
    top_k : int
        Sample among the `top_k` most likely tokens; 0 for all tokens.
    top_p : float
        Sample among the fewest tokens that together have this probability (nucleus sampling, Holtzman et al. 2020);
        above 0 and at most 1, 0.9 to 1 as a rule. 1 for all tokens.
    min_p : float
        Drop tokens whose probability is below this share of the most likely token's (Nguyen et al. 2024); 0 to 1, at
        most 0.1 as a rule. 0 for all tokens.
    random_freq : float
        Probability of sampling a token at all instead of taking the most likely one (Payne's Clara, 2018); 0 to 1.
        0 is greedy decoding.
    repetition_penalty : float
        Divides the odds of a token that starts notes if it occurred within the last `repetition_quarters` (after
        Keskar et al. 2019); at least 1, at most 1.5 as a rule. 1 for no penalty.
    repetition_quarters : float
        How far back the repetition penalty looks, in quarter notes; above 0.
    repeat_strength : float
        How strongly the repeat model of `clara.repeats` brings back what the piece has held already; at least 0. 1 as
        often as in human music, 0 without the repeat model.

    Raises
    ------
    BadSetting
        If a value is out of its range.

    Examples
    --------
    >>> SamplingSettings(temperature=0.9).top_p
    1.0
    >>> SamplingSettings.from_dict({"temprature": 0.9})
    Traceback (most recent call last):
    ...
    clara.errors.BadSetting: unknown sampling setting 'temprature'; did you mean 'temperature'?
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    random_freq: float = 1.0
    repetition_penalty: float = 1.0
    repetition_quarters: float = 4.0
    repeat_strength: float = 1.0

    def __post_init__(self):
        self._check("temperature", "above 0", lambda x: 0 < x < inf)
        self._check("top_k", "at least 0", lambda x: x >= 0)
        self._check("top_p", "above 0 and at most 1", lambda x: 0 < x <= 1)
        self._check("min_p", "from 0 to 1", lambda x: 0 <= x <= 1)
        self._check("random_freq", "from 0 to 1", lambda x: 0 <= x <= 1)
        self._check("repetition_penalty", "at least 1", lambda x: 1 <= x < inf)
        self._check("repetition_quarters", "above 0", lambda x: 0 < x < inf)
        self._check("repeat_strength", "at least 0", lambda x: 0 <= x < inf)
        if not isinstance(self.top_k, Integral):
            raise BadSetting(f"top_k must be a whole number, not {self.top_k}")

    def _check(self, name, expected, in_range):
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, Real):
            raise BadSetting(f"{name} must be a number, not {value!r}")
        if not in_range(value):
            raise BadSetting(f"{name} must be {expected}, not {value}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SamplingSettings":
        """Return settings with the given values by name and the defaults for all others.

        Raises
        ------
        BadSetting
            If a name is unknown, naming the closest known one, or if a value is out of its range.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                closest = get_close_matches(str(name), known, n=1)
                hint = f"did you mean {closest[0]!r}?" if closest else f"there are: {', '.join(known)}"
                raise BadSetting(f"unknown sampling setting {name!r}; {hint}")
        return cls(**values)

    def to_dict(self) -> dict[str, float]:
        """Return all values by name."""
        return asdict(self)


def piece_seeds(seed: int, n: int) -> list[int]:
    """Return the seeds of the n pieces of a batch; the first is the seed of the batch."""
    return [seed + SEED_STRIDE * i for i in range(n)]


def spread_temperatures(settings: SamplingSettings, highest: float, seeds: Sequence[int]) -> list[SamplingSettings]:
    """Return settings for each piece of a batch, with temperatures spread evenly over a range.

    A piece's temperature depends on its seed alone, so it is the same in every batch. The multiples of the golden
    ratio, modulo 1, fill a range evenly whatever the number of pieces.

    Parameters
    ----------
    settings : SamplingSettings
        The settings of all pieces, with the lowest temperature.
    highest : float
        The highest temperature.
    seeds : sequence of int
        The seed of each piece.

    Raises
    ------
    BadSetting
        If the highest temperature is below the lowest.
    """
    lowest = settings.temperature
    if not highest >= lowest:
        raise BadSetting(f"the highest temperature must be at least the lowest, {lowest:g}, not {highest:g}")
    width = highest - lowest
    return [replace(settings, temperature=lowest + width * (seed * GOLDEN_RATIO_FRACTION % 1)) for seed in seeds]
