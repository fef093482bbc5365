"""Windows of token streams to train a language model on: each epoch in another order and in other keys.

The corpus stays on the device as small integers, and a table transposes it there. Pieces with context stay in memory,
and each token of a window is followed by its context. An epoch holds every piece once.
Over twelve epochs a piece goes through all keys that its range allows, in an order drawn for that piece. Pieces are
shuffled, joined and cut into `bs` streams. The model reads the streams in windows of `seq_len` tokens and carries its
state on from window to window. The seed and the number of the epoch alone decide what an epoch holds.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clara.data.encoded_piece import EncodedPiece
from clara.data.piece_contexts import PieceContexts
from clara.data.piece_loader import PieceDataLoader
from clara.data.showing import ShowsPieces
from clara.encodings.base import Encoding
from clara.encodings.vocab import SHIFTS, Vocab

MIN_WINDOW = 2  # tokens; temporal activation regularisation compares each token with the one before


def fitting_shifts(ids: np.ndarray, tables: np.ndarray) -> list[int]:
    """Return for each of the twelve keys the smallest transposition that keeps a piece in range.

    Parameters
    ----------
    ids : int array, shape (n,)
        One piece.
    tables : int array, shape (23, vocab_sz)
        From `clara.encodings.vocab.transposition_tables` for `SHIFTS`.

    Returns
    -------
    list of int
        At most twelve indices into `SHIFTS`; the index of transposition 0 is always among them.
    """
    is_in_range = (tables[:, np.unique(ids)] >= 0).all(axis=1)
    smallest: dict[int, int] = {}
    for i in sorted(np.flatnonzero(is_in_range), key=lambda i: abs(SHIFTS[i])):
        smallest.setdefault(SHIFTS[i] % 12, int(i))
    return list(smallest.values())


class StreamDataLoader(ShowsPieces):
    """An iterable of batches (x, y): windows of token streams, as fastai's Learner takes them.

    Each full pass is an epoch: the next pass draws new keys and a new order. A pass that is broken off (`one_batch`,
    the learning rate finder) does not count.

    Parameters
    ----------
    pieces : sequence of EncodedPiece or of int arrays
        Each from xxbos to xxeos.
    bs : int
        Number of streams side by side; fewer if there is little music.
    seq_len : int
        Tokens in a window.
    device : torch.device or str
    tables : int array, shape (23, vocab_sz), optional
        Transposition tables to train in all keys (default: keep keys and order).
    seed : int
        Seed of the order and the keys.
    world : clara.training.distributed.World, optional
        Processes that share the streams.
    replay_pieces : sequence of EncodedPiece or of int arrays
        More pieces; each epoch mixes in a new random part of them.
    replay_share : float
        Share of an epoch's tokens that come from `replay_pieces`, from 0 to below 1.
    vocab : Vocab, optional
    encoding : Encoding, optional
        Vocabulary and encoding are needed only to show pieces and by `by_piece`.

    Attributes
    ----------
    epoch : int
        Number of the epoch that the next pass yields, from 0.
    n_tokens : int
        Tokens in an epoch.
    items : list of EncodedPiece
        The pieces, without replayed ones.
    """

    n_inp = 1

    def __init__(
        self,
        pieces: Sequence,
        bs: int,
        seq_len: int,
        device: torch.device | str = "cpu",
        tables: np.ndarray | None = None,
        seed: int = 0,
        world: Any = None,
        replay_pieces: Sequence = (),
        replay_share: float = 0.0,
        vocab: Vocab | None = None,
        encoding: Encoding | None = None,
    ):
        self.items = [EncodedPiece.wrap(piece, i) for i, piece in enumerate(pieces)]
        self.replay_pieces = [EncodedPiece.wrap(piece, i) for i, piece in enumerate(replay_pieces)]
        n_own_tokens = sum(map(len, self.items))
        wanted_replay_tokens = int(n_own_tokens * replay_share / (1 - replay_share))
        self.n_replay_tokens = min(wanted_replay_tokens, sum(map(len, self.replay_pieces)))
        self.n_tokens = n_own_tokens + self.n_replay_tokens
        self.wanted_bs, self.seq_len, self.device, self.seed = bs, seq_len, torch.device(device), seed
        self.world, self.replay_share, self.epoch = world, replay_share, 0
        self.vocab, self.encoding, self.contexts = vocab, encoding, None
        self.bs = max(1, min(bs, (self.n_tokens - 1) // MIN_WINDOW))
        self.rows = world.local_rows(self.bs) if world else slice(None)  # the streams that this process reads
        self._set_pieces([piece.ids for piece in (*self.items, *self.replay_pieces)], tables)

    def add_contexts(self, contexts: PieceContexts) -> None:
        """Give each piece a context, unless it has one; from now on x has the shape (bs, seq_len, 1 + n_columns)."""
        self.contexts = contexts
        self.items = [contexts.add(piece) for piece in self.items]
        self.replay_pieces = [contexts.add(piece) for piece in self.replay_pieces]

    def _set_pieces(self, pieces, tables):
        """Put the pieces and the transposition tables on the device."""
        self.bounds = np.cumsum([0, *map(len, pieces)])
        self.token_ids = torch.from_numpy(np.concatenate(pieces)).to(self.device)
        self.shifts = [fitting_shifts(piece, tables) for piece in pieces] if tables is not None else None
        self.tables = None if tables is None else torch.from_numpy(tables).to(self.device)
        self._tables_on_cpu = tables

    @property
    def dataset(self) -> list[EncodedPiece]:
        """Return the pieces; this is fastai's name for them."""
        return self.items

    def __len__(self) -> int:
        columns = (self.n_tokens - 1) // self.bs
        return columns // self.seq_len + (columns % self.seq_len >= MIN_WINDOW)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        stream = self._epoch_stream()
        tokens = stream if stream.dim() == 1 else stream[:, 0]
        columns = (len(stream) - 1) // self.bs
        x = stream[: columns * self.bs].unflatten(0, (self.bs, columns))[self.rows]
        y = tokens[1 : columns * self.bs + 1].unflatten(0, (self.bs, columns))[self.rows]
        for i in range(len(self)):
            window = slice(i * self.seq_len, (i + 1) * self.seq_len)
            yield x[:, window].long(), y[:, window].long()
        self.epoch += 1

    def one_batch(self) -> tuple[Tensor, Tensor]:
        """Return the first batch of the coming epoch: x and y, int64 tensors of shape (bs, seq_len)."""
        return next(iter(self))

    def epoch_pieces(self, n: int) -> list[EncodedPiece]:
        """Return n of the pieces that the coming epoch holds, in their keys of that epoch; not replayed ones."""
        if self.tables is None:
            return self.items[:n]
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.items))[:n]
        return [EncodedPiece(self.items[i].name, self._transpose(i, self.bounds[i + 1]).cpu().numpy()) for i in order]

    def new(
        self,
        pieces: Sequence | None = None,
        *,
        bs: int | None = None,
        seq_len: int | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> "StreamDataLoader":
        """Return a loader like this one, at epoch 0.

        Parameters
        ----------
        pieces : sequence of EncodedPiece, optional
            Default: the same pieces.
        bs, seq_len : int, optional
            Default: as here.
        shuffle : bool
            False keeps the pieces in their order and keys.
        drop_last : bool
            Has no effect; fastai passes it.
        """
        loader = StreamDataLoader(
            self.items if pieces is None else pieces,
            bs or self.wanted_bs,
            seq_len or self.seq_len,
            self.device,
            self.tables.cpu().numpy() if shuffle and self.tables is not None else None,
            self.seed,
            self.world,
            self.replay_pieces,
            self.replay_share,
            self.vocab,
            self.encoding,
        )
        if self.contexts:
            loader.add_contexts(self.contexts)
        return loader

    def to(self, device: torch.device | str) -> "StreamDataLoader":
        """Move the corpus to a device; return the loader itself."""
        self.device = torch.device(device)
        self.token_ids = self.token_ids.to(self.device)
        self.tables = self.tables if self.tables is None else self.tables.to(self.device)
        return self

    def by_piece(self) -> PieceDataLoader:
        """Return a loader of the same pieces that reads each from its beginning, in its own key."""
        assert self.vocab is not None and self.encoding is not None
        return PieceDataLoader(self.items, self.vocab, self.encoding, self.device, contexts=self.contexts)

    def _epoch_stream(self):
        """Return all pieces of this epoch in their order and keys: (n_tokens,), or with context (n_tokens, 1 + k)."""
        if self.tables is None:
            return self._with_contexts(
                self.token_ids[: self.n_tokens], [(i, None, None) for i in range(len(self.items))]
            )
        rng = np.random.default_rng([self.seed, self.epoch])
        n_own = len(self.items)
        pieces = [(i, self.bounds[i + 1]) for i in rng.permutation(n_own)]
        if self.n_replay_tokens:
            pieces += self._draw_replay_pieces(rng)
            pieces = [pieces[i] for i in rng.permutation(len(pieces))]
        transposed = [self._transpose(i, end) for i, end in pieces]
        return self._with_contexts(torch.cat(transposed), [(i, end, self._draw_shift(i)) for i, end in pieces])

    def _with_contexts(self, tokens, pieces):
        """Return tokens beside their context, if pieces have one.

        Parameters
        ----------
        tokens : Tensor (n_tokens,)
        pieces : list of (int, int or None, int or None)
            Number of each piece, its end, and the index of its transposition; None for all of it in its own key.
        """
        if not self.contexts:
            return tokens
        every_piece = [*self.items, *self.replay_pieces]
        rows = []
        for i, end, shift in pieces:
            context = every_piece[i].context
            context = context if end is None else context[: end - self.bounds[i]]
            if shift is None:
                rows.append(self.contexts.to_rows(context))
            else:
                rng = np.random.default_rng([self.seed, self.epoch, i])
                table = self._tables_on_cpu[shift]
                rows.append(self.contexts.training_rows(context, SHIFTS[shift], table, rng))
        context = torch.from_numpy(np.concatenate(rows)).to(self.device)
        return torch.cat([tokens[:, None].to(context.dtype), context], dim=1)

    def _draw_replay_pieces(self, rng):
        """Return (index, end) of random replay pieces; the last is cut so that they have `n_replay_tokens`."""
        n_own = len(self.items)
        drawn, tokens_left = [], self.n_replay_tokens
        for i in n_own + rng.permutation(len(self.bounds) - 1 - n_own):
            if tokens_left:
                end = min(self.bounds[i + 1], self.bounds[i] + tokens_left)
                drawn.append((i, end))
                tokens_left -= end - self.bounds[i]
        return drawn

    def _transpose(self, i, end):
        """Return piece i up to `end` in its key of this epoch."""
        table = self.tables[self._draw_shift(i)]
        return table[self.token_ids[self.bounds[i] : end].long()]

    def _draw_shift(self, i):
        """Return the index of piece i's transposition in this epoch: each comes once before any comes again."""
        shifts = self.shifts[i]
        lap, place = divmod(self.epoch, len(shifts))
        order = np.random.default_rng([self.seed, i, lap]).permutation(len(shifts))
        return shifts[order[place]]
