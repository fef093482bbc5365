"""Pictures: piano rolls, maps, training curves and confusions, in one style that the colour-blind can read.

Colours are from Okabe and Ito (2008), Color Universal Design; what a colour tells, a place, a shape or a name tells too.
Time runs from left to right, in quarter notes below and in bars above.
"""

from fractions import Fraction

import numpy as np

from clara.music.instruments import INSTRUMENTS

PART_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito 2008, told apart by all
PROMPT_COLOURS = ("#999999", "#CC9966", "#88AA99", "#BBA0AA")
GROUP_COLOURS = (*PART_COLOURS, "#E69F00", "#56B4E9")  # with a mark each; together 30 groups
MARKS = ("o", "s", "^", "D", "v")
BLACK_KEYS = (1, 3, 6, 8, 10)
KEY_NAMES = "CCDDEFFGGAAB"  # of the white ones, which alone are named
FEW_KEYS = 24  # of which all white ones are named; of more, one each octave
LINE = "#dddddd"
DPI = 110
LABELS_PER_INCH = 2.0


def new_figure(width, height, rows=(1,)):
    """A figure that needs no screen, and its axes; several above one another on one time axis where `rows` tells their heights."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return fig, fig.subplots(len(rows), sharex=True, height_ratios=rows)


def plot_piano_roll(
    notes,
    path=None,
    *,
    prompt_quarters=0.0,
    title="",
    window_log_odds=None,
    first_window_quarter=0.0,
    window_quarters=8,
):
    """Draw notes as blocks over time: keys named, parts in colours, and what a critic thinks of each window below.

    Parameters
    ----------
    notes : NoteSequence; its metre makes the bars
    path : where the PNG goes, or None for the figure alone
    prompt_quarters : what starts before this is drawn as the prompt, in grey
    title : str
    curve : floats (n_windows,), as `critic.classifier.Critic.window_log_odds` gives them of these notes, or None
    curve_from : quarters before the curve's first window, where the prompt was not judged
    window_quarters : length of a window

    Returns
    -------
    matplotlib Figure
    """
    quarters = max(notes.quarters, 1.0)
    width = min(24, max(6, quarters / 5))
    fig, axes = new_figure(width, 4 if window_log_odds is None else 5.2, (1,) if window_log_odds is None else (4, 1))
    roll, below = (axes, axes) if window_log_odds is None else axes
    _keyboard(roll, notes)
    _notes(roll, notes, prompt_quarters)
    if prompt_quarters:
        roll.axvline(prompt_quarters, color="black", lw=1, ls=":")
    if window_log_odds is not None:
        _windows(
            below,
            window_log_odds,
            np.r_[first_window_quarter + np.arange(len(window_log_odds)) * window_quarters, quarters],
        )
    roll.set(xlim=(0, quarters))
    roll.set_title(title, wrap=True)
    below.set_xlabel("quarter notes")
    _time(roll, below, notes, quarters, width)
    _legend_of_parts(fig, notes)
    return _saved(fig, path)


def _keyboard(ax, notes):
    """Black keys shaded, and keys named."""
    low, high = (int(notes.pitch.min()) - 3, int(notes.pitch.max()) + 3) if len(notes) else (57, 75)
    for key in range(low, high + 1):
        if key % 12 in BLACK_KEYS:
            ax.axhspan(key - 0.5, key + 0.5, color="#f0f0f0", lw=0)
    named = [k for k in range(low, high + 1) if k % 12 == 0 or (high - low <= FEW_KEYS and k % 12 not in BLACK_KEYS)]
    ax.set_yticks(named, [f"{KEY_NAMES[k % 12]}{k // 12 - 1}" for k in named], fontsize=8)
    ax.set(ylim=(low, high))


def _notes(ax, notes, prompt_quarters):
    """A block for each note."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    start, duration = notes.start / notes.steps_per_quarter, notes.duration / notes.steps_per_quarter
    for part in np.unique(notes.part):
        for of_prompt, colours in ((True, PROMPT_COLOURS), (False, PART_COLOURS)):
            rows = np.flatnonzero((notes.part == part) & ((start < prompt_quarters) == of_prompt))
            blocks = [Rectangle((start[i], notes.pitch[i] - 0.45), duration[i], 0.9) for i in rows]
            ax.add_collection(
                PatchCollection(blocks, facecolor=colours[part % len(colours)], edgecolor="white", lw=0.4)
            )


def _windows(ax, window_log_odds, edges):
    """A critic's log-odds as columns, up for human and down for generated."""
    colours = [PART_COLOURS[0] if odds > 0 else PART_COLOURS[1] for odds in window_log_odds]
    ax.bar(edges[:-1], window_log_odds, np.diff(edges), align="edge", color=colours, edgecolor="white", lw=0.8)
    ax.axhline(0, color="black", lw=0.8)
    ax.set_ylabel("log-odds\nhuman")
    ax.margins(y=0.15)


