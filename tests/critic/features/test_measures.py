"""Measures of a piece by hand and compared with MusPy."""

import numpy as np
import pytest

from clara.music.notes import build_notes
from critic.features.measures import empty_beat_rate, note_density


def test_a_scale_by_hand():
    at = np.arange(8) * 12
    scale = build_notes(at, at + 12, 60 + np.array([0, 2, 4, 5, 7, 9, 11, 12]))[0]
    assert note_density(scale) == 1 and note_density(build_notes(at, at + 6, np.full(8, 60))[0]) == 8 / 7.5
    gap = build_notes([0, 36], [11, 48], [60, 62])[0]
    assert empty_beat_rate(gap) == 2 / 5  # the second and the third quarter; the fifth has the end, as MusPy counts


@pytest.mark.parametrize("seed", range(8))
def test_empty_beats_are_those_of_muspy(seed):
    muspy = pytest.importorskip("muspy", reason="MusPy is of the bench extra")
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 190, 12)
    notes = build_notes(start, start + rng.integers(1, 30, 12), rng.integers(40, 80, 12))[0]
    rows = zip(notes.start.tolist(), notes.pitch.tolist(), notes.duration.tolist())
    track = muspy.Track(notes=[muspy.Note(start, pitch, duration, 64) for start, pitch, duration in rows])
    assert empty_beat_rate(notes) == pytest.approx(muspy.empty_beat_rate(muspy.Music(resolution=12, tracks=[track])))
