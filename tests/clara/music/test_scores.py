"""Scores of each format, against music21's own reading and the MIDI that music21 makes of them."""

from fractions import Fraction
from pathlib import Path

import pytest
from examples import musicxml, rows
from hypothesis import given
from hypothesis import strategies as st

from clara.errors import BadMusicFile, NoData, NoNotes, WrongEnsemble
from clara.music.midi import read_midi
from clara.music.scores import TICKS_PER_QUARTER, corpus_paths, read_score

ABC = "X:1\nM:4/4\nL:1/4\nK:C\n"


def note(name, duration=1, inside="", before="", ties=()):
    """Return a MusicXML note such as C4 or F5#; `before` comes before its pitch."""
    alter = "<alter>1</alter>" * name.endswith("#")
    lasts = f"<duration>{duration}</duration>" if duration else ""
    ties = "".join(f'<tie type="{t}"/>' for t in ties)
    return (
        f"<note>{before}<pitch><step>{name[0]}</step>{alter}<octave>{name[1]}</octave></pitch>"
        f"{lasts}{ties}{inside}</note>"
    )


def rest(duration):
    return f"<note><rest/><duration>{duration}</duration></note>"


CHORD, GRACE, BAR = "<chord/>", "<grace/>", '</measure><measure number="2">'
CLARINET = "<attributes><transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose></attributes>"
BASS = "<attributes><transpose><diatonic>0</diatonic><chromatic>0</chromatic><octave-change>-1</octave-change></transpose></attributes>"  # noqa: E501


@pytest.fixture
def tune(tmp_path):
    """Return a function that writes an ABC file of some bars and returns its path."""

    def write(bars):
        (tmp_path / "tune.abc").write_text(ABC + bars + "\n")
        return tmp_path / "tune.abc"

    return write


@pytest.mark.parametrize("steps_per_quarter", [12, 4])
def test_a_chorale_is_what_its_midi_holds(real_midi, steps_per_quarter):
    notes, losses = read_score("bach/bwv66.6", steps_per_quarter=steps_per_quarter)
    from_midi, lost = read_midi(real_midi["bach/bwv66.6"], steps_per_quarter=steps_per_quarter)
    assert len(notes) == 154 and losses["merged"] == 9  # voices in unison
    assert notes == from_midi and losses == lost
    assert notes.qpm == pytest.approx(from_midi.qpm) == 96


def test_a_chorale_is_the_sum_of_its_written_notes():
    from music21 import corpus

    notes, losses = read_score("bach/bwv66.6")
    expected = corpus.parse("bach/bwv66.6").stripTies().flatten().notes
    assert {(int(n.offset * 12), n.pitch.midi) for n in expected} == set(
        zip(notes.start.tolist(), notes.pitch.tolist())
    )
    assert len(expected) == len(notes) + losses["merged"]


def test_by_path_and_by_name_alike():
    [path] = [p for p in corpus_paths("bach") if p.stem == "bwv66.6"]
    assert read_score(path) == read_score("bach/bwv66.6")


@pytest.mark.parametrize(
    "bars, expected, losses",
    [
        ("A B c d|]", [(0, 12, 69), (12, 12, 71), (24, 12, 72), (36, 12, 74)], {}),
        ("A3 B-|B2 z2|]", [(0, 36, 69), (36, 36, 71)], {}),
        ("[CEG]2 z [CE]|]", [(0, 24, 60), (0, 24, 64), (0, 24, 67), (36, 12, 60), (36, 12, 64)], {}),
        ("{g}A2 B2|]", [(0, 24, 69), (24, 24, 71)], {"grace": 1}),
        ("(3A/B/c/ d3|]", [(0, 4, 69), (4, 4, 71), (8, 4, 72), (12, 36, 74)], {}),
        ('"Am"A2 "G"B2|]', [(0, 24, 69), (24, 24, 71)], {}),
    ],
    ids=["line", "tie over the bar", "chords and a rest", "grace note", "triplet", "chord symbols do not sound"],
)
def test_small_tunes(tune, bars, expected, losses):
    notes, lost = read_score(tune(bars))
    assert rows(notes) == expected and lost == losses


