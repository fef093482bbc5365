"""The key of a piece, and moving it to another.

Krumhansl and Kessler's key profiles (Krumhansl 1990, Cognitive Foundations of Musical
Pitch, p. 30), correlated with how long each pitch class sounds (the Krumhansl-Schmuckler
method, ibid., ch. 4).

Contents: `estimate_key`, `to_key`, `TONICS`.
"""

import numpy as np

from clara.notes import transpose

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
    sounding = np.bincount(notes.pitch % 12, weights=notes.duration, minlength=12)
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    profiles = profiles - profiles.mean(1, keepdims=True)
    closeness = profiles @ (sounding - sounding.mean()) / np.linalg.norm(profiles, axis=1)
    best = int(np.argmax(closeness))
    return best % 12, best < 12


def to_key(notes, tonic):
    """Move a piece to a major key, a minor piece to the relative minor, by the shortest way.

    Parameters
    ----------
    notes : NoteSequence
    tonic : name in `TONICS`

    Returns
    -------
    notes : NoteSequence
    losses : Counter with `dropped` (see `clara.notes.transpose`)
    """
    if not len(notes):
        return transpose(notes, 0)
    found, is_major = estimate_key(notes)
    major = found if is_major else found + MINOR_THIRD
    return transpose(notes, (TONICS.index(tonic) - major + 6) % 12 - 6)
