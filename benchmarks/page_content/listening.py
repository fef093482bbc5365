"""The page about beats from played music."""

from collections.abc import Callable

from page_content.definitions import Column, Page, Table, rows_of

SETS = {"played": "piano-midi.de, as it is played", "performed": "Mutopia, performed by Clara"}


def _methods(split: str) -> Callable[[dict], list[dict]]:
    """Return a function that returns the figures of methods on a split."""
    return lambda result: [
        row | {"music": SETS[row["set"]]} for row in rows_of("methods")(result) if row["split"] == split
    ]


def _even_rows(result: dict) -> list[dict]:
    """Return a row for each jitter, over all tempos."""
    shares: dict[float, list[float]] = {}
    for row in rows_of("even")(result):
        shares.setdefault(row["jitter_seconds"], []).append(row["right"])
    return [
        {"jitter": f"{1000 * jitter:.0f} ms", "right": sum(of_jitter) / len(of_jitter), "worst": min(of_jitter)}
        for jitter, of_jitter in shares.items()
    ]


METHOD_COLUMNS = (
    Column("music", "{music}"),
    Column("pieces", "{pieces}"),
    Column("method", "{method}"),
    Column("beat F1", "{beat_f1:.3f}"),
    Column("downbeat F1", "{downbeat_f1:.3f}"),
    Column("onsets in place", "{in_place:.1%}"),
    Column("locally in place", "{locally_in_place:.1%}"),
    Column("time signature", "{time_signature:.0%}"),
)

PAGES = (
    Page(
        slug="beats",
        title="Beats from played music",
        question="are beats, bars and the grid found in music that was played without a metronome?",
        text="""
Only onsets, ends, pitches and velocities are heard, all in seconds. Ticks, tempo map and time signatures are hidden.
Works are held out of training in every edition.

- **Beat F1, downbeat F1**: beats, and beginnings of bars, within 70 ms of a written one, from the first onset to the
  last. A beat is a quarter, or three eighths (or sixteenths) in compound time.
- **Onsets in place**: notes on their written step, in twelfths of a quarter, after one shift of whole beats for the
  whole piece. A beat too many in the middle puts the rest out of place.
- **Locally in place**: the same, but each passage of 16 quarters may have a shift of its own.
- **Time signature**: the bar and the beat of the main one are right; 2/2 counts as 4/4.

The goal was a beat F1 of 0.90, 90 % of onsets in place and 80 % of time signatures right on piano-midi.de.

**Limits.** Test pieces are few. Valid pieces chose the weights of the search. The onsets of piano-midi.de lie exactly
where their hand-drawn tempo curves put them; people play less evenly. A baseline that takes a recording's own ticks at
face value hears 120 quarters per minute in common time.
""",
        tables=(
            Table(
                "beats",
                METHOD_COLUMNS,
                heading="Test works",
                text="Five minutes of music take {seconds_per_five_minutes} s on one core.",
                select_rows=_methods("test"),
            ),
            Table("beats", METHOD_COLUMNS, heading="Valid works", select_rows=_methods("valid")),
            Table(
                "beats",
                (
                    Column("jitter (standard deviation)", "{jitter}"),
                    Column("found to be quarters", "{right:.1%}"),
                    Column("at the worst tempo", "{worst:.1%}"),
                ),
                heading="Eight even quarters at 60 to 160 per minute",
                select_rows=_even_rows,
            ),
            Table(
                "beats",
                (
                    Column("piece", "`{piece}`"),
                    Column("beat F1", "{beat_f1:.3f}"),
                    Column("downbeat F1", "{downbeat_f1:.3f}"),
                    Column("in place", "{in_place:.1%}"),
                    Column("locally in place", "{locally_in_place:.1%}"),
                    Column("time signature", "{right}"),
                ),
                heading="By test piece",
                select_rows=lambda result: [
                    row | {"right": "right" if row["time_signature"] else "wrong"}
                    for row in rows_of("pieces")(result)
                    if row["split"] == "test"
                ],
            ),
        ),
    ),
)
