"""The smallest form of `benchmarks/fuzz.py`: everything is read or refused by name, in time and memory."""

import json
import random
import sys
import time
import tracemalloc

import pytest
from examples import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import fuzz
import fuzz_mutations
import fuzz_seeds

SMALL = {"midi": 300, "musicxml": 60, "kern": 60, "abc": 60, "models": 24, "requests": 60}


@pytest.mark.parametrize("kind, n", SMALL.items())
def test_nothing_crashes_hangs_or_fails_without_a_name(kind, n):
    reasons = []
    for seed in range(n):
        start = time.perf_counter()
        try:
            fuzz.attempt(fuzz.Item(kind, seed))
        except Exception as e:  # noqa: BLE001 - any error without a name of ours is a finding
            reasons.append(f"{kind} {seed}: {type(e).__name__} {str(e)[:100]}")
        if time.perf_counter() - start > fuzz.SECONDS:
            reasons.append(f"{kind} {seed}: more than {fuzz.SECONDS} seconds")
    assert not reasons


def test_items_are_read_in_processes_with_limits():
    row, failures = fuzz.fuzz("kern", 20, n_workers=1)
    assert row["read"] + row["refused"] == row["items"] == 20 and not failures


def harm(item):
    """Fail as items of each number must not."""
    if item.seed == 0:
        raise ZeroDivisionError
    if item.seed == 1:
        raise MemoryError
    return fuzz.READ


def test_failures_are_counted_by_kind(monkeypatch):
    monkeypatch.setattr(fuzz, "attempt", harm)
    row, failures = fuzz.fuzz("midi", 4, n_workers=1)
    assert (row["read"], row["refused"], row["unnamed"], row["out_of_memory"]) == (2, 0, 1, 1)
    assert {item.seed for item, _ in failures} == {0, 1}


def test_a_number_makes_the_same_item_again():
    for kind in ("midi", "musicxml", "abc"):
        first, again = (fuzz.make_music(kind, random.Random("7")) for _ in range(2))
        assert first == again != fuzz.make_music(kind, random.Random("8"))


def test_the_seeds_themselves_are_read(tmp_path):
    from clara.checkpoints.checkpoint import Checkpoint
    from clara.music.read import read_directly
    from critic.classifier import load_classifier

    for kind, texts in fuzz_seeds.TEXTS.items():
        for i, text in enumerate(texts):
            path = tmp_path / f"{i}{fuzz.SUFFIXES[kind]}"
            path.write_text(text)
            assert len(read_directly(path)[0]) > 5
    for name, files in fuzz_seeds.model_folders().items():
        fuzz_seeds.write_folder(tmp_path / name, files)
        (Checkpoint.load if name.startswith("model") else load_classifier)(tmp_path / name)


def test_requests_are_not_only_refused():
    answers = {fuzz.attempt(fuzz.Item("requests", seed)) for seed in range(60)}
    assert fuzz.READ in answers and "400" in answers
    assert json.loads(json.dumps(fuzz_seeds.REQUEST)) == fuzz_seeds.REQUEST


@pytest.mark.parametrize("value", fuzz_mutations.VALUES[:12])
def test_a_hostile_value_anywhere_in_a_config_takes_little_memory(tmp_path, value):
    """Each entry of a config in turn; loading may succeed, as for a figure."""
    from clara.checkpoints.checkpoint import Checkpoint
    from clara.errors import CheckpointMismatch

    files = fuzz_seeds.model_folders()["model awd_lstm"]
    config = json.loads(files["config.json"])
    fuzz_seeds.write_folder(tmp_path, files)
    tracemalloc.start()
    for name in ("sizes", "encoding"):
        for key in config[name]:
            changed = config | {name: config[name] | {key: value}}
            (tmp_path / "config.json").write_text(json.dumps(changed))
            try:
                Checkpoint.load(tmp_path)
            except CheckpointMismatch as e:
                assert "config.json" in str(e)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
