"""File to text, files per second on one core, beside MidiTok, music21 and symusic.

python benchmarks/encode_speed.py FOLDER_OF_MIDI

Clara reads a MIDI file, mends it and writes its text: notewise at 12 steps per
quarter, chordwise at 4. MidiTok's TSD tokenizer works on the 12-step grid. music21 only parses, and only every so
many files, as it takes seconds for each. symusic's parse alone is the limit for all that
build on it. All take turns, chunk by chunk, so that a machine that slows down slows all of
them, and each is compared with what Clara's notewise took for the very same files.
"""

import argparse
import os
import time
from pathlib import Path

import record

CHUNK = 20  # files that one reader takes before the next has its turn


def clara_text(name):
    """A function from a path to a text."""
    from clara.encodings import make_encoding
    from clara.music.midi import read_midi

    encoding = make_encoding({"encoding": name})
    steps = encoding.steps_per_quarter
    return lambda path: encoding.encode_text(read_midi(path, steps_per_quarter=steps)[0])[0]


def miditok_text():
    """MidiTok's TSD on the same grid: a function from a path to a text."""
    from miditok import TSD, TokenizerConfig

    tokenizer = TSD(TokenizerConfig(beat_res={(0, 12): 12}, num_velocities=1, use_programs=False))
    return lambda path: " ".join(t for track in tokenizer.encode(path) for t in track.tokens)


def music21_parse():
    """music21's parser without its cache: a function from a path to a score."""
    from music21 import converter

    return lambda path: converter.parse(str(path), forceSource=True)


def symusic_parse():
    """symusic's parser alone."""
    from symusic import Score

    return lambda path: Score(str(path))


def main():
    """Time all four and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("folder")
    p.add_argument("--every", type=int, default=1, help="take every so many-th file")
    p.add_argument("--music21-every", type=int, default=32, help="of those, for music21")
    args = p.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    files = sorted(Path(args.folder).rglob("*.mid"))[:: args.every]
    ways = {
        "clara, notewise": clara_text("notewise"),
        "clara, chordwise": clara_text("chordwise"),
        "miditok TSD": miditok_text(),
        "music21 (parse only)": music21_parse(),
        "symusic (parse only)": symusic_parse(),
    }
    for way in ways.values():
        way(files[0])
    seconds = {name: {} for name in ways}
    for at in range(0, len(files), CHUNK):
        for name, way in ways.items():
            few = args.music21_every if name.startswith("music21") else 1
            for path in [path for i, path in enumerate(files[at : at + CHUNK], at) if i % few == 0]:
                began = time.perf_counter()
                way(path)
                seconds[name][path] = time.perf_counter() - began
    clara = seconds["clara, notewise"]
    rows = [
        {
            "what": name,
            "files": len(taken),
            "files_per_second": round(len(taken) / sum(taken.values()), 2),
            "clara_is_times": round(sum(taken.values()) / sum(clara[path] for path in taken), 2),
        }
        for name, taken in seconds.items()
    ]
    for row in rows:
        print(
            f"{row['what']:24s} {row['files']:5d} files {row['files_per_second']:10.2f} files/s   "
            f"Clara's notewise is {row['clara_is_times']:g} times as fast"
        )
    record.save("encode_speed", rows, every=args.every, music21_every=args.music21_every)


if __name__ == "__main__":
    main()
