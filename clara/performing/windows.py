"""What stands around each beat, note and sixteenth of a score: columns for models that read one row at a time.

A row has the features of a beat and of its neighbours, and their means over windows and over the whole piece. It also
says how far the beat departs from the rest of the piece. Velocities are learned relative to a piece, so what is unusual
in it says more than what is unusual in music.
"""

import numpy as np

from clara.performing.beats import BEAT_FEATURES, moving_sum
from clara.performing.note_features import NOTE_FEATURES
from clara.performing.score import ScoreFeatures

MEAN_BEATS = (4, 16)  # before and after a beat, over which means are taken
MIN_SPREAD = 0.05  # of a feature in a piece; smaller ones count as this large
# Beat features that say where in the metre or the piece a beat is; it cannot be unusual in them.
PLACES = {
    "downbeat",
    "place_in_bar",
    "beats_in_bar",
    "beat_quarters",
    "beat_seconds",
    "tempo",
    "progress",
    "bars_from_start",
    "bars_to_end",
    "last_beats",
    "phrase_start",
}
COMPARED_BEAT = [i for i, name in enumerate(BEAT_FEATURES) if name not in PLACES]
COMPARED_NOTE = [
    NOTE_FEATURES.index(name)
    for name in (
        "chord_size",
        "articulation",
        "length",
        "n_sounding",
        "pitch",
        "since_same_pitch",
        "pitch_class_share",
        "pitch_class_local_share",
        "gap_after",
        "ends_at_next_onset",
        "below_highest",
        "above_lowest",
        "place_in_beat",
        "is_top",
    )
]


def beat_windows(score: ScoreFeatures) -> np.ndarray:
    """Return the columns of each beat, float32 array (n_beats, n).

    They are its features, those of the beats before and after it, their means over windows, the means of what is
    compared over the piece, and how far the beat departs from these.
    """
    beat, n = score.beat.astype(np.float64), len(score.beat)
    ones = np.ones((n, 1))
    columns = [beat, np.concatenate([beat[:1], beat[:-1]]), np.concatenate([beat[1:], beat[-1:]])]
    columns += [moving_sum(beat, width, width) / moving_sum(ones, width, width) for width in MEAN_BEATS]
    compared = np.concatenate([beat[:, COMPARED_BEAT], _mean_of_beats(score)], axis=1)
    columns += [np.broadcast_to(compared.mean(0), compared.shape), compare_to_piece(compared)]
    return np.concatenate(columns, axis=1).astype(np.float32)


def note_columns(score: ScoreFeatures, windows: np.ndarray, which: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Return the columns of some notes, float32 array (n, m): their own, and those of their beats."""
    return _columns(score.note, score.beat_of_note, windows, which)


def slot_columns(score: ScoreFeatures, windows: np.ndarray, which: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Return the columns of some sixteenths, float32 array (n, m): their own, and those of their beats."""
    return _columns(score.slot, score.beat_of_slot, windows, which)


def compare_to_piece(values: np.ndarray) -> np.ndarray:
    """Return how many standard deviations each row departs from the mean of its piece, float array (n, m)."""
    return (values - values.mean(0)) / np.maximum(values.std(0), MIN_SPREAD)


def _columns(features, beat_of, windows, which):
    """Return features of rows, how far they depart from those of the piece, and the columns of their beats."""
    return np.concatenate([features[which], compare_to_piece(features)[which], windows[beat_of[which]]], axis=1)


def _mean_of_beats(score):
    """Return the means of note features in each beat, float64 array (n_beats, n); 0 in a beat without notes."""
    n = len(score.beat)
    n_notes = np.maximum(np.bincount(score.beat_of_note, minlength=n), 1)
    totals = [np.bincount(score.beat_of_note, score.note[:, i], minlength=n) for i in COMPARED_NOTE]
    return np.stack(totals, axis=1) / n_notes[:, None]
