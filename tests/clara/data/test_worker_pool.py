"""Workers survive whatever a piece does to them; the driver holds little."""

import os
import signal
import time
from collections import Counter
from functools import partial

import numpy as np
import pytest

from clara.data import worker_pool
from clara.data.workers import WorkerSettings, process_pieces

pytestmark = pytest.mark.slow


def double(piece):
    return 2 * piece


def twist(piece, folder=None):
    """Double a number, unless its name asks for harm."""
    if isinstance(piece, int):
        return 2 * piece
    if piece == "die once" and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return HARM.get(piece, str)()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def leave():
    raise SystemExit(3)


def hang():
    time.sleep(600)


def eat():
    return len(np.ones(3 << 27))  # 3 GiB, each page touched


def nibble():
    held = []
    while True:
        held.append(bytearray(1 << 16))


def surprise():
    raise KeyError("what a library did not foresee")


def unspeakable():
    return lambda: None


HARM = {f.__name__: f for f in (die, leave, hang, eat, nibble, surprise, unspeakable)}


def outcomes(pieces, task=double, **settings):
    """{piece: (result, reason)}."""
    results = list(process_pieces(pieces, task, WorkerSettings(**{"timeout_seconds": 20, **settings})))
    assert len({p for p, _, _ in results}) == len(results)
    return {piece: (result, reason) for piece, result, reason in results}


@pytest.mark.parametrize("n", [0, 1, 5, 100])
@pytest.mark.parametrize("n_workers", [1, 3])
def test_every_piece_comes_back_once(n, n_workers):
    assert outcomes(range(n), workers=n_workers) == {i: (2 * i, "") for i in range(n)}


@pytest.mark.parametrize(
    "harm, reason",
    [
        ("die", "WorkerDied: SIGKILL"),
        ("leave", "WorkerDied: status 3"),
        ("hang", "Timeout"),
        ("eat", "OutOfMemory"),
        ("nibble", "OutOfMemory"),
        ("surprise", "Unforeseen: KeyError: 'what a library did"),
        ("unspeakable", "Unforeseen: "),
    ],
)
def test_harm_costs_its_piece_alone(harm, reason):
    limit = 1 if harm == "hang" else 60  # a busy machine takes seconds to eat 200 MB
    results = outcomes([0, 1, harm, 2, 3, 4, 5, 6], twist, timeout_seconds=limit, memory_mb=200)
    result, why = results.pop(harm)
    assert result is None and why.startswith(reason)
    assert results == {i: (2 * i, "") for i in range(7)}


def test_nothing_but_harm_comes_to_an_end():
    results = outcomes([*HARM], twist, workers=2, timeout_seconds=1, memory_mb=200)
    assert set(results) == set(HARM) and all(reason for _, reason in results.values())


def test_a_death_that_was_not_the_pieces_own_loses_nothing(tmp_path):
    results = outcomes([0, "die once", 1], partial(twist, folder=tmp_path))
    assert results == {0: (0, ""), 1: (2, ""), "die once": ("", "")}


def slow(piece):
    time.sleep(0.02)
    return os.getpid()


def test_any_worker_may_be_killed_at_any_time():
    done = {}
    for piece, pid, reason in process_pieces(range(60), slow, WorkerSettings(2, 20)):
        assert reason == ""
        done[piece] = pid
        if len(done) in (5, 20):
            os.kill(pid, signal.SIGKILL)
    assert set(done) == set(range(60))


def test_the_time_is_each_pieces_own():
    results = outcomes(range(150), slow, timeout_seconds=2)  # together 3 s in one process
    assert all(reason == "" for _, reason in results.values())


def test_a_slow_caller_is_no_timeout():
    for _, _, reason in process_pieces(range(3), double, WorkerSettings(timeout_seconds=1)):
        assert reason == ""
        time.sleep(1.1)


def test_pieces_are_taken_as_they_are_needed():
    taken = []
    through = process_pieces((taken.append(i) or i for i in range(10_000)), double, WorkerSettings(2, 20))
    for n in range(50):
        next(through)
        assert len(taken) <= n + 1 + 3 * worker_pool.PIECES_AHEAD
    through.close()


def test_the_caller_may_leave():
    through = process_pieces(range(1000), slow, WorkerSettings(2, 20))
    pids = {next(through)[1] for _ in range(4)}
    through.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_processes_retire(monkeypatch):
    monkeypatch.setattr(worker_pool, "MAX_TASKS", 5)
    pids = Counter(pid for pid, _ in outcomes(range(20), slow, workers=2).values())
    assert len(pids) >= 4 and max(pids.values()) <= 5


def test_processes_that_are_spawned_and_stay_for_more():
    hands = worker_pool.WorkerPool(slow, 1, 20, 500, start_method="spawn")
    pids = {pid for _ in range(2) for _, pid, _ in hands.run(range(3))}
    hands.stop()
    assert len(pids) == 1 and not hands.workers
