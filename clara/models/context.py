"""What a language model reads beside its tokens, and how far it trusts the candidates for the next token.

A context (…, n_columns) holds rows of two tables for each token; row 0 stands for what is unknown and adds nothing. The
sum of the rows of the first table is added to the embedding of the token, that of the second to the output of the last
layer, so that what a plan says of a bar weighs on its notes directly. The first columns are candidates for the next
token, the next ones say what is known of each. The logit of a candidate rises by a trust: a linear function of the
output of the last layer, plus a bias for what is known of it.

All of these weights begin at zero, so that a model that has read tokens alone begins where it was. While a model learns
to follow plans they are held as a `SCALE`-th of their value: the optimizer moves all weights by about the same amount,
and these have a long way to go. A model that follows plans already is fine-tuned with a scale of 1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 10.0
N_CANDIDATES = 4  # the first columns of a context; as many columns after them say what is known of each


def choose_scale(follow_plans: bool | None) -> float:
    """Return the scale of the weights for the context in training.

    Parameters
    ----------
    follow_plans : bool or None
        True if the model is to learn to follow plans; None if it is fine-tuned as it is.
    """
    return SCALE if follow_plans else 1.0


class ContextTable(nn.Module):
    """The sum of the rows of a context, for training.

    Parameters
    ----------
    n_rows, emb_sz : int
    scale : float
        The table is this times the parameter.
    """

    def __init__(self, n_rows: int, emb_sz: int, scale: float = SCALE):
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.zeros(n_rows, emb_sz))

    def forward(self, context: Tensor) -> Tensor:
        """Return the sums, (bs, seq_len, emb_sz), of rows (bs, seq_len, n_columns)."""
        return self.scale * sum_of_rows(context, self.weight)


class Trust(nn.Module):
    """Adds the trust in candidates to their logits, for training.

    Parameters
    ----------
    n_rows, emb_sz : int
    scale : float
        The weights are this times the parameters.
    """

    def __init__(self, n_rows: int, emb_sz: int, scale: float = SCALE):
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.zeros(N_CANDIDATES, emb_sz))
        self.bias = nn.Parameter(torch.zeros(n_rows))

    def forward(self, logits: Tensor, hidden: Tensor, context: Tensor) -> Tensor:
        """Return logits with the trust of candidates added; parameters as of `add_trust`."""
        return add_trust(logits, self.scale * F.linear(hidden, self.weight), self.scale * self.bias, context)


def emphasize(table: Tensor, rows: slice, factor: float) -> Tensor:
    """Return a table of contexts in which one column counts more, or less.

    Parameters
    ----------
    table : Tensor (n_rows, emb_sz)
    rows : slice
        The categories of the column.
    factor : float
        By which they differ more from their mean.
    """
    mean = table[rows].mean(0)
    emphasized = table.clone()
    emphasized[rows] = mean + factor * (table[rows] - mean)
    return emphasized


def sum_of_rows(context: Tensor, weight: Tensor) -> Tensor:
    """Return the sums, (bs, seq_len, emb_sz), of the rows of a table; row 0 does not count."""
    sums = F.embedding_bag(context.flatten(0, 1), weight, mode="sum", padding_idx=0)
    return sums.view(*context.shape[:2], -1)


def add_trust(logits: Tensor, trust: Tensor, bias: Tensor, context: Tensor) -> Tensor:
    """Return logits to which the trust of each candidate is added.

    Parameters
    ----------
    logits : Tensor (bs, seq_len, vocab_sz)
    trust : Tensor (bs, seq_len, N_CANDIDATES)
        What depends on the output of the last layer.
    bias : Tensor (n_rows,)
        For what is known of each candidate.
    context : int64 tensor (bs, seq_len, n_columns)
    """
    rows, known = context[..., :N_CANDIDATES], context[..., N_CANDIDATES : 2 * N_CANDIDATES]
    vocab_sz = logits.shape[-1]
    first_rows = 1 + vocab_sz * torch.arange(N_CANDIDATES, device=rows.device)
    trust = (trust + bias[known]) * (rows > 0)
    return logits.scatter_add(-1, (rows - first_rows).clamp(min=0), trust.to(logits.dtype))
