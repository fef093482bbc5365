"""MIDI files to `NoteSequence` and back, through symusic.

Reading: format 0 and 1, any resolution, running status, several tracks. Drums are
left out, controllers ignored; the sustain pedal lengthens notes only on request (a pedal
in a track without notes is not seen). A note without an end lasts to the end of its track. One tempo stands for the piece:
the one at which it lasts as long as with all its changes. Metre is not read.

Writing: one track per part, with name and program, at one tempo, rounded to whole
microseconds per quarter as the format wants it. What `write_midi` wrote, `read_midi`
reads back note for note.

Contents: `read_midi`, `write_midi`, `notes_to_score`, `PARTS`, `all_piano`, `by_program`.
"""

import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from symusic import Note, Score, Tempo, Track

from clara.errors import BadMusicFile, NoNotes, TooLong
from clara.files import write_whole
from clara.notes import mend, quantize


@dataclass(frozen=True)
class Part:
    """A part's name and General MIDI program (0-127)."""

    name: str
    program: int


PARTS = (Part("Piano", 0), Part("Violin", 40))
SOUNDED_VELOCITY = 80  # mezzo-forte; the text says nothing of dynamics
MAX_BYTES, MAX_NOTES, MAX_QUARTERS = 16 << 20, 250_000, 50_000
TICKS_PER_QUARTER = 480  # aimed at when writing; a multiple of the grid near it is taken

# On each of the 16 channels the pedal up and 128 note-offs: what is put before a track's
# end so that no note and no pedal is left without one.
_ALL_OFF = b"".join(
    bytes([0, 0xB0 | channel, 64, 0, 0, 0x80 | channel, 0, 0]) + b"".join(bytes([0, key, 0]) for key in range(1, 128))
    for channel in range(16)
)
_END_OF_TRACK = b"\xff\x2f\x00"


def all_piano(track):
    """Every track is part 0."""
    return 0


def by_program(track):
    """Part 1 for a track with part 1's program, else part 0."""
    return int(track.program == PARTS[1].program)


def read_midi(source, *, steps_per_quarter=12, sustain=False, part_of=all_piano):
    """Read a MIDI file as notes on a grid.

    Parameters
    ----------
    source : path, or bytes of a MIDI file
    steps_per_quarter : grid to round to
    sustain : lengthen notes to the sustain pedal's release
    part_of : function from a symusic track to the index of its part

    Returns
    -------
    notes : NoteSequence
    losses : Counter with `drums` (left out), `unended` (given the track's end),
        `merged` and `cut` (see `clara.notes.mend`)

    Raises
    ------
    BadMusicFile
        If it is not MIDI, empty, truncated or beyond what symusic parses.
    NoNotes
        If there is no pitched note.
    TooLong
        If it exceeds MAX_BYTES, MAX_NOTES or MAX_QUARTERS.
    """
    name, data = _read_bytes(source)
    score, unended = _parse(data, name)
    tracks = [t for t in score.tracks if len(t.notes)]
    losses = Counter(unended=unended, drums=sum(len(t.notes) for t in tracks if t.is_drum))
    tracks = [t for t in tracks if not t.is_drum]
    if not tracks:
        raise NoNotes(f"{name}: no notes in it{' but drums' * (losses['drums'] > 0)}")
    if sum(len(t.notes) for t in tracks) > MAX_NOTES:
        raise TooLong(f"{name}: more than {MAX_NOTES:,} notes")
    start, end, pitch, part = _columns(tracks, part_of)
    if pitch.min() < 0 or pitch.max() > 127:
        raise BadMusicFile(f"{name}: broken MIDI (a key outside 0-127)")
    tpq = score.ticks_per_quarter
    if start.min() < 0 or end.max() > MAX_QUARTERS * tpq:
        raise TooLong(f"{name}: longer than {MAX_QUARTERS:,} quarters")
    if sustain:
        for p in set(part.tolist()):
            pedals = [pedal for t in tracks if part_of(t) == p for pedal in t.pedals]
            end[part == p] = _lengthen(end[part == p], pedals)
    notes, mended = mend(quantize(start, tpq, steps_per_quarter), quantize(end, tpq, steps_per_quarter),
                         pitch, part, steps_per_quarter=steps_per_quarter,
                         qpm=_mean_qpm(score.tempos, int(end.max()), tpq))
    return notes, +(losses + mended)


def _read_bytes(source):
    """A name for messages, and the file's bytes."""
    if isinstance(source, bytes):
        return "MIDI bytes", source
    path = Path(source)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TooLong(f"{path}: larger than {MAX_BYTES >> 20} MiB")
        return str(path), path.read_bytes()
    except OSError as e:
        raise BadMusicFile(f"{path}: cannot be read ({e.strerror})") from e


