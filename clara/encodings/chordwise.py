"""Chordwise text: one token per grid step, with all notes that start there.

`p28+p40+p44` starts three notes at once. A step where nothing starts is a rest token such as `rest4`.
It holds the number of notes that started in the ten steps before, so that a model cannot do well by
always guessing silence. Each combination that occurs is a token, so the vocabulary is open: `tokens`
are the rests alone.

Without holds the lengths of notes are lost: a decoded note lasts until the next start, at most a bar of
four quarters. With holds a step also names the keys that go on sounding (`~p28+p40`), a rest is a step
in which nothing sounds, and nothing is lost.

After the chordwise encoding of Payne's Clara (2018), which took four steps per quarter.
"""

from collections import Counter
from functools import cached_property
from itertools import pairwise

import numpy as np

from clara.encodings.base import Encoding
from clara.jit import compiled, int64, int64_1d_readonly
from clara.music.notes import build_notes

RECENT_STEPS = 10  # a rest token counts the notes that started in so many steps before it
MAX_RECENT_NOTES = 40  # the highest number of notes that a rest token holds
MAX_NOTE_QUARTERS = 4  # the length of a decoded note without holds
TONE_BITS = 20
NEAREST_BATCH = 256  # chords to look up at once
REST, HELD, AND = "rest", "~", "+"
RESTS = tuple(f"{REST}{n}" for n in range(MAX_RECENT_NOTES + 1))


