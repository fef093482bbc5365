"""The page about written music."""

from page_content.definitions import Column, Page, Table, rows_of

_METHODS = (
    "Rules: hands split at middle C, one voice for each; key by Krumhansl and Schmuckler, names by the key signature; "
    "4/4. partitura: its voices in hands split at middle C, its spelling (ps13s1), key and meter."
)

PAGES = (
    Page(
        slug="notation",
        title="Written music",
        question="is sheet music the same music, and is it written as engravers write it?",
        text="""
First, pieces are written as MusicXML and read back. A note is the same if its beginning, its end and its pitch are.

Then, engraved scores that music21 installs lose all but their notes, and Clara writes them again. Targets: hands 95 %,
spelling 98 %, key signatures 90 %. Sameness and spelling reach theirs, hands in piano music, and key signatures only in
chorales and ensembles.

The network that finds hands learned from files with a track for each hand; the works of all music that is measured
here were held out.

**Limits.** Few engraved piano scores are installed, and none of more than 100 kB was measured. Old music has fewer
signs in its key signatures than its keys need, so the estimate is wrong more often for modal music; a file that names
its key is written in it. Which hand plays a note is often a choice: editions of one work differ.
""",
        tables=(
            Table(
                "same_music",
                (
                    Column("music", "{music}"),
                    Column("pieces", "{pieces}"),
                    Column("notes", "{clara_notes:,}"),
                    Column("same for Clara", "{clara_same_percent:g} %"),
                    Column("same for music21", "{music21_same_percent:g} %"),
                    Column("notes that verovio read", "{verovio_notes:,}"),
                    Column("same for verovio", "{verovio_same_percent:g} %"),
                    Column("sounding time lost with one voice for each hand", "{lost_by_one_voice_percent:g} %"),
                ),
                heading="Same music",
                text="{files} files of piano music drawn at random, and {composed} composed pieces.",
            ),
            Table(
                "notation",
                (
                    Column("music", "{music}"),
                    Column("method", "{method}"),
                    Column("pieces", "{pieces}"),
                    Column("notes", "{notes:,}"),
                    Column("right hand or left", "{hand:.1%}"),
                    Column("hand and voice", "{voice:.1%}"),
                ),
                heading="Hands and voices in engraved scores",
                text=f"Chorales are taken as two staves with two voices each, so tenors count as left hand. {_METHODS}",
                select_rows=rows_of("staves"),
            ),
            Table(
                "notation",
                (
                    Column("files", "{pieces}"),
                    Column("notes", "{notes:,}"),
                    Column("Clara", "{hand:.1%}"),
                    Column("split at middle C", "{middle_c:.1%}"),
                ),
                heading="Hands in held-out MIDI files with a track for each hand",
                select_rows=rows_of("tracks"),
            ),
            Table(
                "notation",
                (
                    Column("music", "{music}"),
                    Column("method", "{method}"),
                    Column("scores", "{scores}"),
                    Column("notes", "{notes:,}"),
                    Column("spelling", "{spelling:.1%}"),
                    Column("spelling, key signature given", "{spelling_in_key:.1%}"),
                    Column("key signature", "{key_signature:.1%}"),
                    Column("time signature", "{time_signature:.1%}"),
                ),
                heading="Names and signatures in engraved scores",
                text="partitura's spelling knows no key signature.",
                select_rows=rows_of("names"),
            ),
            Table(
                "notation",
                (
                    Column("files", "{scores}"),
                    Column("Clara", "{key:.1%}"),
                    Column("Krumhansl and Schmuckler", "{rules:.1%}"),
                ),
                heading="Key signatures of held-out MIDI files that name one",
                select_rows=rows_of("midi_keys"),
            ),
        ),
    ),
)
