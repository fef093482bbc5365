"""MIDI files to `NoteSequence` and back, with symusic.

Reading: formats 0 and 1, any resolution, running status, several tracks. Drums are left out and
controllers ignored. The sustain pedal lengthens notes only on request; a pedal in a track without
notes is not seen. A note that never ends lasts to the end of its track. The piece gets one tempo:
the one at which it lasts as long as with all its tempo changes. Impossible time signatures are
ignored; a file without any gets an estimated one (see `clara.music.signature_estimation`).

Upbeats: a first bar shorter than those of the next time signature is read as an upbeat to it, and
an upbeat is written in the same way (see `clara.music.bars`).

Key signatures: those of the file. Programs write C major where nobody chose a key, so a file that names nothing else is
believed only if an estimate differs from it by less than two signs.

Writing: one track per part with name and program, one tempo (rounded to whole microseconds per
quarter, as the format demands), and velocities from `clara.music.accents`; or the velocities, the
tempo map and the sustain pedal of an `Expression`. `read_midi` reads back what `write_midi` wrote,
note for note.
"""

import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from symusic import ControlChange, KeySignature, Note, Score, Tempo, TimeSignature, Track
from symusic.core import ScoreTick

from clara.errors import BadMusicFile, NoNotes, TooLong, WrongEnsemble
from clara.files import write_atomically
from clara.music.accents import note_velocities
from clara.music.bars import join_upbeat, split_upbeat
from clara.music.expression import Expression
from clara.music.instruments import ENSEMBLES, INSTRUMENTS, assign_parts, move_into_range
from clara.music.key_signatures import collect_key_signatures
from clara.music.keys import estimate_key_signature
from clara.music.midi_scan import UNENDED_TICKS, repair_midi
from clara.music.notes import NoteSequence, build_notes, quantize, quantize_time_signatures
from clara.music.signature_estimation import with_estimated_time_signature

MAX_BYTES, MAX_NOTES, MAX_QUARTERS, MAX_TIME_SIGNATURES = 16 << 20, 250_000, 50_000, 50_000
DEFAULT_MICROSECONDS_PER_QUARTER = 500_000  # of MIDI files without a tempo
MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi")  # .kar: karaoke; .rmi: RIFF around MIDI
TARGET_TICKS_PER_QUARTER = 480  # when writing; the nearest multiple of the grid below it is taken
SUSTAIN_PEDAL, PEDAL_UP, PEDAL_DOWN = 64, 0, 127  # controller and values
MAX_DELAY_QUARTERS = 1 / 30  # readers with 12 steps per quarter find delayed notes at their places
MAX_DISTANCE_FROM_C = 1  # signs of the estimated key signature of music that a MIDI file says is in C major
MAX_OVERLAP_SHARE = 0.05  # of the notes of a monophonic track may sound into the next note


