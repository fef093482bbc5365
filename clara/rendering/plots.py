"""Plots: piano rolls, maps, training curves and confusion matrices, readable for the colour-blind.

Colours are those of Okabe and Ito, "Color Universal Design", 2008. Whatever a colour shows, a position, a marker or a
name shows too. Time runs from left to right, in quarters below and in bars above.
"""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np

from clara.form.plan import Plan
from clara.music.bars import bar_lines, describe_time_signatures
from clara.music.instruments import INSTRUMENTS
from clara.music.notes import NoteSequence
from clara.rendering.form_strip import FormStrip
from clara.rendering.form_strip_plot import draw_form_strip

PART_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
PROMPT_COLOURS = ("#999999", "#CC9966", "#88AA99", "#BBA0AA")
MARKERS = ("o", "s", "^", "D", "v")
LINE_COLOUR = "#dddddd"
BLACK_KEY_COLOUR = "#f0f0f0"
BLACK_KEYS = (1, 3, 6, 8, 10)  # pitch classes
NAME_OF_PITCH_CLASS = "CCDDEFFGGAAB"  # only white keys are labelled
MAX_LABELLED_SEMITONES = 24  # up to this range all white keys are labelled, beyond it only each C
DPI = 110
ROW_HEIGHTS = {"form": 0.75, "roll": 4.0, "windows": 1.2}  # in inches
LABELS_PER_INCH = 2.0


def new_figure(width: float, height: float, row_heights: Sequence[float] = (1,)):
    """Return a matplotlib Figure that needs no screen, and its axes.

    Parameters
    ----------
    width, height : float
        In inches.
    row_heights : sequence of float
        Relative heights of axes above one another that share the horizontal axis.

    Returns
    -------
    figure : matplotlib Figure
    axes : Axes, or an array of them if there are several rows
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots(len(row_heights), sharex=True, height_ratios=row_heights)


def plot_piano_roll(
    notes: NoteSequence,
    path: str | Path | None = None,
    *,
    prompt_quarters: float = 0.0,
    title: str = "",
    window_log_odds: Sequence[float] | None = None,
    first_window_quarter: float = 0.0,
    window_quarters: float = 8,
    plan: Plan | None = None,
):
    """Draw notes as blocks over time, above them the form, and below them the critic's log-odds of each window.

    Parameters
    ----------
    notes : NoteSequence
        Its time signatures determine the bars.
    path : path, optional
        PNG file to write.
    prompt_quarters : float
        Notes that start before this belong to the prompt and are grey.
    title : str
    window_log_odds : sequence of float (n_windows,), optional
        From `critic.classifier.Critic.window_log_odds`.
    first_window_quarter : float
        Where the first window begins; the critic does not read the prompt.
    window_quarters : float
        Length of a window.
    plan : Plan, optional
        The plan that the piece was composed by; it gives the form (default: the form is read from the notes).

    Returns
    -------
    matplotlib Figure
    """
    quarters = max(notes.quarters, 1.0)
    width = min(24, max(6, quarters / 5))
    strip = FormStrip.from_notes(notes, plan)
    heights = ROW_HEIGHTS.copy()
    if strip is None:
        del heights["form"]
    if window_log_odds is None:
        del heights["windows"]
    figure, axes = new_figure(width, sum(heights.values()), tuple(heights.values()))
    rows = dict(zip(heights, np.atleast_1d(axes)))
    for name, ax in rows.items():
        ax.set_label(name)
    top, roll, lowest = np.atleast_1d(axes)[0], rows["roll"], np.atleast_1d(axes)[-1]
    if strip is not None:
        draw_form_strip(rows["form"], strip, quarters, width)
    if window_log_odds is not None:
        window_starts = first_window_quarter + np.arange(len(window_log_odds)) * window_quarters
        _draw_windows(rows["windows"], window_log_odds, np.r_[window_starts, quarters])
    _draw_keyboard(roll, notes)
    _draw_notes(roll, notes, prompt_quarters)
    if prompt_quarters:
        roll.axvline(prompt_quarters, color="black", lw=1, ls=":")
    roll.set(xlim=(0, quarters))
    top.set_title(title, wrap=True, parse_math=False)  # a file name may hold dollar signs
    lowest.set_xlabel("quarter notes")
    _draw_time(roll, lowest, notes, quarters, width)
    _add_legend_of_parts(figure, notes)
    return _save(figure, path)


def _draw_keyboard(ax, notes):
    """Shade the black keys, and label the white ones."""
    low, high = (int(notes.pitch.min()) - 3, int(notes.pitch.max()) + 3) if len(notes) else (57, 75)
    pitches = range(low, high + 1)
    for pitch in pitches:
        if pitch % 12 in BLACK_KEYS:
            ax.axhspan(pitch - 0.5, pitch + 0.5, color=BLACK_KEY_COLOUR, lw=0)
    if high - low <= MAX_LABELLED_SEMITONES:
        labelled = [pitch for pitch in pitches if pitch % 12 not in BLACK_KEYS]
    else:
        labelled = [pitch for pitch in pitches if pitch % 12 == 0]
    ax.set_yticks(labelled, [f"{NAME_OF_PITCH_CLASS[p % 12]}{p // 12 - 1}" for p in labelled], fontsize=8)
    ax.set(ylim=(low, high))


def _draw_notes(ax, notes, prompt_quarters):
    """Draw a block for each note."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    start = notes.start / notes.steps_per_quarter
    duration = notes.duration / notes.steps_per_quarter
    in_prompt = start < prompt_quarters
    for part in np.unique(notes.part):
        for is_prompt, colours in ((True, PROMPT_COLOURS), (False, PART_COLOURS)):
            indices = np.flatnonzero((notes.part == part) & (in_prompt == is_prompt))
            blocks = [Rectangle((start[i], notes.pitch[i] - 0.45), duration[i], 0.9) for i in indices]
            colour = colours[part % len(colours)]
            ax.add_collection(PatchCollection(blocks, facecolor=colour, edgecolor="white", lw=0.4))