class Chordwise(Encoding):
    """Notes as chords, one token per step.

    Parameters
    ----------
    steps_per_quarter, n_keys, prefixes
        As of `Encoding`.
    holds : bool
        Also write the keys that go on sounding, which makes the text lossless.
    """

    name = grammar = "chordwise"
    open_vocabulary = True
    tokens = RESTS

    def __init__(self, steps_per_quarter=4, n_keys=88, prefixes=None, holds=False):
        super().__init__(steps_per_quarter, n_keys, prefixes)
        self.holds = bool(holds)
        self.max_note_steps = MAX_NOTE_QUARTERS * steps_per_quarter
        self._transposed_marks = {}  # tables by semitones
        self._nearest_cache = None  # known chords of the last call of `nearest_tokens`, and their table

    @property
    def settings(self):
        """Return the settings from which `clara.encodings.make_encoding` builds this encoding again."""
        return super().settings | {"holds": self.holds}

    # A mark is a part of a token. Its code is: tone (a start), n_tones + tone (a hold), 2 n_tones + count (a rest).

    @cached_property
    def _marks(self):
        """Return the text of each mark by code: first behind the space that begins a token, then behind a plus sign."""
        marks = [*self.tone_names, *(HELD + name for name in self.tone_names), *RESTS]
        return np.array([" " + mark for mark in marks] + [AND + mark for mark in marks], dtype=object)

    @cached_property
    def _code_of(self):
        return {mark[1:]: code for code, mark in enumerate(self._marks[: len(self._marks) // 2])}

    def encode(self, notes):
        """Encode notes as tokens, one per step; see `Encoding.encode`.

        Without holds, `relengthened` counts the notes whose length decoding does not restore.
        """
        text, _, losses = self.encode_text(notes)
        return text.split(), losses

    def encode_text(self, notes):
        """Encode notes as one text; see `Encoding.encode_text`."""
        notes, losses = self.fold_to_range(notes)
        if not len(notes):
            return "", 0, losses
        n_steps = notes.n_steps
        if not self.holds:
            n_steps = min(n_steps, int(notes.start[-1]) + self.max_note_steps)
            decoded_duration = _steps_to_next(notes.start, n_steps, self.max_note_steps)
            losses = +(losses + Counter(relengthened=int((notes.duration != decoded_duration).sum())))
        step, tone, held = self._sounding(notes)
        events = (step << TONE_BITS | tone) << 1 | held
        events.sort()
        codes = _to_marks(events, notes.start, n_steps, self.n_tones, len(self._marks) // 2)
        return "".join(self._marks[codes].tolist())[1:], n_steps, losses

    def _sounding(self, notes):
        """Return step, tone and held (0 or 1) of every mark that is not a rest."""
        tone = self.to_tones(notes)
        if not self.holds:
            return notes.start, tone, np.zeros_like(tone)
        note = np.repeat(np.arange(len(notes)), notes.duration)
        first_row = notes.duration.cumsum() - notes.duration
        steps_since_start = np.arange(len(note)) - np.repeat(first_row, notes.duration)
        return notes.start[note] + steps_since_start, tone[note], (steps_since_start > 0).astype(np.int64)

    def decode(self, tokens, qpm=120.0):
        """Decode tokens as notes; see `Encoding.decode`.

        The loss is `stray_hold`: the number of steps that hold a key which was not started.
        """
        chords = self.parse_tokens(tokens, self.mark_codes)
        step = np.repeat(np.arange(len(chords)), [len(chord) for chord in chords])
        code = np.array([code for chord in chords for code in chord], dtype=np.int64)
        is_rest = code >= 2 * self.n_tones
        step, code = step[~is_rest], code[~is_rest]
        tone, is_held = code % self.n_tones, code >= self.n_tones
        if self.holds:
            start, end, tone, n_stray = self._join_holds(step, tone, is_held)
        else:
            start, end, n_stray = step, step + _steps_to_next(step, len(chords), self.max_note_steps), 0
        notes, _ = build_notes(
            start,
            end,
            *self.pitch_and_part(tone),
            steps_per_quarter=self.steps_per_quarter,
            qpm=qpm,
            instruments=self.instruments,
        )
        return notes, +Counter(stray_hold=int(n_stray))

    @staticmethod
    def _join_holds(step, tone, is_held):
        """Return start, end and tone of notes, and the number of steps held without a start."""
        order = np.lexsort((step, tone))
        step, tone, is_held = step[order], tone[order], is_held[order]
        continues = np.zeros(len(step), dtype=bool)
        continues[1:] = is_held[1:] & (np.diff(step) == 1) & (np.diff(tone) == 0)
        first = np.flatnonzero(~continues)
        duration = np.diff(np.append(first, len(step)))
        has_start = ~is_held[first]
        start = step[first][has_start]
        return start, start + duration[has_start], tone[first][has_start], duration[~has_start].sum()

    def mark_codes(self, token: str) -> list[int]:
        """Return the codes of the marks of a token: starts, holds + `n_tones`, or one rest + 2 * `n_tones`.

        Raises
        ------
        KeyError
            With the token, if it is not one of this encoding.
        """
        try:
            codes = [self._code_of[mark] for mark in token.split(AND)]
        except KeyError:
            raise KeyError(token) from None
        tones = [code % self.n_tones for code in codes]
        is_rest = codes[-1] >= 2 * self.n_tones
        has_hold = any(self.n_tones <= code < 2 * self.n_tones for code in codes)
        is_ascending = all(a < b for a, b in pairwise(tones))
        if (is_rest and len(codes) > 1) or (has_hold and not self.holds) or not (is_rest or is_ascending):
            raise KeyError(token)
        return codes

    def onset_tones(self, token):
        """Return the tones that a token starts."""
        return [code for code in self.mark_codes(token) if code < self.n_tones]

    def token_parts(self, token):
        """Split a token into its marks."""
        return token.split(AND)

    def transpose_token(self, token, semitones):
        """Return the token for the same chord `semitones` higher, or None if a key is out of range."""
        transposed = self._transpose_marks(semitones)
        marks = [transposed[mark] for mark in token.split(AND)]
        return None if None in marks else AND.join(marks)

    def _transpose_marks(self, semitones):
        """Return a dict from each mark to the same mark `semitones` higher, or None; rests stay."""
        if semitones not in self._transposed_marks:
            tones = [self.transpose_tone(tone, semitones) for tone in range(self.n_tones)]
            names = [None if tone is None else self.tone_names[tone] for tone in tones]
            table = {rest: rest for rest in RESTS}
            for old, new in zip(self.tone_names, names):
                table[old] = new
                table[HELD + old] = None if new is None else HELD + new
            self._transposed_marks[semitones] = table
        return self._transposed_marks[semitones]

    def tone_range(self, token):
        """Return the lowest and highest key of a token within the range, from 0, or None for a rest."""
        if token.startswith(REST):
            return None
        keys = [code % self.n_tones % self.n_keys for code in self.mark_codes(token)]
        return min(keys), max(keys)

    def nearest_tokens(self, tokens, known):
        """Return for each chord the nearest known chord; rests, which every vocabulary holds, stay.

        Chords are near if they share keys. Next come the same starts, the same pitch classes, and
        the same highest and lowest key.

        Parameters
        ----------
        tokens, known : lists of str

        Returns
        -------
        list of str
            Of equally near chords the first.
        """
        known, table, squares = self._known_features(tuple(known))
        nearest = []
        chords = [token for token in tokens if not token.startswith(REST)]
        for first in range(0, len(chords), NEAREST_BATCH):
            # squared distances, but for a constant of each chord
            distances = squares - 2 * self._features(chords[first : first + NEAREST_BATCH]) @ table.T
            nearest += distances.argmin(1).tolist()
        nearest = iter(nearest)
        return [token if token.startswith(REST) else known[next(nearest)] for token in tokens]

    def _known_features(self, known):
        """Return the known chords, their features and the squared norms; cached for the next piece."""
        if self._nearest_cache is None or self._nearest_cache[0] != known:
            chords = [token for token in known if not token.startswith(REST)]
            table = self._features(chords)
            self._nearest_cache = known, (chords, table, (table**2).sum(1))
        return self._nearest_cache[1]

    def _features(self, tokens):
        """Return chords as points whose squared distance counts the differences, float32 (n, n_features)."""
        points = np.zeros((len(tokens), 4 * self.n_tones + 12), dtype=np.float32)
        sounding, started, lowest, highest = (slice(i * self.n_tones, (i + 1) * self.n_tones) for i in range(4))
        for row, token in zip(points, tokens):
            codes = np.array(self.mark_codes(token))
            tones = codes % self.n_tones
            row[sounding][tones] = 1
            row[started][tones[codes < self.n_tones]] = 0.5**0.5
            row[lowest][tones.min()] = row[highest][tones.max()] = 0.25**0.5
            row[-12:][tones % self.n_keys % 12] = 0.5**0.5
        return points

    def token_steps(self, tokens):
        """Return the number of steps by which each token advances the time."""
        return [int(not token.startswith("xx")) for token in tokens]


@compiled(int64_1d_readonly, int64_1d_readonly, int64, int64, int64)
def _to_marks(events, start, n_steps, n_tones, n_marks):
    """Return the codes of all marks, step by step.

    `events` are step, tone and held of each mark, packed and sorted; a step without one gets a rest.
    A mark that continues a token has a code higher by `n_marks`.
    """
    n_starts = np.zeros(n_steps, dtype=np.int64)
    for step in start:
        n_starts[step] += 1
    codes = np.empty(len(events) + n_steps, dtype=np.int64)
    at, event, n_recent = 0, 0, 0
    for step in range(n_steps):
        first = at
        while event < len(events) and events[event] >> TONE_BITS + 1 == step:
            tone, held = events[event] >> 1 & (1 << TONE_BITS) - 1, events[event] & 1
            codes[at] = tone + n_tones * held + n_marks * (at > first)
            at, event = at + 1, event + 1
        if at == first:
            codes[at] = 2 * n_tones + min(n_recent, MAX_RECENT_NOTES)
            at += 1
        n_recent += n_starts[step] - (n_starts[step - RECENT_STEPS] if step >= RECENT_STEPS else 0)
    return codes[:at]


@compiled(int64_1d_readonly, int64, int64)
def _steps_to_next(start, n_steps, max_steps):
    """Return the steps from each of the sorted starts to the next later one or the end, at most `max_steps`."""
    duration, next_start = np.empty_like(start), n_steps
    for i in range(len(start) - 1, -1, -1):
        if i + 1 < len(start) and start[i + 1] > start[i]:
            next_start = start[i + 1]
        duration[i] = min(next_start - start[i], max_steps)
    return duration
