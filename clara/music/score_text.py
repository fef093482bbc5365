"""Read the text of a score file within limits: MusicXML, Humdrum **kern and ABC.

Nothing of a file is parsed into a tree before this module has bounded it: its bytes, the members
of an .mxl and their real size, the depth of nesting and the number of notes.

An XML file in another encoding than it declares is read as UTF-8, or else as Latin-1; at worst that
misspells names, never notes.
Lines of Humdrum and ABC end with LF, CR or both, and with nothing else. An .mxl without a container is
repaired: the first score in it is read.
"""

import re
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

from clara.errors import BadMusicFile, TooLong
from clara.music.abc_macros import expand_macros
from clara.music.musicxml_check import MAX_NOTES, check_musicxml, check_time_signature

SCORE_SUFFIXES = {".musicxml": "musicxml", ".xml": "musicxml", ".mxl": "musicxml", ".krn": "humdrum", ".abc": "abc"}
MAX_BYTES = 32 << 20  # of the file, and of the score in an .mxl; Beethoven's opus 132 has 11 MB
MAX_MEMBERS = 200  # of an .mxl; a score with a picture on every page has fewer
CONTAINER = "META-INF/container.xml"  # of an .mxl; it names the score

# Encodings that an XML file may declare. UTF-7 and the like could hide a declaration.
ALLOWED_ENCODINGS = re.compile(
    r"utf-?(8|16)([-_]?[bl]e)?|(us-?)?ascii|(iso[-_]?8859[-_]?|latin[-_]?)\d+|(windows-?|cp)(125\d|932|936|949|950)|"
    r"shift[-_]?jis|s-?jis|euc[-_]?(jp|kr)|gb(2312|k|18030)|big5|koi8-[ru]|mac(intosh|-?roman)",
    re.IGNORECASE,
)
BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
DECLARED_ENCODING = re.compile(r"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([^"']*)["'][^>]*\?>""")
XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")

OTHER_LINE_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # what str.splitlines splits at beyond LF and CR

ABC_TUNE = re.compile(r"^X:.*$", re.MULTILINE)
ABC_FIELD = re.compile(r"^[A-JL-WYZm]:.*$", re.MULTILINE)  # may stand above the first tune and hold for all
ABC_NOTE = re.compile(r"[A-Ga-g]")
ABC_NOT_MUSIC = re.compile(r'"[^"]*"|![^!]*!|\[[A-Za-z]:[^\]]*\]|%.*')  # in a line of music
ABC_HUGE_LENGTH = re.compile(r"(?<=[^\s:\d])\d{4,}")  # behind a note or a slash
TIME_SIGNATURE = {
    "humdrum": re.compile(r"\*M(\d\S*)"),
    "abc": re.compile(r"(?:^|\[)M:([^\]\n%]*)", re.MULTILINE),
}


def read_score_text(path, tune: int | None = None) -> tuple[str, str, int]:
    """Read the text of a score within limits.

    Parameters
    ----------
    path : path
        A file with a suffix of `SCORE_SUFFIXES`.
    tune : int, optional
        Number of the tune in an ABC file with several, from 1 (default: the first).

    Returns
    -------
    text : str
    form : str
        "musicxml", "humdrum" or "abc".
    n_other_tunes : int
        Number of tunes that were not read; 0 if `tune` is given.

    Raises
    ------
    BadMusicFile
        If the file is broken or refused; the message says why.
    TooLong
        If it exceeds MAX_BYTES, MAX_MEMBERS, MAX_NOTES or the limits of `clara.music.abc_macros`.
    """
    form = SCORE_SUFFIXES.get(Path(path).suffix.lower())
    if form is None:
        raise BadMusicFile(f"{path}: not a score ({', '.join(SCORE_SUFFIXES)} are read)")
    data = _read_bytes(path)
    if data[:4] == b"PK\x03\x04" and form == "musicxml":
        data = _unzip_score(data, path)
    text = _decode_text(data, path, form)
    n_other_tunes = 0
    if form == "musicxml":
        text = XML_DECLARATION.sub("", text, count=1)
        check_musicxml(text, path)
    elif form == "humdrum":
        _check_humdrum(text, path)
    else:
        text, n_other_tunes = _select_tune(text, tune, path)
        text = expand_macros(text, path)
        _check_abc(text, path)
    return text, form, n_other_tunes


def count_tunes(path) -> int:
    """Return the number of tunes in an ABC file, and 1 for any other or unreadable file."""
    if SCORE_SUFFIXES.get(Path(path).suffix.lower()) != "abc":
        return 1
    try:
        return max(1, len(ABC_TUNE.findall(_decode_text(_read_bytes(path), path, "abc"))))
    except (BadMusicFile, TooLong):
        return 1


def _read_bytes(path):
    """Return the bytes of the file, at most MAX_BYTES."""
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


def _unzip_score(data, path):
    """Return the bytes of the score in an .mxl."""
    broken_zip = (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        KeyError,
        ValueError,
    )
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise TooLong(f"{path}: more than {MAX_MEMBERS} files in it")
            names = [member.filename for member in members]
            return _read_member(archive, _find_score(archive, names, path), path)
    except broken_zip as e:
        raise BadMusicFile(f"{path}: broken .mxl ({str(e)[:120]})") from e


def _find_score(archive, names, path):
    """Return the member that the container names, or the first one that looks like a score."""
    if CONTAINER in names:
        container = _decode_text(_read_member(archive, CONTAINER, path), path, "musicxml")
        match = re.search(r"""<rootfile\s[^>]*?full-path\s*=\s*["']([^"']*)["']""", container)
        if match and match[1] in names:
            return match[1]
    for name in names:
        if name.lower().endswith((".xml", ".musicxml")) and not name.startswith(("META-INF/", "__MACOSX/")):
            return name
    raise BadMusicFile(f"{path}: broken .mxl (no score in it)")


def _read_member(archive, name, path):
    """Return the bytes of a member, limited while it is unpacked: its header may lie about the size."""
    with archive.open(name) as f:
        data = f.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooLong(f"{path}: more than {MAX_BYTES >> 20} MiB when unpacked")
    return data


def _decode_text(data, path, form):
    """Decode bytes as text, in the first encoding that fits."""
    encodings = _possible_encodings(data, path, form)
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        return text if form == "musicxml" else _normalize_line_ends(text)
    raise BadMusicFile(f"{path}: not text in {encodings[0]}")


def _normalize_line_ends(text):
    """Return a text whose only line ends are LF; what else Python takes for one becomes a space."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for line_end in OTHER_LINE_ENDS:
        text = text.replace(line_end, " ")
    return text


