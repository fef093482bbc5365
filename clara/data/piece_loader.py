"""Whole pieces side by side, each read from its beginning: for predictions, losses by piece and test data."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from clara.data.encoded_piece import EncodedPiece
from clara.data.piece_contexts import PieceContexts
from clara.data.showing import ShowsPieces
from clara.encodings.base import Encoding
from clara.encodings.vocab import Vocab

MAX_LOGITS = 2**26  # in a batch: 256 MiB of float32


class PieceDataLoader(ShowsPieces):
    """An iterable of batches (x, y) of whole pieces in their order; y is x one token later.

    Short pieces of a batch are padded at their end. The model must forget its state before each batch.

    Parameters
    ----------
    items : sequence of EncodedPiece
    vocab : Vocab
    encoding : Encoding
    device : torch.device or str
    bs : int
        Most pieces in a batch; fewer if the pieces are long or the vocabulary is large (see `MAX_LOGITS`).
    contexts : PieceContexts, optional
        Gives x the context of each token; its shape is then (pieces, longest piece - 1, 1 + n_columns).
    """

    n_inp = 1

    def __init__(
        self,
        items: Sequence[EncodedPiece],
        vocab: Vocab,
        encoding: Encoding,
        device: torch.device | str = "cpu",
        bs: int = 32,
        contexts: PieceContexts | None = None,
    ):
        self.items = [contexts.add(piece) for piece in items] if contexts else list(items)
        self.vocab, self.encoding, self.contexts = vocab, encoding, contexts
        self.device, self.bs = torch.device(device), bs
        self.batches = self._plan_batches()

    def _plan_batches(self):
        """Return a list of pieces for each batch."""
        batches: list[list[EncodedPiece]] = []
        longest = 0
        for piece in self.items:
            longest = max(longest, len(piece))
            n = len(batches[-1]) + 1 if batches else 1
            if not batches or n > self.bs or n * longest * len(self.vocab) > MAX_LOGITS:
                batches.append([])
                longest = len(piece)
            batches[-1].append(piece)
        return batches

    @property
    def dataset(self) -> list[EncodedPiece]:
        """Return the pieces; this is fastai's name for them."""
        return self.items

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self.batches:
            rows = [torch.as_tensor(piece.ids.astype(np.int64)) for piece in batch]
            ids = pad_sequence(rows, batch_first=True, padding_value=self.vocab.pad_id).to(self.device)
            x, y = ids[:, :-1], ids[:, 1:]
            if self.contexts:
                contexts = [torch.from_numpy(self.contexts.to_rows(piece.context[:-1])).long() for piece in batch]
                x = torch.cat([x[..., None], pad_sequence(contexts, batch_first=True).to(self.device)], dim=2)
            yield x, y

    def one_batch(self) -> tuple[Tensor, Tensor]:
        """Return the first batch: x and y, int64 tensors of shape (pieces, longest piece - 1)."""
        return next(iter(self))

    def new(
        self,
        items: Sequence[EncodedPiece] | None = None,
        *,
        bs: int | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
    ) -> "PieceDataLoader":
        """Return a loader like this one; `shuffle` and `drop_last` have no effect, fastai passes them."""
        items = self.items if items is None else items
        return PieceDataLoader(items, self.vocab, self.encoding, self.device, bs or self.bs, self.contexts)

    def to(self, device: torch.device | str) -> "PieceDataLoader":
        """Yield batches on another device from now on; return the loader itself."""
        self.device = torch.device(device)
        return self
