"""The pages about critics, ranking and search."""

import json
from pathlib import Path

from page_content.definitions import Column, Page, Table, rows_of

RESULTS = Path(__file__).resolve().parents[1] / "results"
FRESH_SETS = {  # the sets of `benchmarks/fresh_judge.py --name`
    "default": "the default command",
    "ranked": "ranking alone, in the same time",
    "unranked": "unranked",
    "default_whole": "the default command, with endings",
    "long": "the default command with `--bars 64`, the first 64 quarters",
    "long_88": "the default command with `--bars 64`, the first 88 quarters",
    "long_unranked": "unranked, `--bars 64`, the first 64 quarters",
    "continued": "continuations by the default command",
}
SETS_WITH_DESCRIPTORS = ("default", "long", "continued")  # of which single descriptors are listed

CRITIC_RECIPE = """
Excerpts of 64 quarters are made by `python -m critic.excerpts`, those of the last round of searches by
`python -m critic.hard_negatives`; the model card of the critic has the commands.
"""
COMPOSER_RECIPE = """
The extra music for nine composers, and the excerpts, are made by

```
clara prepare ../shared/data/midi/chamber ../shared/data/midi/quartets data/mozart \\
    --exclude mozart-wo --out data/ensembles-12
python -m critic.excerpts data/notewise-12 --composers 12 --extra-corpora data/ensembles-12 --out runs/composers
```

and for chordwise likewise, from data/chordwise-4 and an ensembles corpus with `--encoding chordwise --max-vocab 8000`.
The folder data/mozart/mozart holds the quartets of quartets/mozart-wo under the composer's name.
"""


def _with_ensemble_auc(result: dict) -> list[dict]:
    """Return the rows of single members, with the AUC of its ensemble and of fresh judges, if there are any."""
    ensembles = {row["critic"]: row for row in result["rows"] if row["member"] == "all"}
    rows = []
    for row in result["rows"]:
        if row["member"] != "all":
            ensemble = ensembles[row["critic"]]
            fresh = {"fresh": _fresh_auc(row), "fresh_ensemble": _fresh_auc(ensemble)}
            rows.append(row | {"ensemble": ensemble["alone"]} | fresh)
    return rows


def _with_groups(result: dict) -> list[dict]:
    """Return a row for each critic with all members, and one for each group that was left out and judged."""
    whole = [row | {"left_out": "nothing"} for row in result["rows"] if row["member"] == "all" and "fresh_judge" in row]
    return whole + [row | {"left_out": ", ".join(row["left_out"])} for row in result.get("groups", [])]


def _fresh_auc(row: dict) -> str:
    """Return the AUC of a fresh judge with its interval, or a dash."""
    if "fresh_judge" not in row:
        return "–"
    low, high = row["fresh_judge_interval"]
    return f"{row['fresh_judge']:.3f} ({low:.3f} to {high:.3f})"


def _fresh_judge_summary(_result: dict) -> list[dict]:
    """Return a row for each set of pieces that fresh judges were trained on."""
    rows = []
    for name, what in FRESH_SETS.items():
        result = json.loads((RESULTS / f"fresh_judge_{name}.json").read_text(encoding="utf-8"))
        aucs = {row["name"]: row["auc"] for row in result["rows"] if row["table"] != "descriptors"}
        mean = next(row for row in result["rows"] if row["name"] == "mean of the judges")
        settings = result["settings"]
        rows.append(
            {
                "what": what,
                "generated": settings["generated"],
                "quarters": settings["quarters"],
                "descriptors": aucs["descriptors"],
                "mean": mean["auc"],
                "interval": mean["interval"],
                "repetition": aucs["bar repetition"],
            }
        )
    return rows


def _fresh_judge_tables(name: str) -> tuple[Table, ...]:
    """Return the tables of one run of `benchmarks/fresh_judge.py`, single descriptors only for some."""
    result, heading = f"fresh_judge_{name}", FRESH_SETS[name]
    auc_columns = (Column("AUC", "{auc:.3f}"), Column("95 % interval", "{interval[0]:.3f} to {interval[1]:.3f}"))
    tables = (
        Table(
            result,
            (Column("judge", "{name}"), *auc_columns),
            heading=heading,
            text="""
{generated} generated pieces, composed at commit {composed_at:.7}, and {human} human excerpts of {quarters} quarters;
{folds} folds.
""",
            select_rows=rows_of("judges"),
        ),
        Table(
            result,
            (Column("descriptors", "{name}"), Column("number", "{descriptors}"), *auc_columns),
            heading=f"{heading}: by group of descriptors",
            select_rows=rows_of("groups"),
        ),
        Table(
            result,
            (
                Column("descriptor", "{name}"),
                Column("group", "{group}"),
                Column("AUC alone", "{auc:.3f}"),
                Column("median, human", "{human:g}"),
                Column("median, generated", "{generated:g}"),
            ),
            heading=f"{heading}: the descriptors that differ most",
            select_rows=rows_of("descriptors"),
        ),
    )
    return tables if name in SETS_WITH_DESCRIPTORS else tables[:2]


