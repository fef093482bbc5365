"""Measure one piece of a collection before it is encoded.

Notes are read on the grid of `GRID` steps per quarter; distances from grids are measured before
rounding (see `clara.data.onset_grid`). Polyphony is the mean number of notes that sound while
anything sounds. A share is 0-1.
"""

import hashlib
from collections import Counter

import numpy as np

from clara.data.musical_works import FINGERPRINT_GRID, compute_lines
from clara.data.onset_grid import PERFORMED_MISFIT, check_onsets, grid_misfit, measure_grid_error
from clara.data.sources import Piece, read_piece
from clara.encodings.base import RANGES
from clara.errors import ClaraError
from clara.music.bars import bar_lines
from clara.music.midi import describe_midi
from clara.music.notes import COMMON_TIME, build_notes, quantize
from clara.music.scores import TICKS_PER_QUARTER
from clara.rendering.form_strip import FormStrip

GRID = FINGERPRINT_GRID
COMPARED_GRIDS = (4, 12, 24)  # steps per quarter
N_POSITIONS = 120  # bins of a quarter for onsets; thirds, quarters, fifths and eighths fall on bin edges
LOSSES = ("cut", "merged", "unended", "drums", "grace", "cue", "microtones", "unread", "lost")


def measure_piece(piece: Piece, steps_per_quarter: int = GRID, max_grid_error: float | None = None) -> dict:
    """Read one piece and measure it.

    Parameters
    ----------
    piece : clara.data.sources.Piece
    steps_per_quarter, max_grid_error
        Refuse the piece if a larger share of its onsets lies off this grid (default: accept all).

    Returns
    -------
    dict
        The columns of `data_prep.collection_summary` except `work` and `same_file_as`; and
        `fingerprint`, `notes_per_key` (int array (128,), by MIDI number), `onset_positions`
        (int array (N_POSITIONS,), onsets by position in the quarter) and `form_strip` (FormStrip or
        None). A piece that cannot be read has only its names and the reason.
    """
    row = {"piece": piece.name, "composer": piece.composer, "source": str(piece.path), "reason": ""}
    try:
        notes, losses, file_columns, onsets, ticks_per_quarter = _read_with_onsets(piece)
        row["hash"] = hashlib.sha256(piece.path.read_bytes()).hexdigest()
        row |= _measure_notes(notes) | file_columns | {name: losses[name] for name in LOSSES}
        row |= _measure_onsets(onsets, ticks_per_quarter)
        if max_grid_error is not None:
            check_onsets(piece.path, onsets, ticks_per_quarter, steps_per_quarter, max_grid_error)
    except (ClaraError, OSError) as error:
        row["reason"] = f"{type(error).__name__}: {error}"
    return row


def _read_with_onsets(piece):
    """Return notes on `GRID`, losses, columns about the file, onsets in ticks, and ticks per quarter."""
    if piece.is_midi:
        notes, losses = read_piece(piece, steps_per_quarter=GRID)
        description = describe_midi(piece.path)
        names = [name.strip() or f"program {program}" for name, program in description.tracks]
        columns = {
            "tracks": len(names),
            "instruments": "; ".join(names),
            "has_time_signature": description.has_time_signature,
            "fingerprint": compute_lines(notes, description),
        }
        return notes, losses, columns, description.onset_ticks, description.ticks_per_quarter
    exact, losses = read_piece(piece, steps_per_quarter=TICKS_PER_QUARTER)  # music21 is slow: read once for both
    notes, grid_losses = _regrid(exact)
    columns = {
        "tracks": 1,
        "instruments": "",
        "has_time_signature": notes.time_signatures != COMMON_TIME,
        "fingerprint": compute_lines(notes),
    }
    return notes, losses + grid_losses, columns, exact.start, TICKS_PER_QUARTER


def _regrid(exact):
    """Return notes of a fine grid on `GRID`, and what rounding lost."""
    start = quantize(exact.start, exact.steps_per_quarter, GRID)
    end = quantize(exact.end, exact.steps_per_quarter, GRID)
    time_signatures = tuple(
        (int(quantize(step, exact.steps_per_quarter, GRID)), numerator, denominator)
        for step, numerator, denominator in exact.time_signatures
    )
    return build_notes(
        start,
        end,
        exact.pitch,
        exact.part,
        steps_per_quarter=GRID,
        qpm=exact.qpm,
        time_signatures=time_signatures,
        instruments=exact.instruments,
    )


def _measure_notes(notes):
    """Return the columns that come from notes on the grid."""
    started = np.bincount(notes.start, minlength=notes.n_steps + 1)
    ended = np.bincount(notes.end, minlength=notes.n_steps + 1)
    sounding = np.cumsum(started - ended)  # (n_steps + 1,)
    outside = {
        f"outside_{n}_keys": round(float(((notes.pitch < low) | (notes.pitch > high)).mean()), 4)
        for n, (low, high) in RANGES.items()
    }
    return {
        "notes": len(notes),
        "quarters": round(notes.quarters, 3),
        "seconds": round(notes.seconds, 1),
        "qpm": round(notes.qpm, 2),
        "lowest_pitch": int(notes.pitch.min()),
        "highest_pitch": int(notes.pitch.max()),
        "polyphony": round(float(sounding[sounding > 0].mean()), 3),
        "max_polyphony": int(sounding.max()),
        **_describe_time_signatures(notes),
        **_describe_form(notes),
        "notes_per_key": np.bincount(notes.pitch, minlength=128),
    } | outside


def _describe_time_signatures(notes):
    """Return the time signature of most of the piece, and all of them in order of first appearance."""
    ends = [step for step, _, _ in notes.time_signatures[1:]] + [notes.n_steps]
    duration = Counter()  # in steps
    for (step, numerator, denominator), end in zip(notes.time_signatures, ends):
        duration[f"{numerator}/{denominator}"] += max(0, end - step)
    return {"time_signature": duration.most_common(1)[0][0], "time_signatures": " ".join(duration)}


def _describe_form(notes):
    """Return the number of bars, the sections, and the strip that shows them."""
    strip = FormStrip.from_notes(notes)
    if strip is None:
        n_bars = len(bar_lines(notes.time_signatures, notes.steps_per_quarter, notes.n_steps))
        return {"bars": n_bars, "form": "", "form_strip": None}
    return {"bars": len(strip), "form": strip.summary, "form_strip": strip}


def _measure_onsets(onsets, ticks_per_quarter):
    """Return the columns that come from onsets before rounding."""
    errors = {n: measure_grid_error(onsets, ticks_per_quarter, n) for n in COMPARED_GRIDS}
    position = quantize(onsets % ticks_per_quarter, ticks_per_quarter, N_POSITIONS) % N_POSITIONS
    misfit = grid_misfit(onsets, ticks_per_quarter)
    return (
        {f"off_grid_{n}": round(error.share, 4) for n, error in errors.items()}
        | {f"grid_distance_{n}": round(error.mean_steps, 4) for n, error in errors.items()}
        | {
            "grid_shift_12": round(errors[12].shift_steps, 4),
            "grid_misfit": round(misfit, 4),
            "performed": misfit > PERFORMED_MISFIT,
            "onset_positions": np.bincount(position, minlength=N_POSITIONS),
        }
    )
