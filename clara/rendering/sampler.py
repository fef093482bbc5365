"""Play notes with the sounds of a soundfont: loudness, brightness, dampers and the sustain pedal.

symusic 0.5.9 ignores velocities and pedals, and cuts a sound off where its key is released. So it only plays one long
note for each key, and the notes of that key are mixed from it here:

- The amplitude follows the square of the velocity (SoundFont Technical Specification 2.04, 8.4.1).
- Softer notes are darker: a low-pass filter closes by an octave for each 24 steps of velocity.
- A damper stops a key within half a second in the bass and a sixth of a second in the treble, and the highest keys have
  no dampers. While the pedal is down, notes ring on until it is released, or until their key is struck again.
- Strings fade, where the soundfont would loop for ever.
"""

from threading import Lock
from typing import Any

import numpy as np
from symusic import Note, Score, Tempo, Track

from clara.jit import compiled, float32_2d, float64, float64_1d, int64_1d
from clara.music.expression import Expression, sounding_ends
from clara.music.instruments import INSTRUMENTS, Instrument
from clara.music.notes import NoteSequence

SAMPLE_RATE = 44_100  # samples per second
MIDDLE_C = 60
LOUDEST = 127
OPEN_HERTZ = 13_000.0  # cutoff of the low-pass filter at the highest velocity
VELOCITIES_PER_OCTAVE = 24.0  # by which the cutoff falls
MIN_HARMONICS = 3.0  # of a key that the filter leaves, however soft the note is
MAX_RECORDING_SECONDS = 60.0  # a longer note is silent after it
HIGHEST_DAMPER = 88  # the keys above it have none
# Seconds in which a sound falls by 60 dB, at the middle of the keyboard. They halve over so many semitones upwards.
DAMPED_SECONDS, DAMPED_HALVING = 0.3, 40.0
FREE_SECONDS, FREE_HALVING = 18.0, 26.0
SILENT = 1e-5  # of full scale
SYNTHESIZER_LOCK = Lock()  # threads share the synthesizer of a soundfont
LN_60_DB = float(np.log(1000.0))


def render_notes(notes: NoteSequence, expression: Expression, synthesizer: Any, ring_seconds: float) -> np.ndarray:
    """Return the sound of notes, float32 (n_samples, 2), of any loudness.

    Parameters
    ----------
    notes : NoteSequence, not empty
    expression : Expression
    synthesizer : symusic.Synthesizer
        At SAMPLE_RATE.
    ring_seconds : float
        Length of the sound after the last note ends.
    """
    steps = notes.steps_per_quarter
    begin = expression.seconds_at(notes.start / steps)
    if expression.delay_seconds is not None:
        begin = begin + expression.delay_seconds
    end = np.maximum(expression.seconds_at(sounding_ends(notes, expression)), begin + 0.01)
    sound = np.zeros((round((end.max() + ring_seconds) * SAMPLE_RATE), 2), dtype=np.float32)
    for part in np.unique(notes.part).tolist():
        instrument = INSTRUMENTS[notes.instruments[min(part, len(notes.instruments) - 1)]]
        for pitch in np.unique(notes.pitch[notes.part == part]).tolist():
            is_key = (notes.part == part) & (notes.pitch == pitch)
            _mix_key(sound, synthesizer, instrument, pitch, begin[is_key], end[is_key], expression.velocity[is_key])
    return sound


def _mix_key(sound, synthesizer, instrument, pitch, begin, end, velocity):
    """Add the notes of one key to a sound; they are sorted by time."""
    end = np.minimum(end, np.append(np.maximum(begin[1:], begin[:-1] + 0.01), np.inf))
    damped, free = damped_seconds(instrument, pitch), free_seconds(instrument, pitch)
    held = np.rint((end - begin) * SAMPLE_RATE).astype(np.int64)
    seconds = min(float((end - begin).max()) + min(damped, free), MAX_RECORDING_SECONDS)
    _mix(
        _record_key(synthesizer, instrument.program, pitch, seconds),
        np.rint(begin * SAMPLE_RATE).astype(np.int64),
        held,
        (velocity / LOUDEST) ** 2.0,
        low_pass_weights(pitch, velocity),
        _factor_per_sample(free),
        _factor_per_sample(damped),
        sound,
    )


def _record_key(synthesizer, program, pitch, seconds):
    """Return how a key sounds while it is held, float32 (n_samples, 2)."""
    score: Any = Score(1000)  # a tick is a millisecond
    score.tempos.append(Tempo(0, mspq=1_000_000))
    track: Any = Track(program=program)
    track.notes.append(Note(0, max(1, round(1000 * seconds)), pitch, LOUDEST))
    score.tracks.append(track)
    with SYNTHESIZER_LOCK:
        return np.ascontiguousarray(np.asarray(synthesizer.render(score, stereo=True)).T, dtype=np.float32)


@compiled(float32_2d, int64_1d, int64_1d, float64_1d, float64_1d, float64, float64, float32_2d)
def _mix(recording, begin, held, gain, weight, free, damped, sound):
    for i in range(len(begin)):
        level, left, right = gain[i], 0.0, 0.0
        for t in range(min(len(recording), len(sound) - begin[i])):
            level *= free if t < held[i] else damped
            if level < SILENT:
                break
            left += weight[i] * (recording[t, 0] - left)
            right += weight[i] * (recording[t, 1] - right)
            sound[begin[i] + t, 0] += level * left
            sound[begin[i] + t, 1] += level * right


def low_pass_weights(pitch: int, velocity: np.ndarray) -> np.ndarray:
    """Return the weight of each new sample in a low-pass filter of the first order, float64 (n,)."""
    lowest = MIN_HARMONICS * 440 * 2 ** ((pitch - 69) / 12)
    cutoff = np.clip(OPEN_HERTZ * 2 ** ((velocity - LOUDEST) / VELOCITIES_PER_OCTAVE), lowest, max(OPEN_HERTZ, lowest))
    return 1 - np.exp(-2 * np.pi * cutoff / SAMPLE_RATE)


def damped_seconds(instrument: Instrument, pitch: int) -> float:
    """Return in how many seconds a released key falls by 60 dB."""
    if instrument is INSTRUMENTS["p"] and pitch > HIGHEST_DAMPER:
        return free_seconds(instrument, pitch)
    return DAMPED_SECONDS * 2 ** ((MIDDLE_C - pitch) / DAMPED_HALVING)


def free_seconds(instrument: Instrument, pitch: int) -> float:
    """Return in how many seconds a held key falls by 60 dB, beside what the soundfont does; infinite if it is bowed."""
    if instrument is not INSTRUMENTS["p"]:
        return np.inf
    return FREE_SECONDS * 2 ** ((MIDDLE_C - pitch) / FREE_HALVING)


def _factor_per_sample(seconds):
    """Return the factor of the amplitude from sample to sample that takes so many seconds for 60 dB."""
    return float(np.exp(-LN_60_DB / (seconds * SAMPLE_RATE)))
