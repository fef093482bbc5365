"""Find the pieces that SOURCE arguments on the command line stand for, and read them.

A source is a folder of MIDI files and scores at any depth (the first folder level names the
composer), a single file, or `music21:composer` for the corpus that music21 installs. Each tune
of an ABC file with several tunes is a piece, named by its number in the file. A work present
as MIDI and as a score is two pieces here; `clara.data.musical_works` finds that they are one work.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clara.errors import NoData
from clara.music.midi import MIDI_SUFFIXES, read_midi
from clara.music.read import MUSIC21_PREFIX
from clara.music.score_text import SCORE_SUFFIXES, count_tunes
from clara.music.scores import corpus_paths, read_score

SUFFIXES = (*MIDI_SUFFIXES, *SCORE_SUFFIXES)
UNKNOWN_COMPOSER = "unknown"  # for a file that lies in no folder


@dataclass(frozen=True)
class Piece:
    """One file, or one tune of a file, to read.

    Attributes
    ----------
    name : str
        `composer/piece` without suffix, unique in a corpus.
    composer : str
    path : Path
    tune : int or None
        Number of the tune, from 1, in an ABC file with several tunes.
    """

    name: str
    composer: str
    path: Path
    tune: int | None = None

    @property
    def is_midi(self) -> bool:
        """Return whether the piece is a MIDI file rather than a score."""
        return self.path.suffix.lower() in MIDI_SUFFIXES


def find_pieces(sources: Sequence[str], exclude: Collection[str] = ()) -> list[Piece]:
    """Return the pieces of all sources, with unique names.

    Parameters
    ----------
    sources : sequence of str
    exclude : collection of str
        Composers to leave out.

    Raises
    ------
    NoData
        If a source does not exist or holds no music.
    """
    pieces = []
    seen_paths = set()
    for source in sources:
        for name, composer, path in _list_files(source):
            if composer in exclude or path in seen_paths:
                continue
            seen_paths.add(path)
            pieces += _split_tunes(Piece(name, composer, path))
    if not pieces:
        raise NoData(f"{', '.join(sources)}: nothing left of it after excluding {', '.join(exclude)}")
    return _with_unique_names(pieces)


def _list_files(source):
    """Return (name, composer, path) of each file of one source, sorted."""
    if source.startswith(MUSIC21_PREFIX):
        composer = source.removeprefix(MUSIC21_PREFIX)
        return [(f"{composer}/{Path(path).stem}", composer, Path(path)) for path in corpus_paths(composer)]
    root = Path(source)
    if root.is_file():
        return [(f"{UNKNOWN_COMPOSER}/{root.stem}", UNKNOWN_COMPOSER, root)]
    if not root.is_dir():
        raise NoData(f"{source}: no such file or folder")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise NoData(f"{source}: no music in this folder ({', '.join(SUFFIXES)} are looked for, at any depth)")
    return [_name_file(path, root) for path in files]


def _name_file(path, root):
    """Return (name, composer, path) of a file below a folder."""
    inner = path.relative_to(root).with_suffix("")
    if len(inner.parts) == 1:
        return f"{UNKNOWN_COMPOSER}/{inner}", UNKNOWN_COMPOSER, path
    return inner.as_posix(), inner.parts[0], path


def _split_tunes(piece):
    """Return a piece for each tune of a file."""
    n_tunes = count_tunes(piece.path)
    if n_tunes == 1:
        return [piece]
    return [replace(piece, name=f"{piece.name}/{i}", tune=i) for i in range(1, n_tunes + 1)]


def _with_unique_names(pieces):
    """Append a number to later pieces of the same name, ignoring case."""
    unique = []
    seen_names = set()
    for piece in pieces:
        stem = escape_undecodable(piece.name)
        name = stem
        number = 1
        while name.lower() in seen_names:
            number += 1
            name = f"{stem}-{number}"
        seen_names.add(name.lower())
        unique.append(replace(piece, name=name, composer=escape_undecodable(piece.composer)))
    return unique


def escape_undecodable(text: str) -> str:
    """Write bytes of a file name that are not UTF-8 as `%F6`, so that any file can hold the text."""
    return re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)


def read_piece(
    piece: Piece,
    *,
    steps_per_quarter: int,
    sustain: bool = False,
    ensemble: str = "piano",
    solo_track: str | None = None,
):
    """Read a piece with the reader for its format.

    Parameters
    ----------
    piece : Piece
    steps_per_quarter, sustain, ensemble, solo_track
        As in `clara.music.midi.read_midi`; `sustain` applies to MIDI files only.

    Returns
    -------
    notes : NoteSequence
    losses : Counter

    Raises
    ------
    ClaraError
        If the reader cannot read the file.
    """
    settings = {"steps_per_quarter": steps_per_quarter, "ensemble": ensemble, "solo_track": solo_track}
    if piece.is_midi:
        return read_midi(piece.path, sustain=sustain, **settings)
    return read_score(piece.path, tune=piece.tune, **settings)