@pytest.mark.parametrize(
    "bars, expected, losses",
    [
        (
            note("C4", 2) + note("E4", 2, before=CHORD) + rest(1) + note("G4"),
            [(0, 24, 60), (0, 24, 64), (36, 12, 67)],
            {},
        ),
        (
            note("C4", 4, ties=["start"]) + BAR + note("C4", 2, ties=["stop"]) + note("C4", 2),
            [(0, 72, 60), (72, 24, 60)],
            {},
        ),
        (
            note("C4", 4, ties=["start"])
            + note("E4", 4, before=CHORD)
            + BAR
            + note("C4", 4, ties=["stop"])
            + note("E4", 4, before=CHORD),
            [(0, 96, 60), (0, 48, 64), (48, 48, 64)],
            {},
        ),
        (note("C4", 2, ties=["start"]) + note("D4", 2), [(0, 24, 60), (24, 24, 62)], {}),
        (note("G4", 0, before=GRACE) + note("A4", 0, before=GRACE) + note("C4", 4), [(0, 48, 60)], {"grace": 2}),
        (
            "<attributes><divisions>3</divisions></attributes>" + note("C4") + note("D4") + note("E4") + note("F4", 9),
            [(0, 4, 60), (4, 4, 62), (8, 4, 64), (12, 36, 65)],
            {},
        ),
        (CLARINET + note("C4", 4), [(0, 48, 58)], {}),
        (BASS + note("C4", 4), [(0, 48, 48)], {}),
        (
            note("G4", 4)
            + "<backup><duration>4</duration></backup>"
            + note("C4", 1, "<voice>2</voice>")
            + "<forward><duration>1</duration></forward>"
            + note("F4#", 2, "<voice>2</voice>"),
            [(0, 12, 60), (0, 48, 67), (24, 24, 66)],
            {},
        ),
        (
            "<harmony><root><root-step>C</root-step></root><kind>major</kind></harmony>" + note("C4", 4),
            [(0, 48, 60)],
            {},
        ),
        (
            "<note><unpitched><display-step>C</display-step><display-octave>4</display-octave></unpitched><duration>1</duration></note>"
            + note("C4", 3),
            [(12, 36, 60)],
            {"drums": 1},
        ),
        (note("C4", 4) + '<barline><repeat direction="backward"/></barline>', [(0, 48, 60)], {}),
    ],
    ids=[
        "chord and rest",
        "tie over the bar",
        "a chord tied in part",
        "a tie to another note is none",
        "grace notes",
        "triplet",
        "a clarinet sounds lower",
        "an octave lower",
        "two voices",
        "chord symbol",
        "drum",
        "repeats are not played out",
    ],
)
def test_small_musicxml(tmp_path, bars, expected, losses):
    (tmp_path / "a.musicxml").write_text(musicxml(bars))
    notes, lost = read_score(tmp_path / "a.musicxml")
    assert rows(notes) == expected and lost == losses


@pytest.mark.parametrize(
    "data, expected, losses",
    [
        ("4c\n4d 4f\n4r\n4e", [(0, 12, 60), (12, 12, 62), (12, 12, 65), (36, 12, 64)], {}),
        ("1c;\n=2\n[4c\n=3\n4c]\n2.B-", [(0, 48, 60), (48, 24, 60), (72, 36, 58)], {}),
        ("[1c [1e\n=2\n1c] 1e]", [(0, 96, 60), (0, 96, 64)], {}),
        ("8qb\n4c\n12d\n12e\n12f#", [(0, 12, 60), (12, 4, 62), (16, 4, 64), (20, 4, 66)], {"grace": 1}),
    ],
    ids=["chord and rest", "tie over the bar", "tied chord", "grace note and triplet"],
)
def test_small_kern(tmp_path, data, expected, losses):
    (tmp_path / "a.krn").write_text(f"**kern\n*M4/4\n=1\n{data}\n*-\n")
    notes, lost = read_score(tmp_path / "a.krn")
    assert rows(notes) == expected and lost == losses


def test_kern_in_two_spines_that_split(tmp_path):
    expected = [
        "**kern\t**kern",
        "*M2/4\t*M2/4",
        "=1\t=1",
        "2C\t4c",
        ".\t4d",
        "*\t*^",
        "2D\t4e\t2g",
        ".\t4f\t.",
        "*\t*v\t*v",
        "*-\t*-",
    ]
    (tmp_path / "a.krn").write_text("\n".join(expected))
    assert rows(read_score(tmp_path / "a.krn")[0]) == [
        (0, 24, 48),
        (0, 12, 60),
        (12, 12, 62),
        (24, 24, 50),
        (24, 12, 64),
        (24, 24, 67),
        (36, 12, 65),
    ]


