"""How far a piece's onsets lie from a grid, and whether they follow a beat at all.

Conventions: onsets are ticks before rounding, one per note. An onset is off a grid if it
lies farther than a tenth of a step from the nearest step, and farther than half a tick,
as a file can tell no finer. A grid is laid through the quarters; where more than two
thirds of the onsets stand at one and the same distance after a step, through those, for
some scores begin with a grace note that moves all that follows by a few ticks.

Performed music, recorded beside the beat, lies on no grid better than chance; a score lies
on one of `CANDIDATE_GRIDS`, if not on that of 12 steps.
"""

from dataclasses import dataclass

import numpy as np

from clara.errors import OffGrid
from clara.music.midi import describe_midi
from clara.music.scores import TICKS_PER_QUARTER
from data_prep.sources import read_piece

# Steps per quarter that scores are tried on: sixteenth triplets, 64ths, quintuplets, 32nd triplets, septuplets,
# 128ths, nonuplets, and 64th triplets. Coarser grids are left out: with a tenth of their longer step
# they would take notes 20 ms beside the beat for notes on it.
CANDIDATE_GRIDS = (12, 16, 20, 24, 28, 32, 36, 48)
# Of 3,072 scores compiled to MIDI all misfits are under 0.61, all but six under 0.33. The same scores with the
# tempo of a performance at a fixed 120 quarters per minute (24 to 480 ticks per quarter) have 0.72 to 1. With every
# onset moved at random they pass 0.7 where rounding to 12 steps begins to fail: at a standard deviation of a hundredth
# of a quarter (median 0.46) it is still right, at a fiftieth (0.83) every twentieth onset comes to a wrong step.
PERFORMED_MISFIT = 0.7  # misfit above which onsets follow no beat grid of their own
MIN_ONSETS = 8  # fewer tell nothing
# Share of onsets off 12 steps that keeps the performed out: they have 0.7 to 0.9, and 0.47 where a quarter has but 24
# ticks; of the 3,072 scores, 15 have more.
SUGGESTED_MAX_GRID_ERROR = 0.45


@dataclass(frozen=True)
class GridError:
    """How far onsets lie from one grid.

    Attributes
    ----------
    share : of onsets farther than a tenth of a step from it, 0-1
    mean_steps : mean distance in steps, 0-0.5; 0.25 if there is no relation
    shift_steps : how far after the quarters' grid the piece's own lies, in steps, 0 or between 0 and 1
    """

    share: float
    mean_steps: float
    shift_steps: float


def measure_grid_error(onset_ticks, ticks_per_quarter, steps_per_quarter):
    """Measure onsets against one grid.

    Parameters
    ----------
    onset_ticks : int array, shape (n,), n > 0, in ticks
    ticks_per_quarter, steps_per_quarter : int

    Returns
    -------
    GridError
    """
    after = np.asarray(onset_ticks, dtype=np.int64) * steps_per_quarter % ticks_per_quarter  # (n,), step = tpq
    values, counts = np.unique(after, return_counts=True)
    shift = int(values[counts.argmax()]) if 3 * counts.max() > 2 * len(after) else 0
    distance = _distance(after - shift, ticks_per_quarter)
    off = _is_off(distance, ticks_per_quarter, steps_per_quarter)
    return GridError(float(off.mean()), float(distance.mean() / ticks_per_quarter), shift / ticks_per_quarter)


def _distance(after, ticks_per_quarter):
    """Distance from the nearest step of what lies `after` one, where a step counts ticks_per_quarter."""
    after = after % ticks_per_quarter
    return np.minimum(after, ticks_per_quarter - after)


def _is_off(distance, ticks_per_quarter, steps_per_quarter):
    """Farther than a tenth of a step and than half a tick; in whole numbers, so that limits are exact."""
    return (10 * distance > ticks_per_quarter) & (2 * distance > steps_per_quarter)


def grid_misfit(onset_ticks, ticks_per_quarter):
    """How badly the best-fitting of `CANDIDATE_GRIDS` fits.

    Parameters
    ----------
    onset_ticks : int array, shape (n,), n > 0, in ticks
    ticks_per_quarter : int

    Returns
    -------
    float : the share of onsets off that grid over the share that onsets at random would have. 0 is a
        score, 1 no relation. 0 too where the file's ticks are too coarse or its onsets too few to tell.
    """
    if len(onset_ticks) < MIN_ONSETS:
        return 0.0
    shares = [
        measure_grid_error(onset_ticks, ticks_per_quarter, d).share / chance
        for d in CANDIDATE_GRIDS
        if (chance := _chance(ticks_per_quarter, d)) >= 0.5
    ]  # under that a grid takes nearly any onset
    return min(shares, default=0.0)


def _chance(ticks_per_quarter, steps_per_quarter):
    """The share of all ticks that are off the grid."""
    after = np.arange(ticks_per_quarter) * steps_per_quarter
    return float(_is_off(_distance(after, ticks_per_quarter), ticks_per_quarter, steps_per_quarter).mean())


def read_onsets(piece):
    """A piece's onsets before rounding.

    Parameters
    ----------
    piece : `data_prep.sources.Piece`

    Returns
    -------
    onset_ticks : int64 array, shape (n,), in ticks
    ticks_per_quarter : int; of a score, fine enough for all its tuplets up to tens

    Raises
    ------
    ClaraError
        What its reader raises.
    """
    if piece.is_midi:
        told = describe_midi(piece.path)
        return told.onset_ticks, told.ticks_per_quarter
    return read_piece(piece, steps_per_quarter=TICKS_PER_QUARTER)[0].start, TICKS_PER_QUARTER


def check_grid(piece, steps_per_quarter, max_grid_error):
    """Refuse a piece that a grid does not hold.

    Parameters
    ----------
    piece : `data_prep.sources.Piece`
    steps_per_quarter : of the grid that it would be rounded to
    max_grid_error : share of onsets, 0-1, that may lie off it

    Raises
    ------
    OffGrid
        If more do.
    ClaraError
        What its reader raises.
    """
    check_onsets(piece.path, *read_onsets(piece), steps_per_quarter, max_grid_error)


def check_onsets(name, onset_ticks, ticks_per_quarter, steps_per_quarter, max_grid_error):
    """`check_grid` for onsets already read; `name` is for the message."""
    share = measure_grid_error(onset_ticks, ticks_per_quarter, steps_per_quarter).share
    if share > max_grid_error:
        raise OffGrid(
            f"{name}: {100 * share:.0f} % of onsets lie off the {steps_per_quarter}-step grid "
            f"(at most {100 * max_grid_error:g} % are let in)"
        )
