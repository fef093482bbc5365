"""The page about dreams."""

import numpy as np

from page_content.definitions import Column, Page, Table, rows_of

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # of notes changed, in the curve
RECIPE = """
The excerpts are those of the composer classifier, of composers with enough works:
`python -m critic.excerpts data/piano-notewise-12 --composers 16 --out runs/composers-16`, with the extra corpora of
[the composer classifier](composers.md). Then

```
python benchmarks/dream.py halve runs/composers-16 --out runs/composers-half
python -m critic.train runs/composers-half-a --pretrained pretrained/notewise --freeze-encoder --add-descriptors \\
    --share-encoder --seed 0 --out runs/composer-half-a
python -m critic.train runs/composers-half-b --pretrained pretrained/notewise --freeze-encoder --add-descriptors \\
    --share-encoder --seed 1 --out runs/composer-half-b
```
"""


def curve_rows(result: dict) -> list[dict]:
    """Return the mean probabilities over the pieces when a share of their notes has changed."""
    paths = [np.array(row["path"]) for row in rows_of("pieces")(result)]
    rows = []
    for share in SHARES:
        # The last state of each piece in which no more notes have changed.
        states = np.array([path[np.flatnonzero(path[:, 0] <= share)[-1]] for path in paths])
        _, judge, dreamer = states.mean(0)
        rows.append({"changed": share, "judge": judge, "dreamer": dreamer, "judge_median": np.median(states[:, 1])})
    return rows


def _by_composer(result: dict) -> list[dict]:
    """Return the medians of the pieces that went to each composer."""
    pieces = rows_of("pieces")(result)
    rows = []
    for wanted in result["settings"]["towards"]:
        own = [row for row in pieces if row["wanted"] == wanted]
        if not own:
            continue
        names = ("judge_before", "judge_after", "dreamer_after", "critic_change", "kept")
        medians = {name: float(np.median([row[name] for row in own])) for name in names}
        rows.append({"wanted": wanted, "pieces": len(own), **medians})
    return rows


PAGES = (
    Page(
        slug="dream",
        title="Dreams",
        question="does a piece that dreamt of a composer sound like the composer to a classifier that it never met?",
        text="""
The pieces are excerpts of 32 quarters of test works, one of each work, by 16 composers. Each goes towards another
composer than its own with the default settings of `clara dream`; so at most half of its notes change. The dream
listens to a classifier of 16 composers that learned from one half of the works. The judge has another seed, and
learned from the other half. Neither met the pieces, nor did the generator.

The goals were a probability of at least 0.5 by the judge in the median, a critic that falls by less than 0.5, and at
least half of the notes kept. **The first one is missed by far;** the others are met. The second table says what the
judge makes of music that the composers wrote themselves, and of collages in which every other four quarters are theirs:
such a classifier is seldom sure of 32 quarters, and hardly ever of half of them.

**Limits.** One seed for each piece. Probabilities of 16 composers are lower than those of the 12 that the shipped
classifier knows. Seconds are those of a machine that did other work at the same time.
""",
        recipe=RECIPE,
        tables=(
            Table(
                "dream",
                (
                    Column("judge before", "{median_judge_before:.3f}"),
                    Column("judge after", "{median_judge_after:.3f}"),
                    Column("judge at least 0.5", "{share_judged_wanted:.0%}"),
                    Column("dream's classifier before", "{median_dreamer_before:.3f}"),
                    Column("after", "{median_dreamer_after:.3f}"),
                    Column("change of the critic", "{median_critic_change:+.2f}"),
                    Column("notes kept", "{median_kept:.0%}"),
                    Column("kept at least", "{least_kept:.0%}"),
                    Column("s", "{median_seconds:.0f}"),
                ),
                heading="All pieces",
                text="Medians of {pieces} pieces.",
                select_rows=rows_of("summary"),
            ),
            Table(
                "dream_real",
                (
                    Column("music", "{music}"),
                    Column("composer", "{composer}"),
                    Column("excerpts", "{pieces}"),
                    Column("judge, median", "{median:.3f}"),
                    Column("at least 0.5", "{share_half:.0%}"),
                ),
                heading="Music by the composers themselves",
            ),
            Table(
                "dream",
                (
                    Column("notes changed, at most", "{changed:.0%}"),
                    Column("judge, mean", "{judge:.3f}"),
                    Column("judge, median", "{judge_median:.3f}"),
                    Column("dream's classifier, mean", "{dreamer:.3f}"),
                ),
                heading="Probability against changed notes",
                select_rows=curve_rows,
            ),
            Table(
                "dream",
                (
                    Column("towards", "{wanted}"),
                    Column("pieces", "{pieces}"),
                    Column("judge before", "{judge_before:.3f}"),
                    Column("judge after", "{judge_after:.3f}"),
                    Column("dream's classifier", "{dreamer_after:.3f}"),
                    Column("change of the critic", "{critic_change:+.2f}"),
                    Column("notes kept", "{kept:.0%}"),
                ),
                heading="By composer",
                text="Medians.",
                select_rows=_by_composer,
            ),
        ),
    ),
)
