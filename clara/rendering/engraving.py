"""Notes as sheet music: MusicXML through music21, pictures through verovio.

The text knows no voices, hands or metre, so a score of it is a reading: each staff (the
piano has two, divided at middle C) is one voice of chords, each lasting to the next at
most; times go to the nearest sixteenth or triplet; bars begin with the music and are of
the metre in which it begins, of four quarters where a net wrote it; the key is the one that
music21's analysis hears, and black keys are named by it. The MIDI file is exact, the score
is for the eye.
"""

from fractions import Fraction
from math import ceil
from pathlib import Path

from clara.errors import BadSetting, NoNotes

MIDDLE_C = 60
PIANO, CLEFS = "p", {"w": "alto", "c": "bass"}  # by the prefixes of `clara.music.instruments`
FIFTHS, MOST_SIGNS = "FCGDAEB", 6
LONGEST_BAR = 8  # quarters
DIVISIONS = (4, 3)  # of a quarter: sixteenths and triplets
PAGE_WIDTH, PAGE_HEIGHT = (
    2100,
    2970,
)  # verovio's units, of which a staff line space takes 18; as A4, the last page shorter


def notes_to_music21(notes, title=""):
    """Notes as a music21 Score: a staff for each player, and two for the piano.

    Parameters
    ----------
    notes : NoteSequence
    title : str

    Returns
    -------
    music21.stream.Score

    Raises
    ------
    NoNotes
        If there are none.
    """
    from music21 import clef, layout, metadata, stream, tempo

    if not len(notes):
        raise NoNotes("no notes to make a score of")
    signs = {"treble": clef.TrebleClef, "alto": clef.AltoClef, "bass": clef.BassClef}
    rows = _players(notes)
    staves = [_staff(notes, mask, signs[sign]()) for mask, sign in rows]
    staves[0].insert(0, tempo.MetronomeMark(number=round(notes.qpm)))
    key = _readable(stream.Score(staves).analyze("key"))
    for staff in staves:
        staff.insert(0, key if staff is staves[0] else type(key)(key.tonic, key.mode))
        for sounding in staff.notes:
            sounding.pitches = [_spelled(p.midi, key) for p in sounding.pitches]
    made = [staff.makeNotation() for staff in staves]
    score = stream.Score([metadata.Metadata(title=title or "Composed by Clara", composer=" ")])
    for staff in made:
        score.insert(0, staff)
    has_piano = PIANO in notes.instruments
    score.insert(0, layout.StaffGroup(made[-2:] if has_piano else made, symbol="brace" if has_piano else "bracket"))
    return score


def _players(notes):
    """(mask of notes, clef) of each staff: solo players in the order of their parts, then the piano's hands."""
    staves = [
        (notes.part == index, CLEFS.get(prefix, "treble"))
        for index, prefix in enumerate(notes.instruments)
        if prefix != PIANO and (PIANO not in notes.instruments or (notes.part == index).any())
    ]
    if PIANO in notes.instruments:
        piano, high = notes.part == notes.instruments.index(PIANO), notes.pitch >= MIDDLE_C
        staves += [(piano & high, "treble"), (piano & ~high, "bass")]
    return staves


def _staff(notes, mask, sign):
    """One staff: the chords of the notes in mask, with rests between, flat."""
    from music21 import chord, meter, note, stream

    numerator, denominator = _metre(notes)
    staff = stream.Part([sign, meter.TimeSignature(f"{numerator}/{denominator}")])
    start, end = (_on_divisions(t[mask], notes.steps_per_quarter) for t in (notes.start, notes.end))
    onsets = sorted(set(start))
    at = Fraction(0)
    for onset, following in zip(onsets, [*onsets[1:], Fraction(10**9)]):
        struck = [i for i, s in enumerate(start) if s == onset]
        last = min(max(max(end[i] for i in struck), onset + Fraction(1, DIVISIONS[0])), following)
        if onset > at:
            staff.append(note.Rest(quarterLength=onset - at))
        pitches = sorted({int(p) for p in notes.pitch[mask][struck]})
        sounding = note.Note(pitches[0]) if len(pitches) == 1 else chord.Chord(pitches)
        sounding.quarterLength = last - onset
        staff.append(sounding)
        at = last
    bar = Fraction(4 * numerator, denominator)
    last = bar * ceil(max(at, Fraction(notes.n_steps, notes.steps_per_quarter)) / bar)
    if at < last:
        staff.append(note.Rest(quarterLength=last - at))
    return staff


