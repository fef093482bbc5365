"""MusicXML by bars: bars of all parts begin together, cue notes are silent, upbeats keep their place."""

import pytest
from examples import musicxml, rows

from clara.errors import BadMusicFile, LostNotes
from clara.music import scores
from clara.music.scores import read_score

BAR = '</measure><measure number="2">'
THIRD_BAR = '</measure><measure number="3">'


def note(name, duration=1, inside=""):
    """Return a note such as C4; `inside` follows its duration."""
    pitch = f"<pitch><step>{name[0]}</step><octave>{name[1]}</octave></pitch>"
    return f"<note>{pitch}<duration>{duration}</duration>{inside}</note>"


def rest(duration):
    return f"<note><rest/><duration>{duration}</duration></note>"


def signature(beats, beat_type):
    return f"<attributes><time><beats>{beats}</beats><beat-type>{beat_type}</beat-type></time></attributes>"


@pytest.fixture
def read(tmp_path):
    """Return a function that reads the bars of some parts and returns notes in quarters, and losses."""

    def read_(*parts):
        (tmp_path / "a.musicxml").write_text(musicxml(*parts))
        notes, losses = read_score(tmp_path / "a.musicxml")
        return [(start / 12, duration / 12, pitch) for start, duration, pitch in rows(notes)], losses

    return read_


def test_a_short_bar_in_one_part_shifts_no_other(read):
    short = note("C3", 3) + BAR + note("D3", 4) + THIRD_BAR + note("E3", 4)
    whole = note("C4", 4) + BAR + note("D4", 4) + THIRD_BAR + note("E4", 4)
    expected = [(0, 3, 48), (0, 4, 60), (4, 4, 50), (4, 4, 62), (8, 4, 52), (8, 4, 64)]
    assert read(short, whole) == read(whole, short)[:1] + ({},) == (expected, {})


def test_an_empty_bar_in_one_part_or_in_all(read):
    assert read(BAR + note("C4", 4), note("D4", 4) + BAR)[0] == [(0, 4, 62), (4, 4, 60)]
    assert read(BAR + note("C4", 4))[0] == [(4, 4, 60)]
    assert read(signature(3, 4) + BAR + note("C4", 3))[0] == [(3, 3, 60)]


def test_a_bar_may_be_longer_than_its_signature_by_notes_only(read):
    assert read(note("C4", 5) + BAR + note("D4", 4))[0] == [(0, 5, 60), (5, 4, 62)]
    assert read(note("C4", 4) + rest(4) + BAR + note("D4", 4))[0] == [(0, 4, 60), (4, 4, 62)]
    assert read(note("C4", 5) + rest(1) + BAR + note("D4", 4))[0] == [(0, 5, 60), (6, 4, 62)]


def test_a_short_bar_of_all_parts_is_short(read):
    parts = [note(f"C{octave}", 4) + BAR + note(f"D{octave}", 1) + THIRD_BAR + note(f"E{octave}", 4) for octave in "34"]
    assert read(*parts)[0] == [(0, 4, 48), (0, 4, 60), (4, 1, 50), (4, 1, 62), (5, 4, 52), (5, 4, 64)]


def test_rounded_tuplets_do_not_shift_the_next_bar(read):
    rounded = "<attributes><divisions>100</divisions></attributes>" + note("C4", 33) * 3 + note("D4", 300)
    assert read(rounded + BAR + note("E4", 400))[0][-1] == (4, 4, 64)


def test_cue_notes_are_silent_and_counted(read):
    cue = note("G5").replace("<note>", "<note><cue/>")
    assert read(cue + note("C4", 3)) == ([(1, 3, 60)], {"cue": 1})


def test_small_notes_sound(read):
    assert read(note("C4", 4, '<type size="cue">whole</type>')) == ([(0, 4, 60)], {})


def test_grace_cue_notes_take_no_time(read):
    grace = "<note><grace/><cue/><pitch><step>C</step><octave>5</octave></pitch></note>"
    assert read(grace + note("C4", 4)) == ([(0, 4, 60)], {"cue": 1})


