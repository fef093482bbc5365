"""How a piece becomes what a classifier's net reads: from anywhere to words, from words to what each kind of net takes.

A reading prepares pieces one by one, tells their size, so that pieces of about one length can be judged together, and makes a batch of some.
"""

from pathlib import Path

import numpy as np

from clara.encodings.prompts import read_prompt
from clara.encodings.vocab import tokenize
from clara.errors import NoNotes
from clara.music.notes import NoteSequence, build_notes
from critic.nets.descriptors import collate_statistics, counted, counted_by_window
from critic.nets.piano_roll import collate_rolls
from critic.nets.self_similarity import collate_similarity, compared
from critic.nets.text import collate, windows_of


class TextReading:
    """Words as ids after xxbos, each one's window, and where the net wants it what can be counted in each window.

    Parameters
    ----------
    encoding, vocab : of the text
    window_quarters : length of a window
    counts : whether the net wants it
    """

    together = 2**15  # words, padding with them, that are read side by side at most, which bounds memory

    def __init__(self, encoding, vocab, window_quarters, counts=False):
        self.encoding, self.vocab, self.window_quarters, self.counts = encoding, vocab, window_quarters, counts

    def prepare(self, words):
        """Words, without control words, as the net's part of a batch."""
        window = windows_of(self.encoding, words, self.window_quarters)
        counts = [counted_by_window(*_notes(self.encoding, words), self.window_quarters)] if self.counts else []
        return self.vocab.to_ids(["xxbos", *words]), np.r_[window[:1], window], *counts

    def size(self, piece):
        """Of a prepared piece, to be compared with `together`."""
        return len(piece[0])

    def n_windows(self, piece):
        """Of a prepared piece."""
        return int(piece[1].max()) + 1

    def batch(self, pieces):
        """Prepared pieces as what the net is called with."""
        return collate(pieces, self.vocab.pad_id)


class RollReading:
    """Notes, and how many steps they last; `net` is the RollNet that reads them."""

    together = 2**15  # steps

    def __init__(self, encoding, net):
        self.encoding, self.net = encoding, net

    def prepare(self, words):
        """Words, without control words, as the net's part of a batch."""
        return _notes(self.encoding, words)

    def size(self, piece):
        """Of a prepared piece, to be compared with `together`."""
        return piece[1]

    def n_windows(self, piece):
        """Of a prepared piece."""
        return len(self.net.spans(piece[1]))

    def batch(self, pieces):
        """Prepared pieces as what the net is called with."""
        return collate_rolls(pieces)


class StretchReading:
    """What is told of each stretch of a piece, and how much of each window is in each.

    Attributes
    ----------
    told : function(notes, n_steps, window quarters) -> (one thing for each stretch, cover (n_windows, n_stretches))
    collate : function that makes a batch of such pieces
    """

    together = 2**12  # stretches
    told = collate = None

    def __init__(self, encoding, window_quarters):
        self.encoding, self.window_quarters = encoding, window_quarters

    def prepare(self, words):
        """Words, without control words, as the net's part of a batch."""
        return self.told(*_notes(self.encoding, words), self.window_quarters)

    def size(self, piece):
        """Of a prepared piece, to be compared with `together`."""
        return len(piece[0])

    def n_windows(self, piece):
        """Of a prepared piece."""
        return len(piece[1])

    def batch(self, pieces):
        """Prepared pieces as what the net is called with."""
        return self.collate(pieces)


class StatisticsReading(StretchReading):
    """What can be counted."""

    told, collate = staticmethod(counted), staticmethod(collate_statistics)


class SimilarityReading(StretchReading):
    """Where notes are struck, in a batch as pictures of self-similarity."""

    together = 2**8  # stretches, of which a picture has 64 KiB
    told, collate = staticmethod(compared), staticmethod(collate_similarity)


def _notes(encoding, words):
    """Words as notes, and how many steps they last."""
    return encoding.decode(words)[0], sum(encoding.token_steps(words))


def tokenize_piece(piece, encoding, vocab):
    """A piece as words of a vocabulary.

    Parameters
    ----------
    piece : NoteSequence, list of words, the words as one str, or path of a MIDI file, score or text
    encoding, vocab : to spell it in

    Returns
    -------
    list of str

    Raises
    ------
    BadMusicFile, NoNotes, UnknownToken
    """
    if isinstance(piece, str) and len(words := piece.split()) > 1 and words[0] in vocab.id_of:
        piece = words
    if isinstance(piece, (str, Path)):
        piece = read_prompt(piece, encoding)[0]
    if isinstance(piece, NoteSequence):
        if not len(piece):
            raise NoNotes("a piece without notes cannot be judged")
        return tokenize(encoding.fold_to_range(regrid(piece, encoding))[0], encoding, vocab)[0]
    words = [w for w in piece if not w.startswith("xx")]
    if not len(encoding.decode(words)[0]):
        raise NoNotes("a text without notes cannot be judged")
    return words


def regrid(notes, encoding):
    """Notes on an encoding's grid, rounded where it is coarser, all in one part where it has one."""
    new, old = encoding.steps_per_quarter, notes.steps_per_quarter
    start, end = ((2 * at * new + old) // (2 * old) for at in (notes.start, notes.end))
    part = notes.part if len(encoding.prefixes) > 1 else 0
    return build_notes(start, np.maximum(end, start + 1), notes.pitch, part, steps_per_quarter=new, qpm=notes.qpm)[0]
