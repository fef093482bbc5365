"""Other lossless ways to spell the same notes, to be measured against those of `clara.encodings`.

Each has `encode(notes) -> (words, losses)`, `decode(words) -> (notes, losses)`, `words` and
`transpose_token`, as an encoding has; none has a grammar, so none can compose.
"""

from collections import Counter
from functools import cached_property
from itertools import groupby

import numpy as np

from clara.encodings.base import Encoding, split_tokens
from clara.encodings.chordwise import AND, HELD, REST, RESTS, Chordwise
from clara.encodings.notewise import Notewise
from clara.music.notes import build_notes

BAR = "bar"
LONGEST_QUARTERS = 4  # of one duration word


class EndsLast(Notewise):
    """Notewise with a step's starts before its ends."""

    def encode(self, notes):
        """As `Notewise.encode`."""
        words, losses = super().encode(notes)
        return self._by_step(words, first=False), losses

    def decode(self, words, qpm=120.0):
        """As `Notewise.decode`."""
        return super().decode(self._by_step(split_tokens(words), first=True), qpm)

    @staticmethod
    def _by_step(words, first):
        """Each step's words with the ends first or last, in their order otherwise."""
        steps = groupby(words, key=lambda w: w.startswith("wait"))
        return [
            w
            for waits, step in steps
            for w in (step if waits else sorted(step, key=lambda w: w.startswith("end") != first))
        ]


class Descending(Notewise):
    """Notewise with high keys before low ones among a step's ends and among its starts."""

    def encode(self, notes):
        """As `Notewise.encode`."""
        words, losses = super().encode(notes)
        return self._reversed(words), losses

    def decode(self, words, qpm=120.0):
        """As `Notewise.decode`."""
        return super().decode(self._reversed(split_tokens(words)), qpm)

    @staticmethod
    def _reversed(words):
        """Each run of ends and each run of starts backwards."""
        runs = groupby(words, key=lambda w: "wait" if w.startswith("wait") else w.startswith("end"))
        return [w for kind, run in runs for w in (run if kind == "wait" else reversed(list(run)))]


def barlines(notes):
    """Steps at which bars begin, within the piece, ascending list."""
    lines = []
    bounds = [step for step, _, _ in notes.time_signatures[1:]] + [notes.n_steps + 1]
    for (step, numerator, denominator), stop in zip(notes.time_signatures, bounds):
        bar = 4 * notes.steps_per_quarter * numerator / denominator
        lines += [s for s in (step + int(i * bar + 0.5) for i in range(int((stop - step) / bar) + 1)) if 0 <= s < stop]
    return sorted(set(lines))


def with_bars(words, lines, wait_of, longest):
    """A text with `bar` at barlines, its waits cut there; wait_of(word) is the steps that it takes, or 0."""
    out, now, lines = [], 0, iter(lines)
    line = next(lines, None)
    for waits, run in groupby(words, key=lambda w: wait_of(w) > 0):
        run = list(run)
        until = now + sum(map(wait_of, run))
        while line is not None and line <= until and (waits or line <= now):
            out += [*_waits(line - now, longest), BAR]
            now, line = line, next(lines, None)
        out += _waits(until - now, longest) if waits else run
        now = until
    return out