def _draw_windows(ax, log_odds, edges):
    """Draw the log-odds of each window as a column, up for human and down for generated."""
    colours = [PART_COLOURS[0] if value > 0 else PART_COLOURS[1] for value in log_odds]
    ax.bar(edges[:-1], log_odds, np.diff(edges), align="edge", color=colours, edgecolor="white", lw=0.8)
    ax.axhline(0, color="black", lw=0.8)
    ax.set_ylabel("log-odds\nhuman")
    ax.margins(y=0.15)


def _draw_time(roll, lowest, notes, quarters, width):
    """Label quarters below and bars above, and draw a line at each labelled bar."""
    bar_starts = _bar_starts(notes, quarters)
    max_labels = LABELS_PER_INCH * width
    bars_per_label = next(2**k for k in range(32) if len(bar_starts) <= 2**k * max_labels)
    bar = np.median(np.diff(bar_starts)) if len(bar_starts) > 1 else 4
    lowest.set_xticks(np.arange(0, quarters + 1e-6, bars_per_label * bar))
    lowest.xaxis.set_major_formatter("{x:g}")
    bars = roll.secondary_xaxis("top")
    labelled = bar_starts[::bars_per_label]
    bars.set_xticks(labelled, [f"{n}" for n in range(1, len(bar_starts) + 1, bars_per_label)])
    bars.tick_params(length=0, pad=1, labelsize=8)
    bars.spines["top"].set_visible(False)
    bars.set_xlabel(f"bar ({describe_time_signatures(notes.time_signatures)})", fontsize=8, loc="left")
    for ax in {roll, lowest}:
        ax.vlines(labelled, 0, 1, transform=ax.get_xaxis_transform(), color=LINE_COLOUR, lw=0.5, zorder=0.5)


