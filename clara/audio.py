"""Notes to sound, through symusic's synthesizer and a General MIDI soundfont.

The soundfont is the one that pretty_midi's wheel installs, TimGM6mb, unless another is
named.

Contents: `synthesize`, `write_wav`, `SAMPLE_RATE`.
"""

import importlib.util
import io
import tempfile
import wave
from functools import lru_cache
from pathlib import Path

import numpy as np

from clara.errors import BadSetting
from clara.files import write_whole
from clara.instruments import INSTRUMENTS
from clara.midi import notes_to_score
from clara.soundfonts import in_tune

SAMPLE_RATE = 44_100
PEAK = 0.9  # of full scale, so that nothing clips


def default_soundfont():
    """The path of the soundfont that pretty_midi's wheel holds."""
    return Path(importlib.util.find_spec("pretty_midi").origin).parent / "TimGM6mb.sf2"


@lru_cache(maxsize=2)
def _synthesizer(soundfont):
    """A synthesizer with its soundfont loaded."""
    from symusic import Synthesizer

    if not Path(soundfont).is_file():
        raise BadSetting(f"{soundfont}: no such soundfont")
    with tempfile.TemporaryDirectory() as folder:  # it takes a path, not bytes
        mended = Path(folder, "in_tune.sf2")
        mended.write_bytes(in_tune(Path(soundfont).read_bytes(), sorted({i.program for i in INSTRUMENTS.values()})))
        return Synthesizer(str(mended), SAMPLE_RATE)


def synthesize(notes, soundfont=None):
    """Render notes.

    Parameters
    ----------
    notes : NoteSequence
    soundfont : path of an .sf2 file, or None for the installed one

    Returns
    -------
    float32 array (n_samples, 2) at SAMPLE_RATE, loudest at 0.9

    Raises
    ------
    BadSetting
        If the soundfont is not there, or is none.
    """
    if not len(notes):
        return np.zeros((round(notes.seconds * SAMPLE_RATE), 2), dtype=np.float32)
    sound = np.asarray(_synthesizer(str(soundfont or default_soundfont())).render(notes_to_score(notes), stereo=True)).T
    loudest = np.abs(sound).max() if sound.size else 0.0
    return (sound * (PEAK / loudest) if loudest > 0 else sound).astype(np.float32)


def write_wav(sound, path):
    """Write sound from `synthesize` as 16-bit WAV; raises CannotWrite."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as w:
        w.setnchannels(sound.shape[1])
        w.setsampwidth(2)
        w.setframerate(SAMPLE_RATE)
        w.writeframes((sound * 32767).astype("<i2").tobytes())
    write_whole(path, buffer.getvalue())
