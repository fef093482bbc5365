"""The grammar of notewise text, and of its kin with several parts.

Contents: `NotewiseGrammar`.
"""

import torch

from clara.sampling.grammar import Grammar


class NotewiseGrammar(Grammar):
    """The rules of notewise text.

    A key ends only while it sounds and starts only while it does not; a step holds its
    ends, then its starts, each ascending; several waits in a row are all the longest but
    for the last. A text ends when its steps are used up, everything that sounds released.
    Beyond these rules, notes and silences can be kept from lasting for ever.

    Parameters
    ----------
    encoding : clara.encodings.notewise.Notewise
    vocab : Vocab
    longest_note, longest_silence : in quarters, or None for no limit
    """

    def __init__(self, encoding, vocab, longest_note=None, longest_silence=None):
        super().__init__(encoding, vocab, longest_note, longest_silence)
        n_tones, words = encoding.n_tones, encoding.words
        ids = torch.tensor([vocab.id_of[w] for w in words])
        self.end_ids, self.start_ids, self.wait_ids = ids.split([n_tones, n_tones, encoding.longest_wait])
        self.longest, self.n_tones = encoding.longest_wait, n_tones
        # By word id: its place in a step's order (control words none), and the steps it takes.
        self.place = torch.full((len(vocab),), -1)
        self.place[ids[:2 * n_tones]] = torch.arange(2 * n_tones)
        self.steps = torch.zeros(len(vocab), dtype=torch.long)
        self.steps[self.wait_ids] = torch.arange(1, encoding.longest_wait + 1)

    def start(self, bs, steps):
        """The state of bs empty texts that are to last `steps` steps: a dict of tensors (bs, …)."""
        return {"sounding": torch.zeros(bs, self.n_tones, dtype=torch.bool),
                "age": torch.zeros(bs, self.n_tones, dtype=torch.long),  # steps that a tone has sounded
                "place": torch.full((bs,), -1),  # of the last word within its step
                "waited": torch.zeros(bs, dtype=torch.bool),  # the last word was a wait short of the longest
                "silence": torch.zeros(bs, dtype=torch.long),  # steps since anything sounded
                "left": torch.full((bs,), steps)}

    def allowed(self, state):
        """Which words may come next.

        Returns
        -------
        bool tensor (bs, vocab_sz); in each row at least one word
        """
        sounding, place = state["sounding"], state["place"][:, None]
        closing, silent = (state["left"] <= 0)[:, None], ~sounding.any(1, keepdim=True)
        oldest = (state["age"] * sounding).amax(1, keepdim=True)
        # Tones that must end at once, from below: at the end all, before it those that have sounded too long.
        overdue = sounding & (closing | (state["age"] >= self.max_note))
        free = ~overdue.any(1, keepdim=True)
        tones, wait = torch.arange(self.n_tones), torch.arange(1, self.longest + 1)
        mask = torch.zeros(len(sounding), self.vocab_sz, dtype=torch.bool)
        before = overdue.cumsum(1) - overdue.int() == 0  # up to the lowest overdue, which is among them
        mask[:, self.end_ids] = sounding & (tones > place) & before
        mask[:, self.start_ids] = ~sounding & (tones + self.n_tones > place) & free & ~closing
        hushed = silent & (state["silence"][:, None] + wait > self.max_silence)
        mask[:, self.wait_ids] = ((wait <= state["left"][:, None]) & (wait <= self.max_note - oldest)
                                  & ~state["waited"][:, None] & ~hushed & free)
        mask[:, self.eos] = (silent & closing)[:, 0]
        return mask

    def update(self, state, ids):
        """The state after one more word per text.

        Parameters
        ----------
        state : from `start` or `update`
        ids : int64 tensor (bs,)
        """
        place, steps = self.place[ids], self.steps[ids]
        sounding = state["sounding"].clone()
        rows = torch.arange(len(ids))
        is_tone = place >= 0
        sounding[rows[is_tone], place[is_tone] % self.n_tones] = place[is_tone] >= self.n_tones
        silent = ~sounding.any(1)
        return {"sounding": sounding, "place": place, "waited": (steps > 0) & (steps < self.longest),
                "age": torch.where(sounding, state["age"] + steps[:, None], 0),
                "silence": torch.where(silent, state["silence"] + steps, 0), "left": state["left"] - steps}
