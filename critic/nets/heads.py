"""Small heads that learn apart and judge together."""

import torch
from torch import Tensor, nn


class AveragedHeads(nn.ModuleList):
    """Networks of one shape whose logits are averaged.

    Each head learns from batches of its own, so their errors differ and their mean is steadier than any of them.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        features : float32 tensor (n, n_features)
            Rows to classify; or (n_heads, bs, n_features), one batch for each head to learn from.

        Returns
        -------
        float32 tensor (n, n_classes), the mean over the heads; or (n_heads, bs, n_classes)
        """
        if features.dim() == 3:
            return torch.stack([head(batch) for head, batch in zip(self, features)])
        return torch.stack([head(features) for head in self]).mean(0)


class HalfDropout(nn.Module):
    """`nn.Dropout(0.5)` that draws one random bit for each number.

    Drawing random floats takes most of the time that it takes to train the heads on a CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return x with half of its numbers set to zero and the others doubled; x itself in eval mode."""
        if not self.training:
            return x
        n_words = -(-x.numel() // 64)
        random_bytes = torch.empty(n_words, dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)
        bits = random_bytes[:, None] >> torch.arange(8, dtype=torch.uint8) & 1
        return x * bits.flatten()[: x.numel()].view(x.shape) * 2
