"""Seconds from the command to its last file, on a warm disk.

python benchmarks/compose_time.py [--model pretrained/notewise]

Eight half-minute pieces, 256 half-minute continuations of four bars of Bach of which the best eight are kept, and eight of 64 by ranking
and by a search, which is what `generate.py` does by itself, with its larger net; as MIDI and text; each command in a process
of its own, ROUNDS times, of which the median counts. Then a half-minute piece as a stream on one core, the model loaded and warm:
until the first notes, and until the last.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import record

ROOT, ROUNDS = Path(__file__).resolve().parent.parent, 5
QUARTERS = 55  # half a minute at 110 to the minute
HALF_MINUTE = ["--quarters", str(QUARTERS), "--qpm", "110", "--seed", "1"]
LARGE = ["--model", "pretrained/notewise-large"]  # what composes by itself
COMMANDS = {
    "8 pieces": ["-n", "8"],
    "8 pieces, with pictures and sound": ["-n", "8"],
    "256 continuations": ["-n", "256", "--no-search", "--prompt", "music21:bach/bwv66.6", "--prompt-quarters", "16"],
    "the best 8 of 64, notewise-large": ["--no-search", *LARGE],
    "the best 8 of 64 by a search, notewise-large": LARGE,
    "the same, --drafts 1": ["--candidates-per-beam", "1", *LARGE],
}


def run(model, words, out):
    """Seconds of one call, and what it says of itself."""
    began = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "generate.py", "--model", model, *HALF_MINUTE, *words, "--out", out],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return time.perf_counter() - began, told


def stream(model):
    """Seconds to the first notes and to the last of a stream, for each round, and the words."""
    import torch

    from clara.generator import Generator

    torch.set_num_threads(1)
    generator = Generator.load(model)
    for _ in generator.stream(8):
        pass
    first, last = [], []
    for seed in range(1, ROUNDS + 1):
        began, times = time.perf_counter(), []
        for _ in generator.stream(QUARTERS, seed=seed):
            times.append(time.perf_counter() - began)
        first.append(times[0])
        last.append(times[-1])
    return first, last, len(generator.generate(1, QUARTERS, seed=1)[0].tokens)


def main():
    """Time each and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--model", default="pretrained/notewise")
    args = p.parse_args()
    rows = []
    for what, words in COMMANDS.items():
        words = words if "sound" in what else [*words, "--no-audio", "--no-pictures"]
        with tempfile.TemporaryDirectory() as folder:
            run(args.model, words, f"{folder}/warm")
            took = [run(args.model, words, f"{folder}/{i}") for i in range(ROUNDS)]
        seconds = statistics.median(s for s, _ in took)
        n_words = int(re.search(r"pieces, ([\d,]+) words", took[0][1])[1].replace(",", ""))
        rows.append(
            {"what": what, "seconds": round(seconds, 2), "best": round(min(s for s, _ in took), 2), "words": n_words}
        )
        print(rows[-1], flush=True)
    first, last, n_words = stream(args.model)
    rows += [
        {"what": what, "seconds": round(statistics.median(took), 3), "best": round(min(took), 3), "words": n}
        for what, took, n in (("a stream's first notes", first, 1), ("a stream's last notes", last, n_words))
    ]
    record.save("compose_time", rows, rounds=ROUNDS, model=args.model)


if __name__ == "__main__":
    main()
