"""What the benchmark of the planner counts, on plans whose answer is known."""

import sys

import numpy as np
import pytest
from examples import REPOSITORY, THEME, bars_to_notes, up

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import planner

from clara.form.extraction import extract_plan
from clara.form.plan import EXACT, NEW

PLAN = extract_plan(bars_to_notes(THEME, THEME, up(THEME, 2), THEME))


def rows_of(table):
    return [row for row in planner.form_rows("a set", [PLAN]) if row["table"] == table]


def test_classes_and_distances_are_shares_of_the_bars():
    (first, whole) = rows_of("classes")
    assert first["exact"] == whole["exact"] == pytest.approx(66.7) and whole["transposed"] == pytest.approx(33.3)
    (distances,) = rows_of("distances")
    assert distances["d1"] == distances["d2"] == 50.0 and distances["multiples_of_4"] == 0.0


def test_each_table_has_a_row():
    tables = {row["table"] for row in planner.form_rows("a set", [PLAN])}
    assert tables == {"classes", "distances", "phrases", "keys", "sound", "time_signatures"}


def test_a_trigram_gives_probabilities():
    trigram = planner.Trigram([PLAN] * 20)
    history = (None, None)
    seen = (NEW, -1, None)
    assert 0.7 < trigram.prob(history, seen) < 1
    assert trigram.prob(history, (EXACT, 0, 1)) < 0.1
    assert trigram.nats(PLAN) < 2


def test_runs_of_exact_bars_are_counted():
    longer = extract_plan(bars_to_notes(THEME, THEME, THEME, up(THEME, 1), THEME))
    assert planner._mean_exact_run([longer]) == pytest.approx(1.5)
    assert np.array_equal(longer.relation == EXACT, [False, True, True, False, True])
