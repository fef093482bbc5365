"""Summarize a collection: a table with a row per piece, its duplicates, and advice on the grid.

A refused piece has a reason, and measurements only if it could be read.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from clara.data.musical_works import group_works
from clara.data.onset_grid import SUGGESTED_MAX_GRID_ERROR
from clara.data.sources import escape_undecodable
from clara.encodings.base import RANGES
from clara.wording import count_of
from data_prep.piece_statistics import COMPARED_GRIDS, LOSSES

MIN_GAIN = 0.02  # share of onsets that a finer grid must hold in addition; less than that is ornaments
MAX_LISTED_VALUES = 10
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
    "lowest_pitch",
    "highest_pitch",
    *(f"outside_{n}_keys" for n in RANGES),
    "polyphony",
    "max_polyphony",
    "time_signature",
    "time_signatures",
    "has_time_signature",
    "bars",
    "form",
    "tracks",
    "instruments",
    *(f"off_grid_{n}" for n in COMPARED_GRIDS),
    *(f"grid_distance_{n}" for n in COMPARED_GRIDS),
    "grid_shift_12",
    "grid_misfit",
    "performed",
    *LOSSES,
    "reason",
]
OBJECT_COLUMNS = ["notes_per_key", "onset_positions", "form_strip"]


def build_table(rows: Iterable[dict]) -> pd.DataFrame:
    """Build the table of a collection: number the works and find equal files.

    Parameters
    ----------
    rows : iterable of dict
        From `data_prep.piece_statistics.measure_piece`, or with names and reason only.

    Returns
    -------
    DataFrame
        A row per piece, sorted by name, with `COLUMNS` and `OBJECT_COLUMNS`.
    """
    rows = [
        {key: escape_undecodable(value) if isinstance(value, str) else value for key, value in row.items()}
        for row in rows
    ]
    rows.sort(key=lambda row: row["piece"])
    accepted = [row for row in rows if not row["reason"]]
    works = group_works([row["fingerprint"] for row in accepted])
    first_with_hash = {}
    for row, work in zip(accepted, works.tolist()):
        first = first_with_hash.setdefault(row["hash"], row["piece"])
        row |= {"work": work, "same_file_as": first if first != row["piece"] else ""}
    table = pd.DataFrame(rows, columns=[*COLUMNS, *OBJECT_COLUMNS])
    objects = table[OBJECT_COLUMNS]
    return table.drop(columns=OBJECT_COLUMNS).convert_dtypes().join(objects)


def accepted_pieces(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the pieces that were not refused."""
    return table[table["reason"] == ""]


def performed_pieces(table: pd.DataFrame) -> pd.DataFrame:
    """Return the accepted pieces that follow no beat grid, the worst first."""
    accepted = accepted_pieces(table)
    performed = accepted["performed"].fillna(False).astype(bool)
    return accepted[performed].sort_values("grid_misfit", ascending=False)


def describe_refusals(table: pd.DataFrame) -> list[str]:
    """Return a line for each refused piece, with its file and the reason."""
    refused = table[table["reason"] != ""]
    return [
        reason if source in reason else f"{source}: {reason}"
        for source, reason in zip(refused["source"], refused["reason"])
    ]


def find_duplicates(table: pd.DataFrame) -> list[list[str]]:
    """Return the works that occur more than once, as lists of piece names, the largest first."""
    groups = [list(group["piece"]) for _, group in accepted_pieces(table).groupby("work") if len(group) > 1]
    return sorted(groups, key=len, reverse=True)


def weighted_mean(table: pd.DataFrame, column: str) -> float:
    """Return the mean of a share over all notes."""
    return float(np.average(table[column].astype(float), weights=table["notes"].astype(float)))


