"""Names of notes.

A name is a place on the line of fifths: C is 0, G 1, F -1, F sharp 6, B flat -2.

Each note is named by the music around it, as in the algorithm ps13 (Meredith 2006, The ps13 pitch spelling algorithm,
Journal of New Music Research 35(2)): each pitch class nearby is taken for the tonic, and votes for the note's name in
its chromatic scale, from the minor second to the augmented fourth, with as many votes as it has notes.
"""

import numpy as np

from clara.music.notes import NoteSequence

LETTERS = "FCGDAEB"  # on the line of fifths, from F
NOTES_BEFORE, NOTES_AFTER = 10, 42  # that vote for a note's name
FLATTEST_DEGREE = -5  # from a tonic on the line of fifths: the minor second
FLATTEST_TONIC = -4  # from the key signature
LOWEST_NAME, HIGHEST_NAME = -15, 19  # F double flat to B double sharp


def spell_by_key(pitch: np.ndarray, fifths: int, flattest: int = FLATTEST_TONIC) -> np.ndarray:
    """Return the place of each note's name on the line of fifths, by the key signature alone.

    Parameters
    ----------
    pitch : int array (n,)
    fifths : int
        Sharps of the key signature, or minus its flats.
    flattest : int
        The flattest of the twelve names, counted from the key signature.
    """
    lowest = fifths + flattest
    return lowest + (7 * np.asarray(pitch) - lowest) % 12


def spell(notes: NoteSequence, key_signatures: tuple) -> np.ndarray:
    """Return the place of each note's name on the line of fifths, int64 (n,).

    Parameters
    ----------
    notes : NoteSequence, not empty
    key_signatures : tuple of (step, fifths)
        The first at step 0.
    """
    signature = np.searchsorted([step for step, _ in key_signatures], notes.start, "right") - 1
    places = np.zeros(len(notes), dtype=np.int64)
    for index, (_, fifths) in enumerate(key_signatures):
        places = np.where(signature == index, _spell_in_key(notes, fifths), places)
    return places


def _spell_in_key(notes, fifths):
    """Return the place of each note's name on the line of fifths under one key signature."""
    n = len(notes)
    pitch_class = notes.pitch % 12
    counts = np.zeros((n + 1, 12))
    counts[np.arange(1, n + 1), pitch_class] = 1
    counts = counts.cumsum(0)
    place = np.arange(n)
    nearby = counts[np.minimum(place + NOTES_AFTER, n)] - counts[np.maximum(place - NOTES_BEFORE, 0)]
    tonics = spell_by_key(np.arange(12), fifths)
    votes = np.zeros((n, HIGHEST_NAME - LOWEST_NAME + 1))
    for tonic_class, tonic in enumerate(tonics.tolist()):
        names = _enharmonic_within_limits(spell_by_key(pitch_class, tonic, FLATTEST_DEGREE))
        votes[place, names - LOWEST_NAME] += nearby[:, tonic_class]
    return votes.argmax(1) + LOWEST_NAME


def _enharmonic_within_limits(names):
    """Return names without triple sharps and flats, which keys of many signs would give."""
    return np.where(names > HIGHEST_NAME, names - 12, np.where(names < LOWEST_NAME, names + 12, names))


def name_of(fifth: int, pitch: int) -> tuple[str, int, int]:
    """Return the letter, the alteration in semitones and the octave of a pitch with a name on the line of fifths.

    Examples
    --------
    >>> name_of(-2, 70), name_of(7, 61)
    (('B', -1, 4), ('C', 1, 4))
    """
    alter, letter = divmod(fifth + 1, 7)
    return LETTERS[letter], alter, (pitch - alter) // 12 - 1


def signature_alterations(fifths: int) -> dict[str, int]:
    """Return the alteration of each letter under a key signature.

    Examples
    --------
    >>> signature_alterations(-1)
    {'F': 0, 'C': 0, 'G': 0, 'D': 0, 'A': 0, 'E': 0, 'B': -1}
    """
    return {letter: (fifths + 6 - index) // 7 for index, letter in enumerate(LETTERS)}
