"""The performance benchmark: methods see the same features, and figures are of the right pieces."""

import sys

import pytest
import tiny
from examples import REPOSITORY
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import performance

from clara.performing.passages import PerformedPiece
from clara.performing.reading import PerformedPieces


@pytest.fixture(scope="module")
def pieces():
    def play(seed):
        notes = tiny.tune(seed, n_notes=120)
        return PerformedPiece.from_expression(f"{seed}.mid", notes, tiny.expression(notes, seed))

    return PerformedPieces([play(seed) for seed in range(4)], [play(5)], [play(6), play(7)])


def test_a_regression_is_better_than_a_flat_score(pieces):
    flat = performance.method_rows("flat", performance.play_flat(performance.mean_levels(pieces.train)), pieces)
    regression = performance.Regression(pieces.train, Ridge(1.0), Ridge(1.0), GaussianNB())
    linear = performance.method_rows("linear", regression, pieces)
    (flat_test,), (linear_test,) = (
        [row for row in rows if row["table"] == "methods" and row["split"] == "test"] for rows in (flat, linear)
    )
    assert flat_test["velocity_r"] == flat_test["tempo_r"] == flat_test["pedal_f1"] == 0
    assert linear_test["velocity_r"] > 0.8
    assert linear_test["nats_per_note"] < flat_test["nats_per_note"]
    assert [row["piece"] for row in linear if row["table"] == "pieces"] == ["5.mid", "6.mid", "7.mid"]


def test_renderings_and_habits_are_measured(pieces):
    performer = tiny.performer()
    row = performance.sampled_row(performer, "test", pieces.test, range(2))
    assert row["pieces"] == 2 and -1 <= row["velocity_r"] <= 1
    human, *others = performance.habit_rows(performer, pieces.test)
    assert human["melody"] > 0  # high notes are loud in the made-up performances
    assert len(others) == 2
