"""Notewise text: every key pressed and released, with waits between, lossless.

`p40` presses piano key 40 (keys count from A0 = 1 to C8 = 88), `endp40` releases
it, `wait7` lets seven steps pass. With a solo part, `v40` and `endv40` are its
keys. Inside one step come all ends, then all starts; in each, the solo before
the piano, low keys before high ones. A silence longer than the longest wait
(two quarters) takes several waits, the longest first.

It does not write dynamics, tempo, metre or pedal. After the notewise encoding of
Payne's Clara (2018), which named its ranges by their number of keys.
"""

from collections import Counter
from functools import cached_property

import numpy as np

from clara.encodings.keyboard import Keyboard
from clara.notes import mend

LONGEST_WAIT_QUARTERS = 2


class Notewise(Keyboard):
    """Notes to start-and-end words and back; parameters as `Keyboard`."""

    name = "notewise"

    def __init__(self, steps_per_quarter=12, n_keys=88, prefixes=None):
        super().__init__(steps_per_quarter, n_keys, prefixes)
        self.longest_wait = LONGEST_WAIT_QUARTERS * steps_per_quarter

    # Codes number the words: ends of all tones, starts of all tones, waits. Within
    # ends and starts they ascend in the order in which a step writes them.

    @cached_property
    def words(self):
        """All words in the order of their codes."""
        waits = [f"wait{n}" for n in range(1, self.longest_wait + 1)]
        return [f"end{name}" for name in self.tone_names] + self.tone_names + waits

    def encode(self, notes):
        """As `Keyboard.encode`."""
        notes, losses = self.fit(notes)
        return self._word_array[self._encode_codes(notes)].tolist(), losses

    def _encode_codes(self, notes):
        """Codes of fitted notes, shape (n_words,)."""
        tone = self.tones(notes)
        bits = (2 * self.n_tones).bit_length()
        rank = np.concatenate([notes.end << bits | tone, notes.start << bits | self.n_tones + tone])
        rank.sort()
        time, code = rank >> bits, rank & (1 << bits) - 1
        pause = time.copy()
        pause[1:] -= time[:-1]
        paused = np.flatnonzero(pause)
        pause = pause[paused]
        n_waits = (pause + self.longest_wait - 1) // self.longest_wait
        before = np.zeros(len(code), dtype=np.int64)
        before[paused] = n_waits
        at = before.cumsum()
        at += np.arange(len(code))  # where each event lands
        codes = np.full(len(code) + int(n_waits.sum()), 2 * self.n_tones + self.longest_wait - 1)
        codes[at] = code
        codes[at[paused] - 1] = 2 * self.n_tones + (pause - 1) % self.longest_wait  # the last wait takes the remainder
        return codes

    def decode(self, words, qpm=120.0):
        """As `Keyboard.decode`.

        Of losses there are `stray_end` (an end of what does not sound), `restruck` (a start
        of what sounds, which ends it), `unended` (held to the end of the text) and `empty`
        (ended in the step it started).
        """
        codes = self._codes(words)
        is_wait = codes >= 2 * self.n_tones
        steps = np.where(is_wait, codes - 2 * self.n_tones + 1, 0).cumsum()
        time, code = steps[~is_wait], codes[~is_wait]
        tone, is_start = code % self.n_tones, code >= self.n_tones
        last = int(steps[-1]) if len(steps) else 0
        order = np.argsort(tone, kind="stable")
        time, tone, is_start = time[order], tone[order], is_start[order]
        same = np.zeros(len(tone), dtype=bool)  # the next event is of the same tone
        same[:-1] = np.diff(tone) == 0
        after_start = np.zeros(len(tone), dtype=bool)
        after_start[1:] = is_start[:-1] & same[:-1]
        end = np.where(same, np.roll(time, -1), last)
        unended = is_start & ~same
        keep = is_start & ((end > time) | unended)
        notes, _ = mend(time[keep], end[keep], *self.pitch_and_part(tone[keep]),
                        steps_per_quarter=self.steps_per_quarter, qpm=qpm, instruments=self.instruments)
        losses = Counter(stray_end=int((~is_start & ~after_start).sum()),
                         restruck=int((is_start & after_start).sum()),
                         unended=int(unended.sum()), empty=int((is_start & ~keep).sum()))
        return notes, +losses

    def _codes(self, words):
        """Codes of words, control words left out, shape (n,)."""
        return np.array(self.parsed(words, self._code_of.__getitem__), dtype=np.int64)

    def transpose_word(self, word, semitones):
        """The word for the same event `semitones` higher, or None where no key is there."""
        code = self._code_of[word]
        if code >= 2 * self.n_tones:
            return word
        key = code % self.n_keys + semitones
        return self.words[code + semitones] if 0 <= key < self.n_keys else None

    def steps(self, words):
        """Steps that each word lets pass, as a list of int."""
        return [int(w[4:]) if w.startswith("wait") else 0 for w in words]


class Chamber(Notewise):
    """Notewise for piano and one solo instrument, whose words are `v40` and `endv40`."""

    name = "chamber"
    plain_prefixes = ("p", "v")


class Quartet(Notewise):
    """Notewise for a string quartet: `va` and `vb` the violins, `w` the viola, `c` the cello."""

    name = "quartet"
    plain_prefixes = ("va", "vb", "w", "c")
