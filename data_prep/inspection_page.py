"""Write a collection's page: `index.html` with its plots as PNG files beside it.

The page opens from disk and needs no server and no network.
"""

import html
import io
from pathlib import Path

import pandas as pd

from clara.files import write_atomically
from clara.rendering.form_strip import LEGEND, FormStrip, form_strip_svg
from clara.rendering.form_strip import STYLE as STRIP_STYLE
from data_prep.collection_summary import (
    accepted_pieces,
    describe_refusals,
    find_duplicates,
    performed_pieces,
    recommend_grid,
    summarize_collection,
)
from data_prep.inspection_plots import PLOTS

MAX_LISTED = 100  # lines of a list on the page; inspect.csv has all pieces
STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
figure { margin: 1.5rem 0; } img { width: 100%; background: white; border-radius: 4px; }
figcaption, footer { opacity: .8; font-size: .9rem; }
table { border-collapse: collapse; }
th { text-align: left; padding-right: 1.5rem; vertical-align: top; white-space: nowrap; }
h1 { overflow-wrap: anywhere; }
th, td { border-top: 1px solid var(--line); padding-top: .2rem; padding-bottom: .2rem; }
.advice { border-left: 4px solid #0072B2; padding-left: 1rem; font-weight: 600; }
li { overflow-wrap: anywhere; }
"""


def write_page(table: pd.DataFrame, source: str, folder: Path) -> None:
    """Write the plots and the page.

    Parameters
    ----------
    table : DataFrame
        From `data_prep.collection_summary.build_table`.
    source : str
        What was inspected, for the heading.
    folder : Path
        Existing folder.

    Raises
    ------
    CannotWrite
        With the name of the file.
    """
    accepted = accepted_pieces(table)
    if len(accepted):
        for name, plot in PLOTS.items():
            buffer = io.BytesIO()
            plot.draw(accepted).savefig(buffer)
            write_atomically(folder / name, buffer.getvalue())
    write_atomically(folder / "index.html", _render_page(table, source))


def _render_page(table, source):
    """Return the HTML of the page."""
    title = html.escape(source)
    rows = "\n".join(
        f"<tr><th>{html.escape(heading)}</th><td>{html.escape(line)}</td></tr>"
        for heading, line in summarize_collection(table)
    )
    figures = [_render_figure(name, plot) for name, plot in PLOTS.items()] if len(accepted_pieces(table)) else []
    performed = [
        f"{row['piece']} ({100 * row['off_grid_12']:.0f} % of onsets off 12 steps)"
        for _, row in performed_pieces(table).iterrows()
    ]
    duplicates = [" = ".join(names) for names in find_duplicates(table)]
    body = "\n".join(
        [
            *figures,
            _render_forms(table),
            _render_list("Performed, not on a beat grid", performed),
            _render_list("The same work", duplicates),
            _render_list("Refused", describe_refusals(table)),
        ]
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title} inspected</title><style>{STYLE}{STRIP_STYLE}</style>
<h1>{title}</h1>
<p class="advice">{html.escape(recommend_grid(table))}</p>
<table>{rows}</table>
{body}
<footer>All measurements of every piece are in <a href="inspect.csv">inspect.csv</a>. Lengths, tempos and polyphony
are given as minimum – lower quartile – median – upper quartile – maximum.</footer>
</html>
"""


def _render_figure(name, plot):
    """Return the HTML of one plot."""
    heading, caption = html.escape(plot.heading), html.escape(plot.caption)
    return (
        f'<h2>{heading}</h2><figure><img src="{name}" alt="{heading}: {caption}" loading="lazy">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _render_forms(table):
    """Return the HTML of the forms of the first pieces."""
    rows = [row for _, row in accepted_pieces(table).iterrows() if isinstance(row["form_strip"], FormStrip)]
    if not rows:
        return ""
    items = []
    for row in rows[:MAX_LISTED]:
        strip = row["form_strip"]
        drawn = form_strip_svg(strip, strip.begin[-1])
        items.append(f"<h3>{html.escape(row['piece'])}</h3><p>{row['form']}</p>{drawn}")
    n_more = len(rows) - MAX_LISTED
    more = f"<p>The forms of {n_more:,} more are in inspect.csv.</p>" if n_more > 0 else ""
    return f"<h2>Form</h2><p>{html.escape(LEGEND)}</p>{''.join(items)}{more}"


def _render_list(heading, lines):
    """Return the HTML of a list with its heading; empty if there is nothing to list."""
    if not lines:
        return ""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines[:MAX_LISTED])
    n_more = len(lines) - MAX_LISTED
    more = f"<p>{n_more:,} more are in inspect.csv.</p>" if n_more > 0 else ""
    return f"<h2>{heading} ({len(lines):,})</h2><ul>{items}</ul>{more}"
