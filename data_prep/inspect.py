"""Show what is in a collection of music before it is encoded: python -m data_prep.inspect SOURCE…

Pieces, composers, keys, polyphony, metres, how far the onsets lie from the grid,
duplicates and refused files: a summary here, inspect.csv with a row per piece, and
index.html with plots.
"""

import json
import os
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

from clara import cli

EXAMPLES = """
python -m data_prep.inspect my_midis/
python -m data_prep.inspect my_midis/ --max-grid-error 0.45 --json    # for a program: a row per piece on stdout
"""
SHOWN = 10  # lines of a list in the terminal


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="folder of music (first folder level: composer), a file, or music21:bach",
    )
    music("--exclude", nargs="*", default=[], metavar="COMPOSER", help="folders to leave out")
    grid = p.add_argument_group("grid").add_argument
    grid(
        "--max-grid-error",
        type=cli.within(0, 1),
        metavar="SHARE",
        help="refuse pieces with more of their onsets off the grid; performed music has 0.45 and more",
    )
    grid(
        "--steps-per-quarter",
        type=cli.within(1, 96, int),
        default=12,
        metavar="N",
        help="the grid; that which --max-grid-error means",
    )
    run = p.add_argument_group("run").add_argument
    run("--out", metavar="FOLDER", help="folder to write; new or empty, without it output/inspect-<time>")
    run(
        "--workers",
        type=cli.at_least(1),
        default=os.cpu_count(),
        metavar="N",
        help="processes; each reads files of its own",
    )
    run("--timeout", type=cli.above(0), default=60.0, metavar="SECONDS", help="limit for one file")
    run("--memory", type=cli.at_least(64), default=2048, metavar="MB", help="limit for one file")
    cli.add_json_flag(run)
    return p


def main(argv=None):
    """Parse, examine, report."""
    args = parser().parse_args(argv)
    with cli.json_output(args.json) as answer:
        return _run(args, answer)


def _run(args, answer):
    """Examine, write, report; fills the answer in."""
    with cli.show_status("loading"):
        from data_prep import collection_summary, sources  # heavy imports wait for --help
        from data_prep.inspection_page import write_page
    from clara.errors import NoData
    from clara.files import make_empty_folder, write_atomically

    with cli.show_status("looking for music"):
        pieces = sources.find_pieces(args.sources, args.exclude)
    out = make_empty_folder(args.out or Path("output", time.strftime("inspect-%Y%m%d-%H%M%S")))
    rows, interrupted = _examine_all(pieces, args)
    table = collection_summary.build_table(rows)
    write_atomically(out / "inspect.csv", table[collection_summary.COLUMNS].to_csv(index=False))
    with cli.show_status("drawing"):
        write_page(table, sources.escape_undecodable(", ".join(args.sources)), out)
    print_report(table)
    print(f"see {out / 'index.html'}; every piece is in {out / 'inspect.csv'}")
    answer |= {"folder": out, "page": out / "index.html", "interrupted": interrupted} | _for_a_program(table)
    if interrupted:
        print(f"interrupted: {len(rows)} of {len(pieces)} files done", file=sys.stderr)
        return cli.INTERRUPTED
    if not answer["accepted"]:
        raise NoData(f"{', '.join(args.sources)}: not one of {len(table)} files was accepted")
    return 0


def _for_a_program(table):
    """What --json tells of a table."""
    from data_prep.collection_summary import COLUMNS, accepted_pieces, find_duplicates, performed_pieces, recommend_grid

    return {
        "files": len(table),
        "accepted": len(accepted_pieces(table)),
        "advice": recommend_grid(table),
        "performed": performed_pieces(table)["piece"].tolist(),
        "duplicates": find_duplicates(table),
        "pieces": json.loads(table[COLUMNS].to_json(orient="records")),
    }


def _examine_all(pieces, args):
    """(rows of `collection_summary.measure_piece` in any order, whether Ctrl-C ended it)."""
    from tqdm import tqdm

    from data_prep.collection_summary import measure_piece
    from data_prep.workers import process_pieces

    task = partial(measure_piece, steps_per_quarter=args.steps_per_quarter, max_grid_error=args.max_grid_error)
    rows = []
    try:
        done = process_pieces(pieces, task, workers=args.workers, timeout_seconds=args.timeout, memory_mb=args.memory)
        for piece, row, reason in tqdm(done, total=len(pieces), unit=" files", disable=None, desc="inspecting"):
            rows.append(
                row or {"piece": piece.name, "composer": piece.composer, "source": str(piece.path), "reason": reason}
            )
    except KeyboardInterrupt:
        return rows, True
    return rows, False


def print_report(table):
    """Print the summary, the performed, the duplicates and the refused."""
    from data_prep.collection_summary import (
        describe_refusals,
        find_duplicates,
        performed_pieces,
        recommend_grid,
        summarize_collection,
    )

    for heading, line in summarize_collection(table):
        print(f"{heading:>13}  {line}")
    print(f"\n{recommend_grid(table)}")
    _list(
        "performed, not on a beat grid",
        [
            f"{r['piece']}: {100 * r['off_12']:.0f} % of onsets off 12 steps; misfit {r['misfit']:.2f}, where 1 is chance"
            for _, r in performed_pieces(table).iterrows()
        ],
    )
    _list("the same work", [" = ".join(names) for names in find_duplicates(table)])
    reasons = Counter(reason.split(":")[0] for reason in table.loc[table["reason"] != "", "reason"])
    _list("refused: " + ", ".join(f"{n} {reason}" for reason, n in reasons.most_common()), describe_refusals(table))


def _list(heading, lines):
    """Print the first lines under a heading, where there are any."""
    if not lines:
        return
    print(f"\n{heading}:")
    for line in lines[:SHOWN]:
        print(f"  {line}")
    if len(lines) > SHOWN:
        print(f"  and {len(lines) - SHOWN} more, see inspect.csv")


if __name__ == "__main__":
    cli.run(main)
