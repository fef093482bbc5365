"""MIDI files to `NoteSequence` and back, through symusic.

Reading: format 0 and 1, any resolution, running status, several tracks. Drums are
left out, controllers ignored; the sustain pedal lengthens notes only on request (a pedal
in a track without notes is not seen). A note without an end lasts to the end of its track. One tempo stands for the piece:
the one at which it lasts as long as with all its changes. Metre is read as told; what is no metre is
taken for none.

Writing: one track per part, with name and program, at one tempo, rounded to whole
microseconds per quarter as the format wants it, struck as `clara.music.accents` has it. What `write_midi` wrote, `read_midi`
reads back note for note.
"""

import os
from collections import Counter
from dataclasses import dataclass

import numpy as np
from symusic import Note, Score, Tempo, TimeSignature, Track

from clara.errors import BadMusicFile, NoNotes, TooLong, WrongEnsemble
from clara.files import write_atomically
from clara.music.accents import note_velocities
from clara.music.instruments import ENSEMBLES, INSTRUMENTS, assign_parts, move_into_range
from clara.music.midi_scan import FAR, readable
from clara.music.notes import COMMON_TIME, build_notes, quantize

MAX_BYTES, MAX_NOTES, MAX_QUARTERS = 16 << 20, 250_000, 50_000
MAX_METRE = 64  # of numerator and denominator
TICKS_PER_QUARTER = 480  # aimed at when writing; a multiple of the grid near it is taken
LINE = 0.05  # share of notes that may sound into the next for a track to pass as a single line


def read_midi(source, *, steps_per_quarter=12, sustain=False, ensemble="piano", solo_track=None):
    """Read a MIDI file as notes on a grid.

    Parameters
    ----------
    source : path, or bytes of a MIDI file
    steps_per_quarter : grid to round to
    sustain : lengthen notes to the sustain pedal's release
    ensemble : which parts to tell apart, a name in `clara.music.instruments.ENSEMBLES`; of piano, all are one
    solo_track : the solo's track among those with notes, by number from 1 or by name

    Returns
    -------
    notes : NoteSequence
    losses : Counter with `drums` (left out), `unended` (given the track's end),
        `merged` and `cut` (see `clara.music.notes.build_notes`), `moved` and `folded` (see
        `clara.music.instruments.move_into_range`)

    Raises
    ------
    BadMusicFile
        If it is not MIDI, empty, truncated or beyond what symusic parses.
    NoNotes
        If there is no pitched note.
    TooLong
        If it exceeds MAX_BYTES, MAX_NOTES, MAX_QUARTERS or the caps of `clara.music.midi_scan`.
    WrongEnsemble
        If its tracks are not the ensemble's.
    """
    name, data = _read_bytes(source)
    score = _parse(data, name)
    tracks = [t for t in score.tracks if len(t.notes)]
    losses = Counter(drums=sum(len(t.notes) for t in tracks if t.is_drum))
    tracks = [t for t in tracks if not t.is_drum]
    if not tracks:
        raise NoNotes(f"{name}: no notes in it{' but drums' * (losses['drums'] > 0)}")
    if sum(len(t.notes) for t in tracks) > MAX_NOTES:
        raise TooLong(f"{name}: more than {MAX_NOTES:,} notes")
    raw = [t.notes.numpy() for t in tracks]
    part = _parts(tracks, raw, ensemble, solo_track, name)
    start, end, pitch = _columns(raw)
    unended = end - start >= FAR
    losses["unended"] = int(unended.sum())
    end[unended] -= FAR
    tpq, last = score.ticks_per_quarter, int(end.max())
    if start.min() < 0 or last > MAX_QUARTERS * tpq:
        raise TooLong(f"{name}: longer than {MAX_QUARTERS:,} quarters")
    if sustain:
        for p in set(part.tolist()):
            pedals = [
                pedal
                for t, c in zip(tracks, np.split(part, np.cumsum([len(c["time"]) for c in raw])[:-1]))
                if c[0] == p
                for pedal in t.pedals
            ]
            end[part == p] = _lengthen(end[part == p], pedals)
    notes, mended = build_notes(
        quantize(start, tpq, steps_per_quarter),
        quantize(end, tpq, steps_per_quarter),
        pitch,
        part,
        steps_per_quarter=steps_per_quarter,
        qpm=_mean_qpm(score.tempos, int(end.max()), tpq),
        time_signatures=_metre(score.time_signatures, tpq, steps_per_quarter, last),
        instruments=ENSEMBLES[ensemble] if ensemble != "piano" else ("p", "v"),
    )
    notes, moved = move_into_range(notes) if ensemble == "chamber" else (notes, Counter())
    return notes, +(losses + mended + moved)


