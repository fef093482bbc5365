"""Estimate the time signature of music that names none, and where its first bar begins.

Each candidate is a time signature with a place for the first barline. A linear model rates it by

- accents on barlines and on the other beats: many notes, long notes, low notes, and a change of harmony;
- how similar the music is to itself after a beat, a bar and two bars;
- the signature, and whether the first bar is a full one.

The best candidate of the most probable division (duple, triple or compound) wins. Everything is counted in eighth
notes, so shorter bars or upbeats are not found: 3/8 is read as 6/8, and 2/2 as 4/4. In chorales, which move in equal
chords, most upbeats are missed. `benchmarks/time_signatures.py` fits the weights and measures how often the estimate is
right.
"""

from dataclasses import replace

import numpy as np

from clara.music.notes import COMMON_TIME, NoteSequence

CANDIDATES = ((2, 4), (3, 4), (4, 4), (6, 8))
BAR_EIGHTHS = (4, 6, 8, 6)
BEAT_EIGHTHS = (2, 2, 2, 3)
DIVISIONS = (0, 1, 0, 2)  # duple, triple, compound
MIN_PROBABILITY = 0.5  # of a division; music in which none is as probable is read in common time
MIN_QUARTERS = 16  # less music shows no time signature
MAX_QUARTERS = 256  # what comes later is not looked at
HARMONY_EIGHTHS = 3  # the harmony before and after a place is compared over so many eighths
MAX_DURATION_QUARTERS = 4  # longer notes are no stronger accents
MIN_COMPARED_EIGHTHS = 4
N_PITCHES = 128
WEIGHTS = np.array(
    [
        *(0.07, 0.58, 0.61, 1.67),  # accents on barlines: notes, longest note, depth, change of harmony
        *(-0.45, 0.57, -0.40, -0.40),  # accents on other beats
        *(-1.09, 2.29, 3.05, -0.67),  # similarity after a bar: of the first three accents, of pitches
        *(0.78, 2.75, 2.02, 1.90),  # similarity after a beat
        *(0.43, 2.68, 1.75, 1.12),  # similarity after two bars
        *(-0.35, -0.24, 0.23, 0.23),  # signatures
        3.77,  # the first bar is full
    ]
)


def with_estimated_time_signature(notes: NoteSequence, known: tuple[int, int] | None = None) -> NoteSequence:
    """Return notes with an estimated time signature in place of their own; see `estimate_time_signature`."""
    return replace(notes, time_signatures=estimate_time_signature(notes, known))