def _metre(notes):
    """Numerator and denominator of the first metre; common time where a bar of it would be of no use to the eye."""
    _, numerator, denominator = notes.time_signatures[0]
    fits = denominator.bit_count() == 1 and 1 <= 4 * numerator / denominator <= LONGEST_BAR
    return (numerator, denominator) if fits else (4, 4)


def _readable(key):
    """A key, or the one of the same sound where it has more than six signs."""
    return type(key)(key.tonic.getEnharmonic(), key.mode) if abs(key.sharps) > MOST_SIGNS else key


def _spelled(midi, key):
    """A key of the piano as the pitch that stands in a scale, or nearest to it on the line of fifths.

    Twelve fifths are taken, from the minor third of a major key to its raised fifth, and from the lowered second of a minor
    key to its raised fourth; a name without an accidental carries none, as music21 would print a natural.
    """
    from music21 import pitch

    lowest = key.sharps - (2 if key.mode == "minor" else 3)  # C is 0, G 1, F -1
    fifth = lowest + (7 * midi - lowest) % 12
    sharps = (fifth + 1) // 7
    name = FIFTHS[(fifth + 1) % 7] + ("#" * sharps if sharps > 0 else "-" * -sharps)
    return pitch.Pitch(f"{name}{(midi - sharps) // 12 - 1}")


def _on_divisions(steps, steps_per_quarter):
    """Times in steps as quarters, each on the nearest sixteenth or triplet."""
    times = [Fraction(int(s), steps_per_quarter) for s in steps]
    return [min((Fraction(round(t * d), d) for d in DIVISIONS), key=lambda x: abs(x - t)) for t in times]


def to_musicxml(notes, title=""):
    """Notes as the text of a MusicXML file; raises NoNotes."""
    from music21.musicxml.m21ToXml import GeneralObjectExporter

    return GeneralObjectExporter(notes_to_music21(notes, title)).parse().decode()


def to_svg(notes, title="", page=1):
    """One page of notes as sheet music.

    Parameters
    ----------
    notes : NoteSequence
    title : str
    page : from 1

    Returns
    -------
    str, an SVG picture

    Raises
    ------
    NoNotes
        If there are none.
    BadSetting
        If there is no such page.
    """
    engraved = _engraved(notes, title)
    if not 1 <= page <= engraved.getPageCount():
        raise BadSetting(f"no page {page} of {engraved.getPageCount()}")
    return engraved.renderToSVG(page)


def to_svgs(notes, title=""):
    """All pages of notes as sheet music.

    Parameters
    ----------
    notes : NoteSequence
    title : str

    Returns
    -------
    list of str, an SVG picture of each page

    Raises
    ------
    NoNotes
        If there are none.
    """
    engraved = _engraved(notes, title)
    return [engraved.renderToSVG(page) for page in range(1, engraved.getPageCount() + 1)]


def _engraved(notes, title):
    """verovio with the notes laid out."""
    import verovio

    verovio.setDefaultResourcePath(
        str(Path(verovio.__file__).parent / "data")
    )  # each thread has its own, and the import's has the right one
    toolkit = verovio.toolkit()
    toolkit.setOptions(
        {"pageWidth": PAGE_WIDTH, "pageHeight": PAGE_HEIGHT, "adjustPageHeight": True, "scale": 40, "footer": "none"}
    )
    toolkit.loadData(to_musicxml(notes, title))
    return toolkit
