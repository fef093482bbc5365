"""Check and convert what the generator is asked for: prompt, length, key, settings, seeds and tempo."""

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path

from clara.encodings.prompts import DEFAULT_QPM, read_fixed_melody, read_prompt
from clara.encodings.vocab import CONTROL_TOKENS
from clara.errors import BadMusicFile, BadSetting, NoNotes, UnknownToken
from clara.music.bars import bar_steps, parse_time_signature
from clara.music.key_signatures import signature_of_key
from clara.music.keys import estimate_key_signature, parse_key, scale_pitch_classes
from clara.music.notes import NoteSequence, build_notes, describe_losses, quantize
from clara.music.read import MUSIC21_PREFIX
from clara.music.signature_estimation import with_estimated_time_signature
from clara.performing.playing import PlayedPrompt, read_played_prompt
from clara.sampling.constraints import Constraints
from clara.sampling.settings import SamplingSettings, piece_seeds

DEFAULT_QUARTERS = 64.0

Prompt = str | Path | NoteSequence | None
Key = str | tuple[int, bool] | None
TimeSignature = str | tuple[int, int] | None
Settings = SamplingSettings | Mapping | Sequence | None


def convert_prompt(prompt: Prompt, encoding, time_signature: TimeSignature = None) -> NoteSequence | None:
    """Return a prompt on the grid and in the range of an encoding.

    A warning says what was lost on the way.

    Parameters
    ----------
    prompt : str, Path, NoteSequence or None
        A MIDI file, a score, a text file of the encoding, ``music21:NAME``, text of the encoding, or notes on any
        grid.
    encoding : Encoding
    time_signature : str, (int, int) or None
        Of a text or a MIDI file that names none (default: it is estimated).

    Raises
    ------
    BadMusicFile, NoNotes, UnknownToken
        If the prompt cannot be read or holds no notes.
    BadSetting
        If it is none of these types, or the time signature is none.
    """
    if prompt is None:
        return None
    known = None if time_signature is None else parse_time_signature(time_signature)
    if isinstance(prompt, NoteSequence):
        notes, losses = fit_to_encoding(prompt, encoding)
        name = "prompt"
    elif isinstance(prompt, (str, Path)):
        notes, losses = _read(prompt, encoding, known)
        name = "prompt" if "\n" in str(prompt) else f"prompt {str(prompt)[:60]}"
    else:
        raise BadSetting(
            "a prompt must be a path, music21:NAME, text of the encoding or a NoteSequence, "
            f"not {type(prompt).__name__}"
        )
    if +losses:
        warnings.warn(f"{name}: {describe_losses(losses)} to fit the model's encoding", stacklevel=4)
    return notes


def _read(prompt, encoding, known_time_signature):
    """Read a prompt from a file, music21's corpus or a text; return notes and losses."""
    is_file = isinstance(prompt, Path) or prompt.startswith(MUSIC21_PREFIX) or _is_path(prompt)
    if is_file:
        return read_prompt(prompt, encoding, time_signature=known_time_signature)
    tokens = [token for token in prompt.split() if token not in CONTROL_TOKENS]
    try:
        notes, losses = encoding.decode(tokens, qpm=DEFAULT_QPM)
    except UnknownToken as e:
        if len(tokens) > 1 and not Path(prompt).suffix:
            raise UnknownToken(f"the prompt is neither a file nor text of the encoding {encoding.name}: {e}") from e
        raise BadMusicFile(f"{prompt}: no such file, and no text of the encoding {encoding.name}") from e
    if not len(notes):
        raise NoNotes("the prompt has no notes; leave it out to compose without a prompt")
    notes, folded = encoding.fold_to_range(with_estimated_time_signature(notes, known_time_signature))
    return notes, losses + folded


def convert_played_prompt(prompt: Prompt, encoding, quarters: float) -> PlayedPrompt | None:
    """Return how a prompt is played, if it is a MIDI file that carries expression.

    Parameters
    ----------
    prompt : Prompt
        As of `convert_prompt`, which has read it.
    encoding : Encoding
    quarters : float
        Where the prompt ends.
    """
    if not isinstance(prompt, Path) and not (isinstance(prompt, str) and _is_path(prompt)):
        return None
    played = read_played_prompt(prompt, encoding.steps_per_quarter, encoding.ensemble)
    return None if played is None else PlayedPrompt(*played, quarters)