def _bar_starts(notes, quarters):
    """Return where bars begin, in quarters; an upbeat before the first full bar does not count as one."""
    lines = bar_lines(notes.time_signatures, notes.steps_per_quarter, ceil(quarters * notes.steps_per_quarter))
    starts = [float(line / notes.steps_per_quarter) for line in lines]
    return [start for start in starts if 0 <= start < quarters] or [0.0]


def _add_legend_of_parts(figure, notes):
    """Add the names of the parts if there is more than one."""
    from matplotlib.patches import Patch

    parts = np.unique(notes.part).tolist()
    if len(parts) < 2:
        return
    patches = []
    for part in parts:
        is_named = part < len(notes.instruments)
        name = INSTRUMENTS[notes.instruments[part]].name if is_named else f"part {part + 1}"
        patches.append(Patch(color=PART_COLOURS[part % len(PART_COLOURS)], label=name))
    figure.legend(handles=patches, loc="outside lower center", ncols=len(parts), frameon=False)


def plot_history(history: Sequence[dict], path: str | Path | None = None):
    """Draw the losses of a training run by epoch.

    Parameters
    ----------
    history : sequence of dict
        The rows of history.csv. Without `valid_loss`, as when an adapter is trained, `nats_per_quarter` is drawn.
    path : path, optional
        PNG file to write.

    Returns
    -------
    matplotlib Figure
    """
    figure, ax = new_figure(7, 4)
    epochs = [row["epoch"] for row in history]
    best = min(history, key=lambda row: row["nats_per_quarter"])
    if "valid_loss" in history[0]:
        labels = {"train_loss": "train", "valid_loss": "valid"}
        unit = "nats per token"
    else:
        labels = {"nats_per_quarter": "valid"}
        unit = "nats per quarter note"
    for (column, label), colour, marker in zip(labels.items(), PART_COLOURS, MARKERS):
        ax.plot(epochs, [row[column] for row in history], color=colour, marker=marker, ms=4, label=label)
    ax.set(
        xlabel="epoch",
        ylabel=unit,
        title=f"best: {best['nats_per_quarter']:.2f} nats per quarter note, epoch {best['epoch']}",
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    ax.grid(color=LINE_COLOUR, lw=0.5)
    return _save(figure, path)


def plot_lr_find(
    learning_rates: Sequence[float], losses: Sequence[float], suggestion: float, path: str | Path | None = None
):
    """Draw the loss over rising learning rates, and the suggested rate.

    Parameters
    ----------
    learning_rates, losses : sequence of n float
    suggestion : float
        The learning rate at which the loss falls fastest.
    path : path, optional
        PNG file to write.

    Returns
    -------
    matplotlib Figure
    """
    figure, ax = new_figure(7, 4)
    ax.plot(learning_rates, losses, color=PART_COLOURS[0])
    ax.axvline(suggestion, color=PART_COLOURS[1], ls=":")
    ax.set(
        xscale="log",
        xlabel="learning rate",
        ylabel="nats per token",
        title=f"the loss falls fastest about {suggestion:.1e}",
    )
    ax.grid(color=LINE_COLOUR, lw=0.5)
    return _save(figure, path)


def plot_confusion(counts: np.ndarray, names: Sequence[str], path: str | Path | None = None, title: str = ""):
    """Draw a confusion matrix.

    Parameters
    ----------
    counts : int array (n, n)
        Number of pieces of the row's class that were classified as the column's class.
    names : sequence of n str
    path : path, optional
        PNG file to write.
    title : str

    Returns
    -------
    matplotlib Figure
    """
    size = 2.5 + 0.45 * len(names)
    figure, ax = new_figure(size, size)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts > 0):
        colour = "white" if share[row, column] > 0.5 else "black"
        ax.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=8, color=colour)
    ax.set_xticks(range(len(names)), names, rotation=90)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="classified as", ylabel="composer", title=title)
    return _save(figure, path)


def _save(figure, path):
    """Save a figure if there is a path, and return it."""
    if path is not None:
        figure.savefig(path)
    return figure
