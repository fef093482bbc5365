"""How long a critic takes."""

import pytest

from critic.build_time import RemainingTime, WorkLoad, estimate_stages

LOAD = WorkLoad(3600, 7200, 3200, 32, 3.2e6, {"piano_roll": 8, "descriptors": 15}, 1, 1)


def test_more_work_takes_longer_and_more_threads_help():
    seconds = estimate_stages(LOAD)
    assert list(seconds) == ["excerpts", "piano_roll", "descriptors", "ensemble"]
    assert seconds["piano_roll"] > seconds["descriptors"]
    larger = estimate_stages(WorkLoad(7200, 14400, 6400, 32, 6.4e6, LOAD.epochs, 2, 2))
    assert larger["excerpts"] > seconds["excerpts"] and larger["piano_roll"] < 2 * seconds["piano_roll"]


def test_what_is_left_follows_the_speed_so_far():
    remaining = RemainingTime({"excerpts": 100.0, "descriptors": 50.0, "ensemble": 10.0})
    assert remaining.seconds == 160
    remaining.end("excerpts", 200.0)  # a machine half as fast
    assert remaining.seconds == pytest.approx(120)
    remaining.end("descriptors")  # kept
    assert remaining.seconds == pytest.approx(20)
