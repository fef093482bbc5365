"""Structureness, endings and the rows of the table of forms, on small handwritten pieces."""

import sys

import numpy as np
import pytest
from examples import REPOSITORY, THEME, bars_to_notes, up

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import form
from endings import describe_ending, first_full_bar
from structureness import harmony_similarity, structureness, threshold

from clara.form.bars import split_into_bars
from clara.music.midi import write_midi


def split(notes):
    """Return the bars of a piece from its first note on."""
    return split_into_bars(notes).without_silent_beginning()


def test_phrases_are_counted_from_the_first_full_bar():
    assert first_full_bar(split(bars_to_notes([], [], THEME, THEME))) == 0
    assert first_full_bar(split(bars_to_notes([(36, 60)], THEME))) == 1


def test_harmony_is_the_same_in_another_key():
    notes = bars_to_notes(THEME, up(THEME, 5), [(0, 60), (0, 61), (0, 62)])
    similarity = harmony_similarity(notes, split(notes))
    assert similarity[0, 1] == pytest.approx(1) and similarity[0, 2] < 0.7


def random_bars(n, seed=0):
    """Return bars that resemble each other by chance only."""
    rng = np.random.default_rng(seed)
    return [[(int(onset), int(rng.integers(40, 90))) for onset in rng.choice(48, 6, False)] for _ in range(n)]


def indicators(bars):
    notes = bars_to_notes(*bars)
    return structureness(harmony_similarity(notes, split(notes)))


def test_returning_sections_have_more_structure_than_noise():
    section = random_bars(16)
    with_form = indicators(section + section)
    without = indicators(random_bars(32, 1))
    assert with_form["over 15"] == pytest.approx(0.5, abs=0.03)  # half of the rows, half of the cells
    assert without["over 15"] < 0.2
    assert set(indicators(random_bars(6))) == {"3 to 8"}


def test_fitness_of_a_piece_that_repeats_four_bars():
    similarity = np.tile(np.eye(4), (3, 3))
    # twelve rows in three paths of four cells; the first one is the segment itself
    score, cover = (12 - 4) / 12, (12 - 4) / 12
    assert structureness(similarity)["3 to 8"] == pytest.approx(2 * score * cover / (score + cover))


def test_threshold_keeps_the_diagonal():
    matrix = threshold(np.full((4, 4), 0.5) + np.eye(4) * 0.5)
    assert (matrix.diagonal() == 1).all() and matrix.min() >= -2


C_MAJOR = [(0, 60), (12, 64), (24, 65), (36, 67)]
DOMINANT = [(0, 55), (0, 59), (0, 62), (24, 65)]


@pytest.mark.parametrize(
    "last, tonic, cadence",
    [
        ([(0, 48), (0, 64), (0, 67)], True, True),
        ([(0, 48), (0, 64), (0, 69)], False, False),
        ([(0, 55), (0, 64), (0, 72)], False, False),
        ([(0, 55), (24, 48), (24, 64)], True, True),
    ],
)
def test_endings_by_hand(last, tonic, cadence):
    notes = bars_to_notes(*[C_MAJOR] * 8, DOMINANT, last, duration=12)
    ending = describe_ending(notes, split(notes))
    assert (ending["tonic"], ending["cadence"]) == (tonic, cadence)
    assert ending["same_key"] and ending["same_tonic"]


def test_an_ending_without_dominant_or_in_another_key():
    plain = [[(0, 60), (12, 64), (24, 67)]] * 10
    notes = bars_to_notes(*plain, duration=12)
    ending = describe_ending(notes, split(notes))
    assert ending["tonic"] and not ending["cadence"]
    notes = bars_to_notes(*plain, *(up(bar, 6) for bar in plain), duration=12)
    ending = describe_ending(notes, split(notes))
    assert ending["tonic"] and not ending["same_key"]


def test_rows_of_a_folder(tmp_path):
    bars = random_bars(8) * 2
    for i in range(3):
        write_midi(bars_to_notes(*(up(bar, i) for bar in bars)), tmp_path / f"{i}.mid")
    forms = [form.measure_form(notes) for notes in form.read_folder(tmp_path)]
    opening, whole = form.class_rows("x", forms)
    assert opening["bars"] == 45 and opening["exact"] == pytest.approx(100 * 8 / 15, abs=0.1) and whole["pieces"] == 3
    distances = form.distance_row("x", forms)
    assert distances["d8"] == 100 and distances["multiples_of_4"] == 100
    assert [row["scale"] for row in form.structure_rows("x", forms)] == ["3 to 8"]
    assert form.phrase_rows("x", forms)[0]["literal"] == 100
    assert form.ending_row("x", forms)["pieces"] == 3
