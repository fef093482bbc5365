"""Measure how far a piece's onsets lie from a grid, and whether they follow a beat at all.

Onsets are ticks before rounding, one per note. An onset is off a grid if it lies farther than
a tenth of a step from the nearest step, and farther than half a tick (a file cannot be more
exact than that). A grid starts at the quarters. If more than two thirds of the onsets stand at
the same distance after a step, the grid starts there instead, because some scores begin with a
grace note that moves everything after it by a few ticks.

Performed music that was recorded without regard to the beat lies on no grid better than
chance. A score lies on one of `CANDIDATE_GRIDS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clara.data.sources import Piece, read_piece
from clara.errors import OffGrid
from clara.music.midi import MIDI_SUFFIXES, describe_midi
from clara.music.scores import TICKS_PER_QUARTER

# Steps per quarter that are tried on scores: sixteenth triplets, 64ths, quintuplets, 32nd triplets, septuplets,
# 128ths, nonuplets and 64th triplets. Coarser grids are left out: a tenth of their longer step
# would accept notes 20 ms beside the beat.
CANDIDATE_GRIDS = (12, 16, 20, 24, 28, 32, 36, 48)
# Misfit above which onsets follow no beat grid. Of 3,072 scores compiled to MIDI all have a misfit under 0.61, all but
# six under 0.33. The same scores with the tempo of a performance at a fixed 120 quarters per minute (24 to 480 ticks
# per quarter) have 0.72 to 1. With every onset moved at random, scores pass 0.7 where rounding to 12 steps begins to
# fail: at a standard deviation of 1/100 quarter (median misfit 0.46) rounding is still right, at 1/50 (0.83) one onset
# in twenty comes to a wrong step.
PERFORMED_MISFIT = 0.7
MIN_ONSETS = 8  # fewer onsets show no relation to a grid
# Share of onsets off 12 steps that keeps performed music out. Performances have 0.7 to 0.9, and 0.47 in files with only
# 24 ticks per quarter; of the 3,072 scores, 15 have more.
SUGGESTED_MAX_GRID_ERROR = 0.45
MIN_CHANCE_SHARE = 0.5  # a grid with a lower share of ticks off it accepts nearly any onset


@dataclass(frozen=True)
class GridError:
    """How far onsets lie from one grid.

    Attributes
    ----------
    share : float
        Share of onsets farther than a tenth of a step from the grid, 0-1.
    mean_steps : float
        Mean distance in steps, 0-0.5; 0.25 if onsets and grid are unrelated.
    shift_steps : float
        Steps by which the piece's own grid lies after the quarters' grid, at least 0 and below 1.
    """

    share: float
    mean_steps: float
    shift_steps: float


def measure_grid_error(onset_ticks: np.ndarray, ticks_per_quarter: int, steps_per_quarter: int) -> GridError:
    """Measure onsets against one grid.

    Parameters
    ----------
    onset_ticks : int array, shape (n,), n > 0
    ticks_per_quarter, steps_per_quarter : int
    """
    # Multiplied by steps_per_quarter, a step is ticks_per_quarter long and all distances are whole numbers.
    after_step = np.asarray(onset_ticks, dtype=np.int64) * steps_per_quarter % ticks_per_quarter  # (n,)
    values, counts = np.unique(after_step, return_counts=True)
    shift = int(values[counts.argmax()]) if 3 * counts.max() > 2 * len(after_step) else 0
    distance = _distance_to_step(after_step - shift, ticks_per_quarter)
    off = _is_off(distance, ticks_per_quarter, steps_per_quarter)
    return GridError(
        share=float(off.mean()),
        mean_steps=float(distance.mean() / ticks_per_quarter),
        shift_steps=shift / ticks_per_quarter,
    )


def _distance_to_step(after_step, step):
    """Return the distance from the nearest step of positions `after_step`, for steps of length `step`."""
    after_step = after_step % step
    return np.minimum(after_step, step - after_step)


def _is_off(distance, ticks_per_quarter, steps_per_quarter):
    """Return which onsets lie farther than a tenth of a step and than half a tick; exact, in whole numbers."""
    return (10 * distance > ticks_per_quarter) & (2 * distance > steps_per_quarter)


def grid_misfit(onset_ticks: np.ndarray, ticks_per_quarter: int) -> float:
    """Return how badly the best-fitting of `CANDIDATE_GRIDS` fits.

    Parameters
    ----------
    onset_ticks : int array, shape (n,), n > 0
    ticks_per_quarter : int

    Returns
    -------
    float
        Share of onsets off that grid divided by the share of random onsets off it: 0 for a
        score, 1 for no relation. Also 0 if the file's ticks are too coarse or its onsets too
        few to decide.
    """
    if len(onset_ticks) < MIN_ONSETS:
        return 0.0
    misfits = []
    for steps_per_quarter in CANDIDATE_GRIDS:
        chance = _chance_share(ticks_per_quarter, steps_per_quarter)
        if chance >= MIN_CHANCE_SHARE:
            misfits.append(measure_grid_error(onset_ticks, ticks_per_quarter, steps_per_quarter).share / chance)
    return min(misfits, default=0.0)


def _chance_share(ticks_per_quarter, steps_per_quarter):
    """Return the share of all ticks that are off the grid."""
    after_step = np.arange(ticks_per_quarter) * steps_per_quarter
    distance = _distance_to_step(after_step, ticks_per_quarter)
    return float(_is_off(distance, ticks_per_quarter, steps_per_quarter).mean())


def read_onsets(piece: Piece) -> tuple[np.ndarray, int]:
    """Read a piece's onsets before rounding.

    Parameters
    ----------
    piece : clara.data.sources.Piece

    Returns
    -------
    onset_ticks : int64 array, shape (n,)
    ticks_per_quarter : int
        For a score, fine enough for all its tuplets up to tens.

    Raises
    ------
    ClaraError
        If the reader cannot read the file.
    """
    if piece.is_midi:
        description = describe_midi(piece.path)
        return description.onset_ticks, description.ticks_per_quarter
    notes, _ = read_piece(piece, steps_per_quarter=TICKS_PER_QUARTER)
    return notes.start, TICKS_PER_QUARTER


def file_misfit(path) -> float:
    """Return the `grid_misfit` of a MIDI file; 0 for any other file, because scores lie on the beat.

    Raises
    ------
    ClaraError
        If the file cannot be read.
    """
    if Path(path).suffix.lower() not in MIDI_SUFFIXES:
        return 0.0
    description = describe_midi(path)
    return grid_misfit(description.onset_ticks, description.ticks_per_quarter)


def describe_performed(misfits: Sequence[float]) -> str:
    """Return a sentence about the pieces that follow no beat grid; empty if there are none.

    Parameters
    ----------
    misfits : sequence of float
        The `grid_misfit` of each piece.
    """
    performed = [misfit for misfit in misfits if misfit > PERFORMED_MISFIT]
    if not performed:
        return ""
    return (
        f"{len(performed):,} of {len(misfits):,} pieces follow no beat grid (misfit {min(performed):.2f} to "
        f"{max(performed):.2f}; 1 is chance, scores are below {PERFORMED_MISFIT:g}): they were performed, and their "
        "onsets are rounded to wrong steps"
    )


def check_grid(piece: Piece, steps_per_quarter: int, max_grid_error: float) -> None:
    """Refuse a piece whose onsets do not fit a grid.

    Parameters
    ----------
    piece : clara.data.sources.Piece
    steps_per_quarter : int
        Grid that the piece would be rounded to.
    max_grid_error : float
        Largest accepted share of onsets off the grid, 0-1.

    Raises
    ------
    OffGrid
        If more onsets lie off the grid.
    ClaraError
        If the reader cannot read the file.
    """
    onset_ticks, ticks_per_quarter = read_onsets(piece)
    check_onsets(piece.path, onset_ticks, ticks_per_quarter, steps_per_quarter, max_grid_error)


def check_onsets(
    path, onset_ticks: np.ndarray, ticks_per_quarter: int, steps_per_quarter: int, max_grid_error: float
) -> None:
    """Do what `check_grid` does, for onsets that were already read; `path` is for the message.

    Raises
    ------
    OffGrid
        If more onsets lie off the grid.
    """
    share = measure_grid_error(onset_ticks, ticks_per_quarter, steps_per_quarter).share
    if share > max_grid_error:
        raise OffGrid(
            f"{path}: {100 * share:.0f} % of onsets lie off the {steps_per_quarter}-step grid "
            f"(at most {100 * max_grid_error:g} % are let in)"
        )
