"""Forms: which bars of a piece return to which, whatever its keys and harmonies.

A form is written as letters (`AABA`), or as letters with numbers of bars (`A8 B16 A'8`). It can also be the form of
another piece, bar by bar. `clara.form.planner` composes plans that have a form.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clara.errors import BadSetting
from clara.form.extraction import extract_plan
from clara.form.plan import EXACT, MAX_BARS, UNKNOWN, VARIED, Plan
from clara.form.sections import Section
from clara.music.notes import NoteSequence
from clara.records import shorten
from clara.wording import count_of

SECTION_BARS = 8  # of a section without a number
PRIMES = "'’′"
SECTION = re.compile(rf"([A-Z])([{PRIMES}]?)([0-9]*)([{PRIMES}]?)")
FORM_EXAMPLE = "write a form like AABA, or like A8 B16 A'8 with numbers of bars"


@dataclass(frozen=True)
class Form:
    """Which bars of a piece return to which.

    Attributes
    ----------
    relation : int64 array (n_bars,)
        An index in `clara.form.plan.RELATIONS`; `UNKNOWN` for a bar that the form leaves open.
    source : int64 array (n_bars,)
        The earlier bar that a bar returns to; `UNKNOWN` for open, new and silent bars.
    shift : int64 array (n_bars,)
        Semitones from the source to a transposed bar, else 0.
    section : int64 array (n_bars,)
        The first bar of the bar's section. An open bar returns to no bar before it, but may share a rhythm with one.
    phrase : int64 array (n_bars,)
        1 if a phrase starts in the bar, 0 if not; `UNKNOWN` where this is left open.
    time_signature : tuple of (numerator, denominator), optional
        That of most bars; None if it is left open.
    """

    relation: np.ndarray
    source: np.ndarray
    shift: np.ndarray
    section: np.ndarray
    phrase: np.ndarray
    time_signature: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.relation)

    def first(self, n_bars: int) -> "Form":
        """Return the form of the first bars."""
        columns = {name: getattr(self, name)[:n_bars] for name in ("relation", "source", "shift", "section", "phrase")}
        return replace(self, **columns)


def parse_form(text: str, section_bars: int = SECTION_BARS) -> list[Section]:
    """Parse a form that is written with letters.

    A section with the letter of an earlier one returns to it bar by bar, with a prime varied, otherwise exactly.

    Parameters
    ----------
    text : str
        A letter for each section; then its number of bars and a prime, both optional. Spaces do not matter.
    section_bars : int
        Bars of a section without a number; a section that returns is as long as the first with its letter.

    Returns
    -------
    list of clara.form.sections.Section

    Raises
    ------
    BadSetting
        If it is no form, or longer than `clara.form.plan.MAX_BARS`.

    Examples
    --------
    >>> [(section.name, section.begin, section.end) for section in parse_form("A B4 A'")]
    [('A', 0, 8), ('B', 8, 12), ("A'", 12, 20)]
    """
    written = "".join(text.split()).upper()
    if not written:
        raise BadSetting(f"the form is empty; {FORM_EXAMPLE}")
    sections, first = [], {}
    place = begin = 0
    while place < len(written):
        match = SECTION.match(written, place)
        if not match:
            raise BadSetting(f"form {shorten(text)}: {written[place]!r} begins no section; {FORM_EXAMPLE}")
        letter, number, is_varied = match[1], match[3], bool(match[2] or match[4])
        model = first.get(letter)
        n_bars = _parse_length(text, match[0], number, model.end - model.begin if model else section_bars)
        end = begin + n_bars
        if end > MAX_BARS:
            raise BadSetting(f"form {shorten(text)}: more than {MAX_BARS:,} bars; use fewer or shorter sections")
        if model is None and is_varied:
            raise BadSetting(
                f"form {shorten(text)}: {match[0]} varies nothing, as it is the first {letter}; leave out the prime"
            )
        if model and n_bars > model.end - model.begin:
            raise BadSetting(
                f"form {shorten(text)}: {match[0]} is longer than the first {letter}, which has "
                f"{count_of(model.end - model.begin, 'bar')}; add a section with a new letter for the rest"
            )
        section = Section(begin, end, letter, is_varied)
        first.setdefault(letter, section)
        sections.append(section)
        place, begin = match.end(), end
    return sections


def _parse_length(text, section, number, default):
    """Return the number of bars of a section."""
    if not number:
        return default
    if len(number) > len(str(MAX_BARS)) or int(number) > MAX_BARS:
        raise BadSetting(f"form {shorten(text)}: {shorten(section)} is too long; a piece has at most {MAX_BARS:,} bars")
    if int(number) == 0:
        raise BadSetting(f"form {shorten(text)}: {section} has no bars; a section has at least 1")
    return int(number)


def expand_form(sections: Sequence[Section]) -> Form:
    """Return the form, bar by bar, of sections that follow each other."""
    n = sections[-1].end
    relation, source, section_of, phrase = np.full((4, n), UNKNOWN)
    first = {}
    for section in sections:
        bars = slice(section.begin, section.end)
        section_of[bars] = section.begin
        phrase[section.begin] = 1
        model = first.setdefault(section.letter, section)
        if model is not section:
            relation[bars] = VARIED if section.is_varied else EXACT
            source[bars] = model.begin + np.arange(section.end - section.begin)
    return Form(relation, source, np.zeros(n, dtype=np.int64), section_of, phrase)


def form_of(music: NoteSequence | Plan) -> Form:
    """Return the form of a piece or of a plan, without its keys, harmonies and textures."""
    plan = music if isinstance(music, Plan) else extract_plan(music)
    signatures = Counter(zip(plan.numerator.tolist(), plan.denominator.tolist()))
    section = np.zeros(len(plan), dtype=np.int64)
    return Form(plan.relation, plan.source, plan.shift, section, plan.phrase, signatures.most_common(1)[0][0])
