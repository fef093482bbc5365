"""Framewise text: the keys that sound in each grid step, then a word that ends the frame.

`p28 p40 frame p28 p40 frame frame` is two steps of a fifth and one of silence. It is the
spelling of piano rolls that say which keys sound and not which are struck (Boulanger-
Lewandowski, Bengio and Vincent 2012), so a key struck again at once is one longer note:
`merged` counts the strikes lost.
"""

from collections import Counter
from functools import cached_property

import numpy as np

from clara.encodings.base import Encoding
from clara.music.notes import build_notes

FRAME = "frame"


class Framewise(Encoding):
    """Notes to frames and back; parameters as `Encoding`."""

    name = "framewise"

    def __init__(self, steps_per_quarter=4, n_keys=88, prefixes=None):
        super().__init__(steps_per_quarter, n_keys, prefixes)

    @cached_property
    def tokens(self):
        """All words: the tones in order, then the frame's end, which is code `n_tones`."""
        return [*self.tone_names, FRAME]

    def encode(self, notes):
        """As `Encoding.encode`; `merged` also counts strikes of a key that sounded until then."""
        notes, losses = self.fold_to_range(notes)
        tone = self.to_tones(notes)
        note = np.repeat(np.arange(len(notes)), notes.duration)
        step = np.arange(len(note)) + np.repeat(notes.start - notes.duration.cumsum() + notes.duration, notes.duration)
        frames = np.arange(notes.n_steps) * (self.n_tones + 1) + self.n_tones
        rank = np.sort(np.r_[step * (self.n_tones + 1) + tone[note], frames])
        ends = set(zip(notes.end.tolist(), tone.tolist()))
        merged = sum(begin in ends for begin in zip(notes.start.tolist(), tone.tolist()))
        return self._word_array[rank % (self.n_tones + 1)].tolist(), +(losses + Counter(merged=merged))

    def decode(self, words, qpm=120.0):
        """As `Encoding.decode`.

        Of losses there are `repeated` (a key named twice in a frame) and `unended` (keys
        after the last frame's end, which are taken for a frame).
        """
        code = np.array(self.parse_tokens(words, self._code_of.__getitem__), dtype=np.int64)
        is_end = code == self.n_tones
        step, tone = (is_end.cumsum() - is_end)[~is_end], code[~is_end]
        sounding = np.unique(tone * (len(code) + 1) + step)
        begins = np.flatnonzero(np.diff(sounding, prepend=-2) != 1)
        length = np.diff(np.r_[begins, len(sounding)])
        tones, start = np.divmod(sounding[begins], len(code) + 1)
        notes, _ = build_notes(
            start,
            start + length,
            *self.pitch_and_part(tones),
            steps_per_quarter=self.steps_per_quarter,
            qpm=qpm,
            instruments=self.instruments,
        )
        unended = int((step == is_end.sum()).sum())
        return notes, +Counter(repeated=len(tone) - len(sounding), unended=unended)

    def transpose_token(self, word, semitones):
        """The word for the same key `semitones` higher, or None where no key is there."""
        tone = self._code_of[word]
        if tone == self.n_tones:
            return word
        moved = self.transpose_tone(tone, semitones)
        return None if moved is None else self.tokens[moved]

    def token_steps(self, words):
        """Steps that each word lets pass, as a list of int."""
        return [int(w == FRAME) for w in words]
