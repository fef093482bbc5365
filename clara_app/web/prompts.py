"""Prompts of the page: uploaded files, notes played on its keyboard, and examples.

An uploaded file is read in another process, with limits on size, time and memory, so that a broken or hostile file
harms nothing else. Its name is never opened as a path; only the suffix says how to read it.
"""

import math
import tempfile
from collections import Counter
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from symusic import Note, Score, Tempo, Track

from clara.data.sources import SUFFIXES
from clara.encodings.notewise import Notewise
from clara.encodings.prompts import read_prompt
from clara.errors import BadMusicFile, ClaraError, NoNotes, TooLong
from clara.listening.alignment import align_if_performed, align_midi
from clara.music.bars import parse_time_signature
from clara.music.limited_reader import LimitedReader
from clara.music.midi import MIDI_SUFFIXES
from clara.music.notes import NoteSequence, build_notes, crop
from clara.performing.playing import PlayedPrompt

MAX_BYTES = 4 << 20
MAX_NOTES = 20_000
MAX_QUARTERS = 4_000
READ_SECONDS = 30.0
READER = LimitedReader(n_processes=2, memory_mb=1024)  # two files at a time, further uploads wait
STEPS_PER_QUARTER = 12  # grid of the prompts that the page keeps
LOWEST_KEY, HIGHEST_KEY = 21, 108  # MIDI pitches of a piano
USUAL_VELOCITY = 64  # of a keyboard that sends none
MAX_PLAYED_SECONDS = 1800
RECORDING_TICKS_PER_QUARTER = 960


class Example(NamedTuple):
    """A prompt that the page offers: its title, its name in music21's corpus, and its length in quarter notes."""

    title: str
    source: str
    quarters: int


EXAMPLES = {
    "chorale": Example("Bach, a chorale (BWV 66.6)", "bach/bwv66.6", 16),
    "prelude": Example("Bach, the first prelude (BWV 846)", "bach/bwv846", 16),
    "sonata": Example("Mozart, Sonata in C (K 545)", "mozart/k545/movement1_exposition", 16),
    "mazurka": Example("Chopin, Mazurka in C sharp minor (op. 6 no. 2)", "chopin/mazurka06-2", 24),
    "rag": Example("Joplin, Maple Leaf Rag", "joplin/maple_leaf_rag", 16),
}


class Upload(NamedTuple):
    """An uploaded file: notes, what reading lost, how it is played, and the beats that were found, in words."""

    notes: NoteSequence
    losses: Counter
    played: PlayedPrompt | None
    beats: str


def open_upload(name: str, data: bytes) -> Upload:
    """Read an uploaded file, and find the beats of one that was performed.

    Parameters and errors as of `read_upload`. `Upload.beats` is empty for a file whose ticks name its beats.
    """
    notes, losses = read_upload(name, data)  # first, as only a file that can be read is safe to open here
    suffix = Path(name).suffix.lower()
    with _as_file(data, suffix) as path:
        alignment = align_if_performed(path)
    if alignment is not None:
        data = alignment.midi
        notes, losses = read_upload(name, data)
    beats = "" if alignment is None else alignment.describe()
    return Upload(notes, losses, read_upload_expression(name, data), beats)


