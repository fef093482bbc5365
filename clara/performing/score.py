"""What a performer knows of a score, and what a performance of it is: arrays for a network."""

from dataclasses import dataclass

import numpy as np

from clara.music.expression import Expression
from clara.music.notes import NoteSequence
from clara.performing.beats import Beats, describe_beats, find_beats
from clara.performing.note_features import describe_notes
from clara.performing.slot_features import SLOTS_PER_QUARTER, describe_slots, slot_places

MAX_LOG_TEMPO = 1.5  # a beat's tempo differs at most by a factor of 4.5 from the median of its piece


@dataclass(frozen=True, eq=False)
class ScoreFeatures:
    """Features of the beats, notes and sixteenths of a score.

    Attributes
    ----------
    beat : float32 array (n_beats, n_beat_features)
    note : float32 array (n_notes, n_note_features)
    slot : float32 array (n_slots, n_slot_features)
    beat_of_note, beat_of_slot : int64 arrays
    beats : Beats
    """

    beat: np.ndarray
    note: np.ndarray
    slot: np.ndarray
    beat_of_note: np.ndarray
    beat_of_slot: np.ndarray
    beats: Beats


@dataclass(frozen=True, eq=False)
class Performance:
    """How the beats, notes and sixteenths of a score are played.

    Attributes
    ----------
    velocity : int64 array (n_notes,)
        1-127.
    log_tempo : float64 array (n_beats,)
        Natural logarithm of the tempo over the median of the piece.
    median_qpm : float
        Median tempo of the beats.
    pedal : bool array (n_slots,)
        Whether the pedal is down where each sixteenth begins.
    lift : bool array (n_slots,)
        Whether the pedal is released in each sixteenth.
    pedal_quarters : float64 array (k, 2)
        Presses and releases in quarters.
    has_tempo_curve : bool
        False if only the velocities were made by a player, or by an editor's dynamic marks.
    """

    velocity: np.ndarray
    log_tempo: np.ndarray
    median_qpm: float
    pedal: np.ndarray
    lift: np.ndarray
    pedal_quarters: np.ndarray
    has_tempo_curve: bool

    @property
    def has_pedal(self) -> bool:
        """Return whether the pedal is used at all."""
        return len(self.pedal_quarters) > 0


def describe_score(notes: NoteSequence) -> ScoreFeatures:
    """Return the features of a score, which must have notes."""
    beats = find_beats(notes)
    return ScoreFeatures(
        describe_beats(notes, beats),
        describe_notes(notes, beats),
        describe_slots(notes, beats),
        beats.find(notes.start / notes.steps_per_quarter),
        beats.find(slot_places(beats)),
        beats,
    )


def measure_performance(expression: Expression, beats: Beats) -> Performance:
    """Return how the beats and sixteenths of a score are played."""
    seconds = np.maximum(np.diff(expression.seconds_at(beats.begin)), 1e-4)
    log_qpm = np.log(60 * np.diff(beats.begin) / seconds)
    median = np.median(log_qpm)
    places = slot_places(beats)
    slot = np.floor(expression.pedal_quarters[:, 1] * SLOTS_PER_QUARTER).astype(np.int64)
    lift = np.zeros(len(places), dtype=bool)
    lift[slot[slot < len(places)]] = True
    return Performance(
        expression.velocity,
        np.clip(log_qpm - median, -MAX_LOG_TEMPO, MAX_LOG_TEMPO),
        float(np.exp(median)),
        expression.pedal_at(places),
        lift,
        expression.pedal_quarters,
        expression.has_tempo_curve,
    )
