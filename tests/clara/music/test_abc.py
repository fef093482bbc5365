"""ABC by lines and tokens: accidentals, voices, fields in and between lines, rhythm, and what is no music."""

import time

import pytest
from examples import rows
from hypothesis import given, settings
from hypothesis import strategies as st

from clara.errors import BadMusicFile, ClaraError, LostNotes
from clara.music import scores
from clara.music.abc import parse_abc
from clara.music.note_counts import count_notes
from clara.music.scores import read_score


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a tune by its music and other fields than the usual ones."""

    def read_(music, key="C", meter="4/4", unit="L:1/4\n", fields=""):
        tune = f"X:1\nT:a tune\nM:{meter}\n{unit}{fields}K:{key}\n{music}\n"
        (tmp_path / "a.abc").write_text(tune)
        return read_score(tmp_path / "a.abc")

    return read_


def in_quarters(notes):
    """Return (start, duration, pitch) of notes, in quarters."""
    return [(start / 12, duration / 12, pitch) for start, duration, pitch in rows(notes)]


def onsets(notes):
    """Return (start in quarters, pitch) of notes."""
    return [(start / 12, pitch) for start, _, pitch in rows(notes)]


@pytest.mark.parametrize(
    "music, key, pitches",
    [
        ("^F F G F | F4", "C", [66, 66, 67, 66, 65]),
        ("_B =B B B | B4", "C", [70, 71, 71, 71, 71]),
        ("^F f F, f' | F4", "C", [66, 78, 54, 90, 65]),
        ("F =F F | F", "G", [66, 65, 65, 66]),
        ("__B ^^F", "C", [69, 67]),
        ("[^FA] F | F", "C", [66, 69, 66, 65]),
        ("[I:propagate-accidentals octave]^F f F | F", "C", [66, 77, 66, 65]),
        ("[I:propagate-accidentals not]^F F", "C", [66, 65]),
    ],
)
def test_accidentals_hold_to_the_bar_line(read, music, key, pitches):
    notes, losses = read(music, key)
    assert notes.pitch.tolist() == pitches and not losses


def test_an_accidental_holds_over_a_tie(read):
    assert in_quarters(read("z3 ^F-|F F G G|")[0]) == [(3, 2, 66), (5, 1, 65), (6, 1, 67), (7, 1, 67)]


@pytest.mark.parametrize(
    "key, pitches",
    [
        ("C", [65, 67, 72, 71]),
        ("D", [66, 67, 73, 71]),
        ("F#m", [66, 68, 73, 71]),
        ("F# minor", [66, 68, 73, 71]),
        ("Bb", [65, 67, 72, 70]),
        ("Es", [65, 67, 72, 70]),
        ("D Dor", [65, 67, 72, 71]),
        ("Dmix", [66, 67, 72, 71]),
        ("APhr", [65, 67, 72, 70]),
        ("C Lydian", [66, 67, 72, 71]),
        ("BLoc", [65, 67, 72, 71]),
        ("HP", [66, 67, 73, 71]),
        ("Hp", [66, 67, 73, 71]),
        ("D exp ^g", [65, 68, 72, 71]),
        ("D =c", [66, 67, 72, 71]),
        ("D Phr ^f", [66, 67, 72, 70]),
        ("none", [65, 67, 72, 71]),
        ("", [65, 67, 72, 71]),
    ],
)
def test_keys(read, key, pitches):
    notes, losses = read("F G c B", key)
    assert notes.pitch.tolist() == pitches and not losses


def test_an_unknown_key_is_counted(read):
    assert read("F G", "Hm")[1] == {"unread": 1}


@pytest.mark.parametrize(
    "key, shift",
    [
        ("C clef=bass", 0),
        ("C bass", 0),
        ("C clef=alto", 0),
        ("C clef=treble-8", -12),
        ("C treble+8", 12),
        ("C octave=-1", -12),
        ("C octave=1 clef=bass", 12),
        ("C transpose=-2", -2),
        ("C clef=treble-8 transpose=2", -10),
    ],
)
def test_clefs_and_transpositions(read, key, shift):
    assert read("C D", key)[0].pitch.tolist() == [60 + shift, 62 + shift]


VOICES_IN_TURN = "V:1\nC D E F|\nV:2\nc d e f|\nV:1\nG4|\nV:2\ng4|"
TWO_VOICES = sorted(
    [(i, pitch) for i, pitch in enumerate((60, 62, 64, 65, 67))] + [(i, p) for i, p in enumerate((72, 74, 76, 77, 79))]
)


@pytest.mark.parametrize(
    "music, fields",
    [
        (VOICES_IN_TURN, ""),
        (VOICES_IN_TURN, "V:1\nV:2\n"),
        ("[V:1] C D E F|\n[V:2] c d e f|\n[V:1] G4|\n[V:2] g4|", "V:1\nV:2 clef=bass\n"),
        ("[V:1] C D E F|[V:2] c d e f|[V:1] G4|[V:2] g4|", ""),
        ("V:1\nC D E F|G4|\nV:2\nc d e f|g4|", ""),
        ("C D E F & c d e f|G4 & g4|", ""),
    ],
    ids=["lines in turn", "declared", "in brackets", "in one line", "one after the other", "overlays"],
)
def test_two_voices(read, music, fields):
    notes, losses = read(music, fields=fields)
    assert onsets(notes) == TWO_VOICES and not losses


def test_a_short_overlay_ends_with_its_bar(read):
    assert in_quarters(read("C D E F & c2|G4|")[0]) == [
        (0, 1, 60),
        (0, 2, 72),
        (1, 1, 62),
        (2, 1, 64),
        (3, 1, 65),
        (4, 4, 67),
    ]


def test_what_holds_for_one_voice(read):
    music = "V:1\nF ^G|\nV:2 octave=-1\n[K:G] F G|\nV:1\nG F|\nV:2\nF G|"
    notes, _ = read(music, meter="2/4")
    assert onsets(notes) == [(0, 54), (0, 65), (1, 55), (1, 68), (2, 54), (2, 67), (3, 55), (3, 65)]


def test_a_voice_named_for_an_ensemble(tmp_path):
    tune = 'X:1\nL:1/4\nV:1 name="Violin"\nV:2 nm=Piano\nK:C\nV:1\nc|\nV:2\nC|\n'
    (tmp_path / "a.abc").write_text(tune)
    notes, _ = read_score(tmp_path / "a.abc", ensemble="chamber")
    assert list(zip(notes.pitch.tolist(), notes.part.tolist())) == [(60, 0), (72, 1)]


@pytest.mark.parametrize(
    "music, expected",
    [
        ("C D::E F|", [(0, 60), (1, 62), (2, 64), (3, 65)]),
        ("C D\nD::E F|", [(0, 60), (1, 62), (2, 62), (3, 64), (4, 65)]),
        ("C D E F::\nG A B c|", [(0, 60), (1, 62), (2, 64), (3, 65), (4, 67), (5, 69), (6, 71), (7, 72)]),
        ("C\nA:|", [(0, 60), (1, 69)]),
        ("|:C4|1 D4:|2 E4|]", [(0, 60), (4, 62), (8, 64)]),
        ("C4 [1 D4 :|[2 E4|]", [(0, 60), (4, 62), (8, 64)]),
        ("C D \\\nE F|", [(0, 60), (1, 62), (2, 64), (3, 65)]),
        ("C D E F|\n\nA bad egg is a cabbage\nCDEFGAB\n", [(0, 60), (1, 62), (2, 64), (3, 65)]),
        ("C D E F|\n%%begintext\nA bad egg\n%%endtext\nG|", [(0, 60), (1, 62), (2, 64), (3, 65), (4, 67)]),
        ("C D % a bad egg\nE", [(0, 60), (1, 62), (2, 64)]),
        ("C D\nw:a bad egg\nE", [(0, 60), (1, 62), (2, 64)]),
        ('"Am"C "^bad"D [r:bad]E', [(0, 60), (1, 62), (2, 64)]),
        ("!trill!C ~D .E +fermata+F TC HD uE vF", list(enumerate([60, 62, 64, 65] * 2))),
        ("+CEG+2 D", [(0, 60), (0, 64), (0, 67), (2, 62)]),
        ("C4|Z2|D4|", [(0, 60), (12, 62)]),
        ("C4|X|D4|", [(0, 60), (8, 62)]),
        ("x4|C4|", [(4, 60)]),
        ("C y D y4 E", [(0, 60), (1, 62), (2, 64)]),
        ("C D [L:1/8] E F G A|", [(0, 60), (1, 62), (2, 64), (2.5, 65), (3, 67), (3.5, 69)]),
        ("F [K:D] F C [K:none] F|", [(0, 65), (1, 66), (2, 61), (3, 65)]),
    ],
)
def test_what_is_music(read, music, expected):
    notes, losses = read(music)
    assert onsets(notes) == expected and not losses


@pytest.mark.parametrize(
    "music, expected",
    [
        ("C3/2 D/ E// F/4 G3/4", [(0, 1.5), (1.5, 0.5), (2, 0.25), (2.25, 0.25), (2.5, 0.75)]),
        ("d>e d<e", [(0, 1.5), (1.5, 0.5), (2, 0.5), (2.5, 1.5)]),
        ("d>>e f2", [(0, 1.75), (1.75, 0.25), (2, 2)]),
        ("d>(e f2) d> e", [(0, 1.5), (1.5, 0.5), (2, 2), (4, 1.5), (5.5, 0.5)]),
        ("d>{g}e f2", [(0, 1.5), (1.5, 0.5), (2, 2)]),
        ("d>|e f2", [(0, 1.5), (1.5, 0.5), (2, 2)]),
        ("(3:2:2c2d e", [(0, 4 / 3), (4 / 3, 2 / 3), (2, 1)]),
        ("(2cd e", [(0, 1.5), (1.5, 1.5), (3, 1)]),
        ("(4cdef g", [(0, 0.75), (0.75, 0.75), (1.5, 0.75), (2.25, 0.75), (3, 1)]),
        ("((3cde) f", [(0, 2 / 3), (2 / 3, 2 / 3), (4 / 3, 2 / 3), (2, 1)]),
        ("(3::2c d e f", [(0, 2 / 3), (2 / 3, 2 / 3), (4 / 3, 1), (7 / 3, 1)]),
        ("(3c>de f", [(0, 1), (1, 1 / 3), (4 / 3, 2 / 3), (2, 1)]),
        ("C-|C-|C", [(0, 3)]),
        ("C - C D", [(0, 2), (2, 1)]),
    ],
)
def test_rhythm(read, music, expected):
    notes, _ = read(music)
    spans = [(start, duration) for start, duration, _ in in_quarters(notes)]
    assert spans == [pytest.approx(span, abs=1 / 24) for span in expected]


def test_a_tuplet_of_ten(tmp_path):
    """`(10:6:4` is four notes, each six tenths as long."""
    (tmp_path / "a.abc").write_text("X:1\nM:4/4\nL:1/4\nK:C\n(10:6:4C/D/E/F/ G|\n")
    notes, _ = read_score(tmp_path / "a.abc", steps_per_quarter=20)
    assert rows(notes) == [(0, 6, 60), (6, 6, 62), (12, 6, 64), (18, 6, 65), (24, 20, 67)]


def test_five_in_compound_and_in_simple_time(read):
    assert in_quarters(read("(5CDEFG A", meter="6/8")[0])[-1] == (3, 1, 69)
    assert in_quarters(read("(5CDEFG A", meter="2/4")[0])[-1] == (2, 1, 69)


@pytest.mark.parametrize(
    "music, expected",
    [
        ("[CE]2-|[CE]2", [(0, 4, 60), (0, 4, 64)]),
        ("[C-E]2|[CF]2", [(0, 4, 60), (0, 2, 64), (2, 2, 65)]),
        ("[CE]-|[CE]-[CE]", [(0, 3, 60), (0, 3, 64)]),
        ("[C2E2]/[DF]", [(0, 1, 60), (0, 1, 64), (1, 1, 62), (1, 1, 65)]),
        ('["x"C!p!E]', [(0, 1, 60), (0, 1, 64)]),
    ],
)
def test_chords(read, music, expected):
    assert in_quarters(read(music)[0]) == expected


def test_grace_notes_are_counted(read):
    notes, losses = read("{gag}C D {/b}E F")
    assert onsets(notes) == [(0, 60), (1, 62), (2, 64), (3, 65)] and losses == {"grace": 4}


@pytest.mark.parametrize(
    "music, key, pitches",
    [
        ("^/c c | c", "C", [73, 73, 72]),
        ("_/B _3/2B", "C", [71, 70]),
        ("^3/2F =F ^1/4F", "C", [67, 65, 65]),
        ("[^/ce]", "C", [73, 76]),
        ("f F", "C exp ^/f", [78, 66]),
    ],
)
def test_quarter_tones_are_rounded_and_counted(read, music, key, pitches):
    notes, losses = read(music, key)
    n_natural = sum(pitch in (72, 76) or (pitch == 65 and i == 1) for i, pitch in enumerate(pitches))
    assert notes.pitch.tolist() == pitches and losses == {"microtones": len(pitches) - n_natural}


@pytest.mark.parametrize(
    "music, lower",
    [
        ("g4|e2e2&&d4|c4|A4|", [(0, 74), (4, 72)]),
        ("g4|e2e2 && d2 d2 | c2 & z2 c2 | A4|", [(0, 74), (2, 74), (4, 72), (6, 72)]),
        ("(& g4|e2e2 & d4|c4 &) | A4|", [(0, 74), (4, 72)]),
        ("(& g4|e2e2| & d4|c4| & B,4|z4 &) A4|", [(0, 59), (0, 74), (4, 72)]),
        ("|: g4 | e2e2 &&| d4 || c4 | A4|", [(0, 74), (4, 72)]),
        ("g4|e2e2&&&&d4|c4|A4|", [(0, 74), (4, 72)]),
    ],
)
def test_overlays_of_several_bars(read, music, lower):
    assert onsets(read(music)[0]) == sorted([(0, 79), (4, 76), (6, 76), (8, 69), *lower])


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("text", ["\x85 cab", "\x0c cab", "\u2026 bed"])
def test_only_line_ends_end_lines(tmp_path, line_end, text):
    tune = f"X:1\nL:1/4\nK:C\nA B c d|\nw: he-llo {text}\ne f|\n".replace("\n", line_end)
    encoding = "latin-1" if text.isascii() or text[0] == "\x85" else "cp1252"
    (tmp_path / "a.abc").write_bytes(tune.encode(encoding))
    notes, losses = read_score(tmp_path / "a.abc")
    assert notes.pitch.tolist() == [69, 71, 72, 74, 76, 77] and not losses


@pytest.mark.parametrize("meter, quarters", [("2/4", 0.25), ("3/4", 0.5), ("6/8", 0.5), ("C|", 0.5), ("none", 0.5)])
def test_default_unit_length(read, meter, quarters):
    assert in_quarters(read("C D", meter=meter, unit="")[0]) == [(0, quarters, 60), (quarters, quarters, 62)]


def test_time_signatures_and_an_upbeat(read):
    notes, _ = read("G|C D E|[M:2/4]F G|\nM:C\nC4|\nM:(2+3)/8\nC|", meter="3/4")
    assert notes.time_signatures == ((-24, 3, 4), (48, 2, 4), (72, 4, 4), (120, 5, 8))
    assert read("C D E F|G4|", meter="none")[0].time_signatures == ((0, 4, 4),)


@pytest.mark.parametrize(
    "tempo, qpm",
    [("1/4=72", 72), ('"Allegro" 3/8=60', 90), ("1/8 3/8=50", 100), ("1/2=50", 100), ("240", 240), ('"Allegro"', 120)]
    + [("1/4=c. 72", 72), ("1/4=ca.72", 72), ("1/4 = 60-70", 60), ("C=100", 100), ("C3=40", 120)],
)
def test_tempo(read, tempo, qpm):
    assert read("C", fields=f"Q:{tempo}\n")[0].qpm == qpm


def test_tempo_in_unit_lengths_given_later(read):
    assert read("C", unit="", fields="Q:240\nL:1/8\n")[0].qpm == 120


def test_signs_without_a_meaning_are_counted(read):
    notes, losses = read("C @ D # E ^ F")
    assert notes.pitch.tolist() == [60, 62, 64, 65] and losses == {"unread": 3}


def test_a_tune_without_a_key_line():
    with pytest.raises(BadMusicFile, match="a.abc: no K: line"):
        parse_abc("X:1\nM:4/4\nA B c d|\n", "a.abc")


def test_lost_notes_are_refused(read, monkeypatch):
    def forgetful(text, source):
        score = parse_abc(text, source)
        score.n_written_notes -= 1
        return score

    monkeypatch.setitem(scores.PARSERS, "abc", forgetful)
    assert read("CDEF" * 10)[1] == {"lost": 1}
    with pytest.raises(LostNotes, match="a.abc: only 3 of its 4 notes can be read"):
        read("C D E F")


@pytest.mark.parametrize(
    "music",
    ["((3cde)" * 240, "(3" * 500 + "cde" * 200, "C" + ">" * 2000 + "D", "[" * 2000 + "C", "{" * 2000, '"' * 2001],
)
def test_deep_nesting_takes_no_time(music):
    began = time.perf_counter()
    parse_abc(f"X:1\nL:1/8\nK:C\n{music}\n", "a.abc")
    assert time.perf_counter() - began < 1


def test_too_many_voices():
    with pytest.raises(BadMusicFile, match="a.abc: more than 64 voices"):
        parse_abc("X:1\nK:C\n" + "".join(f"[V:{i}]C" for i in range(70)), "a.abc")


@settings(max_examples=150, deadline=2000)
@given(st.text(alphabet="ABCdefgz|:[](){}<>0123/^_=-&\"!~+ \n\\%KLMVQX'", max_size=200))
def test_any_text_is_read_or_refused_by_name(music):
    text = f"X:1\nM:6/8\nK:D\n{music}"
    try:
        score = parse_abc(text, "a.abc")
    except ClaraError:
        return
    assert score.n_written_notes == sum(len(part.rows) for part in score.parts)
    assert count_notes(text, "abc") <= len(text)
