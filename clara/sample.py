"""A composed piece, which can show and play itself in a notebook."""

import tempfile
import webbrowser
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from clara.errors import ClaraError
from clara.music.midi import write_midi
from clara.music.notes import NoteSequence, crop
from clara.sampling.settings import SamplingSettings


@dataclass(frozen=True)
class Sample:
    """One composed piece.

    A notebook shows it as a player, a piano roll and a score.

    Attributes
    ----------
    tokens : list of str
        The text of the piece, prompt included, without control tokens.
    notes : NoteSequence
        The notes of the piece, prompt included.
    prompt_tokens : int
        How many of the tokens are the prompt's.
    prompt_quarters : float
        Length of the prompt in quarter notes.
    seed : int
        Of the piece's random generator.
    settings : SamplingSettings
        The settings that it was sampled with.
    """

    tokens: list[str]
    notes: NoteSequence
    prompt_tokens: int
    prompt_quarters: float
    seed: int
    settings: SamplingSettings = field(default_factory=SamplingSettings)

    def composed(self) -> NoteSequence:
        """Return the notes after the prompt."""
        first_step = round(self.prompt_quarters * self.notes.steps_per_quarter)
        return crop(self.notes, first_step, max(first_step, self.notes.n_steps)) if first_step else self.notes

    def write_midi(self, path: str | Path) -> None:
        """Write the whole piece to a MIDI file.

        Raises
        ------
        CannotWrite
            If the file cannot be written.
        """
        write_midi(self.notes, path)

    def _repr_html_(self) -> str:
        from clara.rendering.html import audio_player_html, piano_roll_svg, score_svg  # slow to import

        notes = self.notes
        caption = f"seed {self.seed}: {len(notes)} notes, {notes.quarters:g} quarters, {notes.seconds:.0f} s"
        player = _or_reason("sound", audio_player_html, notes)
        score = _or_reason("score", score_svg, notes)
        return (
            f'<div class="clara-sample"><p>{caption}</p>{player}{piano_roll_svg(notes, self.prompt_quarters)}'
            f"<details><summary>Score</summary>{score}</details></div>"
        )

    def show(self) -> None:
        """Show a player, a piano roll and a score: in a notebook below the cell, elsewhere in the web browser."""
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            get_ipython = None
        if get_ipython and get_ipython() is not None:
            display(self)
            return
        page = Path(tempfile.mkdtemp(prefix="clara-"), "piece.html")
        page.write_text(f'<!DOCTYPE html><meta charset="utf-8">{self._repr_html_()}', encoding="utf-8")
        webbrowser.open(page.as_uri())


def _or_reason(name, render, notes):
    """Return what a function renders, or a line that says why it cannot."""
    try:
        return render(notes)
    except (ClaraError, ImportError, OSError) as e:
        return f"<p>No {name}: {escape(str(e))}</p>"
