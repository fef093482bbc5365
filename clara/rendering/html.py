"""Fragments of HTML that show music in a notebook: an audio player, a piano roll and sheet music.

The markup needs no style sheet, no script and no network.
"""

import tempfile
import webbrowser
from base64 import b64encode
from html import escape
from pathlib import Path

from clara.errors import ClaraError
from clara.music.expression import Expression
from clara.music.notes import NoteSequence
from clara.rendering.audio import MEDIA_TYPES, encode_audio, has_mp3, synthesize
from clara.rendering.engraving import to_svg
from clara.rendering.roll_svg import n_pitch_rows, styled_roll_svg

PIXELS_PER_ROW = 4  # of a piano roll, for each semitone
MIN_HEIGHT = 120  # pixels
MAX_HEIGHT = 280


def music_html(
    notes: NoteSequence, caption: str, prompt_quarters: float = 0.0, expression: Expression | None = None
) -> str:
    """Return a caption, an audio player, a piano roll, and sheet music that opens on a click.

    A part that cannot be made, as sound without a soundfont, is replaced by the reason.

    Parameters
    ----------
    notes : NoteSequence
    caption : str
        Text without markup.
    prompt_quarters : float
        Notes that start before this belong to the prompt and are grey.
    expression : Expression, optional
        How the notes are played (default: as the performer that comes with Clara plays them).
    """
    player = _or_reason("sound", lambda notes: audio_player_html(notes, expression=expression), notes)
    score = _or_reason("score", score_svg, notes)
    return (
        f"<div><p>{escape(caption)}</p>{player}{piano_roll_svg(notes, prompt_quarters)}"
        f"<details><summary>Score</summary>{score}</details></div>"
    )


def _or_reason(name, render, notes):
    """Return what a function renders, or a line that says why it cannot."""
    try:
        return render(notes)
    except (ClaraError, ImportError, OSError) as e:
        return f"<p>No {name}: {escape(str(e))}</p>"


def show_html(item) -> None:
    """Show an object that has `_repr_html_`: in a notebook below the cell, elsewhere in the web browser."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = None
    if get_ipython and get_ipython() is not None:
        display(item)
        return
    page = Path(tempfile.mkdtemp(prefix="clara-"), "piece.html")
    page.write_text(f'<!DOCTYPE html><meta charset="utf-8">{item._repr_html_()}', encoding="utf-8")
    webbrowser.open(page.as_uri())


def audio_player_html(notes: NoteSequence, soundfont: str | None = None, expression: Expression | None = None) -> str:
    """Return an audio player that holds the sound of the notes.

    Parameters
    ----------
    notes : NoteSequence
    soundfont : path, optional
        An .sf2 file (default: the one that pretty_midi installs).
    expression : Expression, optional
        How the notes are played (default: as the performer that comes with Clara plays them).

    Returns
    -------
    str
        An <audio> element with the sound as MP3, or as WAV where this machine writes no MP3.

    Raises
    ------
    BadSetting
        If the soundfont is missing or broken.
    """
    audio_format = "mp3" if has_mp3() else "wav"
    if expression is None:
        from clara.performing.playing import play  # slow to import

        expression = play(notes)
    data = encode_audio(synthesize(notes, soundfont, expression=expression), audio_format, small=True)
    source = f"data:{MEDIA_TYPES[audio_format]};base64,{b64encode(data).decode('ascii')}"
    return f'<audio controls preload="none" style="width:100%" src="{source}"></audio>'


def piano_roll_svg(notes: NoteSequence, prompt_quarters: float = 0.0, title: str = "Piano roll") -> str:
    """Return a piano roll with a colour for each part.

    Parameters
    ----------
    notes : NoteSequence
    prompt_quarters : float
        Notes that start before this belong to the prompt and are grey.
    title : str
        Description for screen readers, without markup.

    Returns
    -------
    str
        An <svg> element as wide as its container.
    """
    height = min(max(n_pitch_rows(notes) * PIXELS_PER_ROW, MIN_HEIGHT), MAX_HEIGHT)
    return styled_roll_svg(notes, height, prompt_quarters, title)


def score_svg(notes: NoteSequence, title: str = "", page: int = 1) -> str:
    """Return one page of the notes as sheet music on white paper.

    Parameters
    ----------
    notes : NoteSequence
    title : str
    page : int
        From 1.

    Returns
    -------
    str
        A <div> with an <svg> element.

    Raises
    ------
    NoNotes
        If there are none.
    BadSetting
        If there is no such page.
    """
    return f'<div style="background:white;overflow:auto">{to_svg(notes, title, page)}</div>'
