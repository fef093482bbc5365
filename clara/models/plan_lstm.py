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
    context_scale : float
        The weights for the context are this times their parameters.
    """

    def __init__(self, encoder, decoder, context_rows, emb_sz, context_scale):
        super().__init__(encoder, decoder)
        self.context_scale = context_scale
        self.output_context = ContextTable(context_rows, emb_sz, context_scale)
        self.trust = Trust(context_rows, emb_sz, context_scale)

    def forward(self, input):
        """Return logits, the output of the last layer and the same after dropout, for tokens with their context."""
        hidden = self[0](input)
        if input.dim() == 2:
            return self[1](hidden)
        context = input[..., 1:]
        logits, _, dropped = self[1](hidden + self.output_context(context))
        return self.trust(logits, dropped, context), hidden, dropped
