"""How a score is played: velocities, a tempo map and the sustain pedal.

Notes stay at their places in the score. Places are in quarters from step 0 of the music, so that an expression fits any
grid.
"""

from dataclasses import dataclass, field

import numpy as np

from clara.music.accents import note_velocities
from clara.music.notes import NoteSequence

LOWEST_QPM, HIGHEST_QPM = 4.0, 1000.0  # a MIDI tempo has 24 bits of microseconds, at least 3.6 quarters per minute
MAX_UNEXPRESSIVE_VELOCITIES = 4  # Clara's accents have three velocities, and a softer accompaniment one more
MIN_TEMPO_CHANGES, QUARTERS_PER_TEMPO = 4, 4  # scores have fewer changes, and farther apart


@dataclass(frozen=True, eq=False)
class Expression:
    """Velocities, tempo and pedal of a piece.

    Attributes
    ----------
    velocity : int64 array (n,)
        Of each note, 1-127.
    tempo_quarters : float64 array (m,)
        Where each tempo begins, ascending; the first is 0.
    tempo_qpm : float64 array (m,)
        Tempos in quarter notes per minute.
    pedal_quarters : float64 array (k, 2)
        Where the sustain pedal is pressed and released, ascending; no two overlap.
    delay_seconds : float64 array (n,), optional
        How much later than at its place each note sounds, at least 0.

    Raises
    ------
    ValueError
        If a value is out of range, or places do not ascend.

    Examples
    --------
    >>> expression = Expression([64, 70], [0.0, 1.0], [60.0, 120.0])
    >>> expression.seconds_at([0.0, 1.0, 2.0]).tolist()
    [0.0, 1.0, 1.5]
    """

    velocity: np.ndarray
    tempo_quarters: np.ndarray
    tempo_qpm: np.ndarray
    pedal_quarters: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    delay_seconds: np.ndarray | None = None

    def __post_init__(self):
        object.__setattr__(self, "velocity", np.asarray(self.velocity, dtype=np.int64))
        for name in ("tempo_quarters", "tempo_qpm", "pedal_quarters"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if self.delay_seconds is not None:
            object.__setattr__(self, "delay_seconds", np.asarray(self.delay_seconds, dtype=np.float64))
        violation = _find_violation(self)
        if violation:
            raise ValueError(violation)

    def seconds_at(self, quarters) -> np.ndarray:
        """Return when places are reached, in seconds from step 0; float64 array as `quarters`."""
        quarters = np.asarray(quarters, dtype=np.float64)
        seconds_per_quarter = 60 / self.tempo_qpm
        elapsed = np.concatenate([[0.0], np.cumsum(np.diff(self.tempo_quarters) * seconds_per_quarter[:-1])])
        latest = np.maximum(np.searchsorted(self.tempo_quarters, quarters, side="right") - 1, 0)
        return elapsed[latest] + (quarters - self.tempo_quarters[latest]) * seconds_per_quarter[latest]

    def pedal_at(self, quarters) -> np.ndarray:
        """Return whether the pedal is down at places, bool array as `quarters`."""
        quarters = np.asarray(quarters, dtype=np.float64)
        presses, releases = self.pedal_quarters.T
        return np.searchsorted(presses, quarters, side="right") > np.searchsorted(releases, quarters, side="right")

    @property
    def is_flat(self) -> bool:
        """Return whether no player is heard: few velocities, at most one tempo in four quarters, and no pedal."""
        few_velocities = len(np.unique(self.velocity)) <= MAX_UNEXPRESSIVE_VELOCITIES
        return few_velocities and not self.has_tempo_curve and not len(self.pedal_quarters)

    @property
    def has_tempo_curve(self) -> bool:
        """Return whether tempos change as a player's do: more than four of them, one in four quarters at least."""
        n_changes = len(self.tempo_quarters) - 1
        return n_changes >= MIN_TEMPO_CHANGES and bool(self.tempo_quarters[-1] < n_changes * QUARTERS_PER_TEMPO)


def _find_violation(expression):
    """Return a description of what is wrong with an expression, or None."""
    velocity, quarters, qpm = expression.velocity, expression.tempo_quarters, expression.tempo_qpm
    pedal = expression.pedal_quarters
    if velocity.ndim != 1 or (len(velocity) and not (velocity.min() >= 1 and velocity.max() <= 127)):
        return "velocities must be a flat array of numbers from 1 to 127"
    if quarters.ndim != 1 or quarters.shape != qpm.shape or not len(quarters) or quarters[0] != 0:
        return "tempo_quarters and tempo_qpm must be flat and equally long, and begin at 0"
    if not (np.diff(quarters) > 0).all():
        return "tempo_quarters must ascend"
    if not (np.isfinite(qpm).all() and (qpm > 0).all()):
        return "tempos must be above 0"
    if pedal.ndim != 2 or pedal.shape[1] != 2 or not (np.diff(pedal.ravel()) >= 0).all():
        return "pedal_quarters must hold presses and releases in ascending order"
    delay = expression.delay_seconds
    if delay is not None and not (delay.shape == velocity.shape and (delay >= 0).all() and np.isfinite(delay).all()):
        return "delay_seconds must hold a number of at least 0 for each note"
    return None


def unperformed(notes: NoteSequence, flat: bool = False) -> Expression:
    """Return how notes are played without a performer: at one tempo, with accents on the beats or none.

    Parameters
    ----------
    notes : NoteSequence
    flat : bool
        Give all notes the same velocity, see `clara.music.accents.note_velocities`.
    """
    return Expression(note_velocities(notes, flat), np.zeros(1), np.array([notes.qpm]))


def sounding_ends(notes: NoteSequence, expression: Expression) -> np.ndarray:
    """Return where notes stop sounding in quarters, float64 (n,): the pedal lengthens those of the piano."""
    end = notes.end / notes.steps_per_quarter
    presses, releases = expression.pedal_quarters.T
    if not len(presses):
        return end
    is_piano = np.array([instrument == "p" for instrument in notes.instruments])
    under = np.searchsorted(presses, end, side="left") - 1
    lengthened = np.where(under >= 0, np.maximum(end, releases[under]), end)
    return np.where(is_piano[np.minimum(notes.part, len(is_piano) - 1)], lengthened, end)
