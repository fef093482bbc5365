"""The form of a piece as a strip above its piano roll: sections, how each bar relates to an earlier one, keys, phrases.

A section has a letter and a colour. A bar has a sign, and is the darker the more literally it returns. The colours of
sections are those of Okabe and Ito, "Color Universal Design", 2008; whatever a colour shows, a letter or a sign shows
too.
"""

from dataclasses import dataclass
from html import escape

import numpy as np

from clara.form.extraction import extract_plan
from clara.form.plan import RELATIONS, TRANSPOSED, UNKNOWN, Plan
from clara.form.sections import Section, find_sections, format_sections
from clara.music.bars import bar_lines
from clara.music.keys import key_name
from clara.music.notes import NoteSequence
from clara.wording import count_of

MIN_BARS, MAX_BARS = 2, 1000  # shorter and longer pieces have no strip
MIN_KEY_BARS = 2  # a shorter stretch in another key is not named
SIGNS = ("=", "~", "^", ":", ".", "-")  # of RELATIONS
DARKNESS = (1.0, 0.6, 0.8, 0.25, 0.1, 0.0)  # of RELATIONS, from 0 to 1
LEGEND = (
    "A strip shows the form: keys, sections (a prime means varied) and, for each bar, whether it "
    "returns to an earlier one: = exact, ~ varied, ^ transposed, : the same rhythm, . new. A line marks a phrase."
)
TEXT_LEGEND = (
    "the section of each bar, small letters if varied; "
    "= exact, ~ varied, ^ transposed, : the same rhythm, . new, - silent; | phrase"
)
SECTION_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#AAAAAA")
# Style of `form_strip_svg` for pages in light and dark; a page may set the background --card and the grey --faint.
STYLE = """\
.strip{display:block;margin-bottom:2px;font:600 12px/1 system-ui,sans-serif;fill:currentColor}
.strip rect{stroke:var(--card,Canvas);stroke-width:1px}.strip .phrase{stroke:currentColor;stroke-width:1px}
.strip .tonality{font-weight:400;font-size:10px;fill:var(--faint,GrayText)}
.strip .letter{fill:#111}
.strip .sign{font-size:10px}.strip .sign:is(.exact,.varied,.transposed){fill:var(--card,Canvas)}
.strip rect.open{fill-opacity:0}
""" + "".join(
    [f".strip .form{i}{{fill:{colour}}}" for i, colour in enumerate(SECTION_COLOURS)]
    + [f".strip rect.{name}{{fill-opacity:{value:g}}}" for name, value in zip(RELATIONS, DARKNESS)]
)
# Heights in pixels.
KEY_HEIGHT, SECTION_HEIGHT, BAR_HEIGHT, GAP = 13, 17, 11, 2
HEIGHT = KEY_HEIGHT + SECTION_HEIGHT + GAP + BAR_HEIGHT
MAX_SIGNED_BARS = 64  # the cells of more bars are too narrow for signs
MIN_LETTER_SHARE, MIN_KEY_SHARE = 0.012, 0.045  # of the width; names of narrower sections and keys are left out
LINE_BARS = 64  # bars in a line of text