def summarize_collection(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the summary as pairs of a heading and a line of text."""
    accepted = accepted_pieces(table)
    if not len(accepted):
        return [("pieces", f"none of {len(table):,} files could be accepted")]
    return [
        (
            "pieces",
            f"{len(accepted):,} of {count_of(len(table), 'file')}; composers: {accepted['composer'].nunique():,}",
        ),
        (
            "music",
            f"{count_of(accepted['notes'].sum(), 'note')}, {count_of(round(accepted['quarters'].sum()), 'quarter')}, "
            f"{accepted['seconds'].sum() / 3600:,.1f} hours",
        ),
        ("composers", _count_values(accepted["composer"])),
        ("length", f"{_format_quartiles(accepted['quarters'], ',.0f')} quarters"),
        ("tempo", f"{_format_quartiles(accepted['qpm'], '.0f')} quarters per minute"),
        ("range", _describe_range(accepted)),
        (
            "polyphony",
            f"{_format_quartiles(accepted['polyphony'], '.1f')} notes at a time, "
            f"at most {accepted['max_polyphony'].max()}",
        ),
        (
            "time signatures",
            f"{_count_values(accepted['time_signature'])}; "
            f"files without one: {(~accepted['has_time_signature']).sum():,}",
        ),
        ("off the grid", _describe_grids(accepted)),
        ("performed", _describe_performed(table)),
        ("losses", ", ".join(f"{name} {accepted[name].sum():,}" for name in LOSSES)),
        ("duplicates", _describe_duplicates(table)),
    ]


def _describe_range(accepted):
    """Describe the pitch range, and the share of notes outside each keyboard."""
    shares = ", ".join(f"{n} keys {_percent(weighted_mean(accepted, f'outside_{n}_keys'))}" for n in RANGES)
    return f"MIDI {accepted['lowest_pitch'].min()} to {accepted['highest_pitch'].max()}; notes outside {shares}"


def _describe_grids(accepted):
    """Describe the share of onsets off each grid."""
    shares = (f"{_percent(weighted_mean(accepted, f'off_grid_{n}'))} at {n} steps" for n in COMPARED_GRIDS)
    return "share of onsets: " + ", ".join(shares)


def _describe_performed(table):
    """Describe how many pieces follow no beat grid or a shifted one."""
    n_shifted = (accepted_pieces(table)["grid_shift_12"] > 0).sum()
    return f"pieces that follow no beat grid: {len(performed_pieces(table)):,}; shifted as a whole: {n_shifted:,}"


def _describe_duplicates(table):
    """Describe how many works and files occur more than once."""
    duplicates = find_duplicates(table)
    n_copies = (accepted_pieces(table)["same_file_as"] != "").sum()
    return (
        f"works that occur more than once: {len(duplicates):,}, in {sum(map(len, duplicates)):,} files; "
        f"copies byte for byte: {n_copies:,}"
    )


def _percent(share):
    """Format a share as a percentage."""
    return f"{100 * share:.1f} %"


def _format_quartiles(values, number_format):
    """Format minimum, quartiles and maximum."""
    quantiles = values.astype(float).quantile([0, 0.25, 0.5, 0.75, 1])
    return " – ".join(format(float(value), number_format) for value in quantiles)


def _count_values(values):
    """List the most common values with their counts."""
    counts = values.value_counts()
    n_more = len(counts) - MAX_LISTED_VALUES
    listed = ", ".join(f"{value} {n:,}" for value, n in counts.head(MAX_LISTED_VALUES).items())
    return f"{listed}, {n_more:,} more" if n_more > 0 else listed


def recommend_grid(table: pd.DataFrame) -> str:
    """Return a sentence of advice: how many steps per quarter this music needs."""
    accepted = accepted_pieces(table)
    if not len(accepted):
        return "There is no music to choose a grid for."
    performed = performed_pieces(table)
    if 2 * len(performed) > len(accepted):
        return (
            f"{len(performed):,} of {len(accepted):,} pieces were performed without regard to the beat, and no grid "
            f"fits them as they are: clara prepare finds their beats, or leaves them out with --max-grid-error "
            f"{SUGGESTED_MAX_GRID_ERROR}."
        )
    on_beat = accepted.drop(performed.index)
    held = {n: 1 - weighted_mean(on_beat, f"off_grid_{n}") for n in COMPARED_GRIDS}
    best = 12 if held[12] - held[4] >= MIN_GAIN else 4
    others = ", ".join(f"{n} hold {_percent(held[n])}" for n in COMPARED_GRIDS if n != best)
    advice = f"Use --steps-per-quarter {best}: {best} steps hold {_percent(held[best])} of the onsets, {others}."
    if len(performed):
        advice += (
            f" clara prepare finds the beats of the performed pieces ({len(performed):,}), or leaves them out with "
            f"--max-grid-error {SUGGESTED_MAX_GRID_ERROR}."
        )
    return advice