@dataclass(frozen=True, eq=False)
class MidiDescription:
    """What a MIDI file tells beyond its notes on a grid.

    Attributes
    ----------
    onset_ticks : int64 array, shape (n,), in ticks, unrounded, in no order; drums left out
    ticks_per_quarter : int
    tracks : tuple of (name, General MIDI program) of the tracks with pitched notes
    metre_told : whether it holds a time signature
    """

    onset_ticks: np.ndarray
    ticks_per_quarter: int
    tracks: tuple
    has_time_signature: bool


def describe_midi(source):
    """Read a MIDI file's onsets before rounding, its tracks, and whether it tells its metre.

    Parameters
    ----------
    source : path, or bytes of a MIDI file

    Returns
    -------
    MidiDescription

    Raises
    ------
    BadMusicFile, NoNotes, TooLong
        As `read_midi` does, but for the number of notes and quarters, which are not looked at.
    """
    name, data = _read_bytes(source)
    score = _parse(data, name)
    tracks = [t for t in score.tracks if len(t.notes) and not t.is_drum]
    if not tracks:
        raise NoNotes(f"{name}: no notes in it")
    return MidiDescription(
        _columns([t.notes.numpy() for t in tracks])[0],
        score.ticks_per_quarter,
        tuple((_track_name(t), t.program) for t in tracks),
        len(score.time_signatures) > 0,
    )


