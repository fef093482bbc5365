"""Read music to continue, or a melody to keep, on the grid and in the range of an encoding."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from clara.encodings.base import Encoding
from clara.encodings.notewise import Notewise
from clara.errors import BadMusicFile, BadSetting, NoNotes, TooLong, UnknownToken
from clara.listening.alignment import align_if_performed
from clara.music.midi import MIDI_SUFFIXES, describe_midi, read_midi
from clara.music.notes import NoteSequence, crop, rebuild_notes
from clara.music.read import read_music_and_losses
from clara.music.signature_estimation import with_estimated_time_signature

MAX_TEXT_BYTES = 4 << 20  # of a text; a piece of 50,000 notes has 1 MiB
DEFAULT_QPM = 110.0  # tempo of composed music, and of texts, which hold none


def read_prompt(
    source,
    encoding: Encoding,
    quarters: float | None = None,
    *,
    time_signature: tuple[int, int] | None = None,
    performed: str = "auto",
) -> tuple[NoteSequence, Counter]:
    """Read music to continue.

    Parameters
    ----------
    source : path, or str
        A text of the encoding (.txt), or anything that `clara.music.read.read_music` reads.
    encoding : Encoding
    quarters : float, optional
        Number of quarter notes to take from the beginning (default: all).
    time_signature : (numerator, denominator), optional
        Of a text, or a MIDI file that names none or was performed (default: it is estimated).
    performed : str
        Whether a MIDI file was performed, so that its beats must be found: "auto", "yes" or "no"; see
        `clara.listening.alignment.align_if_performed`.

    Returns
    -------
    notes : NoteSequence
        On the grid and in the range of the encoding.
    losses : Counter
        What reading and moving into the range lost.

    Raises
    ------
    BadMusicFile
        If the file cannot be read.
    NoNotes
        If there is no note in it, or none in the quarters taken.
    UnknownToken
        If a text holds a token that is not one of the encoding.
    TooLong, WrongEnsemble
        As `clara.music.read.read_music`.
    """
    if Path(source).suffix.lower() == ".txt":
        try:
            notes, losses = encoding.decode(_read_text(source), qpm=DEFAULT_QPM)
        except UnknownToken as e:
            raise UnknownToken(f"{source}: {e}") from e
        notes = with_estimated_time_signature(notes, time_signature)
    else:
        notes, losses, has_time_signature = _read_notes(source, encoding, performed)
        if time_signature and not has_time_signature:
            notes = with_estimated_time_signature(notes, time_signature)
    if quarters is not None:
        notes = crop(notes, 0, round(quarters * encoding.steps_per_quarter))
    if not len(notes):
        raise NoNotes(f"{source}: no notes in it" + (f" before quarter {quarters:g}" if quarters else ""))
    notes, range_losses = encoding.fold_to_range(notes)
    return notes, losses + range_losses


def read_fixed_melody(
    source, encoding: Encoding, part: str | None = None, *, time_signature: tuple[int, int] | None = None
) -> tuple[NoteSequence, Counter]:
    """Read a melody that stays while the rest is composed.

    Parameters
    ----------
    source : path, or str
        As of `read_prompt`; all instruments are taken together.
    encoding : Encoding
    part : str, optional
        The prefix of the part that plays the melody (default: the solo, if there is one, or else the
        piano).
    time_signature : (numerator, denominator), optional
        As of `read_prompt`.

    Returns
    -------
    notes : NoteSequence
    losses : Counter

    Raises
    ------
    BadSetting
        If the encoding has no such part.
    BadMusicFile, NoNotes, UnknownToken, TooLong
        As `read_prompt`.
    """
    _check_part(part, encoding)  # before a file is read
    notewise = Notewise(encoding.steps_per_quarter, encoding.n_keys)
    notes, losses = read_prompt(source, notewise, time_signature=time_signature)
    melody, build_losses = to_fixed_melody(notes, encoding, part)
    return melody, losses + build_losses


def to_fixed_melody(notes: NoteSequence, encoding: Encoding, part: str | None = None) -> tuple[NoteSequence, Counter]:
    """Return notes on the grid of an encoding as a melody of one of its parts, and losses; see `read_fixed_melody`."""
    _check_part(part, encoding)
    part_index = encoding.prefixes.index(part) if part else min(1, len(encoding.prefixes) - 1)
    template = replace(notes, instruments=encoding.instruments)
    return rebuild_notes(template, notes.start, notes.end, notes.pitch, part_index)


def _check_part(part, encoding):
    """Raise BadSetting if an encoding has no such part."""
    if part is not None and part not in encoding.prefixes:
        raise BadSetting(f"no part {part!r}; there are: {', '.join(encoding.prefixes)}")


def _read_notes(source, encoding, performed):
    """Return notes, losses, and whether the source names a time signature."""
    settings = {"steps_per_quarter": encoding.steps_per_quarter, "ensemble": encoding.ensemble}
    alignment = align_if_performed(source, performed)
    if alignment is not None:
        return *read_midi(alignment.midi, **settings), False
    is_midi = Path(source).suffix.lower() in MIDI_SUFFIXES
    notes, losses = read_music_and_losses(source, **settings)
    return notes, losses, not is_midi or describe_midi(source).has_time_signature


def _read_text(path):
    """Return the text of a file of at most MAX_TEXT_BYTES."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
        if len(data) > MAX_TEXT_BYTES:
            raise TooLong(f"{path}: larger than {MAX_TEXT_BYTES >> 20} MiB")
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise BadMusicFile(f"{path}: cannot be read as text ({e})") from e
