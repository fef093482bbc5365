"""Piano rolls as SVG: small, sharp at any width, with time from left to right over the full width.

The picture holds no text, as stretching would distort it. Its paths have classes that a page colours: `part0`,
`part1`, …, `prompt`, `black` (rows of black keys) and `bars` (a line where a bar begins).
"""

from html import escape

import numpy as np

from clara.music.bars import bar_lines
from clara.music.notes import NoteSequence

BLACK_KEYS = (1, 3, 6, 8, 10)  # pitch classes
MARGIN = 2  # semitones above and below the notes
MIN_ROWS = 24
LONG_PIECE_QUARTERS = 160  # a longer piece has a line every LONG_PIECE_BARS bars only
LONG_PIECE_BARS = 4
ROW_GAP = 0.12  # of a row, between neighbouring pitches
# A note is drawn shorter by this, but at most by a quarter of its length, so that repeated notes look separate.
NOTE_GAP_QUARTERS = 1 / 24
# The colours of the listening page; see clara/rendering/pages/playlist.css.
COLOURS = """\
.roll .black{fill:#f1f0ec}.roll .bars{fill:none;stroke:#dddcd6;stroke-width:1px;vector-effect:non-scaling-stroke}\
.roll .part0{fill:#2f6fb2}.roll .part1{fill:#c2641c}.roll .part2{fill:#3d8a4f}.roll .part3{fill:#8a4fa0}\
.roll .prompt{fill:#8d8f98}"""


def unstyled_roll_svg(
    notes: NoteSequence, prompt_quarters: float = 0.0, title: str = "", min_quarters: float = 0.0
) -> str:
    """Return a piano roll for a page that styles its classes.

    Parameters
    ----------
    notes : NoteSequence
    prompt_quarters : float
        Notes that start before this belong to the prompt.
    title : str
        Description for screen readers, without markup.
    min_quarters : float
        Shortest time that the width stands for.

    Returns
    -------
    str
        An <svg> element.
    """
    return _roll(notes, prompt_quarters, title, min_quarters)


def styled_roll_svg(notes: NoteSequence, height: int, prompt_quarters: float = 0.0, title: str = "") -> str:
    """Return a piano roll with its own colours.

    Parameters
    ----------
    notes : NoteSequence
    height : int
        In pixels.
    prompt_quarters : float
        Notes that start before this belong to the prompt.
    title : str
        Description for screen readers, without markup.

    Returns
    -------
    str
        An <svg> element as wide as its container.
    """
    attributes = f' class="roll" style="display:block;width:100%;height:{height}px;background:white"'
    return _roll(notes, prompt_quarters, title, 0.0, attributes, f"<style>{COLOURS}</style>")


def _roll(notes, prompt_quarters, title, min_quarters, attributes="", style=""):
    """Return the <svg> element."""
    low, high = _pitch_range(notes)
    grid = notes.steps_per_quarter
    n_rows = high - low + 1
    width = max(notes.n_steps, round(max(min_quarters, 1) * grid))
    lines = bar_lines(notes.time_signatures, grid, width)
    if width > LONG_PIECE_QUARTERS * grid:
        lines = lines[::LONG_PIECE_BARS]
    black_keys = [pitch for pitch in range(low, high + 1) if pitch % 12 in BLACK_KEYS]
    black = "".join(f"M0 {high - pitch}h{width}v1h-{width}z" for pitch in black_keys)
    bars = "".join(f"M{float(line):g} 0v{n_rows}" for line in lines if line > 0)
    return (
        f'<svg{attributes} viewBox="0 0 {width} {n_rows}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title)}">{style}<path class="black" d="{black}"/><path class="bars" d="{bars}"/>'
        f"{_note_paths(notes, high, prompt_quarters)}</svg>"
    )


def _pitch_range(notes):
    """Return the lowest and the highest pitch to draw."""
    low, high = (int(notes.pitch.min()), int(notes.pitch.max())) if len(notes) else (60, 60)
    n_extra = max(2 * MARGIN, MIN_ROWS - (high - low + 1))
    return low - n_extra // 2, high + n_extra - n_extra // 2


def _note_paths(notes, high, prompt_quarters):
    """Return a path for the notes of each part, and one for the notes of each part's prompt."""
    in_prompt = notes.start < prompt_quarters * notes.steps_per_quarter
    gap = np.minimum(NOTE_GAP_QUARTERS * notes.steps_per_quarter, notes.duration / 4)
    width = notes.duration - gap
    paths = []
    for part in np.unique(notes.part):
        for suffix, is_prompt in ((" prompt", True), ("", False)):
            rectangles = [
                f"M{notes.start[i]} {high - notes.pitch[i] + ROW_GAP / 2:g}h{width[i]:g}v{1 - ROW_GAP:g}h-{width[i]:g}z"
                for i in np.flatnonzero((notes.part == part) & (in_prompt == is_prompt))
            ]
            if rectangles:
                paths.append(f'<path class="part{part}{suffix}" d="{"".join(rectangles)}"/>')
    return "".join(paths)


def octave_labels(notes: NoteSequence) -> list[tuple[str, float]]:
    """Return the name and the position of each C, as a share of the height from the top."""
    low, high = _pitch_range(notes)
    n_rows = high - low + 1
    cs = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    return [(f"C{pitch // 12 - 1}", (high - pitch + 0.5) / n_rows) for pitch in cs]


def n_pitch_rows(notes: NoteSequence) -> int:
    """Return how many semitones are drawn."""
    low, high = _pitch_range(notes)
    return high - low + 1
