"""Notes as sheet music: MusicXML through music21, pictures through verovio.

The text knows no voices, hands or metre, so a score of it is a reading: each staff (the
piano has two, divided at middle C) is one voice of chords, each lasting to the next at
most; times go to the nearest sixteenth or triplet; bars are of four quarters, the key is
the one that music21's analysis hears. The MIDI file is exact, the score is for the eye.

Contents: `notes_to_stream`, `to_musicxml`, `to_svg`.
"""

from fractions import Fraction

import numpy as np

from clara.errors import NoNotes

MIDDLE_C = 60
PIANO, CLEFS = "p", {"w": "alto", "c": "bass"}  # by the prefixes of `clara.instruments`
DIVISIONS = (4, 3)  # of a quarter: sixteenths and triplets
PAGE_WIDTH = 2100  # verovio's units, of which a staff line space takes 18


def notes_to_stream(notes, title=""):
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
    key = stream.Score(staves).analyze("key")
    for staff in staves:
        staff.insert(0, key if staff is staves[0] else type(key)(key.tonic, key.mode))
    made = [staff.makeNotation() for staff in staves]
    score = stream.Score([metadata.Metadata(title=title or "Composed by Clara", composer=" ")])
    for staff in made:
        score.insert(0, staff)
    has_piano = PIANO in notes.instruments
    score.insert(0, layout.StaffGroup(made[-2:] if has_piano else made, symbol="brace" if has_piano else "bracket"))
    return score


def _players(notes):
    """(mask of notes, clef) of each staff: solo players in the order of their parts, then the piano's hands."""
    staves = [(notes.part == index, CLEFS.get(prefix, "treble")) for index, prefix in enumerate(notes.instruments)
              if prefix != PIANO and (PIANO not in notes.instruments or (notes.part == index).any())]
    if PIANO in notes.instruments:
        piano, high = notes.part == notes.instruments.index(PIANO), notes.pitch >= MIDDLE_C
        staves += [(piano & high, "treble"), (piano & ~high, "bass")]
    return staves


def _staff(notes, mask, sign):
    """One staff: the chords of the notes in mask, with rests between, flat."""
    from music21 import chord, meter, note, stream

    staff = stream.Part([sign, meter.TimeSignature("4/4")])
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
    if not onsets:
        staff.append(note.Rest(quarterLength=4 * np.ceil(notes.quarters / 4)))
    return staff


def _on_divisions(steps, steps_per_quarter):
    """Times in steps as quarters, each on the nearest sixteenth or triplet."""
    times = [Fraction(int(s), steps_per_quarter) for s in steps]
    return [min((Fraction(round(t * d), d) for d in DIVISIONS), key=lambda x: abs(x - t)) for t in times]


def to_musicxml(notes, title=""):
    """Notes as the text of a MusicXML file; raises NoNotes."""
    from music21.musicxml.m21ToXml import GeneralObjectExporter

    return GeneralObjectExporter(notes_to_stream(notes, title)).parse().decode()


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
    """
    import verovio

    toolkit = verovio.toolkit()
    toolkit.setOptions({"pageWidth": PAGE_WIDTH, "adjustPageHeight": True, "scale": 40, "footer": "none",
                        "header": "none"})
    toolkit.loadData(to_musicxml(notes, title))
    return toolkit.renderToSVG(page)
