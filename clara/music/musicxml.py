"""Read MusicXML (score-partwise) bar by bar, so that the bars of all parts begin together.

A bar is as long as it is in the part in which it is longest. A bar that is short in one part shifts no
other bar. A bar without anything in it is as long as its time signature says.

How notes are read:

- Grace notes and cue notes are left out and counted. A cue note takes its time, a grace note takes none.
- Notes without pitch are drums, left out and counted.
- Quarter tones are rounded up to a semitone, and counted.
- `<transpose>` is carried out, so that pitches sound as they are.
- Repeats are not played out. Chord symbols do not sound.

Source: MusicXML 4.0, https://www.w3.org/2021/06/musicxml40.
"""

import math
import re
from collections import Counter
from fractions import Fraction

from defusedxml.ElementTree import ParseError, fromstring

from clara.errors import BadMusicFile
from clara.music.instruments import guess_program
from clara.music.key_signatures import transpose_signature
from clara.music.score_parts import TICKS_PER_QUARTER, ParsedScore, ScorePart

SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
FIFTHS = re.compile(r"[-+]?\d")
BEAT_UNITS = {  # in quarters
    "maxima": 32,
    "long": 16,
    "breve": 8,
    "whole": 4,
    "half": 2,
    "quarter": 1,
    "eighth": Fraction(1, 2),
    "16th": Fraction(1, 4),
    "32nd": Fraction(1, 8),
    "64th": Fraction(1, 16),
}
NUMBER = re.compile(r"\d+(?:\.\d+)?")  # a metronome mark may be `c. 72`
# Writers that round tuplets to whole divisions leave bars this much too long or short, in quarters.
BAR_TOLERANCE = Fraction(1, 32)
DEFAULT_BAR = Fraction(4)  # quarters, before any time signature
ALL_STAVES = None


def parse_musicxml(text: str, source) -> ParsedScore:
    """Read the parts of a MusicXML text.

    Parameters
    ----------
    text : str
        Checked by `clara.music.musicxml_check.check_musicxml`.
    source : path or str
        For error messages.

    Returns
    -------
    ParsedScore
        Ties are not joined. The losses are `grace`, `cue`, `drums`, `microtones` (notes
        rounded to a semitone) and `unread` (notes with a broken pitch).

    Raises
    ------
    BadMusicFile
        If it is not well-formed, or a number in it is broken.
    """
    try:
        root = fromstring(text.encode("utf-8", "replace"))
    except ParseError as e:
        raise BadMusicFile(f"{source}: broken MusicXML ({e})") from e
    if root.tag.startswith("{"):
        _remove_namespaces(root)
    losses = Counter()
    names = _read_part_list(root)
    elements = root.findall("part")
    readers = []
    for index, element in enumerate(elements):
        name, program = names.get(element.get("id"), ("", 0))
        readers.append(_PartReader(name, program, losses, f"{source}: part {index + 1}"))
    _read_bars(readers, [element.findall("measure") for element in elements])
    return ParsedScore([reader.part for reader in readers], losses, sum(len(reader.part.rows) for reader in readers))


