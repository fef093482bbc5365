"""Humdrum **kern by rows: spines that split, merge, change places, begin and end; ties, durations and losses."""

import pytest
from examples import rows

from clara.errors import BadMusicFile, LostNotes, NoNotes
from clara.music.note_counts import count_notes
from clara.music.scores import read_score

SUB_SPINES = """\
**kern
*M2/4
=1
2c
=2
*^
*	*^
4.G	4d	8b
.	.	[4.f
.	[4e	.
8A	.	.
*v	*v	*v
=3
2e] 2f]
*-
"""


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a Humdrum text and returns its notes and losses."""

    def read_(text, **settings):
        (tmp_path / "a.krn").write_text(text)
        return read_score(tmp_path / "a.krn", **settings)

    return read_


def in_quarters(notes):
    """Return (start, duration, pitch) of notes, in quarters."""
    return [(start / 12, duration / 12, pitch) for start, duration, pitch in rows(notes)]


def bar(data):
    """Return a Humdrum text with one spine."""
    return f"**kern\n*M4/4\n=1\n{data}\n*-\n"


def test_notes_of_three_sub_spines(read):
    notes, losses = read(SUB_SPINES)
    assert in_quarters(notes) == [
        (0, 2, 60),
        (2, 1.5, 55),
        (2, 1, 62),
        (2, 0.5, 71),
        (2.5, 3.5, 65),
        (3, 3, 64),
        (3.5, 0.5, 57),
    ]
    assert not losses and notes.time_signatures == ((0, 2, 4),)


def test_spines_change_places(read):
    notes, _ = read("**kern\t**kern\n4C\t4c\n*x\t*x\n4d\t[4D\n*x\t*x\n4D]\t4e\n*-\t*-\n")
    assert in_quarters(notes) == [(0, 1, 48), (0, 1, 60), (1, 2, 50), (1, 1, 62), (2, 1, 64)]


def test_a_spine_begins_and_ends(read):
    text = "**kern\n4c\n*+\n*\t**kern\n4d\t4D\n*\t*-\n4e\n*-\n"
    notes, losses = read(text)
    assert in_quarters(notes) == [(0, 1, 60), (1, 1, 50), (1, 1, 62), (2, 1, 64)] and not losses


def test_two_merges_in_one_row(read):
    text = "**kern\t**kern\n*^\t*^\n4C\t4E\t4c\t4e\n*v\t*v\t*v\t*v\n4D\t4d\n*-\t*-\n"
    assert in_quarters(read(text)[0]) == [
        (0, 1, 48),
        (0, 1, 52),
        (0, 1, 60),
        (0, 1, 64),
        (1, 1, 50),
        (1, 1, 62),
    ]


def test_two_staves_merge_into_one(read):
    text = "**kern\t**kern\n4C\t4c\n*v\t*v\n4D 4d\n*-\n"
    assert in_quarters(read(text)[0]) == [(0, 1, 48), (0, 1, 60), (1, 1, 50), (1, 1, 62)]


def test_other_spines_are_passed_over(read):
    text = "**kern\t**dynam\t**text\t**kern\n4C\tf\tA-\t8c\n.\t<\t.\t8d\n.\t.\t.\t.\n4D\t.\ta\t4e\n*-\t*-\t*-\t*-\n"
    notes, losses = read(text)
    assert in_quarters(notes) == [(0, 1, 48), (0, 0.5, 60), (0.5, 0.5, 62), (1, 1, 50), (1, 1, 64)]
    assert not losses


@pytest.mark.parametrize(
    "token, duration",
    [
        ("4c", 1),
        ("4.c", 1.5),
        ("4..c", 1.75),
        ("0c", 8),
        ("00c", 16),
        ("0.c", 12),
        ("3%2c", 4 * 2 / 3),
        ("12%7c", 4 * 7 / 12),
        ("4c@16@", 1),
        ("(8cL/", 0.5),
        ("{2c;T", 2),
    ],
)
def test_durations(read, token, duration):
    assert in_quarters(read(bar(f"{token}\n4d"))[0]) == [
        (0, pytest.approx(duration, abs=1 / 24), 60),
        (pytest.approx(duration, abs=1 / 24), 1, 62),
    ]


@pytest.mark.parametrize(
    "token, pitch",
    [
        ("4c", 60),
        ("4cc", 72),
        ("4C", 48),
        ("4CCC", 24),
        ("4B-", 58),
        ("4f##", 67),
        ("4e--n", 62),
        ("2.b]-", 70),
        ("4b-_", 70),
    ],
)
def test_pitches(read, token, pitch):
    assert read(bar(token))[0].pitch.tolist() == [pitch]


def test_seven_in_the_time_of_four_end_together(read):
    septuplet = "".join(f"28{pitch}\t{left}\n" for pitch, left in zip("cdefgab", ["4C", *["."] * 6]))
    notes, _ = read(f"**kern\t**kern\n{septuplet}4cc\t4D\n*-\t*-\n", steps_per_quarter=28)
    assert [row for row in rows(notes) if row[0] == 28] == [(28, 28, 50), (28, 28, 72)]
    assert notes.start.tolist() == [0, 0, 4, 8, 12, 16, 20, 24, 28, 28]


@pytest.mark.parametrize(
    "data, expected, grace",
    [
        ("8qb\n4c\n16qqd 16qqf\n4d", [(0, 1, 60), (1, 1, 62)], 3),
        ("4c\nqd\n4e", [(0, 1, 60), (1, 1, 64)], 1),
        ("8Qc\n8Qd\n2e", [(0, 2, 64)], 2),
        ("8gP\n8fp", [(0, 0.5, 67), (0.5, 0.5, 65)], 0),
    ],
    ids=["before a note and a chord", "without a duration", "groupetto", "an appoggiatura takes time"],
)
def test_grace_notes(read, data, expected, grace):
    notes, losses = read(bar(data))
    assert in_quarters(notes) == expected and losses["grace"] == grace


@pytest.mark.parametrize(
    "data, expected",
    [
        ("4c 4e g\n4d", [(0, 1, 60), (0, 1, 64), (0, 1, 67), (1, 1, 62)]),
        ("[4c 4e\n4c] 4f", [(0, 2, 60), (0, 1, 64), (1, 1, 65)]),
        ("[4c\n=2\n4c_\n=3\n4c]\n4c", [(0, 3, 60), (3, 1, 60)]),
        ("[4c\n4d\n4c]", [(0, 1, 60), (1, 1, 62), (2, 1, 60)]),
        ("[[4c\n4d\n4c]]", [(0, 3, 60), (1, 1, 62)]),
        ("4c\n4c]", [(0, 1, 60), (1, 1, 60)]),
        ("4r\n4ggr\n4c", [(2, 1, 60)]),
    ],
    ids=["chord", "tied in part", "three notes", "not the next note", "disjunct tie", "tie without a start", "rests"],
)
def test_chords_ties_and_rests(read, data, expected):
    assert in_quarters(read(bar(data))[0]) == expected


def test_a_note_beside_a_tied_one_is_struck(read):
    notes, losses = read("**kern\n*^\n[4c\t4c\n4c]\t4c\n*v\t*v\n*-\n")
    assert in_quarters(notes) == [(0, 1, 60), (1, 1, 60)] and losses == {"merged": 1, "cut": 1}


def test_a_tie_to_another_staff(read):
    notes, _ = read("**kern\t**kern\n[4c\t4e\n4D\t4c]\n*-\t*-\n")
    assert in_quarters(notes) == [(0, 2, 60), (0, 1, 64), (1, 1, 50)]


def test_a_voice_that_lacks_a_rest_shifts_no_other(read):
    text = "**kern\t**kern\n*M4/4\t*M4/4\n=1\t=1\n4C\t2c\n4D\t.\n4E\t2d\n=2\t=2\n4F\t4e\n=3\t=3\n4G\t1f\n*-\t*-\n"
    notes, _ = read(text)
    assert in_quarters(notes) == [
        (0, 1, 48),
        (0, 2, 60),
        (1, 1, 50),
        (2, 1, 52),
        (2, 2, 62),
        (4, 1, 53),
        (4, 1, 64),
        (5, 1, 55),
        (5, 4, 65),
    ]


def test_an_upbeat_keeps_its_place(read):
    notes, _ = read("**kern\n*M3/4\n4g\n=1\n4c\n4d\n4e\n=2\n*M2/4\n4f\n*-\n")
    assert notes.time_signatures == ((-24, 3, 4), (48, 2, 4))


def test_time_signatures(read):
    notes, _ = read("**kern\n*M2/1\n0c\n*M2+3/8\n4d\n4.e\n*M1/0\n0f\n*-\n")
    assert notes.time_signatures == ((0, 2, 1), (96, 5, 8), (126, 2, 1))


def test_sounding_pitch(read):
    """Humdrum holds sounding pitches; only what an editor transposed is moved back."""
    assert read("**kern\n*ITrd1c2\n4c\n*-\n")[0].pitch.tolist() == [60]
    assert read("**kern\n*Trd1c2\n4c\n*-\n")[0].pitch.tolist() == [58]
    assert read("**kern\n*clefGv2\n4c\n*-\n")[0].pitch.tolist() == [60]


def test_drums(read):
    notes, losses = read("**kern\t**kern\n*clefX\t*clefG2\n4c\t4d\n*-\t*-\n")
    assert notes.pitch.tolist() == [62] and losses == {"drums": 1}
    with pytest.raises(NoNotes, match="but drums"):
        read("**kern\n*clefX\n4c\n*-\n")


def test_tempo(read):
    assert read("**kern\n*MM[Allegro]\n*MM72.5\n4c\n*MM100\n4d\n*-\n")[0].qpm == 72.5
    assert read("**kern\n*MM[Allegro 2]\n*MMc.72\n4c\n*-\n")[0].qpm == 72
    assert read("**kern\n*MM~ca. 66-70\n4c\n*-\n")[0].qpm == 66


def test_parts(read):
    text = (
        "**kern\t**kern\t**kern\n*Ipiano\t*Ipiano\t*Ivox\n"
        "*part2\t*part2\t*part1\n[4C\t4c\t4e\n4D\t4d\t4C]\n*-\t*-\t*-\n"
    )
    notes, _ = read(text, ensemble="chamber")
    assert list(zip(notes.pitch.tolist(), notes.part.tolist())) == [(48, 0), (60, 0), (64, 1), (50, 0), (62, 0)]


def test_a_quartet(read):
    names = "*Icello\t*Iviola\t*Ivioln\t*Ivioln"
    notes, _ = read(f"**kern\t**kern\t**kern\t**kern\n{names}\n4C\t4c\t4g\t4cc\n*-\t*-\t*-\t*-\n", ensemble="quartet")
    assert list(zip(notes.pitch.tolist(), notes.part.tolist())) == [(72, 0), (67, 1), (60, 2), (48, 3)]


@pytest.mark.parametrize(
    "text, reason",
    [
        ("**kern\n4c\t4d\n*-\n", "line 2: 2 columns, but 1 spines are open"),
        ("4c\n**kern\n*-\n", "line 1: no spine is open here"),
        ("**dynam\nf\n*-\n", r"no \*\*kern spine"),
        ("**kern\n" + "\n".join("\t".join(["*^"] * 2**i) for i in range(9)) + "\n*-\n", "more than 200 spines"),
        (
            "**kern\n4c\n" + "\n".join(f"4%{n}c\n{n}d" for n in (9973, 9967, 9949, 9941, 9931)) + "\n*-\n",
            "no common unit",
        ),
    ],
)
def test_broken_rows(read, text, reason):
    with pytest.raises(BadMusicFile, match=f"a.krn: .*{reason}"):
        read(text)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_text_is_no_music(tmp_path, line_end):
    text = (
        "**kern\t**fb\n4c\t6b 4e\n*^\t*\n4d\t4f\t1.Gott\n*v\t*v\t*\n*\t*+\n*\t*\t**text\n4e\t7b\tl\x85ob\n*-\t*-\t*-\n"
    )
    (tmp_path / "a.krn").write_bytes(text.replace("\n", line_end).encode("latin-1"))
    notes, losses = read_score(tmp_path / "a.krn")
    assert notes.pitch.tolist() == [60, 62, 65, 64] and not losses


def test_notes_are_counted_where_the_kind_of_a_column_is_unknown():
    assert count_notes("**kern\t**text\n4c\n4d\n*-\t*-\n", "humdrum") == 2
    assert count_notes("**kern\t**text\n*x\t*x\nla\t4d\n*-\t*-\n", "humdrum") == 1


def test_lost_notes_are_counted_and_refused(read):
    fifty = "4c\n" * 50
    notes, losses = read(bar(fifty + "4%%4d"))
    assert len(notes) == 50 and losses == {"unread": 1, "lost": 1}
    with pytest.raises(LostNotes, match="a.krn: only 50 of its 54 notes"):
        read(bar(fifty + "4%%4d\n" * 4))
