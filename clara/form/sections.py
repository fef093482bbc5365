"""Sections of a piece, named by letters as in music theory: A B A' and so on.

The letters come from the plan alone. A passage of several bars that returns gets the letter of the passage that it
returns to, with a prime if it is varied or only a part of it comes back. A passage that returns to nothing gets the
next letter. Bars that merely share a rhythm do not return.

A bar that returns to an earlier one has the same *origin*: the bar in which its music was first heard. The origins of a
piece are parsed from left to right into new passages and returns of earlier ones, as a text is compressed (Ziv and
Lempel 1977). The *home* of a bar is the bar at its place in the first of all equal passages. A section begins where a
new passage begins, and where a passage begins that returns alone. Sections that only occur together are one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clara.form.plan import EXACT, TRANSPOSED, VARIED, Plan

MIN_RETURN_BARS = 4  # equal bars of a passage that returns
MAX_GAP_BARS = 3  # bars in a row that may differ inside a passage that returns
MIN_EQUAL_SHARE = 0.5  # of the bars of a passage that returns
MAX_DELAY_BARS = 3  # a return that begins so much later is preferred if it is longer
MIN_PART_BARS = 8  # a shorter return does not divide the section that it returns to where it ends
MIN_SECTION_BARS = 3  # a shorter section belongs to the one before
PERIOD_BARS = 6  # a varied return after fewer bars is the second half of a period
COMPANION_SHARE = 0.75  # of the sections of two letters that follow each other; above it they are one letter
LITERAL_SHARE = 0.75  # of the bars of a section; below it the section is varied
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Section:
    """A passage of a piece.

    Attributes
    ----------
    begin, end : int
        The first bar, and the one after the last.
    letter : str
        A for the first section and all that return to it, and so on; AA after Z.
    is_varied : bool
        Whether it is no literal return of most of the first section with its letter.
    """

    begin: int
    end: int
    letter: str
    is_varied: bool = False

    @property
    def name(self) -> str:
        """The letter, with a prime if the section is varied."""
        return self.letter + "'" * self.is_varied


def format_sections(sections: Sequence[Section]) -> str:
    """Return the names of sections with their numbers of bars, such as `A8 B8 A'8`."""
    return " ".join(f"{section.name}{section.end - section.begin}" for section in sections)


def find_sections(plan: Plan) -> list[Section]:
    """Return the sections of a piece, in order; together they hold every bar."""
    origin, version = trace_origins(plan)
    returns = _find_returns(origin, plan.phrase == 1)
    is_literal = version == version[returns.home]
    spans = _divide(returns, is_literal)
    spans = _join_companions(_absorb_short(spans))
    return _name_sections(spans, version.tolist())


def trace_origins(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Return where the music of each bar was first heard, and where in this version.

    Returns
    -------
    origin : int64 array (n_bars,)
        The bar itself if it is new or silent.
    version : int64 array (n_bars,)
        The same, but a varied bar is a new version.
    """
    origin, version = np.arange(len(plan)), np.arange(len(plan))
    for bar in np.flatnonzero(np.isin(plan.relation, (EXACT, VARIED, TRANSPOSED))).tolist():
        origin[bar] = origin[plan.source[bar]]
        if plan.relation[bar] != VARIED:
            version[bar] = version[plan.source[bar]]
    return origin, version


@dataclass(frozen=True)
class _Returns:
    """New passages and returns of earlier ones.

    Attributes
    ----------
    source : int64 array (n_bars,)
        The bar at the same place of the passage that returns; the bar itself in new passages.
    home : int64 array (n_bars,)
        The bar at the same place of the first of all equal passages.
    is_start : bool array (n_bars,)
        Whether a return begins.
    """

    source: np.ndarray
    home: np.ndarray
    is_start: np.ndarray

    @cached_property
    def is_new(self) -> np.ndarray:
        """Whether each bar is in a new passage, bool (n_bars,)."""
        return self.home == np.arange(len(self.home))


def _find_returns(origin, starts_phrase):
    """Parse the origins of bars from left to right into new passages and returns."""
    n = len(origin)
    source, home, is_start = np.arange(n), np.arange(n), np.zeros(n, dtype=bool)
    labels = origin.tolist()
    bars_of = {}
    for bar, label in enumerate(labels):
        bars_of.setdefault(label, []).append(bar)
    longest = [None] * n  # by bar, found when it is needed

    def longest_return(bar):
        if longest[bar] is None:
            returns = (_compare(labels, earlier, bar) for earlier in bars_of[labels[bar]] if earlier < bar)
            longest[bar] = max(returns, key=lambda found: found[0], default=(0, 0, bar))
        return longest[bar]

    bar, n_done = 0, 0
    while bar < n:
        n_equal, length, earlier = longest_return(bar)
        later = [longest_return(bar + d)[0] - d for d in range(1, MAX_DELAY_BARS + 1) if bar + d < n]
        if n_equal >= MIN_RETURN_BARS and n_equal >= max(later, default=0):
            back = _bars_since_start(source, starts_phrase, earlier, bar - n_done)
            begin, end = bar - back, bar + length
            source[begin:end] = np.arange(earlier - back, earlier + length)
            home[begin:end] = home[source[begin:end]]
            is_start[begin] = True
            bar = n_done = end
        else:
            bar += 1
    return _Returns(source, home, is_start)


