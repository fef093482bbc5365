"""Notes as sheet music: MusicXML, and pictures through verovio.

`clara.notation` decides how the notes are written. The written music has the same onsets and durations as the notes.
"""

from pathlib import Path

from clara.errors import BadSetting, TooLong
from clara.music.notes import NoteSequence
from clara.notation.musicxml import write_musicxml
from clara.notation.score import notate

DEFAULT_TITLE = "Composed by Clara"
# A4 in verovio's units; 18 of them lie between two staff lines. The last page is shorter.
PAGE_WIDTH, PAGE_HEIGHT = 2100, 2970
SCALE_PERCENT = 40
MAX_HEADS_PER_MEASURE, MAX_HEADS, MAX_MEASURES = 600, 40_000, 4000  # that verovio draws, in up to a minute


def to_musicxml(notes: NoteSequence, title: str = "") -> str:
    """Return notes as the text of a MusicXML file; raises NoNotes, and TooLong as `clara.notation.score.notate`."""
    return write_musicxml(notate(notes, title or DEFAULT_TITLE))


def to_svg(notes: NoteSequence, title: str = "", page: int = 1) -> str:
    """Return one page of notes as sheet music in SVG.

    Parameters
    ----------
    notes : NoteSequence
    title : str
    page : int
        From 1.

    Raises
    ------
    NoNotes
        If there are none.
    TooLong
        If there is too much to draw: see MAX_HEADS, MAX_HEADS_PER_MEASURE and MAX_MEASURES.
    BadSetting
        If there is no such page.
    """
    toolkit = _engrave(notes, title)
    if not 1 <= page <= toolkit.getPageCount():
        raise BadSetting(f"no page {page} of {toolkit.getPageCount()}")
    return toolkit.renderToSVG(page)


def to_svgs(notes: NoteSequence, title: str = "") -> list[str]:
    """Return all pages of notes as sheet music in SVG.

    Parameters
    ----------
    notes : NoteSequence
    title : str

    Raises
    ------
    NoNotes
        If there are none.
    TooLong
        As of `to_svg`.
    """
    toolkit = _engrave(notes, title)
    return [toolkit.renderToSVG(page) for page in range(1, toolkit.getPageCount() + 1)]


def _engrave(notes, title):
    """Return a verovio toolkit with the notes laid out."""
    score = notate(notes, title or DEFAULT_TITLE)
    _check_size(score)
    import verovio

    # verovio keeps this path for each thread, and only the thread that imported it has the right one.
    verovio.setDefaultResourcePath(str(Path(verovio.__file__).parent / "data"))
    toolkit = verovio.toolkit()
    toolkit.setOptions(
        {
            "pageWidth": PAGE_WIDTH,
            "pageHeight": PAGE_HEIGHT,
            "adjustPageHeight": True,
            "scale": SCALE_PERCENT,
            "footer": "none",
        }
    )
    toolkit.loadData(write_musicxml(score))
    return toolkit


def _check_size(score):
    """Refuse scores that verovio draws for minutes."""
    counts = score.count_note_heads()
    densest = max(range(len(counts)), key=counts.__getitem__)
    if counts[densest] > MAX_HEADS_PER_MEASURE:
        found = f"{counts[densest]:,} note heads in measure {score.measures[densest].number}"
        allowed = f"{MAX_HEADS_PER_MEASURE:,} in a measure"
    elif sum(counts) > MAX_HEADS:
        found, allowed = f"{sum(counts):,} note heads", f"{MAX_HEADS:,}"
    elif len(counts) > MAX_MEASURES:
        found, allowed = f"{len(counts):,} measures", f"{MAX_MEASURES:,}"
    else:
        return
    raise TooLong(
        f"{found} are too many for sheet music, which draws at most {allowed}; MusicXML and MIDI hold them all"
    )
