"""The grammars of melodywise and framewise text.

Contents: `MelodywiseGrammar`, `FramewiseGrammar`.
"""

import torch

from clara.sampling.grammar import Grammar


class MelodywiseGrammar(Grammar):
    """The rules of melodywise text.

    No word lasts longer than there is time left, no rest follows a rest. Which strength
    stands where is left to the model, as the metre of what it composes is its own. A text
    ends when its steps are used up, or no word is short enough.

    Parameters
    ----------
    encoding : clara.encodings.melodywise.Melodywise
    vocab : Vocab
    longest_note, longest_silence : in quarters, or None for no limit
    """

    def __init__(self, encoding, vocab, longest_note=None, longest_silence=None):
        super().__init__(encoding, vocab, longest_note, longest_silence)
        self.steps = torch.zeros(len(vocab), dtype=torch.long)
        self.is_rest = torch.zeros(len(vocab), dtype=torch.bool)
        for word, i in vocab.id_of.items():
            if not word.startswith("xx"):
                tone, _, self.steps[i] = encoding.parse(word)
                self.is_rest[i] = tone < 0
        self.too_long = self.steps > torch.where(self.is_rest, self.max_silence, self.max_note)

    def start(self, bs, steps):
        """The state of bs empty texts that are to last `steps` steps: a dict of tensors (bs, …)."""
        return {"rested": torch.zeros(bs, dtype=torch.bool), "left": torch.full((bs,), steps)}

    def allowed(self, state):
        """Which words may come next: bool tensor (bs, vocab_sz), in each row at least one."""
        mask = (self.steps > 0) & ~self.too_long & (self.steps <= state["left"][:, None])
        mask = mask & ~(state["rested"][:, None] & self.is_rest)
        mask[:, self.eos] = ~mask.any(1)
        return mask

    def update(self, state, ids):
        """The state after one more word per text, ids int64 (bs,)."""
        return {"rested": self.is_rest[ids], "left": state["left"] - self.steps[ids]}


class FramewiseGrammar(Grammar):
    """The rules of framewise text.

    A frame names its keys in ascending order, the solo's first. A text ends when its frames
    are used up. Beyond these rules, notes and silences can be kept from lasting for ever.

    Parameters
    ----------
    encoding : clara.encodings.framewise.Framewise
    vocab : Vocab
    longest_note, longest_silence : in quarters, or None for no limit
    """

    def __init__(self, encoding, vocab, longest_note=None, longest_silence=None):
        super().__init__(encoding, vocab, longest_note, longest_silence)
        ids = torch.tensor([vocab.id_of[w] for w in encoding.words])
        self.tone_ids, self.frame, self.n_tones = ids[:-1], int(ids[-1]), encoding.n_tones
        self.tone = torch.full((len(vocab),), -1)
        self.tone[self.tone_ids] = torch.arange(self.n_tones)

    def start(self, bs, steps):
        """The state of bs empty texts that are to last `steps` steps: a dict of tensors (bs, …)."""
        return {"age": torch.zeros(bs, self.n_tones, dtype=torch.long),  # frames that a tone has sounded in a row
                "named": torch.zeros(bs, self.n_tones, dtype=torch.bool),  # in this frame
                "place": torch.full((bs,), -1),  # of the last tone in this frame
                "silence": torch.zeros(bs, dtype=torch.long),  # frames
                "left": torch.full((bs,), steps)}

    def allowed(self, state):
        """Which words may come next: bool tensor (bs, vocab_sz), in each row at least one."""
        going, empty = state["left"] > 0, state["place"] < 0
        tones = (torch.arange(self.n_tones) > state["place"][:, None]) & (state["age"] < self.max_note) & going[:, None]
        mask = torch.zeros(len(going), self.vocab_sz, dtype=torch.bool)
        mask[:, self.tone_ids] = tones
        mask[:, self.frame] = going & (~empty | (state["silence"] < self.max_silence) | ~tones.any(1))
        mask[:, self.eos] = ~going
        return mask

    def update(self, state, ids):
        """The state after one more word per text, ids int64 (bs,)."""
        tone, ended = self.tone[ids], ids == self.frame
        named = state["named"].clone()
        rows = torch.arange(len(ids))
        named[rows[tone >= 0], tone[tone >= 0]] = True
        silent = ~named.any(1)
        return {"age": torch.where(ended[:, None], torch.where(named, state["age"] + 1, 0), state["age"]),
                "named": named & ~ended[:, None], "place": torch.where(ended, -1, torch.maximum(tone, state["place"])),
                "silence": torch.where(ended, torch.where(silent, state["silence"] + 1, 0), state["silence"]),
                "left": state["left"] - ended.long()}