@pytest.mark.parametrize(
    "bars, expected",
    [
        (note("C4", 4), ((0, 4, 4),)),
        (
            note("C4", 4)
            + BAR
            + "<attributes><time><beats>6</beats><beat-type>8</beat-type></time></attributes>"
            + note("C4", 3),
            ((0, 4, 4), (48, 6, 8)),
        ),
        (note("C4", 1) + BAR + note("D4", 4), ((-36, 4, 4),)),
    ],
    ids=["one", "a change", "an upbeat"],
)
def test_time_signatures(tmp_path, bars, expected):
    (tmp_path / "a.xml").write_text(musicxml(bars))
    assert read_score(tmp_path / "a.xml")[0].time_signatures == expected


def test_time_signatures_of_kern_and_abc(tune, tmp_path):
    (tmp_path / "a.krn").write_text("**kern\n*M3/8\n=1\n4.c\n=2\n*M2/4\n2c\n*-\n")
    assert read_score(tmp_path / "a.krn")[0].time_signatures == ((0, 3, 8), (18, 2, 4))
    assert read_score(tune("A B c d|\nM:3/4\nA B c|]"))[0].time_signatures == ((0, 4, 4), (48, 3, 4))


@pytest.mark.parametrize(
    "mark, qpm",
    [
        ('<sound tempo="72"/>', 72),
        (
            "<direction><direction-type><metronome><beat-unit>half</beat-unit><per-minute>50</per-minute></metronome></direction-type></direction>",
            100,
        ),
        ("<direction><direction-type><words>Allegro</words></direction-type></direction>", 120),
    ],
)
def test_tempo_of_musicxml(tmp_path, mark, qpm):
    (tmp_path / "a.xml").write_text(musicxml(mark + note("C4", 4)))
    assert read_score(tmp_path / "a.xml")[0].qpm == qpm


@pytest.mark.parametrize("name", ["corelli/opus3no1/1grave", "bach/bwv66.6"])
def test_midi_and_musicxml_of_one_piece_are_the_same_notes(tmp_path, name):
    from music21 import corpus

    score = corpus.parse(name)
    written, played = (
        Path(score.write("musicxml", tmp_path / "a.musicxml")),
        Path(score.write("midi", tmp_path / "a.mid")),
    )
    of_score, of_midi = read_score(written)[0], read_midi(played)[0]
    assert of_score == of_midi and len(of_score) > 100
    assert (
        of_score.time_signatures[0][1:] == of_midi.time_signatures[0][1:]
        and of_score.time_signatures[1:] == of_midi.time_signatures[1:]
    )
    assert of_score.qpm == pytest.approx(of_midi.qpm)


def test_a_score_made_of_notes_gives_them_back(tmp_path):
    from examples import handwritten

    from clara.music.midi import write_midi
    from clara.rendering.engraving import to_musicxml

    notes = handwritten("chord")
    (tmp_path / "a.musicxml").write_text(to_musicxml(notes))
    write_midi(notes, tmp_path / "a.mid")
    assert read_score(tmp_path / "a.musicxml")[0] == read_midi(tmp_path / "a.mid")[0] == notes


def test_chamber_music_by_part_names(tmp_path):
    (tmp_path / "a.xml").write_text(musicxml(note("C4", 4), note("E5", 4), names=["Piano", "Violino"]))
    notes, _ = read_score(tmp_path / "a.xml", ensemble="chamber")
    assert list(zip(notes.pitch.tolist(), notes.part.tolist())) == [(60, 0), (76, 1)]
    notes, losses = read_score(tmp_path / "a.xml", ensemble="chamber", solo_track="piano")
    assert list(zip(notes.pitch.tolist(), notes.part.tolist())) == [(76, 0), (60, 1)] and not losses
    with pytest.raises(WrongEnsemble, match="a.xml: no part for Piano"):
        read_score(tmp_path / "a.xml", ensemble="quartet")


def test_two_staves_of_a_piano_are_one_part(tmp_path):
    staves = "<attributes><staves>2</staves></attributes>"
    left = note("C3", 4, "<voice>2</voice><staff>2</staff>")
    piano = staves + note("G4", 4, "<staff>1</staff>") + "<backup><duration>4</duration></backup>" + left
    (tmp_path / "a.xml").write_text(musicxml(note("E5", 4), piano, names=["Flute", "Piano"]))
    notes, _ = read_score(tmp_path / "a.xml", ensemble="chamber")
    assert list(zip(notes.pitch.tolist(), notes.part.tolist())) == [(48, 0), (67, 0), (76, 1)]


