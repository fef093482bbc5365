"""The grammar of chordwise text, with holds and without."""

import numpy as np

from clara.encodings.chordwise import MOST_RECENT, RECENT_STEPS, REST, RESTS
from clara.jit import compiled, int64, int64_1d, int64_1d_readonly, int64_2d, uint8_1d, uint8_2d
from clara.sampling.grammars.base import Grammar, table


class ChordwiseGrammar(Grammar):
    """The rules of chordwise text.

    Any chord may be struck. Of the rests only the one that tells the truth about the last
    ten steps may come; with holds a chord may hold only what sounds. A text ends when its
    steps are used up. Beyond these rules, notes and silences can be kept from lasting for
    ever.
    """

    def __init__(self, encoding, vocab, rules=None):
        super().__init__(encoding, vocab, rules)
        # Without holds a rest is silent only when the last chord has sounded for a bar.
        self.max_rests = self.max_silence + (0 if encoding.holds else encoding.longest)
        self.rest_ids = np.array([vocab.id_of[w] for w in RESTS])
        is_chord = [not word.startswith(("xx", REST)) for word in vocab.tokens]
        held = [
            [c - self.n_tones for c in encoding.codes(w) if c >= self.n_tones] if chord else []
            for w, chord in zip(vocab.tokens, is_chord)
        ]
        self.is_chord = np.array(is_chord, dtype=np.uint8)
        self.strikes_table, self.holds_table = table(self.struck), table(held)
        few = [len(s) + len(h) <= self.max_notes for s, h in zip(self.struck, held)]
        self.kept = self.kept * self.is_chord * np.array(few, dtype=np.uint8)

    def strikes(self, encoding, word):
        """As `Grammar.strikes`."""
        return [c for c in encoding.codes(word) if c < encoding.n_tones] if not word.startswith(("xx", REST)) else []

    def start(self, bs, steps):
        """As `Grammar.start`."""
        return {
            "age": np.zeros((bs, self.n_tones), dtype=np.int64),  # steps that a tone has sounded
            "recent": np.zeros((bs, RECENT_STEPS), dtype=np.int64),  # notes struck in each of the last steps
            "rests": np.zeros(bs, dtype=np.int64),  # in a row
            "left": np.full(bs, steps),
        }

    def allowed(self, state):
        """As `Grammar.allowed`."""
        mask = np.zeros((len(state["left"]), self.vocab_sz), dtype=np.uint8)
        _allow(
            *(state[k] for k in ("age", "recent", "rests", "left")),
            self.kept,
            self.holds_table,
            self.rest_ids,
            self.eos,
            self.max_note,
            self.max_rests,
            MOST_RECENT,
            mask,
        )
        return mask

    def update(self, state, ids):
        """As `Grammar.update`."""
        _follow(
            ids,
            self.strikes_table,
            self.holds_table,
            self.is_chord,
            self.eos,
            *(state[k] for k in ("age", "recent", "rests", "left")),
        )
        return state


@compiled(
    int64_2d, int64_2d, int64_1d, int64_1d, uint8_1d, int64_2d, int64_1d_readonly, int64, int64, int64, int64, uint8_2d
)
def _allow(age, recent, rests, left, kept, holds, rest_ids, eos, max_note, max_rests, most_recent, mask):
    """Set to 1 what may follow each text."""
    for row in range(len(left)):
        if left[row] <= 0:
            mask[row, eos] = 1
            continue
        n_free = 0
        for word in range(mask.shape[1]):
            may = kept[word]
            for at in range(1, holds[word, 0] + 1):
                sounded = age[row, holds[word, at]]
                if sounded == 0 or sounded >= max_note:
                    may = 0
            mask[row, word] = may
            n_free += may
        struck = 0
        for step in range(recent.shape[1]):
            struck += recent[row, step]
        mask[row, rest_ids[min(struck, most_recent)]] = rests[row] < max_rests or n_free == 0


@compiled(int64_1d_readonly, int64_2d, int64_2d, uint8_1d, int64, int64_2d, int64_2d, int64_1d, int64_1d)
def _follow(ids, strikes, holds, is_chord, eos, age, recent, rests, left):
    """The state after one more word per text."""
    for row in range(len(ids)):
        word = ids[row]
        for tone in range(age.shape[1]):
            age[row, tone] = -age[row, tone]  # which sound no more, unless held
        for at in range(1, holds[word, 0] + 1):
            tone = holds[word, at]
            age[row, tone] = 1 - age[row, tone]
        for at in range(1, strikes[word, 0] + 1):
            age[row, strikes[word, at]] = 1
        for tone in range(age.shape[1]):
            age[row, tone] = max(age[row, tone], 0)
        for step in range(recent.shape[1] - 1):
            recent[row, step] = recent[row, step + 1]
        recent[row, recent.shape[1] - 1] = strikes[word, 0]
        passed = word != eos
        rests[row] = 0 if is_chord[word] else rests[row] + passed
        left[row] -= passed
