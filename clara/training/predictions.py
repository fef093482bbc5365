"""What a model predicts for whole pieces: the loss, gathering without padding, and showing the worst pieces."""

import torch
from fastai.callback.core import Callback
from fastai.losses import CrossEntropyLossFlat
from plum import dispatch
from torch import Tensor

from clara.data.piece_contexts import tokens_of
from clara.data.showing import PieceExcerpts, decode_ids, music_html, show_html

SHOWN_QUARTERS = 32.0


class NextTokenLoss(CrossEntropyLossFlat):
    """Mean cross-entropy of the next token in nats; padding does not count.

    With `reduction="none"`, which fastai sets to ask for the loss of each item, it returns one number for each row of
    the batch: the mean over the tokens of that piece.

    Parameters
    ----------
    pad_id : int
        Id of the token that is no target.
    """

    def __init__(self, pad_id: int):
        super().__init__(ignore_index=pad_id)
        self.pad_id = pad_id

    def __call__(self, inp, targ, **kwargs):
        """Return the loss of logits (bs, seq_len, vocab_sz) for targets (bs, seq_len)."""
        loss = super().__call__(inp, targ, **kwargs)
        if self.reduction != "none":
            return loss
        n_tokens = (targ != self.pad_id).sum(1)
        return loss.view(targ.shape).sum(1) / n_tokens


class GatherPieces(Callback):
    """Gather what a model predicts for the pieces of a `PieceDataLoader`, without padding.

    Parameters
    ----------
    pad_id : int
    activation : function
        Turns logits (n, vocab_sz) into what is kept of them.
    with_preds : bool
        Keep predictions; without them memory holds one batch at a time.

    Attributes
    ----------
    inputs, targets : list of int64 tensors, shape (length,)
    preds : list of float tensors, shape (length, vocab_sz)
    losses : list of float tensors, shape (pieces of a batch,)
    """

    def __init__(self, pad_id: int, activation, with_preds: bool = True):
        self.pad_id, self.activation, self.with_preds = pad_id, activation, with_preds
        self.inputs: list[Tensor] = []
        self.preds: list[Tensor] = []
        self.targets: list[Tensor] = []
        self.losses: list[Tensor] = []

    def after_batch(self):
        """Add the pieces of a batch."""
        targets = self.yb[0]
        self.losses.append(self.loss.detach().cpu())
        for row, length in enumerate((targets != self.pad_id).sum(1).tolist()):
            self.inputs.append(tokens_of(self.xb[0])[row, :length].cpu())
            self.targets.append(targets[row, :length].cpu())
            if self.with_preds:
                self.preds.append(self.activation(self.pred[row, :length].float()).cpu())


@dispatch
def plot_top_losses(x: PieceExcerpts, y: object, samples, outs, raws, losses: Tensor, **kwargs):
    """Show the pieces with the highest loss, for fastai's `Interpretation.plot_top_losses`."""
    fragments = []
    for piece, loss in zip(x.pieces, torch.as_tensor(losses).tolist()):
        notes = decode_ids(piece.ids, x.vocab, x.encoding)
        fragments.append(music_html(f"{piece.name}: {loss:.3f} nats per token", notes, SHOWN_QUARTERS))
    show_html(fragments)
