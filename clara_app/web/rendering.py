"""A piece as files: MIDI, WAV, MusicXML, a picture, pages of a score."""

import io

from clara.errors import BadSetting

KINDS = {
    "mid": "audio/midi",
    "wav": "audio/wav",
    "musicxml": "application/vnd.recordare.musicxml+xml",
    "png": "image/png",
    "svg": "image/svg+xml",
}


def render(piece, kind, soundfont=None):
    """A piece as a file.

    Parameters
    ----------
    piece : clara_app.web.piece_store.Piece
    kind : one of KINDS
    soundfont : path, or None for the installed one

    Returns
    -------
    list of bytes, one for each page where it is `svg`, else one

    Raises
    ------
    BadSetting, NoNotes
        For another kind, and a score of nothing.
    """
    made = {"mid": _midi, "wav": _wav, "musicxml": _musicxml, "png": _png, "svg": _svg}
    if kind not in made:
        raise BadSetting(f"no {kind!r}; there are {', '.join(KINDS)}")
    return made[kind](piece, soundfont)


def _midi(piece, _):
    from clara.music.midi import to_symusic_score

    return [to_symusic_score(piece.notes).dumps_midi()]


def _wav(piece, soundfont):
    from clara.rendering.audio import encode_audio, synthesize

    return [encode_audio(synthesize(piece.notes, soundfont), "wav")]


def _musicxml(piece, _):
    from clara.rendering.engraving import to_musicxml

    return [to_musicxml(piece.notes, piece.title).encode()]


def _png(piece, _):
    from clara.rendering.plots import plot_piano_roll

    picture = io.BytesIO()
    plot_piano_roll(
        piece.notes,
        prompt_quarters=piece.prompt_quarters,
        title=piece.title,
        window_log_odds=piece.curve or None,
        first_window_quarter=piece.prompt_quarters,
        window_quarters=piece.window_quarters,
    ).savefig(picture)
    return [picture.getvalue()]


def _svg(piece, _):
    from clara.rendering.engraving import to_svgs

    return [page.encode() for page in to_svgs(piece.notes, piece.title)]
