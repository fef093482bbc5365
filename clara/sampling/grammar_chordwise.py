"""The grammar of chordwise text, with holds and without.

Contents: `ChordwiseGrammar`.
"""

import torch

from clara.encodings.chordwise import MOST_RECENT, RECENT_STEPS, REST, RESTS
from clara.sampling.grammar import Grammar


class ChordwiseGrammar(Grammar):
    """The rules of chordwise text.

    Any chord may be struck. Of the rests only the one that tells the truth about the last
    ten steps may come; with holds a chord may hold only what sounds. A text ends when its
    steps are used up. Beyond these rules, notes and silences can be kept from lasting for
    ever.

    Parameters
    ----------
    encoding : clara.encodings.chordwise.Chordwise
    vocab : Vocab
    longest_note, longest_silence : in quarters, or None for no limit
    """

    def __init__(self, encoding, vocab, longest_note=None, longest_silence=None):
        super().__init__(encoding, vocab, longest_note, longest_silence)
        n, self.n_tones, self.holds = len(vocab), encoding.n_tones, encoding.holds
        # Without holds a rest is silent only when the last chord has sounded for a bar.
        self.max_rests = self.max_silence + (0 if self.holds else encoding.longest)
        self.rest_ids = torch.tensor([vocab.id_of[w] for w in RESTS])
        self.struck, self.held = torch.zeros(n, self.n_tones), torch.zeros(n, self.n_tones)
        self.is_chord = torch.zeros(n, dtype=torch.bool)
        for word, i in vocab.id_of.items():
            if not word.startswith(("xx", REST)):
                codes = torch.tensor(encoding.codes(word))
                self.is_chord[i] = True
                self.struck[i, codes[codes < self.n_tones]] = 1
                self.held[i, codes[codes >= self.n_tones] - self.n_tones] = 1
        self.n_struck = self.struck.sum(1).long()

    def start(self, bs, steps):
        """The state of bs empty texts that are to last `steps` steps: a dict of tensors (bs, …)."""
        return {"age": torch.zeros(bs, self.n_tones, dtype=torch.long),  # steps that a tone has sounded
                "recent": torch.zeros(bs, RECENT_STEPS, dtype=torch.long),  # notes struck in each of the last steps
                "rests": torch.zeros(bs, dtype=torch.long),  # in a row
                "left": torch.full((bs,), steps)}

    def allowed(self, state):
        """Which words may come next: bool tensor (bs, vocab_sz), in each row at least one."""
        mask = self.is_chord.expand(len(state["left"]), -1)
        if self.holds:
            gone = (state["age"] == 0) | (state["age"] >= self.max_note)
            mask = mask & (gone.float() @ self.held.T == 0)
        mask = mask & (state["left"] > 0)[:, None]
        rest = self.rest_ids[state["recent"].sum(1).clamp(max=MOST_RECENT)]
        may_rest = (state["left"] > 0) & ((state["rests"] < self.max_rests) | ~mask.any(1))
        mask[torch.arange(len(rest)), rest] = may_rest
        mask[:, self.eos] = state["left"] <= 0
        return mask

    def update(self, state, ids):
        """The state after one more word per text, ids int64 (bs,)."""
        struck, held, steps = self.struck[ids] > 0, self.held[ids] > 0, (ids != self.eos).long()
        age = torch.where(struck, 1, torch.where(held, state["age"] + 1, 0))
        recent = torch.cat([state["recent"][:, 1:], self.n_struck[ids][:, None]], 1)
        return {"age": age, "recent": recent, "rests": torch.where(self.is_chord[ids], 0, state["rests"] + steps),
                "left": state["left"] - steps}
