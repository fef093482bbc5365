"""What is in a collection: a row of figures per piece, and a summary of all.

Conventions: notes are read on the grid of `GRID` steps, distances from grids before
rounding (see `data_prep.onset_grid`). Polyphony is the mean number of notes that sound while
anything sounds. A share is 0-1. A refused piece has a reason, and figures only if it
could be read.
"""

import hashlib
from collections import Counter

import numpy as np
import pandas as pd

from clara.encodings.base import RANGES
from clara.errors import ClaraError
from clara.music.midi import describe_midi
from clara.music.notes import COMMON_TIME, build_notes, quantize
from clara.music.scores import TICKS_PER_QUARTER
from data_prep.musical_works import FINGERPRINT_GRID, compute_fingerprint, group_works
from data_prep.onset_grid import (
    PERFORMED_MISFIT,
    SUGGESTED_MAX_GRID_ERROR,
    check_onsets,
    grid_misfit,
    measure_grid_error,
)
from data_prep.sources import escape_undecodable, read_piece

GRID = FINGERPRINT_GRID
GRIDS = (4, 12, 24)
POSITIONS = 120  # parts of a quarter that onsets are sorted into: thirds, quarters, fifths and eighths come out even
WORTH = 0.02  # share of the onsets that a finer grid must hold beyond a coarser one; less is ornaments
COLUMNS = [
    "piece",
    "composer",
    "source",
    "hash",
    "same_file_as",
    "work",
    "notes",
    "quarters",
    "seconds",
    "qpm",
    "lowest",
    "highest",
    *(f"outside_{n}" for n in RANGES),
    "polyphony",
    "max_polyphony",
    "metre",
    "metres",
    "metre_told",
    "tracks",
    "instruments",
    *(f"off_{n}" for n in GRIDS),
    *(f"distance_{n}" for n in GRIDS),
    "shift_12",
    "misfit",
    "performed",
    "cut",
    "merged",
    "unended",
    "drums",
    "grace",
    "reason",
]
LOSSES = ("cut", "merged", "unended", "drums", "grace")


def measure_piece(piece, steps_per_quarter=GRID, max_grid_error=None):
    """Read one piece and measure it.

    Parameters
    ----------
    piece : `data_prep.sources.Piece`
    steps_per_quarter, max_grid_error : refuse it if a larger share of its onsets lies off this grid

    Returns
    -------
    dict of `COLUMNS` but for `work` and `same_file_as`, and beside them `fingerprint`, `keys`
    (notes per MIDI number, shape (128,)) and `positions` (onsets per part of a quarter,
    shape (POSITIONS,)); of a piece that cannot be read, only names and reason
    """
    row = {"piece": piece.name, "composer": piece.composer, "source": str(piece.path), "reason": ""}
    try:
        notes, losses, told, onsets, ticks_per_quarter = _read(piece)
        row["hash"] = hashlib.sha256(piece.path.read_bytes()).hexdigest()
        row |= _of_notes(notes) | told | {name: losses[name] for name in LOSSES}
        row |= _of_onsets(onsets, ticks_per_quarter)
        if max_grid_error is not None:
            check_onsets(piece.path, onsets, ticks_per_quarter, steps_per_quarter, max_grid_error)
    except (ClaraError, OSError) as e:
        row["reason"] = f"{type(e).__name__}: {e}"
    return row


def _read(piece):
    """notes on `GRID`, losses, what the file tells of itself, onsets in ticks, ticks per quarter."""
    if piece.is_midi:
        notes, losses = read_piece(piece, steps_per_quarter=GRID)
        file = describe_midi(piece.path)
        names = [name.strip() or f"program {program}" for name, program in file.tracks]
        told = {"tracks": len(names), "instruments": "; ".join(names), "metre_told": file.has_time_signature}
        return notes, losses, told, file.onset_ticks, file.ticks_per_quarter
    exact, losses = read_piece(piece, steps_per_quarter=TICKS_PER_QUARTER)  # music21 is slow: once serves for both
    notes, more = _regrid(exact)
    told = {"tracks": 1, "instruments": "", "metre_told": notes.time_signatures != COMMON_TIME}
    return notes, losses + more, told, exact.start, TICKS_PER_QUARTER


