"""A training killed again and again must end with the weights of the undisturbed one, to the last bit.

python benchmarks/kills.py CORPUS [--kills 20]

One run is left alone. Of another every process gets SIGKILL after a random time, --resume goes on
with what is left, until it was killed so often; then it may finish. A kill may fall
anywhere: while an epoch trains, while its state is written, before the first one is done.
"""

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import record

ROOT = Path(__file__).resolve().parents[1]
EPOCHS, SEED = 40, 0
FLAGS = [
    "--from-scratch",
    "--emb-sz",
    "32",
    "--n-hid",
    "48",
    "--n-layers",
    "2",
    "--bs",
    "8",
    "--bptt",
    "50",
    "--epochs",
    str(EPOCHS),
    "--patience",
    str(EPOCHS),
    "--device",
    "cpu",
    "--threads",
    "1",
]


def process(*argv):
    """train.py in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(ROOT / "train.py"), *map(str, argv)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*argv):
    """Run to the end; seconds."""
    began, run = time.perf_counter(), process(*argv)
    told = run.communicate()[1]
    if run.returncode:
        raise SystemExit(f"{argv}: {told}")
    return time.perf_counter() - began


def digest(folder):
    """Of all numbers of the last epoch, weights and optimizer, and of the weights that were kept."""
    from safetensors.torch import load_file

    told = []
    for name in ("state.safetensors", "model.safetensors"):
        tensors = load_file(folder / name)
        told.append(
            hashlib.sha256(b"".join(n.encode() + tensors[n].numpy().tobytes() for n in sorted(tensors))).hexdigest()
        )
    return told


def epochs(folder):
    """How many are in the history."""
    path = folder / "history.csv"
    return len(path.read_text().splitlines()) - 1 if path.is_file() else 0


def main():
    """Kill, resume, compare."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("corpus")
    p.add_argument("--kills", type=int, default=20)
    args = p.parse_args()
    chance, kills = random.Random(SEED), []
    with tempfile.TemporaryDirectory() as scratch:
        alone, killed = Path(scratch, "alone"), Path(scratch, "killed")
        seconds = finish("--data", args.corpus, "--out", alone, *FLAGS)
        while len(kills) < args.kills:
            started = (killed / "state.safetensors").is_file()
            if not started and killed.exists():  # killed before the first epoch was whole: begin anew
                subprocess.run(["rm", "-rf", str(killed)], check=True)
            argv = ["--resume", killed] if started else ["--data", args.corpus, "--out", killed, *FLAGS]
            run, wait = process(*argv), chance.uniform(2, 2 + 2 * seconds / args.kills)
            try:
                told = run.communicate(timeout=wait)[1]
                raise SystemExit(f"the run ended by itself before kill {len(kills) + 1}: {told}")
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                run.wait()
            kills.append({"after_seconds": round(wait, 1), "epochs_done": epochs(killed)})
            print(kills[-1], flush=True)
        finish("--resume", killed)
        same = [a == b for a, b in zip(digest(alone), digest(killed))]
        rows = [
            {
                "kills": len(kills),
                "epochs": epochs(killed),
                "seconds_alone": round(seconds, 1),
                "kills_before_the_first_epoch": sum(k["epochs_done"] == 0 for k in kills),
                "same_state": same[0],
                "same_weights": same[1],
            }
        ]
    print(rows[0])
    record.save("kills", rows, kills=kills, flags=FLAGS)


if __name__ == "__main__":
    main()