def _parse(data, name):
    """The symusic score, and how many notes had no end of their own."""
    if data[:4] != b"MThd":
        raise BadMusicFile(f"{name}: not a MIDI file (it does not begin with MThd)")
    if len(data) >= 14 and data[12] & 0x80:
        raise BadMusicFile(f"{name}: time-code division is not supported, only ticks per quarter")
    if _is_cut_short(data):  # symusic would read on past the end of the bytes
        raise BadMusicFile(f"{name}: broken MIDI (a track is longer than the file)")
    try:
        score = Score.from_midi(data)
        mended = Score.from_midi(_with_all_off(data))
    except (RuntimeError, ValueError, struct.error) as e:
        raise BadMusicFile(f"{name}: broken MIDI ({str(e)[:120]})") from e
    if score.ticks_per_quarter < 1:
        raise BadMusicFile(f"{name}: a resolution of {score.ticks_per_quarter} ticks per quarter")
    unended = mended.note_num() - score.note_num()
    return mended, unended


def _is_cut_short(data):
    """True if the last track's stated length goes beyond the file."""
    at, kind = 14, b""
    while at + 8 <= len(data):
        kind, size = struct.unpack(">4sI", data[at:at + 8])
        at += 8 + size
    return kind == b"MTrk" and at > len(data)


def _with_all_off(data):
    """The file with every key released at the end of every track."""
    chunks, at = [data[:14]], 8 + struct.unpack(">I", data[4:8])[0]
    while at + 8 <= len(data):
        kind, size = struct.unpack(">4sI", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"MTrk":
            body = body[:-3] + _ALL_OFF[1:] if body.endswith(_END_OF_TRACK) else body + _ALL_OFF
            body += b"\0" + _END_OF_TRACK
        chunks.append(struct.pack(">4sI", kind, len(body)) + body)
        at += 8 + size
    return b"".join(chunks)


def _columns(tracks, part_of):
    """start, end (ticks), pitch and part of all notes of the tracks."""
    columns = [t.notes.numpy() for t in tracks]
    start = np.concatenate([c["time"] for c in columns]).astype(np.int64)
    duration = np.concatenate([c["duration"] for c in columns]).astype(np.int64)
    pitch = np.concatenate([c["pitch"] for c in columns]).astype(np.int64)
    part = np.repeat([part_of(t) for t in tracks], [len(t.notes) for t in tracks])
    return start, start + duration, pitch, part


def _lengthen(end, pedals):
    """Move ends that fall under a pedal to its release; all in ticks."""
    if not pedals:
        return end
    down, up = np.array(sorted((p.time, p.time + p.duration) for p in pedals)).T
    up = np.maximum.accumulate(up)
    under = np.searchsorted(down, end, side="right") - 1
    return np.where(under >= 0, np.maximum(end, up[under]), end)


def _mean_qpm(tempos, last_tick, ticks_per_quarter):
    """The one tempo at which last_tick comes as late as under all tempos."""
    ticks = np.array([0] + [min(t.time, last_tick) for t in tempos] + [last_tick])
    microseconds = np.array([500_000] + [t.mspq for t in tempos], dtype=float)
    order = np.argsort(ticks[:-1], kind="stable")
    ticks[:-1], microseconds = ticks[:-1][order], microseconds[order]
    span = np.diff(ticks)
    mean = float((span * microseconds).sum() / span.sum()) if span.sum() else microseconds[-1]
    return 60e6 / mean if mean > 0 else 120.0


def write_midi(notes, path):
    """Write notes as a format 1 MIDI file, whole or not at all.

    Parameters
    ----------
    notes : NoteSequence
    path : where to; its folder must exist

    Raises
    ------
    CannotWrite
        If the file cannot be written.
    """
    write_whole(path, notes_to_score(notes).dumps_midi())


def notes_to_score(notes):
    """Notes as a symusic Score in ticks: one track per part, one tempo."""
    ticks_per_step = max(1, TICKS_PER_QUARTER // notes.steps_per_quarter)
    score = Score(ticks_per_step * notes.steps_per_quarter)
    score.tempos.append(Tempo(0, mspq=min(max(1, round(60e6 / notes.qpm)), 2**24 - 1)))
    for index in sorted(set(notes.part.tolist())):
        part = PARTS[min(index, len(PARTS) - 1)]
        of_part = notes.part == index
        track = Track(name=part.name, program=part.program)
        columns = (notes.start * ticks_per_step, notes.duration * ticks_per_step, notes.pitch)
        for start, duration, pitch in zip(*(c[of_part].tolist() for c in columns)):
            track.notes.append(Note(start, duration, pitch, SOUNDED_VELOCITY))
        score.tracks.append(track)
    return score
