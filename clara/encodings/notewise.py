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

from clara.encodings.base import Encoding, spell
from clara.jit import compiled, int64, int64_1d_readonly
from clara.music.notes import build_notes

LONGEST_WAIT_QUARTERS = 2


class Notewise(Encoding):
    """Notes to start-and-end words and back; parameters as `Encoding`."""

    name = "notewise"

    def __init__(self, steps_per_quarter=12, n_keys=88, prefixes=None):
        super().__init__(steps_per_quarter, n_keys, prefixes)
        self.longest_wait = LONGEST_WAIT_QUARTERS * steps_per_quarter

    # Codes number the words: ends of all tones, starts of all tones, waits. Within
    # ends and starts they ascend in the order in which a step writes them.

    @cached_property
    def tokens(self):
        """All words in the order of their codes."""
        waits = [f"wait{n}" for n in range(1, self.longest_wait + 1)]
        return [f"end{name}" for name in self.tone_names] + self.tone_names + waits

    def encode(self, notes):
        """As `Encoding.encode`."""
        notes, losses = self.fold_to_range(notes)
        return self._word_array[self._encode_codes(notes)].tolist(), losses

    def encode_text(self, notes):
        """As `Encoding.text`."""
        notes, losses = self.fold_to_range(notes)
        codes = self._encode_codes(notes)
        return spell(codes, *self._letters)[1:].tobytes().decode("ascii"), len(codes), losses

    def _encode_codes(self, notes):
        """Codes of fitted notes, shape (n_words,)."""
        tone = self.to_tones(notes)
        bits = (2 * self.n_tones).bit_length()
        rank = _ranked(notes.start, notes.duration, tone, self.n_tones, bits)
        rank.sort()
        return _with_waits(rank, bits, 2 * self.n_tones, self.longest_wait)

    def decode(self, words, qpm=120.0):
        """As `Encoding.decode`.

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
        notes, _ = build_notes(
            time[keep],
            end[keep],
            *self.pitch_and_part(tone[keep]),
            steps_per_quarter=self.steps_per_quarter,
            qpm=qpm,
            instruments=self.instruments,
        )
        losses = Counter(
            stray_end=int((~is_start & ~after_start).sum()),
            restruck=int((is_start & after_start).sum()),
            unended=int(unended.sum()),
            empty=int((is_start & ~keep).sum()),
        )
        return notes, +losses

    def _codes(self, words):
        """Codes of words, control words left out, shape (n,)."""
        return np.array(self.parse_tokens(words, self._code_of.__getitem__), dtype=np.int64)

    def transpose_token(self, word, semitones):
        """The word for the same event `semitones` higher, or None where no key is there."""
        code = self._code_of[word]
        if code >= 2 * self.n_tones:
            return word
        key = code % self.n_keys + semitones
        return self.tokens[code + semitones] if 0 <= key < self.n_keys else None

    def token_steps(self, words):
        """Steps that each word lets pass, as a list of int."""
        return [int(w[4:]) if w.startswith("wait") else 0 for w in words]


@compiled(int64_1d_readonly, int64_1d_readonly, int64_1d_readonly, int64, int64)
def _ranked(start, duration, tone, n_tones, bits):
    """The ends and the starts of notes as one integer each: the step above `bits` bits of code."""
    rank = np.empty(2 * len(start), dtype=np.int64)
    for i in range(len(start)):
        rank[2 * i] = start[i] << bits | (n_tones + tone[i])
        rank[2 * i + 1] = (start[i] + duration[i]) << bits | tone[i]
    return rank


@compiled(int64_1d_readonly, int64, int64, int64)
def _with_waits(rank, bits, first_wait, longest):
    """Codes of events, ranked by step above `bits` bits of code, with waits between; waits of 1 to `longest` steps count from first_wait."""
    n, step = len(rank), 0
    for r in rank:
        n, step = n + ((r >> bits) - step + longest - 1) // longest, r >> bits
    codes = np.empty(n, dtype=np.int64)
    at, step = 0, 0
    for r in rank:
        pause, step = (r >> bits) - step, r >> bits
        while pause > 0:
            codes[at] = first_wait - 1 + min(pause, longest)
            pause -= longest
            at += 1
        codes[at] = r & (1 << bits) - 1
        at += 1
    return codes


class Chamber(Notewise):
    """Notewise for piano and one solo instrument, whose words are `v40` and `endv40`."""

    name = "chamber"
    plain_prefixes = ("p", "v")


class Quartet(Notewise):
    """Notewise for a string quartet: `va` and `vb` the violins, `w` the viola, `c` the cello."""

    name = "quartet"
    plain_prefixes = ("va", "vb", "w", "c")
