"""Compare Clara with music21, partitura and verovio: score files to notes, how fast and how correct.

python benchmarks/score_speed.py

The files come from music21's own corpus, so anyone can repeat this: up to --files of each format,
from every composer in turn. All readers return (start, end, pitch) at 12 steps per quarter with ties
joined, grace notes left out, repeats not played out and pitches as they sound, as far as the library
allows. A reader that cannot read a format has no row.

`same_onsets_and_pitches` counts the files whose starts and pitches equal those of music21,
`same_notes` those whose durations are equal too. Clara reads through music21 and joins ties itself.
Where the two differ, ties are the reason: music21 joins those of a chord only if all its notes are
tied, and ties notes of different pitch. verovio aborts the process on some ABC files
(std::out_of_range), so it has no row there. Files larger than --bytes are left out, because music21
takes half a minute for each. Seconds are CPU seconds, because the machine may be shared.
"""

import base64
import itertools
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import record

STEPS_PER_QUARTER = 12
EXACT_TICKS_PER_QUARTER = 10080  # exact for all common tuplets
FORMATS = {
    "MusicXML, plain": (".musicxml", ".xml"),
    "MusicXML, .mxl": (".mxl",),
    "Humdrum **kern": (".krn",),
    "ABC": (".abc",),
}
XML_AND_KERN = ("MusicXML, plain", "MusicXML, .mxl", "Humdrum **kern")
FORMATS_OF_READER = {
    "clara": tuple(FORMATS),
    "music21": tuple(FORMATS),
    "verovio": XML_AND_KERN,
    "partitura": XML_AND_KERN,
}
MXL_COMPRESSION = 10  # a compressed file may hold this many times its size
MAX_LISTED = 8


@dataclass
class Attempt:
    """What a reader made of one file.

    Attributes
    ----------
    notes : NoteSequence or None
    error : Exception or None
    seconds : float
        CPU seconds.
    """

    notes: object
    error: Exception | None
    seconds: float


