"""Which words make sense next, for a batch of texts being written side by side.

A grammar keeps what must be known of each text in small arrays and looks the rest up in
tables, in loops that are compiled. What it lets through is exactly what the encoding would
have written: decoding loses nothing, and encoding what was decoded gives the same text, but
for silence at its end.
"""

from dataclasses import dataclass, field

import numpy as np

from clara.errors import BadSetting
from clara.music.keys import TONICS

UNLIMITED = 2**40  # steps


@dataclass(frozen=True)
class Constraints:
    """What is asked of a text beyond that it makes sense.

    Attributes
    ----------
    max_note_quarters, max_rest_quarters : longest note and longest rest in quarters, or None for no limit
    pitch_classes : those that notes may begin on, 0-11 with C as 0; None for all
    ranges : {part: (lowest, highest)} in MIDI pitches, of the parts that have one
    max_notes : that may sound at once, or None

    Raises
    ------
    BadSetting
        For what no music can keep.
    """

    max_note_quarters: float | None = None
    max_rest_quarters: float | None = None
    pitch_classes: frozenset | None = None
    ranges: dict = field(default_factory=dict)
    max_notes: int | None = None

    def __post_init__(self):
        for name in ("max_note_quarters", "max_rest_quarters"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise BadSetting(f"{name} must be above 0, not {getattr(self, name)}")
        if self.pitch_classes is not None and not set(self.pitch_classes) <= set(range(12)):
            raise BadSetting(f"pitch classes are from 0 to 11, not {sorted(self.pitch_classes)}")
        for part, (low, high) in self.ranges.items():
            if low > high:
                raise BadSetting(f"part {part}: no pitch from {low} to {high}")
        if self.max_notes is not None and self.max_notes < 1:
            raise BadSetting(f"at most {self.max_notes} notes at once: there would be none")

    def told(self):
        """The rules that bear on how notes begin, in words."""
        told = []
        if self.pitch_classes is not None:
            told.append(f"the scale of {', '.join(TONICS[c] for c in sorted(self.pitch_classes))}")
        told += [f"pitches {low} to {high} of part {part}" for part, (low, high) in self.ranges.items()]
        if self.max_notes is not None:
            told.append(f"at most {self.max_notes} notes at once")
        return " and ".join(told) or "no rule: it has none"


class Grammar:
    """What all grammars share.

    Parameters
    ----------
    encoding : of `clara.encodings`
    vocab : Vocab
    rules : Rules

    Attributes
    ----------
    struck : list per word id of the tones that it begins

    Raises
    ------
    BadSetting
        If the rules leave no word that begins a note.
    """

    def __init__(self, encoding, vocab, rules=None):
        rules = rules or Constraints()
        self.eos, self.vocab_sz, self.n_tones = vocab.eos_id, len(vocab), encoding.n_tones
        self.max_note, self.max_silence = (
            UNLIMITED if q is None else max(1, round(q * encoding.steps_per_quarter))
            for q in (rules.max_note_quarters, rules.max_rest_quarters)
        )
        self.max_notes = rules.max_notes or self.n_tones
        self.struck = [self.strikes(encoding, word) for word in vocab.tokens]
        fits = self._fitting_tones(encoding, rules)
        self.kept = np.array(
            [len(tones) <= self.max_notes and all(fits[t] for t in tones) for tones in self.struck], dtype=np.uint8
        )
        if not any(kept and tones for kept, tones in zip(self.kept, self.struck)):
            raise BadSetting(f"no word of this model begins a note that keeps to {rules.told()}")

    @staticmethod
    def _fitting_tones(encoding, rules):
        """Whether each tone is within the rules' scale and ranges."""
        pitch, part = encoding.pitch_and_part(np.arange(encoding.n_tones))
        fits = (
            np.isin(pitch % 12, list(rules.pitch_classes))
            if rules.pitch_classes is not None
            else np.ones(len(pitch), dtype=bool)
        )
        for of_part, (low, high) in rules.ranges.items():
            fits &= (part != of_part) | ((pitch >= low) & (pitch <= high))
        return fits

    def strikes(self, encoding, word):
        """The tones that a word of the vocabulary begins, a list; of control words none."""
        raise NotImplementedError

    def start(self, bs, steps):
        """The state of bs empty texts that are to last `steps` steps: a dict of arrays (bs, …)."""
        raise NotImplementedError

    def allowed(self, state):
        """Which words may come next: uint8 (bs, vocab_sz), 1 or 0, in each row at least one 1."""
        raise NotImplementedError

    def bend(self, logits, mask, state):
        """Change logits and mask where more than a mask is asked; here nothing is."""

    def update(self, state, ids):
        """Turn the state into that after one more word per text, ids int64 (bs,); gives it back."""
        raise NotImplementedError

    @staticmethod
    def take(state, rows):
        """The state of some texts: rows is an int64 array (n,), repeats allowed."""
        return {k: v[rows] for k, v in state.items()}


def table(rows, width=None):
    """Lists of different lengths as one int64 array, each after its length."""
    width = max(map(len, rows), default=0)
    out = np.zeros((len(rows), 1 + width), dtype=np.int64)
    for row, values in zip(out, rows):
        row[0] = len(values)
        row[1 : 1 + len(values)] = values
    return out


# In quarters. Of the notes of the piano corpus one in 10,000 is longer than twelve, and 99 of 100 pieces
# have no silence longer than 4.3; what a model holds longer it has forgotten.
DEFAULT_CONSTRAINTS = Constraints(max_note_quarters=12, max_rest_quarters=4)
