"""Corruptions of human music."""

import numpy as np
import pytest
import tiny

from critic.data.corruptions import CORRUPTIONS


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_changes_the_order_and_not_the_kind_of_notes(name):
    notes = tiny.tune(4, n_notes=80)
    corrupted = CORRUPTIONS[name](notes, np.random.default_rng(1))
    assert corrupted != notes and 0.7 * len(notes) < len(corrupted) < 1.4 * len(notes)
    assert corrupted == CORRUPTIONS[name](notes, np.random.default_rng(1))
    if name != "pitches moved":
        assert set(corrupted.pitch.tolist()) <= set(notes.pitch.tolist())
    else:
        different_starts = (np.sort(corrupted.start) != np.sort(notes.start[: len(corrupted)])).mean()
        different_pitches = (corrupted.pitch[:60] != notes.pitch[:60]).mean()
        assert different_starts > 0.05 or 0.1 < different_pitches < 0.6
