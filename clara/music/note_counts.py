"""Count the notes that a score's text holds, independently of the readers, so that no reader loses notes in silence.

Each note of a tie and of a chord counts. Grace notes, cue notes, rests and notes without pitch do not.
The counters know nothing of voices, bars or time; they only recognise what a note looks like. Of Humdrum spines they
follow the kinds, because text and figures may look like notes.
"""

import re
from xml.sax.handler import ContentHandler

from defusedxml.sax import parseString

from clara.errors import LostNotes
from clara.wording import count_of

MAX_LOST_SHARE = 0.03  # of the notes in the source; more are refused
# A **kern note: one run of equal letters, and no other letter of a pitch or rest. A duration may stand before another
# note of its chord.
KERN_NOTE = re.compile(r"[^a-gA-Gr]*(?:([a-g])\1*|([A-G])\2*)[^a-gA-Gr]*")
DURATION_FIRST = re.compile(r"[^a-zA-Z]*\d")
ABC_NOTE = re.compile(r"[A-Ga-g]")
ABC_FIELD = re.compile(r"[A-Za-z+]:(?![|:])")
ABC_NOT_MUSIC = re.compile(  # comments, text, decorations, fields in brackets and grace notes
    r'(?<!\\)%.*|"[^"]*"|!(?!(?!f+!)[_^=A-Ga-g,/\d\']+!)[^!\s|:]+!|\+f+\+|\+[a-zA-Z0-9.<>()]*[h-zH-Z][a-zA-Z0-9.<>()]*\+|\[[A-Za-z]:[^\]]*\]|\{[^}]*\}'
)
ABC_TEXT_BLOCK = re.compile(r"%%begin(text|ps|svg).*?(?:%%end\1|\Z)", re.DOTALL)


def check_note_count(n_read: int, n_in_source: int, source) -> int:
    """Return how many notes of the source a reader lost, and refuse the source if they are many.

    Parameters
    ----------
    n_read, n_in_source : int
        Notes that the reader read, and notes that `count_notes` finds.
    source : path or str
        For the error message.

    Raises
    ------
    LostNotes
        If more than MAX_LOST_SHARE of the notes are lost.
    """
    n_lost = max(0, n_in_source - n_read)
    if n_lost > MAX_LOST_SHARE * n_in_source:
        raise LostNotes(
            f"{source}: only {n_read:,} of its {count_of(n_in_source, 'note')} can be read; "
            f"at most {100 * MAX_LOST_SHARE:g} % may be lost"
        )
    return n_lost


def count_notes(text: str, form: str) -> int:
    """Return the number of notes in the text of a score.

    Parameters
    ----------
    text : str
        As `clara.music.score_text.read_score_text` returns it.
    form : str
        "musicxml", "humdrum" or "abc".
    """
    return {"humdrum": _count_kern_notes, "musicxml": _count_musicxml_notes, "abc": _count_abc_notes}[form](text)


def _count_kern_notes(text):
    """Return the number of notes in a Humdrum text, by the look of its tokens."""
    kinds = []  # of the columns: their exclusive interpretations; "" where they are not certain
    chords = {}  # number of times that each chord stands in the text
    for line in text.splitlines():
        if line[:1] == "*":
            kinds = _next_kinds(kinds, line.split("\t"))
        elif line[:1] not in ("=", "!"):
            fields = line.split("\t")
            is_certain = len(fields) == len(kinds)
            for i, chord in enumerate(fields):
                if not is_certain or kinds[i] in ("", "**kern"):
                    chords[chord] = chords.get(chord, 0) + 1
    return sum(n * _count_chord(chord) for chord, n in chords.items())


def _next_kinds(kinds, fields):
    """Return the kinds of the columns after a row of interpretations."""
    if fields[0].startswith("**") or len(fields) != len(kinds):
        return [field if field.startswith("**") else "" for field in fields]
    if "*x" in fields and len(set(kinds)) > 1:
        return [""] * len(fields)
    kept = []
    for i, (kind, field) in enumerate(zip(kinds, fields)):
        is_merged = field == "*v" and i > 0 and fields[i - 1] == "*v" and kinds[i - 1] == kind
        if field != "*-" and not is_merged:
            kept.append(field if field.startswith("**") else kind)
        if field in ("*^", "*+"):
            kept.append(kind if field == "*^" else "")
    return kept


def _count_chord(chord):
    """Return the number of notes in a field of a **kern spine; 0 for text, which begins with no note, and dynamics."""
    tokens = chord.split()
    if not tokens or not DURATION_FIRST.match(tokens[0]) or not (KERN_NOTE.fullmatch(tokens[0]) or "r" in tokens[0]):
        return 0
    return sum("q" not in token and "Q" not in token and bool(KERN_NOTE.fullmatch(token)) for token in tokens)


def _count_abc_notes(text):
    """Return the number of note letters in the music of an ABC tune, which ends at a blank line after its K field."""
    _, _, body = ABC_TEXT_BLOCK.sub("%", text).replace("\r", "").partition("\nK:")
    music = re.split(r"\n[ \t]*\n", body, maxsplit=1)[0].split("\n")[1:]
    lines = [ABC_NOT_MUSIC.sub(" ", line) for line in music if not ABC_FIELD.match(line)]
    return sum(len(ABC_NOTE.findall(line)) for line in lines)


def _count_musicxml_notes(text):
    """Return the number of notes in a MusicXML text that have a pitch and are neither grace nor cue notes."""
    counter = _NoteCounter()
    parseString(text.encode("utf-8", "replace"), counter, forbid_dtd=False, forbid_external=False)
    return counter.n_notes


class _NoteCounter(ContentHandler):
    """Counts <note> elements by the elements inside them."""

    def __init__(self):
        super().__init__()
        self.n_notes = 0
        self.inside = None  # names of the elements in the note that is open

    def startElement(self, name, attrs):  # noqa: N802, the name is SAX's
        if name == "note":
            self.inside = set()
        elif self.inside is not None:
            self.inside.add(name)

    def endElement(self, name):  # noqa: N802, the name is SAX's
        if name == "note" and self.inside is not None:
            self.n_notes += "pitch" in self.inside and not self.inside & {"grace", "cue"}
            self.inside = None