def read_midi(
    source, *, steps_per_quarter=12, sustain=False, ensemble="piano", solo_track=None
) -> tuple[NoteSequence, Counter]:
    """Read a MIDI file as notes on a grid.

    Parameters
    ----------
    source : path, or bytes of a MIDI file
    steps_per_quarter : int
        The grid.
    sustain : bool
        Lengthen notes to the release of the sustain pedal.
    ensemble : str
        A name in `clara.music.instruments.ENSEMBLES`; with "piano" all tracks become one part.
    solo_track : int or str, optional
        The solo track among the tracks with notes: its number from 1, or its name.

    Returns
    -------
    notes : NoteSequence
    losses : Counter
        `drums` (notes left out), `unended` (notes that last to the end of their track), `merged`
        and `cut` (see `clara.music.notes.build_notes`), `moved` and `folded` (see
        `clara.music.instruments.move_into_range`).

    Raises
    ------
    BadMusicFile
        If the file is not MIDI, empty, truncated or beyond what symusic parses.
    NoNotes
        If it holds no pitched note.
    TooLong
        If it exceeds MAX_BYTES, MAX_NOTES, MAX_QUARTERS, MAX_TIME_SIGNATURES or the limits of
        `clara.music.midi_scan`.
    WrongEnsemble
        If its tracks are not those of the ensemble.
    """
    name, data = _read_bytes(source)
    score = _parse(data, name)
    tracks = [track for track in score.tracks if len(track.notes)]
    losses = Counter(drums=sum(len(track.notes) for track in tracks if track.is_drum))
    tracks = [track for track in tracks if not track.is_drum]
    if not tracks:
        raise NoNotes(f"{name}: no notes in it{' but drums' * (losses['drums'] > 0)}")
    if sum(len(track.notes) for track in tracks) > MAX_NOTES:
        raise TooLong(f"{name}: more than {MAX_NOTES:,} notes")

    columns = [track.notes.numpy() for track in tracks]
    track_parts = _assign_parts(tracks, columns, ensemble, solo_track, name)
    part = np.repeat(np.array(track_parts, dtype=np.int64), [len(c["time"]) for c in columns])
    start, end, pitch = _note_columns(columns)
    unended = end - start >= UNENDED_TICKS
    losses["unended"] = int(unended.sum())
    end[unended] -= UNENDED_TICKS
    ticks_per_quarter, last_tick = score.ticks_per_quarter, int(end.max())
    if start.min() < 0 or last_tick > MAX_QUARTERS * ticks_per_quarter:
        raise TooLong(f"{name}: longer than {MAX_QUARTERS:,} quarters")
    if sustain:
        for index in set(track_parts):
            pedals = [pedal for track, p in zip(tracks, track_parts) if p == index for pedal in track.pedals]
            end[part == index] = _sustain(end[part == index], pedals)

    time_signatures = _time_signatures(score, steps_per_quarter, last_tick)
    if len(time_signatures) > MAX_TIME_SIGNATURES:
        raise TooLong(f"{name}: more than {MAX_TIME_SIGNATURES:,} changes of the time signature")

    notes, build_losses = build_notes(
        quantize(start, ticks_per_quarter, steps_per_quarter),
        quantize(end, ticks_per_quarter, steps_per_quarter),
        pitch,
        part,
        steps_per_quarter=steps_per_quarter,
        qpm=_mean_qpm(score.tempos, int(end.max()), ticks_per_quarter),
        time_signatures=time_signatures,
        instruments=ENSEMBLES[ensemble] if ensemble != "piano" else ("p", "v"),
    )
    notes, range_losses = move_into_range(notes) if ensemble == "chamber" else (notes, Counter())
    if not len(score.time_signatures):
        notes = with_estimated_time_signature(notes)
    notes = replace(notes, key_signatures=_key_signatures(score, notes))
    return notes, +(losses + build_losses + range_losses)


@dataclass(frozen=True, eq=False)
class MidiDescription:
    """Properties of a MIDI file that its notes on a grid do not show.

    Attributes
    ----------
    onset_ticks : int64 array, shape (n,)
        Unrounded onsets in ticks, in no order, without drums.
    onset_seconds : float64 array, shape (n,)
        The same onsets in seconds, by all tempo changes.
    pitches, track_of_note : int64 arrays, shape (n,)
        MIDI numbers, and positions in `tracks`.
    ticks_per_quarter : int
    tracks : tuple of (name, General MIDI program)
        The tracks with pitched notes.
    has_time_signature : bool
    """

    onset_ticks: np.ndarray
    onset_seconds: np.ndarray
    pitches: np.ndarray
    track_of_note: np.ndarray
    ticks_per_quarter: int
    tracks: tuple
    has_time_signature: bool


def describe_midi(source) -> MidiDescription:
    """Read the unrounded onsets and the tracks of a MIDI file, and whether it has a time signature.

    Parameters
    ----------
    source : path, or bytes of a MIDI file

    Raises
    ------
    BadMusicFile, NoNotes, TooLong
        As `read_midi`; the numbers of notes and quarters are not checked.
    """
    name, data = _read_bytes(source)
    score = _parse(data, name)
    tracks = [track for track in score.tracks if len(track.notes) and not track.is_drum]
    if not tracks:
        raise NoNotes(f"{name}: no notes in it")
    onset_ticks, _, pitches = _note_columns([track.notes.numpy() for track in tracks])
    return MidiDescription(
        onset_ticks,
        _ticks_to_seconds(onset_ticks, score.tempos, score.ticks_per_quarter),
        pitches,
        np.repeat(np.arange(len(tracks)), [len(track.notes) for track in tracks]),
        score.ticks_per_quarter,
        tuple((_track_name(track), track.program) for track in tracks),
        len(score.time_signatures) > 0,
    )


