"""Read Humdrum **kern row by row, with all its spines and sub-spines.

A row of a Humdrum file is one moment: all its notes begin together. The columns are spines, one for
each staff. A spine may split (`*^`), merge (`*v`), change places (`*x`), begin (`*+`) and end (`*-`).
Spines of other kinds, such as **dynam and **text, are passed over.

How notes are read:

- Tied notes are one note, also where a tie leads from one sub-spine or staff to another.
- Grace notes (`q`, `Q`) take no time. They are left out and counted.
- Pitches are sounding pitches, so `*ITr`, which says how to print them, changes nothing. `*Tr` marks
  notes that an editor transposed; that is undone.
- Repeats and expansion lists (`*>[A,A,B]`) are not played out.
- Notes on a percussion clef (`*clefX`) are drums, left out and counted.

A row begins where the note that ends next ends. If a spine with a new note is not that far, because
another voice lacks a rest, the row waits for it: all voices stay together.

Source: https://www.humdrum.org/guide and https://www.humdrum.org/rep/kern.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

from clara.errors import BadMusicFile
from clara.music.instruments import guess_program
from clara.music.score_parts import TICKS_PER_QUARTER, ParsedScore, ScorePart

# `8.` is a dotted eighth, `12%7` is 7/12 of a whole note.
DURATION = re.compile(r"(?<![\d%.])(\d{1,4})(?:%(\d{1,4}))?(\.{0,8})(?![\d%.])")
PITCH = re.compile(r"([a-g])\1{0,6}|([A-G])\2{0,6}")
TREMOLO = re.compile(r"@+\d+@+")  # its number is not a duration
SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
LONG_NOTES = {"0": 8, "00": 16, "000": 32}  # breve, long and maxima, in quarters
# A piece with tuplets of 7, 11, 13, 17, 19 and 23 needs 10 digits.
MAX_TICKS_PER_QUARTER = 10**15
MAX_SPINES = 200

KEY_SIGNATURE = re.compile(r"\*k\[((?:[a-g][-#])*)\]$")
TIME_SIGNATURE = re.compile(r"\*M(\d{1,3}(?:\+\d{1,3})*)/(\d{1,3})(?:%|$)")
TEMPO = re.compile(r"\*MM[^\d\[]{0,12}(\d{1,6}\.?\d*)")  # a tempo may be `c.72`
PART_NAME = re.compile(r'\*I"(.*)')
PART_GROUP = re.compile(r"\*part(\d+)$")
TRANSPOSITION = re.compile(r"\*Trd[-+]?\d+c([-+]?\d{1,2})$")
# `*I` codes: name and General MIDI program. Source: https://www.humdrum.org/guide/ch04 and appendix 2.
INSTRUMENT_CODES = {
    "piano": ("Piano", 0),
    "forte": ("Fortepiano", 0),
    "cemba": ("Cembalo", 6),
    "clavi": ("Klavier", 6),
    "organ": ("Organ", 19),
    "harp": ("Harp", 46),
    "guitr": ("Guitar", 24),
    "violn": ("Violin", 40),
    "viola": ("Viola", 41),
    "cello": ("Violoncello", 42),
    "cbass": ("Contrabass", 43),
    "soprn": ("Soprano", 52),
    "cant": ("Soprano", 52),
    "mezzo": ("Mezzosoprano", 52),
    "alto": ("Alto", 52),
    "tenor": ("Tenor", 52),
    "barit": ("Baritone", 52),
    "bass": ("Bass", 52),
    "vox": ("Voice", 52),
    "tromp": ("Trumpet", 56),
    "tromb": ("Trombone", 57),
    "tuba": ("Tuba", 58),
    "corno": ("Horn", 60),
    "oboe": ("Oboe", 68),
    "cangl": ("Cor", 69),
    "fagot": ("Bassoon", 70),
    "clars": ("Clarinet", 71),
    "picco": ("Piccolo", 72),
    "flt": ("Flute", 73),
    "flute": ("Flute", 73),
    "recor": ("Recorder", 74),
}


def parse_humdrum(text: str, source) -> ParsedScore:
    """Read the **kern spines of a Humdrum text.

    Parameters
    ----------
    text : str
    source : path or str
        For error messages.

    Returns
    -------
    ParsedScore
        The parts with the highest staff first, which is the rightmost spine. Spines with the same
        `*part` are one part. Ties are joined. The losses are `grace`, `drums`, and `unread` (tokens
        that are no note, no rest and no grace note).

    Raises
    ------
    BadMusicFile
        If a row does not fit the open spines, or there is no **kern spine.
    """
    reader = _HumdrumReader(source, _ticks_per_quarter(text, source))
    for number, line in enumerate(text.splitlines(), 1):
        if line and line[0] != "!":
            reader.read_row(line, number)
    if not any(track.is_kern for track in reader.tracks):
        raise BadMusicFile(f"{source}: no **kern spine in it")
    return ParsedScore(reader.parts(), reader.losses, reader.n_written_notes)


def _ticks_per_quarter(text, source):
    """Return a number of ticks that makes all durations of the text whole."""
    ticks = TICKS_PER_QUARTER
    rows = "\t".join(line for line in text.splitlines() if line[:1] not in ("*", "!", "="))
    for token in set(rows.split("\t")):
        for note in _parse_token(token).notes:
            ticks = math.lcm(ticks, note.quarters.denominator)
        if ticks > MAX_TICKS_PER_QUARTER:
            raise BadMusicFile(f"{source}: durations such as {token[:20]!r} have no common unit")
    return ticks


@dataclass(frozen=True)
class _Note:
    """A note or rest of a token; `pitch` is None for a rest."""

    pitch: int | None
    quarters: Fraction
    is_tied: bool
    is_continued: bool
    is_disjunct: bool  # the tie leads to a note that need not begin where this one ends: `[[` and `]]`


@dataclass(frozen=True)
class _Token:
    """What a token of a **kern spine holds."""

    notes: tuple
    n_grace: int
    n_unread: int


@lru_cache(maxsize=50_000)
def _parse_token(token):
    """Parse a token of a **kern spine: notes of a chord are separated by spaces."""
    notes, n_grace, n_unread, quarters = [], 0, 0, None
    for part in token.split():
        pitch = PITCH.search(part)
        is_rest = "r" in part
        if not is_rest and pitch and ("q" in part or "Q" in part):
            n_grace += 1
            continue
        own_quarters = _parse_duration(part)
        quarters = own_quarters or quarters  # of a chord, the first note's duration holds for notes without one
        if not quarters or not (is_rest or pitch):
            n_unread += not ("q" in part or "Q" in part)
            continue
        is_tied = "[" in part or "_" in part
        is_continued = "]" in part or "_" in part
        is_disjunct = "[[" in part or "__" in part or "]]" in part
        number = None if is_rest else _midi_number(part, pitch)
        notes.append(_Note(number, quarters, is_tied, is_continued, is_disjunct))
    return _Token(tuple(notes), n_grace, n_unread)


def _parse_duration(token):
    """Return the duration of a token in quarters, or None."""
    match = DURATION.search(TREMOLO.sub("", token) if "@" in token else token)
    if not match:
        return None
    number, divisor, dots = match.groups()
    if number.strip("0"):
        quarters = Fraction(4, int(number))
    elif number in LONG_NOTES:
        quarters = Fraction(LONG_NOTES[number])
    else:
        return None
    if divisor is not None:
        quarters *= int(divisor)
    return quarters * (2 - Fraction(1, 2 ** len(dots))) or None


def _midi_number(token, pitch):
    """Return the MIDI number of a pitch: `c` is middle C, `cc` an octave higher, `C` an octave lower."""
    octave = 4 + len(pitch[0]) if pitch[1] else 5 - len(pitch[0])
    accidental = token.count("#") - token.count("-")  # some editors write the tie first: `2.b]-`
    return 12 * octave + SEMITONES[pitch[0][0].lower()] + accidental


@dataclass
class _Track:
    """A spine from its first row on, with all sub-spines that it splits into."""

    is_kern: bool = False
    name: str = ""
    code: str = ""
    group: str | None = None
    semitones: int = 0  # to add to each pitch
    is_drums: bool = False
    notes: list = field(default_factory=list)  # [start, end, pitch] in ticks


@dataclass
class _Spine:
    """A column: a spine or sub-spine, and the tick at which its latest note or rest ends."""

    track: _Track
    end: int


class _HumdrumReader:
    """Reads rows one by one; holds the open spines and the time."""

    def __init__(self, source, ticks_per_quarter):
        self.source = source
        self.ticks_per_quarter = ticks_per_quarter
        self.tracks = []
        self.spines = []
        self.losses = Counter()
        self.n_written_notes = 0
        self.tick = -1  # of the latest row with notes or rests
        self.last_end = 0  # of all notes and rests
        self.tokens = {}  # token: what `_measure_token` returns
        self.open_ties = {}  # (tick, pitch): notes tied to a note there; tick None: to a note anywhere
        self.signature_changes = []
        self.new_signature = None  # holds from the next row with notes on
        self.key_changes = []
        self.new_key = None  # likewise
        self.has_new_bar = False
        self.first_bar_ticks = 0
        self.qpm = None
        self.other_spines = None  # after a merge: the spines if it also merges tracks with each other

    def read_row(self, line, number):
        """Read one row: interpretations, a bar line, or data."""
        fields = line.split("\t")
        if not self.spines or len(fields) != len(self.spines):
            fields = self._fit_fields(fields, number)
        if line[0] == "*":
            self._read_interpretations(fields, number)
        elif line[0] == "=":
            self.has_new_bar = True
        else:
            self._read_notes(fields)
        if line[0] != "*":
            self.other_spines = None

    def _fit_fields(self, fields, number):
        """Return the fields of a row that does not match the open spines, or refuse it."""
        if not self.spines:
            if not fields[0].startswith("**"):
                raise BadMusicFile(f"{self.source}: line {number}: no spine is open here (no ** before it)")
            self._add_spines(len(fields), number)
            return fields
        if len(fields) != len(self.spines):
            fields = [text for text in fields if text]  # some files separate columns by several tabs
        if self.other_spines and len(fields) == len(self.other_spines):
            self.spines = self.other_spines
        if len(fields) != len(self.spines):
            raise BadMusicFile(
                f"{self.source}: line {number}: {len(fields)} columns, but {len(self.spines)} spines are open"
            )
        return fields

    def _add_spines(self, n, number):
        if len(self.spines) + n > MAX_SPINES:
            raise BadMusicFile(f"{self.source}: line {number}: more than {MAX_SPINES} spines")
        for _ in range(n):
            self.tracks.append(_Track())
            self.spines.append(_Spine(self.tracks[-1], self._next_tick()))

    def _next_tick(self):
        """Return the tick at which the note that ends next ends."""
        next_tick = self.last_end
        for spine in self.spines:
            if self.tick < spine.end < next_tick:
                next_tick = spine.end
        return next_tick

    def _read_interpretations(self, fields, number):
        """Read a row of interpretations."""
        for spine, text in zip(self.spines, fields):
            if text.startswith("**"):
                spine.track.is_kern = text == "**kern"
            elif len(text) > 2 and spine.track.is_kern:
                self._read_interpretation(spine.track, text)
        if any(text in ("*^", "*v", "*x", "*+", "*-") for text in fields):
            self._move_spines(fields, number)

    def _read_interpretation(self, track, text):
        """Read one interpretation of a **kern spine."""
        if text.startswith("*M"):
            self._read_time(text)
        elif (match := KEY_SIGNATURE.match(text)) and self.new_key is None:  # of the leftmost spine
            self.new_key = match[1].count("#") - match[1].count("-")
        elif match := PART_NAME.match(text):
            track.name = track.name or match[1].strip()
        elif text.startswith("*I") and text[2:] in INSTRUMENT_CODES:
            track.code = track.code or text[2:]
        elif match := PART_GROUP.match(text):
            track.group = match[1]
        elif match := TRANSPOSITION.match(text):
            track.semitones = -int(match[1])
        elif text.startswith("*clef"):
            track.is_drums = text.startswith("*clefX")

    def _read_time(self, text):
        """Read a time signature or a tempo."""
        if match := TIME_SIGNATURE.match(text):
            beats = sum(map(int, match[1].split("+")))
            beat_type = int(match[2])
            self.new_signature = (beats, beat_type) if beat_type else (2 * beats, 1)  # 0 is the breve
        elif (match := TEMPO.match(text)) and not self.qpm and float(match[1]) > 0:
            self.qpm = float(match[1])

    def _move_spines(self, fields, number):
        """Split, merge, exchange, add and end spines."""
        self.spines, fields = _exchange(self.spines, fields)
        merges_of_tracks = self._moved_spines(fields, across_tracks=False)
        self.other_spines = self._moved_spines(fields, across_tracks=True) if "*v" in fields else None
        self.spines = merges_of_tracks
        if len(self.spines) > MAX_SPINES:
            raise BadMusicFile(f"{self.source}: line {number}: more than {MAX_SPINES} spines")

    def _moved_spines(self, fields, across_tracks):
        """Return the spines after a row of spine paths; neighbouring `*v` of one track, or of any, are merged."""
        moved, merging = [], None
        for spine, text in zip(self.spines, fields):
            if text == "*v" and merging and (across_tracks or merging.track is spine.track):
                merging.end = self._merged_end(merging.end, spine.end)
                continue
            merging = _Spine(spine.track, spine.end) if text == "*v" else None
            if text != "*-":
                moved.append(merging or spine)
            if text == "*^":
                moved.append(_Spine(spine.track, spine.end))
            elif text == "*+":
                self.tracks.append(_Track())
                moved.append(_Spine(self.tracks[-1], self._next_tick()))
        return moved

    def _merged_end(self, *ends):
        """Return when a merged spine is free: a sub-spine may have ended long ago, or hold a long last note."""
        next_tick = self._next_tick()
        return min((end for end in ends if end >= next_tick), default=next_tick)

    def _read_notes(self, fields):
        """Read a row of notes."""
        starting = []
        for spine, text in zip(self.spines, fields):
            if text == "." or not spine.track.is_kern:
                continue
            notes, advance, n_grace, n_unread = self.tokens.get(text) or self._measure_token(text)
            if n_grace or n_unread:
                self.losses.update(grace=n_grace, unread=n_unread)
            if advance:
                starting.append((spine, notes, advance))
        if starting:
            tick = self._next_tick()
            for spine, _, _ in starting:
                if spine.end > tick:
                    tick = spine.end
            self._start_row(tick)
            for spine, notes, advance in starting:
                for note in notes:
                    self._add_note(spine.track, tick, *note)
                spine.end = end = tick + advance
                if end > self.last_end:
                    self.last_end = end

    def _measure_token(self, text):
        """Return (notes, advance, n_grace, n_unread) of a token; times in ticks, 0 if it takes no time."""
        token = _parse_token(text)
        ticks = [int(note.quarters * self.ticks_per_quarter) for note in token.notes]
        notes = [
            (note.pitch, duration, note.is_tied, note.is_continued, note.is_disjunct)
            for note, duration in zip(token.notes, ticks)
            if note.pitch is not None
        ]
        measured = notes, (ticks[0] if ticks else 0), token.n_grace, token.n_unread
        self.tokens[text] = measured
        return measured

    def _start_row(self, tick):
        """Move on to the tick of a row with notes or rests, and note what holds from there on."""
        if self.new_signature:
            self.signature_changes.append((tick, *self.new_signature))
            self.new_signature = None
        if self.new_key is not None:
            self.key_changes.append((tick, self.new_key))
            self.new_key = None
        if self.has_new_bar and tick and not self.first_bar_ticks:
            self.first_bar_ticks = tick
        self.has_new_bar = False
        self.tick = tick

    def _add_note(self, track, tick, pitch, duration, is_tied, is_continued, is_disjunct):
        """Add a note, or lengthen the note that is tied to it."""
        self.n_written_notes += 1
        if track.is_drums:
            self.losses["drums"] += 1
            return
        pitch += track.semitones
        end = tick + duration
        note = self._take_tied_note(track, None if is_disjunct else tick, pitch) if is_continued else None
        if note is None:
            note = [tick, end, pitch]
            track.notes.append(note)
        elif end > note[1]:
            note[1] = end
        if is_tied:
            self.open_ties.setdefault((None if is_disjunct else end, pitch), []).append((track, note))

    def _take_tied_note(self, track, tick, pitch):
        """Return the note that is tied to one here, preferably of the same staff, or None."""
        tied = self.open_ties.get((tick, pitch))
        if not tied:
            return None
        own = [i for i, (other, _) in enumerate(tied) if other is track]
        return tied.pop(own[0] if own else 0)[1]

    def parts(self):
        """Return the parts, the rightmost spine first."""
        groups = {}
        for index, track in enumerate(reversed(self.tracks)):
            if track.is_kern:
                groups.setdefault(track.group or -index, []).append(track)
        return [self._make_part(tracks) for tracks in groups.values()]

    def _make_part(self, tracks):
        """Return the part of some spines."""
        code_name, program = next((INSTRUMENT_CODES[t.code] for t in tracks if t.code), ("", 0))
        name = next((track.name for track in tracks if track.name), code_name)
        notes = [note for track in tracks for note in track.notes]
        if self.ticks_per_quarter != TICKS_PER_QUARTER:
            notes = [(self._to_common_ticks(start), self._to_common_ticks(end), pitch) for start, end, pitch in notes]
        rows = [(start, end, pitch, False) for start, end, pitch in notes]
        changes = [(self._to_common_ticks(tick), *signature) for tick, *signature in self.signature_changes]
        keys = [(self._to_common_ticks(tick), fifths) for tick, fifths in self.key_changes]
        first_bar_ticks = self._to_common_ticks(self.first_bar_ticks)
        return ScorePart(name, program or guess_program(name), rows, changes, first_bar_ticks, self.qpm, keys)

    def _to_common_ticks(self, tick):
        """Return a tick of this piece in ticks of TICKS_PER_QUARTER, rounded half up in exact integers."""
        return (2 * tick * TICKS_PER_QUARTER + self.ticks_per_quarter) // (2 * self.ticks_per_quarter)


def _exchange(spines, fields):
    """Return spines and fields after each pair of `*x` changed places."""
    spines, fields = list(spines), list(fields)
    pairs = [i for i, text in enumerate(fields) if text == "*x"]
    for left, right in zip(pairs[::2], pairs[1::2]):
        spines[left], spines[right] = spines[right], spines[left]
    return spines, ["*" if text == "*x" else text for text in fields]