def _regrid(exact):
    """Notes of a fine grid on `GRID`, and what that lost."""
    start, end = (quantize(c, exact.steps_per_quarter, GRID) for c in (exact.start, exact.end))
    metre = tuple((int(quantize(step, exact.steps_per_quarter, GRID)), n, d) for step, n, d in exact.time_signatures)
    return build_notes(
        start,
        end,
        exact.pitch,
        exact.part,
        steps_per_quarter=GRID,
        qpm=exact.qpm,
        time_signatures=metre,
        instruments=exact.instruments,
    )


def _of_notes(notes):
    """The figures that notes on the grid give."""
    sounding = np.cumsum(
        np.bincount(notes.start, minlength=notes.n_steps + 1) - np.bincount(notes.end, minlength=notes.n_steps + 1)
    )
    outside = {
        f"outside_{n}": round(float(((notes.pitch < low) | (notes.pitch > high)).mean()), 4)
        for n, (low, high) in RANGES.items()
    }
    return {
        "notes": len(notes),
        "quarters": round(notes.quarters, 3),
        "seconds": round(notes.seconds, 1),
        "qpm": round(notes.qpm, 2),
        "lowest": int(notes.pitch.min()),
        "highest": int(notes.pitch.max()),
        "polyphony": round(float(sounding[sounding > 0].mean()), 3),
        "max_polyphony": int(sounding.max()),
        **_metres(notes),
        "fingerprint": compute_fingerprint(notes),
        "keys": np.bincount(notes.pitch, minlength=128),
    } | outside


def _metres(notes):
    """The metre of most of the piece, and all of them in the order of their first bars."""
    ends = [step for step, _, _ in notes.time_signatures[1:]] + [notes.n_steps]
    lasting = Counter()
    for (step, numerator, denominator), end in zip(notes.time_signatures, ends):
        lasting[f"{numerator}/{denominator}"] += max(0, end - step)
    return {"metre": lasting.most_common(1)[0][0], "metres": " ".join(lasting)}


def _of_onsets(onsets, ticks_per_quarter):
    """The figures that onsets before rounding give."""
    errors = {n: measure_grid_error(onsets, ticks_per_quarter, n) for n in GRIDS}
    position = quantize(onsets % ticks_per_quarter, ticks_per_quarter, POSITIONS) % POSITIONS
    fit = grid_misfit(onsets, ticks_per_quarter)
    return (
        {f"off_{n}": round(e.share, 4) for n, e in errors.items()}
        | {f"distance_{n}": round(e.mean_steps, 4) for n, e in errors.items()}
        | {
            "shift_12": round(errors[12].shift_steps, 4),
            "misfit": round(fit, 4),
            "performed": fit > PERFORMED_MISFIT,
            "positions": np.bincount(position, minlength=POSITIONS),
        }
    )


