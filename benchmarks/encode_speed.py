"""Compare Clara with MidiTok, music21 and symusic: MIDI files to text, files per second on one core.

python benchmarks/encode_speed.py FOLDER_OF_MIDI

Clara reads a MIDI file, repairs it and writes its text: notewise at 12 steps per quarter, chordwise
at 4. MidiTok's TSD tokenizer works on the 12-step grid. music21 only parses, and only some of the
files, because it takes seconds for each. symusic only parses, and is the limit for everything built
on it. All take turns, chunk by chunk, so that a slow moment of the machine slows all of them. Each
is compared with the time of Clara's notewise for the same files.
"""

import os
import time
from pathlib import Path

import record

CHUNK_FILES = 20  # files that one reader takes before the next has its turn
NOTEWISE = "Clara, notewise"


def main():
    """Time all readers and save the result."""
    args = parse_arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    files = sorted(Path(args.folder).rglob("*.mid"))[:: args.every]
    seconds = time_readers(files, args.music21_every)
    notewise_seconds = seconds[NOTEWISE]
    rows = []
    for name, seconds_by_file in seconds.items():
        total = sum(seconds_by_file.values())
        notewise_total = sum(notewise_seconds[path] for path in seconds_by_file)
        rows.append(
            {
                "reader": name,
                "files": len(seconds_by_file),
                "files_per_second": round(len(seconds_by_file) / total, 2),
                "notewise_speedup": round(total / notewise_total, 2),
            }
        )
    for row in rows:
        print(
            f"{row['reader']:24s} {row['files']:5d} files {row['files_per_second']:10.2f} files/s   "
            f"Clara's notewise is {row['notewise_speedup']:g} times as fast"
        )
    record.save("encode_speed", rows, every=args.every, music21_every=args.music21_every)


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("folder", help="Folder of MIDI files")
    p.add_argument("--every", type=int, default=1, metavar="N", help="Take every N-th file")
    p.add_argument("--music21-every", type=int, default=32, metavar="N", help="Every N-th of these for music21")
    return p.parse_args()


def time_readers(files, music21_every):
    """Return the seconds of each reader for each file, {reader: {path: seconds}}."""
    readers = {
        NOTEWISE: make_clara_encoder("notewise"),
        "Clara, chordwise": make_clara_encoder("chordwise"),
        "MidiTok TSD": make_miditok_encoder(),
        "music21 (parse only)": make_music21_parser(),
        "symusic (parse only)": make_symusic_parser(),
    }
    for read in readers.values():
        read(files[0])  # imports and compiling are not counted
    seconds = {name: {} for name in readers}
    for first in range(0, len(files), CHUNK_FILES):
        for name, read in readers.items():
            every = music21_every if name.startswith("music21") else 1
            for i, path in enumerate(files[first : first + CHUNK_FILES], first):
                if i % every == 0:
                    start = time.perf_counter()
                    read(path)
                    seconds[name][path] = time.perf_counter() - start
    return seconds


def make_clara_encoder(name):
    """Return a function from a path to a text."""
    from clara.encodings import make_encoding
    from clara.music.midi import read_midi

    encoding = make_encoding({"encoding": name})
    steps_per_quarter = encoding.steps_per_quarter
    return lambda path: encoding.encode_text(read_midi(path, steps_per_quarter=steps_per_quarter)[0])[0]


def make_miditok_encoder():
    """Return a function from a path to a text, by MidiTok's TSD tokenizer."""
    from miditok import TSD, TokenizerConfig

    tokenizer = TSD(TokenizerConfig(beat_res={(0, 12): 12}, num_velocities=1, use_programs=False))
    return lambda path: " ".join(token for track in tokenizer.encode(path) for token in track.tokens)


def make_music21_parser():
    """Return music21's parser without its cache: a function from a path to a score."""
    from music21 import converter

    return lambda path: converter.parse(str(path), forceSource=True)


def make_symusic_parser():
    """Return symusic's parser: a function from a path to a score."""
    from symusic import Score

    return lambda path: Score(str(path))


if __name__ == "__main__":
    main()
