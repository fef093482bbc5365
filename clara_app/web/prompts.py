"""Music from strangers, and a few beginnings that everyone has.

What is uploaded is read in a process of its own, with limits of size, time and memory, so that a broken or a hostile file costs
itself alone. The name that it came with is never opened; only its ending says how to read it.
"""

import math
import tempfile
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from clara.data.worker_pool import WorkerPool
from clara.encodings.notewise import Notewise
from clara.encodings.prompts import read_prompt
from clara.errors import BadMusicFile, NoNotes, TooLong
from clara.music.notes import build_notes, crop

ENDINGS = (".mid", ".midi", ".musicxml", ".mxl", ".xml", ".krn", ".abc")
MOST_BYTES, MOST_NOTES, MOST_QUARTERS = 4 << 20, 20_000, 4_000
SECONDS, MEMORY_MB = 30.0, 1024
GRID = 12  # steps per quarter of what is kept
EXAMPLES = {
    "chorale": ("Bach, a chorale (BWV 66.6)", "bach/bwv66.6", 16),
    "prelude": ("Bach, the first prelude (BWV 846)", "bach/bwv846", 16),
    "sonata": ("Mozart, Sonata in C (K 545)", "mozart/k545/movement1_exposition", 16),
    "mazurka": ("Chopin, Mazurka in C sharp minor (op. 6 no. 2)", "chopin/mazurka06-2", 24),
    "rag": ("Joplin, Maple Leaf Rag", "joplin/maple_leaf_rag", 16),
}


def _read(path, ensemble_of):
    """A file as notes, or the error that it is; run in another process."""
    from clara.errors import ClaraError

    try:
        return read_prompt(path, ensemble_of)
    except ClaraError as e:
        return e


def upload(name, data, encoding=None):
    """Read what somebody sent.

    Parameters
    ----------
    name : what the file is called, of which only the ending counts
    data : bytes
    encoding : in whose grid, range and parts; piano at 12 steps where it is None

    Returns
    -------
    notes : NoteSequence
    losses : Counter

    Raises
    ------
    BadMusicFile, TooLong, NoNotes
        With the name as it was told.
    """
    ending = Path(name).suffix.lower()
    if ending not in ENDINGS:
        raise BadMusicFile(f"{name}: not a kind of music that is read here: {', '.join(ENDINGS)}")
    if len(data) > MOST_BYTES:
        raise TooLong(f"{name}: larger than {MOST_BYTES >> 20} MiB")
    with tempfile.TemporaryDirectory(prefix="clara-") as folder:
        path = Path(folder, "music" + ending)
        path.write_bytes(data)
        pool = WorkerPool(partial(_read, ensemble_of=encoding or Notewise(GRID)), 1, SECONDS, MEMORY_MB, "spawn")
        try:
            _, found, reason = next(iter(pool.run([path])))
        finally:
            pool.stop()
        if isinstance(found, Exception):
            raise type(found)(str(found).replace(str(path), name))
    if reason:
        raise BadMusicFile(f"{name}: cannot be read ({reason})")
    notes, losses = found
    if len(notes) > MOST_NOTES or notes.quarters > MOST_QUARTERS:
        raise TooLong(
            f"{name}: {len(notes):,} notes in {notes.quarters:g} quarters, more than {MOST_NOTES:,} or {MOST_QUARTERS:,}"
        )
    return notes, losses


@lru_cache(maxsize=len(EXAMPLES))
def example(name):
    """One of EXAMPLES as notes; raises BadMusicFile where there is none of that name."""
    if name not in EXAMPLES:
        raise BadMusicFile(f"no example {name!r}; there are {', '.join(EXAMPLES)}")
    _, source, quarters = EXAMPLES[name]
    return crop(read_prompt(f"music21:{source}", Notewise(GRID))[0], 0, quarters * GRID)


def played(strokes, qpm):
    """What somebody played on the page's keyboard, on the grid.

    Parameters
    ----------
    strokes : list of [pitch, start, end], MIDI number and seconds
    qpm : tempo that it was played at

    Returns
    -------
    NoteSequence, which begins with its first note

    Raises
    ------
    NoNotes, TooLong, BadMusicFile
        For nothing, too much, or what no keyboard sends.
    """
    if strokes is None or strokes == []:
        raise NoNotes("nothing was played")
    if not isinstance(strokes, list):
        raise BadMusicFile("not a list of pitch, start and end")
    if len(strokes) > MOST_NOTES:
        raise TooLong(f"{len(strokes):,} notes, more than {MOST_NOTES:,}")
    try:
        pitch, start, end = np.array(strokes, dtype=np.float64).T
    except (ValueError, TypeError) as e:
        raise BadMusicFile("not a list of pitch, start and end") from e
    if not (
        np.isfinite([pitch, start, end]).all() and (pitch >= 21).all() and (pitch <= 108).all() and (start <= end).all()
    ):
        raise BadMusicFile("pitches lie on a piano (21 to 108), and no note ends before it begins")
    start, end = start - start.min(), end - start.min()
    if not (math.isfinite(qpm) and end.max() * qpm / 60 <= MOST_QUARTERS):
        raise TooLong(f"longer than {MOST_QUARTERS:,} quarters")
    steps = [np.floor(at * qpm / 60 * GRID + 0.5).astype(np.int64) for at in (start, end)]
    return build_notes(steps[0], np.maximum(steps[1], steps[0] + 1), pitch.astype(np.int64), steps_per_quarter=GRID, qpm=qpm)[
        0
    ]
