"""Batches for a language model: whole pieces in a row, each epoch in another key.

The corpus stays on the device as small integers and is transposed there by table. An epoch
holds every piece once; over twelve epochs a piece goes through all the keys that its
range allows, in an order drawn for it. Pieces are shuffled, strung together and cut into
`bs` streams, which are read in windows of `seq_len`; the net carries its state from
window to window. What epoch n holds hangs on the seed and on n alone.
"""

import numpy as np
import torch

from clara.encodings.vocab import SHIFTS, transposition_tables

MIN_VALID_STREAM_TOKENS = 2000  # words at least: a stream begins inside a piece of which nothing was read, which costs
MIN_WINDOW = 2  # temporal regularisation compares a word with the one before


def fitting_shifts(ids, tables):
    """For each of the twelve keys the smallest shift at which no word leaves the range.

    Parameters
    ----------
    ids : int array (n,), one piece
    tables : int array (23, vocab_sz), from `transposition_tables` for `SHIFTS`

    Returns
    -------
    list of indices into `SHIFTS`, at most twelve, among them that of shift 0
    """
    fits = (tables[:, np.unique(ids)] >= 0).all(axis=1)
    nearest = {}
    for i in sorted(np.flatnonzero(fits), key=lambda i: abs(SHIFTS[i])):
        nearest.setdefault(SHIFTS[i] % 12, int(i))
    return list(nearest.values())


class PieceLoader:
    """An iterable of (x, y), int64 tensors (bs, seq_len), as fastai's Learner takes it.

    Parameters
    ----------
    pieces : list of int arrays, each xxbos … xxeos
    bs, seq_len : streams side by side, words per window
    device : torch device
    tables : int array (23, vocab_sz) to train in all keys, or None to leave keys and order
    seed : of shuffling and keys
    world : clara.training.distributed.World, whose processes share the streams
    replay_pieces : more pieces, of which each epoch takes some, drawn anew
    replay_share : of an epoch's words that are theirs, below 1
    """

    n_inp = 1

    def __init__(
        self, pieces, bs, seq_len, device="cpu", tables=None, seed=0, world=None, replay_pieces=(), replay_share=0.0
    ):
        own = sum(map(len, pieces))
        self.n_own, self.n_replay_tokens = (
            len(pieces),
            min(int(own * replay_share / (1 - replay_share)), sum(map(len, replay_pieces))),
        )
        self.n_tokens = own + self.n_replay_tokens
        pieces = [*pieces, *replay_pieces]
        self.bs = max(1, min(bs, (self.n_tokens - 1) // MIN_WINDOW))
        self.rows = world.share(self.bs) if world else slice(None)  # of the streams that are this process's
        self.seq_len, self.device, self.seed, self.epoch = seq_len, torch.device(device), seed, 0
        self.bounds = np.cumsum([0, *map(len, pieces)])
        self.corpus = torch.from_numpy(np.concatenate(pieces)).to(self.device)
        self.shifts = [fitting_shifts(p, tables) for p in pieces] if tables is not None else None
        self.tables = None if tables is None else torch.from_numpy(tables).to(self.device)
        self.dataset = pieces[: self.n_own]

    def __len__(self):
        columns = (self.n_tokens - 1) // self.bs
        return columns // self.seq_len + (columns % self.seq_len >= MIN_WINDOW)

    def __iter__(self):
        stream = self._stream()
        columns = (len(stream) - 1) // self.bs
        x = stream[: columns * self.bs].view(self.bs, columns)[self.rows]
        y = stream[1 : columns * self.bs + 1].view(self.bs, columns)[self.rows]
        for i in range(len(self)):
            window = slice(i * self.seq_len, (i + 1) * self.seq_len)
            yield x[:, window].long(), y[:, window].long()

    def _stream(self):
        """All pieces of this epoch in their order and keys, (words,)."""
        if self.tables is None:
            return self.corpus
        rng = np.random.default_rng([self.seed, self.epoch])
        pieces = [(i, self.bounds[i + 1]) for i in rng.permutation(self.n_own)]
        if self.n_replay_tokens:
            pieces += self._drawn(rng)
            pieces = [pieces[i] for i in rng.permutation(len(pieces))]
        return torch.cat([self.tables[self._key(i)][self.corpus[self.bounds[i] : end].long()] for i, end in pieces])

    def _drawn(self, rng):
        """Some of the other pieces and where each ends, the last cut so that they have n_replay_tokens."""
        drawn, left = [], self.n_replay_tokens
        for i in self.n_own + rng.permutation(len(self.bounds) - 1 - self.n_own):
            if left:
                end = min(self.bounds[i + 1], self.bounds[i] + left)
                drawn.append((i, end))
                left -= end - self.bounds[i]
        return drawn

    def _key(self, i):
        """The table for piece i in this epoch: each of its shifts once before any comes again."""
        shifts = self.shifts[i]
        lap, at = divmod(self.epoch, len(shifts))
        return shifts[np.random.default_rng([self.seed, i, lap]).permutation(len(shifts))[at]]


def dataloaders(corpus, bs, seq_len, device="cpu", seed=0, world=None, replay_pieces=None, replay_share=0.0):
    """fastai `DataLoaders` of a corpus: train in all keys, valid as written.

    Where no piece is held out, the training pieces as written stand in for valid.

    Parameters
    ----------
    corpus : clara.data.corpus.Corpus
    bs, seq_len, device, seed, world, replay_share : see `PieceLoader`; valid has fewer streams where it is small, and all of them
    replay_pieces : a Corpus of the same vocabulary whose training pieces are mixed in, or None

    Returns
    -------
    dls : DataLoaders
    valid_split : the name of the split that dls.valid reads
    """
    from fastai.data.core import DataLoaders

    tables = transposition_tables(corpus.vocab, corpus.encoding, SHIFTS)
    valid_split = "valid" if (corpus.manifest["split"] == "valid").any() else "train"
    train = PieceLoader(
        corpus.ids("train"),
        bs,
        seq_len,
        device,
        tables,
        seed,
        world,
        replay_pieces.ids("train") if replay_pieces else (),
        replay_share,
    )
    pieces = corpus.ids(valid_split)
    valid = PieceLoader(pieces, min(bs, max(1, sum(map(len, pieces)) // MIN_VALID_STREAM_TOKENS)), seq_len, device)
    return DataLoaders(train, valid, device=torch.device(device)), valid_split