@dataclass(frozen=True)
class FormStrip:
    """What a strip shows.

    Attributes
    ----------
    begin : float64 array (n_bars + 1,)
        Where bars begin, in quarters; the first not before 0.
    first_number : int
        Number of the first bar: 0 for an upbeat.
    relation, source, shift : int64 arrays (n_bars,)
        As in `clara.form.plan.Plan`.
    sections : tuple of clara.form.sections.Section
    keys : tuple of (first bar, name)
        Where each key begins.
    phrases : tuple of int
        Bars in which phrases start.
    """

    begin: np.ndarray
    first_number: int
    relation: np.ndarray
    source: np.ndarray
    shift: np.ndarray
    sections: tuple[Section, ...]
    keys: tuple[tuple[int, str], ...]
    phrases: tuple[int, ...]

    @classmethod
    def from_plan(cls, plan: Plan) -> "FormStrip":
        """Return the strip of a plan."""
        return cls(
            begin=np.maximum(plan.begin, 0) / plan.steps_per_quarter,
            first_number=plan.first_number,
            relation=plan.relation,
            source=plan.source,
            shift=plan.shift,
            sections=tuple(find_sections(plan)),
            keys=tuple(_key_changes(plan.key)),
            phrases=tuple(np.flatnonzero(plan.phrase == 1).tolist()),
        )

    @classmethod
    def from_notes(cls, notes: NoteSequence, plan: Plan | None = None) -> "FormStrip | None":
        """Return the strip of a piece; None if it has too few bars to have a form, or too many to draw.

        Parameters
        ----------
        notes : NoteSequence
        plan : Plan, optional
            The plan that the piece was composed by (default: it is read from the notes).
        """
        if not len(notes):
            return None
        n_bars = len(bar_lines(notes.time_signatures, notes.steps_per_quarter, notes.n_steps))
        return cls.from_plan(plan or extract_plan(notes)) if MIN_BARS <= n_bars <= MAX_BARS else None

    def __len__(self) -> int:
        return len(self.relation)

    @property
    def summary(self) -> str:
        """The sections with their numbers of bars, such as `A8 B8 A'8`."""
        return format_sections(self.sections)

    @property
    def description(self) -> str:
        """The sections and keys in words, for people who do not see the strip."""
        sections = [
            f"{section.letter}{' varied' * section.is_varied}, {count_of(section.end - section.begin, 'bar')}"
            for section in self.sections
        ]
        keys = [name if bar == 0 else f"{name} from bar {self.first_number + bar}" for bar, name in self.keys]
        return f"Form: {'; '.join(sections)}. Keys: {'; '.join(keys) or 'open'}."

    def describe_bar(self, bar: int) -> str:
        """Return a bar in words, such as `Bar 9: transposed, +5 semitones from bar 1`."""
        name = f"Bar {self.first_number + bar}"
        relation, source = int(self.relation[bar]), self.first_number + int(self.source[bar])
        if relation == UNKNOWN:
            return name
        name = f"{name}: {RELATIONS[relation]}"
        if relation == TRANSPOSED:
            return f"{name}, {self.shift[bar]:+d} semitones from bar {source}"
        return name if self.source[bar] == UNKNOWN else f"{name}, as bar {source}"

    def to_text(self) -> list[str]:
        """Return lines of one character for each bar: the letters of sections, and below them the signs of relations.

        Varied sections have small letters. A bar of the text is a phrase.
        """
        letters = [
            section.letter[-1].lower() if section.is_varied else section.letter[-1]
            for section in self.sections
            for _ in range(section.begin, section.end)
        ]
        signs = [" " if relation == UNKNOWN else SIGNS[relation] for relation in self.relation]
        phrases = set(self.phrases)
        lines = []
        for first in range(0, len(self), LINE_BARS):
            bars = range(first, min(len(self), first + LINE_BARS))
            number = f"{self.first_number + first:>5} "
            for label, row in ((number, letters), (" " * len(number), signs)):
                lines.append(label + "".join("|" * (bar in phrases) + row[bar] for bar in bars))
        return lines

    def to_dict(self) -> dict:
        """Return the strip as the web page draws it, times in quarters."""
        begin = self.begin.round(4).tolist()
        return {
            "bars": begin,
            "relations": [RELATIONS[relation] if relation != UNKNOWN else "" for relation in self.relation],
            "hints": [self.describe_bar(bar) for bar in range(len(self))],
            "sections": [
                [begin[section.begin], begin[section.end], section.name, colour_number(section)]
                for section in self.sections
            ],
            "keys": [[begin[bar], name] for bar, name in self.keys],
            "phrases": [begin[bar] for bar in self.phrases],
            "description": self.description,
        }


