"""Turn a piece of any form into the tokens of a classifier's vocabulary."""

from pathlib import Path

import numpy as np

from clara.encodings.prompts import read_prompt
from clara.encodings.vocab import tokenize
from clara.errors import NoNotes
from clara.music.notes import NoteSequence, build_notes, quantize


def tokenize_piece(piece, encoding, vocab) -> list[str]:
    """Return a piece as tokens, without control tokens.

    Parameters
    ----------
    piece : NoteSequence, Sample, list of tokens, tokens as one str, or path of a MIDI file, score or text
    encoding, vocab
        Of the classifier.

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
