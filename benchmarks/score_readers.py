"""Compare Clara's score readers with music21, partitura, verovio and symusic, and count lost notes.

python benchmarks/score_readers.py

The files come from music21's own corpus, so anyone can repeat this: up to --files of each format,
from every composer in turn. All readers return the onsets and pitches of a file, with ties joined,
grace notes left out, repeats not played out and pitches as they sound, as far as the library allows.
A reader that cannot read a format has no row.

- verovio and symusic (which holds abc2midi) play grace notes, ornaments and, symusic, repeats and
  chord symbols. For them these are taken out of the text first.
- verovio pads short bars, and symusic delays the notes of a chord. So the sequence of chords is
  compared, too: the sets of pitches that begin together, in order.
- verovio aborts the process on some ABC files, so it has no row there.
- Files larger than --bytes are left out, because music21 takes half a minute for each.
- Seconds are CPU seconds, because the machine may be shared.

The second result counts, over every file and tune of the corpus, the notes in the text and the notes
that Clara's readers read (see `clara.music.note_counts`).
"""

import base64
import itertools
import re
import time
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import record

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
    "symusic": ("ABC",),
}
MXL_COMPRESSION = 10  # a compressed file may hold this many times its size
MAX_LISTED = 8
TOLERANCE = 1 / 40  # quarters within which onsets are equal: verovio and symusic round to ticks, symusic spreads chords
TICKS_PER_QUARTER = 480

KERN_ORNAMENT = re.compile(r"@+\d+@+|[TtMmWwSs$RO:]")
ABC_PLAYED = re.compile(r'(?<!\\)%.*|"[^"]*"|![^!\s|:]*!|\{[^}]*\}|\[[PQR]:[^\]]*\]|[~.H-Wh-w]')
ABC_REPEAT = re.compile(r"::+\d*|:*\|[|:\]]*\d*(,\d)*|\[\|:*|\[\d[\d,.-]*")


@dataclass
class Attempt:
    """What a reader made of one file.

    Attributes
    ----------
    notes : list of (onset in quarters, pitch), sorted, or None
    error : Exception or None
    seconds : float
        CPU seconds.
    """

    notes: list | None
    error: Exception | None
    seconds: float


def main():
    """Time all readers on each format, count lost notes, and save both results."""
    p = record.argument_parser(__doc__)
    p.add_argument("--files", type=int, default=24, help="Largest number of files of each format")
    p.add_argument("--bytes", type=int, default=300_000, help="Largest file, in bytes; a tenth of it for .mxl")
    p.add_argument("--losses-only", action="store_true", help="Count lost notes, and do not time the readers")
    args = p.parse_args()
    if not args.losses_only:
        record.save("score_readers", time_readers(args.files, args.bytes), files=args.files, bytes=args.bytes)
    count_rows = [count_lost_notes(score_format, suffixes) for score_format, suffixes in FORMATS.items()]
    record.save("score_losses", count_rows)


def time_readers(n_files, n_bytes):
    """Read files of each format with each reader, and return a row for each."""
    readers = {
        "clara": read_with_clara,
        "music21": read_with_music21,
        "partitura": read_with_partitura,
        "verovio": make_verovio_reader(),
        "symusic": read_with_symusic,
    }
    rows = []
    for score_format, suffixes in FORMATS.items():
        max_bytes = n_bytes // (MXL_COMPRESSION if suffixes == (".mxl",) else 1)
        files = sample_files(suffixes, n_files, max_bytes)
        names = [name for name, formats in FORMATS_OF_READER.items() if score_format in formats]
        for name in names:  # what a reader imports at its first file is not counted
            attempt(readers[name], files[0])
        attempts = {name: [attempt(readers[name], path) for path in files] for name in names}
        for name in names:
            rows.append(make_row(score_format, name, files, attempts[name], attempts["clara"]))
            print_row(rows[-1])
    return rows


def corpus_files(suffixes):
    """Return the sorted files of music21's corpus with these suffixes."""
    from music21 import corpus

    return sorted(path for path in map(Path, corpus.getCorePaths()) if path.suffix in suffixes)


