"""The grammars of melodywise and framewise text."""

import numpy as np

from clara.jit import compiled, int64, int64_1d, int64_1d_readonly, int64_2d, uint8_1d, uint8_2d
from clara.sampling.grammars.base import Grammar


class MelodywiseGrammar(Grammar):
    """The rules of melodywise text.

    No word lasts longer than there is time left, no rest follows a rest. Which strength
    stands where is left to the model, as the metre of what it composes is its own. A text
    ends when its steps are used up, or no word is short enough.
    """

    def __init__(self, encoding, vocab, rules=None):
        super().__init__(encoding, vocab, rules)
        self.steps, self.is_rest = np.zeros(len(vocab), dtype=np.int64), np.zeros(len(vocab), dtype=bool)
        for word, i in vocab.id_of.items():
            if not word.startswith("xx"):
                tone, _, self.steps[i] = encoding.parse(word)
                self.is_rest[i] = tone < 0
        self.may = (
            (self.steps > 0) & (self.steps <= np.where(self.is_rest, self.max_silence, self.max_note)) & (self.kept > 0)
        )

    def strikes(self, encoding, word):
        """As `Grammar.strikes`."""
        tone = -1 if word.startswith("xx") else encoding.parse(word)[0]
        return [tone] if tone >= 0 else []

    def start(self, bs, steps):
        """As `Grammar.start`."""
        return {"rested": np.zeros(bs, dtype=bool), "left": np.full(bs, steps)}

    def allowed(self, state):
        """As `Grammar.allowed`."""
        mask = self.may & (self.steps <= state["left"][:, None]) & ~(state["rested"][:, None] & self.is_rest)
        mask[:, self.eos] = ~mask.any(1)
        return mask.view(np.uint8)

    def update(self, state, ids):
        """As `Grammar.update`."""
        state["rested"] = self.is_rest[ids]
        state["left"] -= self.steps[ids]
        return state


class FramewiseGrammar(Grammar):
    """The rules of framewise text.

    A frame names its keys in ascending order, the solo's first. A text ends when its frames
    are used up. Beyond these rules, notes and silences can be kept from lasting for ever.
    """

    def __init__(self, encoding, vocab, rules=None):
        super().__init__(encoding, vocab, rules)
        self.ids = np.array([vocab.id_of[w] for w in encoding.tokens])  # tones, then the frame's end
        self.tone = np.full(len(vocab), -1)
        self.tone[self.ids[:-1]] = np.arange(self.n_tones)

    def strikes(self, encoding, word):
        """As `Grammar.strikes`."""
        return [encoding.tone_names.index(word)] if word in encoding.tone_names else []

    def start(self, bs, steps):
        """As `Grammar.start`."""
        return {
            "age": np.zeros((bs, self.n_tones), dtype=np.int64),  # frames that a tone has sounded in a row
            "named": np.zeros((bs, self.n_tones), dtype=np.uint8),  # in this frame
            "place": np.full(bs, -1),  # of the last tone in this frame
            "silence": np.zeros(bs, dtype=np.int64),  # frames
            "left": np.full(bs, steps),
        }

    def allowed(self, state):
        """As `Grammar.allowed`."""
        mask = np.zeros((len(state["left"]), self.vocab_sz), dtype=np.uint8)
        _allow(
            *(state[k] for k in ("age", "named", "place", "silence", "left")),
            self.ids,
            self.kept,
            self.eos,
            self.max_note,
            self.max_silence,
            self.max_notes,
            mask,
        )
        return mask

    def update(self, state, ids):
        """As `Grammar.update`."""
        _follow(ids, self.tone, int(self.ids[-1]), *(state[k] for k in ("age", "named", "place", "silence", "left")))
        return state


@compiled(
    int64_2d, uint8_2d, int64_1d, int64_1d, int64_1d, int64_1d_readonly, uint8_1d, int64, int64, int64, int64, uint8_2d
)
def _allow(age, named, place, silence, left, ids, kept, eos, max_note, max_silence, max_notes, mask):
    """Set to 1 what may follow each text."""
    n_tones = age.shape[1]
    for row in range(len(left)):
        if left[row] <= 0:
            mask[row, eos] = 1
            continue
        n_named, n_free = 0, 0
        for tone in range(n_tones):
            n_named += named[row, tone]
        if n_named < max_notes:
            for tone in range(place[row] + 1, n_tones):
                word = ids[tone]
                mask[row, word] = age[row, tone] < max_note and kept[word]
                n_free += mask[row, word]
        mask[row, ids[n_tones]] = place[row] >= 0 or silence[row] < max_silence or n_free == 0


@compiled(int64_1d_readonly, int64_1d_readonly, int64, int64_2d, uint8_2d, int64_1d, int64_1d, int64_1d)
def _follow(ids, tones, frame, age, named, place, silence, left):
    """The state after one more word per text."""
    for row in range(len(ids)):
        tone = tones[ids[row]]
        if tone >= 0:
            named[row, tone] = 1
            place[row] = max(place[row], tone)
        if ids[row] == frame:
            silent = True
            for t in range(age.shape[1]):
                age[row, t] = age[row, t] + 1 if named[row, t] else 0
                silent = silent and not named[row, t]
                named[row, t] = 0
            silence[row] = silence[row] + 1 if silent else 0
            place[row] = -1
            left[row] -= 1
