"""Notes as sheet music: MusicXML through music21, pictures through verovio.

Text encodings hold no voices, hands or time signatures, so a score is an interpretation:

- Each staff is one voice of chords, and a chord lasts to the next one at most. The piano has two staves, split at
  middle C.
- Times are rounded to the nearest sixteenth or triplet.
- Bars follow the time signatures, and an upbeat is a short first bar. Music that a model composed has those of its
  prompt, or 4/4. A bar that a change of the time signature cuts short gets a signature of its own.
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
MIN_BAR_QUARTERS, MAX_BAR_QUARTERS = Fraction(1, 2), 8
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
    upbeat_rest = _upbeat_rest(_readable_signatures(notes))
    staves = [_cut_upbeat_rest(staff.makeNotation(), upbeat_rest) for staff in staves]
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
    """Return one staff as a flat Part: the chords of the notes in a mask, with rests between them.

    If the music begins inside a bar, the staff begins with that bar: with a rest, and later by as much.
    """
    from music21 import meter, note, stream

    signatures = _readable_signatures(notes)
    shift = _upbeat_rest(signatures)
    staff = stream.Part([clef])
    for quarter, numerator, denominator in signatures:
        staff.insert(quarter + shift, meter.TimeSignature(f"{numerator}/{denominator}"))
    if shift:
        staff.insert(0, note.Rest(quarterLength=shift))
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
            staff.insert(time + shift, note.Rest(quarterLength=onset - time))
        staff.insert(onset + shift, _chord(pitch[indices], chord_end - onset))
        time = chord_end
    quarter, numerator, denominator = signatures[-1]
    bar = Fraction(4 * numerator, denominator)
    last = quarter + bar * ceil((max(time, Fraction(notes.n_steps, notes.steps_per_quarter)) - quarter) / bar)
    if time < last:
        staff.insert(time + shift, note.Rest(quarterLength=last - time))
    return staff


def _chord(pitches, quarters):
    """Return a music21 Note or Chord of some pitches."""
    from music21 import chord, note

    pitches = sorted({int(pitch) for pitch in pitches})
    sounding = note.Note(pitches[0]) if len(pitches) == 1 else chord.Chord(pitches)
    sounding.quarterLength = quarters
    return sounding


def _readable_signatures(notes):
    """Return the time signatures as (quarter, numerator, denominator), each at the beginning of a bar.

    The first stands at quarter 0 or less than a bar before it. Signatures whose bars are hard to read become 4/4.
    """
    ends = [step for step, _, _ in notes.time_signatures[1:]] + [notes.n_steps]
    signatures = []
    quarter = None  # the place of the next signature; a change inside a sixteenth moves to the next bar line
    for (step, numerator, denominator), end in zip(notes.time_signatures, ends):
        if step >= notes.n_steps > 0:
            break
        if not _is_readable(numerator, denominator):
            numerator, denominator = 4, 4
        bar = Fraction(4 * numerator, denominator)
        if quarter is None:
            quarter = -(Fraction(-step, notes.steps_per_quarter) % bar)
        end_quarter = Fraction(end, notes.steps_per_quarter)
        if end_quarter <= quarter:
            continue
        signatures.append((quarter, numerator, denominator))
        n_bars, remainder = divmod(end_quarter - quarter, bar)
        quarter += n_bars * bar
        if remainder and end < notes.n_steps:
            short_bar = remainder / Fraction(1, DIVISIONS[0])
            if short_bar.denominator == 1:
                signatures.append((quarter, int(short_bar), 4 * DIVISIONS[0]))
                quarter += remainder
            else:
                quarter += bar
    return _without_repeats(signatures)


def _is_readable(numerator, denominator):
    """Return whether music21 and readers know the bars of a time signature."""
    return denominator.bit_count() == 1 and MIN_BAR_QUARTERS <= Fraction(4 * numerator, denominator) <= MAX_BAR_QUARTERS


def _without_repeats(signatures):
    """Return signatures without those that repeat the one before."""
    return [s for i, s in enumerate(signatures) if i == 0 or s[1:] != signatures[i - 1][1:]]


def _upbeat_rest(signatures):
    """Return how much of the first bar passes before the music begins, in quarters."""
    return -signatures[0][0]


def _cut_upbeat_rest(staff, rest_quarters):
    """Return a staff with bars without the rest before an upbeat; the first bar becomes bar 0."""
    from music21.stream.enums import ShowNumber

    if not rest_quarters:
        return staff
    first, *later = list(staff.getElementsByClass("Measure"))
    for element in list(first.notesAndRests):
        if element.offset < rest_quarters:
            first.remove(element)
        else:
            first.setElementOffset(element, element.offset - rest_quarters)
    first.paddingLeft = rest_quarters
    first.number = 0
    first.showNumber = ShowNumber.NEVER  # MusicXML calls such a bar implicit
    for number, measure in enumerate(later, start=1):
        measure.number = number
        staff.setElementOffset(measure, measure.offset - rest_quarters)
    return staff


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
