"""Notes as sheet music: MusicXML through music21, pictures through verovio.

Text encodings hold no voices, hands or time signatures, so a score is an interpretation:

- Each staff is one voice of chords, and a chord lasts to the next one at most. The piano has two staves, split at
  middle C.
- Times are rounded to the nearest sixteenth or triplet.
- Bars begin with the music. The first time signature applies throughout; music that a model composed has 4/4.
- The key is the result of music21's key analysis, and it decides how black keys are spelled.

The MIDI file is exact; the score is for reading.
"""

from fractions import Fraction
from math import ceil
from pathlib import Path

from clara.errors import BadSetting, NoNotes
from clara.music.notes import NoteSequence

MIDDLE_C = 60
PIANO = "p"  # prefix in `clara.music.instruments`
CLEF_OF_PREFIX = {"w": "alto", "c": "bass"}  # other instruments have a treble clef
LINE_OF_FIFTHS = "FCGDAEB"
MAX_SIGNS = 6  # sharps or flats in a key signature
MAX_BAR_QUARTERS = 8
DIVISIONS = (4, 3)  # of a quarter: sixteenths and triplets
# A4 in verovio's units; 18 of them lie between two staff lines. The last page is shorter.
PAGE_WIDTH, PAGE_HEIGHT = 2100, 2970
SCALE_PERCENT = 40


def notes_to_music21(notes: NoteSequence, title: str = ""):
    """Return notes as a music21 Score with a staff for each player, and two for the piano.

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
    clefs = {"treble": clef.TrebleClef, "alto": clef.AltoClef, "bass": clef.BassClef}
    staves = [_staff(notes, mask, clefs[name]()) for mask, name in _list_staves(notes)]
    staves[0].insert(0, tempo.MetronomeMark(number=round(notes.qpm)))
    key = _readable_key(stream.Score(staves).analyze("key"))
    for staff in staves:
        staff.insert(0, key if staff is staves[0] else type(key)(key.tonic, key.mode))
        for chord in staff.notes:
            chord.pitches = [_spell_pitch(pitch.midi, key) for pitch in chord.pitches]
    staves = [staff.makeNotation() for staff in staves]
    score = stream.Score([metadata.Metadata(title=title or "Composed by Clara", composer=" ")])
    for staff in staves:
        score.insert(0, staff)
    if PIANO in notes.instruments:
        score.insert(0, layout.StaffGroup(staves[-2:], symbol="brace"))
    else:
        score.insert(0, layout.StaffGroup(staves, symbol="bracket"))
    return score


def _list_staves(notes):
    """Return (mask of notes, clef) of each staff: soloists in the order of their parts, then the piano's hands."""
    has_piano = PIANO in notes.instruments
    staves = []
    for part, prefix in enumerate(notes.instruments):
        in_part = notes.part == part
        if prefix != PIANO and (not has_piano or in_part.any()):
            staves.append((in_part, CLEF_OF_PREFIX.get(prefix, "treble")))
    if has_piano:
        piano = notes.part == notes.instruments.index(PIANO)
        high = notes.pitch >= MIDDLE_C
        staves += [(piano & high, "treble"), (piano & ~high, "bass")]
    return staves


def _staff(notes, mask, clef):
    """Return one staff as a flat Part: the chords of the notes in a mask, with rests between them."""
    from music21 import meter, note, stream

    numerator, denominator = _time_signature(notes)
    staff = stream.Part([clef, meter.TimeSignature(f"{numerator}/{denominator}")])
    start = _round_times(notes.start[mask], notes.steps_per_quarter)
    end = _round_times(notes.end[mask], notes.steps_per_quarter)
    pitch = notes.pitch[mask]
    onsets = sorted(set(start))
    next_onsets = [*onsets[1:], Fraction(10**9)]
    time = Fraction(0)
    for onset, next_onset in zip(onsets, next_onsets):
        indices = [i for i, s in enumerate(start) if s == onset]
        shortest = onset + Fraction(1, DIVISIONS[0])
        chord_end = min(max(max(end[i] for i in indices), shortest), next_onset)
        if onset > time:
            staff.append(note.Rest(quarterLength=onset - time))
        staff.append(_chord(pitch[indices], chord_end - onset))
        time = chord_end
    bar = Fraction(4 * numerator, denominator)
    last = bar * ceil(max(time, Fraction(notes.n_steps, notes.steps_per_quarter)) / bar)
    if time < last:
        staff.append(note.Rest(quarterLength=last - time))
    return staff


def _chord(pitches, quarters):
    """Return a music21 Note or Chord of some pitches."""
    from music21 import chord, note

    pitches = sorted({int(pitch) for pitch in pitches})
    sounding = note.Note(pitches[0]) if len(pitches) == 1 else chord.Chord(pitches)
    sounding.quarterLength = quarters
    return sounding


def _time_signature(notes):
    """Return numerator and denominator of the first time signature, or 4/4 if its bars would be hard to read."""
    _, numerator, denominator = notes.time_signatures[0]
    is_power_of_two = denominator.bit_count() == 1
    readable = is_power_of_two and 1 <= 4 * numerator / denominator <= MAX_BAR_QUARTERS
    return (numerator, denominator) if readable else (4, 4)


def _readable_key(key):
    """Return a key, or its enharmonic equivalent if it has more than MAX_SIGNS sharps or flats."""
    return type(key)(key.tonic.getEnharmonic(), key.mode) if abs(key.sharps) > MAX_SIGNS else key


def _spell_pitch(midi, key):
    """Return a MIDI pitch as the pitch in a key's scale, or nearest to it on the line of fifths.

    The twelve names reach from the minor third of a major key to its raised fifth, and from the lowered second of a
    minor key to its raised fourth. A name without an accidental has none, as music21 would print a natural sign.
    """
    from music21 import pitch

    lowest = key.sharps - (2 if key.mode == "minor" else 3)  # C is 0, G 1, F -1
    fifth = lowest + (7 * midi - lowest) % 12
    sharps = (fifth + 1) // 7
    name = LINE_OF_FIFTHS[(fifth + 1) % 7] + ("#" * sharps if sharps > 0 else "-" * -sharps)
    return pitch.Pitch(f"{name}{(midi - sharps) // 12 - 1}")


def _round_times(steps, steps_per_quarter):
    """Return times in steps as quarters, each rounded to the nearest sixteenth or triplet."""
    rounded = []
    for step in steps:
        time = Fraction(int(step), steps_per_quarter)
        candidates = [Fraction(round(time * division), division) for division in DIVISIONS]
        rounded.append(min(candidates, key=lambda candidate: abs(candidate - time)))
    return rounded


def to_musicxml(notes: NoteSequence, title: str = "") -> str:
    """Return notes as the text of a MusicXML file; raises NoNotes."""
    from music21.musicxml.m21ToXml import GeneralObjectExporter

    return GeneralObjectExporter(notes_to_music21(notes, title)).parse().decode()


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
    """
    toolkit = _engrave(notes, title)
    return [toolkit.renderToSVG(page) for page in range(1, toolkit.getPageCount() + 1)]


def _engrave(notes, title):
    """Return a verovio toolkit with the notes laid out."""
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
    toolkit.loadData(to_musicxml(notes, title))
    return toolkit
