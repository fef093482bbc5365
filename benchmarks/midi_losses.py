"""Count the notes of MIDI files with a parser that is not Clara's, and compare with the notes that Clara reads.

python benchmarks/midi_losses.py FOLDER_OF_MIDI

mido counts the note-on events with a positive velocity. Clara reads through symusic. Each note must be read, or be
counted by `read_midi` as a drum note or as merged with a note of the same onset and pitch on the grid. Beyond the
number, the pairs of onset and pitch on the grid are compared: they must be the same set. Of the merged notes, those
count as doubles whose onsets are equal in the file, before any rounding. There is a row for each folder in the given
one.
"""

import time
from collections import Counter, defaultdict
from pathlib import Path

import mido
import record

from clara.errors import ClaraError
from clara.music.midi import MIDI_SUFFIXES, read_midi
from clara.music.notes import quantize

DRUM_CHANNEL = 9


def main():
    """Compare all files and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("folder", help="Folder of MIDI files")
    p.add_argument("--steps-per-quarter", type=int, default=12, help="Grid")
    args = p.parse_args()
    rows = [
        count_lost_notes(name, paths, args.steps_per_quarter)
        for name, paths in files_by_folder(Path(args.folder)).items()
    ]
    record.save("midi_losses", rows, steps_per_quarter=args.steps_per_quarter)


def files_by_folder(folder):
    """Return {name of a folder in `folder`: sorted MIDI files below it}."""
    files = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in MIDI_SUFFIXES:
            files[path.relative_to(folder).parts[0] if path.parent != folder else folder.name].append(path)
    return files


def count_lost_notes(name, paths, steps_per_quarter):
    """Return the row of some files: notes in the files, notes read, and what became of the others."""
    totals, refused = Counter(), Counter()
    start = time.process_time()
    for path in paths:
        try:
            notes, losses = read_midi(path, steps_per_quarter=steps_per_quarter)
        except ClaraError as error:
            refused[type(error).__name__] += 1
            continue
        n_drums, ticks, onsets = note_onsets(path, steps_per_quarter)
        n_in_file = n_drums + len(onsets)
        n_doubles = len(ticks) - len(set(ticks))
        n_unexplained = n_in_file - len(notes) - losses["drums"] - losses["merged"]
        is_same = set(onsets) == set(zip(notes.start.tolist(), notes.pitch.tolist())) and n_drums == losses["drums"]
        totals.update(files=1, notes=n_in_file, read=len(notes), unexplained=abs(n_unexplained))
        totals.update(drums=losses["drums"], merged=losses["merged"], doubles=n_doubles, files_that_differ=not is_same)
        totals["met_on_grid"] += losses["merged"] - n_doubles
        if n_unexplained or not is_same:
            print(f"{path}: {n_unexplained} notes unexplained, same onsets and pitches: {is_same}", flush=True)
    row = {"folder": name, "files": 0, "notes": 0, "read": 0, "drums": 0, "merged": 0, "doubles": 0, "met_on_grid": 0}
    row |= {"unexplained": 0, "files_that_differ": 0} | totals
    row |= {"refused": dict(refused), "seconds": round(time.process_time() - start, 1)}
    print(row, flush=True)
    return row


def note_onsets(path, steps_per_quarter):
    """Return the number of drum notes, and (onset, pitch) of every other note, in ticks and in steps."""
    file = mido.MidiFile(path)
    n_drums, ticks, pitches = 0, [], []
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type != "note_on" or not message.velocity:
                continue
            if message.channel == DRUM_CHANNEL:
                n_drums += 1
            else:
                ticks.append(tick)
                pitches.append(message.note)
    steps = quantize(ticks, file.ticks_per_beat, steps_per_quarter).tolist()
    return n_drums, list(zip(ticks, pitches)), list(zip(steps, pitches))


if __name__ == "__main__":
    main()