def _waits(steps, longest):
    """Waits for so many steps."""
    return [f"wait{longest}"] * ((steps - 1) // longest) + [f"wait{(steps - 1) % longest + 1}"] if steps else []


class Barred(Notewise):
    """Notewise with a word at each barline."""

    @cached_property
    def tokens(self):
        """The words of notewise, and the bar."""
        return [*super().tokens, BAR]

    def encode(self, notes):
        """As `Notewise.encode`; the metre comes from the notes."""
        words, losses = super().encode(notes)
        return with_bars(words, barlines(notes), lambda w: int(w[4:]) if w[0] == "w" else 0, self.longest_wait), losses

    def decode(self, words, qpm=120.0):
        """As `Notewise.decode`."""
        return super().decode([w for w in split_tokens(words) if w != BAR], qpm)

    def transpose_token(self, word, semitones):
        """As `Notewise.transpose_token`."""
        return word if word == BAR else super().transpose_token(word, semitones)


class Durations(Encoding):
    """Each note a word for its key and one for its length, waits between the strikes.

    `p40 d12 p44 d12 wait12 p42 d24`; a note longer than the longest duration word takes
    several, the longest first.
    """

    name = "durations"

    def __init__(self, steps_per_quarter=12, n_keys=88, prefixes=None):
        super().__init__(steps_per_quarter, n_keys, prefixes)
        self.longest, self.longest_wait = LONGEST_QUARTERS * steps_per_quarter, 2 * steps_per_quarter

    @cached_property
    def tokens(self):
        """Tones, durations, waits."""
        return [
            *self.tone_names,
            *(f"d{n}" for n in range(1, self.longest + 1)),
            *(f"wait{n}" for n in range(1, self.longest_wait + 1)),
        ]

    def encode(self, notes):
        """As `Notewise.encode`."""
        notes, losses = self.fold_to_range(notes)
        order = np.lexsort((self.to_tones(notes), notes.start))
        words, now = [], 0
        for start, duration, tone in zip(
            *(c[order].tolist() for c in (notes.start, notes.duration, self.to_tones(notes)))
        ):
            words += _waits(start - now, self.longest_wait)
            words += [
                self.tone_names[tone],
                *[f"d{self.longest}"] * ((duration - 1) // self.longest),
                f"d{(duration - 1) % self.longest + 1}",
            ]
            now = start
        return words, losses

    def decode(self, words, qpm=120.0):
        """As `Notewise.decode`, of texts as they were encoded."""
        start, duration, tone, now = [], [], [], 0
        for word in split_tokens(words):
            if word.startswith("wait"):
                now += int(word[4:])
            elif word[0] == "d":
                duration[-1] += int(word[1:])
            else:
                start.append(now)
                duration.append(0)
                tone.append(self._tone_of[word])
        start, duration = np.array(start, dtype=int), np.array(duration, dtype=int)
        return build_notes(
            start,
            start + duration,
            *self.pitch_and_part(np.array(tone, dtype=int)),
            steps_per_quarter=self.steps_per_quarter,
            qpm=qpm,
        )[0], Counter()

    def transpose_token(self, word, semitones):
        """As `Notewise.transpose_token`."""
        if word not in self._tone_of:
            return word
        moved = self.transpose_tone(self._tone_of[word], semitones)
        return None if moved is None else self.tone_names[moved]


class BarredDurations(Durations):
    """`Durations` with a word at each barline up to the last strike."""

    tokens = cached_property(lambda self: [*Durations.tokens.func(self), BAR])

    def encode(self, notes):
        """As `Durations.encode`; the metre comes from the notes."""
        words, losses = super().encode(notes)
        return with_bars(words, barlines(notes), lambda w: int(w[4:]) if w[0] == "w" else 0, self.longest_wait), losses

    def decode(self, words, qpm=120.0):
        """As `Durations.decode`."""
        return super().decode([w for w in split_tokens(words) if w != BAR], qpm)


class SpelledChords(Chordwise):
    """Chordwise with holds and a small vocabulary: other chords are spelled mark by mark, then `end`.

    Parameters
    ----------
    steps_per_quarter : grid
    shapes : set of chords moved down to their lowest possible place, that are one word each
    """

    END = "end"

    def __init__(self, steps_per_quarter=4, shapes=()):
        super().__init__(steps_per_quarter, holds=True)
        self.shapes, self._known = shapes, {}

    @cached_property
    def tokens(self):
        """Rests, marks, the end of a spelled chord, and all places of each shape."""
        chords = (self.transpose_token(shape, s) for shape in self.shapes for s in range(self.n_keys))
        marks = [*self.tone_names, *(HELD + name for name in self.tone_names)]
        return [*RESTS, *(f"/{m}" for m in marks), self.END, *sorted({c for c in chords if c})]

    def shape(self, word):
        """The chord at the lowest place of the keyboard; a rest is its own."""
        return (
            word
            if word.startswith(REST)
            else self.transpose_token(word, -min(c % self.n_tones for c in self.codes(word)))
        )

    def _spell(self, word):
        """The words of one chord."""
        if word not in self._known:
            whole = word.startswith(REST) or self.shape(word) in self.shapes
            self._known[word] = [word] if whole else [*(f"/{m}" for m in word.split(AND)), self.END]
        return self._known[word]

    def encode(self, notes):
        """As `Chordwise.encode`."""
        words, losses = super().encode(notes)
        return [w for word in words for w in self._spell(word)], losses

    def decode(self, words, qpm=120.0):
        """As `Chordwise.decode`, of texts as they were encoded."""
        chords, marks = [], []
        for word in split_tokens(words):
            if word.startswith("/"):
                marks.append(word[1:])
            else:
                chords.append(AND.join(marks) if word == self.END else word)
                marks = []
        return super().decode(chords, qpm)

    def transpose_token(self, word, semitones):
        """As `Chordwise.transpose_token`."""
        if word == self.END:
            return word
        moved = super().transpose_token(word.removeprefix("/"), semitones)
        return None if moved is None else "/" * word.startswith("/") + moved
