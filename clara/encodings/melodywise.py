"""Melodywise text: a single line of notes as tokens of pitch, beat strength and duration.

`p62_s4_d2` is piano key 62 on a downbeat for two steps; `r_s1_d4` is a rest of four steps. The strength
is music21's accent of the place in the bar where the note begins (1 on the downbeat, 0.5 in the middle
of common time, 0.25 on its other beats, less between them), times four and rounded. It comes from the
time signatures of the notes and shows where the bar is without a token for bar lines.

Of several notes that start together, the one nearest to the last note of the line is kept, the higher
of two equally near, and at the beginning the highest. A note lasts until the next start at most. A
piece that is a single line loses nothing. The vocabulary is open, so `tokens` is empty here.

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

DOWNBEAT_STRENGTH = 4
TOKEN = re.compile(r"(?:p([1-9]\d?)|r)_s([0-4])_d([1-9]\d{0,5})")
REST_DISTANCE = 1000  # so far is a note from a rest


class Melodywise(Encoding):
    """The melody of a piece; parameters as of `Encoding`, with one part."""

    name = grammar = "melodywise"
    open_vocabulary = True

    def __init__(self, steps_per_quarter=4, n_keys=88, prefixes=None):
        super().__init__(steps_per_quarter, n_keys, prefixes)
        if self.prefixes != ("p",):
            raise BadSetting(f"melodywise is one line, there are no prefixes {self.prefixes}")

    def encode(self, notes):
        """Encode notes as tokens; see `Encoding.encode`. The time signatures give the strengths.

        The losses are `dropped` (notes of chords) and `shortened` (notes that sound beyond the next
        start).
        """
        notes, losses = self.fold_to_range(notes)
        if not len(notes):
            return [], losses
        kept = _select_melody(notes)
        start, end, pitch = notes.start[kept], notes.end[kept], notes.pitch[kept]
        cut_end = np.minimum(end, np.append(start[1:], end[-1]))
        losses = losses + Counter(dropped=len(notes) - len(kept), shortened=int((cut_end < end).sum()))
        rest_start = np.append(0, cut_end[:-1])
        strength = beat_strengths(start, notes.time_signatures, notes.steps_per_quarter)
        rest_strength = beat_strengths(rest_start, notes.time_signatures, notes.steps_per_quarter)
        tokens = []
        columns = (rest_start, rest_strength, start, cut_end, pitch, strength)
        for rest_begin, rest_s, begin, stop, midi_pitch, s in zip(*(column.tolist() for column in columns)):
            if begin > rest_begin:
                tokens.append(f"r_s{rest_s}_d{begin - rest_begin}")
            tokens.append(f"p{midi_pitch - LOWEST_PIANO_PITCH + 1}_s{s}_d{stop - begin}")
        return tokens, +losses

    def decode(self, tokens, qpm=120.0):
        """Decode tokens as notes, one after the other; see `Encoding.decode`. Strengths are ignored."""
        rows = self.parse_tokens(tokens, self.parse_token)
        tone, _, duration = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        end = duration.cumsum()
        is_note = tone >= 0
        notes, _ = build_notes(
            (end - duration)[is_note],
            end[is_note],
            tone[is_note] + self.lowest,
            steps_per_quarter=self.steps_per_quarter,
            qpm=qpm,
        )
        return notes, Counter()

    def parse_token(self, token: str) -> tuple[int, int, int]:
        """Return the tone (-1 for a rest), the strength and the steps of a token.

        Raises
        ------
        KeyError
            With the token, if it is not one of this encoding.
        """
        match = TOKEN.fullmatch(token)
        if not match:
            raise KeyError(token)
        key, strength, duration = match.groups()
        tone = -1 if key is None else self._tone_of.get(f"p{key}")
        if tone is None:
            raise KeyError(token)
        return tone, int(strength), int(duration)

    def onset_tones(self, token):
        """Return the tone that a token starts, in a list; empty for a rest."""
        tone = self.parse_token(token)[0]
        return [tone] if tone >= 0 else []

    def token_parts(self, token):
        """Split a token into pitch, strength and duration."""
        return token.split("_")

    def transpose_token(self, token, semitones):
        """Return the token for the same note `semitones` higher, or None if the key is out of range."""
        tone = self.parse_token(token)[0]
        if tone < 0:
            return token
        transposed = self.transpose_tone(tone, semitones)
        return None if transposed is None else f"{self.tone_names[transposed]}{token[token.index('_') :]}"

    def tone_range(self, token):
        """Return the tone of a token twice, or None for a rest."""
        tone = self.parse_token(token)[0]
        return None if tone < 0 else (tone, tone)

    def nearest_tokens(self, tokens, known):
        """Return for each token the known token that is nearest in pitch, duration and strength.

        Parameters
        ----------
        tokens, known : lists of str

        Returns
        -------
        list of str
            Of equally near tokens the first.
        """
        table = np.array([self.parse_token(token) for token in known], dtype=float)
        rows = [np.array(self.parse_token(token), dtype=float) for token in tokens]
        return [known[int(np.argmin(_distances(table, row)))] for row in rows]

    def token_steps(self, tokens):
        """Return the number of steps by which each token advances the time."""
        return [0 if token.startswith("xx") else self.parse_token(token)[2] for token in tokens]


def _distances(table, row):
    """Return the distance of tokens (n, 3) to one token, float (n,); twice as long is as far as three semitones."""
    rest_distance = REST_DISTANCE * ((table[:, 0] < 0) != (row[0] < 0))
    pitch_distance = abs(table[:, 0] - row[0])
    duration_distance = 3 * abs(np.log2(table[:, 2] / row[2]))
    strength_distance = abs(table[:, 1] - row[1]) / 2
    return rest_distance + pitch_distance + duration_distance + strength_distance


def _select_melody(notes):
    """Return the indices of the notes that make the melody, one per onset."""
    first = run_starts(notes.start)
    size = np.diff(np.append(first, len(notes)))
    kept = first + size - 1  # the highest note of each onset
    pitch = notes.pitch.tolist()
    for i in np.flatnonzero(size > 1).tolist():
        if i:
            last_pitch = pitch[kept[i - 1]]
            chord = range(first[i], first[i] + size[i])
            kept[i] = min(chord, key=lambda n, last=last_pitch: (abs(pitch[n] - last), -pitch[n]))
    return kept


def beat_strengths(steps: np.ndarray, time_signatures: tuple, steps_per_quarter: int) -> np.ndarray:
    """Return the beat strength at places in a piece, times four and rounded.

    Parameters
    ----------
    steps : int array, shape (n,)
    time_signatures : tuple
        As of `NoteSequence`.
    steps_per_quarter : int

    Returns
    -------
    int64 array, shape (n,), 0 to 4
    """
    begins = np.array([step for step, _, _ in time_signatures])
    signature = np.maximum(np.searchsorted(begins, steps, side="right") - 1, 0)
    strengths = np.zeros(len(steps), dtype=np.int64)
    for i in np.unique(signature):
        _, numerator, denominator = time_signatures[i]
        table = _strength_table(numerator, denominator, steps_per_quarter)
        here = signature == i
        strengths[here] = table[(steps[here] - begins[i]) % len(table)]
    return strengths


@lru_cache(maxsize=256)
def _strength_table(numerator, denominator, steps_per_quarter):
    """Return music21's strengths of the steps of as many bars as last a whole number of steps."""
    from music21.meter import TimeSignature

    bar_quarters = Fraction(4 * numerator, denominator)
    meter = TimeSignature(f"{numerator}/{denominator}")
    n_steps = (bar_quarters * steps_per_quarter).numerator
    weights = [
        meter.getAccentWeight(Fraction(i, steps_per_quarter) % bar_quarters, forcePositionMatch=True)
        for i in range(n_steps)
    ]
    return np.array([round(DOWNBEAT_STRENGTH * weight) for weight in weights], dtype=np.int64)
