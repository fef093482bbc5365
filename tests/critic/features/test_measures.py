"""Measures of a piece by hand and compared with MusPy, and distances of sets of pieces."""

import numpy as np
import pytest

from clara.music.notes import build_notes
from critic.features.measures import MEASURES, Reference, is_degenerate, measure_pieces


def scale_up(n=8, gap=12, first=60):
    """Return a C major scale in quarters."""
    steps = np.array([0, 2, 4, 5, 7, 9, 11, 12])
    at = np.arange(n) * gap
    return build_notes(at, at + gap, first + steps[np.arange(n) % 8])[0]


def random_notes(seed, n=60):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 190, n)
    return build_notes(start, start + rng.integers(1, 30, n), rng.integers(40, 80, n))[0]


def test_a_scale_by_hand():
    values = {name: m(scale_up()) for name, m in MEASURES.items()}
    assert values["pitch_class_entropy"] == pytest.approx(2.75)  # two of eight are C
    assert values["scale_consistency"] == 1 and values["polyphony"] == 1 and values["note_density"] == 1
    assert values["lengths"][6] == 1 and values["gaps"][6] == 1 and values["pitches"][60] == 1 / 8
    assert values["groove_consistency"] == pytest.approx(
        1 - 4 / 96
    )  # two bars alike, and an empty third, as MusPy counts


@pytest.mark.parametrize("seed", range(8))
def test_measures_equal_those_of_muspy(seed):
    muspy = pytest.importorskip("muspy", reason="MusPy is of the bench extra")
    notes = random_notes(seed)
    music = muspy.Music(
        resolution=12,
        tracks=[
            muspy.Track(
                notes=[
                    muspy.Note(int(s), int(p), int(d), 64) for s, p, d in zip(notes.start, notes.pitch, notes.duration)
                ]
            )
        ],
    )
    expected = {
        "pitch_class_entropy": muspy.pitch_class_entropy(music),
        "scale_consistency": muspy.scale_consistency(music),
        "polyphony": muspy.polyphony(music),
        "empty_beat_rate": muspy.empty_beat_rate(music),
        "groove_consistency": muspy.groove_consistency(music, 48),
    }
    for name, value in expected.items():
        assert MEASURES[name](notes) == pytest.approx(value), name


def test_histograms_sum_to_one():
    values = measure_pieces([random_notes(i) for i in range(3)])
    for name in ("lengths", "pitches", "gaps"):
        assert np.allclose(values[name].sum(1), 1)
    assert values["polyphony"].shape == (3, 1)


def test_similar_sets_overlap_and_different_ones_do_not():
    rng = np.random.default_rng(0)
    one, same, other = (rng.normal(mean, 1, (200, 1)) for mean in (0, 0, 8))
    reference = Reference(one)
    near, far = (reference.compare(reference.counts(v)) for v in (same, other))
    assert near[0] > 0.93 and near[1] < 0.05 and far[0] < 0.4 and far[1] > 1
    parts = reference.counts(same[:50]) + reference.counts(same[50:])
    assert (parts == reference.counts(same)).all()


def test_degenerate_pieces():
    one_bar = np.tile([0, 12, 24, 36], 8) + np.repeat(np.arange(8) * 48, 4)
    again = build_notes(one_bar, one_bar + 12, np.tile([60, 64, 67, 72], 8))[0]
    assert is_degenerate(again) and is_degenerate(build_notes([0, 12], [12, 24], [60, 60])[0])
    assert not is_degenerate(random_notes(1)) and not is_degenerate(scale_up())
