"""The default grammar: a token may come or not depending on the token before it.

It needs three methods of an encoding: `may_follow`, `onset_tones` and `is_rest`.
"""

import numpy as np

from clara.encodings.vocab import CONTROL_TOKENS
from clara.sampling.grammars.base import Grammar


class PairwiseGrammar(Grammar):
    """A grammar for encodings in which the previous token decides what may come next.

    A token may come if the encoding's `may_follow` says so and it lasts no longer than the time that is left. A text
    ends when its steps are used up, or if no token may come. The longest note limits the time since the last note
    started: then a token must start a note or be a rest.
    """

    def __init__(self, encoding, vocab, constraints=None):
        super().__init__(encoding, vocab, constraints)
        tokens = vocab.tokens
        is_control = np.array([token in CONTROL_TOKENS for token in tokens])
        self.token_steps = np.array(encoding.token_steps(tokens), dtype=np.int64)
        self.is_rest = np.array([token not in CONTROL_TOKENS and encoding.is_rest(token) for token in tokens])
        self.starts_note = np.array([len(tones) > 0 for tones in self.onset_tones])
        self.usable = (self.permitted > 0) & ~is_control
        # Whether each token (column) may follow each other token (row); the last row is for the start of a text.
        self.may_follow = np.zeros((len(tokens) + 1, len(tokens)), dtype=bool)
        for row, previous in enumerate([*tokens, None]):
            if previous not in CONTROL_TOKENS:
                self.may_follow[row] = [
                    self.usable[i] and encoding.may_follow(t, previous) for i, t in enumerate(tokens)
                ]

    def start(self, bs, n_steps):
        """Return the state of `bs` empty texts."""
        return {
            "previous": np.full(bs, self.vocab_sz),  # token id; vocab_sz at the start of a text
            "rest_steps": np.zeros(bs, dtype=np.int64),  # since a note sounded
            "note_steps": np.zeros(bs, dtype=np.int64),  # since a note started; 0 in a rest
            "steps_left": np.full(bs, n_steps),
        }

    def allowed(self, state):
        """Return which tokens may come next."""
        is_short_enough = self.token_steps <= state["steps_left"][:, None]
        is_long_rest = self.is_rest & (state["rest_steps"][:, None] + self.token_steps > self.max_rest_steps)
        continues_note = ~self.is_rest & ~self.starts_note
        is_long_note = continues_note & (state["note_steps"][:, None] + self.token_steps > self.max_note_steps)
        candidates = self.may_follow[state["previous"]] & is_short_enough
        candidates &= (state["steps_left"] > 0)[:, None]
        allowed = candidates & ~is_long_rest & ~is_long_note
        has_none = ~allowed.any(1)
        allowed[has_none] = candidates[has_none]  # better a long rest or note than no token at all
        allowed[:, self.eos] = ~allowed.any(1)
        return allowed.view(np.uint8)

    def update(self, state, ids):
        """Update the state with one more token per text."""
        steps = self.token_steps[ids]
        state["previous"] = ids.copy()
        state["rest_steps"] = np.where(self.is_rest[ids], state["rest_steps"] + steps, 0)
        note_steps = np.where(self.starts_note[ids], 0, state["note_steps"]) + steps
        state["note_steps"] = np.where(self.is_rest[ids], 0, note_steps)
        state["steps_left"] -= steps
        return state