def main():
    """Time all readers on each format and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("--files", type=int, default=24, help="Largest number of files of each format")
    p.add_argument("--bytes", type=int, default=300_000, help="Largest file, in bytes; a tenth of it for .mxl")
    args = p.parse_args()
    readers = {
        "clara": make_clara_reader(),
        "music21": make_music21_reader(),
        "partitura": make_partitura_reader(),
        "verovio": make_verovio_reader(),
    }
    rows = []
    for score_format, suffixes in FORMATS.items():
        max_bytes = args.bytes // (MXL_COMPRESSION if suffixes == (".mxl",) else 1)
        files = sample_files(suffixes, args.files, max_bytes)
        names = [name for name, formats in FORMATS_OF_READER.items() if score_format in formats]
        for name in names:  # what a reader imports at its first file is not counted
            attempt(readers[name], files[0])
        attempts = {name: [attempt(readers[name], path) for path in files] for name in names}
        for name in names:
            rows.append(make_row(score_format, name, files, attempts[name], attempts["music21"]))
            print_row(rows[-1])
    record.save("score_speed", rows, files=args.files, bytes=args.bytes)


def sample_files(suffixes, n_files, max_bytes):
    """Return up to `n_files` files of music21's corpus, one of each folder in turn, spread over it."""
    from music21 import corpus

    folders = defaultdict(list)
    for path in sorted(map(Path, corpus.getCorePaths())):
        if path.suffix in suffixes and path.stat().st_size <= max_bytes:
            folders[path.parent].append(path)
    spread = [paths[:: max(1, len(paths) // n_files)] for _, paths in sorted(folders.items())]
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*spread))
    return [path for path in in_turn if path is not None][:n_files]


def to_notes(start_quarters, end_quarters, pitch):
    """Return notes on the grid from columns in quarters."""
    from clara.music.notes import build_notes, quantize

    start, end = (
        quantize(
            np.round(np.array(quarters, dtype=float) * EXACT_TICKS_PER_QUARTER).astype(np.int64),
            EXACT_TICKS_PER_QUARTER,
            STEPS_PER_QUARTER,
        )
        for quarters in (start_quarters, end_quarters)
    )
    return build_notes(start, end, np.array(pitch, dtype=np.int64), steps_per_quarter=STEPS_PER_QUARTER)[0]


def make_clara_reader():
    """Return `clara.music.scores`: a function from a path to notes."""
    from clara.music.scores import read_score

    return lambda path: read_score(path, steps_per_quarter=STEPS_PER_QUARTER)[0]


def make_music21_reader():
    """Return music21 without its cache: a function from a path to notes."""
    from music21 import converter, harmony, stream

    def read(path):
        score = converter.parse(str(path), forceSource=True)
        if isinstance(score, stream.Opus):
            score = score.scores[0]
        score = score.toSoundingPitch().stripTies()
        rows = []
        for note in score.flatten().notes:
            is_sounding = not isinstance(note, harmony.Harmony) and not note.duration.isGrace
            if is_sounding and hasattr(note, "pitches"):
                end = note.offset + note.quarterLength
                rows += [(note.offset, end, pitch.midi) for pitch in note.pitches]
        return to_notes(*zip(*rows))

    return read


def make_partitura_reader():
    """Return partitura's readers, with transpositions carried out: a function from a path to notes."""
    import partitura
    from partitura import score as partitura_score

    def sounding_columns(part):
        transpositions = part.iter_all(partitura_score.Transposition)
        shifts = [(0, 0), *sorted((mark.start.t, mark.chromatic or 0) for mark in transpositions)]
        shift_start, semitones = map(np.array, zip(*shifts))
        notes = [note for note in part.notes_tied if not isinstance(note, partitura_score.GraceNote)]
        start = np.array([note.start.t for note in notes], dtype=int)
        end = np.array([note.end_tied.t for note in notes], dtype=int)
        pitch = np.array([note.midi_pitch for note in notes], dtype=int)
        pitch = pitch + semitones[np.searchsorted(shift_start, start, side="right") - 1]
        to_quarters = part.quarter_map
        upbeat = float(to_quarters(0))
        return to_quarters(start) - upbeat, to_quarters(end) - upbeat, pitch

    def read(path):
        load = partitura.load_kern if path.suffix == ".krn" else partitura.load_musicxml
        columns = [sounding_columns(part) for part in load(str(path), quiet=True).parts if part.notes]
        return to_notes(*(np.concatenate(column) for column in zip(*columns)))

    return read


def make_verovio_reader():
    """Return verovio's MIDI, read by clara.music.midi: a function from a path to notes."""
    import verovio

    from clara.music.midi import read_midi

    toolkit = verovio.toolkit()
    verovio.enableLog(verovio.LOG_OFF)

    def read(path):
        toolkit.setOptions({"expandNever": True})
        if not toolkit.loadFile(str(path)):
            raise ValueError("not loaded")
        return read_midi(base64.b64decode(toolkit.renderToMIDI()), steps_per_quarter=STEPS_PER_QUARTER)[0]

    return read


def attempt(read, path):
    """Read a file and return an `Attempt`."""
    notes = error = None
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notes = read(path)
    except Exception as raised:  # noqa: BLE001 - what the libraries raise is part of the result
        error = raised
    return Attempt(notes, error, time.process_time() - start)


def make_row(score_format, name, files, attempts, music21_attempts):
    """Return the row of one reader and one format, compared with music21."""
    compared = [
        (path, ours.notes, theirs.notes)
        for path, ours, theirs in zip(files, attempts, music21_attempts)
        if ours.error is None and theirs.error is None
    ]
    same_onsets = [path for path, ours, theirs in compared if onsets_and_pitches(ours) == onsets_and_pitches(theirs)]
    same_notes = [path for path, ours, theirs in compared if ours == theirs]
    failed = [
        f"{path.name}: {type(a.error).__name__}: {str(a.error).removeprefix(f'{path}: ')[:80]}"
        for path, a in zip(files, attempts)
        if a.error is not None
    ]
    return {
        "format": score_format,
        "reader": name,
        "files": len(files),
        "read": len(files) - len(failed),
        "compared": len(compared),
        "same_onsets_and_pitches": len(same_onsets),
        "same_notes": len(same_notes),
        "files_per_second": round(len(files) / sum(a.seconds for a in attempts), 2),
        "differ": [path.name for path, _, _ in compared if path not in same_onsets][:MAX_LISTED],
        "failed": failed[:MAX_LISTED],
    }


def onsets_and_pitches(notes):
    """Return the set of (start, pitch) of notes."""
    return set(zip(notes.start.tolist(), notes.pitch.tolist()))


def print_row(row):
    """Print a row."""
    print(
        f"{row['format']:16s} {row['reader']:10s} {row['files_per_second']:8.2f} files/s   "
        f"read {row['read']}/{row['files']}   as music21: onsets and pitches {row['same_onsets_and_pitches']}, "
        f"durations too {row['same_notes']} of {row['compared']}",
        flush=True,
    )
    print("    differ:", *row["differ"], "\n    failed:", *row["failed"], flush=True)


if __name__ == "__main__":
    main()
