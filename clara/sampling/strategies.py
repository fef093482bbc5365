"""Which of the allowed words is taken.

Each rule maps logits to logits, -inf for what it rules out; `choose` draws from what is
left. All are vectorised over the batch and never let a word through that was ruled out
before.

Contents: `Settings`, `choose`, `with_temperature`, `top_k`, `top_p`.
"""

from dataclasses import dataclass

import torch

from clara.errors import BadSetting


@dataclass(frozen=True)
class Settings:
    """How freely to sample.

    Attributes
    ----------
    temperature : above 0; below 1 the likely words become likelier
    top_k : only the k likeliest words; 0 for all
    top_p : only the likeliest words that together have this probability (Holtzman et al.
        2020, nucleus sampling); 1 for all
    random_freq : how often to draw at all instead of taking the likeliest word (Payne's
        Clara, 2018); 1 for always

    Raises
    ------
    BadSetting
        For a value out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    random_freq: float = 1.0

    def __post_init__(self):
        if not 0 < self.temperature < float("inf"):
            raise BadSetting(f"temperature must be above 0, not {self.temperature}")
        if self.top_k < 0:
            raise BadSetting(f"top_k must be at least 0, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise BadSetting(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if not 0 <= self.random_freq <= 1:
            raise BadSetting(f"random_freq must be from 0 to 1, not {self.random_freq}")


def choose(logits, allowed, settings, draws):
    """One word per row.

    Parameters
    ----------
    logits : float tensor (bs, vocab_sz)
    allowed : bool tensor (bs, vocab_sz), at least one true in each row
    settings : Settings
    draws : float tensor (bs, 2), uniform in [0, 1): one decides the word, one whether to draw

    Returns
    -------
    int64 tensor (bs,)
    """
    logits = logits.float().nan_to_num().masked_fill(~allowed, -torch.inf)
    likeliest = logits.argmax(1)
    free = top_p(top_k(with_temperature(logits, settings.temperature), settings.top_k), settings.top_p)
    reached = free.softmax(1).double().cumsum(1)
    drawn = (reached > draws[:, :1] * reached[:, -1:]).int().argmax(1)
    inside = allowed.gather(1, drawn[:, None])[:, 0]  # not so where logits or temperature leave no numbers
    return torch.where((draws[:, 1] < settings.random_freq) & inside, drawn, likeliest)


def with_temperature(logits, temperature):
    """Divide by the temperature; the shape of the distribution sharpens or flattens."""
    logits = logits.double()
    return (logits - logits.amax(1, keepdim=True)) / temperature  # at or below 0, so that none overflows


def top_k(logits, k):
    """Rule out all but the k likeliest words of each row; k = 0 rules out nothing."""
    if not 0 < k < logits.shape[1]:
        return logits
    least = logits.topk(k, dim=1).values[:, -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def top_p(logits, p):
    """Rule out the unlikely words beyond a probability of p; the likeliest always stays."""
    if p >= 1:
        return logits
    ordered, order = logits.sort(dim=1, descending=True)
    before = ordered.softmax(1).cumsum(1) - ordered.softmax(1)
    out = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, before >= p)
    return logits.masked_fill(out, -torch.inf)
