"""The page about performing scores."""

from page_content.definitions import Column, Page, Table, rows_of


def _performance_methods(result: dict, split: str) -> list[dict]:
    """Return what methods of performing reach on a split."""
    rows = [row for row in rows_of("methods")(result) if row["split"] == split]
    return [row | {"nats": "–" if row["nats_per_note"] is None else f"{row['nats_per_note']:.3f}"} for row in rows]


PAGES = (
    Page(
        slug="performance",
        title="Performing scores",
        question="how like a human's are dynamics, tempo and pedal?",
        text="""
A performer gets the notes of held-out works of piano-midi.de at their median tempo, without velocities, tempo changes
and pedal. What it expects is compared with how the works are played in the files: Pearson r of velocities by note and
of log tempos by beat, F1 of where sixteenths begin with the pedal down (in pieces with pedal), and nats per velocity,
given those before it. Figures are means over pieces.

**Limits.** The files are hand-drawn by one person, after the dynamic marks of the scores, which no method reads here.
Regression and trees get the same features, with as many notes of a piece as the performer's window networks. Test and
valid pieces are few; other movements of the same collections are in training. The valid pieces chose the
epoch, and the model of residuals and the pedal's threshold of every method.
""",
        tables=(
            Table(
                "performance",
                (
                    Column("method", "{method}"),
                    Column("velocity r", "{velocity_r:.3f}"),
                    Column("tempo r", "{tempo_r:.3f}"),
                    Column("pedal F1", "{pedal_f1:.3f}"),
                    Column("nats per note", "{nats}"),
                ),
                heading="Methods",
                text="Of test works. The trained methods learned from {train_pieces} pieces. A piece of "
                "{rendered_seconds} s with {rendered_notes:,} notes is performed in {rendering_seconds} s on one core.",
                select_rows=lambda result: _performance_methods(result, "test"),
            ),
            Table(
                "performance",
                (
                    Column("method", "{method}"),
                    Column("velocity r", "{velocity_r:.3f}"),
                    Column("tempo r", "{tempo_r:.3f}"),
                    Column("pedal F1", "{pedal_f1:.3f}"),
                    Column("nats per note", "{nats}"),
                ),
                heading="Methods, valid works",
                select_rows=lambda result: _performance_methods(result, "valid"),
            ),
            Table(
                "performance",
                (
                    Column("piece", "`{piece}`"),
                    Column("velocity r", "{velocity_r:.3f}"),
                    Column("tempo r", "{tempo_r:.3f}"),
                    Column("pedal F1", "{f1}"),
                ),
                heading="The performer by test piece",
                select_rows=lambda result: [
                    row | {"f1": "–" if row["pedal_f1"] is None else f"{row['pedal_f1']:.3f}"}
                    for row in rows_of("pieces")(result)
                    if row["split"] == "test" and row["method"] == "performer"
                ],
            ),
            Table(
                "performance",
                (
                    Column("player", "{player}"),
                    Column("top notes over others", "{melody:+.1f}"),
                    Column("downbeats over notes between beats", "{downbeat:+.1f}"),
                    Column("tempo at ends of phrases", "{phrase_end:+.1f} %"),
                    Column("tempo of the last four beats", "{last_beats:+.1f} %"),
                    Column("spread of velocities", "{velocity_spread:.1f}"),
                    Column("spread of log tempo", "{tempo_spread:.1f} %"),
                    Column("pedal down", "{pedal_down:.0f} %"),
                ),
                heading="Habits",
                text="Of test works: differences of velocities, and tempos relative to those of other beats.",
                select_rows=rows_of("habits"),
            ),
        ),
    ),
)