def _bars_since_start(source, starts_phrase, bar, room):
    """Return how many bars before a bar a passage starts with a phrase, if they are few, otherwise 0."""
    for back in range(min(MAX_GAP_BARS, room, bar) + 1):
        place = bar - back
        starts_passage = place == 0 or source[place] != source[place - 1] + 1
        if starts_phrase[place]:
            return back if starts_passage else 0
    return 0


def _compare(labels, source, bar):
    """Return (number of equal bars, length, source) of the return from a bar on; it does not overlap its source."""
    n_equal, best = 0, (0, 0, source)
    last_equal = -1
    for k in range(min(bar - source, len(labels) - bar)):
        if labels[source + k] == labels[bar + k]:
            n_equal += 1
            is_joined = k - last_equal <= 2  # a single bar after a long gap does not make the return longer
            last_equal = k
            if is_joined and n_equal >= MIN_EQUAL_SHARE * (k + 1):
                best = (n_equal, k + 1, source)
        elif k - last_equal > MAX_GAP_BARS:
            break
    return best


def _divide(returns, is_literal):
    """Return sections as (begin, end, number of the letter)."""
    n = len(is_literal)
    starts = _section_starts(returns)
    letter, n_letters = np.zeros(n, dtype=np.int64), 1
    is_begin = np.zeros(n, dtype=bool)
    begin = 0
    for bar in range(1, n):
        if not returns.is_new[bar]:
            letter[bar] = letter[returns.home[bar]]
        elif bar in starts:
            letter[bar], n_letters = n_letters, n_letters + 1
        else:
            letter[bar] = letter[bar - 1]
        if returns.is_start[bar]:
            goes_back = returns.home[bar] <= returns.home[bar - 1]
            is_begin[bar] = goes_back and not _is_second_half(begin, bar, is_literal)
        else:
            is_begin[bar] = is_begin[returns.source[bar]]
        if letter[bar] != letter[bar - 1]:
            is_begin[bar] = True
        if is_begin[bar]:
            begin = bar
    begins = [0, *np.flatnonzero(is_begin).tolist()]
    return [(begin, end, int(letter[begin])) for begin, end in zip(begins, [*begins[1:], n])]


def _is_second_half(begin, bar, is_literal):
    """Return whether a section that begins and restarts so soon is a period: a phrase and its variation."""
    return bar - begin < PERIOD_BARS and is_literal[bar : 2 * bar - begin].mean() < LITERAL_SHARE


def _section_starts(returns):
    """Return the bars of new passages in which sections begin: the most frequent first, none too near to another."""
    home, is_new = returns.home, returns.is_new
    n = len(home)
    jumps = np.flatnonzero(np.diff(home, prepend=-2) != 1)
    counts = Counter()
    for begin, end in zip(jumps, [*jumps[1:], n]):
        counts[int(home[begin])] += 1
        following = int(home[end - 1]) + 1
        if not is_new[begin] and end - begin >= MIN_PART_BARS and following < n and is_new[following]:
            counts[following] += 0  # the rest of the passage of which a part returns
    new_ends = np.flatnonzero(is_new & ~np.append(is_new[1:], False)) + 1
    starts = set()
    for start in sorted(counts, key=lambda start: (start > 0, -counts[start], start)):
        end = new_ends[np.searchsorted(new_ends, start, "right")]
        if end - start >= MIN_RETURN_BARS and all(abs(start - other) >= MIN_RETURN_BARS for other in starts):
            starts.add(start)
    return starts


def _absorb_short(spans):
    """Return sections without the very short ones, which belong to the section before."""
    kept = spans[:1]
    for begin, end, letter in spans[1:]:
        if end - begin < MIN_SECTION_BARS:
            kept[-1] = (kept[-1][0], end, kept[-1][2])
        else:
            kept.append((begin, end, letter))
    return kept


def _join_companions(spans):
    """Return sections in which two letters that occur together more than once, and hardly alone, are one."""
    while True:
        letters = [letter for _, _, letter in spans]
        counts, pairs = Counter(letters), Counter(zip(letters, letters[1:]))
        together = [
            (first, second)
            for (first, second), count in pairs.items()
            if first != second and count > 1 and count >= COMPANION_SHARE * max(counts[first], counts[second])
        ]
        if not together:
            return spans
        first, second = together[0]
        kept = []
        for begin, end, letter in spans:
            if letter == second and kept and kept[-1][2] == first:
                kept[-1] = (kept[-1][0], end, first)
            else:
                kept.append((begin, end, first if letter == second else letter))
        spans = kept


def _name_sections(spans, version):
    """Return sections with letters in the order in which they come."""
    first = {}  # section by number of its letter
    sections = []
    for begin, end, letter in spans:
        model = first.setdefault(letter, Section(begin, end, _name_letter(len(first))))
        versions = set(version[model.begin : model.end])
        n_literal = sum(version[bar] in versions for bar in range(begin, end))
        length = max(model.end - model.begin, end - begin)
        sections.append(Section(begin, end, model.letter, n_literal < LITERAL_SHARE * length))
    return sections


def _name_letter(number):
    """Return A for 0, Z for 25, AA for 26."""
    return (_name_letter(number // 26 - 1) if number >= 26 else "") + LETTERS[number % 26]
