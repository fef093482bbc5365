"""Score file to notes: Clara, music21, partitura and verovio on the same files, how fast and how right.

python benchmarks/score_speed.py

The files are music21's own corpus, so that anyone can run it again: of each format up to
--files, taken from every composer in turn. All give (start, end, pitch) at 12 steps
per quarter with ties joined, grace notes left out, repeats not played out and pitches as
they sound, as far as the library lets it. A reader that cannot read a format has no row.
`same_notes` counts the files whose starts and pitches are those of music21, `same` those
whose durations are, too, and `differ` names some that are not. Where Clara, which reads through
music21 and joins ties itself, is not like music21, ties are why: music21 joins those of a chord
only where all of its notes are tied, and ties notes of different pitch. verovio aborts the process on
some ABC (std::out_of_range), so that it has no row there. Files larger than --bytes are left out, for
music21 takes half a minute for each. Seconds are the processor's, as the machine may be shared.
"""

import argparse
import base64
import itertools
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import record

STEPS_PER_QUARTER = 12
SUFFIXES = (".musicxml", ".xml", ".mxl", ".krn", ".abc")
FORMATS = {
    "MusicXML, plain": (".musicxml", ".xml"),
    "MusicXML, .mxl": (".mxl",),
    "Humdrum **kern": (".krn",),
    "ABC": (".abc",),
}
READS = {
    "clara": tuple(FORMATS),
    "music21": tuple(FORMATS),
    "verovio": ("MusicXML, plain", "MusicXML, .mxl", "Humdrum **kern"),
    "partitura": ("MusicXML, plain", "MusicXML, .mxl", "Humdrum **kern"),
}


def sample(suffixes, n, most_bytes):
    """Up to n corpus files of these suffixes and no more bytes, one of each folder in turn, spread over it."""
    from music21 import corpus

    folders = defaultdict(list)
    for path in sorted(map(Path, corpus.getCorePaths())):
        if path.suffix in suffixes and path.stat().st_size <= most_bytes:
            folders[path.parent].append(path)
    spread = [paths[:: max(1, len(paths) // n)] for _, paths in sorted(folders.items())]
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*spread))
    return [path for path in in_turn if path is not None][:n]


def notes_of(start_quarters, end_quarters, pitch):
    """Columns in quarters on the grid, mended."""
    from clara.music.notes import build_notes, quantize

    ticks = [np.round(np.array(q, dtype=float) * 10080).astype(np.int64) for q in (start_quarters, end_quarters)]
    return build_notes(
        *(quantize(t, 10080, STEPS_PER_QUARTER) for t in ticks),
        np.array(pitch, dtype=np.int64),
        steps_per_quarter=STEPS_PER_QUARTER,
    )[0]


def clara_notes():
    """`clara.music.scores`: a function from a path to notes."""
    from clara.music.scores import read_score

    return lambda path: read_score(path, steps_per_quarter=STEPS_PER_QUARTER)[0]


def music21_notes():
    """music21 without its cache: a function from a path to notes."""
    from music21 import converter, harmony, stream

    def read(path):
        score = converter.parse(str(path), forceSource=True)
        score = score.scores[0] if isinstance(score, stream.Opus) else score
        score = score.toSoundingPitch().stripTies()
        told = [n for n in score.flatten().notes if not isinstance(n, harmony.Harmony) and not n.duration.isGrace]
        rows = [
            (n.offset, n.offset + n.quarterLength, p.midi) for n in told if hasattr(n, "pitches") for p in n.pitches
        ]
        return notes_of(*zip(*rows))

    return read


def partitura_notes():
    """partitura's readers, its transpositions carried out: a function from a path to notes."""
    import partitura
    from partitura import score as pt

    def sounding(part):
        shifts = [(0, 0), *sorted((t.start.t, t.chromatic or 0) for t in part.iter_all(pt.Transposition))]
        at, semitones = map(np.array, zip(*shifts))
        told = [n for n in part.notes_tied if not isinstance(n, pt.GraceNote)]
        start = np.array([n.start.t for n in told], dtype=int)
        end = np.array([n.end_tied.t for n in told], dtype=int)
        pitch = np.array([n.midi_pitch for n in told], dtype=int)
        quarters, upbeat = part.quarter_map, float(part.quarter_map(0))
        return (
            quarters(start) - upbeat,
            quarters(end) - upbeat,
            pitch + semitones[np.searchsorted(at, start, side="right") - 1],
        )

    def read(path):
        load = partitura.load_kern if path.suffix == ".krn" else partitura.load_musicxml
        parts = [sounding(p) for p in load(str(path), quiet=True).parts if p.notes]
        return notes_of(*(np.concatenate(c) for c in zip(*parts)))

    return read


def verovio_notes():
    """verovio's MIDI through clara.music.midi: a function from a path to notes."""
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
    """The notes or, where reading fails, the error; and the processor's seconds that it took."""
    began = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notes = read(path)
    except Exception as e:  # noqa: BLE001 - what the libraries raise is what is asked
        notes = e
    return notes, time.process_time() - began


def row(form, name, files, answers, oracle):
    """What one reader made of one format's files, against music21."""
    read = [(p, n, o) for p, (n, _), (o, _) in zip(files, answers, oracle) if not isinstance(n, Exception)]
    both = [(p, n, o) for p, n, o in read if not isinstance(o, Exception)]
    same_notes = [
        p
        for p, n, o in both
        if set(zip(n.start.tolist(), n.pitch.tolist())) == set(zip(o.start.tolist(), o.pitch.tolist()))
    ]
    same = [p for p, n, o in both if n == o]
    failed = [
        f"{p.name}: {type(n).__name__}: {str(n).removeprefix(f'{p}: ')[:80]}"
        for p, (n, _) in zip(files, answers)
        if isinstance(n, Exception)
    ]
    return {
        "format": form,
        "reader": name,
        "files": len(files),
        "read": len(read),
        "compared": len(both),
        "same_notes": len(same_notes),
        "same": len(same),
        "files_per_second": round(len(files) / sum(s for _, s in answers), 2),
        "differ": [p.name for p, _, _ in both if p not in same_notes][:8],
        "failed": failed[:8],
    }


def main():
    """Time all on each format and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--files", type=int, default=24, help="of each format")
    p.add_argument("--bytes", type=int, default=300_000, help="largest file taken, a tenth of it for .mxl")
    args = p.parse_args()
    readers = {
        "clara": clara_notes(),
        "music21": music21_notes(),
        "partitura": partitura_notes(),
        "verovio": verovio_notes(),
    }
    rows = []
    for form, suffixes in FORMATS.items():
        files = sample(suffixes, args.files, args.bytes // (10 if suffixes == (".mxl",) else 1))
        able = [name for name, forms in READS.items() if form in forms]
        for name in able:  # what they import when first they read is not counted
            attempt(readers[name], files[0])
        answers = {name: [attempt(readers[name], path) for path in files] for name in able}
        for name, told in answers.items():
            rows.append(row(form, name, files, told, answers["music21"]))
            r = rows[-1]
            print(
                f"{form:16s} {name:10s} {r['files_per_second']:8.2f} files/s   read {r['read']}/{r['files']}   "
                f"as music21: starts and pitches {r['same_notes']}, durations too {r['same']} of {r['compared']}",
                flush=True,
            )
            print("    differ:", *r["differ"], "\n    failed:", *r["failed"], flush=True)
    record.save("score_speed", rows, files=args.files, bytes=args.bytes)


if __name__ == "__main__":
    main()
