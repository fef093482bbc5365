"""The pages about models: likelihood, encodings, architectures, training."""

from page_content.definitions import Column, Page, Table, rows_of

LIKELIHOOD_COLUMNS = (
    Column("model", "{model}"),
    Column("parameters", "{parameters:,}"),
    Column("works", "{works}"),
    Column("pieces", "{pieces}"),
    Column("quarters", "{quarters:,.0f}"),
    Column("nats per quarter, network alone", "{nats_per_quarter:.2f}"),
    Column("with the repeat model", "{nats_per_quarter_with_repeats:.2f}"),
)


def published_rows(result: dict) -> list[dict]:
    """Return a row for each published model of the polyphonic benchmark."""
    return [{"model": model, "values": values} for model, values in result["settings"]["published"].items()]


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

The notewise and chamber models are those from which today's were trained on; these follow [plans](plan_likelihood.md).

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
        slug="tune",
        title="A search for recipes",
        question="what is a search by `clara tune` worth, and do cost and Inception score agree?",
        text="""
`clara tune` searched for sizes, dropout, learning rate and schedule, batches, regularization and sampling on
a quarter of the piano corpus, with cost and musical Inception score as objectives. Its two extreme recipes
are trained again with another seed, beside the default recipe of `clara train` and that of the small shipped
model, for the same processor time on one thread. The search chose by valid works; the cost here is that of
test works. Excerpts for the Inception score are composed from nothing, each recipe with its own temperature
and top-p, those in use with 0.9 and 0.98.

**Limits.** A minute is short: it favours small networks and small batches. The best recipe of a minute need
not be that of an hour, so train it and the default one for as long as you mean to. The Inception score of
networks that have learned little says how well the classifier recognizes noise. The temperature cannot change the
cost, and the analysis gives it a share of it: smaller shares than that one are noise. With one layer the number of
units is that of the embedding, so `n_hid` has no effect there.
""",
        tables=(
            Table(
                "tune",
                (
                    Column("recipe", "{recipe}"),
                    Column("minutes", "{minutes:g}"),
                    Column("parameters", "{parameters:,}"),
                    Column("million tokens read", "{million_tokens:.2f}"),
                    Column("nats per quarter, test works", "{nats_per_quarter:.2f}"),
                    Column("Inception score", "{inception:.2f}"),
                ),
                text="""
{trials} trials, {measured} of them measured, {failed} failed or lost with their worker. Over all trials, low cost and a
high Inception score go together with a rank correlation of {agreement} (Spearman; 1 is perfect agreement).
""",
                select_rows=rows_of("trained"),
            ),
            Table(
                "tune",
                (
                    Column("value", "{value}"),
                    Column("choice", "{choice}"),
                    Column("share", "{share:.2f}"),
                ),
                heading="What mattered",
                text="Share of the differences between trials that a choice explains (functional ANOVA).",
                select_rows=rows_of("importances"),
            ),
        ),
    ),
    Page(
        slug="peers",
        title="Other networks and other tokens",
        question="does Clara learn more in the same time than a transformer on the tokens of MidiTok, or an n-gram?",
        text="""
All systems learn from the same training pieces in random keys, from random weights, for the same processor
time on one thread; the networks have about as many parameters. Transformers are those of Hugging Face, tokens
those of MidiTok on Clara's grid, without velocities and tempo.

**What compares.** The cost of a piece is the sum over all its tokens and its end, over its quarter notes. All
tokens are made from the same notes; the column "changed notes" counts the ones that decoding does not bring
back. So the cost per quarter compares, a cost per token would not. REMI also writes bars of four quarters,
which the others leave out.

**What does not.** A transformer sees at most 512 tokens and the LSTM the whole piece. Nobody searched for the
best learning rate and batch of the transformers; Clara's recipe is that of its small shipped model. Minutes
on one core are few: a transformer may gain more from hours. An n-gram has no time limit, and its parameters
are counts. Memory is the peak of the whole process with its libraries.
""",
        tables=(
            Table(
                "peers",
                (
                    Column("system", "{system}"),
                    Column("parameters", "{parameters:,}"),
                    Column("nats per quarter", "{nats_per_quarter:.2f}"),
                    Column("tokens per quarter", "{tokens_per_quarter:.1f}"),
                    Column("changed notes", "{changed_notes} of {notes:,}"),
                    Column("million tokens read", "{million_tokens:.2f}"),
                    Column("training, tokens/s", "{training_tokens_per_second:,}"),
                    Column("memory, MB", "{megabytes:,}"),
                ),
                text="{minutes:g} minutes of processor time each.",
            ),
        ),
        recipe="`pip install miditok transformers`; both are needed by this benchmark alone.",
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
)
