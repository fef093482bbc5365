"""Key signatures: which hold where in a piece, and what transposing and cropping do to them.

In a `NoteSequence`, `key_signatures` is a tuple of (step, fifths), ascending: from that step on, the key signature has
so many sharps, or minus so many flats. The first entry is at step 0. The tuple is empty if nobody has named a key.
"""

MAX_FIFTHS = 7
FLATTEST, SHARPEST = -5, 6  # of the twelve key signatures that are estimated, and of transposed ones
MINOR_FIFTHS = 3  # from a major tonic's signature back to that of the minor key on the same tonic


def signature_of_key(tonic: int, is_major: bool) -> int:
    """Return the number of sharps, or minus the number of flats, of a key; from -5 to 6.

    Parameters
    ----------
    tonic : int
        Pitch class 0-11.
    is_major : bool

    Examples
    --------
    >>> signature_of_key(8, True), signature_of_key(4, False)
    (-4, 1)
    """
    return _fewest_signs(7 * tonic - (0 if is_major else MINOR_FIFTHS))


def transpose_signature(fifths: int, semitones: int) -> int:
    """Return a key signature after a transposition.

    Examples
    --------
    >>> transpose_signature(-4, 1), transpose_signature(-6, 12)
    (3, -6)
    """
    return fifths if semitones % 12 == 0 else _fewest_signs(fifths + 7 * semitones)


def _fewest_signs(fifths):
    """Return the signature from -5 to 6 that sounds like a place on the line of fifths."""
    return (fifths - FLATTEST) % 12 + FLATTEST


def collect_key_signatures(changes) -> tuple:
    """Return the key signatures of a piece from the changes that a file names.

    The first signature holds from step 0, wherever it stands. Impossible ones are left out, and so are changes to the
    signature that already holds.

    Parameters
    ----------
    changes : iterable of (step, fifths)
        In ascending order of steps; of changes in one step the last counts.

    Returns
    -------
    tuple of (step, fifths)

    Examples
    --------
    >>> collect_key_signatures([(6, -4), (6, -3), (96, -3), (192, 0)])
    ((0, -3), (192, 0))
    """
    signature_at = {}
    for step, fifths in changes:
        if abs(fifths) <= MAX_FIFTHS:
            signature_at[step] = fifths
    kept = []
    for step, fifths in sorted(signature_at.items()):
        if not kept or kept[-1][1] != fifths:
            kept.append((step if kept else 0, fifths))
    return tuple(kept)


def transpose_key_signatures(key_signatures: tuple, semitones: int) -> tuple:
    """Return the key signatures of a transposed piece."""
    return tuple((step, transpose_signature(fifths, semitones)) for step, fifths in key_signatures)


def crop_key_signatures(key_signatures: tuple, start_step: int, stop_step: int) -> tuple:
    """Return the key signatures between two steps; the one that holds at the first stands at step 0."""
    return collect_key_signatures(
        (max(step - start_step, 0), fifths) for step, fifths in key_signatures if step < max(stop_step, 1)
    )
