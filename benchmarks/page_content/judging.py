"""The pages about critics, ranking and search."""

from page_content.definitions import Column, Page, Table, rows_of

CRITIC_RECIPE = """
Excerpts of 32 quarters are made by

```
python -m critic.excerpts data/notewise-12 --models notewise notewise-large -n 16000 --seed 3 --out runs/excerpts-gains
python -m critic.excerpts data/chordwise-4 --models chordwise -n 4000 --out runs/excerpts-chordwise
```
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


def _fresh_auc(row: dict) -> str:
    """Return the AUC of a fresh judge with its interval, or a dash."""
    if "fresh_judge" not in row:
        return "–"
    low, high = row["fresh_judge_interval"]
    return f"{row['fresh_judge']:.3f} ({low:.3f} to {high:.3f})"


def _fresh_judge_tables(result: str, heading: str) -> tuple[Table, ...]:
    """Return the tables of one run of `benchmarks/fresh_judge.py`."""
    auc_columns = (Column("AUC", "{auc:.3f}"), Column("95 % interval", "{interval[0]:.3f} to {interval[1]:.3f}"))
    return (
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


PAGES = (
    Page(
        slug="critic",
        recipe=CRITIC_RECIPE,
        title="The critic",
        question="how well does the critic distinguish human from generated music, and what does it listen to?",
        text="""
The critics judge excerpts of 32 quarters of works that neither critic nor generator learned from. Human and
generated excerpts have equal length and position; prompts are cut off. Sampling settings vary; corrupted
human excerpts count as generated. AUC is the probability that a human excerpt gets the higher score (0.5 is
chance).

**Limits.** A critic knows what is unlike its own generator. It does not know what is good, and it hardly knows the
music of other machines.
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
that it was not measured.

The ensembles before members were removed. A member stays if removing it costs at least 0.003 AUC: critic-notewise lost
its text member, critic-chordwise its text and piano-roll members.
""",
                select_rows=_with_ensemble_auc,
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
        slug="fresh_judge",
        title="Fresh judge",
        question="can judges that are trained on the very pieces tell them from human music?",
        text="""
The fixed judges of the pages on ranking and search learned from pieces that no search had chosen, and the search
learned to please judges of their kind. A fresh judge is trained from nothing on what is put out: on pieces as the
command composes them, and on openings of human pieces of the same length. Works and runs are never on both sides of
the cross-validation. An AUC of 0.5 means that the judge cannot tell them apart; lower is better.

Three kinds of judges are averaged by rank: descriptors (boosted trees, extremely randomised trees and logistic
regression), two small CNNs (piano roll and self-similarity), and a text model (TF-IDF of runs of one to four tokens,
with logistic regression). The first table of each set shows each judge and their mean. The second shows what a group
of descriptors shows alone. The third lists the single descriptors with the highest AUC; it says what to compose
better.

Nothing that is trained here, and nothing that learns from its data, may ever choose what is put out.

**Limits.** Judges are classifiers, not listeners; more data would make them sharper. Composed pieces have 64 bars and
are cut like the human ones, so endings do not count, except in bars that are short. The set of the default search is
smaller than the 256 pieces that this measure asks for. Judges learn less from fewer pieces, so the two sets do not
compare exactly. Bars are taken to be three and four quarters long, both, whatever the time signature is.
""",
        tables=(
            *_fresh_judge_tables("fresh_judge_unranked", "Without ranking"),
            *_fresh_judge_tables("fresh_judge_searched", "Default search"),
        ),
    ),
)
