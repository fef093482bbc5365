"""The key of a piece, and names of keys and pitches.

The key is estimated with the method of Krumhansl and Schmuckler (Krumhansl 1990, Cognitive
Foundations of Musical Pitch, ch. 4): how long each pitch class sounds is correlated with the key
profiles of Krumhansl and Kessler (ibid., p. 30).
"""

import re
from functools import cache

import numpy as np

from clara.errors import BadSetting
from clara.music.key_signatures import FLATTEST, SHARPEST
from clara.music.notes import NoteSequence, transpose

TONICS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MAJOR_PROFILE = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_PROFILE = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
MINOR_THIRD_SEMITONES = 3  # from a minor tonic up to the tonic of the relative major
NATURAL_PITCH_CLASSES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ACCIDENTAL_SEMITONES = {"#": 1, "b": -1, "": 0}
SIGN_COST = 0.42  # of each sharp or flat of a key signature
MAX_QUARTERS = 2  # a longer note says no more about the key signature
# Of the twelve pitch classes from the major tonic of a key signature. A logistic regression on the durations of 237
# engraved scores, those with odd numbers in benchmarks/notation.py, and of 894 MIDI files that name a key.
SIGNATURE_WEIGHTS = np.array([12.9, -8.3, 4.6, -11.8, 13.2, 4.1, -17.2, 10.7, -0.7, 8.0, -18.9, 3.5])
MAJOR_SCALE, MINOR_SCALE = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 11)  # minor: the harmonic scale


def estimate_key(notes: NoteSequence) -> tuple[int, bool]:
    """Estimate the key of a piece.

    Parameters
    ----------
    notes : NoteSequence, not empty

    Returns
    -------
    tonic : int
        Pitch class 0-11; C is 0.
    is_major : bool
    """
    return key_from_pitch_classes(np.bincount(notes.pitch % 12, weights=notes.duration, minlength=12))


def key_from_pitch_classes(weights: np.ndarray) -> tuple[int, bool]:
    """Estimate the key from durations or counts of the twelve pitch classes; returns as `estimate_key`."""
    profiles, norms = _centred_profiles()
    best = int(np.argmax(profiles @ (weights - weights.mean()) / norms))
    return best % 12, best < 12


def estimate_key_signature(notes: NoteSequence) -> int:
    """Return the number of sharps, or minus the number of flats, of a piece's key signature; from -5 to 6.

    Parameters
    ----------
    notes : NoteSequence, not empty
    """
    quarters = np.minimum(notes.duration / notes.steps_per_quarter, MAX_QUARTERS)
    shares = np.bincount(notes.pitch % 12, weights=quarters, minlength=12)
    shares /= shares.sum()
    fifths = range(FLATTEST, SHARPEST + 1)
    scores = [SIGNATURE_WEIGHTS @ np.roll(shares, -7 * f) - SIGN_COST * abs(f) for f in fifths]
    return fifths[int(np.argmax(scores))]


@cache
def _centred_profiles():
    """Return the profiles of the 24 keys, each minus its mean, shape (24, 12), and their norms."""
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR_PROFILE, MINOR_PROFILE) for tonic in range(12)])
    profiles = profiles - profiles.mean(1, keepdims=True)
    return profiles, np.linalg.norm(profiles, axis=1)


def transpose_to_key(notes: NoteSequence, tonic: str):
    """Transpose a piece to a major key, a minor piece to the relative minor, by at most six semitones.

    Parameters
    ----------
    notes : NoteSequence
    tonic : str
        A name in `TONICS`.

    Returns
    -------
    notes : NoteSequence
    losses : Counter
        `dropped` (see `clara.music.notes.transpose`).
    """
    if not len(notes):
        return transpose(notes, 0)
    estimated, is_major = estimate_key(notes)
    major_tonic = estimated if is_major else estimated + MINOR_THIRD_SEMITONES
    return transpose(notes, (TONICS.index(tonic) - major_tonic + 6) % 12 - 6)


def parse_key(name: str) -> tuple[int, bool]:
    """Parse the name of a key such as C, F# major, Bb minor, Am or a; a small letter alone is a minor key.

    Returns
    -------
    tonic : int
        Pitch class 0-11.
    is_major : bool

    Raises
    ------
    BadSetting
        If it is not the name of a key.

    Examples
    --------
    >>> parse_key("F# major"), parse_key("Am"), parse_key("a")
    ((6, True), (9, False), (9, False))
    """
    match = re.fullmatch(r"([A-Ga-g])([#b]?)\s*(m|maj|major|min|minor|)", name.strip())
    if not match:
        raise BadSetting(f"{name!r} is not a key; write it like C, F# major, Bb minor, Am or a")
    letter, accidental, mode = match.groups()
    tonic = (NATURAL_PITCH_CLASSES[letter.upper()] + ACCIDENTAL_SEMITONES[accidental]) % 12
    return tonic, letter.isupper() if mode == "" else mode in ("maj", "major")


def key_name(key: int) -> str:
    """Return the name of a key, numbered from 0 for C major to 23 for B minor, such as `A minor`."""
    return f"{TONICS[key % 12]} {'major' if key < 12 else 'minor'}"


def parse_pitch(name: str) -> int:
    """Parse the name of a pitch, such as C4 (60) or F#3, or a MIDI number.

    Raises
    ------
    BadSetting
        If it is neither.
    """
    if re.fullmatch(r"\d{1,3}", name) and int(name) < 128:
        return int(name)
    match = re.fullmatch(r"([A-Ga-g])([#b]?)(-?\d)", name.strip())
    if not match:
        raise BadSetting(f"{name!r} is not a pitch; write it like C4 (which is 60), F#3 or 55")
    letter, accidental, octave = match.groups()
    return NATURAL_PITCH_CLASSES[letter.upper()] + ACCIDENTAL_SEMITONES[accidental] + 12 * (int(octave) + 1)


def scale_pitch_classes(tonic: int, is_major: bool) -> frozenset[int]:
    """Return the pitch classes of a major or harmonic minor scale."""
    return frozenset((tonic + degree) % 12 for degree in (MAJOR_SCALE if is_major else MINOR_SCALE))


def triad_pitch_classes(tonic: int, is_major: bool) -> frozenset[int]:
    """Return the pitch classes of the tonic chord of a key."""
    return frozenset((tonic + interval) % 12 for interval in (0, 4 if is_major else 3, 7))
