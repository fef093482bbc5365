"""The base class of all encodings: the grid, the range, the parts and their tones.

A tone is one key of one part. Tones are numbered in the order in which a step writes them: the last
part first (the solo before the piano), low keys before high ones.
"""

import re
from collections import Counter
from functools import cached_property

import numpy as np

from clara.errors import BadSetting, UnknownToken
from clara.jit import compiled, int64_1d_readonly, uint8_1d_readonly
from clara.music.instruments import ENSEMBLES
from clara.music.notes import LOWEST_PIANO_PITCH, NoteSequence, fold_octaves

# Number of keys: (lowest, highest) MIDI number. 62 and 38 are the large and small range of Payne's Clara (2018).
RANGES = {88: (21, 108), 62: (33, 94), 38: (45, 82)}


class Encoding:
    """A way to write notes as tokens, and to read tokens as notes.

    A subclass defines `name`, `tokens`, `encode`, `decode`, `transpose_token` and `token_steps`, and
    with an open vocabulary also `tone_range`, `token_parts` and `nearest_tokens`.

    Parameters
    ----------
    steps_per_quarter : int
        The grid of the notes.
    n_keys : int
        88, 62 or 38. Notes outside the range are moved into it by octaves and counted.
    prefixes : sequence of str, optional
        The token prefix of each part, part 0 first; keys of `clara.music.instruments.INSTRUMENTS`
        (default: `default_prefixes`).

    Attributes
    ----------
    name : str
        Name in the registry `clara.encodings.ENCODINGS`.
    tokens : sequence of str
        All tokens, without the control tokens. With an open vocabulary only those in
        every vocabulary.
    open_vocabulary : bool
        Whether the vocabulary also holds the tokens that occur in a corpus.
    grammar : str
        Name of the grammar in `clara.sampling.grammars` that knows which token may follow which.

    Raises
    ------
    BadSetting
        If the grid, the range or the prefixes are impossible.
    """

    name = ""
    grammar = "pairwise"
    open_vocabulary = False
    default_prefixes = ("p",)
    tokens: tuple | list = ()

    def __init__(self, steps_per_quarter=12, n_keys=88, prefixes=None):
        prefixes = self.default_prefixes if prefixes is None else tuple(prefixes)
        if n_keys not in RANGES:
            raise BadSetting(f"n_keys must be one of {sorted(RANGES)}, not {n_keys}")
        if steps_per_quarter < 1:
            raise BadSetting(f"steps_per_quarter must be at least 1, not {steps_per_quarter}")
        if not prefixes or len(set(prefixes)) < len(prefixes) or not all(re.fullmatch("[a-z]+", p) for p in prefixes):
            raise BadSetting(f"prefixes must be distinct and of small letters, not {prefixes}")
        self.steps_per_quarter = steps_per_quarter
        self.n_keys = n_keys
        self.prefixes = prefixes
        self.lowest, self.highest = RANGES[n_keys]
        self.n_tones = len(prefixes) * n_keys

    @property
    def settings(self) -> dict:
        """Return the settings from which `clara.encodings.make_encoding` builds this encoding again."""
        return {
            "encoding": self.name,
            "steps_per_quarter": self.steps_per_quarter,
            "n_keys": self.n_keys,
            "prefixes": list(self.prefixes),
        }

    @property
    def ensemble(self) -> str:
        """Return the ensemble with these prefixes, a name in `clara.music.instruments.ENSEMBLES`."""
        return next((name for name, prefixes in ENSEMBLES.items() if prefixes == self.prefixes), "piano")

    @property
    def instruments(self) -> tuple:
        """Return the prefixes for a `NoteSequence`, in which the piano alone has room for a solo."""
        return ("p", "v") if self.prefixes == ("p",) else self.prefixes

    # What a subclass defines

    def encode(self, notes: NoteSequence) -> tuple[list[str], Counter]:
        """Encode notes as tokens.

        Parameters
        ----------
        notes : NoteSequence
            On the grid of this encoding.

        Returns
        -------
        tokens : list of str
        losses : Counter
            What the tokens do not hold. All encodings count `folded`, `merged` and `cut` where notes
            were moved into the range.

        Raises
        ------
        BadSetting
            If the grid differs or a part has no prefix.
        """
        raise NotImplementedError

    def encode_text(self, notes: NoteSequence) -> tuple[str, int, Counter]:
        """Encode notes as one text; some encodings do this faster than `encode`.

        Returns
        -------
        text : str
            The tokens of `encode`, separated by spaces.
        n_tokens : int
        losses : Counter
            As of `encode`.
        """
        tokens, losses = self.encode(notes)
        return " ".join(tokens), len(tokens), losses

    def decode(self, tokens, qpm: float = 120.0) -> tuple[NoteSequence, Counter]:
        """Decode tokens as notes; tokens that make no sense are repaired or left out, and counted.

        Parameters
        ----------
        tokens : list of str, or one str of tokens separated by spaces
            Control tokens are skipped.
        qpm : float
            The tempo of the notes.

        Returns
        -------
        notes : NoteSequence
        losses : Counter
            What was repaired or left out.

        Raises
        ------
        UnknownToken
            If a token is not one of this encoding; the message names it and its position.
        """
        raise NotImplementedError

    def transpose_token(self, token: str, semitones: int) -> str | None:
        """Return the token for the same event `semitones` higher, or None if a key is out of range."""
        raise NotImplementedError

    def token_steps(self, tokens) -> list[int]:
        """Return the number of grid steps by which each token advances the time; 0 for control tokens."""
        raise NotImplementedError

    def tone_range(self, token: str) -> tuple[int, int] | None:
        """Return the lowest and highest key of a token, from 0, or None for a rest. For open vocabularies."""
        raise NotImplementedError

    def token_parts(self, token: str) -> list[str]:
        """Split a token into its parts; embeddings of unseen tokens begin as their mean. For open vocabularies."""
        raise NotImplementedError

    def nearest_tokens(self, tokens, known) -> list[str]:
        """Return for each token the nearest of the known tokens. For open vocabularies."""
        raise NotImplementedError

    # What the grammars ask; see `clara.sampling.grammars`

    def onset_tones(self, token: str) -> list[int]:
        """Return the tones that a token starts (default: the tone with that name, if there is one)."""
        return [self._tone_of[token]] if token in self._tone_of else []

    def is_rest(self, token: str) -> bool:
        """Return whether nothing sounds during a token. For the grammar "pairwise"."""
        raise NotImplementedError

    def may_follow(self, token: str, previous: str | None) -> bool:
        """Return whether a token may come after the previous one, or first if that is None (default: always).

        For the grammar "pairwise".
        """
        return True

    # What subclasses use

    @cached_property
    def tone_names(self) -> list[str]:
        """Return the name of each tone, such as `p40`."""
        return [
            f"{prefix}{pitch - LOWEST_PIANO_PITCH + 1}"
            for prefix in reversed(self.prefixes)
            for pitch in range(self.lowest, self.highest + 1)
        ]

    @cached_property
    def _tone_of(self):
        """Return the tone of each name."""
        return {name: tone for tone, name in enumerate(self.tone_names)}

    # In a closed vocabulary, the code of a token is its position in `tokens`.

    @cached_property
    def _token_array(self):
        return np.array(self.tokens, dtype=object)

    @cached_property
    def _token_bytes(self):
        """Return all tokens in one row of bytes, each after a space, and where each begins, shape (n_tokens + 1,)."""
        spaced = [f" {token}".encode("ascii") for token in self.tokens]
        return np.frombuffer(b"".join(spaced), dtype=np.uint8), np.cumsum([0, *map(len, spaced)])

    @cached_property
    def _code_of(self):
        return {token: code for code, token in enumerate(self.tokens)}

    def fold_to_range(self, notes: NoteSequence) -> tuple[NoteSequence, Counter]:
        """Check grid and parts, and move notes outside the range into it by octaves.

        Returns
        -------
        notes : NoteSequence
        losses : Counter
            See `clara.music.notes.fold_octaves`.

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

    def to_tones(self, notes: NoteSequence) -> np.ndarray:
        """Return the tone of each note in range, int64 array of shape (n,)."""
        return (len(self.prefixes) - 1 - notes.part) * self.n_keys + notes.pitch - self.lowest

    def pitch_and_part(self, tones) -> tuple:
        """Return the MIDI numbers and the parts of tones, two int arrays."""
        return tones % self.n_keys + self.lowest, len(self.prefixes) - 1 - tones // self.n_keys

    def transpose_tone(self, tone: int, semitones: int) -> int | None:
        """Return the tone `semitones` higher, or None if it is out of range."""
        return tone + semitones if 0 <= tone % self.n_keys + semitones < self.n_keys else None

    def parse_tokens(self, tokens, parse) -> list:
        """Parse each token but control tokens.

        Parameters
        ----------
        tokens : list of str, or one str of tokens separated by spaces
        parse : function
            Parses one token; raises KeyError with the token if it is invalid.

        Raises
        ------
        UnknownToken
            If a token is invalid; the message names it and its position.
        """
        tokens = split_tokens(tokens)
        try:
            return [parse(token) for token in tokens]
        except KeyError as e:
            raise UnknownToken(
                f"token {tokens.index(e.args[0]) + 1} of the text, {e.args[0]!r}, is not {self.name} with "
                f"{self.n_keys} keys at {self.steps_per_quarter} steps per quarter"
            ) from None

    def parse_codes(self, tokens) -> np.ndarray:
        """Return the code of each token but control tokens, int64 array; for closed vocabularies."""
        tokens = tokens.split() if isinstance(tokens, str) else tokens
        parse = self._code_of.__getitem__
        try:
            codes = [parse(token) for token in tokens]
        except KeyError:  # there are control tokens, or unknown ones
            codes = self.parse_tokens(tokens, parse)
        return np.array(codes, dtype=np.int64)


@compiled(int64_1d_readonly, uint8_1d_readonly, int64_1d_readonly)
def join_tokens(codes, letters, begins):
    """Return the letters of tokens in a row, uint8; token n has the letters from begins[n] to begins[n + 1]."""
    size = 0
    for code in codes:
        size += begins[code + 1] - begins[code]
    text, at = np.empty(size, dtype=np.uint8), 0
    for code in codes:
        for i in range(begins[code], begins[code + 1]):
            text[at] = letters[i]
            at += 1
    return text


def split_tokens(tokens) -> list[str]:
    """Return a text, or a list of tokens, as a list of tokens without control tokens."""
    tokens = tokens.split() if isinstance(tokens, str) else tokens
    return [token for token in tokens if not token.startswith("xx")]


def run_starts(values: np.ndarray) -> np.ndarray:
    """Return the positions where runs of equal values begin, int array."""
    return np.flatnonzero(np.diff(values, prepend=values[0] - 1)) if len(values) else np.zeros(0, dtype=int)