def _remove_namespaces(root):
    """Remove the namespace from all tags; MusicXML has none, but some programs declare one."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]


def _read_part_list(root):
    """Return {id: (name, program)} of the parts."""
    names = {}
    for part in root.iterfind("part-list/score-part"):
        name = (part.findtext("part-name") or part.findtext("score-instrument/instrument-name") or "").strip()
        program = NUMBER.fullmatch((part.findtext("midi-instrument/midi-program") or "").strip())
        number = int(program[0]) - 1 if program and "." not in program[0] else 0
        names[part.get("id")] = name, number if 0 < number < 128 else guess_program(name)
    return names


def _read_bars(readers, bars_of_parts):
    """Read the bars of all parts, one bar after the other."""
    start = Fraction(0)
    n_bars = max(map(len, bars_of_parts), default=0)
    for index in range(n_bars):
        ends = [
            reader.read_bar(bars[index], start) for reader, bars in zip(readers, bars_of_parts) if index < len(bars)
        ]
        signature = next((reader.bar_quarters for reader in readers if reader.bar_quarters), DEFAULT_BAR)
        start += _bar_length(ends, signature)
        if index == 0 and n_bars > 1:
            for reader in readers:
                reader.part.first_bar_ticks = _to_ticks(start)


def _bar_length(ends, signature):
    """Return the length of a bar in quarters.

    Parameters
    ----------
    ends : list of (end of the last note, end of the last note or rest), in quarters, one for each part
    signature : Fraction
        Length by the time signature. Only notes make a bar longer, because some files hold a rest too many.
    """
    longer = [end for note_end, end in ends if note_end >= signature + BAR_TOLERANCE]
    length = max(longer) if longer else min(signature, max(end for _, end in ends))
    return signature if not length or abs(length - signature) < BAR_TOLERANCE else length


def _to_ticks(quarters):
    """Return quarters in ticks, rounded half up."""
    return math.floor(quarters * TICKS_PER_QUARTER + Fraction(1, 2))


class _PartReader:
    """Reads the bars of one part; holds what lasts from bar to bar."""

    def __init__(self, name, program, losses, place):
        self.part = ScorePart(name, program)
        self.losses = losses
        self.place = place
        self.divisions = 1  # of a quarter
        self.semitones = {ALL_STAVES: 0}  # to add to written pitches, by staff
        self.bar_quarters = None  # length of a bar by the time signature in force
        self.durations = {}  # (text, divisions): quarters

    def read_bar(self, bar, start):
        """Read a bar that begins at `start` quarters; return the ends of its notes, and of its notes and rests."""
        now = chord_start = note_end = end = Fraction(0)  # in quarters from the start of the bar
        for element in bar:
            kind = element.tag
            if kind == "note":
                children = {child.tag: child for child in element}
                quarters = self._duration(children.get("duration"))
                if "chord" not in children:
                    chord_start = now
                    now += quarters
                if "rest" not in children:
                    self._read_note(element, children, start + chord_start, quarters)
                    note_end = max(note_end, now)
            elif kind == "backup":
                now = max(now - self._duration(element.find("duration")), Fraction(0))
            elif kind == "forward":
                now += self._duration(element.find("duration"))
            elif kind == "attributes":
                self._read_attributes(element, start + now)
            elif kind in ("direction", "sound"):
                self._read_tempo(element)
            end = max(end, now)
        return note_end, end

    def _duration(self, element):
        """Return the quarters that a <duration> holds; 0 without one."""
        if element is None:
            return Fraction(0)
        key = element.text, self.divisions
        if key not in self.durations:
            self.durations[key] = self._number(element.text, "a duration") / self.divisions
        return self.durations[key]

    def _number(self, text, what):
        """Return a number that is not negative, or refuse the score."""
        text = (text or "").strip()
        if not NUMBER.fullmatch(text) or len(text) > 20:
            raise BadMusicFile(f"{self.place}: broken MusicXML ({what} of {text[:20]!r})")
        return Fraction(text)

    def _read_note(self, element, children, start, quarters):
        """Add a note, or count it as left out."""
        if "cue" in children:
            self.losses["cue"] += 1
        elif "grace" in children:
            self.losses["grace"] += 1
        elif "pitch" not in children:
            self.losses["drums"] += "unpitched" in children
        else:
            number = self._midi_number(children["pitch"], children.get("staff"))
            if number is None:
                self.losses["unread"] += 1
            else:
                is_tied = ("tie" in children or "notations" in children) and _is_tied(element)
                self.part.rows.append((_to_ticks(start), _to_ticks(start + quarters), number, is_tied))

    def _midi_number(self, pitch, staff):
        """Return the MIDI number that a pitch sounds at, or None if it is broken."""
        step = SEMITONES.get((pitch.findtext("step") or "").strip())
        try:
            octave = int(pitch.findtext("octave"))
            alter = float(pitch.findtext("alter") or 0)
            written = 12 * (octave + 1) + step + math.floor(alter + 0.5)
        except (TypeError, ValueError, OverflowError):
            return None
        self.losses["microtones"] += alter != int(alter)
        number = staff.text if staff is not None else ALL_STAVES
        return written + self.semitones.get(number, self.semitones[ALL_STAVES])

    def _read_attributes(self, attributes, start):
        """Read divisions, time signature, transposition and key signature."""
        divisions = attributes.findtext("divisions")
        if divisions is not None:
            self.divisions = self._number(divisions, "divisions")
            if not self.divisions:
                raise BadMusicFile(f"{self.place}: broken MusicXML (divisions of '0')")
        time = attributes.find("time")
        if time is not None:
            self._read_time_signature(time, start)
        self._read_transposition(attributes)
        fifths = FIFTHS.fullmatch((attributes.findtext("key/fifths") or "").strip())
        if fifths:
            self.part.key_changes.append((_to_ticks(start), self._sounding_signature(int(fifths[0]))))

    def _read_transposition(self, attributes):
        """Read by how much the pitches of the part, or of its staves, sound higher than they are written."""
        for transpose in attributes.iterfind("transpose"):
            try:
                semitones = round(float(transpose.findtext("chromatic") or 0))
                semitones += 12 * int(transpose.findtext("octave-change") or 0)
            except (ValueError, OverflowError) as e:
                raise BadMusicFile(f"{self.place}: broken MusicXML (a transposition)") from e
            self.semitones[transpose.get("number", ALL_STAVES)] = semitones

    def _sounding_signature(self, fifths):
        """Return a written key signature as it sounds."""
        return transpose_signature(fifths, next(reversed(self.semitones.values())))

    def _read_time_signature(self, time, start):
        """Read a time signature; `3+2` and several pairs of numbers add up."""
        quarters = Fraction(0)
        denominators = []
        for beats, beat_type in zip(time.findall("beats"), time.findall("beat-type")):
            numbers = NUMBER.findall(beats.text or "")
            denominator = NUMBER.fullmatch((beat_type.text or "").strip())
            if numbers and denominator and Fraction(denominator[0]):
                denominators.append(Fraction(denominator[0]))
                quarters += 4 * sum(map(Fraction, numbers)) / denominators[-1]
        if quarters:
            numerator = quarters * max(denominators) / 4
            if numerator.denominator == max(denominators).denominator == 1:
                self.part.signature_changes.append((_to_ticks(start), int(numerator), int(max(denominators))))
            self.bar_quarters = quarters

    def _read_tempo(self, element):
        """Read a metronome mark or a <sound tempo>, unless an earlier one counts."""
        if self.part.qpm:
            return
        for metronome in element.iterfind("direction-type/metronome"):
            unit = BEAT_UNITS.get((metronome.findtext("beat-unit") or "").strip())
            number = NUMBER.search(metronome.findtext("per-minute") or "")
            if unit and number:
                n_dots = min(len(metronome.findall("beat-unit-dot")), 8)
                self.part.qpm = float(unit * (2 - Fraction(1, 2**n_dots)) * Fraction(number[0])) or None
        sound = element if element.tag == "sound" else element.find("sound")
        if not self.part.qpm and sound is not None:
            number = NUMBER.match(sound.get("tempo", ""))
            self.part.qpm = float(number[0]) or None if number else None


def _is_tied(note):
    """Return whether a note is tied to the next."""
    marks = [*note.iterfind("tie"), *note.iterfind("notations/tied")]
    return any(mark.get("type") in ("start", "continue") for mark in marks)
