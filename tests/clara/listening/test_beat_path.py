import numpy as np
import pytest

from clara.listening.bars import find_bars
from clara.listening.beat_path import find_beat_path
from clara.listening.clusters import HeardNotes, find_clusters

RNG = np.random.default_rng(0)
RHYTHM = np.cumsum([12, 6, 6, 12, 3, 3, 6, 4, 4, 4, 12, 24, 12] * 8) - 12


def readings(steps, n_steps=12):
    """Return log-probabilities of a network that is nearly sure of each step and knows no period."""
    place = np.full((len(steps), n_steps), -6.0)
    place[np.arange(len(steps)), steps % n_steps] = -0.1
    return place, np.zeros((len(steps), 24))


@pytest.mark.parametrize("jitter", [0.0, 0.015])
def test_steps_are_found_in_a_changing_tempo(jitter):
    tempo = 0.5 * np.exp(0.3 * np.sin(np.arange(200) / 8))
    beats = np.append(0, np.cumsum(tempo))
    seconds = np.interp(RHYTHM / 12, np.arange(201), beats) + RNG.normal(0, jitter, len(RHYTHM))
    path = find_beat_path(np.sort(seconds), *readings(RHYTHM))
    assert (np.diff(path.steps) == np.diff(RHYTHM)).mean() > 0.98
    assert (np.diff(path.knots) > 0).all() and (np.diff(path.knot_beats) > 0).all()


def test_a_long_rest_lasts_whole_beats():
    seconds = np.append(np.arange(8) * 0.5, np.arange(8) * 0.5 + 13.5)
    path = find_beat_path(seconds, *readings(np.zeros(16, dtype=int)))
    assert np.diff(path.steps).tolist() == [12] * 7 + [12 * 20] + [12] * 7


def test_notes_of_a_spread_chord_are_a_cluster_and_fast_notes_are_not():
    notes = HeardNotes.from_columns([0, 0.02, 0.04, 0.5, 0.56, 0.62], [1] * 6, [60, 64, 67, 60, 62, 64], [64] * 6)
    assert find_clusters(notes).cluster_of_note.tolist() == [0, 0, 0, 1, 2, 3]


def test_bars_begin_where_the_network_hears_downbeats():
    is_downbeat = np.arange(30) % 3 == 1
    downbeat, no_downbeat = np.where(is_downbeat, -0.3, -2.0), np.where(is_downbeat, -1.5, -0.2)
    place, length, _ = find_bars(downbeat, no_downbeat, np.zeros((30, 5)), (2, 3, 4))
    assert ((place == 0) == is_downbeat).all() and set(length.tolist()) == {3}
