"""fastai DataLoaders of music: from a folder of music, or from a prepared corpus."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.data.core import DataLoaders

from clara.data.corpus import MANIFEST, Corpus
from clara.data.encoded_piece import EncodedPiece
from clara.data.piece_contexts import PieceContexts, tokens_of
from clara.data.piece_loader import PieceDataLoader
from clara.data.showing import decode_ids, music_html, show_html
from clara.data.stream_loader import StreamDataLoader
from clara.devices import choose_device
from clara.encodings import ENCODINGS, make_encoding
from clara.encodings.base import Encoding
from clara.encodings.prompts import read_prompt
from clara.encodings.vocab import SHIFTS, Vocab, tokenize, transposition_tables
from clara.errors import BadSetting, CheckpointMismatch
from clara.files import cache_folder
from clara.music.notes import COMMON_TIME, NoteSequence

SEQ_LEN = 200  # tokens between updates
MIN_STREAMS, MAX_STREAMS = 4, 64
UPDATES_PER_EPOCH = 50  # wanted at least, if the music allows
# A stream of the validation pieces begins inside a piece, without its context, which costs; so streams are long.
MIN_VALID_STREAM_TOKENS = 2000
SHOWN_QUARTERS = 16.0


def default_batch_size(n_tokens: int, seq_len: int, n_processes: int = 1) -> int:
    """Return how many streams to read side by side, so that an epoch makes about `UPDATES_PER_EPOCH` updates.

    Parameters
    ----------
    n_tokens : int
        Tokens to train on.
    seq_len : int
        Tokens of a stream between updates.
    n_processes : int
        Processes that share the streams.

    Returns
    -------
    int
        From 4 to 64, and a multiple of `n_processes`.
    """
    wanted = min(MAX_STREAMS, max(MIN_STREAMS, n_tokens // (UPDATES_PER_EPOCH * seq_len)))
    return max(1, wanted // n_processes) * n_processes


class MusicDataLoaders(DataLoaders):
    """fastai DataLoaders of music: `train` in all keys, `valid` as written.

    Each pass over `train` draws new keys and a new order, whoever runs the loop.

    Parameters
    ----------
    train, valid : StreamDataLoader
    vocab : Vocab
    encoding : Encoding
    corpus : Corpus, optional
        Where the pieces came from.
    valid_split : str
        The split that `valid` reads: "train" if no piece is held out.

    Examples
    --------
    >>> dls = MusicDataLoaders.from_folder("my_midis", encoding="notewise")  # doctest: +SKIP
    >>> x, y = dls.one_batch()  # doctest: +SKIP
    >>> x.shape  # (streams, tokens)  # doctest: +SKIP
    torch.Size([16, 200])
    """

    n_inp = 1

    def __init__(
        self,
        train: StreamDataLoader,
        valid: StreamDataLoader,
        *,
        vocab: Vocab,
        encoding: Encoding,
        corpus: Corpus | None = None,
        valid_split: str = "valid",
    ):
        super().__init__(train, valid, device=train.device)
        self.vocab, self.encoding, self.corpus, self.valid_split = vocab, encoding, corpus, valid_split
        self.contexts = train.contexts

    @classmethod
    def from_folder(
        cls,
        path: str | Path,
        encoding: str = "notewise",
        *,
        prepared: str | Path | None = None,
        workers: int | None = None,
        **settings: Any,
    ) -> "MusicDataLoaders":
        """Read a folder of music: MIDI files and scores, at any depth.

        The music is encoded once, over several processes, and kept as a prepared corpus; a second call encodes only the
        files that changed.

        Parameters
        ----------
        path : str or Path
            A folder of music, a single file, `music21:bach`, or a folder that is already prepared.
        encoding : str
            Name in `clara.encodings.ENCODINGS`.
        prepared : str or Path, optional
            Folder for the prepared corpus (default: one in Clara's cache folder).
        workers : int, optional
            Processes that encode (default: one for each CPU).
        **settings
            As for `from_corpus`.

        Raises
        ------
        NoData
            If there is no music, or none of it could be read.
        BadSetting
            If a prepared folder has another encoding.
        """
        folder = _prepare(str(path), encoding, prepared, workers or os.cpu_count() or 1)
        corpus = Corpus.load(folder)
        if corpus.encoding.name != encoding:
            raise BadSetting(f"{folder} is {corpus.encoding.name} text, not {encoding}")
        return cls.from_corpus(corpus, **settings)

    @classmethod
    def from_corpus(
        cls,
        corpus: str | Path | Corpus,
        *,
        bs: int | None = None,
        seq_len: int = SEQ_LEN,
        device: torch.device | str = "auto",
        seed: int = 0,
        world: Any = None,
        replay_corpus: str | Path | Corpus | None = None,
        replay_share: float = 0.25,
    ) -> "MusicDataLoaders":
        """Read a corpus that `clara prepare` wrote.

        If no piece is held out, `valid` reads the training pieces as written.

        Parameters
        ----------
        corpus : str, Path or Corpus
        bs : int, optional
            Streams side by side (default: 4 to 64, by the amount of music).
        seq_len : int
            Tokens between updates.
        device : torch.device or str
            "auto" is a GPU if there is one.
        seed : int
            Seed of order and keys.
        world : clara.training.distributed.World, optional
            Processes that share the streams of `train`; each reads all of `valid`.
        replay_corpus : str, Path or Corpus, optional
            Another corpus of the same vocabulary; each epoch mixes in a random part of its training pieces, so that a
            fine-tuned model does not forget them.
        replay_share : float
            Share of an epoch's tokens that come from `replay_corpus`, from 0 to below 1.

        Raises
        ------
        NoData
            If the folder is not a prepared corpus, or has no training piece.
        CheckpointMismatch
            If `replay_corpus` has another vocabulary.
        """
        corpus = corpus if isinstance(corpus, Corpus) else Corpus.load(corpus)
        device = choose_device("auto")[0] if device == "auto" else torch.device(device)
        replay_pieces = _read_replay_pieces(replay_corpus, corpus)
        tables = transposition_tables(corpus.vocab, corpus.encoding, SHIFTS)
        pieces = read_pieces(corpus, "train")
        n_tokens = sum(map(len, pieces)) - 2 * len(pieces)
        bs = bs or default_batch_size(n_tokens, seq_len, world.size if world else 1)
        text = {"vocab": corpus.vocab, "encoding": corpus.encoding}
        replay_share = replay_share if replay_pieces else 0.0
        train = StreamDataLoader(pieces, bs, seq_len, device, tables, seed, world, replay_pieces, replay_share, **text)
        valid_split = "valid" if corpus.has_split("valid") else "train"
        valid_pieces = read_pieces(corpus, valid_split)
        valid_bs = min(bs, max(1, sum(map(len, valid_pieces)) // MIN_VALID_STREAM_TOKENS))
        valid = StreamDataLoader(valid_pieces, valid_bs, seq_len, device, **text)
        return cls(train, valid, corpus=corpus, valid_split=valid_split, **text)

    @classmethod
    def empty(cls, vocab: Vocab, encoding: Encoding, device: torch.device | str = "cpu") -> "MusicDataLoaders":
        """Return loaders without pieces, for a learner that only predicts; `test_dl` works."""
        nothing = [EncodedPiece("empty", np.array([vocab.bos_id, vocab.eos_id], dtype=vocab.dtype))]
        loaders = [StreamDataLoader(nothing, 1, SEQ_LEN, device, vocab=vocab, encoding=encoding) for _ in range(2)]
        for loader in loaders:
            loader.items = []
        return cls(*loaders, vocab=vocab, encoding=encoding)

    def add_contexts(self) -> None:
        """Give each token of `train`, `valid` and `test_dl` the context that a model that follows plans reads."""
        if self.contexts:
            return
        self.contexts = PieceContexts(self.vocab, self.encoding)
        for loader in (self.train, self.valid):
            loader.add_contexts(self.contexts)

    def new(self, *, bs: int | None = None, seq_len: int | None = None) -> "MusicDataLoaders":
        """Return loaders of the same pieces with another batch size or window, at epoch 0."""
        train, valid = self.train.new(bs=bs, seq_len=seq_len), self.valid.new(seq_len=seq_len)
        return MusicDataLoaders(
            train,
            valid,
            vocab=self.vocab,
            encoding=self.encoding,
            corpus=self.corpus,
            valid_split=self.valid_split,
        )

    @property
    def tokens_per_quarter(self) -> float | None:
        """Tokens of the `valid` pieces for each of their quarter notes, or None without a corpus."""
        if self.corpus is None:
            return None
        return self.valid.n_tokens / self.corpus.quarters(self.valid_split).sum()

    def test_dl(self, items: Sequence, *, bs: int = 32, **fastai_settings: Any) -> PieceDataLoader:
        """Return a loader of other pieces, each read from its beginning.

        Parameters
        ----------
        items : sequence
            Each a path to a music file, a NoteSequence, text, a list of tokens or an EncodedPiece.
        bs : int
            Most pieces in a batch.
        **fastai_settings
            Have no effect; fastai passes `with_labels` and others.

        Raises
        ------
        ClaraError
            If an item cannot be read as music or has no place in the vocabulary.
        """
        pieces = [self.encode(item, f"item {i + 1}") for i, item in enumerate(items)]
        return PieceDataLoader(pieces, self.vocab, self.encoding, self.train.device, bs, self.contexts)

    def encode(self, item: Any, name: str = "item") -> EncodedPiece:
        """Return music as token ids from xxbos to xxeos; `item` is as for `test_dl`."""
        if isinstance(item, EncodedPiece):
            return item
        if isinstance(item, Path) or (isinstance(item, str) and not self._is_text(item)):
            name = str(item)
            item = read_prompt(item, self.encoding)[0]
        time_signatures = COMMON_TIME
        if isinstance(item, NoteSequence):
            tokens, time_signatures = tokenize(item, self.encoding, self.vocab)[0], item.time_signatures
        else:
            tokens = item.split() if isinstance(item, str) else list(item)
        ids = [self.vocab.bos_id, *self.vocab.to_ids(tokens), self.vocab.eos_id]
        return EncodedPiece(name, np.array(ids, dtype=self.vocab.dtype), time_signatures=time_signatures)

    def _is_text(self, item):
        """Return whether a str is tokens of the vocabulary, and not a path."""
        return bool(item.split()) and all(token in self.vocab.id_of for token in item.split())

    def decode(self, ids: Sequence[int] | np.ndarray) -> NoteSequence:
        """Return the notes of token ids; control tokens are skipped."""
        return decode_ids(ids, self.vocab, self.encoding)

    def show_batch(
        self,
        b: tuple | None = None,
        max_n: int = 4,
        *,
        quarters: float = SHOWN_QUARTERS,
        sheet_music: bool = False,
    ) -> None:
        """Show the beginning of some pieces of the coming epoch, in their keys, as piano rolls or sheet music.

        Parameters
        ----------
        b : tuple (x, y), optional
            A batch to show instead; its rows may begin inside a piece.
        max_n : int
            Number of excerpts.
        quarters : float
            Length of an excerpt, in quarter notes.
        sheet_music : bool
            Engrave scores instead of drawing piano rolls.
        """
        if b is None:
            excerpts = self.train.epoch_pieces(max_n)
        else:
            excerpts = [
                EncodedPiece(f"stream {i + 1}", row.cpu().numpy()) for i, row in enumerate(tokens_of(b[0])[:max_n])
            ]
        fragments = [music_html(piece.name, self.decode(piece.ids), quarters, sheet_music) for piece in excerpts]
        show_html(fragments)


def read_pieces(corpus: Corpus, split: str) -> list[EncodedPiece]:
    """Return the pieces of a split with their names and time signatures.

    Raises
    ------
    NoData, UnknownToken
        As `Corpus.ids` and `Corpus.time_signatures`.
    """
    pieces = zip(corpus.rows(split)["piece"], corpus.ids(split), corpus.time_signatures(split))
    return [EncodedPiece(name, ids, time_signatures=signatures) for name, ids, signatures in pieces]


def _read_replay_pieces(replay_corpus, corpus):
    """Return the training pieces of the corpus to replay."""
    if replay_corpus is None:
        return []
    replay_corpus = replay_corpus if isinstance(replay_corpus, Corpus) else Corpus.load(replay_corpus)
    if replay_corpus.vocab != corpus.vocab:
        raise CheckpointMismatch(
            f"{replay_corpus.folder}: its vocabulary is not that of {corpus.folder}; prepare both alike"
        )
    return read_pieces(replay_corpus, "train")


def _prepare(source, encoding, prepared, workers):
    """Return the folder of the prepared corpus; encode the music of `source` if it is not one itself."""
    from clara.data.corpus_writer import prepare_corpus
    from clara.data.sources import find_pieces
    from clara.data.workers import WorkerSettings

    if (Path(source) / MANIFEST).is_file():
        return source
    if encoding not in ENCODINGS:
        raise BadSetting(f"no encoding {encoding!r}; there are: {', '.join(ENCODINGS)}")
    pieces = find_pieces([source])
    folder = Path(prepared) if prepared else _cached_corpus_folder(source, encoding)
    settings = {"encoding": encoding}
    prepare_corpus(pieces, folder, settings, about=f"Music from {source}.", worker_settings=WorkerSettings(workers))
    return folder


def _cached_corpus_folder(source, encoding):
    """Return the folder in Clara's cache for the music of `source` in an encoding."""
    where = str(Path(source).resolve()) if Path(source).exists() else source
    key = json.dumps([where, make_encoding({"encoding": encoding}).settings], sort_keys=True)
    return cache_folder() / "corpora" / f"{encoding}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
