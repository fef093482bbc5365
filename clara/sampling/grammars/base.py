"""What the grammars share: which tokens may come next, for a batch of texts.

A grammar keeps the state of each text in small arrays and looks the rest up in tables, in compiled loops. It allows
exactly what the encoding would have written: decoding loses nothing, and encoding the decoded notes gives the same
text again, except for a rest at the end.
"""

import numpy as np

from clara.encodings.vocab import CONTROL_TOKENS
from clara.errors import BadSetting
from clara.sampling.constraints import Constraints

UNLIMITED_STEPS = 2**40


class Grammar:
    """The base class of all grammars.

    The state of a batch is a dict of arrays with one row per text. Each grammar has its own; ``"steps_left"`` is in
    all of them.

    Parameters
    ----------
    encoding : Encoding
    vocab : Vocab
    constraints : Constraints, optional
        By default there are none.

    Attributes
    ----------
    onset_tones : list of list of int
        The tones that each token starts, by token id.
    permitted : uint8 array (vocab_sz,)
        1 for each token whose onsets satisfy the constraints.

    Raises
    ------
    BadSetting
        If the constraints leave no token that starts a note.
    """

    def __init__(self, encoding, vocab, constraints=None):
        constraints = constraints or Constraints()
        self.eos = vocab.eos_id
        self.vocab_sz = len(vocab)
        self.n_tones = encoding.n_tones
        self.max_note_steps = _to_steps(constraints.max_note_quarters, encoding)
        self.max_rest_steps = _to_steps(constraints.max_rest_quarters, encoding)
        self.max_notes = constraints.max_notes or self.n_tones
        self.onset_tones = [[] if token in CONTROL_TOKENS else encoding.onset_tones(token) for token in vocab.tokens]
        self.permitted = self._find_permitted_tokens(encoding, constraints)

    def _find_permitted_tokens(self, encoding, constraints):
        tone_is_permitted = _permitted_tones(encoding, constraints)
        permitted = np.zeros(self.vocab_sz, dtype=np.uint8)
        for token, tones in enumerate(self.onset_tones):
            permitted[token] = len(tones) <= self.max_notes and all(tone_is_permitted[tone] for tone in tones)
        if not any(permitted[token] and tones for token, tones in enumerate(self.onset_tones)):
            description = constraints.describe()
            which = f" that keeps to {description}" if description else ""
            raise BadSetting(f"this model has no token that starts a note{which}")
        return permitted

    def start(self, bs, n_steps):
        """Return the state of `bs` empty texts that are to last `n_steps` grid steps: a dict of arrays (bs, …)."""
        raise NotImplementedError

    def allowed(self, state):
        """Return which tokens may come next: uint8 (bs, vocab_sz), with at least one 1 in each row."""
        raise NotImplementedError

    def adjust_logits(self, logits, allowed, state):
        """Change logits and allowed tokens in place, where a grammar does more than forbid; by default nothing."""

    def update(self, state, ids):
        """Update the state with one more token per text, ids int64 (bs,), and return it."""
        raise NotImplementedError

    @staticmethod
    def take(state, rows):
        """Return the state of the texts in `rows`, an int64 array (n,) that may repeat a text."""
        return {name: values[rows] for name, values in state.items()}


def _to_steps(quarters, encoding):
    """Return a limit in grid steps, at least one."""
    return UNLIMITED_STEPS if quarters is None else max(1, round(quarters * encoding.steps_per_quarter))


def _permitted_tones(encoding, constraints):
    """Return whether each tone lies within the pitch classes and ranges of the constraints, bool (n_tones,)."""
    pitch, part = encoding.pitch_and_part(np.arange(encoding.n_tones))
    permitted = np.ones(len(pitch), dtype=bool)
    if constraints.pitch_classes is not None:
        permitted &= np.isin(pitch % 12, list(constraints.pitch_classes))
    for range_part, (lowest, highest) in constraints.ranges.items():
        permitted &= (part != range_part) | ((pitch >= lowest) & (pitch <= highest))
    return permitted


def to_padded_table(rows):
    """Return lists of different lengths as one int64 array; the first column holds each list's length."""
    width = max(map(len, rows), default=0)
    table = np.zeros((len(rows), 1 + width), dtype=np.int64)
    for table_row, values in zip(table, rows):
        table_row[0] = len(values)
        table_row[1 : 1 + len(values)] = values
    return table
