"""Read music from a file of any format that Clara knows, or from music21's corpus.

MIDI (.mid, .midi, .kar, .rmi), MusicXML (.musicxml, .xml, .mxl), Humdrum **kern (.krn) and ABC (.abc).
To write notes, see `clara.music.midi.write_midi`.
"""

from collections import Counter
from pathlib import Path

from clara.music.limited_reader import shared_reader
from clara.music.midi import read_midi
from clara.music.notes import NoteSequence
from clara.music.score_text import SCORE_SUFFIXES
from clara.music.scores import read_score

MUSIC21_PREFIX = "music21:"


def read_music(source, steps_per_quarter: int = 12, *, ensemble: str = "piano") -> NoteSequence:
    """Read music as notes on a grid.

    Parameters
    ----------
    source : path, or str
        A file in any format that Clara knows, or `music21:NAME` for a piece in music21's corpus, such
        as `music21:bach/bwv66.6`. A file with an unknown suffix is read as MIDI.
    steps_per_quarter : int
        The grid.
    ensemble : str
        A name in `clara.music.instruments.ENSEMBLES`; with "piano" all parts become one.

    Returns
    -------
    NoteSequence
        `read_music_and_losses` also returns what reading lost.

    Raises
    ------
    BadMusicFile
        If the file cannot be read as music, or there is no such file or piece.
    NoNotes
        If it holds no pitched note.
    TooLong
        If it exceeds the limits on bytes, notes or quarters.
    WrongEnsemble
        If its parts are not those of the ensemble.

    Examples
    --------
    >>> read_music("music21:bach/bwv66.6")
    NoteSequence(154 notes, 36 quarters at 96 qpm, 12 steps per quarter)
    """
    return read_music_and_losses(source, steps_per_quarter, ensemble=ensemble)[0]


def read_music_and_losses(
    source, steps_per_quarter: int = 12, *, ensemble: str = "piano"
) -> tuple[NoteSequence, Counter]:
    """Read music as `read_music` does, and count what the grid and the file's format lost.

    A score is read in a process with limits of time and memory, see `clara.music.limited_reader`.

    Returns
    -------
    notes : NoteSequence
    losses : Counter
        See `clara.music.midi.read_midi` and `clara.music.scores.read_score`.
    """
    is_score = Path(source).suffix.lower() in SCORE_SUFFIXES and Path(source).is_file()
    if is_score:
        return shared_reader().read(source, steps_per_quarter, ensemble)
    return read_directly(source, steps_per_quarter, ensemble=ensemble)


def read_directly(source, steps_per_quarter: int = 12, *, ensemble: str = "piano") -> tuple[NoteSequence, Counter]:
    """Read music as `read_music_and_losses` does, in this process and without limits of time and memory."""
    if str(source).startswith(MUSIC21_PREFIX):
        name = str(source).removeprefix(MUSIC21_PREFIX)
        return read_score(name, steps_per_quarter=steps_per_quarter, ensemble=ensemble)
    reader = read_score if Path(source).suffix.lower() in SCORE_SUFFIXES else read_midi
    return reader(source, steps_per_quarter=steps_per_quarter, ensemble=ensemble)