def sample_files(suffixes, n_files, max_bytes):
    """Return up to `n_files` files of music21's corpus, one of each folder in turn, spread over it."""
    folders = defaultdict(list)
    for path in corpus_files(suffixes):
        if path.stat().st_size <= max_bytes:
            folders[path.parent].append(path)
    spread = [paths[:: max(1, len(paths) // n_files)] for _, paths in sorted(folders.items())]
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*spread))
    return [path for path in in_turn if path is not None][:n_files]


def read_with_clara(path):
    """Read a score with `clara.music.scores`, on a fine grid."""
    from clara.music.scores import read_score

    notes, _ = read_score(path, steps_per_quarter=TICKS_PER_QUARTER)
    return [(start / TICKS_PER_QUARTER, pitch) for start, pitch in zip(notes.start.tolist(), notes.pitch.tolist())]


def read_with_music21(path):
    """Read a score with music21, without its cache."""
    from music21 import converter, harmony, stream

    score = converter.parse(str(path), forceSource=True)
    if isinstance(score, stream.Opus):
        score = score.scores[0]
    notes = []
    for note in score.toSoundingPitch().stripTies().flatten().notes:
        is_sounding = not isinstance(note, harmony.Harmony) and not note.duration.isGrace
        if is_sounding and hasattr(note, "pitches"):
            notes += [(float(note.offset), pitch.midi) for pitch in note.pitches]
    return notes


def read_with_partitura(path):
    """Read a score with partitura; its transpositions are carried out here."""
    import partitura
    from partitura import score as partitura_score

    load = partitura.load_kern if path.suffix == ".krn" else partitura.load_musicxml
    notes = []
    for part in load(str(path), quiet=True).parts:
        transpositions = part.iter_all(partitura_score.Transposition)
        shifts = [(0, 0), *sorted((mark.start.t, mark.chromatic or 0) for mark in transpositions)]
        upbeat = float(part.quarter_map(0))
        for note in part.notes_tied:
            if not isinstance(note, partitura_score.GraceNote):
                semitones = [semitones for start, semitones in shifts if start <= note.start.t][-1]
                notes.append((float(part.quarter_map(note.start.t)) - upbeat, note.midi_pitch + semitones))
    return notes


def make_verovio_reader():
    """Return a function that reads a score with verovio, by way of its MIDI."""
    import verovio

    toolkit = verovio.toolkit()
    verovio.enableLog(verovio.LOG_OFF)

    def read(path):
        toolkit.setOptions({"expandNever": True})
        if path.suffix == ".krn":
            is_loaded = toolkit.loadData(remove_kern_ornaments(path.read_text("utf-8", "replace")))
        else:
            is_loaded = toolkit.loadFile(str(path))
        if not is_loaded:
            raise ValueError("not loaded")
        return midi_notes(base64.b64decode(toolkit.renderToMIDI()))

    return read


def midi_notes(data):
    """Return the notes of a MIDI file."""
    import symusic

    score = symusic.Score.from_midi(data)
    return [(note.time / score.ticks_per_quarter, note.pitch) for track in score.tracks for note in track.notes]


def remove_kern_ornaments(text):
    """Return Humdrum text without grace notes and ornaments."""
    rows = []
    for line in text.splitlines():
        if line and line[0] not in "*!=":
            chords = [[note for note in chord.split(" ") if not re.search("[qQ]", note)] for chord in line.split("\t")]
            line = "\t".join(" ".join(KERN_ORNAMENT.sub("", note) for note in chord) or "." for chord in chords)
        rows.append(line)
    return "\n".join(rows) + "\n"


def read_with_symusic(path):
    """Read the first tune of an ABC file with abc2midi, which symusic holds."""
    import symusic

    from clara.music.score_text import read_score_text

    score = symusic.Score.from_abc(remove_abc_repeats(read_score_text(path)[0]))
    notes = [(note.time, note.pitch) for track in score.tracks for note in track.notes]
    first_tick = 1  # abc2midi begins one tick late
    return [((time - first_tick) / score.ticks_per_quarter, pitch) for time, pitch in notes]


def remove_abc_repeats(tune):
    """Return an ABC tune without repeats, chord symbols, grace notes, decorations and swing."""
    head, _, body = tune.partition("\nK:")
    key, *lines = re.split(r"\n[ \t\r]*\n", body, maxsplit=1)[0].split("\n")
    kept = [line for line in head.split("\n") if not re.match(r"[RPQ]:|%%", line)] + [f"K:{key}"]
    for line in lines:
        if not re.match(r"[A-Za-z]:(?![|:])", line):
            kept.append(re.sub(r"\|[\s|]*\|", "| ", ABC_REPEAT.sub(" | ", ABC_PLAYED.sub("", line))))
        elif line[0] in "KLMV":
            kept.append(line)
    return "\n".join([*kept, "|]", ""])


def attempt(read, path):
    """Read a file and return an `Attempt`."""
    notes = error = None
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notes = sorted(read(path))
    except Exception as raised:  # noqa: BLE001 - what the libraries raise is part of the result
        error = raised
    return Attempt(notes, error, time.process_time() - start)


def make_row(score_format, name, files, attempts, clara_attempts):
    """Return the row of one reader and one format, compared with Clara."""
    compared = [
        (path, group_chords(theirs.notes), group_chords(ours.notes))
        for path, theirs, ours in zip(files, attempts, clara_attempts)
        if ours.error is None and theirs.error is None
    ]
    same_chords = [(path, theirs, ours) for path, theirs, ours in compared if pitches(theirs) == pitches(ours)]
    same_onsets = [
        path
        for path, theirs, ours in same_chords
        if all(abs(a - b) <= TOLERANCE for (a, _), (b, _) in zip(theirs, ours))
    ]
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
        "same_chords": len(same_chords),
        "files_per_second": round(len(files) / sum(a.seconds for a in attempts), 2),
        "differ": [path.name for path, _, _ in compared if path not in same_onsets][:MAX_LISTED],
        "failed": failed[:MAX_LISTED],
    }


