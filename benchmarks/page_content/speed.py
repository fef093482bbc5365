"""The pages about speed."""

from page_content.definitions import Column, Page, Table

PAGES = (
    Page(
        slug="compose_time",
        title="Time to compose",
        question="how long does it take from the command to the last file?",
        text="""
Each command runs in a process of its own on a warm disk, several times. A stream's
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
)
