"""Read one ABC tune, line by line and token by token.

How a tune is read:

- A blank line ends the tune. Only K, L, M, V, Q and I fields change what follows; others are passed over.
- Each voice (`V:`, `[V:]`) has a time, key, unit length and transposition of its own, and goes on where
  it stopped. `&` goes back to the beginning of the bar, `&&` by two bars, and so on. `(& … & … &)` holds
  voices of several bars.
- An accidental holds for its letter, in all octaves, to the end of the bar, unless
  `I:propagate-accidentals` says otherwise. It holds over a bar line for a tied note.
- Clefs do not change pitches, except by `+8`, `-8`, `octave=` and `transpose=`.
- Quarter tones (`^/c`, `_3/2B`) are rounded up to a semitone, and counted.
- Macros (`m:`) are expanded before, see `clara.music.abc_macros`.
- Repeats are not played out. Grace notes are left out and counted. Chord symbols do not sound.

Source: the ABC music standard 2.1, https://abcnotation.com/wiki/abc:standard:v2.1.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from clara.errors import BadMusicFile
from clara.music.instruments import guess_program
from clara.music.score_parts import TICKS_PER_QUARTER, ParsedScore, ScorePart

LETTERS = "CDEFGAB"
SEMITONES = dict(zip(LETTERS, (0, 2, 4, 5, 7, 9, 11)))
SHARPS, FLATS = "FCGDAEB", "BEADGCF"  # in the order of key signatures
FIFTHS = {"C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5, "F": -1}
MODES = {"maj": 0, "ion": 0, "": 0, "m": -3, "min": -3, "aeo": -3, "dor": -2, "phr": -4, "lyd": 1, "mix": -1, "loc": -5}
ACCIDENTALS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}  # a fraction of a semitone may follow ^ and _
# Notes that take the time of others: (3 three in the time of two. 0: three in compound time, else two.
TUPLETS = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}
COMPOUND_NUMERATORS = (6, 9, 12)
MAX_VOICES = 64

LENGTH = r"\d{0,3}(?:/\d{1,3}|/*)"
SIGN = r"\^\^|__|=|[\^_](?:\d{0,2}/\d{0,2})?"
NOTE = rf"({SIGN})?([A-Ga-g])([',]*)({LENGTH})"
NOTE_OF_CHORD = re.compile(NOTE + "(-?)")
# `!trill!`; in old files `!` ends a line, so that `!DEF!` is music, but `!f!` is not.
DECORATION = r"!(?!(?!f{1,4}!)(?=[^!]*[A-Ga-g])[\^_=A-Ga-g,'\d/]+!)[^!\s|:]{1,40}!"
NOT_A_NOTE = re.compile(r'"[^"]*"|![^!]*!')  # in a chord
TOKEN = re.compile(
    rf"""
      (?P<space>[\s\\`]+)
    | (?P<text>"[^"]*")
    | (?P<decoration>{DECORATION}|\+f{{1,4}}\+|\+(?![\^_=A-Ga-g,'\d/]+\+)[^+\s|]{{1,40}}\+)
    | (?P<field>\[[A-Za-z]:[^\]]*\])
    | (?P<bar>:*\|[|:\]]*(?:\d[\d,.\-]*)?|::+(?:\d[\d,.\-]*)?|\[\|\]?:*)
    | (?P<ending>\[\d[\d,.\-]*)
    | (?P<grace>\{{[^}}]*\}})
    | (?P<note>{NOTE})
    | (?P<chord>(?:\[(?P<inside>[^\[\]|]*)\]|\+(?P<inside_plus>[\^_=A-Ga-g,'\d/]+)\+)(?P<chord_length>{LENGTH}))
    | (?P<rest>[zx](?P<rest_length>{LENGTH}))
    | (?P<bars_rest>[ZX](?P<n_bars>\d{{0,3}}))
    | (?P<spacer>y\d*)
    | (?P<tuplet>\((?P<p>\d{{1,3}})(?::(?P<q>\d{{0,3}}))?(?::(?P<r>\d{{0,3}}))?)
    | (?P<tie>-)
    | (?P<broken><+|>+)
    | (?P<overlay>\(&|&\)|&+)
    | (?P<sign>[().~H-Wh-w*$;!])
    | (?P<unread>\S\d*)
    """,
    re.VERBOSE,
)
FIELD_LINE = re.compile(r"([A-Za-z+]):(.*)")
TEXT_BLOCK = re.compile(r"%%begin(text|ps|svg)(.*?)(^%%end\1|\Z)", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"(?<!\\)%.*")
KEY = re.compile(
    r"([A-G])([#b]|(?<=[AE])s(?![a-z]))?\s*(?:(maj|min|mix|dor|phr|lyd|loc|ion|aeo)[a-z]*|(m)(?![a-z=]))?",
    re.IGNORECASE,
)
KEY_ACCIDENTAL = re.compile(rf"({SIGN})([A-Ga-g])(?![a-z])")
CLEF_OR_ACCIDENTAL = re.compile(r"[\^_=]|(treble|bass|alto|tenor|soprano|mezzo|baritone|perc|clef|exp)\b")
OCTAVE = re.compile(r"\boctave=([-+]?\d)\b")
TRANSPOSE = re.compile(r"\b(?:transpose|t)=([-+]?\d{1,2})\b")
CLEF_OCTAVE = re.compile(r"\b(?:treble|bass|alto|tenor|soprano|mezzo|baritone|clef=\S*?)([-+]8)\b")
VOICE_NAME = re.compile(r"""\b(?:name|nm)=(?:"([^"]*)"|(\S+))""")
METER = re.compile(r"\(?\s*(\d{1,3}(?:\s*\+\s*\d{1,3})*)\s*\)?\s*/\s*(\d{1,3})")
FRACTION = re.compile(r"(\d{1,3})\s*/\s*(\d{1,3})")
TEMPO_NUMBER = re.compile(r"\d{1,4}(?:\.\d+)?")  # a tempo may be `ca. 72`
BEAT_IN_UNITS = re.compile(r"C(\d{0,2})\s*$")  # of old files: `Q:C3=40` is 40 times three unit lengths a minute


def parse_abc(text: str, source) -> ParsedScore:
    """Read the voices of an ABC tune.

    Parameters
    ----------
    text : str
        One tune, as `clara.music.score_text.read_score_text` returns it.
    source : path or str
        For error messages.

    Returns
    -------
    ParsedScore
        One part for each voice. Ties are not joined. The losses are `grace`, `microtones` (notes rounded to
        a semitone) and `unread` (signs without a meaning in ABC).

    Raises
    ------
    BadMusicFile
        If no K field ends the header, there are too many voices, or a field holds a number that cannot be.
    """
    reader = _AbcReader(source)
    for is_field, line in tune_lines(text):
        if is_field:
            reader.read_field(line[0], line[2:].strip())
        else:
            reader.read_music(line)
    if reader.voice is None:
        raise BadMusicFile(f"{source}: no K: line ends the header of the tune")
    parts = [voice.to_part() for voice in reader.voices.values()]
    return ParsedScore(parts, reader.losses, sum(len(part.rows) for part in parts))


def tune_lines(text: str):
    """Yield (is_field, line) of a tune up to the blank line that ends it, without comments.

    In the tune body, `D::` at the beginning of a line is music: only fields that may stand there are fields.
    """
    in_body = False
    for line in TEXT_BLOCK.sub("%", text).splitlines():
        if in_body and not line.strip():
            return
        line = COMMENT.sub("", line).strip()
        match = FIELD_LINE.match(line)
        is_music = match and in_body and match[1] in "ABCDEFGabcdefgzxZX" and match[2].startswith((":", "|"))
        if match and not is_music:
            in_body = in_body or match[1] == "K"
            yield True, line
        elif in_body and line:
            yield False, line


@dataclass
class _Event:
    """A note, chord or rest of a voice; times in quarters."""

    start: Fraction
    duration: Fraction
    notes: list  # [letter and octave, pitch, is_tied]


@dataclass
class _Voice:
    """A voice: what it has read, and what holds for its next note."""

    name: str = ""
    key: dict = field(default_factory=dict)  # letter: semitones
    unit: Fraction = Fraction(1, 2)  # quarters
    meter: tuple | None = None  # (numerator, denominator)
    shifts: dict = field(default_factory=dict)  # semitones of transpose=, octave= and the clef
    time: Fraction = Fraction(0)
    bar_starts: list = field(default_factory=lambda: [Fraction(0)])  # the last is that of this bar
    bar_end: Fraction = Fraction(0)  # of the longest overlay
    n_bars_back: int = 0  # bars between this one and the one in which an overlay began
    overlays: tuple | None = None  # (time, number of bar starts) at `(&`
    first_bar: Fraction | None = None
    accidentals: dict = field(default_factory=dict)  # of this bar; letter, or letter and octave: semitones
    events: list = field(default_factory=list)
    last: _Event | None = None
    next_factor: Fraction = Fraction(1)  # from broken rhythm
    tuplet_factor: Fraction = Fraction(1)
    tuplet_notes: int = 0
    signature_changes: list = field(default_factory=list)
    key_changes: list = field(default_factory=list)
    tempo: tuple | None = None  # (beat in quarters or None for the unit length, beats per minute)

    def to_part(self):
        """Return the voice as a part of a score."""
        rows = [
            (_to_ticks(event.start), _to_ticks(event.start + event.duration), pitch, is_tied)
            for event in self.events
            for _, pitch, is_tied in event.notes
        ]
        first_bar = _to_ticks(self.first_bar or 0)
        qpm = float(self.tempo[0] or self.unit) * self.tempo[1] if self.tempo else None
        return ScorePart(
            self.name, guess_program(self.name), rows, self.signature_changes, first_bar, qpm or None, self.key_changes
        )


def _to_ticks(quarters):
    """Return quarters in ticks, rounded half up."""
    return math.floor(quarters * TICKS_PER_QUARTER + Fraction(1, 2))


def _length(text):
    """Return the multiple of the unit length that `3/2`, `/`, `//` and the like stand for."""
    number, slash, rest = text.partition("/")
    numerator = int(number or 1)
    if not slash:
        return Fraction(numerator) or Fraction(1)
    denominator = int(rest) if rest.isdigit() else 2 ** min(1 + len(rest), 8)
    return Fraction(numerator, denominator or 1) or Fraction(1)


def _semitones(sign):
    """Return by how many semitones an accidental raises a note: `^` by one, `^/` by 1/2, `_3/2` by -3/2."""
    if "/" not in sign:
        return ACCIDENTALS[sign]
    numerator, _, denominator = sign[1:].partition("/")
    return ACCIDENTALS[sign[0]] * Fraction(int(numerator or 1), int(denominator or 2) or 1)


class _AbcReader:
    """Reads fields and lines of music; holds the voices."""

    def __init__(self, source):
        self.source = source
        self.header = _Voice()
        self.voices = {}
        self.voice = None  # the voice that the next music belongs to; None in the header
        self.unit_is_given = False
        self.propagation = "pitch"
        self.losses = Counter()
        self.handlers = {
            "field": self._read_inline_field,
            "bar": self._read_bar,
            "overlay": self._read_overlay,
            "note": self._read_note,
            "chord": self._read_chord,
            "rest": self._read_rest,
            "bars_rest": self._read_bars_of_rest,
            "tie": self._read_tie,
            "broken": self._read_broken_rhythm,
            "tuplet": self._read_tuplet,
            "grace": self._count_grace,
            "unread": self._count_unread,
        }

    def read_field(self, letter, text):
        """Read a field, by a line of its own or in brackets."""
        voice = self.voice or self.header
        if letter == "K":
            self._read_key(voice, text)
            if self.voice is None:
                self._begin_body()
        elif letter == "L" and (match := FRACTION.match(text)) and int(match[1]) and int(match[2]):
            voice.unit = 4 * Fraction(int(match[1]), int(match[2]))
            self.unit_is_given = True
        elif letter == "M":
            self._read_meter(voice, text)
        elif letter == "V" and text:
            self._read_voice(text)
        elif letter == "Q":
            self._read_tempo(voice, text)
        elif letter == "I" and text.startswith("propagate-accidentals"):
            self.propagation = text.split()[-1]

    def _begin_body(self):
        """End the header: choose the unit length, and give what the header says to all voices."""
        if not self.unit_is_given:
            numerator, denominator = self.header.meter or (1, 1)
            self.header.unit = Fraction(1, 4) if numerator / denominator < 0.75 else Fraction(1, 2)
        if not self.voices:
            self._voice("")
        for voice in self.voices.values():
            self._inherit(voice)
        self.voice = next(iter(self.voices.values()))

    def _inherit(self, voice):
        """Give a voice what the header says."""
        for name in ("unit", "meter", "tempo"):
            setattr(voice, name, getattr(self.header, name))
        voice.key = dict(self.header.key)
        voice.signature_changes = list(self.header.signature_changes)
        voice.key_changes = list(self.header.key_changes)
        voice.shifts = self.header.shifts | voice.shifts

    def _voice(self, name):
        """Return the voice of this name, new if need be."""
        if name not in self.voices:
            if len(self.voices) >= MAX_VOICES:
                raise BadMusicFile(f"{self.source}: more than {MAX_VOICES} voices")
            self.voices[name] = _Voice()
            if self.voice is not None:
                self._inherit(self.voices[name])
        return self.voices[name]

    def _read_voice(self, text):
        """Read a V field: it names a voice, and may say how it is transposed."""
        name, _, settings = text.partition(" ")
        voice = self._voice(name)
        if match := VOICE_NAME.search(settings):
            voice.name = match[1] or match[2] or ""
        _read_shifts(voice, settings)
        if self.voice is not None:
            self.voice = voice

    def _read_key(self, voice, text):
        """Read a K field: key, mode, accidentals and transposition."""
        _read_shifts(voice, text)
        plain = re.sub(r'\S+=("[^"]*"|\S+)|[-+]8\b', " ", text).strip()
        if plain.upper().startswith("HP"):
            voice.key = {"F": 1, "C": 1}
            voice.key_changes.append((_to_ticks(voice.time), 2))
            return
        match = KEY.match(plain)
        is_explicit = re.search(r"\bexp\b", plain) is not None
        if match and (match[0] == plain or not plain[match.end() - 1 : match.end() + 1].isalpha()):
            mode = (match[3] or match[4] or "").lower()
            fifths = FIFTHS[match[1].upper()] + 7 * ((match[2] == "#") - (match[2] in ("b", "s"))) + MODES[mode]
            voice.key = {} if is_explicit else _key_signature(fifths)
            voice.key_changes.append((_to_ticks(voice.time), fifths))
        elif re.match(r"none\b", plain):
            voice.key = {}
        elif plain and not CLEF_OR_ACCIDENTAL.match(plain):
            self.losses["unread"] += 1
        accidentals = KEY_ACCIDENTAL.findall(plain)
        voice.key = voice.key | {letter.upper(): _semitones(sign) for sign, letter in accidentals}
        voice.accidentals = {}

    def _read_meter(self, voice, text):
        """Read an M field."""
        if text.startswith("C"):
            signature = (2, 2) if text.startswith("C|") else (4, 4)
        elif match := METER.match(text):
            signature = (sum(map(int, match[1].split("+"))), int(match[2]))
        else:
            signature = None
        if signature and not all(signature):
            raise BadMusicFile(f"{self.source}: a time signature of {text[:20]!r}")
        voice.meter = signature
        if signature:
            voice.signature_changes.append((_to_ticks(voice.time), *signature))

    def _read_tempo(self, voice, text):
        """Read a Q field: `1/4=72`, `"Allegro" 1/8 3/8=72`, or `120` of the unit length."""
        beat, _, number = re.sub(r'"[^"]*"', "", text).rpartition("=")
        match = TEMPO_NUMBER.search(number)
        if match and voice.tempo is None:
            fractions = [Fraction(int(a), int(b)) for a, b in FRACTION.findall(beat) if int(b)]
            in_units = BEAT_IN_UNITS.search(beat)
            n_units = int(in_units[1] or 1) if in_units else 1
            voice.tempo = (4 * sum(fractions) or None, n_units * float(match[0]))

    def read_music(self, line):
        """Read a line of music."""
        for match in TOKEN.finditer(line):
            handler = self.handlers.get(match.lastgroup)
            if handler:
                handler(match)

    def _read_inline_field(self, match):
        self.read_field(match[0][1], match[0][3:-1].strip())

    def _read_bar(self, match):
        """End the bar of the current voice."""
        voice = self.voice
        voice.accidentals = {}
        if voice.n_bars_back:
            self._end_bar_of_overlay(voice)
            return
        voice.time = voice.bar_end = max(voice.time, voice.bar_end)
        if voice.time > voice.bar_starts[-1]:
            voice.bar_starts.append(voice.time)
        if voice.first_bar is None and voice.time:
            voice.first_bar = voice.time

    def _end_bar_of_overlay(self, voice):
        """Go on to the next bar, which was written before; a bar line right at its beginning changes nothing."""
        if voice.time > voice.bar_starts[-1 - voice.n_bars_back]:
            voice.n_bars_back -= 1
            voice.time = voice.bar_starts[-1 - voice.n_bars_back]

    def _read_overlay(self, match):
        """Go back to the beginning of the bar, by as many bars as there are signs, or to the latest `(&`."""
        voice = self.voice
        if match[0] == "(&":
            voice.overlays = voice.time, len(voice.bar_starts)
            return
        voice.bar_end = max(voice.time, voice.bar_end)
        voice.accidentals, voice.last = {}, None
        if match[0] == "&)":
            voice.time, voice.n_bars_back, voice.overlays = voice.bar_end, 0, None
        elif voice.overlays:
            voice.time, n_bar_starts = voice.overlays
            voice.n_bars_back = len(voice.bar_starts) - n_bar_starts
        else:
            voice.n_bars_back = min(len(match[0]), len(voice.bar_starts)) - 1
            voice.time = voice.bar_starts[-1 - voice.n_bars_back]

    def _read_note(self, match):
        note = NOTE_OF_CHORD.match(match[0])
        self._add_event(_length(note[4]), [self._make_note(note)])

    def _read_chord(self, match):
        inside = NOT_A_NOTE.sub("", match["inside"] or match["inside_plus"] or "")
        found = list(NOTE_OF_CHORD.finditer(inside))
        if found:
            length = _length(found[0][4])  # the first note's length is the chord's
            self._add_event(length * _length(match["chord_length"]), [self._make_note(note) for note in found])

    def _read_rest(self, match):
        self._add_event(_length(match["rest_length"]), [])

    def _read_bars_of_rest(self, match):
        voice = self.voice
        numerator, denominator = voice.meter or (4, 4)
        voice.time += int(match["n_bars"] or 1) * Fraction(4 * numerator, denominator)
        voice.last = None

    def _add_event(self, units, notes):
        """Add a note, chord or rest of so many unit lengths to the current voice."""
        voice = self.voice
        factor = voice.next_factor
        if voice.tuplet_notes:
            factor *= voice.tuplet_factor
            voice.tuplet_notes -= 1
        voice.last = _Event(voice.time, units * voice.unit * factor, notes)
        voice.events.append(voice.last)
        voice.time += voice.last.duration
        voice.next_factor = Fraction(1)

    def _make_note(self, match):
        """Return a note of an event: [letter and octave, pitch, is_tied]."""
        sign, letter, marks, _, tie = match.groups()
        octave = 5 + letter.islower() + marks.count("'") - marks.count(",")
        letter = letter.upper()
        alteration = self._alteration(sign, letter, octave)
        if alteration != int(alteration):
            self.losses["microtones"] += 1
            alteration = math.floor(alteration + Fraction(1, 2))
        pitch = 12 * octave + SEMITONES[letter] + alteration + sum(self.voice.shifts.values())
        return [(letter, octave), pitch, bool(tie)]

    def _alteration(self, sign, letter, octave):
        """Return by how many semitones a note is raised: by its sign, a tie, the bar, or the key."""
        voice = self.voice
        place = (letter, octave) if self.propagation == "octave" else letter
        if sign:
            if self.propagation != "not":
                voice.accidentals[place] = _semitones(sign)
            return _semitones(sign)
        if voice.last:
            for name, pitch, is_tied in voice.last.notes:
                if is_tied and name == (letter, octave):
                    return pitch - 12 * octave - SEMITONES[letter] - sum(voice.shifts.values())
        return voice.accidentals.get(place, voice.key.get(letter, 0))

    def _read_tie(self, match):
        for note in self.voice.last.notes if self.voice.last else ():
            note[2] = True

    def _read_broken_rhythm(self, match):
        """Lengthen the note before by half (`>`) and shorten the next, or the other way round (`<`)."""
        voice = self.voice
        if voice.last is None:
            return
        short = Fraction(1, 2 ** min(len(match[0]), 4))
        first, voice.next_factor = (2 - short, short) if match[0][0] == ">" else (short, 2 - short)
        voice.last.duration *= first
        voice.time = voice.last.start + voice.last.duration

    def _read_tuplet(self, match):
        """Begin a tuplet: p notes in the time of q, for the next r notes."""
        p = int(match["p"])
        if not p:
            self.losses["unread"] += 1
            return
        is_compound = self.voice.meter and self.voice.meter[0] in COMPOUND_NUMERATORS
        q = int(match["q"] or 0) or TUPLETS.get(p) or (3 if is_compound else 2)
        self.voice.tuplet_factor = Fraction(q, p)
        self.voice.tuplet_notes = int(match["r"] or 0) or p

    def _count_grace(self, match):
        self.losses["grace"] += len(re.findall("[A-Ga-g]", match[0]))

    def _count_unread(self, match):
        self.losses["unread"] += 1


def _read_shifts(voice, text):
    """Read octave=, transpose= and a clef with +8 or -8."""
    if match := OCTAVE.search(text):
        voice.shifts["octave"] = 12 * int(match[1])
    if match := TRANSPOSE.search(text):
        voice.shifts["transpose"] = int(match[1])
    if match := CLEF_OCTAVE.search(text):
        voice.shifts["clef"] = 12 if match[1] == "+8" else -12


def _key_signature(fifths):
    """Return {letter: semitones} of a key with this many sharps, or flats if negative."""
    letters = (SHARPS if fifths > 0 else FLATS)[: abs(fifths)]
    return dict.fromkeys(letters, 1 if fifths > 0 else -1)