def estimate_time_signature(notes: NoteSequence, known: tuple[int, int] | None = None) -> tuple:
    """Estimate the time signature of a piece.

    Parameters
    ----------
    notes : NoteSequence
    known : (numerator, denominator), optional
        The time signature, of which only the place of the barlines is to be found.

    Returns
    -------
    tuple of (step, numerator, denominator)
        One signature, as of a `NoteSequence`: the step is below 0 if the piece begins inside a bar. Common time, or the
        known one with a full first bar, if the piece is shorter than `MIN_QUARTERS`, or the grid has no eighth notes.
    """
    default = COMMON_TIME if known is None else ((0, *known),)
    if notes.steps_per_quarter % 2 or notes.quarters < MIN_QUARTERS or (known and known not in CANDIDATES):
        return default
    candidates, features = candidate_features(notes)
    scores = features @ WEIGHTS
    probabilities = np.exp(scores - scores.max())
    probabilities /= probabilities.sum()
    signature_of = np.array([signature for signature, _ in candidates])
    if known:
        is_possible = signature_of == CANDIDATES.index(known)
    else:
        division = np.array(DIVISIONS)[signature_of]
        of_division = np.bincount(division, probabilities)
        if of_division.max() < MIN_PROBABILITY:
            return default
        is_possible = division == of_division.argmax()
    signature, barline = candidates[int(np.where(is_possible, probabilities, 0).argmax())]
    numerator, denominator = CANDIDATES[signature]
    eighths_before_music = (BAR_EIGHTHS[signature] - barline) % BAR_EIGHTHS[signature]
    return ((-eighths_before_music * notes.steps_per_quarter // 2, numerator, denominator),)


def candidate_features(notes: NoteSequence) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Return the candidates of a piece and what the linear model sees of each.

    Parameters
    ----------
    notes : NoteSequence, not empty
        On a grid with an even number of steps per quarter.

    Returns
    -------
    candidates : list of (int, int)
        Index in `CANDIDATES`, and the eighth note at which the first full bar begins.
    features : float64 array (n_candidates, 25)
        Four accents on barlines, four on other beats, four similarities after a bar, a beat and two bars, the
        signature as four indicators, and 1 if the first bar is full.
    """
    accents, pitches = _accents(notes)
    lags = sorted({lag for bar, beat in zip(BAR_EIGHTHS, BEAT_EIGHTHS) for lag in (bar, beat, 2 * bar)})
    similarity = {lag: _similarity(accents, pitches, lag) for lag in lags}
    candidates, rows = [], []
    for signature, (bar, beat) in enumerate(zip(BAR_EIGHTHS, BEAT_EIGHTHS)):
        indicators = np.eye(len(CANDIDATES))[signature]
        profile = np.stack([accents[:, place::bar].mean(1) for place in range(bar)], axis=1)
        for barline in range(bar):
            on_barline, *on_beats = np.roll(profile, -barline, axis=1)[:, ::beat].T
            candidates.append((signature, barline))
            rows.append(
                np.concatenate(
                    [
                        on_barline,
                        np.mean(on_beats, axis=0),
                        similarity[bar],
                        similarity[beat],
                        similarity[2 * bar],
                        indicators,
                        [barline == 0],
                    ]
                )
            )
    return candidates, np.array(rows)


def _accents(notes):
    """Return how strong each eighth note is, and which pitches begin there.

    Returns
    -------
    accents : float64 array (4, n_eighths)
        Notes, longest note, depth of the lowest note, change of harmony; each with mean 0 and deviation 1.
    pitches : bool array (n_eighths, 128)
    """
    step = notes.steps_per_quarter // 2
    n = min(-(-notes.n_steps // step), 2 * MAX_QUARTERS)
    on_eighth = (notes.start % step == 0) & (notes.start < n * step)
    eighth, pitch = notes.start[on_eighth] // step, notes.pitch[on_eighth]
    quarters = np.minimum(notes.duration[on_eighth] / notes.steps_per_quarter, MAX_DURATION_QUARTERS)
    longest = np.zeros(n)
    np.maximum.at(longest, eighth, quarters)
    depth = np.zeros(n)
    np.maximum.at(depth, eighth, (notes.pitch.mean() - pitch) / 12)
    pitches = np.zeros((n, N_PITCHES), dtype=bool)
    pitches[eighth, pitch] = True
    accents = np.stack([np.log1p(pitches.sum(1)), np.log1p(longest), depth, _harmony_changes(notes, n, step)])
    deviation = accents.std(1, keepdims=True)
    return (accents - accents.mean(1, keepdims=True)) / np.where(deviation > 0, deviation, 1), pitches


def _harmony_changes(notes, n, step):
    """Return how different the pitch classes before and after each eighth note are, float64 (n,), from 0 to 1."""
    sounding = np.zeros((n, 12))  # notes of each pitch class in each eighth
    for later in range(2 * MAX_DURATION_QUARTERS):
        eighth = notes.start // step + later
        sounds = (notes.duration > later * step) & (eighth < n)
        np.add.at(sounding, (eighth[sounds], notes.pitch[sounds] % 12), 1)
    total = np.concatenate([np.zeros((1, 12)), sounding.cumsum(0)])
    place = np.arange(n)
    before = total[place] - total[np.maximum(place - HARMONY_EIGHTHS, 0)]
    after = total[np.minimum(place + HARMONY_EIGHTHS, n)] - total[place]
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine = (before * after).sum(1) / np.where(norms > 0, norms, 1)
    return np.where(norms > 0, 1 - cosine, 0)


def _similarity(accents, pitches, lag):
    """Return how similar music is to itself some eighth notes later: three correlations and a mean Jaccard index."""
    n_compared = len(pitches) - lag
    if n_compared < MIN_COMPARED_EIGHTHS:
        return np.zeros(4)
    correlations = [_correlation(accent[:-lag], accent[lag:]) for accent in accents[:3]]
    either = (pitches[:-lag] | pitches[lag:]).sum(1)
    both = (pitches[:-lag] & pitches[lag:]).sum(1)
    jaccard = (both[either > 0] / either[either > 0]).mean() if either.any() else 0.0
    return np.array([*correlations, jaccard])


def _correlation(x, y):
    """Return the correlation of two arrays, 0 if one is constant."""
    deviation = x.std() * y.std()
    return ((x - x.mean()) * (y - y.mean())).mean() / deviation if deviation > 0 else 0.0
