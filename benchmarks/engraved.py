"""Read engraved scores in MusicXML with what `NoteSequence` leaves out: spelling, key signature, staff and voice."""

import zipfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from clara.music.notes import NoteSequence, quantize

STEPS_PER_QUARTER = 12
TICKS_PER_QUARTER = 10080
FIFTHS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class EngravedScore:
    """Notes of a score as they were engraved, without grace notes; columns of equal length.

    Attributes
    ----------
    name : str
    start, end : int64 arrays
        In steps of a grid of 12 per quarter.
    pitch : int64 array
    fifth : int64 array
        Place of the name on the line of fifths; C is 0.
    part, staff, voice : int64 arrays
        From 0; voices are numbered as in the file.
    key_signatures : tuple of (step, fifths)
        Of the first part.
    time_signatures : tuple of (step, numerator, denominator)
        Of the first part.
    has_transposition : bool
        Whether an instrument is written at another pitch than it sounds.
    """

    name: str
    start: np.ndarray
    end: np.ndarray
    pitch: np.ndarray
    fifth: np.ndarray
    part: np.ndarray
    staff: np.ndarray
    voice: np.ndarray
    key_signatures: tuple
    time_signatures: tuple
    has_transposition: bool

    def select(self, mask) -> "EngravedScore":
        """Return the score with some of its notes."""
        columns = (self.start, self.end, self.pitch, self.fifth, self.part, self.staff, self.voice)
        rest = (self.key_signatures, self.time_signatures, self.has_transposition)
        return EngravedScore(self.name, *(column[mask] for column in columns), *rest)

    @property
    def main_key_signature(self) -> int:
        """Return the key signature that holds for the longest time."""
        steps = [step for step, _ in self.key_signatures] + [int(self.end.max())]
        lengths = {}
        for (step, fifths), end in zip(self.key_signatures, steps[1:]):
            lengths[fifths] = lengths.get(fifths, 0) + end - step
        return max(lengths, key=lengths.get)

    def as_piano(self) -> tuple[NoteSequence, np.ndarray]:
        """Return the notes as a piano's, and the index of each among this score's notes.

        Of notes of one pitch that overlap, only those that begin later stay whole, as on a keyboard.
        """
        order = np.lexsort((-self.end, self.pitch, self.start))
        key = self.start[order] * 128 + self.pitch[order]
        order = order[np.append(True, np.diff(key) > 0)]
        end = self.end[order].copy()
        latest = {}
        for i, index in enumerate(order):
            before = latest.get(self.pitch[index])
            if before is not None:
                end[before] = min(end[before], self.start[index])
            latest[self.pitch[index]] = i
        start = self.start[order]
        notes = NoteSequence(start, end - start, self.pitch[order], np.zeros_like(start), STEPS_PER_QUARTER)
        return notes, order


def read_engraved(path: Path, name: str) -> EngravedScore | None:
    """Read a score in MusicXML, plain or compressed; None if it has no notes."""
    root = ElementTree.fromstring(_read_text(path))
    rows, keys, times, has_transposition = [], [], [], False
    for part, element in enumerate(root.findall("part")):
        reader = _PartReader(part, rows)
        reader.read(element)
        has_transposition |= reader.has_transposition
        if part == 0:
            keys, times = reader.keys, reader.times
    if not rows:
        return None
    columns = np.array(rows, dtype=np.int64)
    for column in (0, 1):
        columns[:, column] = quantize(columns[:, column], TICKS_PER_QUARTER, STEPS_PER_QUARTER)
    columns[:, 1] = np.maximum(columns[:, 1], columns[:, 0] + 1)
    keys = tuple((_to_step(tick), fifths) for tick, fifths in keys) or ((0, 0),)
    times = tuple((_to_step(tick), *signature) for tick, *signature in times)
    return EngravedScore(name, *columns.T, keys, times, has_transposition)


def _to_step(tick):
    return int(quantize(tick, TICKS_PER_QUARTER, STEPS_PER_QUARTER))


def _read_text(path):
    """Return the MusicXML of a file."""
    if path.suffix != ".mxl":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        container = ElementTree.fromstring(archive.read("META-INF/container.xml"))
        return archive.read(next(e.get("full-path") for e in container.iter() if e.tag.endswith("rootfile")))


class _PartReader:
    """Reads one part; adds rows (start, end, pitch, fifth, part, staff, voice) in ticks."""

    def __init__(self, part, rows):
        self.part, self.rows = part, rows
        self.keys, self.times = [], []
        self.has_transposition = False
        self.divisions = 1
        self.tied = {}

    def read(self, element):
        """Read all measures; each begins where the longest voice of the one before ended."""
        start = 0
        for measure in element.findall("measure"):
            start = self._read_measure(measure, start)

    def _ticks(self, element):
        text = element.findtext("duration")
        return int(Fraction(text) * TICKS_PER_QUARTER / self.divisions) if text else 0

    def _read_measure(self, measure, start):
        now = chord_start = end = start
        for child in measure:
            if child.tag == "attributes":
                self._read_attributes(child, now)
            elif child.tag == "backup":
                now -= self._ticks(child)
            elif child.tag == "forward":
                now += self._ticks(child)
            elif child.tag == "note" and child.find("grace") is None and child.find("cue") is None:
                ticks = self._ticks(child)
                if child.find("chord") is None:
                    chord_start = now
                    now += ticks
                if child.find("pitch") is not None:
                    self._read_note(child, chord_start, ticks)
            end = max(end, now)
        return end

    def _read_attributes(self, attributes, now):
        self.divisions = int(attributes.findtext("divisions") or self.divisions)
        fifths = attributes.findtext("key/fifths")
        if fifths is not None:
            self.keys.append((now if self.keys else 0, int(fifths)))
        if attributes.find("time") is not None and (attributes.findtext("time/beats") or "").isdecimal():
            numerator, denominator = attributes.findtext("time/beats"), attributes.findtext("time/beat-type")
            self.times.append((now, int(numerator), int(denominator)))
        self.has_transposition |= (attributes.findtext("transpose/chromatic") or "0") != "0"

    def _read_note(self, note, start, ticks):
        step = note.findtext("pitch/step")
        alter = round(float(note.findtext("pitch/alter") or 0))
        pitch = 12 * (int(note.findtext("pitch/octave")) + 1) + SEMITONES[step] + alter
        voice = note.findtext("voice") or "1"
        ties = {tie.get("type") for tie in note.findall("tie")}
        row = self.tied.pop((start, pitch), None) if "stop" in ties else None
        if row is None:
            row = [start, start, pitch, FIFTHS[step] + 7 * alter, self.part, int(note.findtext("staff") or 1) - 1]
            row.append(int(voice) if voice.isdecimal() else 1)
            self.rows.append(row)
        row[1] = start + ticks
        if "start" in ties:
            self.tied[start + ticks, pitch] = row