def _read_bytes(source):
    """A name for messages, and the file's bytes."""
    if isinstance(source, bytes):
        return "MIDI bytes", source
    try:
        with open(source, "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise TooLong(f"{source}: larger than {MAX_BYTES >> 20} MiB")
            return str(source), file.read()
    except OSError as e:
        raise BadMusicFile(f"{source}: cannot be read ({e.strerror})") from e


def _parse(data, name):
    """The symusic score, with each key that never goes up ending FAR ticks after its track."""
    data = readable(data, name)
    try:
        score = Score.from_midi(data)
    except (RuntimeError, ValueError) as e:
        raise BadMusicFile(f"{name}: broken MIDI ({str(e)[:120]})") from e
    if score.ticks_per_quarter < 1:
        raise BadMusicFile(f"{name}: a resolution of {score.ticks_per_quarter} ticks per quarter")
    return score


def _columns(raw):
    """start, end (ticks) and pitch of all notes, from symusic's columns of each track."""
    start, duration, pitch = (
        np.concatenate([c[name] for c in raw], dtype=np.int64) for name in ("time", "duration", "pitch")
    )
    return start, start + duration, pitch


def _parts(tracks, raw, ensemble, solo_track, name):
    """The part of every note."""
    sizes = [len(c["time"]) for c in raw]
    if ensemble == "piano":
        return np.zeros(sum(sizes), dtype=np.int64)
    told = [(_track_name(t), t.program, lambda c=c: is_monophonic(*_columns([c])[:2])) for t, c in zip(tracks, raw)]
    try:
        return np.repeat(assign_parts(told, ensemble, solo_track), sizes)
    except WrongEnsemble as e:
        raise WrongEnsemble(f"{name}: {e}") from e


def _track_name(track):
    """A track's name, as well as it can be read: symusic refuses what is not UTF-8."""
    try:
        return track.name
    except UnicodeDecodeError:
        return ""


def is_monophonic(start, end):
    """Whether few notes sound into the next, by starts and ends of shape (n,)."""
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    return (end[:-1] > start[1:]).mean() <= LINE if len(start) > 1 else True


def _metre(signatures, ticks_per_quarter, steps_per_quarter, last_tick):
    """The metre as `NoteSequence` keeps it; common time where the file says nothing."""
    if not len(signatures):
        return COMMON_TIME
    metre = {0: COMMON_TIME[0][1:]}
    for s in sorted(signatures, key=lambda s: s.time):
        if 0 <= s.time <= last_tick and 1 <= s.numerator <= MAX_METRE and 1 <= s.denominator <= MAX_METRE:
            metre[int(quantize(s.time, ticks_per_quarter, steps_per_quarter))] = (s.numerator, s.denominator)
    kept = []
    for step, fraction in sorted(metre.items()):
        if not kept or kept[-1][1:] != fraction:
            kept.append((step, *fraction))
    return tuple(kept)


def _lengthen(end, pedals):
    """Move ends that fall under a pedal to its release; all in ticks."""
    if not pedals:
        return end
    down, up = np.array(sorted((p.time, p.time + p.duration) for p in pedals), dtype=np.int64).T
    up = np.maximum.accumulate(up)
    under = np.searchsorted(down, end, side="right") - 1
    return np.where(under >= 0, np.maximum(end, up[under]), end)


def _mean_qpm(tempos, last_tick, ticks_per_quarter):
    """The one tempo at which last_tick comes as late as under all tempos."""
    if len(tempos) == 1 and tempos[0].time == 0:
        return 60e6 / tempos[0].mspq if tempos[0].mspq > 0 else 120.0
    columns = tempos.numpy()
    ticks = np.minimum(np.concatenate([[0], columns["time"], [last_tick]], dtype=np.int64), last_tick)
    microseconds = np.concatenate([[500_000.0], columns["mspq"]])
    if (np.diff(ticks) < 0).any():
        order = np.argsort(ticks[:-1], kind="stable")
        ticks[:-1], microseconds = ticks[:-1][order], microseconds[order]
    span = np.diff(ticks)
    mean = float((span * microseconds).sum() / span.sum()) if span.sum() else microseconds[-1]
    return 60e6 / mean if mean > 0 else 120.0


def write_midi(notes, path, flat=False):
    """Write notes as a format 1 MIDI file, whole or not at all.

    Parameters
    ----------
    notes : NoteSequence
    path : where to; its folder must exist
    flat : no accents, see `clara.music.accents.note_velocities`

    Raises
    ------
    CannotWrite
        If the file cannot be written.
    """
    write_atomically(path, to_symusic_score(notes, flat).dumps_midi())


def to_symusic_score(notes, flat=False):
    """Notes as a symusic Score in ticks: one track per part, one tempo, the metre, accents unless it is flat."""
    ticks_per_step = max(1, TICKS_PER_QUARTER // notes.steps_per_quarter)
    score = Score(ticks_per_step * notes.steps_per_quarter)
    score.tempos.append(Tempo(0, mspq=min(max(1, round(60e6 / notes.qpm)), 2**24 - 1)))
    for step, numerator, denominator in notes.time_signatures:
        score.time_signatures.append(TimeSignature(max(0, step) * ticks_per_step, numerator, denominator))
    for index in sorted(set(notes.part.tolist())):
        player = INSTRUMENTS[notes.instruments[min(index, len(notes.instruments) - 1)]]
        of_part = notes.part == index
        track = Track(name=player.name, program=player.program)
        columns = (notes.start * ticks_per_step, notes.duration * ticks_per_step, notes.pitch, note_velocities(notes, flat))
        for start, duration, pitch, velocity in zip(*(c[of_part].tolist() for c in columns)):
            track.notes.append(Note(start, duration, pitch, velocity))
        score.tracks.append(track)
    return score
