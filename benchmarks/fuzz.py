"""Mutate files and requests, read them within limits, and count what becomes of them.

python benchmarks/fuzz.py [--scale 1.0] [--workers 2]

Each item is made from its kind and its number alone, so that a failure can be repeated. It is read in a process with a
limit of 5 seconds and 500 MB. It must be read or be refused by a named error. A crash, a timeout, too much memory and
an error without a name of ours count as failures, and the script names them.
"""

import math
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import record
from fuzz_mutations import mutate_bytes, mutate_folder, mutate_json, mutate_text
from fuzz_seeds import KEY_PRESSES, REQUEST, TEXTS, midi_seeds, model_folders, write_folder

from clara.data.worker_pool import WorkerPool
from clara.errors import ClaraError

COUNTS = {"midi": 10_000, "musicxml": 2_000, "kern": 2_000, "abc": 2_000, "models": 500, "requests": 500}
SUFFIXES = {"midi": ".mid", "musicxml": ".musicxml", "kern": ".krn", "abc": ".abc"}
SECONDS, MEMORY_MB = 5, 500
MAX_SHOWN = 20  # failures to name
READ = "read"
ANSWERED = (200, 400, 413)  # statuses of the page that are no failure


@dataclass(frozen=True)
class Item:
    """One thing to read: its kind in COUNTS, and the seed of its mutations."""

    kind: str
    seed: int


def main():
    """Read everything and save the counts."""
    p = record.argument_parser(__doc__)
    p.add_argument("--scale", type=float, default=1.0, help="Factor for the number of items")
    p.add_argument("--first", type=int, default=0, help="Number of the first item; other numbers make other items")
    p.add_argument("--workers", type=int, default=2, help="Number of processes")
    p.add_argument("--kinds", nargs="+", default=list(COUNTS), choices=COUNTS, help="What to read")
    args = p.parse_args()
    rows = []
    for kind in args.kinds:
        row, failures = fuzz(kind, max(1, int(COUNTS[kind] * args.scale)), args.workers, args.first)
        rows.append(row)
        print(row, flush=True)
        for item, reason in failures[:MAX_SHOWN]:
            print(f"  {item}: {reason}", flush=True)
    if args.kinds == list(COUNTS):
        record.save("fuzz", rows, seconds=SECONDS, memory_mb=MEMORY_MB)


def fuzz(kind: str, n: int, n_workers: int, first: int = 0) -> tuple[dict, list]:
    """Read n items of a kind, with seeds from `first` on.

    Returns
    -------
    row : dict
        How many were read, refused by a named error, and failed.
    failures : list of (Item, str)
    """
    _preload(kind)
    pool = WorkerPool(attempt, n_workers, SECONDS, MEMORY_MB)
    outcomes, failures = Counter(), []
    try:
        for item, outcome, failure in pool.run(Item(kind, seed) for seed in range(first, first + n)):
            outcomes[outcome or failure.split(":")[0]] += 1
            if failure:
                failures.append((item, failure))
    finally:
        pool.stop()
    row = {
        "kind": kind,
        "items": n,
        "read": outcomes[READ],
        "refused": n - outcomes[READ] - len(failures),
        "unnamed": sum(failure.startswith("Unforeseen") for _, failure in failures),
        "timeouts": sum(failure.startswith("Timeout") for _, failure in failures),
        "out_of_memory": sum(failure.startswith("OutOfMemory") for _, failure in failures),
        "crashes": sum(failure.startswith("WorkerDied") for _, failure in failures),
    }
    return row, failures


def _preload(kind):
    """Import what a kind needs before processes are forked: imports would count as the time of the first item."""
    import torch

    from clara.jit import load_all

    torch.set_num_threads(1)
    if kind == "models":
        model_folders()
    elif kind == "requests":
        pass
    load_all()


def attempt(item: Item) -> str:
    """Return READ, or the name of the error that refuses an item; any other error is a failure."""
    rng = random.Random(f"{item.kind} {item.seed}")
    try:
        if item.kind == "models":
            _load_model(rng)
        elif item.kind == "requests":
            return _send_request(rng)
        else:
            _read_music(item.kind, rng)
    except ClaraError as e:
        return type(e).__name__
    return READ


def make_music(kind: str, rng: random.Random) -> bytes:
    """Return a mutated file of a kind of music."""
    if kind == "midi":
        return mutate_bytes(rng.choice(midi_seeds()), rng)
    return mutate_text(rng.choice(TEXTS[kind]), rng).encode("utf-8", "replace")


def _read_music(kind, rng):
    """Read a mutated file of music, without the limits that Clara itself sets."""
    from clara.music.read import read_directly

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "music" + SUFFIXES[kind])
        path.write_bytes(make_music(kind, rng))
        notes, _ = read_directly(path)
    assert len(notes) and notes.pitch.min() >= 0 and notes.pitch.max() <= 127 and notes.duration.min() >= 1
    assert notes.start.min() >= 0 and 0 < notes.qpm < math.inf and notes.quarters < math.inf
    assert all(numerator > 0 and denominator > 0 for _, numerator, denominator in notes.time_signatures)


def _load_model(rng):
    """Load a mutated folder of a model or a classifier, and use it if that succeeds."""
    import numpy as np
    import torch

    from clara.checkpoints.checkpoint import Checkpoint
    from critic.classifier import load_classifier

    name, files = rng.choice(list(model_folders().items()))
    with tempfile.TemporaryDirectory() as folder:
        write_folder(folder, mutate_folder(files, rng))
        if name.startswith("model"):
            network = Checkpoint.load(folder).inference_model()
            logits, _ = network(torch.tensor([[1, 5, 9]]), network.initial_state(1))
            assert torch.isfinite(logits).all()
        else:
            classifier = load_classifier(folder)
            log_probs = classifier.log_probs([_scale(classifier.encoding)])
            assert np.isfinite(log_probs).all()


def _scale(encoding):
    """Return the tokens of sixteen quarters of a scale."""
    from clara.music.notes import build_notes

    steps = encoding.steps_per_quarter
    pitches = [60 + step % 12 for step in range(16)]
    starts = [step * steps for step in range(16)]
    ends = [start + steps for start in starts]
    return encoding.encode(build_notes(starts, ends, pitches, steps_per_quarter=steps)[0])[0]


@cache
def _client():
    """Return a client of the page, which composes nothing."""
    from starlette.testclient import TestClient

    from clara_app.web.server import make_app

    app = make_app(hosts=["testserver"], warm=False)
    app.state.page.compose = lambda *_: None
    client = TestClient(app, raise_server_exceptions=False)
    return client.__enter__()


def _send_request(rng):
    """Send a mutated body to the page; return READ, or the status as the name of a refusal."""
    path, payload = rng.choice([("/compose", REQUEST), ("/prompts/played", KEY_PRESSES)])
    answer = _client().post(path, content=mutate_json(payload, rng))
    if answer.status_code not in ANSWERED or "content-security-policy" not in answer.headers:
        raise RuntimeError(f"{path}: status {answer.status_code}")
    return READ if answer.status_code == 200 else str(answer.status_code)


if __name__ == "__main__":
    main()
