"""Chordwise text: one word per grid step, the combination of notes struck there.

`p28+p40+p44` strikes three keys at once. A step where nothing is struck is a rest word
that carries how many notes were struck in the ten steps before it, `rest4`, so that a
model cannot do well by guessing silence always. Any combination that occurs is a word, so
a vocabulary is that of a corpus: `words` here are the rests alone.

Without holds the lengths of notes are lost: decoding gives a note the time until the next
strike, at most a bar of four quarters. With holds a step also names the keys that go on
sounding, `~p28+p40`, rests are steps in which nothing sounds, and nothing is lost.

After the chordwise encoding of Payne's Clara (2018), which took four steps per quarter.
"""

from collections import Counter
from functools import cached_property
from itertools import pairwise

import numpy as np

from clara.encodings.base import Encoding
from clara.jit import compiled, int64, int64_1d_readonly
from clara.music.notes import build_notes

RECENT_STEPS = 10
MOST_RECENT = 40  # notes; a rest word says no more than that
LONGEST_QUARTERS = 4  # of a decoded note without holds
TONE_BITS = 20
AT_ONCE = 256  # chords looked up at a time
REST, HELD, AND = "rest", "~", "+"
RESTS = tuple(f"{REST}{n}" for n in range(MOST_RECENT + 1))


