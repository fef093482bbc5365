"""What a SOURCE on the command line stands for: a list of pieces to read.

A source is a folder of MIDI files and scores at any depth (the first folder level names the
composer), one file, or `music21:composer` for the corpus that music21 installs. Each tune
of an ABC file that holds several is a piece, named by its number in the file. One piece as
MIDI and as score is two pieces here; `data_prep.musical_works` finds that they are one work.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from clara.errors import NoData
from clara.music.midi import read_midi
from clara.music.score_text import SCORE_SUFFIXES, count_tunes
from clara.music.scores import corpus_paths, read_score

MIDI_SUFFIXES = (".mid", ".midi", ".kar")
SUFFIXES = (*MIDI_SUFFIXES, *SCORE_SUFFIXES)
MUSIC21 = "music21:"
UNKNOWN = "unknown"  # composer of a file that lies in no folder


@dataclass(frozen=True)
class Piece:
    """One file, or one tune of a file, to read.

    Attributes
    ----------
    name : `composer/piece`, unique in a corpus, without suffix
    composer : str
    path : Path of the file
    tune : of an ABC file with several, which one, from 1
    """

    name: str
    composer: str
    path: Path
    tune: int | None = None

    @property
    def is_midi(self):
        """Read by symusic, not by music21."""
        return self.path.suffix.lower() in MIDI_SUFFIXES


def find_pieces(sources, exclude=()):
    """The pieces of all sources, names made unique.

    Parameters
    ----------
    sources : list of str
    exclude : composers to leave out

    Raises
    ------
    NoData
        If a source is not there or holds no music.
    """
    pieces, taken = [], set()
    for source in sources:
        for name, composer, path in _found(source):
            if composer in exclude or path in taken:
                continue
            taken.add(path)
            pieces += _tunes(Piece(name, composer, path))
    if not pieces:
        raise NoData(f"{', '.join(sources)}: nothing left of it after excluding {', '.join(exclude)}")
    return _unique(pieces)


def _found(source):
    """(name, composer, path) of each piece of one source, sorted."""
    if source.startswith(MUSIC21):
        composer = source[len(MUSIC21) :]
        return [(f"{composer}/{p.stem}", composer, p) for p in map(Path, corpus_paths(composer))]
    root = Path(source)
    if root.is_file():
        return [(f"{UNKNOWN}/{root.stem}", UNKNOWN, root)]
    if not root.is_dir():
        raise NoData(f"{source}: no such file or folder")
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise NoData(f"{source}: no music in this folder ({', '.join(SUFFIXES)} are looked for, at any depth)")
    return [_named(path, root) for path in files]


def _named(path, root):
    """(name, composer, path) of a file below a folder."""
    inner = path.relative_to(root).with_suffix("")
    composer = inner.parts[0] if len(inner.parts) > 1 else UNKNOWN
    name = inner.as_posix() if len(inner.parts) > 1 else f"{UNKNOWN}/{inner}"
    return name, composer, path


def _tunes(piece):
    """A piece for each tune of its file."""
    n = count_tunes(piece.path)
    return [piece] if n == 1 else [replace(piece, name=f"{piece.name}/{i}", tune=i) for i in range(1, n + 1)]


def _unique(pieces):
    """Pieces whose names differ, also where file systems ignore case: the later get a number."""
    out, seen = [], set()
    for piece in pieces:
        name = stem = escape_undecodable(piece.name)
        n = 1
        while name.lower() in seen:
            n += 1
            name = f"{stem}-{n}"
        seen.add(name.lower())
        out.append(replace(piece, name=name, composer=escape_undecodable(piece.composer)))
    return out


def escape_undecodable(text):
    """A file name or a message with one, its bytes that are no UTF-8 as %F6, so that any file can hold it."""
    return re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)


def read_piece(piece, *, steps_per_quarter, sustain=False, ensemble="piano", solo_track=None):
    """Read a piece as (notes, losses); takes and raises what its reader does."""
    settings = {"steps_per_quarter": steps_per_quarter, "ensemble": ensemble, "solo_track": solo_track}
    if piece.is_midi:
        return read_midi(piece.path, sustain=sustain, **settings)
    return read_score(piece.path, tune=piece.tune, **settings)
