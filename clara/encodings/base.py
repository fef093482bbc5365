"""What encodings that name keys share: the grid, the range, the parts and their tones.

A tone is one key of one part, numbered in the order in which a step writes them: the
last part first (the solo before the piano), low keys before high ones.
"""

import re
from functools import cached_property

import numpy as np

from clara.errors import BadSetting, UnknownToken
from clara.jit import compiled, int64_1d_readonly, uint8_1d_readonly
from clara.music.instruments import ENSEMBLES
from clara.music.notes import LOWEST_PIANO_PITCH, fold_octaves

# keys: (lowest, highest) MIDI number. 62 and 38 are Clara's large and small range.
RANGES = {88: (21, 108), 62: (33, 94), 38: (45, 82)}


class Encoding:
    """The settings of an encoding that names keys, and its tones.

    Parameters
    ----------
    steps_per_quarter : grid of the notes taken and given (12 or 4 as a rule)
    n_keys : 88, 62 or 38; notes outside are folded in by octaves and counted
    prefixes : one word prefix per part, part 0 first; keys of `clara.music.instruments.INSTRUMENTS`

    Raises
    ------
    BadSetting
        For a grid, a range or prefixes that cannot be.
    """

    name = ""
    open_vocabulary = False  # True where `words` are only those that every vocabulary holds
    plain_prefixes = ("p",)  # where none are given

    def __init__(self, steps_per_quarter=12, n_keys=88, prefixes=None):
        prefixes = self.plain_prefixes if prefixes is None else tuple(prefixes)
        if n_keys not in RANGES:
            raise BadSetting(f"n_keys must be one of {sorted(RANGES)}, not {n_keys}")
        if steps_per_quarter < 1:
            raise BadSetting(f"steps_per_quarter must be at least 1, not {steps_per_quarter}")
        if not prefixes or len(set(prefixes)) < len(prefixes) or not all(re.fullmatch("[a-z]+", p) for p in prefixes):
            raise BadSetting(f"prefixes must be distinct and of small letters, not {prefixes}")
        self.steps_per_quarter, self.n_keys, self.prefixes = steps_per_quarter, n_keys, prefixes
        self.lowest, self.highest = RANGES[n_keys]
        self.n_tones = len(prefixes) * n_keys

    @property
    def settings(self):
        """What `clara.encodings.make_encoding` needs to build this encoding again."""
        return {
            "encoding": self.name,
            "steps_per_quarter": self.steps_per_quarter,
            "n_keys": self.n_keys,
            "prefixes": list(self.prefixes),
        }

    @property
    def ensemble(self):
        """The ensemble whose parts these prefixes are, a name in `clara.music.instruments.ENSEMBLES`."""
        return next((name for name, prefixes in ENSEMBLES.items() if prefixes == self.prefixes), "piano")

    @cached_property
    def tone_names(self):
        """`p40` and the like by tone."""
        return [
            f"{prefix}{midi - LOWEST_PIANO_PITCH + 1}"
            for prefix in reversed(self.prefixes)
            for midi in range(self.lowest, self.highest + 1)
        ]

    @cached_property
    def _tone_of(self):
        return {name: tone for tone, name in enumerate(self.tone_names)}

    # Of closed vocabularies: a word's code is its place in `words`.

    @cached_property
    def _word_array(self):
        return np.array(self.tokens, dtype=object)

    @cached_property
    def _letters(self):
        """Every word with a space before it, in one row of bytes, and where each begins, shape (n_words + 1,)."""
        spelled = [f" {word}".encode("ascii") for word in self.tokens]
        return np.frombuffer(b"".join(spelled), dtype=np.uint8), np.cumsum([0, *map(len, spelled)])

    @cached_property
    def _code_of(self):
        return {word: code for code, word in enumerate(self.tokens)}

    def fold_to_range(self, notes):
        """Fold notes into the range.

        Returns
        -------
        notes : NoteSequence
        losses : Counter

        Raises
        ------
        BadSetting
            If the grid differs or a part has no prefix.
        """
        if notes.steps_per_quarter != self.steps_per_quarter:
            raise BadSetting(
                f"notes at {notes.steps_per_quarter} steps per quarter given to an encoding at {self.steps_per_quarter}"
            )
        if len(notes) and notes.part.max() >= len(self.prefixes):
            raise BadSetting(f"part {notes.part.max()} has no prefix among {self.prefixes}")
        return fold_octaves(notes, self.lowest, self.highest)

    def to_tones(self, notes):
        """The tone of each fitted note, shape (n,)."""
        return (len(self.prefixes) - 1 - notes.part) * self.n_keys + notes.pitch - self.lowest

    def pitch_and_part(self, tones):
        """MIDI numbers and parts of an int array of tones."""
        return tones % self.n_keys + self.lowest, len(self.prefixes) - 1 - tones // self.n_keys

    def transpose_tone(self, tone, semitones):
        """The tone `semitones` higher, or None where no key is there."""
        return tone + semitones if 0 <= tone % self.n_keys + semitones < self.n_keys else None

    def encode(self, notes):
        """Write notes as words.

        Parameters
        ----------
        notes : NoteSequence on this encoding's grid

        Returns
        -------
        words : list of str
        losses : Counter of what the words do not hold; of all encodings `folded`, `merged`
            and `cut` where keys were folded

        Raises
        ------
        BadSetting
            If the grid differs or a part has no prefix.
        """
        raise NotImplementedError

    def encode_text(self, notes):
        """Write notes as a text, faster than `encode` where it can be.

        Returns
        -------
        text : str of the words of `encode`, between spaces
        n_words : int
        losses : Counter as of `encode`
        """
        words, losses = self.encode(notes)
        return " ".join(words), len(words), losses

    def decode(self, words, qpm=120.0):
        """Read words back as notes; what makes no sense is mended and counted.

        Parameters
        ----------
        words : list of str, or one str of words between spaces; control words are skipped
        qpm : tempo of the notes

        Returns
        -------
        notes : NoteSequence
        losses : Counter of what was mended

        Raises
        ------
        UnknownToken
            Naming the first word that is not of this encoding, and its position.
        """
        raise NotImplementedError

    def parse_tokens(self, words, parse):
        """What `parse` makes of each word but control words, a list; its KeyError becomes an UnknownToken.

        Parameters
        ----------
        words : list of str, or one str of words between spaces
        parse : function of a word, raising KeyError with the word where it is none
        """
        words = split_tokens(words)
        try:
            return [parse(w) for w in words]
        except KeyError as e:
            raise UnknownToken(
                f"token {words.index(e.args[0]) + 1} of the text, {e.args[0]!r}, is not {self.name} with "
                f"{self.n_keys} keys at {self.steps_per_quarter} steps per quarter"
            ) from None

    @property
    def instruments(self):
        """The prefixes as a `NoteSequence` keeps them; the piano alone has room for a solo."""
        return ("p", "v") if self.prefixes == ("p",) else self.prefixes


@compiled(int64_1d_readonly, uint8_1d_readonly, int64_1d_readonly)
def spell(codes, letters, begins):
    """The letters of words in a row, uint8: of word n those from begins[n] to begins[n + 1]."""
    size = 0
    for code in codes:
        size += begins[code + 1] - begins[code]
    text, at = np.empty(size, dtype=np.uint8), 0
    for code in codes:
        for i in range(begins[code], begins[code + 1]):
            text[at] = letters[i]
            at += 1
    return text


def split_tokens(words):
    """A text, str or list of words, as a list of words without control words."""
    return [w for w in (words.split() if isinstance(words, str) else words) if not w.startswith("xx")]


def run_starts(values):
    """Where runs of equal values begin, int array."""
    return np.flatnonzero(np.diff(values, prepend=values[0] - 1)) if len(values) else np.zeros(0, dtype=int)
