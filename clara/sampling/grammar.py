"""Which words make sense next, for a batch of texts being written side by side.

A grammar keeps what must be known of each text in small tensors and looks the rest up in
tables, so that a step costs a few operations whatever the batch. What it lets through is
exactly what the encoding would have written: decoding loses nothing, and encoding what
was decoded gives the same text, but for silence at its end.

Contents: `Grammar`, `UNLIMITED`.
"""

UNLIMITED = 2**40  # steps


class Grammar:
    """What all grammars share.

    Parameters
    ----------
    encoding : of `clara.encodings`
    vocab : Vocab
    longest_note, longest_silence : in quarters, or None for no limit
    """

    def __init__(self, encoding, vocab, longest_note=None, longest_silence=None):
        self.eos, self.vocab_sz = vocab.eos, len(vocab)
        self.max_note, self.max_silence = (UNLIMITED if q is None else round(q * encoding.steps_per_quarter)
                                           for q in (longest_note, longest_silence))

    def start(self, bs, steps):
        """The state of bs empty texts that are to last `steps` steps: a dict of tensors (bs, …)."""
        raise NotImplementedError

    def allowed(self, state):
        """Which words may come next: bool tensor (bs, vocab_sz), in each row at least one."""
        raise NotImplementedError

    def update(self, state, ids):
        """The state after one more word per text, ids int64 (bs,)."""
        raise NotImplementedError

    @staticmethod
    def take(state, rows):
        """The state of some texts: rows is an int64 tensor (n,), repeats allowed."""
        return {k: v[rows] for k, v in state.items()}
