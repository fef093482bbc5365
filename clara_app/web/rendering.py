"""Render a piece as a file: MIDI, sound, MusicXML, a picture, pages of sheet music, or the times of its quarters."""

import io
import json
import tempfile
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from clara.errors import BadSetting
from clara_app.web.hearing import AS_IT_IS, Hearing, hear
from clara_app.web.library import Library
from clara_app.web.pieces import Piece

AUDIO_FORMATS = ("wav", "flac", "mp3")
MAX_RENDERED = 64  # pieces to keep the files of
MAX_RENDERED_BYTES = 512 << 20  # of all files

MEDIA_TYPES = {
    "mid": "audio/midi",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "musicxml": "application/vnd.recordare.musicxml+xml",
    "png": "image/png",
    "svg": "image/svg+xml",
    "json": "application/json",
}


def render(piece: Piece, kind: str, soundfont: str | Path | None = None) -> list[bytes]:
    """Render a piece.

    Parameters
    ----------
    piece : Piece
    kind : str
        One of `MEDIA_TYPES`.
    soundfont : path, optional
        Default: the one that pretty_midi installs.

    Returns
    -------
    list of bytes
        One file for each page of sheet music (`svg`), otherwise one file.

    Raises
    ------
    BadSetting
        If the kind is unknown.
    NoNotes
        If sheet music is asked for and there are no notes.
    TooLong
        If there is too much for sheet music.
    """
    if kind == "mid":
        return [_to_midi(piece)]
    if kind in AUDIO_FORMATS:
        return [_to_audio(piece, soundfont, kind)]
    if kind == "musicxml":
        return [_to_musicxml(piece)]
    if kind == "png":
        return [_to_png(piece)]
    if kind == "json":
        return [_to_times(piece)]
    if kind == "svg":
        return _to_svg_pages(piece)
    raise BadSetting(f"unknown kind of file {kind!r}; choose one of {', '.join(MEDIA_TYPES)}")


def _to_midi(piece):
    from clara.music.midi import to_symusic_score

    return to_symusic_score(piece.notes, expression=piece.expression).dumps_midi()


def _to_audio(piece, soundfont, kind):
    from clara.rendering.audio import encode_audio, synthesize

    return encode_audio(synthesize(piece.notes, soundfont, expression=piece.expression), kind)


def _to_times(piece):
    from clara.rendering.listening_page import timing

    return json.dumps(timing(piece.expression, max(piece.notes.quarters, 0.1))).encode()


def _to_musicxml(piece):
    from clara.rendering.engraving import to_musicxml

    return to_musicxml(piece.notes, piece.title).encode()


def _to_png(piece):
    from clara.rendering.plots import plot_piano_roll

    picture = io.BytesIO()
    plot_piano_roll(
        piece.notes,
        prompt_quarters=piece.prompt_quarters,
        title=piece.title,
        window_log_odds=piece.window_log_odds or None,
        first_window_quarter=piece.prompt_quarters,
        window_quarters=piece.window_quarters,
        plan=piece.plan,
    ).savefig(picture)
    return picture.getvalue()


def _to_svg_pages(piece):
    from clara.rendering.engraving import to_svgs

    return [page.encode() for page in to_svgs(piece.notes, piece.title)]


class RenderedFiles:
    """Files that were rendered recently, in a temporary folder, so that Starlette can serve parts of them.

    Parameters
    ----------
    library : Library
    soundfont : path, optional
    """

    def __init__(self, library: Library, soundfont: str | Path | None = None) -> None:
        self.library = library
        self.soundfont = soundfont
        self.folder = tempfile.TemporaryDirectory(prefix="clara-page-")
        self._paths: OrderedDict[tuple[str, str, Hearing], list[Path]] = OrderedDict()
        self._n_bytes: dict[tuple[str, str, Hearing], int] = {}
        self._lock = Lock()
        self._render_lock = Lock()  # music21 and verovio must not run in several threads

    def get(self, piece_id: str, kind: str, hearing: Hearing = AS_IT_IS) -> list[Path] | None:
        """Return the files of a piece, one for each page; None if the piece is not here any more.

        Raises
        ------
        BadSetting, NoNotes, TooLong
            As `render` and `clara_app.web.hearing.hear`.
        """
        piece = self.library.get(piece_id)
        if piece is None:
            return None
        key = (piece_id, kind, hearing)
        with self._lock:
            if key in self._paths:
                self._paths.move_to_end(key)
                return self._paths[key]
        with self._render_lock:
            pages = render(hear(piece, hearing), kind, self.soundfont)
            name = f"{piece_id}-{hearing.flat:d}{hearing.semitones:+d}{hearing.only}"
            paths = [Path(self.folder.name, f"{name}-{number}.{kind}") for number in range(1, len(pages) + 1)]
            for path, data in zip(paths, pages):
                path.write_bytes(data)
        with self._lock:
            self._paths[key] = paths
            self._n_bytes[key] = sum(map(len, pages))
            self._drop_old()
        return paths

    def _drop_old(self):
        """Drop the files that are too many or too large together, but not the newest."""
        while len(self._paths) > 1 and (
            len(self._paths) > MAX_RENDERED or sum(self._n_bytes.values()) > MAX_RENDERED_BYTES
        ):
            key, paths = self._paths.popitem(last=False)
            del self._n_bytes[key]
            for path in paths:
                path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._paths)

    def close(self) -> None:
        """Remove the files."""
        self.folder.cleanup()