class Chordwise(Encoding):
    """Notes to chord words and back.

    Parameters
    ----------
    steps_per_quarter, n_keys, prefixes : see `Encoding`
    holds : also write the keys that go on sounding, which loses nothing
    """

    name = "chordwise"
    open_vocabulary = True
    tokens = RESTS  # every vocabulary holds them, and chords beside them

    def __init__(self, steps_per_quarter=4, n_keys=88, prefixes=None, holds=False):
        super().__init__(steps_per_quarter, n_keys, prefixes)
        self.holds = bool(holds)
        self.longest = LONGEST_QUARTERS * steps_per_quarter
        self._moved = {}  # tables of marks by semitones
        self._last = None  # the known chords that were asked for last

    @property
    def settings(self):
        """What `clara.encodings.make_encoding` needs to build this encoding again."""
        return super().settings | {"holds": self.holds}

    # Codes number the marks that chords are made of: struck tones, held tones, and rests after them.

    @cached_property
    def _marks(self):
        """By code: the mark behind the space that begins a word, then behind the sign that continues it."""
        marks = [*self.tone_names, *(HELD + name for name in self.tone_names), *RESTS]
        return np.array([" " + m for m in marks] + [AND + m for m in marks], dtype=object)

    @cached_property
    def _code_of(self):
        return {mark[1:]: code for code, mark in enumerate(self._marks[: len(self._marks) // 2])}

    def encode(self, notes):
        """As `Encoding.encode`, a word for each step.

        Without holds `relengthened` counts the notes whose length decoding will not give back.
        """
        text, _, losses = self.encode_text(notes)
        return text.split(), losses

    def encode_text(self, notes):
        """As `Encoding.text`."""
        notes, losses = self.fold_to_range(notes)
        if not len(notes):
            return "", 0, losses
        n_steps = notes.n_steps if self.holds else min(notes.n_steps, int(notes.start[-1]) + self.longest)
        if not self.holds:
            losses = +(
                losses
                + Counter(relengthened=int((notes.duration != _until_next(notes.start, n_steps, self.longest)).sum()))
            )
        step, tone, held = self._sounding(notes)
        rank = (step << TONE_BITS | tone) << 1 | held
        rank.sort()
        codes = _chords(rank, notes.start, n_steps, self.n_tones, len(self._marks) // 2)
        return "".join(self._marks[codes].tolist())[1:], n_steps, losses

    def _sounding(self, notes):
        """Step, tone and held (0 or 1) of everything that the words name."""
        tone = self.to_tones(notes)
        if not self.holds:
            return notes.start, tone, np.zeros_like(tone)
        note = np.repeat(np.arange(len(notes)), notes.duration)
        into = np.arange(len(note)) - np.repeat(notes.duration.cumsum() - notes.duration, notes.duration)
        return notes.start[note] + into, tone[note], (into > 0).astype(np.int64)

    def decode(self, words, qpm=120.0):
        """As `Encoding.decode`; `stray_hold` counts the steps in which a key is held that was not struck."""
        codes = self.parse_tokens(words, self.codes)
        step = np.repeat(np.arange(len(codes)), [len(c) for c in codes])
        code = np.array([c for chord in codes for c in chord], dtype=np.int64)
        step, code = step[code < 2 * self.n_tones], code[code < 2 * self.n_tones]
        tone, held = code % self.n_tones, code >= self.n_tones
        if self.holds:
            start, end, tone, stray = self._runs(step, tone, held)
        else:
            start, end, stray = step, step + _until_next(step, len(codes), self.longest), 0
        notes, _ = build_notes(
            start,
            end,
            *self.pitch_and_part(tone),
            steps_per_quarter=self.steps_per_quarter,
            qpm=qpm,
            instruments=self.instruments,
        )
        return notes, +Counter(stray_hold=int(stray))

    @staticmethod
    def _runs(step, tone, held):
        """start, end and tone of notes from what sounds in each step, and the steps held without a strike."""
        order = np.lexsort((step, tone))
        step, tone, held = step[order], tone[order], held[order]
        goes_on = np.zeros(len(step), dtype=bool)
        goes_on[1:] = held[1:] & (np.diff(step) == 1) & (np.diff(tone) == 0)
        first = np.flatnonzero(~goes_on)
        length = np.diff(np.r_[first, len(step)])
        struck = ~held[first]
        start = step[first][struck]
        return start, start + length[struck], tone[first][struck], length[~struck].sum()

    def codes(self, word):
        """The marks of a word: struck tones, held tones + `n_tones`, or one rest + 2 * `n_tones`.

        Raises
        ------
        KeyError
            With the word, if it is none of this encoding.
        """
        try:
            codes = [self._code_of[mark] for mark in word.split(AND)]
        except KeyError:
            raise KeyError(word) from None
        tones = [c % self.n_tones for c in codes]
        rest = codes[-1] >= 2 * self.n_tones
        held = any(self.n_tones <= c < 2 * self.n_tones for c in codes)
        in_order = all(a < b for a, b in pairwise(tones))
        if (rest and len(codes) > 1) or (held and not self.holds) or not (rest or in_order):
            raise KeyError(word)
        return codes

    def token_parts(self, word):
        """What a word is made of: its marks."""
        return word.split(AND)

    def transpose_token(self, word, semitones):
        """The word for the same chord `semitones` higher, or None where a key is missing."""
        moved = self._moved_marks(semitones)
        marks = [moved[mark] for mark in word.split(AND)]
        return None if None in marks else AND.join(marks)

    def _moved_marks(self, semitones):
        """By mark: the same mark `semitones` higher, or None; rests stay."""
        if semitones not in self._moved:
            tones = [self.transpose_tone(tone, semitones) for tone in range(self.n_tones)]
            names = [None if tone is None else self.tone_names[tone] for tone in tones]
            self._moved[semitones] = (
                {rest: rest for rest in RESTS}
                | dict(zip(self.tone_names, names))
                | {HELD + old: new and HELD + new for old, new in zip(self.tone_names, names)}
            )
        return self._moved[semitones]

    def tone_range(self, word):
        """The lowest and highest key of a word within the range, from 0, or None of a rest."""
        if word.startswith(REST):
            return None
        keys = [c % self.n_tones % self.n_keys for c in self.codes(word)]
        return min(keys), max(keys)

    def nearest_tokens(self, words, known):
        """For each chord the known chord nearest to it; rests, which every vocabulary holds, stay.

        Near are chords that share keys, all else equal those that strike the same of
        them, have the same pitch classes and the same highest and lowest key.

        Parameters
        ----------
        words, known : lists of str

        Returns
        -------
        list of str; of equally near ones the first
        """
        known, table, squares = self._table(tuple(known))
        found = []
        chords = [w for w in words if not w.startswith(REST)]
        for at in range(0, len(chords), AT_ONCE):
            found += (squares - 2 * self._features(chords[at : at + AT_ONCE]) @ table.T).argmin(1).tolist()
        chosen = iter(found)
        return [w if w.startswith(REST) else known[next(chosen)] for w in words]

    def _table(self, known):
        """Known chords, their features and the squares of those; kept, as one piece after another is asked for the same."""
        if self._last is None or self._last[0] != known:
            chords = [w for w in known if not w.startswith(REST)]
            table = self._features(chords)
            self._last = known, (chords, table, (table**2).sum(1))
        return self._last[1]

    def _features(self, words):
        """Chords as points whose squared distance counts what differs, float32 (n, m)."""
        points = np.zeros((len(words), 4 * self.n_tones + 12), dtype=np.float32)
        sounding, struck, low, high = (slice(i * self.n_tones, (i + 1) * self.n_tones) for i in range(4))
        for row, word in zip(points, words):
            codes = np.array(self.codes(word))
            tones = codes % self.n_tones
            row[sounding][tones] = 1
            row[struck][tones[codes < self.n_tones]] = 0.5**0.5
            row[low][tones.min()] = row[high][tones.max()] = 0.25**0.5
            row[-12:][tones % self.n_keys % 12] = 0.5**0.5
        return points

    def token_steps(self, words):
        """Steps that each word lets pass, as a list of int."""
        return [int(not w.startswith("xx")) for w in words]


@compiled(int64_1d_readonly, int64_1d_readonly, int64, int64, int64)
def _chords(rank, start, n_steps, n_tones, n_marks):
    """Codes of marks, step by step: what sounds, ranked by step, tone and held, or a rest; n_marks more of one that continues a word."""
    struck = np.zeros(n_steps, dtype=np.int64)
    for step in start:
        struck[step] += 1
    codes = np.empty(len(rank) + n_steps, dtype=np.int64)
    at, event, recent = 0, 0, 0
    for step in range(n_steps):
        begun = at
        while event < len(rank) and rank[event] >> TONE_BITS + 1 == step:
            tone, held = rank[event] >> 1 & (1 << TONE_BITS) - 1, rank[event] & 1
            codes[at] = tone + n_tones * held + n_marks * (at > begun)
            at, event = at + 1, event + 1
        if at == begun:
            codes[at] = 2 * n_tones + min(recent, MOST_RECENT)
            at += 1
        recent += struck[step] - (struck[step - RECENT_STEPS] if step >= RECENT_STEPS else 0)
    return codes[:at]


@compiled(int64_1d_readonly, int64, int64)
def _until_next(start, n_steps, longest):
    """Steps until the next strike, at most `longest`, of sorted starts; n_steps ends the last."""
    duration, following = np.empty_like(start), n_steps
    for i in range(len(start) - 1, -1, -1):
        if i + 1 < len(start) and start[i + 1] > start[i]:
            following = start[i + 1]
        duration[i] = min(following - start[i], longest)
    return duration
