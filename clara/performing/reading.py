"""Read a folder of performed MIDI files to train a performer on."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clara.data.musical_works import FINGERPRINT_GRID, compute_lines, group_works
from clara.data.onset_grid import PERFORMED_MISFIT, grid_misfit
from clara.data.sources import find_pieces
from clara.data.splits import SPLITS, SplitSettings, assign_splits
from clara.errors import ClaraError, NoData
from clara.music.midi import describe_midi, read_midi
from clara.music.performed_midi import read_performed_midi
from clara.performing.passages import PerformedPiece

SPLIT = SplitSettings(valid_share=0.1)
HELD_OUT_MARKS = "held out, with dynamic marks only"
NO_MIDI, FLAT, OFF_GRID, UNLISTED = "scores, not MIDI", "played flat", "follow no beat grid", "in no split"


@dataclass
class PerformedPieces:
    """Performed pieces by split, and what was left out.

    Attributes
    ----------
    train, valid, test : lists of PerformedPiece
    left_out : Counter
        Number of files by reason.
    """

    train: list[PerformedPiece] = field(default_factory=list)
    valid: list[PerformedPiece] = field(default_factory=list)
    test: list[PerformedPiece] = field(default_factory=list)
    left_out: Counter = field(default_factory=Counter)


def read_performances(
    folder: str | Path, splits: Mapping[str, str] | None = None, log: Callable[[str], None] = print
) -> PerformedPieces:
    """Read the performed MIDI files in a folder, at any depth.

    A file must hold tempo changes, and its notes must lie on a beat grid: timing is learned from tempo changes. A file
    with several velocities but hardly any tempo change is a score with dynamic marks; it is trained on, but nothing is
    measured with it. Other files are counted and left out.

    Parameters
    ----------
    folder : str or Path
    splits : mapping of str to str, optional
        Split of each path below the folder, such as `bach/minuet.mid` to `train`; files without one are left out
        (default: by the fingerprint of the work, so that editions of one work stay together).
    log : function(str)
        Gets a line about each file that cannot be read.

    Raises
    ------
    NoData
        If no file is left to train on or to validate with.
    """
    pieces: list[PerformedPiece] = []
    assigned: list[str] = []
    lines = []
    result = PerformedPieces()
    for source in find_pieces([str(folder)]):
        name = source.path.relative_to(folder).as_posix()
        split = splits.get(name) if splits is not None else "train"
        reason = UNLISTED if split not in SPLITS else _reason_to_leave_out(source)
        if reason is None:
            try:
                notes, expression = read_performed_midi(source.path)
                reason = FLAT if expression.is_flat else None
                if reason is None:
                    pieces.append(PerformedPiece.from_expression(name, notes, expression))
                    assigned.append(str(split))
                    if splits is None:
                        lines.append(_lines(source.path))
            except ClaraError as e:
                reason = type(e).__name__
                log(str(e))
        if reason is not None:
            result.left_out[reason] += 1
    is_marked = [not piece.performance.has_tempo_curve for piece in pieces]
    if splits is None and pieces:
        assigned = assign_splits(lines, group_works(lines), SPLIT)
    for piece, split, marked in zip(pieces, assigned, is_marked):
        if marked and split != "train":
            result.left_out[HELD_OUT_MARKS] += 1
            continue
        getattr(result, split).append(piece)
    if not result.train or not result.valid:
        reasons = ", ".join(f"{n} {reason}" for reason, n in result.left_out.items()) or "none left out"
        raise NoData(
            f"{folder}: {len(result.train)} performed pieces to train on and {len(result.valid)} to validate with; "
            f"files left out: {reasons}. A performer learns from MIDI files with velocities and tempo changes"
        )
    return result


def _reason_to_leave_out(source):
    """Return why a file is no performed MIDI on a beat grid, or None."""
    if not source.is_midi:
        return NO_MIDI
    try:
        description = describe_midi(source.path)
    except ClaraError:
        return None  # reading it says why
    misfit = grid_misfit(description.onset_ticks, description.ticks_per_quarter)
    return OFF_GRID if misfit > PERFORMED_MISFIT else None


def _lines(path):
    """Return the lines by which a file is known as an edition of a work."""
    return compute_lines(read_midi(path, steps_per_quarter=FINGERPRINT_GRID)[0], describe_midi(path))
