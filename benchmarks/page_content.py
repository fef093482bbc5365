"""The benchmark pages: what each page says, and the columns of its tables."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    label : str
        Heading of the column.
    template : str
        Format string that turns a row of the result file into the cell.
    """

    label: str
    template: str


@dataclass(frozen=True)
class Table:
    """A table on a page, made from one result file.

    Attributes
    ----------
    result : str
        Name of the file in `benchmarks/results/`, without suffix.
    columns : tuple of Column
    heading : str
        Heading above the table; empty for none.
    text : str
        Paragraph above the table; `{name}` stands for a setting of the result file.
    select_rows : callable or None
        Takes the result and returns the rows to show (default: its `rows`).
    """

    result: str
    columns: tuple[Column, ...]
    heading: str = ""
    text: str = ""
    select_rows: Callable[[dict], list[dict]] | None = None


@dataclass(frozen=True)
class Page:
    """A page about one subject.

    Attributes
    ----------
    slug : str
        File name without suffix.
    title : str
    question : str
        The question that the page answers, for the index.
    text : str
        What is measured, and the limits of the measurement.
    tables : tuple of Table
    recipe : str
        How to make what the commands need, as Markdown below the tables; empty for nothing.
    """

    slug: str
    title: str
    question: str
    text: str
    tables: tuple[Table, ...] = field(default_factory=tuple)
    recipe: str = ""


LIKELIHOOD_COLUMNS = (
    Column("model", "{model}"),
    Column("parameters", "{parameters:,}"),
    Column("works", "{works}"),
    Column("pieces", "{pieces}"),
    Column("quarters", "{quarters:,.0f}"),
    Column("nats per quarter, network alone", "{nats_per_quarter:.2f}"),
    Column("with the repeat model", "{nats_per_quarter_with_repeats:.2f}"),
)
JUDGE_COLUMNS = (
    Column("judge", "{judge}"),
    Column("percentile of the best", "{percentile:.1f}"),
    Column("95 % interval", "{percentile_interval[0]:.1f} to {percentile_interval[1]:.1f}"),
    Column("AUC, best", "{auc_best:.3f}"),
    Column("95 % interval", "{auc_best_interval[0]:.3f} to {auc_best_interval[1]:.3f}"),
    Column("AUC, unranked", "{auc_unranked:.3f}"),
)
MEASURE_COLUMNS = (
    Column("measure", "{measure}"),
    Column("overlap, best", "{best_area:.3f}"),
    Column("overlap, random", "{random_area:.3f}"),
    Column("gain, 95 % interval", "{gain_interval[0]:+.3f} to {gain_interval[1]:+.3f}"),
    Column("KL divergence, best", "{best_kl:.4f}"),
    Column("KL divergence, random", "{random_kl:.4f}"),
    Column("overlap, human", "{human_area:.3f}"),
)
SEARCH_COLUMNS = (
    Column("judge", "{judge}"),
    Column("percentile, independent", "{independent_percentile:.1f}"),
    Column("percentile, search", "{search_percentile:.1f}"),
    Column("gain, 95 % interval", "{percentile_gain_interval[0]:+.1f} to {percentile_gain_interval[1]:+.1f}"),
    Column("log-odds, independent", "{independent_log_odds:+.3f}"),
    Column("log-odds, search", "{search_log_odds:+.3f}"),
    Column("gain, 95 % interval", "{gain_interval[0]:+.3f} to {gain_interval[1]:+.3f}"),
    Column("AUC, independent", "{independent_auc:.3f}"),
    Column("AUC, search", "{search_auc:.3f}"),
    Column("95 % interval", "{search_auc_interval[0]:.3f} to {search_auc_interval[1]:.3f}"),
)
SEARCH_MEASURE_COLUMNS = (
    Column("measure", "{measure}"),
    Column("overlap, best of independent pieces", "{independent_area:.3f}"),
    Column("overlap, search", "{search_area:.3f}"),
    Column("overlap, random", "{random_area:.3f}"),
    Column("gain of the search over random, 95 % interval", "{gain_interval[0]:+.3f} to {gain_interval[1]:+.3f}"),
)
OVERLAP_TEXT = """
The measures are those of MusPy (Dong et al. 2020). The overlap is the overlapping area of Yang and Lerch
(2020): 1 means that pieces differ from human music as human pieces differ from each other. "Random" is the
mean over random choices of as many pieces.
"""

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
JUDGE_RECIPE = """
All judges learn from the works that are kept for them (`--split judge`) in the excerpts that the page about
[the critic](critic.md) describes. The folders have the names that the
commands above use; the flags are those of today:

```
python -m critic.train runs/excerpts-gains --split judge --member descriptors --seed 2 --out runs/judge-statistics
python -m critic.train runs/excerpts-gains --split judge --member piano_roll --bs 128 --epochs 8 \\
    --seed 4 --out runs/judge-rolls
python -m critic.train runs/excerpts-gains --split judge --member self_similarity --epochs 8 \\
    --seed 10 --out runs/judge-similarity
python -m critic.train runs/excerpts-gains --split judge --pretrained notewise --freeze-encoder --share-encoder \\
    --seed 6 --out runs/judge-frozen
python -m critic.train runs/excerpts-gains --split judge --from-scratch --arch wavenet --emb-sz 64 \\
    --n-hid 64 --n-layers 8 --drop-mult 0.5 --epochs 2 --bs 32 --lr 3e-3 --seed 8 --out runs/judge-wavenet
python benchmarks/note_list_judge.py runs/excerpts-gains --epochs 5 --seed 5 --out runs/judge-notes
python -m critic.ensemble runs/judge-frozen runs/judge-rolls runs/judge-statistics runs/judge-similarity \\
    --equal-weights --max-excerpts 2000 --excerpts runs/excerpts-gains --out runs/judge-blend
python benchmarks/mixed_judge.py runs/excerpts-gains --parts runs/judge-wavenet runs/judge-notes --out runs/judge-other
```
"""