def test_a_quartet_by_part_names():
    [path] = [p for p in corpus_paths("haydn") if p.match("opus74no1/movement3.mxl")]
    notes, _ = read_score(path, ensemble="quartet")
    assert notes.instruments == ("va", "vb", "w", "c") and set(notes.part.tolist()) == {0, 1, 2, 3}
    means = [notes.pitch[notes.part == i].mean() for i in range(4)]
    assert means == sorted(means, reverse=True)


def test_one_tune_of_many(tmp_path):
    (tmp_path / "a.abc").write_text("% a book\nM:3/4\n\nX:1\nL:1/4\nK:C\nA B c|\n\nX:7\nM:2/4\nL:1/4\nK:C\nd e|\n")
    first, losses = read_score(tmp_path / "a.abc")
    assert rows(first) == [(0, 12, 69), (12, 12, 71), (24, 12, 72)] and losses == {"tunes": 1}
    assert first.time_signatures == ((0, 3, 4),)  # from the lines above the first tune
    second, losses = read_score(tmp_path / "a.abc", tune=2)
    assert rows(second) == [(0, 12, 74), (12, 12, 76)] and not losses
    with pytest.raises(BadMusicFile, match="a.abc: it has 2 tunes, no number 3"):
        read_score(tmp_path / "a.abc", tune=3)


@given(st.integers(0, 1000), st.integers(1, 10))
def test_ticks_hold_every_small_denominator(numerator, denominator):
    assert (Fraction(numerator, denominator) * TICKS_PER_QUARTER).denominator == 1


def test_the_grid_rounds(tune):
    eighths_triplet = "(3A/B/c/ d3|]"
    assert rows(read_score(tune(eighths_triplet), steps_per_quarter=4)[0]) == [
        (0, 1, 69),
        (1, 2, 71),
        (3, 1, 72),
        (4, 12, 74),
    ]


def test_first_tempo_mark_counts(tmp_path):
    (tmp_path / "a.abc").write_text(ABC.replace("K:", "Q:1/4=72\nK:") + "A B c d|]\n")
    assert read_score(tmp_path / "a.abc")[0].qpm == 72


def test_without_tempo_mark_120(tune):
    assert read_score(tune("A B c d|]"))[0].qpm == 120


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.txt", "not music"),
        ("a", "\x00\x01"),
        ("a.musicxml", "<score-partwise><part"),
        ("a.xml", ""),
        ("a.mxl", "PK"),
        ("folder/", None),
        ("none.musicxml", None),
    ],
)
def test_files_that_are_not_scores(tmp_path, name, content):
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadMusicFile, match=rf"{path.name}: ."):
        read_score(path)


def test_no_such_piece_in_the_corpus():
    with pytest.raises(BadMusicFile, match="bach/nosuch: no such file, nor a piece"):
        read_score("bach/nosuch")


def test_a_score_of_rests(tune):
    with pytest.raises(NoNotes, match="tune.abc: no notes"):
        read_score(tune("z4|]"))


def test_composers_of_the_corpus():
    paths = corpus_paths("bach")
    assert paths == sorted(paths) and len(paths) > 300 and all(p.is_file() for p in paths)
    assert not [p for p in paths if p.suffix == ".rntxt"]  # analyses, not music
    with pytest.raises(NoData, match="music21:nobody: .*no such composer"):
        corpus_paths("nobody")


@pytest.mark.parametrize(
    "first, then, expected",
    [("1/4", "3/4", ((-24, 3, 4),)), ("1/8", "3/8", ((-12, 3, 8),)), ("3/8", "2/4", ((0, 3, 8), (18, 2, 4)))],
)
def test_a_short_first_bar_with_a_signature_of_its_own_is_an_upbeat(first, then, expected, tmp_path):
    def bar(signature):
        numerator, denominator = signature.split("/")
        return f"{denominator}c\n" * int(numerator)

    bars = f"=1\n{bar(first)}=2\n*M{then}\n{bar(then)}=3\n{bar(then)}==\n"
    (tmp_path / "a.krn").write_text(f"**kern\n*M{first}\n{bars}*-\n")
    assert read_score(tmp_path / "a.krn")[0].time_signatures == expected
