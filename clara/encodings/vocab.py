"""Words to ids and back, and the tables that transpose ids."""

from collections import Counter
from pathlib import Path

import numpy as np

from clara.errors import CheckpointMismatch, UnknownWord
from clara.files import write_whole

SHIFTS = tuple(range(-11, 12))  # semitones for which tables are kept: all that may bring a piece into a key
PAD, BOS, EOS = CONTROL_WORDS = ("xxpad", "xxbos", "xxeos")


class Vocab:
    """The words of a model; a word's id is its position.

    Parameters
    ----------
    words : list of str, control words among them

    Raises
    ------
    CheckpointMismatch
        If a word comes twice or a control word is missing.
    """

    def __init__(self, words):
        self.words = tuple(words)
        self.id_of = {w: i for i, w in enumerate(self.words)}
        if len(self.id_of) != len(self.words):
            raise CheckpointMismatch("the vocabulary holds a word twice")
        missing = [w for w in CONTROL_WORDS if w not in self.id_of]
        if missing:
            raise CheckpointMismatch(f"the vocabulary lacks {', '.join(missing)}")
        self.pad, self.bos, self.eos = (self.id_of[w] for w in CONTROL_WORDS)

    @classmethod
    def of(cls, encoding, seen=()):
        """The control words, the encoding's words in its order, and of an open vocabulary those seen, sorted.

        Parameters
        ----------
        encoding : of `clara.encodings`
        seen : iterable of words
        """
        more = sorted(set(seen) - set(encoding.words)) if encoding.open_vocabulary else []
        return cls([*CONTROL_WORDS, *encoding.words, *more])

    def __len__(self):
        return len(self.words)

    @property
    def dtype(self):
        """The smallest of int16 and int32 that holds every id, and -1."""
        return np.int16 if len(self) < 2**15 else np.int32

    def __eq__(self, other):
        return isinstance(other, Vocab) and self.words == other.words

    def ids(self, words):
        """Ids of a list of words, int64 array of shape (n,).

        Raises
        ------
        UnknownWord
            Naming the first word that is not held, and its position.
        """
        try:
            return np.array([self.id_of[w] for w in words], dtype=np.int64)
        except KeyError as e:
            word = e.args[0]
            raise UnknownWord(
                f"word {list(words).index(word) + 1}, {word!r}, is not in the vocabulary of {len(self)} words"
            ) from None

    def text(self, ids):
        """The list of words of an int array of shape (n,)."""
        return [self.words[i] for i in ids]

    def save(self, path):
        """One word per line; the line number, from 0, is the id."""
        write_whole(path, "\n".join(self.words) + "\n")

    @classmethod
    def load(cls, path):
        """Read what `save` wrote."""
        return cls(Path(path).read_text(encoding="utf-8").splitlines())


def transposition_tables(vocab, encoding, semitones):
    """Tables that move ids to another key: `tables[i, id]` is the id `semitones[i]` higher.

    Parameters
    ----------
    vocab : Vocab
    encoding : whose `transpose_word` knows the music
    semitones : sequence of int, length n

    Returns
    -------
    array of `vocab.dtype`, shape (n, len(vocab)); -1 where the moved word is not in the vocabulary
    """
    return np.array([[_moved(vocab, encoding, w, s) for w in vocab.words] for s in semitones], dtype=vocab.dtype)


def _moved(vocab, encoding, word, semitones):
    """The id of one word moved, or -1."""
    return vocab.id_of.get(word if word in CONTROL_WORDS else encoding.transpose_word(word, semitones), -1)


def spelled(notes, encoding, vocab):
    """Music as words of a vocabulary.

    Parameters
    ----------
    notes : NoteSequence on the encoding's grid
    encoding : of `clara.encodings`
    vocab : Vocab

    Returns
    -------
    words : list of str
    losses : Counter with what encoding lost, and `replaced` (words of an open vocabulary that it does not hold, in
        whose place the nearest stands)
    """
    words, losses = encoding.encode(notes)
    unknown = [w for w in words if w not in vocab.id_of] if encoding.open_vocabulary else []
    if unknown:
        known = [w for w in vocab.words if w not in CONTROL_WORDS]
        nearest = iter(encoding.nearest(unknown, known))
        words = [w if w in vocab.id_of else next(nearest) for w in words]
    return words, +(losses + Counter(replaced=len(unknown)))
