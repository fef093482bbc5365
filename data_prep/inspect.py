"""Show what a collection of music holds before it is encoded.

Usage: clara inspect SOURCE…

It reports pieces, composers, pitch range, polyphony, time signatures, the distance of onsets from
the grid, form, duplicates and refused files. The summary is printed; inspect.csv has a row per piece, and
index.html shows plots.
"""

import json
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

from clara import cli
from data_prep.prepare import add_worker_flags

EXAMPLES = """
clara inspect my_midis/
clara inspect my_midis/ --max-grid-error 0.45 --json    # for a program: a row per piece on stdout
"""
MAX_LISTED = 10  # lines of a list in the terminal


def parser() -> cli.Parser:
    """Return the command line parser."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="Folder of music (the first folder level names the composer), a single file, or music21:bach.",
    )
    music("--exclude", nargs="*", default=[], metavar="COMPOSER", help="Composers (folders) to leave out.")
    grid = p.add_argument_group("grid").add_argument
    grid(
        "--max-grid-error",
        type=cli.within(0, 1),
        metavar="SHARE",
        help="Refuse pieces with a larger share of onsets off the grid; performed music has 0.45 or more "
        "(default: accept all).",
    )
    grid(
        "--steps-per-quarter",
        type=cli.within(1, 96, int),
        default=12,
        metavar="N",
        help="Grid for --max-grid-error, in steps per quarter note.",
    )
    run = p.add_argument_group("run").add_argument
    run(
        "--out",
        metavar="FOLDER",
        help="Folder to write; it must be new or empty (default: output/inspect-<time>).",
    )
    add_worker_flags(run)
    cli.add_json_flag(run)
    return p


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, measure, report; return the exit status."""
    args = parser().parse_args(argv)
    with cli.json_output(args.json) as answer:
        return _run(args, answer)


def _run(args, answer):
    """Measure, write, report, and fill the answer of --json."""
    with cli.show_status("loading"):  # heavy imports come after --help
        from clara.data.sources import escape_undecodable, find_pieces
        from data_prep.collection_summary import COLUMNS, build_table
        from data_prep.inspection_page import write_page
    from clara.errors import NoData
    from clara.files import make_empty_folder, write_atomically

    with cli.show_status("looking for music"):
        pieces = find_pieces(args.sources, args.exclude)
    out = make_empty_folder(args.out or Path("output", time.strftime("inspect-%Y%m%d-%H%M%S")))
    rows, interrupted = _measure_all(pieces, args)
    table = build_table(rows)
    write_atomically(out / "inspect.csv", table[COLUMNS].to_csv(index=False))
    with cli.show_status("drawing"):
        write_page(table, escape_undecodable(", ".join(args.sources)), out)
    print_report(table)
    print(f"see {out / 'index.html'}; every piece is in {out / 'inspect.csv'}")
    answer |= {"folder": out, "page": out / "index.html", "interrupted": interrupted} | _json_answer(table)
    if interrupted:
        print(f"interrupted: {len(rows)} of {len(pieces)} files done", file=sys.stderr)
        return cli.INTERRUPTED
    if not answer["accepted"]:
        raise NoData(f"{', '.join(args.sources)}: not one of {len(table)} files was accepted")
    return 0


def _json_answer(table):
    """Return the answer of --json."""
    from data_prep.collection_summary import (
        COLUMNS,
        accepted_pieces,
        find_duplicates,
        performed_pieces,
        recommend_grid,
    )

    return {
        "files": len(table),
        "accepted": len(accepted_pieces(table)),
        "advice": recommend_grid(table),
        "performed": performed_pieces(table)["piece"].tolist(),
        "duplicates": find_duplicates(table),
        "pieces": json.loads(table[COLUMNS].to_json(orient="records")),
    }


def _measure_all(pieces, args):
    """Return rows of `measure_piece` in any order, and whether Ctrl-C came."""
    from tqdm import tqdm

    from clara.data import workers
    from data_prep.piece_statistics import measure_piece

    task = partial(measure_piece, steps_per_quarter=args.steps_per_quarter, max_grid_error=args.max_grid_error)
    settings = workers.WorkerSettings(args.workers, args.timeout, args.memory)
    rows = []
    try:
        outcomes = workers.process_pieces(pieces, task, settings)
        for piece, row, reason in tqdm(outcomes, total=len(pieces), unit=" files", disable=None, desc="inspecting"):
            refused = {"piece": piece.name, "composer": piece.composer, "source": str(piece.path), "reason": reason}
            rows.append(row or refused)
    except KeyboardInterrupt:
        return rows, True
    return rows, False


def print_report(table) -> None:
    """Print the summary, performed pieces, duplicates and refused files.

    Parameters
    ----------
    table : DataFrame
        From `data_prep.collection_summary.build_table`.
    """
    from data_prep.collection_summary import (
        describe_refusals,
        find_duplicates,
        performed_pieces,
        recommend_grid,
        summarize_collection,
    )

    for heading, line in summarize_collection(table):
        print(f"{heading:>15}  {line}")
    print(f"\n{recommend_grid(table)}")
    performed = [
        f"{row['piece']}: {100 * row['off_grid_12']:.0f} % of onsets off 12 steps; "
        f"misfit {row['grid_misfit']:.2f} (1 is chance)"
        for _, row in performed_pieces(table).iterrows()
    ]
    _print_forms(table)
    _print_list("performed, not on a beat grid", performed)
    _print_list("the same work", [" = ".join(names) for names in find_duplicates(table)])
    refusal_kinds = Counter(reason.split(":")[0] for reason in table.loc[table["reason"] != "", "reason"])
    counts = ", ".join(f"{n} {kind}" for kind, n in refusal_kinds.most_common())
    _print_list(f"refused: {counts}", describe_refusals(table))


def _print_forms(table):
    """Print the form of each piece, if they are few."""
    from clara.rendering.form_strip import TEXT_LEGEND, FormStrip

    rows = [row for _, row in table.iterrows() if isinstance(row["form_strip"], FormStrip)]
    if not rows or len(rows) > MAX_LISTED:
        return
    print(f"\nform ({TEXT_LEGEND}):")
    for row in rows:
        print(f"  {row['piece']}: {row['form']}")
        print("\n".join(row["form_strip"].to_text()))


def _print_list(heading, lines):
    """Print the first lines under a heading, if there are any."""
    if not lines:
        return
    print(f"\n{heading}:")
    for line in lines[:MAX_LISTED]:
        print(f"  {line}")
    if len(lines) > MAX_LISTED:
        print(f"  and {len(lines) - MAX_LISTED} more, see inspect.csv")


if __name__ == "__main__":
    cli.run(main)