def _possible_encodings(data, path, form):
    """Return the encodings to try, the most likely first."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return [encoding]
    if form != "musicxml":
        return ["utf-8", "cp1252", "latin-1"]
    if data[:4].count(0) == 2:  # UTF-16 without a byte order mark
        return ["utf-16-be" if data[0] == 0 else "utf-16-le"]
    match = DECLARED_ENCODING.match(data[:200].decode("latin-1"))
    if match and not ALLOWED_ENCODINGS.fullmatch(match[1]):
        raise BadMusicFile(f"{path}: broken MusicXML (encoding {match[1][:20]!r})")
    is_other = match and not match[1].lower().startswith("utf")
    return [match[1], "utf-8", "latin-1"] if is_other else ["utf-8", "latin-1"]


def _select_tune(text, tune, path):
    """Return one tune of an ABC text, with the fields that hold for all tunes, and the number of other tunes."""
    heads = list(ABC_TUNE.finditer(text))
    if not heads:
        raise BadMusicFile(f"{path}: not ABC (no line begins with X:)")
    index = (tune or 1) - 1
    if not 0 <= index < len(heads):
        raise BadMusicFile(f"{path}: it has {len(heads)} tunes, no number {tune}")
    end = heads[index + 1].start() if index + 1 < len(heads) else None
    common_fields = ABC_FIELD.findall(text[: heads[0].start()])
    selected = "\n".join([heads[index][0], *common_fields]) + text[heads[index].end() : end]
    return selected, len(heads) - 1 if tune is None else 0


def _check_humdrum(text, path):
    """Refuse text that is not Humdrum, breaks off, or exceeds the limits."""
    if not re.search(r"^\*\*", text, re.MULTILINE):
        raise BadMusicFile(f"{path}: not Humdrum (no line begins with **)")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("!")]
    if set(lines[-1].split()) != {"*-"}:
        raise BadMusicFile(f"{path}: broken Humdrum (it does not end with *-)")
    n_notes = sum(len(line.split()) for line in lines if not line.startswith(("*", "=")))
    _check_limits(text, "humdrum", n_notes, path)


def _check_abc(text, path):
    """Refuse ABC text that exceeds the limits."""
    lines = [ABC_NOT_MUSIC.sub("", line) for line in text.splitlines() if line[1:2] != ":"]
    n_notes = sum(len(ABC_NOTE.findall(line)) for line in lines)
    for line in lines:
        match = ABC_HUGE_LENGTH.search(line)
        if match:
            raise BadMusicFile(f"{path}: a length of {match[0][:20]}")
    _check_limits(text, "abc", n_notes, path)


def _check_limits(text, form, n_notes, path):
    """Refuse too many notes and huge time signatures."""
    if n_notes > MAX_NOTES:
        raise TooLong(f"{path}: more than {MAX_NOTES:,} notes")
    for match in TIME_SIGNATURE[form].finditer(text):
        check_time_signature(match[1], path)