def _time(roll, below, notes, quarters, width):
    """Quarters below, as many from label to label as some bars have; above the bars by number, with lines where they begin."""
    begins = _bar_begins(notes, quarters)
    every = next(n for n in (2**k for k in range(32)) if len(begins) <= n * LABELS_PER_INCH * width)
    bar = np.median(np.diff(begins)) if len(begins) > 1 else 4
    below.set_xticks(np.arange(0, quarters + 1e-6, every * bar))
    below.xaxis.set_major_formatter("{x:g}")
    bars = roll.secondary_xaxis("top")
    bars.set_xticks(begins[::every], [f"{n}" for n in range(1, len(begins) + 1, every)])
    bars.tick_params(length=0, pad=1, labelsize=8)
    bars.spines["top"].set_visible(False)
    bars.set_xlabel("bar", fontsize=8, loc="left")
    for ax in {roll, below}:
        ax.vlines(begins[::every], 0, 1, transform=ax.get_xaxis_transform(), color=LINE, lw=0.5, zorder=0.5)


def _bar_begins(notes, quarters):
    """Where bars begin, in quarters; the first is the first that begins with the music or later, after its upbeat."""
    begins = []
    for (step, numerator, denominator), (until, _, _) in zip(
        notes.time_signatures, [*notes.time_signatures[1:], (None, 0, 0)]
    ):
        at, bar = Fraction(step, notes.steps_per_quarter), Fraction(4 * numerator, denominator)
        last = quarters if until is None else until / notes.steps_per_quarter
        begins += [float(at + i * bar) for i in range(int(np.ceil((last - at) / bar)))]
    return [at for at in begins if 0 <= at < quarters] or [0.0]


def _legend_of_parts(fig, notes):
    """The parts by name, where there is more than one."""
    from matplotlib.patches import Patch

    parts = np.unique(notes.part).tolist()
    if len(parts) < 2:
        return
    names = [INSTRUMENTS[notes.instruments[p]].name if p < len(notes.instruments) else f"part {p + 1}" for p in parts]
    patches = [Patch(color=PART_COLOURS[p % len(PART_COLOURS)], label=name) for p, name in zip(parts, names)]
    fig.legend(handles=patches, loc="outside lower center", ncols=len(parts), frameon=False)


def plot_map(points, groups, path=None, *, highlight=None, title=""):
    """Draw pieces as points, those that are alike near each other.

    Parameters
    ----------
    points : float array (n, 2)
    groups : list of n str, whose each is; a colour and a mark for each, in the order in which they come
    path : where the PNG goes, or None
    apart : the group that is drawn as black crosses above the others, or None
    title : str

    Returns
    -------
    matplotlib Figure
    """
    fig, ax = new_figure(8, 5)
    points, names = np.asarray(points), list(dict.fromkeys(groups))
    coloured = [name for name in names if name != highlight]
    for i, name in enumerate(coloured):
        of_it = points[[g == name for g in groups]]
        ax.scatter(
            *of_it.T,
            s=42,
            color=GROUP_COLOURS[i % len(GROUP_COLOURS)],
            marker=MARKS[i % len(MARKS)],
            edgecolor="white",
            lw=0.5,
            label=name,
        )
    if highlight in names:
        ax.scatter(
            *points[[g == highlight for g in groups]].T, s=42, color="black", marker="x", lw=1.2, label=highlight
        )
    ax.set(xticks=[], yticks=[], title=title)
    ax.set_aspect("equal", adjustable="datalim")
    fig.legend(loc="outside right upper", frameon=False)
    return _saved(fig, path)


def plot_history(history, path=None):
    """Draw a run's losses and nats per quarter note by epoch.

    Parameters
    ----------
    history : list of rows of history.csv; of one without losses of valid, a style's, the nats per quarter note are drawn
    path : where the PNG goes, or None

    Returns
    -------
    matplotlib Figure
    """
    fig, ax = new_figure(7, 4)
    epochs, best = [r["epoch"] for r in history], min(history, key=lambda r: r["nats_per_quarter"])
    lines = ("train_loss", "valid_loss") if "valid_loss" in history[0] else ("nats_per_quarter",)
    for line, colour, mark in zip(lines, PART_COLOURS, MARKS):
        ax.plot(
            epochs,
            [r[line] for r in history],
            color=colour,
            marker=mark,
            ms=4,
            label=line.removesuffix("_loss").replace("nats_per_quarter", "valid"),
        )
    ax.set(
        xlabel="epoch",
        ylabel="nats per word" if len(lines) > 1 else "nats per quarter note",
        title=f"best: {best['nats_per_quarter']:.2f} nats per quarter note, epoch {best['epoch']}",
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    ax.grid(color=LINE, lw=0.5)
    return _saved(fig, path)


def plot_lr_find(rates, losses, found, path=None):
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
    ax.grid(color=LINE, lw=0.5)
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
        ax.text(
            column,
            row,
            f"{many[row, column]}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share[row, column] > 0.5 else "black",
        )
    ax.set_xticks(range(len(names)), names, rotation=90)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="taken for", ylabel="by", title=title)
    return _saved(fig, path)


def _saved(fig, path):
    """Save a figure where a path is given."""
    if path is not None:
        fig.savefig(path)
    return fig