def _read_bytes(source):
    """Return a name for messages and the bytes of the file."""
    if isinstance(source, bytes):
        return "MIDI bytes", source
    try:
        with open(source, "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise TooLong(f"{source}: larger than {MAX_BYTES >> 20} MiB")
            return str(source), file.read()
    except OSError as e:
        raise BadMusicFile(f"{source}: cannot be read ({e.strerror})") from e


def parse_midi(source) -> ScoreTick:
    """Return a MIDI file as symusic reads it; a note that never ends lasts `UNENDED_TICKS` longer than its track.

    Raises
    ------
    BadMusicFile, TooLong
        As `read_midi`.
    """
    name, data = _read_bytes(source)
    return _parse(data, name)


def _parse(data, name):
    """Return the symusic score; a key that is never released ends UNENDED_TICKS after its track."""
    data = repair_midi(data, name)
    try:
        score = Score.from_midi(data)
    except (RuntimeError, ValueError) as e:
        raise BadMusicFile(f"{name}: broken MIDI ({str(e)[:120]})") from e
    if score.ticks_per_quarter < 1:
        raise BadMusicFile(f"{name}: a resolution of {score.ticks_per_quarter} ticks per quarter")
    return score


def _note_columns(columns):
    """Concatenate symusic's columns of all tracks into start, end (ticks) and pitch."""
    start, duration, pitch = (
        np.concatenate([c[name] for c in columns], dtype=np.int64) for name in ("time", "duration", "pitch")
    )
    return start, start + duration, pitch


def _assign_parts(tracks, columns, ensemble, solo_track, name):
    """Return the part of each track."""

    def check_monophonic(track_columns):
        start, end, _ = _note_columns([track_columns])
        return is_monophonic(start, end)

    described = [
        (_track_name(track), track.program, lambda c=c: check_monophonic(c)) for track, c in zip(tracks, columns)
    ]
    try:
        return assign_parts(described, ensemble, solo_track)
    except WrongEnsemble as e:
        raise WrongEnsemble(f"{name}: {e}") from e


def _track_name(track):
    """Return the name of a track, or nothing if it is not UTF-8, which symusic refuses."""
    try:
        return track.name
    except UnicodeDecodeError:
        return ""


def is_monophonic(start: np.ndarray, end: np.ndarray) -> bool:
    """Return whether few notes sound into the next one, by starts and ends of shape (n,)."""
    if len(start) < 2:
        return True
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    return (end[:-1] > start[1:]).mean() <= MAX_OVERLAP_SHARE


def _time_signatures(score, steps_per_quarter, last_tick):
    """Return the time signatures of a symusic score for a `NoteSequence`."""
    columns = score.time_signatures.numpy()
    changes = np.stack([columns[name].astype(np.int64) for name in ("time", "numerator", "denominator")], axis=1)
    changes = changes[np.argsort(changes[:, 0], kind="stable")]
    changes = changes[(changes[:, 0] >= 0) & (changes[:, 0] <= last_tick)].tolist()
    return join_upbeat(quantize_time_signatures(changes, score.ticks_per_quarter, steps_per_quarter), steps_per_quarter)


def _key_signatures(score, notes):
    """Return the key signatures of a symusic score for a `NoteSequence`."""
    if not len(score.key_signatures):
        return ()
    ticks, fifths = (score.key_signatures.numpy()[name].astype(np.int64) for name in ("time", "key"))
    order = np.argsort(ticks, kind="stable")
    steps = quantize(np.maximum(ticks[order], 0), score.ticks_per_quarter, notes.steps_per_quarter)
    changes = zip(steps.tolist(), fifths[order].tolist())
    signatures = collect_key_signatures(change for change in changes if change[0] < notes.n_steps)
    if signatures == ((0, 0),) and abs(estimate_key_signature(notes)) > MAX_DISTANCE_FROM_C:
        return ()
    return signatures


def _sustain(end, pedals):
    """Move note ends that fall under a pedal to its release; all in ticks."""
    if not pedals:
        return end
    down, up = np.array(sorted((p.time, p.time + p.duration) for p in pedals), dtype=np.int64).T
    up = np.maximum.accumulate(up)
    under = np.searchsorted(down, end, side="right") - 1
    return np.where(under >= 0, np.maximum(end, up[under]), end)


def _ticks_to_seconds(ticks, tempos, ticks_per_quarter):
    """Return times in seconds, by all tempo changes."""
    columns = tempos.numpy()
    changes = np.concatenate([[0], columns["time"]], dtype=np.int64)
    microseconds = np.concatenate([[float(DEFAULT_MICROSECONDS_PER_QUARTER)], columns["mspq"]])
    order = np.argsort(changes, kind="stable")
    changes, microseconds = changes[order], microseconds[order]
    elapsed = np.concatenate([[0], np.cumsum(np.diff(changes) * microseconds[:-1])])  # at each change
    latest = np.searchsorted(changes, ticks, side="right") - 1
    return (elapsed[latest] + (ticks - changes[latest]) * microseconds[latest]) / ticks_per_quarter / 1e6


def _mean_qpm(tempos, last_tick, ticks_per_quarter):
    """Return the one tempo at which last_tick comes as late as with all tempo changes."""
    if len(tempos) == 1 and tempos[0].time == 0:
        return 60e6 / tempos[0].mspq if tempos[0].mspq > 0 else 120.0
    columns = tempos.numpy()
    ticks = np.minimum(np.concatenate([[0], columns["time"], [last_tick]], dtype=np.int64), last_tick)
    microseconds = np.concatenate([[float(DEFAULT_MICROSECONDS_PER_QUARTER)], columns["mspq"]])
    if (np.diff(ticks) < 0).any():
        order = np.argsort(ticks[:-1], kind="stable")
        ticks[:-1], microseconds = ticks[:-1][order], microseconds[order]
    span = np.diff(ticks)
    mean = float((span * microseconds).sum() / span.sum()) if span.sum() else microseconds[-1]
    return 60e6 / mean if mean > 0 else 120.0


def write_midi(
    notes: NoteSequence,
    path,
    flat: bool = False,
    expression: Expression | None = None,
    spread_chords: bool = False,
) -> None:
    """Write notes as a MIDI file of format 1, atomically.

    Parameters
    ----------
    notes : NoteSequence
    path : path
        The file; its folder must exist.
    flat : bool
        Give all notes the same velocity (default: accents, see `clara.music.accents`).
    expression : Expression, optional
        Velocities, tempo map and pedal, instead of accents and one tempo.
    spread_chords : bool
        Write notes as late as the expression says, but by at most MAX_DELAY_QUARTERS (default: at their places).

    Raises
    ------
    CannotWrite
        If the file cannot be written.
    """
    write_atomically(path, to_symusic_score(notes, flat, expression, spread_chords).dumps_midi())


def to_symusic_score(
    notes: NoteSequence, flat: bool = False, expression: Expression | None = None, spread_chords: bool = False
) -> ScoreTick:
    """Convert notes to a symusic score in ticks, with one track per part; parameters as of `write_midi`."""
    ticks_per_step = max(1, TARGET_TICKS_PER_QUARTER // notes.steps_per_quarter)
    ticks_per_quarter = ticks_per_step * notes.steps_per_quarter
    # Any: symusic's type hints leave open what these calls return
    score: Any = Score(ticks_per_quarter)
    tempos = [(0.0, notes.qpm)] if expression is None else zip(expression.tempo_quarters, expression.tempo_qpm)
    for quarters, qpm in tempos:
        score.tempos.append(Tempo(round(quarters * ticks_per_quarter), mspq=min(max(1, round(60e6 / qpm)), 2**24 - 1)))
    for step, numerator, denominator in split_upbeat(notes.time_signatures, notes.steps_per_quarter):
        score.time_signatures.append(TimeSignature(step * ticks_per_step, numerator, denominator))
    for step, fifths in notes.key_signatures:
        score.key_signatures.append(KeySignature(step * ticks_per_step, fifths, 0))
    velocities = note_velocities(notes, flat) if expression is None else expression.velocity
    start, end = notes.start * ticks_per_step, notes.end * ticks_per_step
    if spread_chords and expression is not None:
        start = np.minimum(start + _delay_ticks(notes, expression, ticks_per_quarter), end - 1)
    columns = (start, end - start, notes.pitch, velocities)
    for part in sorted(set(notes.part.tolist())):
        instrument = INSTRUMENTS[notes.instruments[min(part, len(notes.instruments) - 1)]]
        track: Any = Track(name=instrument.name, program=instrument.program)
        in_part = notes.part == part
        for start, duration, pitch, velocity in zip(*(column[in_part].tolist() for column in columns)):
            track.notes.append(Note(start, duration, pitch, velocity))
        if expression is not None and instrument is INSTRUMENTS["p"]:
            for press, release in np.rint(expression.pedal_quarters * ticks_per_quarter).astype(int).tolist():
                track.controls.append(ControlChange(press, SUSTAIN_PEDAL, PEDAL_DOWN))
                track.controls.append(ControlChange(max(release, press + 1), SUSTAIN_PEDAL, PEDAL_UP))
        score.tracks.append(track)
    return score


def _delay_ticks(notes, expression, ticks_per_quarter):
    """Return how many ticks later than at its place each note sounds, int64 (n,)."""
    if expression.delay_seconds is None:
        return np.zeros(len(notes), dtype=np.int64)
    at = np.searchsorted(expression.tempo_quarters, notes.start / notes.steps_per_quarter, side="right") - 1
    quarters = expression.delay_seconds * expression.tempo_qpm[np.maximum(at, 0)] / 60
    return np.rint(np.minimum(quarters, MAX_DELAY_QUARTERS) * ticks_per_quarter).astype(np.int64)