def _is_path(text):
    """Return whether a string is the path of something on disk."""
    try:
        return Path(text).exists()
    except OSError:  # too long for a path
        return False


def fit_to_encoding(notes: NoteSequence, encoding) -> tuple[NoteSequence, Counter]:
    """Return notes on the grid and in the range of an encoding, and a count of what was lost.

    Times are rounded to the nearest step. All parts become one if the encoding has one part only.

    Raises
    ------
    BadSetting
        If a part has no counterpart in the encoding.
    """
    old_steps, new_steps = notes.steps_per_quarter, encoding.steps_per_quarter
    is_single_part = len(encoding.prefixes) == 1
    losses = Counter()
    if old_steps != new_steps or (is_single_part and len(notes) and notes.part.max() > 0):
        signature_at = {
            int(quantize(step, old_steps, new_steps)): signature for step, *signature in notes.time_signatures
        }
        notes, losses = build_notes(
            quantize(notes.start, old_steps, new_steps),
            quantize(notes.end, old_steps, new_steps),
            notes.pitch,
            0 if is_single_part else notes.part,
            steps_per_quarter=new_steps,
            qpm=notes.qpm,
            time_signatures=tuple((step, *signature) for step, signature in signature_at.items()),
            instruments=encoding.instruments,
            key_signatures=tuple(
                (int(quantize(step, old_steps, new_steps)), fifths) for step, fifths in notes.key_signatures
            ),
        )
    notes, folded = encoding.fold_to_range(notes)
    return notes, losses + folded


def convert_fixed_melody(fixed_melody: Prompt, encoding) -> NoteSequence | None:
    """Return a melody as notes that an encoding can hold; a path is read, notes are taken as they are."""
    if fixed_melody is None or isinstance(fixed_melody, NoteSequence):
        return fixed_melody
    return read_fixed_melody(fixed_melody, encoding)[0]


def convert_length(quarters: float | None, bars: float | None, time_signatures: tuple, steps_per_quarter: int) -> int:
    """Return a length in grid steps, at least 1.

    Parameters
    ----------
    quarters : float or None
        Length in quarter notes.
    bars : float or None
        Length in bars of the last time signature.
    time_signatures : tuple of (step, numerator, denominator)
    steps_per_quarter : int

    Raises
    ------
    BadSetting
        If both are given, or the length is not at least one step.
    """
    if quarters is not None and bars is not None:
        raise BadSetting(f"give the length in quarters or in bars, not both ({quarters} quarters, {bars} bars)")
    name, value = (
        ("bars", bars) if bars is not None else ("quarters", DEFAULT_QUARTERS if quarters is None else quarters)
    )
    if isinstance(value, bool) or not isinstance(value, Real):
        raise BadSetting(f"{name} must be a number, not {value!r}")
    n_quarters = value
    if bars is not None:
        _, numerator, denominator = time_signatures[-1]
        n_quarters = bars * 4 * numerator / denominator
    n_steps = round(n_quarters * steps_per_quarter) if math.isfinite(n_quarters) else 0
    if n_steps < 1:
        raise BadSetting(f"{name} must be at least one step of the grid, 1/{steps_per_quarter} quarters, not {value}")
    return n_steps


def convert_time_signature(
    time_signature: TimeSignature, source: NoteSequence | None, steps_per_quarter: int
) -> tuple[int, int] | None:
    """Return a time signature as numerator and denominator; that of the source by default, or None.

    Parameters
    ----------
    time_signature : str, (int, int) or None
        Such as ``"3/4"``.
    source : NoteSequence or None
        The prompt or the fixed melody, which has one already.
    steps_per_quarter : int

    Raises
    ------
    BadSetting
        If it is none, if its lower number is no note value, if the grid cannot hold its bars, or if the source has
        another one at its end.
    """
    own = source.time_signatures[-1][1:] if source else None
    if time_signature is None:
        return own
    numerator, denominator = parse_time_signature(time_signature)
    if denominator & (denominator - 1):
        raise BadSetting(
            f"the lower number of {numerator}/{denominator} is no note value; take 1, 2, 4, 8, 16, 32 or 64"
        )
    if bar_steps(numerator, denominator, steps_per_quarter).denominator > 1:
        raise BadSetting(
            f"a bar of {numerator}/{denominator} is no whole number of steps on the model's grid of "
            f"{steps_per_quarter} steps per quarter note; choose another time signature or another model"
        )
    if own is not None and own != (numerator, denominator):
        raise BadSetting(
            f"the music to continue is in {own[0]}/{own[1]}, not in {numerator}/{denominator}; leave out the time "
            "signature"
        )
    return numerator, denominator


