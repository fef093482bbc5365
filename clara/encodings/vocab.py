"""The vocabulary of a model: tokens to ids and back, and tables that transpose ids."""

from collections import Counter
from pathlib import Path

import numpy as np

from clara.errors import CheckpointMismatch, UnknownToken
from clara.files import write_atomically

SHIFTS = tuple(range(-11, 12))  # transpositions in semitones that training may use
PAD, BOS, EOS = CONTROL_TOKENS = ("xxpad", "xxbos", "xxeos")

MAX_BYTES = 32 << 20  # of the file of a vocabulary


class Vocab:
    """The tokens of a model; the id of a token is its position.

    Parameters
    ----------
    tokens : list of str
        All tokens, the control tokens included.

    Attributes
    ----------
    tokens : tuple of str
    id_of : dict
        The id of each token.
    pad_id, bos_id, eos_id : int
        Ids of the control tokens: padding, beginning and end of a piece.

    Raises
    ------
    CheckpointMismatch
        If a token comes twice or a control token is missing.

    Examples
    --------
    >>> vocab = Vocab(["xxpad", "xxbos", "xxeos", "p40", "wait1", "endp40"])
    >>> vocab.to_ids(["xxbos", "p40"])
    array([1, 3])
    >>> vocab.to_tokens([3, 4, 5])
    ['p40', 'wait1', 'endp40']
    """

    def __init__(self, tokens):
        self.tokens = tuple(tokens)
        self.id_of = {token: i for i, token in enumerate(self.tokens)}
        if len(self.id_of) != len(self.tokens):
            raise CheckpointMismatch("the vocabulary holds a token twice")
        missing = [token for token in CONTROL_TOKENS if token not in self.id_of]
        if missing:
            raise CheckpointMismatch(f"the vocabulary lacks {', '.join(missing)}")
        self.pad_id = self.id_of[PAD]
        self.bos_id = self.id_of[BOS]
        self.eos_id = self.id_of[EOS]

    @classmethod
    def from_encoding(cls, encoding, seen_tokens=()):
        """Build the vocabulary of an encoding.

        The control tokens come first, then the encoding's tokens in its order, then the
        seen tokens, sorted.

        Parameters
        ----------
        encoding : Encoding
        seen_tokens : iterable of str
            Tokens that occur in a corpus; used only by encodings with an open vocabulary.

        Returns
        -------
        Vocab
        """
        seen = set(seen_tokens) - set(encoding.tokens) if encoding.open_vocabulary else ()
        return cls([*CONTROL_TOKENS, *encoding.tokens, *sorted(seen)])

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def dtype(self) -> type:
        """Return the smaller of int16 and int32 that holds every id, and -1."""
        return np.int16 if len(self) < 2**15 else np.int32

    def __eq__(self, other):
        return isinstance(other, Vocab) and self.tokens == other.tokens

    def to_ids(self, tokens) -> np.ndarray:
        """Return the ids of a list of n tokens, int64 array of shape (n,).

        Raises
        ------
        UnknownToken
            If a token is not in the vocabulary; the message names it and its position.
        """
        try:
            return np.array([self.id_of[token] for token in tokens], dtype=np.int64)
        except KeyError as e:
            token = e.args[0]
            position = list(tokens).index(token) + 1
            raise UnknownToken(f"token {position}, {token!r}, is not in the vocabulary of {len(self)} tokens") from None

    def to_tokens(self, ids) -> list[str]:
        """Return the tokens of an int array of shape (n,)."""
        return [self.tokens[i] for i in ids]

    def save(self, path) -> None:
        """Write one token per line; the line number, from 0, is the id."""
        write_atomically(path, "\n".join(self.tokens) + "\n")

    @classmethod
    def load(cls, path) -> "Vocab":
        """Read a file that `save` wrote.

        Raises
        ------
        CheckpointMismatch
            If the file is too large, holds a token twice, or lacks a control token.
        """
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise CheckpointMismatch(f"larger than {MAX_BYTES >> 20} MiB")
        return cls(data.decode("utf-8").splitlines())


def transposition_tables(vocab, encoding, semitones) -> np.ndarray:
    """Build tables that transpose token ids.

    Parameters
    ----------
    vocab : Vocab
    encoding : Encoding
        Its `transpose_token` defines the transposition.
    semitones : sequence of int
        The n transpositions.

    Returns
    -------
    array of `vocab.dtype`, shape (n, len(vocab))
        `tables[i, id]` is the id `semitones[i]` higher, or -1 if that token is not in the
        vocabulary.
    """
    rows = [[_transposed_id(vocab, encoding, token, shift) for token in vocab.tokens] for shift in semitones]
    return np.array(rows, dtype=vocab.dtype)


def _transposed_id(vocab, encoding, token, semitones):
    """Return the id of one transposed token, or -1."""
    if token not in CONTROL_TOKENS:
        token = encoding.transpose_token(token, semitones)
    return vocab.id_of.get(token, -1)


def tokenize(notes, encoding, vocab) -> tuple[list[str], Counter]:
    """Encode notes as tokens of a vocabulary.

    A token that an open vocabulary does not hold is replaced by the nearest one that it holds.

    Parameters
    ----------
    notes : NoteSequence
        On the encoding's grid.
    encoding : Encoding
    vocab : Vocab

    Returns
    -------
    tokens : list of str
    losses : Counter
        What the encoding lost, and `replaced`: the number of replaced tokens.
    """
    tokens, losses = encoding.encode(notes)
    unknown = [t for t in tokens if t not in vocab.id_of] if encoding.open_vocabulary else []
    if unknown:
        candidates = [t for t in vocab.tokens if t not in CONTROL_TOKENS]
        replacements = iter(encoding.nearest_tokens(unknown, candidates))
        tokens = [t if t in vocab.id_of else next(replacements) for t in tokens]
    return tokens, +(losses + Counter(replaced=len(unknown)))
