"""Broken, hostile or odd scores are refused by name or repaired, in bounded time."""

import contextlib
import time
import zipfile
import zlib

import pytest
from examples import musicxml

from clara.errors import BadMusicFile, ClaraError, NoNotes, TooLong
from clara.music import score_text
from clara.music.scores import read_score

NOTE = "<note><pitch><step>{}</step><octave>4</octave></pitch><duration>1</duration></note>"
SCORE = musicxml(NOTE.format("C") + NOTE.format("D"))
KERN = "**kern\n*M4/4\n=1\n4c\n[4d\n=2\n4d]\n*-\n"
ABC = "X:1\nT:a tune\nM:4/4\nL:1/4\nK:C\nC D|\n"
BILLION = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write_(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_


def mxl(path, members):
    """Write an .mxl with these members, {name: text or bytes}."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def container(name):
    return f'<container><rootfiles><rootfile full-path="{name}"/></rootfiles></container>'


def two_notes(path):
    """Return whether the file gives the two notes of SCORE, and what was lost."""
    notes, losses = read_score(path)
    return notes.pitch.tolist() == [60, 62] and not losses


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE score-partwise [<!ENTITY a "b">]>',
        '<!DOCTYPE score-partwise [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE score-partwise [<!ENTITY % a SYSTEM "http://localhost/a.dtd"> %a;]>',
        f'<!DOCTYPE score-partwise [<!ENTITY l0 "lol">{BILLION}]>',
    ],
    ids=["internal", "external", "of a parameter", "billion laughs"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_entities_are_refused(write, declared, encoding):
    path = write(
        "a.musicxml", f'<?xml version="1.0" encoding="{encoding[:6].strip("-")}"?>{declared}{SCORE}'.encode(encoding)
    )
    with pytest.raises(BadMusicFile, match="a.musicxml: refused, it declares an entity"):
        read_score(path)


def test_no_entity_hides_in_an_odd_encoding(write):
    path = write("a.xml", '<?xml version="1.0" encoding="utf-7"?>+ADw-!DOCTYPE x+AD4-')
    with pytest.raises(BadMusicFile, match="encoding 'utf-7'"):
        read_score(path)


def test_attributes_of_its_own_are_refused(write):
    declared = f'<!DOCTYPE score-partwise [<!ATTLIST note a CDATA "{"long" * 99}">]>'
    with pytest.raises(BadMusicFile, match="refused, it declares an attribute 'a'".replace("'a'", r"\('a'\)")):
        read_score(write("a.xml", declared + SCORE))


def test_the_usual_doctype_is_no_danger(write):
    doctype = '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">'
    assert two_notes(write("a.xml", doctype + SCORE))


def test_a_zip_bomb_costs_no_more_than_the_cap(tmp_path, monkeypatch):
    monkeypatch.setattr(score_text, "MAX_BYTES", 1 << 20)
    path = mxl(tmp_path / "a.mxl", {"META-INF/container.xml": container("a.xml"), "a.xml": b" " * (50 << 20)})
    assert path.stat().st_size < 1 << 20
    began = time.perf_counter()
    with pytest.raises(TooLong, match="a.mxl: more than 1 MiB when unpacked"):
        read_score(path)
    assert time.perf_counter() - began < 1


def test_a_zip_that_lies_about_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(score_text, "MAX_BYTES", 1 << 20)
    path = mxl(tmp_path / "a.mxl", {"a.xml": b" " * (2 << 20)})
    size = (2 << 20).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (99).to_bytes(4, "little")))
    with pytest.raises((BadMusicFile, TooLong), match="a.mxl: (broken|more than)"):
        read_score(path)


def test_a_zip_of_a_thousand_files(tmp_path):
    path = mxl(tmp_path / "a.mxl", {f"{i}.xml": SCORE for i in range(1000)})
    with pytest.raises(TooLong, match="more than 200 files in it"):
        read_score(path)


@pytest.mark.parametrize(
    "members",
    [
        {"META-INF/container.xml": container("a/b.xml"), "z.xml": "<no/>", "a/b.xml": SCORE},
        {"a.xml": SCORE},
        {"META-INF/container.xml": "", "a.musicxml": SCORE},
        {"META-INF/container.xml": container("gone.xml"), "__MACOSX/a.xml": "", "a.xml": SCORE},
    ],
    ids=["the one that the container names", "no container", "an empty container", "a container of something else"],
)
def test_which_score_of_an_mxl(tmp_path, members):
    assert two_notes(mxl(tmp_path / "a.mxl", members))


def test_an_mxl_that_is_no_zip_is_read_as_xml(write, tmp_path):
    assert two_notes(write("a.mxl", SCORE))
    assert two_notes(mxl(tmp_path / "a.xml", {"a.xml": SCORE}))


@pytest.mark.parametrize(
    "members", [{}, {"a.txt": "hello"}, {"META-INF/container.xml": container("a.txt"), "a.txt": "hello"}]
)
def test_an_mxl_without_a_score(tmp_path, members):
    with pytest.raises(BadMusicFile, match=r"a.mxl: (broken|empty|not)"):
        read_score(mxl(tmp_path / "a.mxl", members))


@pytest.mark.parametrize(
    "text, reason",
    [
        (musicxml("<a>" * 100_000 + "</a>" * 100_000), "nested deeper than 64"),
        (musicxml(NOTE.format("C") * 50_001), "more than 50,000 notes"),
        (SCORE.replace("<beats>4", "<beats>9&#57;99999"), "a time signature of '9999"),
        (SCORE.replace("<duration>1<", "<duration>999999999<"), "longer than 50,000 quarters"),
        (SCORE.replace("<duration>1<", "<duration>1e999<"), "part 1: broken MusicXML .a duration of .1e999.."),
        (SCORE.replace("<divisions>1<", "<divisions>0<"), "part 1: broken MusicXML .divisions of .0.."),
        (SCORE.replace("score-partwise", "score-timewise"), "'score-timewise', not 'score-partwise'"),
        ("<mei/>", "'mei', not 'score-partwise'"),
    ],
)
def test_musicxml_out_of_bounds(write, text, reason):
    with pytest.raises((BadMusicFile, TooLong), match=f"a.xml: .*{reason}"):
        read_score(write("a.xml", text))


def test_a_number_that_is_no_length(write):
    """A tune book of O'Neill's has its number alone on a line."""
    with_it, without = (read_score(write("a.abc", ABC + text))[0] for text in ("CDEF|\n::1646\nCDEF|", "CDEF|\nCDEF|"))
    assert with_it == without


@pytest.mark.parametrize(
    "name, text, reason",
    [
        ("a.krn", KERN.replace("4/4", "9999999/4"), "a time signature of '9999999/4'"),
        ("a.abc", ABC.replace("4/4", "9999999/4"), "a time signature of '9999999/4'"),
        ("a.abc", ABC + "[M:9999999/4] C D|", "a time signature of '9999999/4'"),
        ("a.krn", "**kern\n" + "4c\n" * 50_001 + "*-\n", "more than 50,000 notes"),
        ("a.abc", ABC + "CDEF" * 12_501, "more than 50,000 notes"),
        ("a.abc", ABC + "C99999999|", "a length of 99999999"),
        ("a.krn", "4c\n4d\n", "not Humdrum"),
        ("a.abc", "C D E F|", "not ABC"),
        ("a.abc", "X:1\nM:0/0\nK:C\nC D|", "a time signature of '0/0'"),
    ],
)
def test_text_out_of_bounds(write, name, text, reason):
    with pytest.raises((BadMusicFile, TooLong), match=f"{name}: .*{reason}"):
        read_score(write(name, text))


def test_a_file_beyond_the_cap(write, monkeypatch):
    monkeypatch.setattr(score_text, "MAX_BYTES", 100)
    with pytest.raises(TooLong, match="a.abc: larger than"):
        read_score(write("a.abc", ABC * 3))


@pytest.mark.parametrize("suffix", sorted(score_text.SCORE_SUFFIXES))
def test_contents_of_another_kind(write, suffix):
    others = {
        "<": SCORE,
        "*": KERN,
        "X": ABC,
        "MThd": b"MThd\0\0\0\6\0\0\0\1\1\xe0",
        "": "",
        " ": " \n",
        "\0": bytes(1000),
        "ÿ": b"\xff" * 1000,
    }
    own = {"musicxml": "<", "humdrum": "*", "abc": "X"}[score_text.SCORE_SUFFIXES[suffix]]
    for first, content in others.items():
        if first != own:
            with pytest.raises(BadMusicFile, match=f"a{suffix}: "):
                read_score(write(f"a{suffix}", content))


def test_truncated_musicxml_is_refused_everywhere(write):
    whole = SCORE.encode()
    for cut in range(1, len(whole) - 1, 13):
        with pytest.raises(BadMusicFile, match="a.xml: broken MusicXML"):
            read_score(write("a.xml", whole[:cut]))


def test_truncated_mxl_is_refused_everywhere(tmp_path, write):
    whole = mxl(tmp_path / "whole.mxl", {"META-INF/container.xml": container("a.xml"), "a.xml": SCORE}).read_bytes()
    for cut in range(1, len(whole), 13):
        with pytest.raises(BadMusicFile, match="a.mxl: broken"):
            read_score(write("a.mxl", whole[:cut]))


def test_garbled_mxl_is_refused_or_read(tmp_path, write):
    whole = mxl(tmp_path / "whole.mxl", {"a.xml": SCORE}).read_bytes()
    for at in range(4, len(whole), 5):
        try:
            assert two_notes(write("a.mxl", whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]))
        except BadMusicFile as e:
            assert "a.mxl: " in str(e) and not isinstance(e.__cause__, zlib.error | None) or "broken" in str(e)


def test_truncated_kern_is_refused_everywhere(write):
    for cut in range(1, len(KERN) - 2):
        with pytest.raises(BadMusicFile, match="a.krn: "):
            read_score(write("a.krn", KERN[:cut]))


def test_truncated_abc_gives_what_is_there(write):
    for cut in range(1, len(ABC)):
        try:
            assert len(read_score(write("a.abc", ABC[:cut]))[0]) <= 2
        except (BadMusicFile, NoNotes) as e:
            assert "a.abc: " in str(e)


@pytest.mark.parametrize(
    "expected",
    ["", '<?xml version="1.0"?>', '<?xml version="1.0" encoding="{}"?>', '<?xml version="1.0" encoding="UTF-8"?>'],
)
@pytest.mark.parametrize(
    "title, encoding", [("Frühlingslied Nº 5", "iso-8859-1"), ("春の歌", "shift_jis"), ("Ábel’s “Día”", "cp1252")]
)
def test_titles_in_other_encodings(write, title, encoding, expected):
    score = expected.format(encoding) + SCORE.replace(
        "<part-list>", f"<movement-title>{title}</movement-title><part-list>"
    )
    assert two_notes(write("a.xml", score.encode(encoding)))
    assert two_notes(write("a.abc", ABC.replace("a tune", title).encode(encoding)))
    assert read_score(write("a.krn", (f"!!!OTL: {title}\n" + KERN).encode(encoding)))[0].pitch.tolist() == [60, 62]


def test_names_of_files_and_folders(write, tmp_path):
    assert two_notes(write("春の歌 50% – é.XML", SCORE))
    (tmp_path / "folder.xml").mkdir()
    with pytest.raises(BadMusicFile, match="folder.xml: a folder"):
        read_score(tmp_path / "folder.xml")
    with pytest.raises(BadMusicFile, match="no such file"):
        read_score("nul\0.xml")


def test_text_that_names_a_file_or_an_address_is_not_followed(write):
    there = write("b.abc", ABC)
    for text in (str(there), "http://localhost/a.abc", f"X:1\n{there}"):
        with pytest.raises((BadMusicFile, NoNotes), match="a.abc: "):
            read_score(write("a.abc", text))


def test_what_is_no_note_is_counted(write, capsys):
    notes, losses = read_score(write("a.krn", KERN.replace("=2", "4%%4\n=2")))
    assert losses["unread"] == 1 and len(notes) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("entry", ["<duration>1</duration>", "<octave>4</octave>"])
@pytest.mark.parametrize("number", ["9" * 40, "9" * 5000, "-" + "9" * 40])
def test_a_number_beyond_64_bits_is_named(write, entry, number):
    name = entry.split("<")[1].split(">")[0]
    path = write("huge.musicxml", SCORE.replace(entry, f"<{name}>{number}</{name}>"))
    with pytest.raises(ClaraError, match="huge.musicxml"):
        read_score(path)


@pytest.mark.parametrize("tempo", ["9" * 40, "9" * 400, "0.0000000001"])
def test_a_tempo_that_nobody_plays_is_named(write, tempo):
    path = write("fast.musicxml", SCORE.replace("<note>", f'<sound tempo="{tempo}"/><note>', 1))
    with pytest.raises(BadMusicFile, match=r"fast\.musicxml: a (tempo|number)"):
        read_score(path)


QUICK_TO_READ = {
    "many_parentheses.abc": "X:1\nM:4/4\nL:1/8\nK:C\n" + "((3cde)" * 240 + "|\n",
    "nested_parentheses.abc": "X:1\nM:4/4\nL:1/8\nK:C\n" + "(" * 5000 + "c" + ")" * 5000 + "|\n",
    "many_sharps.musicxml": SCORE.replace("<time>", "<key><fifths>999999999</fifths></key><time>"),
    "many_flats.musicxml": SCORE.replace("<time>", "<key><fifths>-999999999</fifths></key><time>"),
    "many_octaves.musicxml": SCORE.replace("<time>", "<transpose><chromatic>999999999</chromatic></transpose><time>"),
    "many_spines.krn": "**kern\n" + "*^\n" + "\t".join(["*^"] * 2) + "\n*-\t*-\t*-\t*-\n",
    "long_numbers.krn": "**kern\n" + "9" * 5000 + "c\n*-\n",
    "many_dots.krn": "**kern\n4" + "." * 5000 + "c\n*-\n",
}


@pytest.mark.parametrize("name, text", QUICK_TO_READ.items(), ids=QUICK_TO_READ)
def test_little_text_takes_little_time(write, name, text):
    start = time.perf_counter()
    with contextlib.suppress(ClaraError):
        read_score(write(name, text))
    assert time.perf_counter() - start < 2
