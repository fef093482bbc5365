"""The plan of a piece: what each of its bars is.

A plan says of each bar how it relates to an earlier one, in which key it stands, its harmony, and how dense, high and
full it is. `clara.form.extraction` reads the plan of any piece, `clara.form.planner` composes new ones, and a
generator follows them.
"""

from dataclasses import dataclass, replace

import numpy as np

__all__ = [
    "EXACT",
    "NEW",
    "RELATIONS",
    "RHYTHM",
    "SILENT",
    "TRANSPOSED",
    "UNKNOWN",
    "VARIED",
    "Plan",
]

RELATIONS = ("exact", "varied", "transposed", "rhythm", "new", "silent")
EXACT, VARIED, TRANSPOSED, RHYTHM, NEW, SILENT = range(len(RELATIONS))
UNKNOWN = -1  # an attribute that a plan leaves open, or no source
N_KEYS = 24  # major keys from C up, then minor keys
MAX_DENSITY = 8  # of `density`; see `clara.form.extraction`
MAX_TEXTURE = 5
N_PITCHES = 128
MAX_BARS = 2000  # of a plan that is written, read or composed
COLUMNS = ("relation", "source", "shift", "key", "chord", "density", "register", "texture", "phrase")


@dataclass(frozen=True, eq=False)
class Plan:
    """What each of the n bars of a piece is.

    Attributes
    ----------
    begin : int64 array (n + 1,)
        Step of each barline, the final one too. The first is below 0 in music that begins inside a bar.
    numerator, denominator : int64 arrays (n,)
        Time signature.
    relation : int64 array (n,)
        How a bar relates to its source, an index in `RELATIONS`; or `UNKNOWN`.
    source : int64 array (n,)
        The earlier bar that it returns to; `UNKNOWN` for new and silent bars, and if the relation is unknown.
    shift : int64 array (n,)
        Semitones from the source to this bar; 0 unless it is transposed.
    key : int64 array (n,)
        Local key: 0 to 11 for the major keys from C up, 12 to 23 for the minor keys; or `UNKNOWN`.
    chord : int64 array (n,)
        The triad that the bar's notes are most like, numbered like the keys; or `UNKNOWN`.
    density : int64 array (n,)
        Notes in a quarter note, from 0 to `MAX_DENSITY`; or `UNKNOWN`.
    register : int64 array (n,)
        Mean pitch of the bar's notes as a MIDI number; or `UNKNOWN`.
    texture : int64 array (n,)
        Notes that begin together, from 0 to `MAX_TEXTURE`; or `UNKNOWN`.
    phrase : int64 array (n,)
        1 if a phrase starts in the bar, 0 if not; or `UNKNOWN`.
    home : int
        Key of the piece, numbered as in `key`; or `UNKNOWN`.
    steps_per_quarter : int
    """

    begin: np.ndarray
    numerator: np.ndarray
    denominator: np.ndarray
    relation: np.ndarray
    source: np.ndarray
    shift: np.ndarray
    key: np.ndarray
    chord: np.ndarray
    density: np.ndarray
    register: np.ndarray
    texture: np.ndarray
    phrase: np.ndarray
    home: int = UNKNOWN
    steps_per_quarter: int = 12

    def __len__(self) -> int:
        return len(self.relation)

    @property
    def n_steps(self) -> int:
        """Step of the final barline."""
        return int(self.begin[-1])

    @property
    def first_number(self) -> int:
        """Number of the first bar, as in scores: 0 for one that the music begins inside, otherwise 1."""
        return 0 if self.begin[0] < 0 else 1

    @property
    def time_signatures(self) -> tuple:
        """Time signatures as in a `NoteSequence`: (step, numerator, denominator) at the first bar and each change."""
        signatures = []
        for step, numerator, denominator in zip(
            self.begin.tolist(), self.numerator.tolist(), self.denominator.tolist()
        ):
            if not signatures or signatures[-1][1:] != (numerator, denominator):
                signatures.append((step, numerator, denominator))
        return tuple(signatures)

    def first(self, n_bars: int) -> "Plan":
        """Return the plan of the first bars."""
        columns = {name: getattr(self, name)[:n_bars] for name in ("numerator", "denominator", *COLUMNS)}
        return replace(self, begin=self.begin[: n_bars + 1], **columns)

    def open(self, bars: np.ndarray) -> "Plan":
        """Return the plan with nothing said of some bars, bool (n,), but where they begin."""
        columns = {name: np.where(bars, UNKNOWN, getattr(self, name)) for name in COLUMNS}
        return replace(self, **columns | {"shift": np.where(bars, 0, self.shift)})

    def transpose(self, semitones: int) -> "Plan":
        """Return the plan of the same piece in another key."""
        return replace(
            self,
            key=transpose_keys(self.key, semitones),
            chord=transpose_keys(self.chord, semitones),
            register=transpose_pitches(self.register, semitones),
            home=int(transpose_keys(np.array(self.home), semitones)),
        )


def transpose_keys(keys: np.ndarray, semitones: int) -> np.ndarray:
    """Return the numbers of keys or chords, an int64 array of any shape, after a transposition; `UNKNOWN` stays."""
    moved = keys // 12 * 12 + (keys + semitones) % 12
    return np.where(keys == UNKNOWN, UNKNOWN, moved)


def transpose_pitches(pitches: np.ndarray, semitones: int) -> np.ndarray:
    """Return MIDI numbers, an int64 array of any shape, after a transposition within 0 to 127; `UNKNOWN` stays."""
    return np.where(pitches == UNKNOWN, UNKNOWN, np.clip(pitches + semitones, 0, N_PITCHES - 1))
