"""Plots of a collection's table, for the page that `data_prep.inspection_page` writes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clara.encodings.base import RANGES
from clara.rendering.plots import PART_COLOURS, new_figure
from data_prep.piece_statistics import N_POSITIONS

GREY = "#666666"
MAX_BARS = 20


def _plot_positions(accepted):
    """Plot where in the quarter the onsets stand."""
    share = np.sum(list(accepted["onset_positions"]), axis=0) / accepted["notes"].sum()
    fig, ax = new_figure(9, 3.6)
    ax.bar(np.arange(N_POSITIONS) / N_POSITIONS, share, width=0.8 / N_POSITIONS, color=PART_COLOURS[0])
    ax.axhline(1 / N_POSITIONS, color=PART_COLOURS[1], ls="--", lw=1, label="without any beat")
    ax.set(yscale="log", ylim=(1e-5, 1), xlim=(-0.01, 1), xlabel="position in the quarter", ylabel="share of onsets")
    ticks = [0, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 5 / 6]
    ax.set_xticks(ticks, ["0", "1/6", "1/4", "1/3", "1/2", "2/3", "3/4", "5/6"])
    ax.legend(loc="upper right")
    return fig


def _plot_off_grid(accepted):
    """Plot pieces by their share of onsets off two grids."""
    fig, ax = new_figure(9, 3.6)
    shares = [accepted[f"off_grid_{n}"].astype(float) for n in (4, 12)]
    labels = ["4 steps per quarter", "12 steps per quarter"]
    ax.hist(shares, bins=np.linspace(0, 1, 21), color=PART_COLOURS[:2], label=labels)
    ax.set(
        yscale="log", ylim=(0.7, None), xlim=(0, 1), xlabel="share of a piece's onsets off the grid", ylabel="pieces"
    )
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend()
    return fig


def _plot_keys(accepted):
    """Plot notes per key, and the ranges that a corpus may be folded into."""
    counts = np.sum(list(accepted["notes_per_key"]), axis=0)
    fig, ax = new_figure(9, 3.6)
    ax.bar(np.arange(128), counts, width=0.8, color=PART_COLOURS[0])
    for i, (n, (low, high)) in enumerate(RANGES.items()):
        y = counts.max() * (1.06 + 0.09 * i)
        ax.plot([low - 0.5, high + 0.5], [y, y], color=GREY, lw=2)
        ax.annotate(f"{n} keys", (high + 1, y), va="center", color=GREY, fontsize=8)
    octaves = range(12, 128, 12)
    ax.set_xticks(octaves, [f"C{key // 12 - 1}" for key in octaves])
    left = min(20, accepted["lowest_pitch"].min()) - 1
    right = max(116, accepted["highest_pitch"].max() + 1)
    ax.set(xlim=(left, right), xlabel="key", ylabel="notes")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    return fig


def _plot_histogram(values, label, bins):
    """Plot pieces by one column."""
    fig, ax = new_figure(9, 3.2)
    median = float(values.median())
    ax.hist(values.astype(float), bins=bins, color=PART_COLOURS[0], edgecolor="white", lw=0.4)
    ax.axvline(median, color=PART_COLOURS[1], lw=1.5, label=f"median {median:,.4g}")
    ax.set(xlabel=label, ylabel="pieces")
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return fig


def _plot_polyphony(accepted):
    """Plot pieces by the number of notes that sound at a time."""
    highest = max(4, float(accepted["polyphony"].max()))
    bins = np.arange(0.75, highest + 0.5, 0.25)
    return _plot_histogram(accepted["polyphony"], "notes that sound at a time, mean of the piece", bins)


def _plot_lengths(accepted):
    """Plot pieces by length."""
    # The axis is wide enough for at least one tick at 1, 2 or 5.
    left = float(accepted["quarters"].min()) / 1.6
    right = float(accepted["quarters"].max()) * 1.6
    fig = _plot_histogram(accepted["quarters"], "quarter notes", np.geomspace(left, right, 48))
    ax = fig.axes[0]
    ax.set(xscale="log", xlim=(left, right))
    candidates = [mantissa * 10.0**exponent for exponent in range(-2, 6) for mantissa in (1, 2, 5)]
    ticks = [tick for tick in candidates if left <= tick <= right]
    ax.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    ax.xaxis.set_minor_formatter("")
    return fig


def _plot_counts(values, label):
    """Plot pieces by a name, the most common at the top, the rest as one bar."""
    counts = values.value_counts()
    shown = counts.head(MAX_BARS)
    names, numbers = list(shown.index), list(shown)
    colours = [PART_COLOURS[0]] * len(shown)
    if len(counts) > MAX_BARS:
        names.append(f"{len(counts) - MAX_BARS} more")
        numbers.append(int(counts.iloc[MAX_BARS:].sum()))
        colours.append(GREY)
    fig, ax = new_figure(9, 1 + 0.24 * len(names))
    ax.barh(range(len(names)), numbers, color=colours)
    ax.set_yticks(range(len(names)), [name[:40].replace("$", r"\$") for name in names])  # $ would start mathematics
    ax.invert_yaxis()
    ax.set(xlabel=label)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.bar_label(ax.containers[0], fmt="{:,.0f}", padding=3, fontsize=8, color=GREY)
    return fig


def _plot_time_signatures(accepted):
    """Plot pieces by time signature."""
    return _plot_counts(accepted["time_signature"], "pieces")


def _plot_composers(accepted):
    """Plot pieces by composer."""
    return _plot_counts(accepted["composer"], "pieces")


@dataclass(frozen=True)
class Plot:
    """A plot on the page.

    Attributes
    ----------
    heading, caption : str
    draw : callable
        Takes the table of accepted pieces and returns a matplotlib figure.
    """

    heading: str
    caption: str
    draw: Callable


PLOTS = {
    "onsets.png": Plot(
        "Onsets in the quarter note",
        "Positions of all onsets in the quarter note, before rounding. Written music uses few positions; "
        "performed music uses all of them equally, at the dashed line.",
        _plot_positions,
    ),
    "off-grid.png": Plot(
        "Distance from the grid",
        "Pieces by the share of their onsets that lie farther than a tenth of a step from the grid. "
        "Performed music lies beyond a half.",
        _plot_off_grid,
    ),
    "keys.png": Plot("Keys", "Notes per key, with the ranges that a corpus can be written in.", _plot_keys),
    "polyphony.png": Plot(
        "Polyphony", "Pieces by the mean number of notes that sound while anything sounds.", _plot_polyphony
    ),
    "lengths.png": Plot("Lengths", "Pieces by their length in quarter notes.", _plot_lengths),
    "time-signatures.png": Plot(
        "Time signatures",
        "Pieces by the time signature of most of their bars; files without one count as 4/4.",
        _plot_time_signatures,
    ),
    "composers.png": Plot("Composers", "Pieces by composer, the name of their folder.", _plot_composers),
}
