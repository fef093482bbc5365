"""Write music as MusicXML, let other programs read it back, and count the notes that differ.

python benchmarks/same_music.py MUSIC_FOLDER [--files 200] [--composed 50]

A note is the same if its beginning, its end and its pitch are. Clara, music21 and (for some pieces) verovio
read. For comparison: how much sounding time is lost if each hand, split at middle C, is written in one voice.
"""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import read_back
import record

from clara.data.sources import find_pieces, read_piece
from clara.errors import ClaraError
from clara.music.scores import read_score
from clara.notation.hands import LEFT, RIGHT, split_at_middle_c
from clara.rendering.engraving import to_musicxml

STEPS_PER_QUARTER = 12
N_COMPOSED_QUARTERS = 64


def main() -> None:
    """Measure and save."""
    parser = record.argument_parser(__doc__)
    parser.add_argument("folder", help="folder of music")
    parser.add_argument("--files", type=int, default=200, help="number of files, drawn at random")
    parser.add_argument("--composed", type=int, default=50, help="number of pieces composed by Clara")
    parser.add_argument("--verovio", type=int, default=50, help="number of pieces of each kind that verovio reads")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of files and of the composed pieces")
    args = parser.parse_args()
    rows = []
    for name, pieces in (
        ("files", draw_files(args.folder, args.files, args.seed)),
        ("composed by Clara", compose(args.composed, args.seed)),
    ):
        rows.append({"music": name} | measure(pieces, args.verovio))
        print(rows[-1], flush=True)
    record.save("same_music", rows, files=args.files, composed=args.composed, verovio=args.verovio)


def draw_files(folder, n, seed):
    """Return the notes of n files of a folder, drawn at random."""
    pieces = find_pieces([folder])
    drawn = []
    for index in np.random.default_rng(seed).permutation(len(pieces)):
        try:
            drawn.append(read_piece(pieces[index], steps_per_quarter=STEPS_PER_QUARTER)[0])
        except ClaraError:
            continue
        if len(drawn) == n:
            break
    return drawn


def compose(n, seed):
    """Return n pieces of the default model."""
    from clara.generation.generator import Generator

    return [sample.notes for sample in Generator.load("notewise").generate(n, N_COMPOSED_QUARTERS, seed=seed)]


def measure(pieces, n_verovio):
    """Return the share of notes that are the same after they were written and read back, for each reader."""
    count = Counter()
    for number, notes in enumerate(pieces):
        text = to_musicxml(notes)
        expected = read_back.rows_of_notes(notes)
        found = {
            "clara": read_with_clara(text, notes.steps_per_quarter),
            "music21": read_back.read_with_music21(text, notes.steps_per_quarter),
        }
        if number < n_verovio:
            found["verovio"] = read_back.read_with_verovio(text, notes.steps_per_quarter)
        for reader, rows in found.items():
            count[reader, "notes"] += len(notes)
            count[reader, "missing"] += (expected - rows).total()
            count[reader, "added"] += (rows - expected).total()
        count["steps"] += int(notes.duration.sum())
        count["lost"] += steps_lost_by_one_voice(notes)
    row = {"pieces": len(pieces)}
    for reader in ("clara", "music21", "verovio"):
        n_notes = count[reader, "notes"]
        row |= {
            f"{reader}_notes": n_notes,
            f"{reader}_missing": count[reader, "missing"],
            f"{reader}_added": count[reader, "added"],
            f"{reader}_same_percent": round(100 * (1 - count[reader, "missing"] / max(1, n_notes)), 4),
        }
    return row | {"lost_by_one_voice_percent": round(100 * count["lost"] / max(1, count["steps"]), 1)}


def read_with_clara(text, steps_per_quarter):
    """Return a count of (start, end, pitch) of MusicXML as Clara reads it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.musicxml")
        path.write_text(text, encoding="utf-8")
        return read_back.rows_of_notes(read_score(path, steps_per_quarter=steps_per_quarter)[0])


def steps_lost_by_one_voice(notes) -> int:
    """Return how many steps of sounding are lost if each hand, split at middle C, has one voice.

    Of notes that begin together all last as long as the shortest, and none longer than until the hand's next note.
    """
    lost = 0
    for hand in (RIGHT, LEFT):
        in_hand = split_at_middle_c(notes.pitch) == hand
        start, end = notes.start[in_hand], notes.end[in_hand]
        onsets, chord = np.unique(start, return_inverse=True)
        limit = np.append(onsets[1:], np.iinfo(np.int64).max)
        np.minimum.at(limit, chord, end)
        lost += int((end - limit[chord]).sum())
    return lost


if __name__ == "__main__":
    main()