@pytest.mark.parametrize("time, numerator, denominator", [(("3", "8"), 3, 8), (("2+3", "8"), 5, 8), (("2", "2"), 2, 2)])
def test_an_upbeat_keeps_its_place(tmp_path, time, numerator, denominator):
    halves = "<attributes><divisions>2</divisions></attributes>" + signature(*time)
    bars = halves + note("C4", 1) + BAR + note("D4", 8 * numerator // denominator)
    (tmp_path / "a.xml").write_text(musicxml(bars))
    notes, _ = read_score(tmp_path / "a.xml")
    bar_steps = 48 * numerator // denominator
    assert notes.time_signatures == ((6 - bar_steps, numerator, denominator),)
    assert notes.start.tolist() == [0, 6]


def test_pairs_of_time_signatures_add_up(tmp_path):
    pair = "<beats>3</beats><beat-type>4</beat-type><beats>3</beats><beat-type>8</beat-type>"
    bars = f"<attributes><time>{pair}</time></attributes>" + note("C4", 4)
    (tmp_path / "a.xml").write_text(musicxml(bars))
    assert read_score(tmp_path / "a.xml")[0].time_signatures == ((0, 9, 8),)


def test_a_tie_by_its_sign_alone(read):
    tied = '<notations><tied type="{}"/></notations>'
    bars = note("C4", 4, tied.format("start")) + BAR + note("C4", 4, tied.format("stop"))
    assert read(bars)[0] == [(0, 8, 60)]


@pytest.mark.parametrize("per_minute, qpm", [("c. 72", 72), ("72-76", 72), ("60.5", 60.5), ("fast", 120)])
def test_metronome_marks(tmp_path, per_minute, qpm):
    mark = f"<metronome><beat-unit>quarter</beat-unit><per-minute>{per_minute}</per-minute></metronome>"
    bars = f"<direction><direction-type>{mark}</direction-type></direction>" + note("C4", 4)
    (tmp_path / "a.xml").write_text(musicxml(bars))
    assert read_score(tmp_path / "a.xml")[0].qpm == qpm


def test_a_broken_pitch_is_counted_and_refused(read):
    broken = note("H4")
    assert read(note("C4") * 40 + broken)[1] == {"unread": 1, "lost": 1}
    with pytest.raises(LostNotes, match="a.musicxml: only 4 of its 5 notes can be read"):
        read(note("C4") * 4 + broken)


def test_notes_that_a_reader_forgets_are_counted_and_refused(read, monkeypatch):
    parse = scores.PARSERS["musicxml"]

    def forgetful(n_forgotten):
        def parse_and_forget(text, source):
            score = parse(text, source)
            del score.parts[0].rows[:n_forgotten]
            score.n_written_notes -= n_forgotten
            return score

        return parse_and_forget

    monkeypatch.setitem(scores.PARSERS, "musicxml", forgetful(1))
    assert read(note("C4") * 50)[1] == {"lost": 1}
    monkeypatch.setitem(scores.PARSERS, "musicxml", forgetful(3))
    with pytest.raises(LostNotes, match="only 47 of its 50 notes"):
        read(note("C4") * 50)


@pytest.mark.parametrize(
    "bars, reason",
    [
        (note("C4", "x"), "a duration of 'x'"),
        (note("C4", "-1"), "a duration of '-1'"),
        ("<attributes><divisions>0</divisions></attributes>" + note("C4"), "divisions of '0'"),
        ("<attributes><transpose><chromatic>x</chromatic></transpose></attributes>" + note("C4"), "a transposition"),
    ],
)
def test_broken_numbers(read, bars, reason):
    with pytest.raises(BadMusicFile, match=f"a.musicxml: part 1: broken MusicXML .{reason}"):
        read(bars)


@pytest.mark.parametrize("octave", ["-3", "10", "9" * 40])
def test_pitches_out_of_range(read, octave):
    with pytest.raises(BadMusicFile, match="a.musicxml: a pitch outside 0-127"):
        read(note("C4", 4).replace("<octave>4", f"<octave>{octave}"))


def test_a_prefix_without_a_namespace(read):
    with pytest.raises(BadMusicFile, match="a.musicxml: broken MusicXML .unbound prefix"):
        read("<a:b/>" + note("C4", 4))


def test_a_namespace_of_all_elements(tmp_path):
    text = musicxml(note("C4", 4)).replace("<score-partwise", '<score-partwise xmlns="http://example.org/x"')
    (tmp_path / "a.musicxml").write_text(text)
    assert read_score(tmp_path / "a.musicxml")[0].pitch.tolist() == [60]


def test_quarter_tones_are_rounded_and_counted(read):
    bars = "".join(
        note("C4").replace("</step>", f"</step><alter>{alter}</alter>") for alter in ("0.5", "-0.5", "1.5", "-1")
    )
    notes, losses = read(bars)
    assert [pitch for _, _, pitch in notes] == [61, 60, 62, 59] and losses == {"microtones": 3}


def test_a_huge_key_signature_takes_no_time(read):
    key = "<attributes><key><fifths>999999999</fifths></key></attributes>"
    assert read(key + note("C4", 4))[0] == [(0, 4, 60)]
