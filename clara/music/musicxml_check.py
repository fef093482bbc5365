"""Check MusicXML text against limits before it is parsed into a tree.

defusedxml refuses entities. This module adds limits that defusedxml does not have: attribute
declarations, the depth of nesting, the number of notes and the size of time signatures.
"""

import re
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler

from defusedxml.common import EntitiesForbidden
from defusedxml.expatreader import DefusedExpatParser

from clara.errors import BadMusicFile, TooLong

# A MusicXML file at this limit takes 3 seconds and 150 MB to read.
MAX_NOTES = 50_000
MAX_DEPTH = 64  # of nested elements; MusicXML itself needs 13
# Whoever counts out a bar of 9,999,999/4 beat by beat, as music21 does, runs out of memory.
HUGE_TIME_SIGNATURE = re.compile(r"\d{4}|.{40}", re.DOTALL)


def check_musicxml(text: str, path) -> None:
    """Parse MusicXML without keeping anything, and refuse text that is broken or dangerous.

    Raises
    ------
    BadMusicFile
        If the text is not well-formed, not `score-partwise`, nested too deeply, or declares an
        entity or an attribute.
    TooLong
        If it has more than MAX_NOTES notes.
    """
    parser = _ScoreParser(path)
    parser.setContentHandler(_ScoreLimits(path))
    try:
        parser.feed(text.encode("utf-8", "replace"))
        parser.close()
    except EntitiesForbidden as e:
        raise BadMusicFile(f"{path}: refused, it declares an entity ({e.name[:40]!r})") from e
    except SAXParseException as e:
        place = f"line {e.getLineNumber()}, column {e.getColumnNumber()}"
        raise BadMusicFile(f"{path}: broken MusicXML ({e.getMessage()}: {place})") from e


def check_time_signature(text: str, path) -> None:
    """Raise BadMusicFile if a number of a time signature has four digits or more."""
    if HUGE_TIME_SIGNATURE.search(text):
        raise BadMusicFile(f"{path}: a time signature of {text[:20].strip()!r}")


class _ScoreParser(DefusedExpatParser):
    """defusedxml's parser, which refuses entities; this one refuses declarations of attributes, too."""

    def __init__(self, path):
        # The external DTD that MusicXML names in its DOCTYPE is allowed; the parser never reads it.
        super().__init__(forbid_external=False)
        self.path = path

    def reset(self):
        super().reset()
        self._parser.AttlistDeclHandler = self._refuse_attribute

    def _refuse_attribute(self, element, attribute, *_):
        # A long default value that every note repeats would exhaust the memory.
        raise BadMusicFile(f"{self.path}: refused, it declares an attribute ({attribute[:40]!r})")


class _ScoreLimits(ContentHandler):
    """Count depth and notes, and read the numbers of time signatures."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.depth = 0
        self.n_notes = 0
        self.beats = None  # text of the <beats> or <beat-type> element that is open, or None

    def startElement(self, name, attrs):  # noqa: N802, the name is SAX's
        self.depth += 1
        self.n_notes += name == "note"
        self.beats = "" if name in ("beats", "beat-type") else None
        if self.depth == 1 and name != "score-partwise":
            raise BadMusicFile(f"{self.path}: not MusicXML in parts (it is {name[:40]!r}, not 'score-partwise')")
        if self.depth > MAX_DEPTH:
            raise BadMusicFile(f"{self.path}: broken MusicXML (elements nested deeper than {MAX_DEPTH})")
        if self.n_notes > MAX_NOTES:
            raise TooLong(f"{self.path}: more than {MAX_NOTES:,} notes")

    def endElement(self, name):  # noqa: N802, the name is SAX's
        self.depth -= 1
        self.beats = None

    def characters(self, content):
        if self.beats is not None:
            self.beats += content
            check_time_signature(self.beats, self.path)
