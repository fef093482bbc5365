"""Score files as text that is safe to hand to a parser: MusicXML, Humdrum **kern, ABC.

Whatever a stranger's file holds, nothing is parsed into a tree before this module has
bounded it: bytes, members and real size of an .mxl, depth of nesting, number of notes.
An XML file that declares an entity is refused; one in another encoding than it says, or in
none that it says, is read as UTF-8 or else as Latin-1, which spells names at worst and
never notes. An .mxl without its container is mended: the one score in it is taken.
"""

import re
import xml.parsers.expat
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

from clara.errors import BadMusicFile, TooLong

SCORE_SUFFIXES = {".musicxml": "musicxml", ".xml": "musicxml", ".mxl": "musicxml", ".krn": "humdrum", ".abc": "abc"}
MAX_BYTES = 32 << 20  # of the file, and of the score in an .mxl; Beethoven's opus 132 takes 11 MB
MAX_MEMBERS = 200  # of an .mxl; a score with a picture on every page has fewer
# music21 takes 11 KB and a millisecond for each: a piece at the cap costs 0.6 GB and a minute.
MAX_NOTES = 50_000
MAX_DEPTH = 64  # of elements in elements; MusicXML itself needs 13
# Encodings that an XML file may name. UTF-7 and the like could hide a declaration from a reader of bytes.
ENCODINGS = re.compile(
    r"utf-?(8|16)([-_]?[bl]e)?|(us-?)?ascii|(iso[-_]?8859[-_]?|latin[-_]?)\d+|(windows-?|cp)(125\d|932|936|949|950)|"
    r"shift[-_]?jis|s-?jis|euc[-_]?(jp|kr)|gb(2312|k|18030)|big5|koi8-[ru]|mac(intosh|-?roman)",
    re.IGNORECASE,
)
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
DECLARED = re.compile(r"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([^"']*)["'][^>]*\?>""")
DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
TUNE = re.compile(r"^X:.*$", re.MULTILINE)
FIELD = re.compile(r"^[A-JL-WYZ]:.*$", re.MULTILINE)  # that may stand above the first tune and hold for all
ABC_NOTE = re.compile(r"[A-Ga-g]")
# Where each form tells its metre. music21 counts out a bar beat by beat, so that one of 9,999,999/4 takes all memory.
METRE = {"humdrum": re.compile(r"\*M(\d\S*)"), "abc": re.compile(r"(?:^|\[)M:([^\]\n%]*)", re.MULTILINE)}
HUGE_METRE = re.compile(r"\d{4}|.{40}", re.DOTALL)
HUGE_LENGTH = re.compile(r"(?<=[^\s:\d])\d{4,}")  # in ABC, behind a note or a slash: a bar so long takes music21 hours
ASIDE = re.compile(r'"[^"]*"|![^!]*!|\[[A-Za-z]:[^\]]*\]|%.*')  # in a line of ABC, what is no music
CONTAINER = "META-INF/container.xml"


def read_score_text(path, tune=None):
    """The text of a score, bounded, and what it is written in.

    Parameters
    ----------
    path : of a file with a suffix of `SCORE_SUFFIXES`
    tune : of an ABC file with several, which one, from 1; the first where it is None

    Returns
    -------
    text : str
    form : "musicxml", "humdrum" or "abc"
    others : tunes of the file that were not read

    Raises
    ------
    BadMusicFile
        Saying what is wrong with it.
    TooLong
        If it exceeds MAX_BYTES, MAX_MEMBERS or MAX_NOTES.
    """
    form = SCORE_SUFFIXES.get(Path(path).suffix.lower())
    if form is None:
        raise BadMusicFile(f"{path}: not a score ({', '.join(SCORE_SUFFIXES)} are read)")
    data = _read_bytes(path)
    if data[:4] == b"PK\x03\x04" and form == "musicxml":
        data = _unzipped(data, path)
    text, others = _decoded(data, path, form), 0
    if form == "musicxml":
        text = DECLARATION.sub("", text, count=1)
        _survey(text, path)
    else:
        if form == "abc":
            text, others = _one_tune(text, tune, path)
        _bound_text(text, form, path)
    return text, form, others


def count_tunes(path):
    """How many tunes an ABC file holds; 1 for whatever is not ABC or cannot be read."""
    if SCORE_SUFFIXES.get(Path(path).suffix.lower()) != "abc":
        return 1
    try:
        return max(1, len(TUNE.findall(_decoded(_read_bytes(path), path, "abc"))))
    except (BadMusicFile, TooLong):
        return 1


def _read_bytes(path):
    """The file's bytes, not more than MAX_BYTES."""
    path = Path(path)
    try:
        with path.open("rb") as f:
            data = f.read(MAX_BYTES + 1)
    except IsADirectoryError as e:
        raise BadMusicFile(f"{path}: a folder, not a score") from e
    except (OSError, ValueError) as e:  # ValueError: a zero byte in the name
        raise BadMusicFile(f"{path}: cannot be read ({getattr(e, 'strerror', None) or e})") from e
    if len(data) > MAX_BYTES:
        raise TooLong(f"{path}: larger than {MAX_BYTES >> 20} MiB")
    if not data.strip():
        raise BadMusicFile(f"{path}: empty")
    return data


