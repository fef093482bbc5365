"""Check that a training killed again and again ends with the weights of an undisturbed one, bit by bit.

python benchmarks/kills.py CORPUS [--kills 20]

One run is left alone. Every process of another run gets SIGKILL after a random time, and --resume
continues it. After the last kill it may finish. A kill may come at any time: while an
epoch trains, while its state is written, or before the first epoch is done.
"""

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import record

EPOCHS, SEED = 40, 0
SIZES = "--emb-sz 32 --n-hid 48 --n-layers 2 --bs 8 --bptt 50"
RUN = f"--epochs {EPOCHS} --patience {EPOCHS} --device cpu --threads 1"
FLAGS = ["--from-scratch", *SIZES.split(), *RUN.split()]


def main():
    """Kill, resume, compare and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("corpus", help="Folder of a prepared corpus")
    p.add_argument("--kills", type=int, default=20, help="Number of kills")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        alone, killed = Path(scratch, "alone"), Path(scratch, "killed")
        seconds_alone = run_to_the_end("--data", args.corpus, "--out", alone, *FLAGS)
        kills = kill_repeatedly(args.corpus, killed, args.kills, seconds_alone)
        run_to_the_end("--resume", killed)
        same_state, same_weights = (a == b for a, b in zip(hash_run(alone), hash_run(killed)))
        row = {
            "kills": len(kills),
            "epochs": count_epochs(killed),
            "seconds_alone": round(seconds_alone, 1),
            "kills_before_the_first_epoch": sum(kill["epochs_done"] == 0 for kill in kills),
            "same_state": same_state,
            "same_weights": same_weights,
        }
    print(row)
    record.save("kills", [row], kills=kills, flags=FLAGS)


def kill_repeatedly(corpus, folder, n_kills, seconds_alone):
    """Start or resume a run and kill it, again and again; return a list of what was done at each kill."""
    randomness = random.Random(SEED)
    kills = []
    while len(kills) < n_kills:
        can_resume = (folder / "state.safetensors").is_file()
        if not can_resume and folder.exists():  # killed before the first epoch was done: start again
            shutil.rmtree(folder)
        process = start_training(*(["--resume", folder] if can_resume else ["--data", corpus, "--out", folder, *FLAGS]))
        seconds = randomness.uniform(2, 2 + 2 * seconds_alone / n_kills)
        try:
            errors = process.communicate(timeout=seconds)[1]
            raise SystemExit(f"the run ended before kill {len(kills) + 1}: {errors}")
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        kills.append({"after_seconds": round(seconds, 1), "epochs_done": count_epochs(folder)})
        print(kills[-1], flush=True)
    return kills


def start_training(*flags):
    """Start train.py in a process of its own."""
    command = [sys.executable, "-W", "ignore", str(record.REPOSITORY / "train.py"), *map(str, flags)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def run_to_the_end(*flags):
    """Train until the end, and return the seconds."""
    start = time.perf_counter()
    process = start_training(*flags)
    errors = process.communicate()[1]
    if process.returncode:
        raise SystemExit(f"{flags}: {errors}")
    return time.perf_counter() - start


def hash_run(folder):
    """Return the hashes of the last epoch's state (weights and optimizer) and of the kept weights."""
    from safetensors.torch import load_file

    hashes = []
    for name in ("state.safetensors", "model.safetensors"):
        tensors = load_file(folder / name)
        content = b"".join(key.encode() + tensors[key].numpy().tobytes() for key in sorted(tensors))
        hashes.append(hashlib.sha256(content).hexdigest())
    return hashes


def count_epochs(folder):
    """Return the number of epochs in the history."""
    path = folder / "history.csv"
    return len(path.read_text().splitlines()) - 1 if path.is_file() else 0


if __name__ == "__main__":
    main()