def published_rows(result: dict) -> list[dict]:
    """Return a row for each published model of the polyphonic benchmark."""
    return [{"model": model, "values": values} for model, values in result["settings"]["published"].items()]


def _with_ensemble_auc(result: dict) -> list[dict]:
    """Return the rows of single members, each with the AUC of its ensemble."""
    ensemble_auc = {row["critic"]: row["alone"] for row in result["rows"] if row["member"] == "all"}
    return [row | {"ensemble": ensemble_auc[row["critic"]]} for row in result["rows"] if row["member"] != "all"]


def _rows_of(table: str) -> Callable[[dict], list[dict]]:
    """Return a function that selects the rows of one table of a result file."""
    return lambda result: [row for row in result["rows"] if row["table"] == table]


def _performance_methods(result: dict, split: str) -> list[dict]:
    """Return what methods of performing reach on a split."""
    rows = [row for row in _rows_of("methods")(result) if row["split"] == split]
    return [row | {"nats": "–" if row["nats_per_note"] is None else f"{row['nats_per_note']:.3f}"} for row in rows]


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
            select_rows=_rows_of("judges"),
        ),
        Table(
            result,
            (Column("descriptors", "{name}"), Column("number", "{descriptors}"), *auc_columns),
            heading=f"{heading}: by group of descriptors",
            select_rows=_rows_of("groups"),
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
            select_rows=_rows_of("descriptors"),
        ),
    )


