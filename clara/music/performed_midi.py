"""Read how a MIDI file is played: `Expression` beside its notes."""

import numpy as np

from clara.music.expression import HIGHEST_QPM, LOWEST_QPM, Expression
from clara.music.midi import DEFAULT_MICROSECONDS_PER_QUARTER, parse_midi, read_midi
from clara.music.notes import NoteSequence, quantize

PERFORMED_STEPS_PER_QUARTER = 48  # holds 64th notes and 32nd triplets


def read_performed_midi(
    source, *, steps_per_quarter: int = PERFORMED_STEPS_PER_QUARTER, ensemble: str = "piano"
) -> tuple[NoteSequence, Expression]:
    """Read a MIDI file as notes on a grid and the expression that it carries.

    Of notes that the grid merges the loudest counts. Pedals of all tracks become one.

    Parameters
    ----------
    source : path, or bytes of a MIDI file
    steps_per_quarter : int
        The grid.
    ensemble : str
        A name in `clara.music.instruments.ENSEMBLES`.

    Raises
    ------
    BadMusicFile, NoNotes, TooLong, WrongEnsemble
        As `clara.music.midi.read_midi`.
    """
    notes, _ = read_midi(source, steps_per_quarter=steps_per_quarter, ensemble=ensemble)
    score = parse_midi(source)
    tempo_quarters, tempo_qpm = _tempo_map(score)
    velocity = _velocities(score, notes)
    return notes, Expression(velocity, tempo_quarters, tempo_qpm, _pedals(score))


def _velocities(score, notes):
    """Return the velocity of each note of the grid, int64 (n,)."""
    columns = [track.notes.numpy() for track in score.tracks if len(track.notes) and not track.is_drum]
    start, pitch, velocity = (
        np.concatenate([c[name] for c in columns], dtype=np.int64) for name in ("time", "pitch", "velocity")
    )
    key = quantize(start, score.ticks_per_quarter, notes.steps_per_quarter) * 128 + pitch
    order = np.lexsort((velocity, key))
    key, velocity = key[order], velocity[order]
    loudest = np.searchsorted(key, notes.start * 128 + notes.pitch, side="right") - 1  # the last one of its key
    return np.clip(velocity[np.maximum(loudest, 0)], 1, 127)


def _tempo_map(score):
    """Return where tempos begin, in quarters, and the tempos; of tempos at one place the last counts."""
    columns = score.tempos.numpy()
    ticks = np.concatenate([[0], columns["time"]], dtype=np.int64)
    microseconds = np.concatenate([[float(DEFAULT_MICROSECONDS_PER_QUARTER)], columns["mspq"]])
    order = np.argsort(ticks, kind="stable")
    ticks, microseconds = np.maximum(ticks[order], 0), microseconds[order]
    is_last = np.append(np.diff(ticks) > 0, True)
    qpm = np.clip(60e6 / np.maximum(microseconds, 1), LOWEST_QPM, HIGHEST_QPM)
    return ticks[is_last] / score.ticks_per_quarter, qpm[is_last]


def _pedals(score):
    """Return where the pedal is pressed and released in any track, in quarters, float64 (k, 2)."""
    spans = sorted((p.time, p.time + p.duration) for track in score.tracks for p in track.pedals)
    merged: list[list[int]] = []
    for press, release in spans:
        if merged and press < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], release)
        else:
            merged.append([press, release])
    return np.array(merged, dtype=np.float64).reshape(-1, 2) / score.ticks_per_quarter
