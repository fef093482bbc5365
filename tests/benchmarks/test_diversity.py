"""The measures of how varied a set of pieces is."""

import sys

import numpy as np
import pytest
import tiny
from examples import REPOSITORY

from clara.music.notes import transpose
from critic.copy_index import NoteIndex

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import diversity


@pytest.fixture(scope="module")
def index():
    return NoteIndex.from_pieces([("in the corpus", tiny.tune(9))])


def test_copies_in_other_keys_are_the_same_music(index):
    piece = tiny.tune(1)
    figures = diversity.measure([piece, transpose(piece, 2)[0]], index)
    assert figures["distance"] == 0
    assert figures["distinct_runs"] <= 0.5


def test_different_pieces_are_more_varied_than_copies(index):
    copies = diversity.measure([tiny.tune(1)] * 3, index)
    different = diversity.measure([tiny.tune(seed) for seed in (1, 2, 3)], index)
    assert different["distance"] > copies["distance"]
    assert different["distinct_runs"] > copies["distinct_runs"]


def test_copied_notes_are_those_of_the_longest_run(index):
    known = tiny.tune(9)
    assert diversity.measure([known, known], index)["copied_notes"] == len(known)
    assert diversity.measure([tiny.tune(1), tiny.tune(2)], index)["copied_notes"] < len(known)


def test_a_short_piece_has_no_runs():
    assert len(diversity.runs_of(tiny.tune(1, n_notes=diversity.GRAM))) == 0
    assert np.unique(diversity.runs_of(tiny.tune(1))).size > 0
