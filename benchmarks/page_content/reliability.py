"""The pages about text that is well formed and programs that survive."""

from page_content.definitions import Column, Page, Table

PAGES = (
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
Five checks with yes-or-no answers: the text gives the notes back in all keys; a training that is killed
again and again ends with the same weights as one left alone; the page loses no piece when its server is killed;
encoding on a cluster survives the loss of a worker and of a machine; broken and hostile files, model folders and
requests are read or refused by name.
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
                "page_library",
                (
                    Column("pieces in the library", "{pieces:,}"),
                    Column("seconds to show the page", "{page_seconds:g}"),
                    Column("to open the library", "{open_seconds:g}"),
                    Column("to search it", "{search_seconds:g}"),
                    Column("reloads", "{reloads}"),
                    Column("kills", "{kills}"),
                    Column("pieces seen", "{pieces_seen}"),
                    Column("pieces lost", "{pieces_lost}"),
                ),
                heading="The library of the page",
                text="""
Seconds are medians of {rounds} rounds in Chromium; the search waits 0.15 s for the typing to pause. While the page
composes, it is loaded again or its server gets SIGKILL at random moments. A piece is lost if it stood on the page
once and the server knows it no more.
""",
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
