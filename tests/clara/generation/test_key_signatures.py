"""Composed pieces are written in the key of the request, of the prompt, or of their plan."""

from dataclasses import replace

import numpy as np
import pytest
import tiny

from clara.generation.generator import Generator
from clara.music.key_signatures import signature_of_key
from clara.music.notes import build_notes


def scale_in_a_flat():
    """Return quarters of two major scales."""
    start = np.arange(16) * 12
    return build_notes(start, start + 12, 56 + np.tile([0, 2, 4, 5, 7, 9, 11, 12], 2))[0]


@pytest.mark.parametrize(
    "prompt_key, key, expected",
    [((), None, -4), (((0, -3),), None, -3), (((0, -3),), "E minor", 1), ((), "Db major", -5)],
)
def test_all_continuations_are_in_the_key_of_the_request_or_the_prompt(prompt_key, key, expected):
    generator = Generator(tiny.checkpoint(), precision="float32")
    prompt = replace(scale_in_a_flat(), key_signatures=prompt_key)
    pieces = generator.generate(3, 4, prompt, key=key)
    assert [piece.notes.key_signatures for piece in pieces] == [((0, expected),)] * 3


def test_a_planned_piece_is_in_the_key_of_its_plan():
    generator = Generator(tiny.plan_follower(), precision="float32")
    generator.planner = tiny.planner()
    for sample in generator.generate(3, bars=3, seed=2):
        expected = signature_of_key(sample.plan.home % 12, sample.plan.home < 12)
        assert sample.notes.key_signatures == ((0, expected),)
