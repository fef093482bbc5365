"""Melodywise text: a single line as words of pitch, beat strength and duration.

`p62_s4_d2` is piano key 62 on a downbeat for two steps, `r_s1_d4` a rest of four. The
strength is music21's accent of the place in the bar where the note begins (1 on the
downbeat, 0.5 in the middle of common time, 0.25 on its other beats, less between them),
times four and rounded. It is read from the metre of the notes, and tells where the bar is
without any word for barlines.

Of several notes struck at once the one nearest to the line's last tone is kept, the higher
of two equally near, and at the beginning the highest; a note lasts until the next strike at
most. Nothing is lost of a piece that is a single line. Any word that occurs is one of the
vocabulary, so a vocabulary is that of a corpus: `words` here is empty.

After JohaNN, which composed in the manner of Bach's suites for solo cello.
"""

import re
from collections import Counter
from fractions import Fraction
from functools import lru_cache

import numpy as np

from clara.encodings.base import Encoding, run_starts
from clara.errors import BadSetting
from clara.music.notes import LOWEST_PIANO_PITCH, build_notes

STRENGTHS = 4  # the downbeat's
WORD = re.compile(r"(?:p([1-9]\d?)|r)_s([0-4])_d([1-9]\d{0,5})")
FAR = 1000  # no note stands for a rest


class Melodywise(Encoding):
    """The line of a piece to words and back; parameters as `Encoding`, with one part."""

    name = "melodywise"
    open_vocabulary = True
    tokens = ()

    def __init__(self, steps_per_quarter=4, n_keys=88, prefixes=None):
        super().__init__(steps_per_quarter, n_keys, prefixes)
        if self.prefixes != ("p",):
            raise BadSetting(f"melodywise is one line, there are no prefixes {self.prefixes}")

    def encode(self, notes):
        """As `Encoding.encode`; the metre of the notes gives the strengths.

        Of losses there are `dropped` (notes of chords) and `shortened` (notes that sounded
        beyond the next strike).
        """
        notes, losses = self.fold_to_range(notes)
        if not len(notes):
            return [], losses
        kept = _line(notes)
        start, end, pitch = notes.start[kept], notes.end[kept], notes.pitch[kept]
        until = np.minimum(end, np.r_[start[1:], end[-1]])
        losses = losses + Counter(dropped=len(notes) - len(kept), shortened=int((until < end).sum()))
        before = np.r_[0, until[:-1]]
        strengths = beat_strengths(np.r_[start, before], notes.time_signatures, notes.steps_per_quarter).tolist()
        words = []
        for rest, begin, stop, midi, s, s_rest in zip(
            before.tolist(), start.tolist(), until.tolist(), pitch.tolist(), strengths, strengths[len(start) :]
        ):
            if begin > rest:
                words.append(f"r_s{s_rest}_d{begin - rest}")
            words.append(f"p{midi - LOWEST_PIANO_PITCH + 1}_s{s}_d{stop - begin}")
        return words, +losses

    def decode(self, words, qpm=120.0):
        """As `Encoding.decode`, one note at a time; strengths say nothing that the notes need."""
        rows = self.parse_tokens(words, self.parse)
        tone, _, duration = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        end = duration.cumsum()
        sounds = tone >= 0
        return build_notes(
            (end - duration)[sounds],
            end[sounds],
            tone[sounds] + self.lowest,
            steps_per_quarter=self.steps_per_quarter,
            qpm=qpm,
        )[0], Counter()

    def parse(self, word):
        """Tone (-1 for a rest), strength and steps of a word.

        Raises
        ------
        KeyError
            With the word, if it is none of this encoding.
        """
        found = WORD.fullmatch(word)
        tone = -1 if found and not found[1] else self._tone_of.get(f"p{found[1]}") if found else None
        if tone is None:
            raise KeyError(word)
        return tone, int(found[2]), int(found[3])

    def token_parts(self, word):
        """What a word is made of: pitch, strength, duration."""
        return word.split("_")

    def transpose_token(self, word, semitones):
        """The word for the same note `semitones` higher, or None where no key is there."""
        tone = self.parse(word)[0]
        if tone < 0:
            return word
        moved = self.transpose_tone(tone, semitones)
        return None if moved is None else f"{self.tone_names[moved]}{word[word.index('_') :]}"

    def tone_range(self, word):
        """The lowest and highest tone of a word, or None of a rest."""
        tone = self.parse(word)[0]
        return None if tone < 0 else (tone, tone)

    def nearest_tokens(self, words, known):
        """For each word the one among the known that is nearest in pitch, then duration and strength.

        Parameters
        ----------
        words, known : lists of str

        Returns
        -------
        list of str; of equally near ones the first
        """
        table = np.array([self.parse(w) for w in known], dtype=float)
        return [known[int(np.argmin(_distance(table, np.array(self.parse(w), dtype=float))))] for w in words]

    def token_steps(self, words):
        """Steps that each word lets pass, as a list of int."""
        return [0 if w.startswith("xx") else self.parse(w)[2] for w in words]


def _distance(table, word):
    """How far words (n, 3) are from one, float (n,): a semitone counts as a third of an octave in length."""
    far = FAR * ((table[:, 0] < 0) != (word[0] < 0))
    return far + abs(table[:, 0] - word[0]) + 3 * abs(np.log2(table[:, 2] / word[2])) + abs(table[:, 1] - word[1]) / 2


def _line(notes):
    """Indices of the notes that make the line, one per onset."""
    first = run_starts(notes.start)
    size = np.diff(np.r_[first, len(notes)])
    kept, last = first + size - 1, None  # the highest of each onset
    pitch = notes.pitch.tolist()
    for i in np.flatnonzero(size > 1).tolist():
        if i:
            last = pitch[kept[i - 1]]
            chord = range(first[i], first[i] + size[i])
            kept[i] = min(chord, key=lambda n: (abs(pitch[n] - last), -pitch[n]))
    return kept


def beat_strengths(steps, metre, steps_per_quarter):
    """Beat strength of places in a piece, times four and rounded.

    Parameters
    ----------
    steps : int array, shape (n,)
    metre : as in `NoteSequence`
    steps_per_quarter : int

    Returns
    -------
    int64 array, shape (n,), 0 to 4
    """
    begins = np.array([step for step, _, _ in metre])
    at = np.maximum(np.searchsorted(begins, steps, side="right") - 1, 0)
    strengths = np.zeros(len(steps), dtype=np.int64)
    for i in np.unique(at):
        table = _bar(*metre[i][1:], steps_per_quarter)
        strengths[at == i] = table[(steps[at == i] - begins[i]) % len(table)]
    return strengths


@lru_cache(maxsize=256)
def _bar(numerator, denominator, steps_per_quarter):
    """Strengths of the steps of as many bars as make whole steps, as music21 weighs them."""
    from music21.meter import TimeSignature

    bar = Fraction(4 * numerator, denominator)  # in quarters
    meter = TimeSignature(f"{numerator}/{denominator}")
    n_steps = (bar * steps_per_quarter).numerator
    weights = [
        meter.getAccentWeight(Fraction(i, steps_per_quarter) % bar, forcePositionMatch=True) for i in range(n_steps)
    ]
    return np.array([round(STRENGTHS * w) for w in weights], dtype=np.int64)