PAGES = (
    Page(
        slug="critic",
        recipe=CRITIC_RECIPE,
        title="The critic",
        question="how well does the critic distinguish human from generated music, and what does it listen to?",
        text="""
The critic judges excerpts of 64 quarters of works that neither critic nor generator learned from. Human and
generated excerpts have equal length and position. AUC is the probability that a human excerpt gets the higher score
(0.5 is chance).

**Limits.** A critic knows what is unlike its own generator. It does not know what is good, and it does not know the
music of other machines: it learned to guide a search, in rounds against that search, and lost what it knew of others.
The limits of its members were chosen on these test excerpts.
""",
        tables=(
            Table(
                "critics",
                (
                    Column("critic", "{critic}"),
                    Column("sampling", "{setting}"),
                    Column("generated", "{generated}"),
                    Column("AUC", "{auc:.3f}"),
                    Column("accuracy", "{accuracy:.3f}"),
                ),
                heading="By sampling setting",
            ),
            Table(
                "critic_members",
                (
                    Column("critic", "{critic}"),
                    Column("member", "{member}"),
                    Column("AUC of the member alone", "{alone:.3f}"),
                    Column("AUC of the ensemble", "{ensemble:.3f}"),
                    Column("AUC without the member", "{without:.3f}"),
                    Column("95 % interval of the loss", "{loss_interval[0]:+.4f} to {loss_interval[1]:+.4f}"),
                    Column("milliseconds per excerpt", "{milliseconds:.1f}"),
                    Column("fresh judge, with all members", "{fresh_ensemble}"),
                    Column("fresh judge, without the member", "{fresh}"),
                ),
                heading="What each member adds",
                text="""
A member is worth what the ensemble loses without it, for the milliseconds that it takes. The last columns are about the
pieces that the critic chooses: a fresh judge separates them from human music, and a lower AUC is better. A dash means
that it was not measured. The generated excerpts are those that a search with the critic of the round before found, so
the members of the first rounds, which that search has deceived, look worse than they are to unsearched music.
""",
                select_rows=_with_ensemble_auc,
            ),
            Table(
                "critic_members",
                (
                    Column("critic", "{critic}"),
                    Column("left out", "{left_out}"),
                    Column("fresh judge", "{fresh_judge:.3f}"),
                    Column("95 % interval", "{fresh_judge_interval[0]:.3f} to {fresh_judge_interval[1]:.3f}"),
                ),
                heading="What groups of members add",
                text="""
Pieces that the default command composes with a critic that lacks some members: a higher AUC says that a fresh judge
finds them easier to distinguish from human music, so that the members pay. 96 pieces each; with fewer pieces to learn
from a judge is weaker, so compare the rows with each other and not with other tables.
""",
                select_rows=_with_groups,
            ),
            Table(
                "other_machine",
                (
                    Column("critic", "{critic}"),
                    Column("member", "{member}"),
                    Column("human pieces", "{human}"),
                    Column("pieces of the machine", "{machine}"),
                    Column("AUC", "{auc:.3f}"),
                    Column("95 % interval", "{interval[0]:.3f} to {interval[1]:.3f}"),
                ),
                heading="On the music of another machine",
                text="""
Whole chorales by KS_Chorus, a machine that no critic learned from, and chorales by Bach. People told them apart in 57 %
of their answers.
""",
            ),
            Table(
                "critic_invariance",
                (
                    Column("change", "{change}"),
                    Column("excerpts", "{excerpts}"),
                    Column("AUC", "{auc:.3f}"),
                ),
                heading="What it listens to",
                text="""
All excerpts are changed alike. If the critic only knew a grid, an opening, an ending, a key or a tempo, its
AUC would fall to chance. The rows with corruptions compare human excerpts with the same excerpts after the
change. The last rows show how far a single trivial feature gets.
""",
            ),
        ),
    ),
    Page(
        slug="composers",
        recipe=COMPOSER_RECIPE,
        title="The composer classifier",
        question="how well does the classifier recognise twelve composers?",
        text="""
All test works are held out. The generator's encoder has read some of them, so works that it has never read
have a row of their own. Cross-validation was done over the works of the training and valid splits. Balanced
accuracy gives every composer equal weight. The confusion matrices lie beside the weights under `pretrained/`.

**Limits.** Seven of the twelve composers have only four to eight test pieces; one piece moves the balanced
accuracy by one to two points.
""",
        tables=(
            Table(
                "composers",
                (
                    Column("classifier", "{classifier}"),
                    Column("works", "{works}"),
                    Column("excerpts", "{excerpts}"),
                    Column("accuracy", "{excerpt_accuracy:.3f}"),
                    Column("balanced", "{excerpt_balanced_accuracy:.3f}"),
                    Column("pieces", "{pieces}"),
                    Column("accuracy", "{piece_accuracy:.3f}"),
                    Column("balanced", "{piece_balanced_accuracy:.3f}"),
                ),
            ),
        ),
    ),
    Page(
        slug="inception",
        title="Musical inception score",
        question="is generated music as varied and as recognisable as human music?",
        text="""
The inception score (Salimans et al. 2016) of the composer classifier: it is high if the classifier is sure of
each excerpt and names many different composers. Human and generated excerpts are equally many.

**Limits.** The score says nothing about the quality of a single piece, and it is only as good as the
classifier.
""",
        tables=(
            Table(
                "inception",
                (
                    Column("classifier", "{classifier}"),
                    Column("excerpts", "{excerpts}"),
                    Column("number", "{n_excerpts}"),
                    Column("inception score", "{inception_score:.2f}"),
                    Column("largest possible score", "{composers}"),
                ),
            ),
        ),
    ),
    Page(
        slug="diversity",
        title="Variety and copying",
        question="does the search find varied pieces, and does it copy?",
        text="""
A search that finds the same few pieces again and again would please a judge and bore a listener. A run is a sequence of
four steps from one note to the next, each an interval and a time between onsets, so keys do not matter. Distinct runs
are the share of different ones among all runs of a set. The distance of two pieces is one minus the Jaccard index of
their runs. The longest copied run is counted in notes, and occurs in the training split of the corpus.

**Limits.** Human pieces are in that split themselves, so their copied runs are theirs.
""",
        tables=(
            Table(
                "diversity",
                (
                    Column("set", "{set}"),
                    Column("pieces", "{pieces}"),
                    Column("distinct runs", "{distinct_runs:.1%}"),
                    Column("mean distance", "{distance:.4f}"),
                    Column("longest copied run, median", "{copied_notes:g} notes"),
                ),
                text="The first {quarters} quarters of each piece.",
            ),
        ),
    ),
    Page(
        slug="fresh_judge",
        title="Fresh judge",
        question="can judges that learn from the pieces distinguish them from human music; what is the search worth?",
        text="""
A judge that learned from unsearched pieces cannot say whether searched ones sound human: the search learned to please
judges of its kind. A fresh judge is trained from nothing on what is put out: on pieces as the command composes them,
and on human pieces, cut to the same length. Works and runs are never on both sides of the cross-validation. An AUC of
0.5 means that the judge cannot distinguish them; lower is better.

Three kinds of judges are averaged by rank: descriptors (boosted trees, extremely randomised trees and logistic
regression), two small CNNs (piano roll and self-similarity), and a text model (TF-IDF of runs of one to four tokens,
with logistic regression). The first table of each set shows each judge and their mean. The second shows what a group
of descriptors shows alone. The third lists the single descriptors with the highest AUC; it says what to compose
better.

Nothing that is trained here, and nothing that learns from its data, may ever choose what is put out.

**Limits.** Judges are classifiers, not listeners; more data would make them sharper, so sets of different sizes do not
compare exactly. The critic has learned from about two thirds of the human works that the judges compare with, though
never from the pieces that are judged. A piece of the default command ends after 64 quarters, where a human excerpt goes
on; so the first sets are cut at 56 quarters. The sets with endings are not, and the last quarter gives them away. Bars
are taken to be three and four quarters long, both, whatever the time signature is.
""",
        tables=(
            Table(
                "fresh_judge_default",
                (
                    Column("pieces", "{what}"),
                    Column("number", "{generated}"),
                    Column("quarters", "{quarters}"),
                    Column("AUC, descriptors", "{descriptors:.3f}"),
                    Column("mean of four judges", "{mean:.3f}"),
                    Column("95 % interval", "{interval[0]:.3f} to {interval[1]:.3f}"),
                    Column("bar repetition alone", "{repetition:.3f}"),
                ),
                heading="All sets",
                select_rows=_fresh_judge_summary,
            ),
            *(table for name in FRESH_SETS for table in _fresh_judge_tables(name)),
        ),
    ),
)
