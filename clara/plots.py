"""Pictures: piano rolls, training curves and confusions, in one style that the colour-blind can read.

Colours are from Okabe and Ito (2008), Color Universal Design.

Contents: `new_figure`, `plot_piano_roll`, `plot_history`, `plot_rates`,
`plot_confusion`.
"""

import numpy as np

PART_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito 2008, told apart by all
PROMPT_COLOURS = ("#999999", "#CC9966", "#88AA99", "#BBA0AA")
BLACK_KEYS = (1, 3, 6, 8, 10)
DPI = 110


def new_figure(width, height):
    """A figure that needs no screen, and its axes."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return fig, fig.subplots()


def plot_piano_roll(notes, path=None, *, prompt_quarters=0.0, title=""):
    """Draw notes as bars: time in quarters, keys named by octave, parts in colours.

    Parameters
    ----------
    notes : NoteSequence
    path : where the PNG goes, or None for the figure alone
    prompt_quarters : what starts before this is drawn as the prompt, in grey
    title : str

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    quarters = max(notes.quarters, 1.0)
    fig, ax = new_figure(min(24, max(6, quarters / 5)), 4)
    low, high = (notes.pitch.min() - 3, notes.pitch.max() + 3) if len(notes) else (57, 75)
    for key in range(low, high + 1):
        if key % 12 in BLACK_KEYS:
            ax.axhspan(key - 0.5, key + 0.5, color="#f0f0f0", lw=0)
    start, duration = notes.start / notes.steps_per_quarter, notes.duration / notes.steps_per_quarter
    for part in np.unique(notes.part):
        for of_prompt, colours in ((True, PROMPT_COLOURS), (False, PART_COLOURS)):
            rows = np.flatnonzero((notes.part == part) & ((start < prompt_quarters) == of_prompt))
            bars = [Rectangle((start[i], notes.pitch[i] - 0.45), duration[i], 0.9) for i in rows]
            ax.add_collection(PatchCollection(bars, facecolor=colours[part % len(colours)], edgecolor="white", lw=0.4))
    if prompt_quarters:
        ax.axvline(prompt_quarters, color="black", lw=1, ls=":")
    ax.set(xlim=(0, quarters), ylim=(low, high), xlabel="quarter notes", title=title)
    ax.set_xticks(np.arange(0, quarters + 1, 4 if quarters <= 128 else 16))
    octaves = [k for k in range(low, high + 1) if k % 12 == 0]
    ax.set_yticks(octaves, [f"C{k // 12 - 1}" for k in octaves])
    ax.grid(axis="x", color="#dddddd", lw=0.5)
    ax.set_axisbelow(True)
    return _saved(fig, path)


def plot_history(history, path=None):
    """Draw a run's losses and nats per quarter note by epoch.

    Parameters
    ----------
    history : list of rows of history.csv
    path : where the PNG goes, or None

    Returns
    -------
    matplotlib Figure
    """
    fig, ax = new_figure(7, 4)
    epochs = [r["epoch"] for r in history]
    ax.plot(epochs, [r["train_loss"] for r in history], color=PART_COLOURS[0], marker=".", label="train")
    ax.plot(epochs, [r["valid_loss"] for r in history], color=PART_COLOURS[1], marker=".", label="valid")
    best = min(history, key=lambda r: r["nats_per_quarter"])
    ax.set(xlabel="epoch", ylabel="nats per word",
           title=f"best: {best['nats_per_quarter']:.2f} nats per quarter note, epoch {best['epoch']}")
    ax.legend()
    ax.grid(color="#dddddd", lw=0.5)
    return _saved(fig, path)


def plot_rates(rates, losses, found, path=None):
    """Draw the loss over rising rates, and the rate that was found.

    Parameters
    ----------
    rates, losses : lists of n floats
    found : float
    path : where the PNG goes, or None

    Returns
    -------
    matplotlib Figure
    """
    fig, ax = new_figure(7, 4)
    ax.plot(rates, losses, color=PART_COLOURS[0])
    ax.axvline(found, color=PART_COLOURS[1], ls=":")
    ax.set(xscale="log", xlabel="rate", ylabel="nats per word", title=f"the loss falls fastest about {found:.1e}")
    ax.grid(color="#dddddd", lw=0.5)
    return _saved(fig, path)


def plot_confusion(many, names, path=None, title=""):
    """Draw what a classifier takes each class for.

    Parameters
    ----------
    many : int array (n, n), how many of the row's class were taken for the column's
    names : list of n str
    path : where the PNG goes, or None
    title : str

    Returns
    -------
    matplotlib Figure
    """
    size = 2.5 + 0.45 * len(names)
    fig, ax = new_figure(size, size)
    share = many / np.maximum(many.sum(1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(many > 0):
        ax.text(column, row, f"{many[row, column]}", ha="center", va="center", fontsize=8, color="white" if share[row, column] > 0.5 else "black")
    ax.set_xticks(range(len(names)), names, rotation=90)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="taken for", ylabel="by", title=title)
    return _saved(fig, path)


def _saved(fig, path):
    """Save a figure where a path is given."""
    if path is not None:
        fig.savefig(path)
    return fig
