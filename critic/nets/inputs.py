"""Turn a piece of any form into the text that a classifier reads."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clara.encodings.base import Encoding
from clara.encodings.prompts import read_prompt
from clara.encodings.vocab import tokenize
from clara.errors import NoNotes
from clara.music.notes import NoteSequence, build_notes, quantize
from critic.features.segments import segments_and_weights


@dataclass(frozen=True, eq=False)
class Text:
    """A piece as a classifier reads it; all members and scores share what it decodes.

    Attributes
    ----------
    tokens : list of str
        Without control tokens.
    encoding : Encoding
    piece : object, optional
        What it was read from; a path is the piece's name in messages.
    """

    tokens: list[str]
    encoding: Encoding
    piece: Any = None
    _segments: dict = field(default_factory=dict, repr=False)
    _features: dict = field(default_factory=dict, repr=False)

    @cached_property
    def notes(self) -> NoteSequence:
        """Decode the tokens as notes."""
        return self.encoding.decode(self.tokens)[0]

    @cached_property
    def token_steps(self) -> list[int]:
        """Return the number of grid steps by which each token advances the time."""
        return self.encoding.token_steps(self.tokens)

    @cached_property
    def n_steps(self) -> int:
        """Return the length of the piece in steps."""
        return sum(self.token_steps)

    def segments(self, window_quarters: float, segment_quarters: int) -> tuple[list[NoteSequence], np.ndarray]:
        """Return the segments of the piece and their weights in each window; see `segments_and_weights`."""
        key = window_quarters, segment_quarters
        if key not in self._segments:
            self._segments[key] = segments_and_weights(self.notes, self.n_steps, window_quarters, segment_quarters)
        return self._segments[key]

    def features(self, extract: Callable[[NoteSequence], np.ndarray], segment: NoteSequence) -> np.ndarray:
        """Return what a function extracts of a segment of this piece; members that share a function share the work."""
        key = extract, id(segment)  # `_segments` holds the segment as long as this text lives
        if key not in self._features:
            self._features[key] = extract(segment)
        return self._features[key]


def read_piece(piece, encoding, vocab) -> Text:
    """Return a piece as a classifier reads it.

    Parameters
    ----------
    piece : NoteSequence, Sample, list of tokens, tokens as one str, path of a MIDI file, score or text, or Text
        A Text of this encoding and vocabulary is returned as it is.
    encoding, vocab
        Of the classifier.

    Raises
    ------
    BadMusicFile, NoNotes, UnknownToken
    """
    return piece if isinstance(piece, Text) else Text(tokenize_piece(piece, encoding, vocab), encoding, piece)


def tokenize_piece(piece, encoding, vocab) -> list[str]:
    """Return a piece as tokens, without control tokens; parameters as `read_piece`, but for Text.

    Raises
    ------
    BadMusicFile, NoNotes, UnknownToken
    """
    if hasattr(piece, "composed"):  # a Sample
        piece = piece.composed()
    if isinstance(piece, str) and len(tokens := piece.split()) > 1 and tokens[0] in vocab.id_of:
        piece = tokens
    if isinstance(piece, (str, Path)):
        piece = read_prompt(piece, encoding)[0]
    if isinstance(piece, NoteSequence):
        if not len(piece):
            raise NoNotes("a piece without notes cannot be scored")
        return tokenize(encoding.fold_to_range(regrid(piece, encoding))[0], encoding, vocab)[0]
    tokens = [token for token in piece if not token.startswith("xx")]
    if not len(encoding.decode(tokens)[0]):
        raise NoNotes("a text without notes cannot be scored")
    return tokens


def regrid(notes: NoteSequence, encoding) -> NoteSequence:
    """Round notes to an encoding's grid, half up; an encoding of one part gets all notes in one part."""
    new, old = encoding.steps_per_quarter, notes.steps_per_quarter
    start, end = (quantize(time, old, new) for time in (notes.start, notes.end))
    part = notes.part if len(encoding.prefixes) > 1 else 0
    return build_notes(start, np.maximum(end, start + 1), notes.pitch, part, steps_per_quarter=new, qpm=notes.qpm)[0]