def _unzipped(data, path):
    """The score in an .mxl."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise TooLong(f"{path}: more than {MAX_MEMBERS} files in it")
            names = [m.filename for m in members]
            return _member(archive, _score_name(archive, names, path), path)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        KeyError,
        ValueError,
    ) as e:
        raise BadMusicFile(f"{path}: broken .mxl ({str(e)[:120]})") from e


def _score_name(archive, names, path):
    """The member that the container names, or the one that looks like a score."""
    if CONTAINER in names:
        container = _decoded(_member(archive, CONTAINER, path), path, "musicxml")
        told = re.search(r"""<rootfile\s[^>]*?full-path\s*=\s*["']([^"']*)["']""", container)
        if told and told[1] in names:
            return told[1]
    scores = [
        n for n in names if n.lower().endswith((".xml", ".musicxml")) and not n.startswith(("META-INF/", "__MACOSX/"))
    ]
    if not scores:
        raise BadMusicFile(f"{path}: broken .mxl (no score in it)")
    return scores[0]


def _member(archive, name, path):
    """A member's bytes, counted while they come out: its header may lie."""
    with archive.open(name) as f:
        data = f.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooLong(f"{path}: more than {MAX_BYTES >> 20} MiB when unpacked")
    return data


def _decoded(data, path, form):
    """Bytes as text."""
    mark = next((m for m in MARKS if data.startswith(m)), None)
    if mark:
        encodings = [MARKS[mark]]
    elif form == "musicxml" and data[:4].count(0) == 2:  # UTF-16 without a mark
        encodings = ["utf-16-be" if data[0] == 0 else "utf-16-le"]
    else:
        told = DECLARED.match(data[:200].decode("latin-1")) if form == "musicxml" else None
        if told and not ENCODINGS.fullmatch(told[1]):
            raise BadMusicFile(f"{path}: broken MusicXML (encoding {told[1][:20]!r})")
        named = told[1] if told and not told[1].lower().startswith("utf") else "utf-8"
        encodings = [named, "utf-8", "latin-1"]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    raise BadMusicFile(f"{path}: not text in {encodings[0]}")


def _survey(text, path):
    """Refuse MusicXML that is not whole, not flat or not harmless; nothing of it is kept."""
    depth = notes = 0
    beats = None

    def begin(name, attributes):
        nonlocal depth, notes, beats
        depth += 1
        beats = "" if name in ("beats", "beat-type") else None
        notes += name == "note"
        if depth == 1 and name != "score-partwise":
            raise BadMusicFile(f"{path}: not MusicXML in parts (it is {name[:40]!r}, not 'score-partwise')")
        if depth > MAX_DEPTH:
            raise BadMusicFile(f"{path}: broken MusicXML (elements nested deeper than {MAX_DEPTH})")
        if notes > MAX_NOTES:
            raise TooLong(f"{path}: more than {MAX_NOTES:,} notes")

    def end(name):
        nonlocal depth, beats
        depth -= 1
        beats = None

    def words(data):
        nonlocal beats
        if beats is not None:
            beats += data
            _bound_metre(beats, path)

    def entity(name, *_):
        raise BadMusicFile(f"{path}: refused, it declares an entity ({name[:40]!r})")

    def default(element, attribute, *_):  # one long default at every note is a bomb, too
        raise BadMusicFile(f"{path}: refused, it declares an attribute ({attribute[:40]!r})")

    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler = words
    parser.EntityDeclHandler, parser.AttlistDeclHandler = entity, default
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except xml.parsers.expat.ExpatError as e:
        raise BadMusicFile(f"{path}: broken MusicXML ({e})") from e


def _one_tune(text, tune, path):
    """One tune of an ABC text with the lines above the first that hold for all, and how many others there are."""
    heads = list(TUNE.finditer(text))
    if not heads:
        raise BadMusicFile(f"{path}: not ABC (no line begins with X:)")
    at = (tune or 1) - 1
    if not 0 <= at < len(heads):
        raise BadMusicFile(f"{path}: it has {len(heads)} tunes, no number {tune}")
    end = heads[at + 1].start() if at + 1 < len(heads) else None
    for_all = FIELD.findall(text[: heads[0].start()])
    return "\n".join([heads[at][0], *for_all]) + text[heads[at].end() : end], len(heads) - 1 if tune is None else 0


def _bound_text(text, form, path):
    """Refuse a **kern or ABC text that is none, or has more notes than music21 would hold."""
    if form == "humdrum" and not re.search(r"^\*\*", text, re.MULTILINE):
        raise BadMusicFile(f"{path}: not Humdrum (no line begins with **)")
    if form == "humdrum":
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("!")]
        if set(lines[-1].split()) != {"*-"}:
            raise BadMusicFile(f"{path}: broken Humdrum (it does not end with *-)")
        n_notes = sum(len(line.split()) for line in lines if not line.startswith(("*", "=")))
    else:
        lines = [ASIDE.sub("", line) for line in text.splitlines() if line[1:2] != ":"]
        n_notes = sum(len(ABC_NOTE.findall(line)) for line in lines)
        huge = next((m for m in map(HUGE_LENGTH.search, lines) if m), None)
        if huge:
            raise BadMusicFile(f"{path}: a length of {huge[0][:20]}")
    if n_notes > MAX_NOTES:
        raise TooLong(f"{path}: more than {MAX_NOTES:,} notes")
    for told in METRE[form].finditer(text):
        _bound_metre(told[1], path)


def _bound_metre(told, path):
    """Refuse a metre of thousands."""
    if HUGE_METRE.search(told):
        raise BadMusicFile(f"{path}: a metre of {told[:20].strip()!r}")
