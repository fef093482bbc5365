"""Check that text gives the music back: every lossless encoding, generated and real music, all keys.

python benchmarks/round_trip.py FOLDER_OF_MIDI [--generated 100000]

For each piece decode(encode(x)) must equal x, and nothing may be folded or lost. The tokens moved
by `transpose_token` (from which the tables of ids are made) must equal those of the transposed
notes: for real pieces in each of the twelve keys that fit, for a generated piece in one of them.
Melodywise takes the line that it gives back once. The first piece that fails ends the run.
"""

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

ENCODINGS = [
    {"encoding": "chordwise", "holds": True},
    {"encoding": "notewise"},
    {"encoding": "notewise", "steps_per_quarter": 4},
    {"encoding": "chamber"},
    {"encoding": "melodywise"},
]
MAX_CACHED_TOKENS = 2_000_000  # transposed tokens kept, so that memory stays bounded


def main():
    """Check all encodings and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("folder", help="Folder of MIDI files")
    p.add_argument("--generated", type=int, default=100_000, help="Number of generated pieces for each encoding")
    p.add_argument("--jobs", type=int, default=2, help="Number of processes")
    p.add_argument("--every", type=int, default=1, metavar="N", help="Take every N-th file")
    args = p.parse_args()
    paths = sorted(Path(args.folder).rglob("*.mid"))[:: args.every]
    rows = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for row in pool.map(partial(check_encoding, paths=paths, n_generated=args.generated), ENCODINGS):
            rows.append(row)
            print(row, flush=True)
    record.save("round_trip", rows)


def check_encoding(settings, paths, n_generated):
    """Check one encoding and return its row."""
    encoding = make_encoding(settings)
    start = time.process_time()
    transpose_token = lru_cache(maxsize=None)(encoding.transpose_token)
    generated_transpositions = file_transpositions = n_notes = 0
    for seed in range(n_generated):
        notes = generate_notes(seed, encoding)
        generated_transpositions += check_piece(encoding, transpose_token, f"seed {seed}", notes, only_shift=seed)
    transpose_token.cache_clear()
    for name, notes in read_pieces(paths, encoding):
        file_transpositions += check_piece(encoding, transpose_token, name, notes)
        n_notes += len(notes)
        if transpose_token.cache_info().currsize > MAX_CACHED_TOKENS:
            transpose_token.cache_clear()
    return {
        "encoding": encoding.name + (" with holds" if getattr(encoding, "holds", False) else ""),
        "steps_per_quarter": encoding.steps_per_quarter,
        "generated": n_generated,
        "generated_transpositions": generated_transpositions,
        "files": len(paths),
        "notes": n_notes,
        "file_transpositions": file_transpositions,
        "differences": 0,
        "seconds": round(time.process_time() - start),
    }


def generate_notes(seed, encoding):
    """Return random notes that meet, overlap, repeat and pause, for all parts of an encoding."""
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 40)
    start = rng.integers(0, rng.integers(1, 12), n).cumsum()
    middle, spread = rng.integers(40, 90), rng.integers(1, 30)
    pitch = np.clip(middle + rng.integers(-spread, spread + 1, n), encoding.lowest, encoding.highest)
    part = rng.integers(0, len(encoding.prefixes), n)
    end = start + rng.integers(1, 40, n)
    return build_notes(start, end, pitch, part, steps_per_quarter=encoding.steps_per_quarter)[0]


def read_pieces(paths, encoding):
    """Yield (path, notes) of files, folded into the range, with all parts of the encoding or one."""
    steps_per_quarter = encoding.steps_per_quarter
    for path in paths:
        try:
            notes, _ = read_midi(path, steps_per_quarter=steps_per_quarter, ensemble=encoding.ensemble)
        except ClaraError:
            notes, _ = read_midi(path, steps_per_quarter=steps_per_quarter)
        yield str(path), fold_octaves(notes, encoding.lowest, encoding.highest)[0]


def check_piece(encoding, transpose_token, name, notes, only_shift=None):
    """Check a piece and return in how many keys; raise SystemExit if it fails.

    `only_shift` chooses one of the fitting keys by its number (default: all of them).
    """
    notes = keep_encodable(encoding, notes)
    tokens, losses = encoding.encode(notes)
    decoded, decoding_losses = encoding.decode(tokens)
    if decoded != notes or losses or decoding_losses:
        raise SystemExit(f"{encoding.settings}: {name} did not come back ({losses}, {decoding_losses})")
    shifts = fitting_shifts(encoding, notes)
    if only_shift is not None:
        shifts = [shifts[only_shift % len(shifts)]]
    for shift in shifts:
        transposed, dropped = transpose(notes, shift)
        expected, folded = encoding.encode(transposed)
        if [transpose_token(token, shift) for token in tokens] != expected or +dropped or folded:
            raise SystemExit(f"{encoding.settings}: {name} moved by {shift} differs")
    return len(shifts)


def keep_encodable(encoding, notes):
    """Return what an encoding can hold of the notes: all of them, or their line."""
    if encoding.name == "melodywise":
        return replace(encoding.decode(encoding.encode(notes)[0])[0], time_signatures=notes.time_signatures)
    return notes


def fitting_shifts(encoding, notes):
    """Return the smallest shift into each key that keeps the notes in the range."""
    smallest = {}
    for shift in sorted(SHIFTS, key=abs):
        if notes.pitch.min() + shift >= encoding.lowest and notes.pitch.max() + shift <= encoding.highest:
            smallest.setdefault(shift % 12, shift)
    return list(smallest.values())


if __name__ == "__main__":
    main()
