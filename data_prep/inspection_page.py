"""A collection's page: `index.html` with its plots as PNG files beside it.

It opens from disk and needs no server and no network.
"""

import html
import io

import numpy as np

from clara.encodings.base import RANGES
from clara.files import write_atomically
from clara.rendering.plots import PART_COLOURS, new_figure
from data_prep.collection_summary import (
    POSITIONS,
    accepted_pieces,
    describe_refusals,
    find_duplicates,
    performed_pieces,
    recommend_grid,
    summarize_collection,
)

GREY = "#666666"
MOST_BARS = 20
SHOWN = 100  # rows of a list on the page; inspect.csv has all
STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
figure { margin: 1.5rem 0; } img { width: 100%; background: white; border-radius: 4px; }
figcaption, footer { opacity: .8; font-size: .9rem; }
table { border-collapse: collapse; } th { text-align: left; padding-right: 1.5rem; vertical-align: top; white-space: nowrap; }
h1 { overflow-wrap: anywhere; }
th, td { border-top: 1px solid var(--line); padding-top: .2rem; padding-bottom: .2rem; }
.advice { border-left: 4px solid #0072B2; padding-left: 1rem; font-weight: 600; }
li { overflow-wrap: anywhere; }
"""


def _positions(taken):
    """Where in the quarter the onsets stand."""
    share = np.sum(list(taken["positions"]), axis=0) / taken["notes"].sum()
    fig, ax = new_figure(9, 3.6)
    ax.bar(np.arange(POSITIONS) / POSITIONS, share, width=0.8 / POSITIONS, color=PART_COLOURS[0])
    ax.axhline(1 / POSITIONS, color=PART_COLOURS[1], ls="--", lw=1, label="without any beat")
    ax.set(yscale="log", ylim=(1e-5, 1), xlim=(-0.01, 1), xlabel="place in the quarter note", ylabel="share of onsets")
    ticks = [0, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 5 / 6]
    ax.set_xticks(ticks, ["0", "1/6", "1/4", "1/3", "1/2", "2/3", "3/4", "5/6"])
    ax.legend(loc="upper right")
    return fig


def _off_grid(taken):
    """How many pieces have how many onsets off the grid."""
    fig, ax = new_figure(9, 3.6)
    bins = np.linspace(0, 1, 21)
    series = [taken[f"off_{n}"].astype(float) for n in (4, 12)]
    ax.hist(series, bins=bins, color=PART_COLOURS[:2], label=["4 steps per quarter", "12 steps per quarter"])
    ax.set(
        yscale="log", ylim=(0.7, None), xlim=(0, 1), xlabel="share of a piece's onsets off the grid", ylabel="pieces"
    )
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend()
    return fig


def _keys(taken):
    """Notes per key, and the ranges that a corpus may be folded into."""
    counts = np.sum(list(taken["keys"]), axis=0)
    fig, ax = new_figure(9, 3.6)
    ax.bar(np.arange(128), counts, width=0.8, color=PART_COLOURS[0])
    for i, (n, (low, high)) in enumerate(RANGES.items()):
        y = counts.max() * (1.06 + 0.09 * i)
        ax.plot([low - 0.5, high + 0.5], [y, y], color=GREY, lw=2)
        ax.annotate(f"{n} keys", (high + 1, y), va="center", color=GREY, fontsize=8)
    octaves = range(12, 128, 12)
    ax.set_xticks(octaves, [f"C{k // 12 - 1}" for k in octaves])
    ax.set(
        xlim=(min(20, taken["lowest"].min()) - 1, max(116, taken["highest"].max() + 1)), xlabel="key", ylabel="notes"
    )
    ax.yaxis.set_major_formatter("{x:,.0f}")
    return fig


def _histogram(values, label, bins):
    """Pieces by one figure."""
    fig, ax = new_figure(9, 3.2)
    ax.hist(values.astype(float), bins=bins, color=PART_COLOURS[0], edgecolor="white", lw=0.4)
    ax.axvline(float(values.median()), color=PART_COLOURS[1], lw=1.5, label=f"median {float(values.median()):,.4g}")
    ax.set(xlabel=label, ylabel="pieces")
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return fig


def _polyphony(taken):
    """Pieces by how many notes sound at a time."""
    return _histogram(
        taken["polyphony"],
        "notes that sound at a time, mean of the piece",
        np.arange(0.75, max(4, float(taken["polyphony"].max())) + 0.5, 0.25),
    )


def _lengths(taken):
    """Pieces by their length."""
    shortest, longest = float(taken["quarters"].min()) / 1.6, float(taken["quarters"].max()) * 1.6
    fig = _histogram(taken["quarters"], "quarter notes", np.geomspace(shortest, longest, 48))
    ax = fig.axes[0]
    ax.set(xscale="log", xlim=(shortest, longest))  # wide enough for at least one tick at 1, 2 or 5
    ticks = [m * 10.0**e for e in range(-2, 6) for m in (1, 2, 5) if shortest <= m * 10.0**e <= longest]
    ax.set_xticks(ticks, [f"{t:,g}" for t in ticks])
    ax.xaxis.set_minor_formatter("")
    return fig


def _counts(values, label):
    """Pieces by a name, the commonest at the top, the rest as one."""
    counts = values.value_counts()
    told = counts.head(MOST_BARS)
    names, numbers = list(told.index), list(told)
    if len(counts) > MOST_BARS:
        names.append(f"{len(counts) - MOST_BARS} more")
        numbers.append(int(counts.iloc[MOST_BARS:].sum()))
    fig, ax = new_figure(9, 1 + 0.24 * len(names))
    ax.barh(range(len(names)), numbers, color=[PART_COLOURS[0]] * len(told) + [GREY] * (len(names) - len(told)))
    ax.set_yticks(range(len(names)), [name[:40].replace("$", r"\$") for name in names])  # $ would begin mathematics
    ax.invert_yaxis()
    ax.set(xlabel=label)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.bar_label(ax.containers[0], fmt="{:,.0f}", padding=3, fontsize=8, color=GREY)
    return fig


def _metres(taken):
    """Pieces by metre."""
    return _counts(taken["metre"], "pieces")


def _composers(taken):
    """Pieces by composer."""
    return _counts(taken["composer"], "pieces")


# file: (heading, what it shows, how it is drawn from the accepted pieces)
PLOTS = {
    "onsets.png": (
        "Onsets in the quarter note",
        "Where the onsets of all pieces stand in the quarter note, before rounding. Written music stands on few places; "
        + "performed music fills them all alike, at the dashed line.",
        _positions,
    ),
    "off-grid.png": (
        "Distance from the grid",
        "Pieces by the share of their onsets that lie farther than a tenth of a step from the grid. Performed music "
        + "lies beyond a half.",
        _off_grid,
    ),
    "keys.png": ("Keys", "Notes per key, with the ranges that a corpus can be written in.", _keys),
    "polyphony.png": ("Polyphony", "Pieces by the mean number of notes that sound while anything sounds.", _polyphony),
    "lengths.png": ("Lengths", "Pieces by their length in quarter notes.", _lengths),
    "metres.png": ("Metres", "Pieces by the metre of most of their bars; 4/4 also where none is told.", _metres),
    "composers.png": ("Composers", "Pieces by composer, which is the name of their folder.", _composers),
}


def write_page(table, source, folder):
    """Write the plots and the page.

    Parameters
    ----------
    table : DataFrame of `data_prep.collection_summary.build_table`
    source : what was inspected, for the heading
    folder : Path of an existing folder

    Raises
    ------
    CannotWrite
        Naming the file.
    """
    taken = accepted_pieces(table)
    for name, (_, _, draw) in PLOTS.items() if len(taken) else ():
        buffer = io.BytesIO()
        draw(taken).savefig(buffer)
        write_atomically(folder / name, buffer.getvalue())
    write_atomically(folder / "index.html", _page(table, source))


def _page(table, source):
    """The whole page."""
    facts = "\n".join(
        f"<tr><th>{html.escape(h)}</th><td>{html.escape(line)}</td></tr>" for h, line in summarize_collection(table)
    )
    figures = "\n".join(_figure_of(name, heading, caption) for name, (heading, caption, _) in PLOTS.items())
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(source)} inspected</title><style>{STYLE}</style>
<h1>{html.escape(source)}</h1>
<p class="advice">{html.escape(recommend_grid(table))}</p>
<table>{facts}</table>
{figures if len(accepted_pieces(table)) else ""}
{
        _list(
            "Performed, not on a beat grid",
            [
                f"{r['piece']} ({100 * r['off_12']:.0f} % of onsets off 12 steps)"
                for _, r in performed_pieces(table).iterrows()
            ],
        )
    }
{_list("The same work", [" = ".join(names) for names in find_duplicates(table)])}
{_list("Refused", describe_refusals(table))}
<footer>Every piece with all its figures is in <a href="inspect.csv">inspect.csv</a>. Lengths, tempos and polyphony
are given as least – lower quarter – median – upper quarter – most.</footer>
</html>
"""


def _figure_of(name, heading, caption):
    """One plot on the page."""
    return (
        f'<h2>{heading}</h2><figure><img src="{name}" alt="{heading}: {html.escape(caption)}" loading="lazy">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _list(heading, lines):
    """A list under a heading, where there is anything to list."""
    if not lines:
        return ""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines[:SHOWN])
    more = f"<p>{len(lines) - SHOWN:,} more are in inspect.csv.</p>" if len(lines) > SHOWN else ""
    return f"<h2>{heading} ({len(lines):,})</h2><ul>{items}</ul>{more}"
