"""Whether text gives the music back: every lossless encoding, generated and real music, all twelve keys.

python benchmarks/exactness.py FOLDER_OF_MIDI [--generated 100000]

Of each piece: decode(encode(x)) == x, nothing is folded or lost, and for each of the twelve
shifts that fit (of a generated piece for one of them, each in turn), the words moved by `transpose_token` (of which the tables of ids are made)
are those of the notes moved and then encoded. Melodywise takes the line of a piece, that
is what it gives back once.
The first piece that fails ends the run with its name.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import record

from clara.encodings import make_encoding
from clara.encodings.vocab import SHIFTS
from clara.errors import ClaraError
from clara.music.midi import read_midi
from clara.music.notes import build_notes, fold_octaves, transpose

FORMS = [
    {"encoding": "chordwise", "holds": True},
    {"encoding": "notewise"},
    {"encoding": "notewise", "steps_per_quarter": 4},
    {"encoding": "chamber"},
    {"encoding": "melodywise"},
]


MOST_WORDS = 2_000_000  # moved words kept, so that memory stays bounded


def generated(seed, encoding):
    """Random notes that meet, overlap, repeat and pause, for all parts of an encoding."""
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 40)
    start = rng.integers(0, rng.integers(1, 12), n).cumsum()
    middle, spread = rng.integers(40, 90), rng.integers(1, 30)
    pitch = np.clip(middle + rng.integers(-spread, spread + 1, n), encoding.lowest, encoding.highest)
    part = rng.integers(0, len(encoding.prefixes), n)
    return build_notes(start, start + rng.integers(1, 40, n), pitch, part, steps_per_quarter=encoding.steps_per_quarter)[0]


def real(paths, encoding):
    """The pieces of a folder, folded into the range, as all parts of an encoding or one."""
    for path in paths:
        try:
            notes, _ = read_midi(path, steps_per_quarter=encoding.steps_per_quarter, ensemble=encoding.ensemble)
        except ClaraError:
            notes, _ = read_midi(path, steps_per_quarter=encoding.steps_per_quarter)
        yield str(path), fold_octaves(notes, encoding.lowest, encoding.highest)[0]


def kept(encoding, notes):
    """What an encoding can hold of the notes: all of them, or their line."""
    if encoding.name == "melodywise":
        return replace(encoding.decode(encoding.encode(notes)[0])[0], time_signatures=notes.time_signatures)
    return notes


def check(encoding, moved, name, notes, turn=None):
    """Raise SystemExit where a piece fails; how many keys it was checked in, all that fit or the one whose turn it is."""
    notes = kept(encoding, notes)
    words, losses = encoding.encode(notes)
    back, mended = encoding.decode(words)
    if back != notes or losses or mended:
        raise SystemExit(f"{encoding.settings}: {name} did not come back ({losses}, {mended})")
    nearest = {}
    for shift in sorted(SHIFTS, key=abs):
        if notes.pitch.min() + shift >= encoding.lowest and notes.pitch.max() + shift <= encoding.highest:
            nearest.setdefault(shift % 12, shift)
    shifts = list(nearest.values())
    shifts = shifts if turn is None else [shifts[turn % len(shifts)]]
    for shift in shifts:
        there, dropped = transpose(notes, shift)
        told, folded = encoding.encode(there)
        if [moved(w, shift) for w in words] != told or +dropped or folded:
            raise SystemExit(f"{encoding.settings}: {name} moved by {shift} differs")
    return len(shifts)


def main():
    """Check all forms and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("folder")
    p.add_argument("--generated", type=int, default=100_000, help="note sequences for each form")
    p.add_argument("--jobs", type=int, default=2, help="processes")
    p.add_argument("--every", type=int, default=1, help="take every so many-th file")
    args = p.parse_args()
    paths = sorted(Path(args.folder).rglob("*.mid"))[:: args.every]
    with ProcessPoolExecutor(args.jobs) as pool:
        rows = []
        for row in pool.map(partial(measure, paths=paths, generated_pieces=args.generated), FORMS):
            rows.append(row)
            print(row, flush=True)
    record.save("exactness", rows)


def measure(settings, paths, generated_pieces):
    """Check one form; its row."""
    encoding, began = make_encoding(settings), time.process_time()
    moved = lru_cache(maxsize=None)(encoding.transpose_token)
    keys = sum(
        check(encoding, moved, f"seed {seed}", generated(seed, encoding), seed) for seed in range(generated_pieces)
    )
    moved.cache_clear()
    of_real = notes = 0
    for name, piece in real(paths, encoding):
        of_real, notes = of_real + check(encoding, moved, name, piece), notes + len(piece)
        if moved.cache_info().currsize > MOST_WORDS:
            moved.cache_clear()
    return {
        "form": encoding.name + ", holds" * getattr(encoding, "holds", False),
        "steps_per_quarter": encoding.steps_per_quarter,
        "generated": generated_pieces,
        "keys_of_generated": keys,
        "files": len(paths),
        "notes": notes,
        "keys_of_files": of_real,
        "differences": 0,
        "seconds": round(time.process_time() - began),
    }


if __name__ == "__main__":
    main()
