"""A piano roll as SVG to stand in a page: small, sharp at any width, coloured by the page's style.

Time goes from left to right and fills the width, pitch goes upwards; no text is in it, as that would be stretched with it.
The page colours the classes `part0` and so on, `prompt`, `black` (rows of black keys) and `bars` (a line every four
quarter notes).
"""

from html import escape

import numpy as np

BLACK_KEYS = (1, 3, 6, 8, 10)
MARGIN = 2  # semitones above and below
LEAST_ROWS = 24
LINE_QUARTERS, FAR_LINE_QUARTERS, FAR = 4, 16, 160  # between lines; and where a piece is longer than FAR quarters
GAP = 0.12  # of a row, between neighbours
REST_QUARTERS = (
    1 / 24
)  # by which a note is drawn shorter, so that repeated ones are seen apart; at most a quarter of it


def unstyled_roll_svg(notes, prompt_quarters=0.0, title="", quarters=0.0):
    """Draw notes.

    Parameters
    ----------
    notes : NoteSequence
    prompt_quarters : what starts before this belongs to the prompt
    title : text without markup, for those who do not see it
    quarters : the least that the width stands for

    Returns
    -------
    str, an <svg> element
    """
    low, high = _rows(notes)
    width, rows = max(notes.n_steps, round(max(quarters, 1) * notes.steps_per_quarter)), high - low + 1
    every = (LINE_QUARTERS if width <= FAR * notes.steps_per_quarter else FAR_LINE_QUARTERS) * notes.steps_per_quarter
    black = "".join(f"M0 {high - key}h{width}v1h-{width}z" for key in range(low, high + 1) if key % 12 in BLACK_KEYS)
    bars = "".join(f"M{at} 0v{rows}" for at in range(every, width, every))
    return (
        f'<svg viewBox="0 0 {width} {rows}" preserveAspectRatio="none" role="img" aria-label="{escape(title)}">'
        f'<path class="black" d="{black}"/><path class="bars" d="{bars}"/>{_bars_of_notes(notes, high, prompt_quarters)}</svg>'
    )


def _rows(notes):
    """The lowest and highest MIDI number drawn."""
    low, high = (int(notes.pitch.min()), int(notes.pitch.max())) if len(notes) else (60, 60)
    more = max(2 * MARGIN, LEAST_ROWS - (high - low + 1))
    return low - more // 2, high + more - more // 2


def _bars_of_notes(notes, high, prompt_quarters):
    """A path for the notes of each part, and of each part's prompt."""
    of_prompt, paths = notes.start < prompt_quarters * notes.steps_per_quarter, []
    drawn = notes.duration - np.minimum(REST_QUARTERS * notes.steps_per_quarter, notes.duration / 4)
    for part in np.unique(notes.part):
        for told, prompt in ((" prompt", True), ("", False)):
            rows = np.flatnonzero((notes.part == part) & (of_prompt == prompt))
            d = "".join(
                f"M{notes.start[i]} {high - notes.pitch[i] + GAP / 2:g}h{drawn[i]:g}v{1 - GAP:g}h-{drawn[i]:g}z"
                for i in rows
            )
            if d:
                paths.append(f'<path class="part{part}{told}" d="{d}"/>')
    return "".join(paths)


def octave_labels(notes):
    """Where the Cs stand: list of (name, share of the height from the top)."""
    low, high = _rows(notes)
    return [
        (f"C{key // 12 - 1}", (high - key + 0.5) / (high - low + 1)) for key in range(low, high + 1) if key % 12 == 0
    ]


def n_pitch_rows(notes):
    """How many semitones are drawn."""
    low, high = _rows(notes)
    return high - low + 1
