"""Export pieces of the library: as one HTML file that plays, or as a zip of it with MIDI, sound and sheet music."""

import io
import zipfile
from collections.abc import Sequence

from clara.errors import ClaraError
from clara.music.bars import describe_time_signatures
from clara.music.midi import to_symusic_score
from clara.rendering.audio import encode_audio, has_mp3, synthesize
from clara.rendering.listening_page import MACHINE, PageEntry, PageSound, render_page
from clara_app.web.pieces import Piece
from clara_app.web.rendering import render

MAX_EXPORTED = 100  # pieces at once
MAX_ENGRAVED = 8  # pieces at once whose sheet music the playlist holds
ZIPPED_KINDS = ("mid", "wav", "musicxml")


def to_playlist(pieces: Sequence[tuple[Piece, dict, Sequence[bytes]]], soundfont=None) -> bytes:
    """Return one HTML file that plays pieces, and holds their sound, piano rolls, sheet music and MIDI.

    Parameters
    ----------
    pieces : sequence of (piece, facts, sheets)
        As the library keeps them, the facts hold the scores; and pages of sheet music as SVG, or none.
    soundfont : path, optional
        Default: the one that pretty_midi installs.
    """
    entries = [_entry(number, *piece, soundfont) for number, piece in enumerate(pieces, start=1)]
    return render_page(entries, {"model": "Clara"}).encode()


def to_zip(pieces: Sequence[tuple[Piece, dict, Sequence[bytes]]], soundfont=None) -> bytes:
    """Return a zip file with the playlist, and each piece as MIDI, WAV and MusicXML; parameters as `to_playlist`."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.html", to_playlist(pieces, soundfont))
        for number, (piece, *_) in enumerate(pieces, start=1):
            for kind in ZIPPED_KINDS:
                content = _render_or_none(piece, kind, soundfont)
                if content is not None:
                    archive.writestr(f"{number:02d}.{kind}", content)
    return data.getvalue()


def _render_or_none(piece, kind, soundfont):
    """Return a piece as a file; None if it cannot be one, such as sheet music that is too dense."""
    try:
        return render(piece, kind, soundfont)[0]
    except ClaraError:
        return None


def _entry(number, piece, facts, sheets, soundfont):
    """Return the entry of a piece on the playlist."""
    audio_format = "mp3" if has_mp3() else "flac"
    name = f"{number:02d}"
    notes, expression = piece.notes, piece.expression
    sound = encode_audio(synthesize(notes, soundfont, expression=expression), audio_format, small=has_mp3())
    return PageEntry(
        notes=notes,
        prompt_quarters=piece.prompt_quarters,
        figures={
            "notes": len(notes),
            "quarters": round(notes.quarters, 3),
            "time_signature": describe_time_signatures(notes.time_signatures),
            "seconds": round(float(expression.seconds_at(notes.quarters)), 1),
            "seed": piece.seed,
        },
        scores=facts.get("scores", {}),
        midi=to_symusic_score(notes, expression=expression).dumps_midi(),
        midi_name=f"{name}.mid",
        sound=PageSound(audio_format, sound, f"{name}.{audio_format}"),
        author=MACHINE,
        title=piece.title,
        plan=piece.plan,
        expression=expression,
        sheets=sheets,
    )
