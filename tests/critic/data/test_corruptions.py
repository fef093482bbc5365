"""Corruptions of human music."""

import numpy as np
import pytest
import tiny

from clara.errors import BadSetting
from clara.music.notes import build_notes, crop
from critic.data.corruptions import BAR, CORRUPTIONS, MORE_CORRUPTIONS
from critic.data.mixtures import MIXTURES, corrupt, corruption_names

NOTES, OTHER = tiny.tune(4, n_notes=80), tiny.tune(5, n_notes=80)
NEW_PITCHES = {
    "pitches moved",
    "few pitches moved",
    "end transposed",
    "bars transposed",
    "upper voice transposed",
}


def corrupted(name, seed=1):
    return corrupt(name, NOTES, OTHER, np.random.default_rng(seed))


def columns(notes):
    return set(zip(notes.start.tolist(), notes.pitch.tolist()))


@pytest.mark.parametrize("name", CORRUPTIONS | MORE_CORRUPTIONS)
def test_a_corruption_changes_the_order_and_not_the_kind_of_notes(name):
    notes = corrupted(name)
    assert notes != NOTES and 0.7 * len(NOTES) < len(notes) < 1.4 * len(NOTES)
    assert notes == corrupted(name) and notes != corrupted(name, seed=2) or name == "reversed"
    assert notes.pitch.min() >= 21 and notes.pitch.max() <= 108
    if name not in NEW_PITCHES:
        assert set(notes.pitch.tolist()) <= set(NOTES.pitch.tolist())


def test_moved_pitches_and_onsets():
    different_pitches = (corrupted("pitches moved").pitch[:60] != NOTES.pitch[:60]).mean()
    assert 0.1 < different_pitches < 0.6
    few = (corrupted("few pitches moved").pitch[:60] != NOTES.pitch[:60]).mean()
    assert 0 < few < different_pitches
    delayed = corrupted("onsets delayed")
    assert (np.sort(delayed.start) != np.sort(NOTES.start[: len(delayed)])).mean() > 0.05


def test_the_beginning_stays_where_only_the_end_changes():
    bar = BAR * NOTES.steps_per_quarter
    for name in ("end transposed", "end of another piece", "bars left out"):
        notes = corrupted(name, seed=3)
        kept = [crop(notes, 0, i * bar) == crop(NOTES, 0, i * bar) for i in range(1, 12)]
        assert not kept[-1] and kept == sorted(kept, reverse=True)


def test_parts_left_out_close_the_gap():
    for name, shortest in (("bars left out", BAR), ("beats left out", 1)):
        lost = (NOTES.n_steps - corrupted(name).n_steps) / NOTES.steps_per_quarter
        assert shortest <= lost <= 3 * shortest and lost == int(lost)


def test_a_voice_moves_against_the_other():
    upper = NOTES.pitch > np.median(NOTES.pitch)
    lower = set(zip(NOTES.start[~upper].tolist(), NOTES.pitch[~upper].tolist()))
    assert lower <= columns(corrupted("upper voice delayed"))
    assert len(lower - columns(corrupted("upper voice transposed"))) <= 2  # but for notes that met others


def test_a_reversed_scale_falls():
    scale = build_notes(np.arange(3) * 12, np.array([12, 18, 48]), np.array([60, 62, 64]))[0]
    notes = corrupt("reversed", scale, OTHER, np.random.default_rng(0))
    assert notes.pitch.tolist() == [64, 62, 60] and notes.start.tolist() == [0, 30, 36]


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_takes_from_both(name):
    notes = corrupted(name)
    assert notes not in (NOTES, OTHER) and len(notes) and notes == corrupted(name)
    if name == "rhythm of another piece":
        assert set(notes.start.tolist()) <= set(OTHER.start.tolist())
        assert set(notes.pitch.tolist()) <= set(NOTES.pitch.tolist())
    else:
        starts = columns(NOTES), columns(OTHER)
        assert all(columns(notes) & of_piece for of_piece in starts)
    assert not len(corrupt(name, NOTES, crop(OTHER, 0, 0), np.random.default_rng(0)))


def test_names_and_sets():
    assert corruption_names(["basic"]) == list(CORRUPTIONS)
    assert corruption_names(["mixtures"]) == list(MIXTURES)
    assert corruption_names(["reversed", "basic", "reversed"]) == ["reversed", *CORRUPTIONS]
    assert len(corruption_names(["all"])) == len(CORRUPTIONS) + len(MORE_CORRUPTIONS) + len(MIXTURES)
    with pytest.raises(BadSetting, match="no corruption 'noise'; there are basic, more, mixtures, all, bars shuffled"):
        corruption_names(["noise"])


@pytest.mark.parametrize("name", corruption_names(["all"]))
def test_short_excerpts_and_single_notes(name):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        for notes in (tiny.tune(seed, n_notes=1), tiny.tune(seed, n_notes=7)):
            assert corrupt(name, notes, OTHER, rng).n_steps >= 0