PAGES = (
    Page(
        slug="likelihood",
        title="Likelihood of held-out music",
        question="how well do the models predict music that they have not seen?",
        text="""
The table shows the cost of held-out pieces in nats per quarter note; lower is better. Works, not files, are
held out: no version of a valid or test work is in the training data. The repeat model was fitted to the valid
works, so only its test figures are independent. Valid was also measured without one piece by Clementi, whose
tune (Rameau's Tambourin) is in the training data.

**Limits.** Figures of models with different grids or encodings do not compare: 4 steps per quarter hold less
music than 12. No published model uses this data and this unit.
""",
        tables=(
            Table("likelihood", LIKELIHOOD_COLUMNS),
            Table("likelihood_large", LIKELIHOOD_COLUMNS, heading="The large model"),
            Table(
                "precision",
                (
                    Column("model", "{model}"),
                    Column("format", "{format}"),
                    Column("nats per quarter, valid works", "{valid_nats_per_quarter:.3f}"),
                    Column("cost of rounding", "{cost_percent:.3f} %"),
                ),
                heading="What half precision costs",
                text="The weights of a run's last epoch, in float32 and rounded. Model files store float16.",
            ),
        ),
    ),
    Page(
        slug="repeats",
        title="Repeats in composed music",
        question="does composed music return to what it has said, as human music does?",
        text="""
The table compares human excerpts of test works with pieces that notewise-large composes without a prompt. It
counts the share of tokens at the end of a repetition of an earlier passage in the same excerpt. "Near" means
a repetition of what was played a few quarters ago. "In loops" is the share of pieces that mostly repeat what
they have just repeated.

**Limits.** The measure finds exact repetitions (transposed or not) of the text or of an outer voice, not
variations.

Earlier versions multiplied the weight of repeats by gains. They were removed: without them repeats in the same key are
as frequent as in human music, with them they were more frequent.
""",
        tables=(
            Table(
                "repeats",
                (
                    Column("music", "{music}"),
                    Column("pieces", "{pieces}"),
                    Column("same key", "{same_key_percent} %"),
                    Column("another key", "{other_key_percent} %"),
                    Column("near", "{near_percent} %"),
                    Column("outer voices, same key", "{outer_voices_same_key_percent} %"),
                    Column("outer voices, another key", "{outer_voices_other_key_percent} %"),
                    Column("in loops", "{loops_percent} %"),
                ),
                text="""
Pieces of {quarters} quarters. A repetition has at least {min_tokens} tokens, or {min_notes} notes of an outer
voice; a near one lies at most {near_quarters} quarters back. In a piece in loops, more than {loop_share:.0%}
of the tokens repeat what directly precedes them.
""",
            ),
        ),
    ),
    Page(
        slug="encodings",
        title="Encodings",
        question="which way to write music as text is learned best?",
        text="""
The same small AWD-LSTM (128/256/2) is trained on each encoding for the same time, from the same seed, on the
same pieces in all keys. The table shows the cost of held-out works. Every encoding is lossless on its grid.

**Limits.** The figures hold for a small model and about four passes over the data; a longer training may
order the encodings differently. Figures for 4 and 12 steps per quarter do not compare. Chordwise with holds
has too many different chords for a small model: only the most frequent chord shapes are single tokens, the
others are spelled key by key.
""",
        tables=(
            Table(
                "encodings",
                (
                    Column("steps per quarter", "{steps_per_quarter}"),
                    Column("encoding", "{encoding}"),
                    Column("nats per quarter", "{nats_per_quarter:.2f}"),
                    Column("tokens per quarter", "{tokens_per_quarter:.1f}"),
                    Column("vocabulary", "{vocabulary:,}"),
                    Column("parameters", "{parameters:,}"),
                    Column("million tokens read", "{million_tokens:.1f}"),
                ),
            ),
        ),
    ),
    Page(
        slug="architectures",
        title="Architectures",
        question="is WaveNet or an LSTM the better model of music text?",
        text="""
AWD-LSTM, a plain LSTM and WaveNet have about the same number of parameters and train for the same CPU time on
the same pieces. The table shows the cost of held-out works and the speed of training and composing on one
core.

**Limits.** The models are small and the training is short (some minutes).
""",
        tables=(
            Table(
                "architectures",
                (
                    Column("architecture", "{architecture}"),
                    Column("embedding/hidden/layers", "{sizes}"),
                    Column("parameters", "{parameters:,}"),
                    Column("nats per quarter", "{nats_per_quarter:.2f}"),
                    Column("million tokens read", "{million_tokens:.1f}"),
                    Column("training, tokens/s", "{training_tokens_per_second:,}"),
                    Column("composing 1 piece, tokens/s", "{composing_tokens_per_second_1:,}"),
                    Column("composing 16 pieces, tokens/s", "{composing_tokens_per_second_16:,}"),
                ),
            ),
        ),
    ),
    Page(
        slug="polyphonic",
        title="The polyphonic benchmark of 2012",
        question="how does the model compare with published ones on JSB, Nottingham, MuseData and Piano-midi?",
        text="""
Boulanger-Lewandowski, Bengio and Vincent (2012) published four sets of piano rolls with a fixed split. The
unit is nats per frame; lower is better. Clara's AWD-LSTM reads framewise text and gets context features:
earlier frames, how long each key has sounded, and what followed the most similar passages of the piece. The
epoch was chosen on valid; test was read once. "All keys" averages the predictions for transposed copies of a
piece. "Dynamic" is dynamic evaluation (Krause et al. 2018): the network keeps learning from what it has read
of a piece.

**Limits.** One test tune of Nottingham is also a training tune. Pieces repeat themselves, and the model can
look up what stands earlier in the piece; in Piano-midi test pieces do so more than valid ones. The last three
published rows come from secondary sources and from data whose keys may be normalised differently; DBN-LSTM
was never reproduced.
""",
        tables=(
            Table(
                "polyphonic",
                (
                    Column("set", "{dataset}"),
                    Column("parameters", "{parameters:,}"),
                    Column("minutes", "{minutes:g}"),
                    Column("valid", "{valid:.3f}"),
                    Column("test", "{test:.3f}"),
                    Column("test, all keys", "{test_all_keys:.3f}"),
                    Column("test, dynamic", "{test_dynamic:.3f}"),
                    Column("repeated frames, valid", "{repeated_frames[valid]:.0%}"),
                    Column("repeated frames, test", "{repeated_frames[test]:.0%}"),
                ),
                heading="Clara",
            ),
            Table(
                "polyphonic",
                (
                    Column("model", "{model}"),
                    Column("JSB", "{values[0]}"),
                    Column("Nottingham", "{values[1]}"),
                    Column("MuseData", "{values[2]}"),
                    Column("Piano-midi", "{values[3]}"),
                ),
                heading="Published test figures",
                select_rows=published_rows,
            ),
            Table(
                "polyphonic_trials",
                (
                    Column("set", "{dataset}"),
                    Column("trial", "{trial}"),
                    Column("epochs", "{epochs}"),
                    Column("valid", "{valid:.3f}"),
                    Column("CPU minutes", "{minutes:g}"),
                ),
                heading="Trials",
                text="How the settings were chosen, on valid alone.",
            ),
        ),
    ),
    Page(
        slug="finetuning",
        title="Fine-tuning on ten pieces",
        question="which way of fine-tuning is best for little data, and what is forgotten?",
        text="""
The shipped notewise model is fine-tuned on a few movements of the cello suites; a third of the movements is
held out. The table shows the cost of the held-out movements, the cost of the base model's own test works
afterwards (what was forgotten), the training time and the size of the new weights.

**Limits.** One style, one seed. An adapter that is not loaded changes nothing, so its second column matters
only while it is in use.
""",
        tables=(
            Table(
                "finetune",
                (
                    Column("method", "{method}"),
                    Column("nats per quarter, new music", "{nats_per_quarter:.2f}"),
                    Column("nats per quarter, base's test works", "{base_nats_per_quarter:.2f}"),
                    Column("minutes", "{minutes:g}"),
                    Column("kB", "{kilobytes:,}"),
                ),
                text="{train_pieces} movements to train on, {held_out_pieces} held out; {threads} thread.",
            ),
        ),
    ),
    Page(
        slug="filling",
        title="Filling a gap",
        question="does choosing among many fillings make the music after the gap more likely?",
        text="""
In held-out pieces a gap of a few quarters is filled many times. The fillings are ranked by the likelihood of
the quarters just after the gap. The table shows the cost of the music after the gap given a mean filling, the
most likely filling, and the original.

**Limits.** The quarters of the first row decided the choice, so their gain says little. Those of the second
row had no part in it.
""",
        tables=(
            Table(
                "filling",
                (
                    Column("quarters", "{quarters}"),
                    Column("mean filling", "{mean_filling:.2f}"),
                    Column("most likely filling", "{most_likely_filling:.2f}"),
                    Column("original", "{original:.2f}"),
                    Column("pieces where the choice helps", "{improved_percent_of_pieces} %"),
                ),
                text="""
{pieces} pieces, {candidates} fillings each, of quarters {gap[0]} to {gap[1]}. Unit: nats per quarter.
""",
            ),
        ),
    ),
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

**Limits.** A critic knows what is unlike its own generator. It does not know what is good. Music of other
generators was not judged here.
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
                ),
                heading="What each member adds",
                text="""
The ensembles before members were removed. A member stays if removing it costs at least 0.003 AUC: critic-notewise lost
its text member, critic-chordwise its text and piano-roll members.
""",
                select_rows=_with_ensemble_auc,
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
        slug="ranking",
        recipe=JUDGE_RECIPE,
        title="Ranking",
        question="are the pieces that the critic ranks first better in the eyes of judges that it never saw?",
        text="""
A batch of independent pieces is ranked; judges that learned from other works than the critic rate the best.
The percentile of the best is among their own batch (50 is chance). The AUC compares human excerpts of the
same length with the best (0.5: no difference to the judge). The judges are: an ensemble like the
critic, members of that ensemble alone, and two judges of other architectures. Pieces are continuations of
prompts from test works, or have no prompt.

**Limits.** The judges are classifiers, not listeners. They were trained on unsearched music of the same generators
as the critic, so they say little about music that was chosen to please a critic. The figures are of the commits
named below, before members were removed from the critics and gains from the repeat model. The likelihood under
another model prefers predictable music, human music included.
""",
        tables=(
            Table("ranking", JUDGE_COLUMNS, heading="Continuations", text="Ranked by `{rank_by}`."),
            Table("ranking_free", JUDGE_COLUMNS, heading="Without a prompt", text="Ranked by `{rank_by}`."),
            Table(
                "ranking_measures",
                MEASURE_COLUMNS,
                heading="Statistics of continuations",
                text=OVERLAP_TEXT + "The last column compares one half of the human music with the other.",
            ),
            Table("ranking_free_measures", MEASURE_COLUMNS, heading="Statistics without a prompt"),
        ),
    ),
    Page(
        slug="search",
        title="Search guided by the critic",
        question="does the search find better pieces than ranking independent ones?",
        text="""
The search rates unfinished pieces with the critic every few quarters and continues the best. Its results
are compared with the best of as many independent pieces, as on the page about [ranking](ranking.md), by
judges that learned from other works. An AUC below 0.5 means that the judge takes the pieces for human more
often than human music. It does not mean that they are better than human music: they are closer to what the
judge takes for typical.

**Limits.** The judges are classifiers, not listeners. The search writes more notes per quarter than
independent sampling does; the last tables therefore compare it with more independent pieces.
""",
        tables=(
            Table(
                "search",
                SEARCH_COLUMNS,
                heading="Continuations",
                text="""
{batches} prompts, {n_pieces} pieces with {candidates_per_beam} candidates per beam, ranked by `{rank_by}`.
""",
            ),
            Table(
                "search_free",
                SEARCH_COLUMNS,
                heading="Without a prompt",
                text="{batches} batches, ranked by `{rank_by}`.",
            ),
            Table("search_measures", SEARCH_MEASURE_COLUMNS, heading="Statistics of continuations", text=OVERLAP_TEXT),
            Table("search_free_measures", SEARCH_MEASURE_COLUMNS, heading="Statistics without a prompt"),
            Table(
                "search_equal_tokens",
                SEARCH_COLUMNS,
                heading="Against more independent pieces",
                text="""
Without a prompt, the best {n_best} of {independent} independent pieces, which have more notes in all.
""",
            ),
            Table(
                "search_equal_tokens_measures",
                SEARCH_MEASURE_COLUMNS,
                heading="Statistics against more independent pieces",
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

**Limits.** Judges are classifiers, not listeners; more data would make them sharper. Human excerpts are cut at the
length at which composed pieces end, so endings count as a difference. The set of the default
search is smaller than the 256 pieces that this measure asks for. Judges learn less from fewer pieces, so the two sets
do not compare exactly. Bars are taken to be three and four quarters
long, both, whatever the time signature is.
""",
        tables=(
            *_fresh_judge_tables("fresh_judge_unranked", "Without ranking"),
            *_fresh_judge_tables("fresh_judge_searched", "Default search"),
        ),
    ),
    Page(
        slug="form",
        title="Form",
        question="do bars, phrases and keys return as in human music, and do pieces end?",
        text="""
Each bar is compared with all earlier ones: *exact* (the same onsets and pitches), *varied* (Jaccard index of the
(onset, pitch) pairs at least 0.5), *transposed* (all notes moved by one interval), *rhythm* (Jaccard index of the
onsets at least 0.8) or *new*. Bars follow the time signatures of the file; the first bar does not count.

Structureness is the indicator of Wu and Yang (2020), with bars as the unit and the self-similarity of harmony: how
well the best segment of that length is repeated, and how much of the piece its repetitions cover. It counts literal
and varied returns alike, so the share of literal ones stands beside the phrases.

**Limits.** Phrases, keys and cadences are estimated by rules from the notes, and human music is far from 100 % by
these rules; compare with its row. A key is estimated from eight bars. Structureness and phrases depend on the length,
so only equal numbers of bars compare. Generated files say 4/4 throughout and hold 16 bars.
""",
        tables=(
            Table(
                "form",
                (
                    Column("music", "{set}"),
                    Column("part", "{part}"),
                    Column("pieces", "{pieces:,}"),
                    Column("bars", "{bars:,}"),
                    Column("exact", "{exact} %"),
                    Column("varied", "{varied} %"),
                    Column("transposed", "{transposed} %"),
                    Column("rhythm", "{rhythm} %"),
                    Column("new", "{new} %"),
                ),
                heading="Bar classes",
                text="""
Pieces of at least {min_bars} bars. `benchmarks/fresh_judge.py --compose-only` composed the generated ones: "searched"
by the default command, "unranked" with `--no-search --rank-by none`.
""",
                select_rows=_rows_of("classes"),
            ),
            Table(
                "form",
                (
                    Column("music", "{set}"),
                    Column("exact bars", "{returns:,}"),
                    *(Column(f"{n} bars", f"{{d{n}}} %") for n in (1, 2, 4, 8, 12, 16, 24, 32)),
                    Column("multiples of 4", "{multiples_of_4} %"),
                ),
                heading="Distances of exact returns",
                text="From a bar to the bar that it repeats; of several, the one at the distance of the bar before.",
                select_rows=_rows_of("distances"),
            ),
            Table(
                "form",
                (
                    Column("music", "{set}"),
                    Column("first bars", "{bars}"),
                    Column("pieces", "{pieces:,}"),
                    Column("length of the segment", "{scale}"),
                    Column("median", "{median:.3f}"),
                    Column("quartiles", "{lower:.3f} to {upper:.3f}"),
                ),
                heading="Structureness",
                select_rows=_rows_of("structureness"),
            ),
            Table(
                "form",
                (
                    Column("music", "{set}"),
                    Column("first bars", "{bars}"),
                    Column("literal, of exact, varied and transposed bars", "{literal} %"),
                    Column("variance of self-similarity at 4, 8, 16, 32 bars", "{lag_variance} %"),
                    Column("bars per phrase", "{phrase_bars}"),
                    Column("phrases that start at multiples of 4 bars", "{at_multiples_of_four} %"),
                ),
                heading="Phrases",
                text="A phrase that starts at random does so at a multiple of 4 bars in 25 % of cases.",
                select_rows=_rows_of("phrases"),
            ),
            Table(
                "form",
                (
                    Column("music", "{set}"),
                    Column("tonic in the bass", "{tonic_bass} %"),
                    Column("only the tonic chord", "{tonic} %"),
                    Column("after a dominant", "{cadence} %"),
                    Column("begins and ends on one tonic", "{same_tonic} %"),
                    Column("in one key", "{same_key} %"),
                ),
                heading="Endings",
                text="Share of pieces. The chord must begin on a strong beat of the last bar that has onsets.",
                select_rows=_rows_of("endings"),
            ),
        ),
    ),
    Page(
        slug="planner",
        title="The planner",
        question="do composed plans have the form of human music, and what do plans cost?",
        text="""
The planner is a language model over bars. It composes a plan: which earlier bar each bar returns to and how, phrases,
keys, chords, density, register and texture. Composed plans stand beside the plans of human pieces of the corpus: of all
that have at least 16 bars, and of those of about the same length.

**Limits.** The tables compare plans, not music: a generator has to follow them. Human pieces are those of all splits,
which the planner knows for the most part; costs are of valid and test pieces.
""",
        tables=(
            Table(
                "planner",
                (
                    Column("plans", "{set}"),
                    Column("part", "{part}"),
                    Column("number", "{pieces:,}"),
                    Column("exact", "{exact} %"),
                    Column("varied", "{varied} %"),
                    Column("transposed", "{transposed} %"),
                    Column("rhythm", "{rhythm} %"),
                    Column("new", "{new} %"),
                ),
                heading="Relations of bars",
                text="Composed plans have {n_bars} bars; 64 of them take {seconds_for_64_plans} s on one core.",
                select_rows=_rows_of("classes"),
            ),
            Table(
                "planner",
                (
                    Column("plans", "{set}"),
                    Column("exact bars", "{returns:,}"),
                    *(Column(f"{n} bars", f"{{d{n}}} %") for n in (1, 2, 4, 8, 12, 16, 24, 32)),
                    Column("multiples of 4", "{multiples_of_4} %"),
                ),
                heading="Distances of exact returns",
                select_rows=_rows_of("distances"),
            ),
            Table(
                "planner",
                (
                    Column("plans", "{set}"),
                    Column("bars per phrase", "{bars_per_phrase}"),
                    Column("phrases that start at multiples of 4 bars", "{at_multiples_of_four} %"),
                    Column("exact bars in a row", "{exact_run_bars}"),
                ),
                heading="Phrases",
                select_rows=_rows_of("phrases"),
            ),
            Table(
                "planner",
                (
                    Column("plans", "{set}"),
                    Column("begin in the home key", "{begins_in_home_key} %"),
                    Column("end in it", "{ends_in_home_key} %"),
                    Column("last chord on the tonic", "{last_chord_on_tonic} %"),
                    Column("bars in the home key", "{bars_in_home_key} %"),
                    Column("changes of key in 100 bars", "{key_changes_per_100_bars}"),
                ),
                heading="Keys",
                select_rows=_rows_of("keys"),
            ),
            Table(
                "planner",
                (
                    Column("model", "{model}"),
                    Column("attributes", "{attributes}"),
                    Column("part of the plan", "{kind}"),
                    Column("nats per bar", "{nats_per_bar:.3f}"),
                    Column("nats per quarter note", "{nats_per_quarter:.3f}"),
                ),
                heading="Costs",
                text="Of the plans of test pieces, with all attributes and with all of them left open.",
                select_rows=lambda result: [row for row in _rows_of("costs")(result) if row["split"] == "test"],
            ),
        ),
    ),
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
Test and valid pieces are few; other movements of the same collections are in training. The valid pieces chose the
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
                    for row in _rows_of("pieces")(result)
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
                select_rows=_rows_of("habits"),
            ),
        ),
    ),
    Page(
        slug="plan_likelihood",
        title="Likelihood with a plan",
        question="what is it worth to a model to know the metre, what repeats, and the plan?",
        text="""
The cost of held-out works in nats per quarter note under models that follow plans; lower is better. Each column tells
the same network more: the place in the bar; also which tokens came where the text repeats itself; also which bars
return to which; also the keys, chords, densities, registers, textures and phrases of all bars. The network learned with
parts of the plan hidden, so that it can do without.

A plan has a cost of its own under the planner. Music and plan together are the cost of the music alone, because each
piece has one plan: the totals compare with the [likelihoods](likelihood.md) of models without plans.

**Limits.** A plan is read from the notes that it describes, so a column without the cost of the plan says how closely
the notes follow it, not how well music is predicted.
""",
        tables=(
            Table(
                "plan_likelihood",
                (
                    Column("model", "{model}"),
                    Column("parameters", "{parameters:,}"),
                    Column("works", "{split}"),
                    Column("pieces", "{pieces}"),
                    Column("metre", "{metre:.2f}"),
                    Column("repeats", "{repeats:.2f}"),
                    Column("returns", "{returns:.2f}"),
                    Column("their cost", "{returns_cost:.2f}"),
                    Column("total with returns", "{returns_total:.2f}"),
                    Column("whole plan", "{plan:.2f}"),
                    Column("its cost", "{plan_cost:.2f}"),
                    Column("total with the plan", "{plan_total:.2f}"),
                ),
            ),
        ),
    ),
    Page(
        slug="compose_time",
        title="Time to compose",
        question="how long does it take from the command to the last file?",
        text="""
Each command runs in a process of its own on a warm disk, several times. Pieces last half a minute. A stream's
time counts from the call, with the model loaded.

**Limits.** The times depend on the processor: one with bfloat16 products is up to twice as fast as an older
one. Another machine of the same kind was a third to a half faster. Of a search only the tokens of the pieces
that it keeps are counted.
""",
        tables=(
            Table(
                "compose_time",
                (
                    Column("task", "{task}"),
                    Column("tokens", "{tokens:,}"),
                    Column("seconds, median", "{median_seconds:g}"),
                    Column("seconds, best", "{best_seconds:g}"),
                ),
                text="{rounds} rounds; the model is `{model}` where none is named.",
            ),
        ),
    ),
    Page(
        slug="generation_speed",
        title="Speed of composing",
        question="how many tokens per second does Clara compose, beside fastai and GPT-2?",
        text="""
All networks are untrained and have about the same number of parameters. Clara's figures include everything
that composing does (8-bit products, grammar, temperature, top-p). Those of fastai's own network and of a
Hugging Face GPT-2 with its cache include only the network and a plain draw. The limit of the processor is its
fastest 8-bit product of large matrices, and reading all weights once for each step.

**Limits.** On a shared machine speeds differ by up to two thirds between runs, their ratios by up to a fifth.
""",
        tables=(
            Table(
                "generate_speed",
                (
                    Column("threads", "{threads}"),
                    Column("pieces at once", "{bs}"),
                    Column("Clara, tokens/s", "{clara_tokens_per_second:,}"),
                    Column("fastai", "{fastai_tokens_per_second:,}"),
                    Column("GPT-2", "{gpt2_tokens_per_second:,}"),
                    Column("speedup over fastai", "{speedup_over_fastai:g}"),
                    Column("speedup over GPT-2", "{speedup_over_gpt2:g}"),
                    Column("share of the limit", "{share_of_limit:.0%}"),
                ),
                text="""
{parameters:,} parameters (GPT-2: {gpt2_parameters:,}); best of {rounds} rounds. Peak rates of one core:
{peak_rates_of_one_core[onednn]:,.0f} billion 8-bit operations per second (oneDNN), reading
{peak_rates_of_one_core[reading]:g} GB per second. 8-bit weights cost {int8_cost_percent:.2f} % in nats.
""",
            ),
        ),
    ),
    Page(
        slug="training_speed",
        title="Speed of training",
        question="how many tokens per second does Clara train on, beside fastai?",
        text="""
Both train an AWD-LSTM of the same sizes with fastai's default dropouts on the same tokens. Each uses its own
learner, data loader and callbacks. Clara trains in all keys, with bfloat16 if the processor has it. The peak
is the fastest matrix product found on the machine.

**Limits.** One processor; GPUs were not measured.
""",
        tables=(
            Table(
                "train_speed",
                (
                    Column("embedding/hidden/layers", "{sizes}"),
                    Column("on", "{device}, {threads} threads"),
                    Column("Clara, tokens/s", "{clara_tokens_per_second:,}"),
                    Column("fastai, tokens/s", "{fastai_tokens_per_second:,}"),
                    Column("speedup", "{speedup:g}"),
                    Column("share of the peak", "{share_of_peak:.0%}"),
                ),
                text="Batch size {bs}, windows of {bptt} tokens, best of {rounds} rounds.",
            ),
        ),
    ),
    Page(
        slug="encoding_speed",
        title="Speed of encoding",
        question="how fast are files read and written as text, and how much memory does it take?",
        text="""
MIDI files are read and written as text on one core. Score files are read to notes by several libraries and
compared with Clara's own reading. Last, many files are encoded at once by the whole program.

**Limits.** symusic and music21 only parse; Clara reads MIDI through symusic. Only small scores are compared
here, because music21 is slow. verovio has no row for ABC because some ABC files abort its process. It pads
short bars, and symusic delays the notes of a chord, so the order of the chords is compared, too. What verovio
and symusic play beyond the notes (grace notes, ornaments, repeats) is taken out of the text for them.
""",
        tables=(
            Table(
                "encode_speed",
                (
                    Column("reader", "{reader}"),
                    Column("files per second", "{files_per_second:g}"),
                    Column("notewise is this many times as fast", "{notewise_speedup:g}"),
                ),
                heading="MIDI to text",
            ),
            Table(
                "score_readers",
                (
                    Column("format", "{format}"),
                    Column("reader", "{reader}"),
                    Column("files per second", "{files_per_second:g}"),
                    Column("read", "{read} of {files}"),
                    Column("same onsets and pitches as Clara", "{same_onsets_and_pitches} of {compared}"),
                    Column("same chords in order", "{same_chords} of {compared}"),
                ),
                heading="Scores to notes",
            ),
            Table(
                "score_losses",
                (
                    Column("format", "{format}"),
                    Column("files or tunes", "{pieces:,}"),
                    Column("notes in the text", "{notes:,}"),
                    Column("notes lost", "{lost:,}"),
                    Column("signs that were not read", "{unread:,}"),
                    Column("quarter tones rounded", "{microtones:,}"),
                ),
                heading="Notes in the text and notes read",
                text="""
All scores of music21's corpus. The notes in the text are counted without the reader: by the look of Humdrum
tokens, by `<note>` elements, and by letters in lines of ABC music.
""",
            ),
            Table(
                "midi_losses",
                (
                    Column("folder", "{folder}"),
                    Column("files", "{files:,}"),
                    Column("notes in the files", "{notes:,}"),
                    Column("notes read", "{read:,}"),
                    Column("drum notes left out", "{drums:,}"),
                    Column("merged: doubles in the file", "{doubles:,}"),
                    Column("merged: met on the grid", "{met_on_grid:,}"),
                    Column("unexplained", "{unexplained:,}"),
                    Column("files with other onsets or pitches", "{files_that_differ:,}"),
                ),
                heading="Notes in MIDI files and notes read",
                text="""
mido counts the note-on events; Clara reads through symusic, on {steps_per_quarter} steps per quarter, all tracks as one
piano part. Two notes of one pitch that begin together are one note on a piano: voices in unison and tracks that double
each other. Onsets and pitches on the grid are compared as sets.
""",
            ),
            Table(
                "encode_scale",
                (
                    Column("task", "{task}"),
                    Column("seconds", "{seconds:g}"),
                    Column("memory of all processes, MB", "{all_pss_mb:g}"),
                    Column("memory of the driver, MB", "{driver_rss_mb:g}"),
                ),
                heading="Many files",
                text="{files:,} files on {workers} worker processes. Shared memory pages are counted once.",
            ),
        ),
    ),
    Page(
        slug="time_signatures",
        title="Estimated time signatures",
        question="how often is the time signature right that Clara estimates for music that names none?",
        text="""
The written time signature of a file is hidden, and the estimate compared with it. Files count if one signature
holds for nine tenths of them. The weights of the estimate were fitted on other files of the same sources.

- **Division**: duple (2/4, 4/4, 2/2), triple (3/4, 3/2) or compound (3/8, 6/8, 9/8, 12/8, 6/4).
- **Barlines**: of the files with the right division, those whose estimated barlines stand on written ones, or the
  other way round.

**Limits.** In chorales, which move in equal chords, most upbeats are missed. Files that come without a time
signature in practice may be less regular than these.
""",
        tables=(
            Table(
                "time_signatures",
                (
                    Column("music", "{music}"),
                    Column("quarters from the beginning", "{quarters}"),
                    Column("files", "{pieces}"),
                    Column("right division", "{division:.1%}"),
                    Column("if 4/4 were always taken", "{division_if_always_common_time:.1%}"),
                    Column("right barlines among these", "{barlines:.1%}"),
                    Column("both right", "{division_and_barlines:.1%}"),
                ),
            ),
        ),
    ),
    Page(
        slug="scoring_speed",
        title="Speed of the critic",
        question="how long does it take to score pieces?",
        text="""
Half-minute pieces are scored with all members of the critic, beside fastai's `get_preds` with a text
classifier of the same encoder size. Loading is not counted.

**Limits.** fastai runs one network, the critic several. An older processor without bfloat16 products takes
about twice as long.
""",
        tables=(
            Table(
                "rank_speed",
                (
                    Column("input", "{input}"),
                    Column("pieces", "{pieces}"),
                    Column("seconds", "{seconds:.2f}"),
                    Column("speed relative to fastai", "{speed_over_fastai:g}"),
                ),
                text="{threads} threads, best of {rounds} rounds.",
            ),
        ),
    ),
    Page(
        slug="wellformedness",
        title="Well-formed text",
        question="is every generated text valid music that keeps to the constraints?",
        text="""
Untrained networks write random text, which is harder for the grammar than trained ones. Every second batch
must keep to a key, a range and at most four notes at once. A text is malformed if decoding loses anything, if
its length is not the requested one, if a constraint is broken, or if encoding its notes gives another text.
The last check does not apply to melodywise, whose beat strengths depend on the time signature.
""",
        tables=(
            Table(
                "wellformed",
                (
                    Column("encoding", "{encoding}"),
                    Column("tokens", "{tokens:,}"),
                    Column("texts", "{texts:,}"),
                    Column("malformed", "{malformed}"),
                ),
            ),
        ),
    ),
    Page(
        slug="reliability",
        title="Reliability",
        question="do encodings lose nothing, and do trainings, clusters and readers survive failures and harm?",
        text="""
Four checks with yes-or-no answers: the text gives the notes back in all keys; a training that is killed
again and again ends with the same weights as one left alone; encoding on a cluster survives the loss of a
worker and of a machine; broken and hostile files, model folders and requests are read or refused by name.
""",
        tables=(
            Table(
                "round_trip",
                (
                    Column("encoding", "{encoding}"),
                    Column("steps per quarter", "{steps_per_quarter}"),
                    Column("generated pieces", "{generated:,}"),
                    Column("files", "{files:,}"),
                    Column("transpositions of files", "{file_transpositions:,}"),
                    Column("differences", "{differences}"),
                ),
                heading="Round trip of the lossless encodings",
                text="""
Each piece is encoded, decoded and compared. Each transposition of the text must equal the text of the
transposed notes. Files are checked in every key that fits, generated note sequences in one. Melodywise gives
back a single line.
""",
            ),
            Table(
                "kills",
                (
                    Column("kills", "{kills}"),
                    Column("epochs", "{epochs}"),
                    Column("same final state", "{same_state}"),
                    Column("same kept weights", "{same_weights}"),
                ),
                heading="Killed trainings",
                text="A training gets SIGKILL at random moments and is resumed each time. Equality is bit by bit.",
            ),
            Table(
                "cluster",
                (
                    Column("texts", "{texts:,}"),
                    Column("texts when a worker was killed", "{texts_at_worker_kill}"),
                    Column("texts when a node was lost", "{texts_at_node_loss}"),
                    Column("texts that differ", "{different_texts}"),
                    Column("seconds, one machine", "{one_machine_seconds:g}"),
                    Column("seconds, cluster", "{cluster_seconds:g}"),
                ),
                heading="Encoding on a Ray cluster",
                text="""
{nodes} nodes with {cpus_per_node} CPU each; a worker is killed, later a whole node is lost. Both nodes run on
one machine, so no gain in time is possible.
""",
            ),
            Table(
                "fuzz",
                (
                    Column("kind", "{kind}"),
                    Column("items", "{items:,}"),
                    Column("read", "{read:,}"),
                    Column("refused by a named error", "{refused:,}"),
                    Column("errors without a name", "{unnamed}"),
                    Column("timeouts", "{timeouts}"),
                    Column("out of memory", "{out_of_memory}"),
                    Column("crashes", "{crashes}"),
                ),
                heading="Broken and hostile input",
                text="""
Small files of each format, model folders and requests of the page are mutated: bytes, lines, numbers and values
are changed, removed, repeated or cut off. Each item is read in a process that may take {seconds} seconds and
{memory_mb} MB.
""",
            ),
        ),
    ),
)
