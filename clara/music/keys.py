"""The key of a piece, and moving it to another.

Krumhansl and Kessler's key profiles (Krumhansl 1990, Cognitive Foundations of Musical
Pitch, p. 30), correlated with how long each pitch class sounds (the Krumhansl-Schmuckler
method, ibid., ch. 4).
"""

import re
from functools import cache

import numpy as np

from clara.errors import BadSetting
from clara.music.notes import transpose

TONICS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
MINOR_THIRD = 3  # from a minor tonic up to its relative major's


def estimate_key(notes):
    """The key that a piece is in, as far as one key is.

    Parameters
    ----------
    notes : NoteSequence, not empty

    Returns
    -------
    tonic : int, pitch class 0-11, C is 0
    is_major : bool
    """
    return key_from_pitch_classes(np.bincount(notes.pitch % 12, weights=notes.duration, minlength=12))


def key_from_pitch_classes(sounding):
    """The key that durations or counts of the twelve pitch classes speak for; as `estimate_key`."""
    profiles, norms = _profiles()
    best = int(np.argmax(profiles @ (sounding - sounding.mean()) / norms))
    return best % 12, best < 12


@cache
def _profiles():
    """Those of the 24 keys, each less its mean, and their norms."""
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    profiles = profiles - profiles.mean(1, keepdims=True)
    return profiles, np.linalg.norm(profiles, axis=1)


def transpose_to_key(notes, tonic):
    """Move a piece to a major key, a minor piece to the relative minor, by the shortest way.

    Parameters
    ----------
    notes : NoteSequence
    tonic : name in `TONICS`

    Returns
    -------
    notes : NoteSequence
    losses : Counter with `dropped` (see `clara.music.notes.transpose`)
    """
    if not len(notes):
        return transpose(notes, 0)
    found, is_major = estimate_key(notes)
    major = found if is_major else found + MINOR_THIRD
    return transpose(notes, (TONICS.index(tonic) - major + 6) % 12 - 6)


STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
MAJOR_SCALE, MINOR_SCALE = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 11)  # harmonic minor


def parse_key(name):
    """The key of a name such as C, F# major, Bb minor or Am.

    Returns
    -------
    tonic : int, pitch class 0-11
    is_major : bool

    Raises
    ------
    BadSetting
        If it names none.
    """
    told = re.fullmatch(r"([A-Ga-g])([#b]?)\s*(m|maj|major|min|minor|)", name.strip())
    if not told:
        raise BadSetting(f"{name!r} is no key; C, F# major, Bb minor and Am are")
    letter, sign, mode = told.groups()
    return (STEPS[letter.upper()] + {"#": 1, "b": -1, "": 0}[sign]) % 12, mode not in ("m", "min", "minor")


def parse_pitch(name):
    """The MIDI pitch of a name such as C4 (60), F#3, or of a number.

    Raises
    ------
    BadSetting
        If it is none.
    """
    if re.fullmatch(r"\d{1,3}", name) and int(name) < 128:
        return int(name)
    told = re.fullmatch(r"([A-Ga-g])([#b]?)(-?\d)", name.strip())
    if not told:
        raise BadSetting(f"{name!r} is no pitch; C4 (which is 60), F#3 and 55 are")
    letter, sign, octave = told.groups()
    return STEPS[letter.upper()] + {"#": 1, "b": -1, "": 0}[sign] + 12 * (int(octave) + 1)


def scale_pitch_classes(tonic, is_major):
    """The pitch classes of a major or a harmonic minor scale, a frozenset."""
    return frozenset((tonic + step) % 12 for step in (MAJOR_SCALE if is_major else MINOR_SCALE))


def triad_pitch_classes(tonic, is_major):
    """The pitch classes of a key's tonic chord, a frozenset."""
    return frozenset((tonic + step) % 12 for step in (0, 4 if is_major else 3, 7))