def build_table(rows):
    """Number the works and find equal files.

    Parameters
    ----------
    rows : list of dict from `measure_piece`, or of names and reason; sorted by name in the table

    Returns
    -------
    DataFrame, a row per piece, `COLUMNS` and, of type object, `keys` and `positions`
    """
    rows = sorted(
        ({k: escape_undecodable(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows),
        key=lambda r: r["piece"],
    )
    taken = [r for r in rows if not r["reason"]]
    first = {}
    for row, work in zip(taken, group_works([r["fingerprint"] for r in taken]).tolist()):
        same = first.setdefault(row["hash"], row["piece"])
        row |= {"work": work, "same_file_as": same if same != row["piece"] else ""}
    table = pd.DataFrame(rows, columns=[*COLUMNS, "keys", "positions"])
    objects = table[["keys", "positions"]]
    return table.drop(columns=objects.columns).convert_dtypes().join(objects)


def accepted_pieces(table):
    """The pieces that were not refused."""
    return table[table["reason"] == ""]


def performed_pieces(table):
    """The accepted pieces that follow no beat grid of their own, the worst first."""
    taken = accepted_pieces(table)
    return taken[taken["performed"].fillna(False).astype(bool)].sort_values("misfit", ascending=False)


def describe_refusals(table):
    """Why each refused piece was, naming its file."""
    refused = table[table["reason"] != ""]
    return [
        reason if source in reason else f"{source}: {reason}"
        for source, reason in zip(refused["source"], refused["reason"])
    ]


def find_duplicates(table):
    """The works that stand more than once, as lists of piece names, the largest first."""
    groups = [list(g["piece"]) for _, g in accepted_pieces(table).groupby("work") if len(g) > 1]
    return sorted(groups, key=len, reverse=True)


def summarize_collection(table):
    """What there is, as pairs of a heading and a line of text."""
    taken = accepted_pieces(table)
    if not len(taken):
        return [("pieces", f"none of {len(table):,} files could be taken")]
    keys = f"MIDI {taken['lowest'].min()} to {taken['highest'].max()}; notes outside "
    hours, n_shifted, same = taken["seconds"].sum() / 3600, (taken["shift_12"] > 0).sum(), find_duplicates(table)
    return [
        ("pieces", f"{len(taken):,} of {len(table):,} files; composers: {taken['composer'].nunique():,}"),
        ("music", f"{taken['notes'].sum():,} notes, {taken['quarters'].sum():,.0f} quarters, {hours:,.1f} hours"),
        ("composers", _counted(taken["composer"])),
        ("length", f"{_spread(taken['quarters'], ',.0f')} quarters"),
        ("tempo", f"{_spread(taken['qpm'], '.0f')} quarters per minute"),
        ("keys", keys + ", ".join(f"{n} keys {_percent(weighted_mean(taken, f'outside_{n}'))}" for n in RANGES)),
        ("polyphony", f"{_spread(taken['polyphony'], '.1f')} notes at a time, at most {taken['max_polyphony'].max()}"),
        ("metres", f"{_counted(taken['metre'])}; none told: {(~taken['metre_told']).sum():,}"),
        (
            "off the grid",
            "of the onsets, " + ", ".join(f"{_percent(weighted_mean(taken, f'off_{n}'))} at {n} steps" for n in GRIDS),
        ),
        (
            "performed",
            f"following no beat grid: {len(performed_pieces(table)):,}; shifted off it as a whole: {n_shifted:,}",
        ),
        ("mended", ", ".join(f"{name} {taken[name].sum():,}" for name in LOSSES)),
        (
            "duplicates",
            f"works that stand more than once: {len(same):,}, in {sum(map(len, same)):,} files; "
            + f"copies byte for byte: {(taken['same_file_as'] != '').sum():,}",
        ),
    ]


def weighted_mean(table, column):
    """The mean of a share over all notes."""
    return float(np.average(table[column].astype(float), weights=table["notes"].astype(float)))


def _percent(share):
    return f"{100 * share:.1f} %"


def _spread(values, form):
    """Least, quartiles and most."""
    return " – ".join(format(float(q), form) for q in values.astype(float).quantile([0, 0.25, 0.5, 0.75, 1]))


def _counted(values, most=10):
    """The commonest values and how many have them."""
    counts = values.value_counts()
    rest = f", {len(counts) - most:,} more" if len(counts) > most else ""
    return ", ".join(f"{value} {n:,}" for value, n in counts.head(most).items()) + rest


def recommend_grid(table):
    """A sentence of advice: which steps per quarter hold this music."""
    taken = accepted_pieces(table)
    if not len(taken):
        return "There is nothing to choose a grid for."
    n_performed = len(performed_pieces(table))
    if 2 * n_performed > len(taken):
        return (
            f"{n_performed:,} of {len(taken):,} pieces were performed without regard to the beat, and no grid "
            f"holds them: find their beats first, or leave them out with --max-grid-error {SUGGESTED_MAX_GRID_ERROR}."
        )
    on_beat = taken.drop(performed_pieces(table).index)
    held = {n: 1 - weighted_mean(on_beat, f"off_{n}") for n in GRIDS}
    take = 12 if held[12] - held[4] >= WORTH else 4
    advice = (
        f"Take --steps-per-quarter {take}: {take} steps hold {_percent(held[take])} of the onsets, "
        + ", ".join(f"{n} hold {_percent(held[n])}" for n in GRIDS if n != take)
        + "."
    )
    if n_performed:
        advice += f" Leave out the performed pieces ({n_performed:,}) with --max-grid-error {SUGGESTED_MAX_GRID_ERROR}."
    return advice
