"""The network of an AWD-LSTM that follows plans, for training."""

from fastai.text.models.core import SequentialRNN

from clara.models.context import ContextTable, Trust


class PlanFollowingRNN(SequentialRNN):
    """fastai's SequentialRNN of encoder and decoder, and the trust in candidates for the next token.

    Parameters
    ----------
    encoder : FusedAWDLSTM
        With a table of contexts.
    decoder : LinearDecoder
    context_rows, emb_sz : int
    """

    def __init__(self, encoder, decoder, context_rows, emb_sz):
        super().__init__(encoder, decoder)
        self.output_context = ContextTable(context_rows, emb_sz)
        self.trust = Trust(context_rows, emb_sz)

    def forward(self, input):
        """Return logits, the output of the last layer and the same after dropout, for tokens with their context."""
        hidden = self[0](input)
        if input.dim() == 2:
            return self[1](hidden)
        context = input[..., 1:]
        logits, _, dropped = self[1](hidden + self.output_context(context))
        return self.trust(logits, dropped, context), hidden, dropped
