"""Other lossless ways to write the same notes as text, to be compared with those of `clara.encodings`.

Each has `encode(notes) -> (tokens, losses)`, `decode(tokens) -> (notes, losses)`, `tokens` and
`transpose_token`, as an encoding has. None has a grammar, so none can compose.
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
MAX_DURATION_QUARTERS = 4  # of one duration token


class EndsLast(Notewise):
    """Notewise with the starts of a step before its ends."""

    def encode(self, notes):
        """Encode notes; see `Notewise.encode`."""
        tokens, losses = super().encode(notes)
        return self._sort_steps(tokens, ends_first=False), losses

    def decode(self, tokens, qpm=120.0):
        """Decode tokens; see `Notewise.decode`."""
        return super().decode(self._sort_steps(split_tokens(tokens), ends_first=True), qpm)

    @staticmethod
    def _sort_steps(tokens, ends_first):
        """Put the ends of each step first or last, and keep the order otherwise."""
        out = []
        for is_wait, run in groupby(tokens, key=lambda token: token.startswith("wait")):
            if is_wait:
                out += run
            else:
                out += sorted(run, key=lambda token: token.startswith("end") != ends_first)
        return out


class Descending(Notewise):
    """Notewise with high keys before low ones among the ends and among the starts of a step."""

    def encode(self, notes):
        """Encode notes; see `Notewise.encode`."""
        tokens, losses = super().encode(notes)
        return self._reverse_runs(tokens), losses

    def decode(self, tokens, qpm=120.0):
        """Decode tokens; see `Notewise.decode`."""
        return super().decode(self._reverse_runs(split_tokens(tokens)), qpm)

    @staticmethod
    def _reverse_runs(tokens):
        """Reverse each run of ends and each run of starts."""

        def kind(token):
            return "wait" if token.startswith("wait") else token.startswith("end")

        runs = [list(run) for _, run in groupby(tokens, key=kind)]
        return [token for run in runs for token in (run if kind(run[0]) == "wait" else reversed(run))]


def barlines(notes) -> list[int]:
    """Return the steps within the piece at which bars begin, ascending."""
    steps = set()
    ends = [step for step, _, _ in notes.time_signatures[1:]] + [notes.n_steps + 1]
    for (first, numerator, denominator), end in zip(notes.time_signatures, ends):
        bar_steps = 4 * notes.steps_per_quarter * numerator / denominator
        for i in range(int((end - first) / bar_steps) + 1):
            step = first + int(i * bar_steps + 0.5)
            if 0 <= step < end:
                steps.add(step)
    return sorted(steps)


def insert_bars(tokens, bar_steps, longest_wait) -> list[str]:
    """Return a text with `bar` at each barline, where waits are cut.

    Parameters
    ----------
    tokens : list of str
        With waits of at most `longest_wait` steps, as `wait12`.
    bar_steps : list of int
        From `barlines`.
    longest_wait : int
        In steps.
    """
    out = []
    now = 0
    remaining = iter(bar_steps)
    next_bar = next(remaining, None)
    runs = [(is_wait, list(run)) for is_wait, run in groupby(tokens, key=lambda token: _wait_steps(token) > 0)]
    for is_wait, run in runs:
        end = now + sum(map(_wait_steps, run))
        while next_bar is not None and next_bar <= end and (is_wait or next_bar <= now):
            out += [*_wait_tokens(next_bar - now, longest_wait), BAR]
            now = next_bar
            next_bar = next(remaining, None)
        out += _wait_tokens(end - now, longest_wait) if is_wait else run
        now = end
    return out


def _wait_steps(token):
    """Return the steps that a token waits; 0 for other tokens."""
    return int(token[4:]) if token.startswith("wait") else 0


def _wait_tokens(steps, longest_wait):
    """Return tokens that wait a number of steps."""
    if not steps:
        return []
    return [f"wait{longest_wait}"] * ((steps - 1) // longest_wait) + [f"wait{(steps - 1) % longest_wait + 1}"]


def _without_bars(tokens):
    """Return a text without its bar tokens."""
    return [token for token in split_tokens(tokens) if token != BAR]


class Barred(Notewise):
    """Notewise with a token at each barline."""

    @cached_property
    def tokens(self):
        """Return the tokens of notewise, and the bar."""
        return [*super().tokens, BAR]

    def encode(self, notes):
        """Encode notes, with their time signatures; see `Notewise.encode`."""
        tokens, losses = super().encode(notes)
        return insert_bars(tokens, barlines(notes), self.longest_wait), losses

    def decode(self, tokens, qpm=120.0):
        """Decode tokens; see `Notewise.decode`."""
        return super().decode(_without_bars(tokens), qpm)

    def transpose_token(self, token, semitones):
        """Transpose a token; see `Notewise.transpose_token`."""
        return token if token == BAR else super().transpose_token(token, semitones)


class Durations(Encoding):
    """A token for the key and one for the duration of each note, and waits between the onsets.

    `p40 d12 p44 d12 wait12 p42 d24`. A note longer than the longest duration token takes several,
    the longest first.
    """

    name = "durations"

    def __init__(self, steps_per_quarter=12, n_keys=88, prefixes=None):
        super().__init__(steps_per_quarter, n_keys, prefixes)
        self.longest_duration = MAX_DURATION_QUARTERS * steps_per_quarter
        self.longest_wait = 2 * steps_per_quarter

    @cached_property
    def tokens(self):
        """Return the tones, durations and waits."""
        return [
            *self.tone_names,
            *(f"d{n}" for n in range(1, self.longest_duration + 1)),
            *(f"wait{n}" for n in range(1, self.longest_wait + 1)),
        ]

    def encode(self, notes):
        """Encode notes; see `Notewise.encode`."""
        notes, losses = self.fold_to_range(notes)
        tones = self.to_tones(notes)
        tokens = []
        now = 0
        for i in np.lexsort((tones, notes.start)).tolist():
            start, duration = int(notes.start[i]), int(notes.duration[i])
            tokens += _wait_tokens(start - now, self.longest_wait)
            tokens.append(self.tone_names[tones[i]])
            tokens += [f"d{self.longest_duration}"] * ((duration - 1) // self.longest_duration)
            tokens.append(f"d{(duration - 1) % self.longest_duration + 1}")
            now = start
        return tokens, losses

    def decode(self, tokens, qpm=120.0):
        """Decode a text that `encode` wrote; see `Notewise.decode`."""
        starts, durations, tones = [], [], []
        now = 0
        for token in split_tokens(tokens):
            if token.startswith("wait"):
                now += _wait_steps(token)
            elif token[0] == "d":
                durations[-1] += int(token[1:])
            else:
                starts.append(now)
                durations.append(0)
                tones.append(self._tone_of[token])
        start = np.array(starts, dtype=int)
        pitch, part = self.pitch_and_part(np.array(tones, dtype=int))
        end = start + np.array(durations, dtype=int)
        notes, _ = build_notes(start, end, pitch, part, steps_per_quarter=self.steps_per_quarter, qpm=qpm)
        return notes, Counter()

    def transpose_token(self, token, semitones):
        """Transpose a token; see `Notewise.transpose_token`."""
        if token not in self._tone_of:
            return token
        transposed = self.transpose_tone(self._tone_of[token], semitones)
        return None if transposed is None else self.tone_names[transposed]


class BarredDurations(Durations):
    """`Durations` with a token at each barline up to the last onset."""

    @cached_property
    def tokens(self):
        """Return the tokens of `Durations`, and the bar."""
        return [*super().tokens, BAR]

    def encode(self, notes):
        """Encode notes, with their time signatures; see `Notewise.encode`."""
        tokens, losses = super().encode(notes)
        return insert_bars(tokens, barlines(notes), self.longest_wait), losses

    def decode(self, tokens, qpm=120.0):
        """Decode a text that `encode` wrote; see `Notewise.decode`."""
        return super().decode(_without_bars(tokens), qpm)


class SpelledChords(Chordwise):
    """Chordwise with holds and a small vocabulary: other chords are spelled key by key, then `end`.

    Parameters
    ----------
    steps_per_quarter : int
    shapes : set of str
        Chords, moved to the bottom of the keyboard, that are one token each.
    """

    END = "end"
    SPELLED = "/"  # prefix of a key of a spelled chord

    def __init__(self, steps_per_quarter=4, shapes=()):
        super().__init__(steps_per_quarter, holds=True)
        self.shapes = shapes
        self._spelling = {}

    @cached_property
    def tokens(self):
        """Return the rests, spelled keys, the end of a spelled chord, and each shape in all keys."""
        transposed = (self.transpose_token(shape, shift) for shape in self.shapes for shift in range(self.n_keys))
        keys = [*self.tone_names, *(HELD + name for name in self.tone_names)]
        chords = sorted({token for token in transposed if token})
        return [*RESTS, *(self.SPELLED + key for key in keys), self.END, *chords]

    def shape(self, token):
        """Return a chord moved to the bottom of the keyboard; a rest is its own shape."""
        if token.startswith(REST):
            return token
        lowest = min(code % self.n_tones for code in self.mark_codes(token))
        return self.transpose_token(token, -lowest)

    def _spell(self, token):
        """Return the tokens of one chord."""
        if token not in self._spelling:
            if token.startswith(REST) or self.shape(token) in self.shapes:
                self._spelling[token] = [token]
            else:
                self._spelling[token] = [*(self.SPELLED + key for key in token.split(AND)), self.END]
        return self._spelling[token]

    def encode(self, notes):
        """Encode notes; see `Chordwise.encode`."""
        chords, losses = super().encode(notes)
        return [token for chord in chords for token in self._spell(chord)], losses

    def decode(self, tokens, qpm=120.0):
        """Decode a text that `encode` wrote; see `Chordwise.decode`."""
        chords, keys = [], []
        for token in split_tokens(tokens):
            if token.startswith(self.SPELLED):
                keys.append(token[1:])
            else:
                chords.append(AND.join(keys) if token == self.END else token)
                keys = []
        return super().decode(chords, qpm)

    def transpose_token(self, token, semitones):
        """Transpose a token; see `Chordwise.transpose_token`."""
        if token == self.END:
            return token
        transposed = super().transpose_token(token.removeprefix(self.SPELLED), semitones)
        if transposed is None:
            return None
        return self.SPELLED + transposed if token.startswith(self.SPELLED) else transposed