def convert_key(key: Key) -> tuple[int, bool] | None:
    """Return a key as its tonic, a pitch class 0 to 11, and whether it is major.

    Raises
    ------
    BadSetting
        If it is no key.
    """
    if key is None:
        return None
    if isinstance(key, str):
        return parse_key(key)
    try:
        tonic, is_major = key
    except (TypeError, ValueError):
        tonic = is_major = None
    if not isinstance(tonic, Integral) or isinstance(tonic, bool) or not 0 <= tonic < 12 or is_major not in (0, 1):
        raise BadSetting(f'a key is a name such as "E minor" or (tonic, is_major) such as (4, False), not {key!r}')
    return int(tonic), bool(is_major)


def convert_key_signatures(key: tuple[int, bool] | None, source: NoteSequence | None) -> tuple:
    """Return the key signatures of a piece: of the key that was asked for, or else those of its prompt or melody.

    A prompt that names none gets an estimate, so that all its continuations are written alike.

    Parameters
    ----------
    key : (tonic, is_major) or None
        From `convert_key`.
    source : NoteSequence or None

    Returns
    -------
    tuple of (step, fifths)
        Empty if nothing is known before the piece is composed.
    """
    if key is not None:
        return ((0, signature_of_key(*key)),)
    if source is None or not len(source):
        return ()
    return source.key_signatures or ((0, estimate_key_signature(source)),)


def add_key(constraints: Constraints, key: tuple[int, bool] | None) -> Constraints:
    """Return constraints with the pitch classes of a key.

    Raises
    ------
    BadSetting
        If the constraints have other pitch classes already.
    """
    if key is None:
        return constraints
    scale = scale_pitch_classes(*key)
    if constraints.pitch_classes not in (None, scale):
        raise BadSetting("give a key or pitch_classes of the constraints, not both: they differ")
    return replace(constraints, pitch_classes=scale)


def convert_settings(settings: Settings, n: int) -> list[SamplingSettings]:
    """Return the sampling settings of each of n pieces.

    Parameters
    ----------
    settings : SamplingSettings, mapping, sequence of these, or None
        For all pieces, or one for each. A mapping holds settings by name. None stands for the defaults.
    n : int

    Raises
    ------
    BadSetting
        If there are not n of them, or a setting is unknown or out of its range.
    """
    if isinstance(settings, Sequence) and not isinstance(settings, str):
        if len(settings) != n:
            raise BadSetting(f"{len(settings)} settings for {n} pieces; give one for each, or one for all")
        return [_convert_one_settings(s) for s in settings]
    return [_convert_one_settings(settings)] * n


def _convert_one_settings(settings):
    if settings is None:
        return SamplingSettings()
    if isinstance(settings, SamplingSettings):
        return settings
    if isinstance(settings, Mapping):
        return SamplingSettings.from_dict(settings)
    raise BadSetting(f"settings must be SamplingSettings or a dict of settings, not {settings!r}")


def convert_seeds(seed: int, n: int) -> list[int]:
    """Return the seeds of n pieces, the first of which is `seed`; see `clara.sampling.settings.piece_seeds`.

    Raises
    ------
    BadSetting
        If n is below 1, or the seed is not a whole number of at least 0.
    """
    if not isinstance(n, Integral) or n < 1:
        raise BadSetting(f"n must be a whole number of at least 1, not {n}")
    if not isinstance(seed, Integral) or seed < 0:
        raise BadSetting(f"seed must be a whole number of at least 0, not {seed!r}")
    return piece_seeds(int(seed), n)


def convert_qpm(qpm: float | None, prompt: NoteSequence | None) -> float:
    """Return a tempo in quarter notes per minute: the given one, the prompt's, or the default.

    Raises
    ------
    BadSetting
        If it is not above 0.
    """
    if qpm is None:
        return prompt.qpm if prompt else DEFAULT_QPM
    if not 0 < qpm < math.inf:
        raise BadSetting(f"qpm must be above 0, not {qpm}")
    return qpm
