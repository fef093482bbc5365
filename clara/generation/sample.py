"""A composed piece, which can show and play itself in a notebook."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from clara.form.plan import Plan
from clara.music.midi import write_midi
from clara.music.notes import NoteSequence, crop
from clara.sampling.settings import SamplingSettings
from clara.wording import count_of

if TYPE_CHECKING:
    from clara.music.expression import Expression
    from clara.performing.playing import PlayedPrompt


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
    plan : Plan or None
        What it follows, prompt included. None if its model follows no plans, and around a fixed melody or in a gap,
        where nothing is planned.
    played_prompt : PlayedPrompt or None
        How the prompt is played, if it carries expression.
    """

    tokens: list[str]
    notes: NoteSequence
    prompt_tokens: int
    prompt_quarters: float
    seed: int
    settings: SamplingSettings = field(default_factory=SamplingSettings)
    plan: Plan | None = None
    played_prompt: "PlayedPrompt | None" = None

    @cached_property
    def expression(self) -> "Expression":
        """Return how the piece is played; its seed is that of the performance, too."""
        from clara.performing.playing import play  # slow to import

        return play(self.notes, self.seed, self.played_prompt)

    def composed(self) -> NoteSequence:
        """Return the notes after the prompt."""
        first_step = round(self.prompt_quarters * self.notes.steps_per_quarter)
        return crop(self.notes, first_step, max(first_step, self.notes.n_steps)) if first_step else self.notes

    def without_prompt(self) -> "Sample":
        """Return the composed part alone, as text and as notes."""
        return replace(
            self,
            tokens=self.tokens[self.prompt_tokens :],
            notes=self.composed(),
            prompt_tokens=0,
            prompt_quarters=0.0,
            plan=None,
            played_prompt=None,
        )

    def write_midi(self, path: str | Path, flat: bool = False) -> None:
        """Write the whole piece to a MIDI file.

        Parameters
        ----------
        path : path
        flat : bool
            Write one velocity, one tempo and no pedal (default: as the piece is performed).

        Raises
        ------
        CannotWrite
            If the file cannot be written.
        """
        write_midi(self.notes, path, flat, None if flat else self.expression)

    def _repr_html_(self) -> str:
        from clara.rendering.html import music_html  # slow to import

        notes = self.notes
        seconds = self.expression.seconds_at(notes.quarters)
        length = f"{count_of(notes.quarters, 'quarter')}, {seconds:.0f} s"
        caption = f"seed {self.seed}: {count_of(len(notes), 'note')}, {length}"
        return music_html(notes, caption, self.prompt_quarters, self.expression)

    def show(self) -> None:
        """Show a player, a piano roll and a score: in a notebook below the cell, elsewhere in the web browser."""
        from clara.rendering.html import show_html  # slow to import

        show_html(self)
