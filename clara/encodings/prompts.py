"""TODO."""

from dataclasses import replace
from pathlib import Path

from clara.encodings.notewise import Notewise
from clara.errors import BadMusicFile, BadSetting, NoNotes, UnknownToken
from clara.music.midi import read_midi
from clara.music.notes import crop, rebuild_notes
from clara.music.score_text import SCORE_SUFFIXES

MUSIC21 = "music21:"


DEFAULT_QPM = 110.0


def read_prompt(source, encoding, quarters=None):
    """Read music to go on from, on an encoding's grid and in its range.

    Parameters
    ----------
    source : a MIDI file, a score, a text of the encoding, or music21:NAME from music21's corpus
    encoding : of the model
    quarters : take only the first so many quarter notes, or None for all

    Returns
    -------
    notes : NoteSequence
    losses : Counter of what reading and fitting it lost

    Raises
    ------
    BadMusicFile, NoNotes, UnknownToken
        As its reader finds it.
    """
    steps_per_quarter = encoding.steps_per_quarter
    in_corpus = str(source).startswith(MUSIC21)
    if in_corpus or Path(source).suffix.lower() in SCORE_SUFFIXES:
        from clara.music.scores import read_score

        name = str(source)[len(MUSIC21) :] if in_corpus else source
        notes, losses = read_score(name, steps_per_quarter=steps_per_quarter, ensemble=encoding.ensemble)
    elif Path(source).suffix.lower() == ".txt":
        try:
            notes, losses = encoding.decode(_text(source), qpm=DEFAULT_QPM)
        except UnknownToken as e:
            raise UnknownToken(f"{source}: {e}") from e
    else:
        notes, losses = read_midi(source, steps_per_quarter=steps_per_quarter, ensemble=encoding.ensemble)
    if quarters is not None:
        notes = crop(notes, 0, round(quarters * steps_per_quarter))
    if not len(notes):
        raise NoNotes(f"{source}: no notes in it" + (f" before quarter {quarters:g}" if quarters else ""))
    notes, folded = encoding.fold_to_range(notes)
    return notes, losses + folded


def read_fixed_melody(source, encoding, part=None):
    """Read a tune to be held while the rest is composed.

    Parameters
    ----------
    source : as for `read_prompt`, the instruments all taken together
    encoding : of the model
    part : one of its prefixes, which plays the tune; the solo's where it is None and there is one

    Returns
    -------
    notes : NoteSequence
    losses : Counter

    Raises
    ------
    As `read_prompt`, and BadSetting for a part that the encoding does not have.
    """
    if part is not None and part not in encoding.prefixes:
        raise BadSetting(f"no part {part!r}; there are: {', '.join(encoding.prefixes)}")
    notes, losses = read_prompt(source, Notewise(encoding.steps_per_quarter, encoding.n_keys))
    player = encoding.prefixes.index(part) if part else min(1, len(encoding.prefixes) - 1)
    line, merged = rebuild_notes(
        replace(notes, instruments=encoding.instruments), notes.start, notes.end, notes.pitch, player
    )
    return line, losses + merged


def _text(path):
    """The words of a text file."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise BadMusicFile(f"{path}: cannot be read as text ({e})") from e