def _key_changes(keys):
    """Return (first bar, name) of the first key and of those that last some bars, changes only."""
    edges = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(keys)]
    changes = []
    for begin, end in zip(edges, edges[1:]):
        is_known = keys[begin] != UNKNOWN and (not changes or end - begin >= MIN_KEY_BARS)
        if is_known and (not changes or changes[-1][1] != key_name(keys[begin])):
            changes.append((begin, key_name(keys[begin])))
    return changes


def colour_number(section: Section) -> int:
    """Return the index of the colour of a section in `SECTION_COLOURS`."""
    number = 0
    for letter in section.letter:
        number = 26 * number + ord(letter) - ord("A") + 1
    return (number - 1) % len(SECTION_COLOURS)


def form_strip_svg(strip: FormStrip, quarters: float) -> str:
    """Return the strip for a page that styles its classes.

    `STYLE` styles its classes: `tonality`; `form0` to `form6` and `letter` of sections; the names of relations and
    `sign` of bars; `phrase`.

    Parameters
    ----------
    strip : FormStrip
    quarters : float
        What the width stands for, the same as of the piano roll below it.

    Returns
    -------
    str
        An <svg> element as wide as its container.
    """
    place = np.minimum(100 * strip.begin / quarters, 100)
    parts = [*_draw_keys(strip, place), *_draw_sections(strip, place), *_draw_bars(strip, place)]
    top = KEY_HEIGHT + SECTION_HEIGHT
    for bar in strip.phrases:
        x = f"{place[bar]:.5g}%"
        parts.append(f'<line class="phrase" x1="{x}" x2="{x}" y1="{top - 3}" y2="{HEIGHT}"/>')
    return (
        f'<svg class="strip" width="100%" height="{HEIGHT}" role="img" aria-label="{escape(strip.description)}">'
        f"{''.join(parts)}</svg>"
    )


def _draw_keys(strip, place):
    """Yield the name of each key, cut where the next one begins; keys of a short time have no name."""
    ends = [*(bar for bar, _ in strip.keys[1:]), len(strip)]
    for (bar, name), end in zip(strip.keys, ends):
        if place[end] - place[bar] >= 100 * MIN_KEY_SHARE:
            yield _box(place[bar], place[end], 0, KEY_HEIGHT, f'<text class="tonality" x="1" y="10">{name}</text>')


def _draw_sections(strip, place):
    """Yield the sections."""
    for section in strip.sections:
        left, right = place[section.begin], place[section.end]
        n_bars = count_of(section.end - section.begin, "bar")
        first = strip.first_number + section.begin
        content = (
            f"<title>{section.name}: {n_bars} from bar {first}</title>"
            f'<rect class="form{colour_number(section)}" width="100%" height="100%"/>'
        )
        if right - left >= 100 * MIN_LETTER_SHARE:
            content += f'<text class="letter" x="50%" y="13" text-anchor="middle">{escape(section.name)}</text>'
        yield _box(left, right, KEY_HEIGHT, SECTION_HEIGHT, content)


def _draw_bars(strip, place):
    """Yield the bars with their relations."""
    has_signs = len(strip) <= MAX_SIGNED_BARS
    for bar, relation in enumerate(strip.relation):
        kind = RELATIONS[relation] if relation != UNKNOWN else "open"
        content = f'<title>{strip.describe_bar(bar)}</title><rect class="{kind}" width="100%" height="100%"/>'
        if has_signs and relation != UNKNOWN:
            content += f'<text class="sign {kind}" x="50%" y="9" text-anchor="middle">{SIGNS[relation]}</text>'
        yield _box(place[bar], place[bar + 1], KEY_HEIGHT + SECTION_HEIGHT + GAP, BAR_HEIGHT, content)


def _box(left, right, top, height, content):
    """Return a part of the strip, left and right in percent of the width; what does not fit into it is cut off."""
    return f'<svg x="{left:.5g}%" y="{top}" width="{right - left:.5g}%" height="{height}">{content}</svg>'
