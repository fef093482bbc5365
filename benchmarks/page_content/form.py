"""The pages about form: bars that return, plans and time signatures."""

from page_content.definitions import Column, Page, Table, rows_of

PLAN_COLUMNS = (
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
)


PAGES = (
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
and varied returns alike, so the table has the share of literal ones beside the phrases.

**Limits.** Phrases, keys and cadences are estimated by rules from the notes, and human music is far from 100 % by
these rules; compare with its row. A key is estimated from eight bars. Structureness and phrases depend on the length,
so only equal numbers of bars compare. Composed pieces have 64 bars; longer human pieces repeat more, so a second human
row has pieces of about that length.
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
by the default command with `--bars 64`, "unranked" with `--no-search --rank-by none`.
""",
                select_rows=rows_of("classes"),
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
                select_rows=rows_of("distances"),
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
                select_rows=rows_of("structureness"),
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
                select_rows=rows_of("phrases"),
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
                select_rows=rows_of("endings"),
            ),
            Table(
                "control",
                (
                    Column("form", "{form}"),
                    Column("bars", "{bars:,}"),
                    Column("as planned", "{as_planned} %"),
                    *(Column(f"planned as {name}", f"{{{name}}} %") for name in ("exact", "varied", "rhythm", "new")),
                ),
                heading="Control",
                text="Bars of the class that was planned, of {pieces_of_a_form} unranked pieces with each form.",
            ),
        ),
    ),
    Page(
        slug="planner",
        title="The planner",
        question="do composed plans have the form of human music, and what do plans cost?",
        text="""
The planner is a language model over bars. It composes a plan: which earlier bar each bar returns to and how, phrases,
keys, chords, density, register and texture. The table compares composed plans with the plans of human pieces of the
corpus: of all that have at least 16 bars, and of those of about the same length.

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
                select_rows=rows_of("classes"),
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
                select_rows=rows_of("distances"),
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
                select_rows=rows_of("phrases"),
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
                select_rows=rows_of("keys"),
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
                select_rows=lambda result: [row for row in rows_of("costs")(result) if row["split"] == "test"],
            ),
        ),
    ),
    Page(
        slug="plan_likelihood",
        title="Likelihood with a plan",
        question="what is it worth to a model to know the metre, what repeats, and the plan?",
        text="""
The cost of held-out works in nats per quarter note under models that follow plans; lower is better. From column to
column the same network knows more: the place in the bar; also which tokens came where the text repeats itself; also
which bars return to which; also the keys, chords, densities, registers, textures and phrases of all bars. The network
learned with parts of the plan hidden, so that it can do without.

A plan has a cost of its own under the planner. Music and plan together are the cost of the music alone, because each
piece has one plan: the totals compare with the [likelihoods](likelihood.md) of models without plans.

**Limits.** A plan is read from the notes that it describes, so a column without the cost of the plan says how closely
the notes follow it, not how well music is predicted.
""",
        tables=(
            Table("plan_likelihood", PLAN_COLUMNS, heading="Piano music"),
            Table("plan_likelihood_chamber", PLAN_COLUMNS, heading="A solo instrument and piano"),
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
)
