"""Time the commands that compose: seconds from the command to its last file, on a warm disk.

python benchmarks/compose_time.py [--model notewise]

Measured are the default command (eight pieces of 64 quarters by a search, with pictures and sound), the same without
pictures and sound, ranking alone, eight pieces that are neither ranked nor searched, and 256 continuations of four bars
of Bach of which the best eight are kept. Each command runs ROUNDS times in a process of its own. Last, a half-minute
piece is composed as a stream on one core, with the model loaded: the seconds until the first notes, and until the last.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time

import record

ROUNDS = 3
QUARTERS = 55  # half a minute at 110 quarters per minute
PROMPT = ["--prompt", "music21:bach/bwv66.6", "--prompt-quarters", "16"]
WITH_AUDIO = "the default command"
SEARCH, RANKING = "the search, notes only", "ranking alone, 320 pieces, notes only"
COMMANDS = {
    WITH_AUDIO: [],
    SEARCH: [],
    RANKING: ["--no-search", "-n", "320"],
    "8 unranked pieces, notes only": ["-n", "8", "--no-search", "--rank-by", "none"],
    "the best 8 of 256 continuations, notes only": ["-n", "256", "--no-search", *PROMPT],
}


def main():
    """Time each command and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("--model", default="notewise", help="Model of the commands that name none")
    args = p.parse_args()
    rows = []
    for task, flags in COMMANDS.items():
        rows.append(time_command(args.model, task, flags))
        print(rows[-1], flush=True)
    first, last, n_tokens = time_stream(args.model)
    rows.append(make_row("a stream, first notes", first, 1, digits=3))
    rows.append(make_row("a stream, last notes", last, n_tokens, digits=3))
    record.save("compose_time", rows, rounds=ROUNDS, model=args.model)


def make_row(task, seconds, n_tokens, digits=2):
    """Return the row of a task."""
    return {
        "task": task,
        "median_seconds": round(statistics.median(seconds), digits),
        "best_seconds": round(min(seconds), digits),
        "tokens": n_tokens,
    }


def time_command(model, task, flags):
    """Run a command once to warm up and then ROUNDS times; return its row."""
    if task != WITH_AUDIO:
        flags = [*flags, "--no-audio", "--no-pictures"]
    with tempfile.TemporaryDirectory() as folder:
        run_command(model, flags, f"{folder}/warm")
        runs = [run_command(model, flags, f"{folder}/{i}") for i in range(ROUNDS)]
    output = runs[0][1]
    n_tokens = int(re.search(r"pieces, ([\d,]+) ", output)[1].replace(",", ""))
    return make_row(task, [seconds for seconds, _ in runs], n_tokens)


def run_command(model, flags, out):
    """Return the seconds of one call of generate.py, and what it prints."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "generate.py", "--model", model, "--seed", "1", *flags, "--out", out],
        cwd=record.REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - start, done.stdout


def time_stream(model):
    """Return the seconds to the first and to the last notes of a stream, by round, and the tokens."""
    import torch

    from clara.generation.generator import Generator

    torch.set_num_threads(1)
    generator = Generator.load(model)
    for _ in generator.stream(8):  # warm up
        pass
    first, last = [], []
    for seed in range(1, ROUNDS + 1):
        start = time.perf_counter()
        times = [time.perf_counter() - start for _ in generator.stream(QUARTERS, seed=seed)]
        first.append(times[0])
        last.append(times[-1])
    n_tokens = len(generator.generate(1, QUARTERS, seed=1)[0].tokens)
    return first, last, n_tokens


if __name__ == "__main__":
    main()
