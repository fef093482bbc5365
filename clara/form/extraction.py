"""Read the plan of a piece from its notes: deterministic, thousands of bars a second."""

import numpy as np

from clara.form.bars import Bars, classify_bars, split_into_bars
from clara.form.harmony import best_triads, local_keys
from clara.form.phrases import phrase_starts
from clara.form.plan import MAX_DENSITY, MAX_TEXTURE, UNKNOWN, Plan
from clara.music.notes import NoteSequence

DENSITY_LIMITS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)  # notes a quarter; the density counts those reached
TEXTURE_LIMITS = (1.25, 1.75, 2.25, 3.0, 4.0)  # notes that begin together, on average

assert len(DENSITY_LIMITS) == MAX_DENSITY and len(TEXTURE_LIMITS) == MAX_TEXTURE


def extract_plan(notes: NoteSequence) -> Plan:
    """Return the plan of a piece, by its own time signatures.

    Parameters
    ----------
    notes : NoteSequence, not empty

    Returns
    -------
    Plan
        With every attribute known, except those of bars without notes.
    """
    bars = split_into_bars(notes)
    n = len(bars)
    classes = classify_bars(bars)
    keys, home = local_keys(notes, bars.begin)
    starts_phrase = np.zeros(n, dtype=np.int64)
    starts_phrase[int(bars.bar[0])] = 1
    starts_phrase[phrase_starts(notes, bars)] = 1
    signature = _signature_of_bars(notes, bars.begin)
    return Plan(
        begin=bars.begin,
        numerator=signature[:, 0],
        denominator=signature[:, 1],
        relation=classes.kind,
        source=classes.source,
        shift=classes.shift,
        key=keys,
        chord=best_triads(notes, bars.begin),
        phrase=starts_phrase,
        home=home,
        steps_per_quarter=notes.steps_per_quarter,
        **_describe_bars(bars, notes.steps_per_quarter),
    )


def _describe_bars(bars: Bars, steps_per_quarter: int) -> dict[str, np.ndarray]:
    """Return density, register and texture of each bar."""
    n = len(bars)
    n_notes = np.bincount(bars.bar, minlength=n)
    is_silent = n_notes == 0
    onset_bars = np.unique(np.stack([bars.bar, bars.onset]), axis=1)[0]
    n_onsets = np.bincount(onset_bars, minlength=n)
    quarters = np.diff(bars.begin) / steps_per_quarter
    mean_pitch = np.bincount(bars.bar, bars.pitch, minlength=n) / np.maximum(n_notes, 1)
    texture = np.searchsorted(TEXTURE_LIMITS, n_notes / np.maximum(n_onsets, 1), "right")
    return {
        "density": np.searchsorted(DENSITY_LIMITS, n_notes / quarters, "right"),
        "register": np.where(is_silent, UNKNOWN, np.floor(mean_pitch + 0.5)).astype(np.int64),
        "texture": np.where(is_silent, UNKNOWN, texture),
    }


def _signature_of_bars(notes, begin):
    """Return numerator and denominator of each bar, int64 (n_bars, 2)."""
    steps = np.array([step for step, _, _ in notes.time_signatures])
    of_bar = np.searchsorted(steps, begin[:-1], "right") - 1
    return np.array([signature[1:] for signature in notes.time_signatures], dtype=np.int64)[np.maximum(of_bar, 0)]
