"""Align performed MIDI files to the beat: the same notes and dynamics, with ticks that name beats and bars.

A recording without a metronome has ticks that mean nothing but time. `align_midi` finds its beats and writes a file in
which notes begin on steps of the grid (12 to a quarter), and the tempo map holds the player's tempo. All other
programs read it as any MIDI file.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from symusic import ControlChange, Note, Score, Tempo, TimeSignature, Track

from clara.data.onset_grid import PERFORMED_MISFIT, file_misfit
from clara.errors import BadSetting, NoNotes, TooLong
from clara.listening.clusters import HeardNotes
from clara.listening.truth import STEPS_PER_QUARTER, tempo_clock
from clara.music.bars import split_upbeat
from clara.music.expression import HIGHEST_QPM, LOWEST_QPM
from clara.music.midi import MAX_NOTES, MAX_QUARTERS, MIDI_SUFFIXES, SUSTAIN_PEDAL, parse_midi
from clara.music.midi_scan import UNENDED_TICKS

if TYPE_CHECKING:
    from clara.listening.beats import HeardBeats
    from clara.listening.network import BeatModel

AUTO, YES, NO = PERFORMED_CHOICES = ("auto", "yes", "no")
TICKS_PER_STEP = 40
TICKS_PER_QUARTER = TICKS_PER_STEP * STEPS_PER_QUARTER
PEDAL_DOWN, PEDAL_UP = 127, 0


@dataclass(frozen=True, eq=False)
class Alignment:
    """A performed file and its beats.

    Attributes
    ----------
    midi : bytes
        A MIDI file with the same notes on the grid.
    beats : HeardBeats
    """

    midi: bytes
    beats: "HeardBeats"

    def describe(self) -> str:
        """Return the tempo and the time signatures in words, such as "72 quarters per minute, 3/4"."""
        signatures = dict.fromkeys(f"{n}/{d}" for _, n, d in self.beats.time_signatures)
        qpm = float(np.median(self.beats.beat_qpm))
        return f"about {qpm:.0f} quarters per minute, {', '.join(signatures)}"


def align_if_performed(source: str | Path, performed: str = AUTO) -> Alignment | None:
    """Return the alignment of a performed MIDI file, or None for a file that stays as it is.

    Parameters
    ----------
    source : str or Path
        A file of any format; only MIDI files can be performed.
    performed : str
        "auto" aligns a MIDI file that fits no beat grid, by `clara.data.onset_grid.grid_misfit`; "yes" aligns every
        MIDI file; "no" none.

    Raises
    ------
    BadSetting
        If `performed` is none of these.
    BadMusicFile, NoNotes, TooLong
        If the file cannot be read.
    """
    if performed not in PERFORMED_CHOICES:
        raise BadSetting(f"performed is one of {', '.join(PERFORMED_CHOICES)}, not {performed!r}")
    is_midi_file = Path(source).suffix.lower() in MIDI_SUFFIXES and Path(source).is_file()
    if performed == NO or not is_midi_file or (performed == AUTO and not is_performed(source)):
        return None
    state = Path(source).stat()
    return _align_file(str(source), state.st_mtime_ns, state.st_size)


def is_performed(source: str | Path) -> bool:
    """Return whether the onsets of a MIDI file fit no beat grid; raise ClaraError for a broken one."""
    return file_misfit(source) > PERFORMED_MISFIT


@lru_cache(maxsize=2)
def _align_file(path, modified, size):
    """Return the alignment of a file; notes and expression of a prompt are read one after the other."""
    return align_midi(path)


def align_midi(source, model: "BeatModel | None" = None) -> Alignment:
    """Find the beats of a MIDI file by its seconds alone, and write its notes on them.

    Silence before the first beat is left out, and controllers other than the sustain pedal.

    Parameters
    ----------
    source : path, or bytes of a MIDI file
    model : BeatModel, optional
        (default: the one that comes with Clara)

    Raises
    ------
    BadMusicFile
        If the file is not MIDI, or broken.
    NoNotes
        If it holds no pitched note.
    TooLong
        If it has more than `MAX_NOTES` notes, or lasts more than `MAX_QUARTERS` beats.
    MissingModel, CheckpointMismatch
        If the model that comes with Clara cannot be loaded.
    """
    from clara.listening.beats import track_beats  # imports torch

    score = parse_midi(source)
    name = "MIDI bytes" if isinstance(source, bytes) else str(source)
    columns = [_note_columns(track) for track in score.tracks]
    n_notes = sum(len(c[0]) for c, track in zip(columns, score.tracks) if not track.is_drum)
    if not n_notes:
        raise NoNotes(f"{name}: no notes in it")
    if n_notes > MAX_NOTES:
        raise TooLong(f"{name}: more than {MAX_NOTES:,} notes")
    clock = _Clock(score)
    pitched = [c for c, track in zip(columns, score.tracks) if not track.is_drum]
    start, end, pitch, velocity = (np.concatenate(parts) for parts in zip(*pitched))
    order = np.lexsort((pitch, start))
    onset, end_seconds = clock(start[order]), clock(end[order])
    notes = HeardNotes(onset, np.maximum(end_seconds, onset), pitch[order], velocity[order])
    beats = track_beats(notes, model)
    if beats.beat_steps[-1] > MAX_QUARTERS * STEPS_PER_QUARTER:
        raise TooLong(f"{name}: longer than {MAX_QUARTERS:,} quarters")
    return Alignment(_write(score, columns, clock, beats, beats.note_steps[np.argsort(order)]), beats)


class _Clock:
    """From ticks to seconds."""

    def __init__(self, score):
        self._seconds_at, self._ticks_per_quarter = tempo_clock(score), score.ticks_per_quarter

    def __call__(self, ticks):
        return self._seconds_at(np.asarray(ticks, dtype=np.float64) / self._ticks_per_quarter)


def _note_columns(track):
    """Return starts, ends, pitches and velocities of a track; notes that never end last to its end."""
    columns = track.notes.numpy()
    start, length = columns["time"].astype(np.int64), columns["duration"].astype(np.int64)
    length = np.where(length >= UNENDED_TICKS, length - UNENDED_TICKS, length)
    return start, start + length, columns["pitch"].astype(np.int64), columns["velocity"].astype(np.int64)


def _write(score, columns, clock, beats, note_steps):
    """Return the bytes of a file whose notes begin on the steps that were found."""
    # Any: symusic's type hints leave open what these calls return
    aligned: Any = Score(TICKS_PER_QUARTER)
    for step, qpm in zip(beats.beat_steps[:-1].tolist(), beats.beat_qpm.tolist()):
        mspq = round(60e6 / min(max(qpm, LOWEST_QPM), HIGHEST_QPM))
        aligned.tempos.append(Tempo(step * TICKS_PER_STEP, mspq=mspq))
    for step, numerator, denominator in split_upbeat(beats.time_signatures, STEPS_PER_QUARTER):
        aligned.time_signatures.append(TimeSignature(step * TICKS_PER_STEP, numerator, denominator))
    first = 0
    for track, (begin, end, pitch, velocity) in zip(score.tracks, columns):
        if track.is_drum:
            begin_ticks = _ticks(beats, clock(begin))
        else:
            begin_ticks = note_steps[first : first + len(begin)] * TICKS_PER_STEP
            first += len(begin)
        end_ticks = np.maximum(_ticks(beats, clock(end)), begin_ticks + TICKS_PER_STEP)
        copy: Any = Track(name=_name(track), program=track.program, is_drum=track.is_drum)
        for values in zip(*(c.tolist() for c in (begin_ticks, end_ticks - begin_ticks, pitch, velocity))):
            copy.notes.append(Note(*values))
        for pedal in track.pedals:
            press, release = _ticks(beats, clock(np.array([pedal.time, pedal.time + pedal.duration]))).tolist()
            copy.controls.append(ControlChange(press, SUSTAIN_PEDAL, PEDAL_DOWN))
            copy.controls.append(ControlChange(max(release, press + 1), SUSTAIN_PEDAL, PEDAL_UP))
        aligned.tracks.append(copy)
    return aligned.dumps_midi()


def _ticks(beats, seconds):
    """Return ticks of times in seconds, at least 0."""
    return np.maximum(np.rint(beats.quarters_at(seconds) * TICKS_PER_QUARTER), 0).astype(np.int64)


def _name(track):
    """Return the name of a track, or nothing if it is not UTF-8."""
    try:
        return track.name
    except UnicodeDecodeError:
        return ""
