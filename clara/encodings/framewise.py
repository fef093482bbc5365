"""Framewise text: the keys that sound in each grid step, then a token that ends the frame.

`p28 p40 frame p28 p40 frame frame` is two steps of a fifth and one step of silence. It is the text of a
piano roll that shows which keys sound and not which are struck (Boulanger-Lewandowski, Bengio and
Vincent 2012). So a key that is struck again at once becomes one longer note; `merged` counts them.
"""

from collections import Counter
from functools import cached_property

import numpy as np

from clara.encodings.base import Encoding
from clara.music.notes import build_notes

FRAME = "frame"


class Framewise(Encoding):
    """Notes as frames of sounding keys; parameters as of `Encoding`."""

    name = grammar = "framewise"

    def __init__(self, steps_per_quarter=4, n_keys=88, prefixes=None):
        super().__init__(steps_per_quarter, n_keys, prefixes)

    @cached_property
    def tokens(self):
        """Return all tokens: the tones in order, then the end of a frame, whose code is `n_tones`."""
        return [*self.tone_names, FRAME]

    def encode(self, notes):
        """Encode notes as tokens; see `Encoding.encode`.

        `merged` also counts notes that begin where another note of their key ends.
        """
        notes, losses = self.fold_to_range(notes)
        tone = self.to_tones(notes)
        # one row for each step of each note
        note = np.repeat(np.arange(len(notes)), notes.duration)
        first_row = notes.duration.cumsum() - notes.duration
        step = np.arange(len(note)) + np.repeat(notes.start - first_row, notes.duration)
        # sort by step, then tone; the end of a frame comes after all tones
        n_codes = self.n_tones + 1
        frame_ends = np.arange(notes.n_steps) * n_codes + self.n_tones
        events = np.sort(np.concatenate([step * n_codes + tone[note], frame_ends]))
        ends = set(zip(notes.end.tolist(), tone.tolist()))
        n_merged = sum(start in ends for start in zip(notes.start.tolist(), tone.tolist()))
        return self._token_array[events % n_codes].tolist(), +(losses + Counter(merged=n_merged))

    def decode(self, tokens, qpm=120.0):
        """Decode tokens as notes; see `Encoding.decode`.

        The losses are `repeated` (a key named twice in a frame) and `unended` (keys after the end of
        the last frame, which count as one more frame).
        """
        code = self.parse_codes(tokens)
        is_frame_end = code == self.n_tones
        step = (is_frame_end.cumsum() - is_frame_end)[~is_frame_end]
        tone = code[~is_frame_end]
        # a note is a run of consecutive steps in which a tone sounds
        n_steps = len(code) + 1
        sounding = np.unique(tone * n_steps + step)
        begins = np.flatnonzero(np.diff(sounding, prepend=-2) != 1)
        duration = np.diff(np.append(begins, len(sounding)))
        tones, start = np.divmod(sounding[begins], n_steps)
        notes, _ = build_notes(
            start,
            start + duration,
            *self.pitch_and_part(tones),
            steps_per_quarter=self.steps_per_quarter,
            qpm=qpm,
            instruments=self.instruments,
        )
        n_unended = int((step == is_frame_end.sum()).sum())
        return notes, +Counter(repeated=len(tone) - len(sounding), unended=n_unended)

    def transpose_token(self, token, semitones):
        """Return the token for the same key `semitones` higher, or None if it is out of range."""
        tone = self._code_of[token]
        if tone == self.n_tones:
            return token
        transposed = self.transpose_tone(tone, semitones)
        return None if transposed is None else self.tokens[transposed]

    def token_steps(self, tokens):
        """Return the number of steps by which each token advances the time."""
        return [int(token == FRAME) for token in tokens]
