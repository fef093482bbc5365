"""Notewise text: a token for each key pressed and each key released, with waits between; lossless.

`p40` presses piano key 40 (keys count from A0 = 1 to C8 = 88), `endp40` releases it, and `wait7` lets
seven steps pass. The keys of a solo part are `v40` and `endv40`. Within one step, all releases come
before all presses; among each, the solo comes before the piano and low keys before high ones. A
silence longer than the longest wait (two quarters) takes several waits, the longest first.

The text holds no dynamics, tempo, time signatures or pedal. After the notewise encoding of Payne's
Clara (2018), which named its ranges by their number of keys.
"""

from collections import Counter
from functools import cached_property

import numpy as np

from clara.encodings.base import Encoding, join_tokens
from clara.jit import compiled, int64, int64_1d_readonly
from clara.music.notes import build_notes

MAX_WAIT_QUARTERS = 2


class Notewise(Encoding):
    """Notes as presses, releases and waits; parameters as of `Encoding`.

    Examples
    --------
    >>> from clara.music.notes import NoteSequence
    >>> encoding = Notewise()
    >>> tokens, losses = encoding.encode(NoteSequence.from_notes([(0, 12, 60), (12, 6, 64)]))
    >>> tokens
    ['p40', 'wait12', 'endp40', 'p44', 'wait6', 'endp44']
    >>> encoding.decode(tokens)[0].pitch.tolist()
    [60, 64]
    """

    name = grammar = "notewise"

    def __init__(self, steps_per_quarter=12, n_keys=88, prefixes=None):
        super().__init__(steps_per_quarter, n_keys, prefixes)
        self.longest_wait = MAX_WAIT_QUARTERS * steps_per_quarter

    # The codes of tokens: releases of all tones, presses of all tones, waits. Releases and presses ascend in the
    # order in which a step writes them.

    @cached_property
    def tokens(self):
        """Return all tokens in the order of their codes."""
        waits = [f"wait{n}" for n in range(1, self.longest_wait + 1)]
        return [f"end{name}" for name in self.tone_names] + self.tone_names + waits

    def encode(self, notes):
        """Encode notes as tokens; see `Encoding.encode`."""
        notes, losses = self.fold_to_range(notes)
        return self._token_array[self._encode_codes(notes)].tolist(), losses

    def encode_text(self, notes):
        """Encode notes as one text; see `Encoding.encode_text`."""
        notes, losses = self.fold_to_range(notes)
        codes = self._encode_codes(notes)
        letters, begins = self._token_bytes
        return join_tokens(codes, letters, begins)[1:].tobytes().decode("ascii"), len(codes), losses

    def _encode_codes(self, notes):
        """Return the codes of notes in range, int64 array (n_tokens,)."""
        n_code_bits = (2 * self.n_tones).bit_length()
        events = _pack_events(notes.start, notes.duration, self.to_tones(notes), self.n_tones, n_code_bits)
        events.sort()
        return _add_waits(events, n_code_bits, 2 * self.n_tones, self.longest_wait)

    def decode(self, tokens, qpm=120.0):
        """Decode tokens as notes; see `Encoding.decode`.

        The losses:

        - `stray_end`: a release of a key that is up
        - `restruck`: a press of a key that is down, which ends its note
        - `unended`: a key that is down at the end of the text
        - `empty`: a note released in the step of its press
        """
        codes = self.parse_codes(tokens)
        is_wait = codes >= 2 * self.n_tones
        clock = np.where(is_wait, codes - 2 * self.n_tones + 1, 0).cumsum()
        last_step = int(clock[-1]) if len(clock) else 0
        time, code = clock[~is_wait], codes[~is_wait]
        tone, is_start = code % self.n_tones, code >= self.n_tones

        # Order the events by tone. A note lasts from a press to the next event of its tone.
        order = np.argsort(tone, kind="stable")
        time, tone, is_start = time[order], tone[order], is_start[order]
        has_next = np.zeros(len(tone), dtype=bool)
        has_next[:-1] = np.diff(tone) == 0
        follows_start = np.zeros(len(tone), dtype=bool)
        follows_start[1:] = is_start[:-1] & has_next[:-1]
        end = np.where(has_next, np.roll(time, -1), last_step)
        unended = is_start & ~has_next
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
            stray_end=int((~is_start & ~follows_start).sum()),
            restruck=int((is_start & follows_start).sum()),
            unended=int(unended.sum()),
            empty=int((is_start & ~keep).sum()),
        )
        return notes, +losses

    def transpose_token(self, token, semitones):
        """Return the token for the same event `semitones` higher, or None if the key is out of range."""
        code = self._code_of[token]
        if code >= 2 * self.n_tones:
            return token
        key = code % self.n_keys + semitones
        return self.tokens[code + semitones] if 0 <= key < self.n_keys else None

    def token_steps(self, tokens):
        """Return the number of steps by which each token advances the time."""
        return [int(token[4:]) if token[:4] == "wait" else 0 for token in tokens]


@compiled(int64_1d_readonly, int64_1d_readonly, int64_1d_readonly, int64, int64)
def _pack_events(start, duration, tone, n_tones, n_code_bits):
    """Return presses and releases as one integer each: the step above the bits of the code."""
    events = np.empty(2 * len(start), dtype=np.int64)
    for i in range(len(start)):
        events[2 * i] = start[i] << n_code_bits | (n_tones + tone[i])
        events[2 * i + 1] = (start[i] + duration[i]) << n_code_bits | tone[i]
    return events


@compiled(int64_1d_readonly, int64, int64, int64)
def _add_waits(events, n_code_bits, first_wait_code, longest_wait):
    """Return the codes of sorted, packed events with waits of 1 to `longest_wait` steps between them."""
    n, step = len(events), 0
    for event in events:
        n += ((event >> n_code_bits) - step + longest_wait - 1) // longest_wait
        step = event >> n_code_bits
    codes = np.empty(n, dtype=np.int64)
    at, step = 0, 0
    for event in events:
        pause = (event >> n_code_bits) - step
        step = event >> n_code_bits
        while pause > 0:
            codes[at] = first_wait_code - 1 + min(pause, longest_wait)
            pause -= longest_wait
            at += 1
        codes[at] = event & (1 << n_code_bits) - 1
        at += 1
    return codes


class Chamber(Notewise):
    """Notewise for piano and one solo instrument, with tokens such as `v40` and `endv40`."""

    name = "chamber"
    default_prefixes = ("p", "v")


class Quartet(Notewise):
    """Notewise for a string quartet: `va` and `vb` are the violins, `w` the viola, `c` the cello."""

    name = "quartet"
    default_prefixes = ("va", "vb", "w", "c")
