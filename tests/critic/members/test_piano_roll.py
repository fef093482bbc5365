"""Excerpts as piano rolls, and training that continues."""

from dataclasses import replace

import numpy as np
import pytest
import tiny

from clara.errors import BadSetting
from critic.classifier import Critic
from critic.evaluation import evaluate
from critic.members.base import ClassifierSettings
from critic.members.piano_roll import PianoRollExcerpts, PianoRollMember
from critic.nets.piano_roll import collate_piano_rolls

pytestmark = pytest.mark.slow

SETTINGS = ClassifierSettings(tiny.checkpoint().encoding, tiny.checkpoint().vocab, ("generated", "human"), 4.0)


@pytest.fixture(scope="module")
def table():
    return tiny.excerpts({"train": 16, "valid": 8, "test": 8})


def test_packed_excerpts_are_the_same_rolls(table):
    excerpts = PianoRollExcerpts(table, SETTINGS)
    rows, semitones = np.array([4, 0, 7]), np.array([5, -6, 0])
    texts = [table["tokens"][i] for i in rows]
    encoding = SETTINGS.encoding
    pieces = [(encoding.decode(tokens)[0], sum(encoding.token_steps(tokens))) for tokens in texts]
    for shift in (semitones, None):
        (packed, n_packed), (rolls, n_steps) = excerpts.rolls(rows, shift), collate_piano_rolls(pieces, shift)
        assert n_packed == n_steps and np.array_equal(packed.numpy(), rolls.numpy()) and rolls.any()


def test_a_part_of_an_excerpt_is_its_roll_from_there_on(table):
    excerpts = PianoRollExcerpts(table, SETTINGS)
    rows, semitones = np.array([4, 0, 7, 4]), np.array([5, -6, 0, 5])
    parts = excerpts.random_parts(rows, np.random.default_rng(3))
    (whole, n_whole), (cut, n_cut) = excerpts.rolls(rows, semitones), excerpts.rolls(rows, semitones, parts)
    assert (parts % 12 == 0).all() and len(set(map(tuple, parts.tolist()))) > 1 and cut.any()
    for one, n, all_of_it, n_all, (first, length) in zip(cut, n_cut, whole, n_whole, parts):
        assert n == length >= 0.5 * (n_all // 12) * 12 - 12 and first + length <= n_all
        assert np.array_equal(one[:, :, :length], all_of_it[:, :, first : first + length])
        assert not one[:, :, length:].any()


def test_training_continues_from_a_member(table, tmp_path):
    lines = []
    training = replace(PianoRollMember.TRAINING, epochs=12, bs=8)
    PianoRollMember.train(table, SETTINGS, training, log=lines.append).save(tmp_path)
    start = Critic.load(tmp_path).model
    training = replace(training, epochs=1, lr=1e-4)
    lines.clear()
    again = PianoRollMember.train(table, SETTINGS, training, start=start, log=lines.append)
    assert evaluate(Critic(again), table)["auc"] > 0.9
    assert float(lines[0].split()[5]) < 0.5  # the loss on the valid excerpts
    with pytest.raises(BadSetting, match="windows"):
        PianoRollMember.train(table, replace(SETTINGS, window_quarters=2.0), training, start=start)