def read_upload(name: str, data: bytes, encoding=None) -> tuple[NoteSequence, Counter]:
    """Read an uploaded file.

    Parameters
    ----------
    name : str
        Name of the file; only its suffix is used.
    data : bytes
    encoding : optional
        Encoding whose grid, range and parts the notes are fitted to (default: notewise with 12 steps per quarter).

    Returns
    -------
    notes : NoteSequence
    losses : Counter
        What reading and fitting lost, by kind.

    Raises
    ------
    BadMusicFile, TooLong, NoNotes
        With the name of the upload.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise BadMusicFile(f"{name}: not a music file that Clara reads; choose one of {', '.join(SUFFIXES)}")
    if len(data) > MAX_BYTES:
        raise TooLong(f"{name}: larger than {MAX_BYTES >> 20} MiB")
    notes, losses = _read(name, suffix, data, encoding or Notewise(STEPS_PER_QUARTER))
    if len(notes) > MAX_NOTES or notes.quarters > MAX_QUARTERS:
        raise TooLong(
            f"{name}: {len(notes):,} notes in {notes.quarters:g} quarters; at most {MAX_NOTES:,} notes and "
            f"{MAX_QUARTERS:,} quarters are allowed"
        )
    return notes, losses


def read_upload_expression(name: str, data: bytes) -> PlayedPrompt | None:
    """Return how an uploaded MIDI file that `read_upload` read is played.

    It is None for other formats, for flat files, and for files whose expression cannot be read.

    Parameters
    ----------
    name : str
        Name of the file; only its suffix is used.
    data : bytes
    """
    if Path(name).suffix.lower() not in MIDI_SUFFIXES:
        return None
    try:
        with _as_file(data, Path(name).suffix.lower()) as path:
            notes, expression = READER.read_performed(path, STEPS_PER_QUARTER, seconds=READ_SECONDS, name=name)
    except ClaraError:
        return None
    return None if expression.is_flat else PlayedPrompt(notes, expression, math.inf)


@contextmanager
def _as_file(data, suffix):
    """Give the path of a file that holds some bytes for a while."""
    with tempfile.TemporaryDirectory(prefix="clara-") as folder:
        path = Path(folder, "music" + suffix)
        path.write_bytes(data)
        yield path


def _read(name, suffix, data, encoding):
    """Read music in a process with limits, and fit it to an encoding."""
    with _as_file(data, suffix) as path:
        notes, losses = READER.read(
            path, encoding.steps_per_quarter, encoding.ensemble, seconds=READ_SECONDS, name=name
        )
    if not len(notes):
        raise NoNotes(f"{name}: no notes in it")
    notes, range_losses = encoding.fold_to_range(notes)
    return notes, losses + range_losses


@lru_cache(maxsize=len(EXAMPLES))
def load_example(name: str) -> NoteSequence:
    """Return the beginning of one of `EXAMPLES`; raise BadMusicFile for another name."""
    if name not in EXAMPLES:
        raise BadMusicFile(f"no example {name!r}; choose one of {', '.join(EXAMPLES)}")
    example = EXAMPLES[name]
    notes, _ = read_prompt(f"music21:{example.source}", Notewise(STEPS_PER_QUARTER))
    return crop(notes, 0, example.quarters * STEPS_PER_QUARTER)


def quantize_key_presses(key_presses: object, qpm: float, time_signature: str = "4/4") -> NoteSequence:
    """Return the notes played on the page's keyboard, rounded to the grid; the first one starts at step 0.

    Parameters
    ----------
    key_presses : list of [pitch, start, end] or [pitch, start, end, velocity]
        MIDI pitch, times in seconds, and how hard the key was pressed, 1-127.
    qpm : float
        Tempo at which they were played, in quarter notes per minute.
    time_signature : str
        In which they were played.

    Raises
    ------
    NoNotes, TooLong, BadMusicFile
        For no notes, too many, or values that no keyboard sends.
    BadSetting
        If the time signature is none.
    """
    signature = parse_time_signature(time_signature)
    pitch, start, end, _ = _parse_key_presses(key_presses)
    if not (math.isfinite(qpm) and end.max() * qpm / 60 <= MAX_QUARTERS):
        raise TooLong(f"longer than {MAX_QUARTERS:,} quarters")
    start_steps, end_steps = (
        np.floor(seconds * qpm / 60 * STEPS_PER_QUARTER + 0.5).astype(np.int64) for seconds in (start, end)
    )
    end_steps = np.maximum(end_steps, start_steps + 1)
    return build_notes(
        start_steps,
        end_steps,
        pitch,
        steps_per_quarter=STEPS_PER_QUARTER,
        qpm=qpm,
        time_signatures=((0, *signature),),
    )[0]


def hear_key_presses(key_presses: object) -> Upload:
    """Return the notes played on a keyboard, on the beats that Clara hears in them, and how they were played.

    Parameters and errors as of `quantize_key_presses`.
    """
    pitch, start, end, velocity = _parse_key_presses(key_presses)
    if end.max() > MAX_PLAYED_SECONDS:
        raise TooLong(f"longer than {MAX_PLAYED_SECONDS // 60} minutes")
    # Any: symusic's type hints leave open what these calls return
    recording: Any = Score(RECORDING_TICKS_PER_QUARTER)
    recording.tempos.append(Tempo(0, qpm=60))  # so that a quarter lasts a second
    recording.tracks.append(Track())
    begin, until = (np.rint(seconds * RECORDING_TICKS_PER_QUARTER).astype(np.int64) for seconds in (start, end))
    columns = begin, np.maximum(until - begin, 1), pitch, velocity
    for note in zip(*(column.tolist() for column in columns)):
        recording.tracks[0].notes.append(Note(*note))
    alignment = align_midi(recording.dumps_midi())
    name = "what you played.mid"
    notes, losses = read_upload(name, alignment.midi)
    return Upload(notes, losses, read_upload_expression(name, alignment.midi), alignment.describe())


def _parse_key_presses(key_presses):
    """Return arrays of pitches, of starts and ends in seconds from the first start on, and of velocities."""
    if not key_presses:
        raise NoNotes("nothing was played")
    if not isinstance(key_presses, list):
        raise BadMusicFile("the key presses must be a list of [pitch, start, end]")
    if len(key_presses) > MAX_NOTES:
        raise TooLong(f"{len(key_presses):,} notes, more than {MAX_NOTES:,}")
    try:
        rows = [[*press, USUAL_VELOCITY][:4] for press in key_presses]
        pitch, start, end, velocity = np.array(rows, dtype=np.float64).T
    except (ValueError, TypeError) as e:
        raise BadMusicFile("the key presses must be a list of [pitch, start, end]") from e
    on_piano = (pitch >= LOWEST_KEY).all() and (pitch <= HIGHEST_KEY).all()
    if not (np.isfinite([pitch, start, end, velocity]).all() and on_piano and (start <= end).all()):
        raise BadMusicFile(
            f"pitches must be from {LOWEST_KEY} to {HIGHEST_KEY}, and a note must not end before it starts"
        )
    first = start.min()
    return pitch.astype(np.int64), start - first, end - first, np.clip(velocity, 1, 127).astype(np.int64)
