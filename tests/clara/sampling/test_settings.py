"""Sampling settings: their ranges, settings by name, and temperatures spread over a batch."""

from dataclasses import replace

import numpy as np
import pytest

from clara.errors import BadSetting
from clara.sampling.settings import SamplingSettings, piece_seeds, spread_temperatures


@pytest.mark.parametrize("seed", [0, 1, 100, 999_999, 2**31 - 1])
def test_temperatures_are_spread_evenly_and_belong_to_seeds(seed):
    base = SamplingSettings(0.8, top_p=0.9)
    seeds = piece_seeds(seed, 64)
    assert seeds[0] == seed and len(set(seeds)) == 64
    settings = spread_temperatures(base, 1.2, seeds)
    temperatures = np.array([s.temperature for s in settings])
    assert all(replace(s, temperature=0.8) == base for s in settings)
    assert np.histogram(temperatures, 8, (0.8, 1.2))[0].tolist() == pytest.approx([8] * 8, abs=1)
    assert spread_temperatures(base, 1.2, seeds[-1:]) == settings[-1:] and spread_temperatures(base, 0.8, [4, 5]) == [
        base,
        base,
    ]
    with pytest.raises(BadSetting, match="highest temperature"):
        spread_temperatures(base, 0.7, [1])


@pytest.mark.parametrize(
    "name, value",
    [
        ("temperature", 0.0),
        ("temperature", -1.0),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("top_p", float("nan")),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0.9),
        ("repetition_quarters", 0.0),
        ("random_freq", -0.1),
        ("random_freq", 1.1),
        ("random_freq", float("nan")),
        ("repeat_strength", -1.0),
    ],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(BadSetting, match=f"{name} must be .*, not {value}"):
        SamplingSettings(**{name: value})


@pytest.mark.parametrize(
    "values, message",
    [
        ({"temperature": "hot"}, "temperature must be a number, not 'hot'"),
        ({"temperature": True}, "temperature must be a number"),
        ({"top_k": 2.5}, "top_k must be a whole number"),
        ({"temprature": 0.9}, "unknown sampling setting 'temprature'; did you mean 'temperature'"),
        ({"topp": 0.9}, "did you mean 'top_p'"),
        ({"xyz": 1}, "unknown sampling setting 'xyz'; there are: temperature, top_k"),
        ({"top_p": 2}, "top_p must be above 0 and at most 1, not 2"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(values, message):
    with pytest.raises(BadSetting, match=message):
        SamplingSettings.from_dict(values)


def test_settings_from_a_dict_and_back():
    settings = SamplingSettings.from_dict({"temperature": 0.8, "top_k": 5})
    assert settings == SamplingSettings(temperature=0.8, top_k=5)
    assert SamplingSettings.from_dict(settings.to_dict()) == settings