def group_chords(notes):
    """Return [(onset, pitches that begin there)] of sorted notes."""
    chords = []
    for onset, pitch in notes:
        if chords and onset - chords[-1][0] <= TOLERANCE:
            chords[-1][1].add(pitch)
        else:
            chords.append((onset, {pitch}))
    return chords


def pitches(chords):
    """Return the pitches of chords, without their onsets."""
    return [pitches for _, pitches in chords]


def print_row(row):
    """Print a row."""
    print(
        f"{row['format']:16s} {row['reader']:10s} {row['files_per_second']:8.2f} files/s   "
        f"read {row['read']}/{row['files']}   as Clara: onsets and pitches {row['same_onsets_and_pitches']}, "
        f"chords in order {row['same_chords']} of {row['compared']}",
        flush=True,
    )
    print("    differ:", *row["differ"], "\n    failed:", *row["failed"], flush=True)


def count_lost_notes(score_format, suffixes):
    """Return the row of one format: notes in the text and notes lost, over the whole corpus."""
    from clara.errors import ClaraError
    from clara.music.note_counts import count_notes
    from clara.music.score_text import count_tunes, read_score_text
    from clara.music.scores import PARSERS

    totals, refused = Counter(), Counter()
    start = time.process_time()
    for path in corpus_files(suffixes):
        for tune in range(1, count_tunes(path) + 1):
            try:
                text, form, _ = read_score_text(path, tune)
                score = PARSERS[form](text, path)
            except ClaraError as error:
                refused[type(error).__name__] += 1
                continue
            n_notes = count_notes(text, form)
            n_lost = max(0, n_notes - score.n_written_notes)
            totals.update(pieces=1, notes=n_notes, lost=n_lost, pieces_with_losses=n_lost > 0)
            totals.update(unread=score.losses["unread"], grace=score.losses["grace"], cue=score.losses["cue"])
            totals.update(microtones=score.losses["microtones"])
    row = {"format": score_format, "pieces": 0, "notes": 0, "lost": 0, "pieces_with_losses": 0, "unread": 0, "cue": 0}
    row["microtones"] = 0
    row |= totals | {"refused": dict(refused), "seconds": round(time.process_time() - start, 1)}
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
