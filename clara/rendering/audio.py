"""Notes to sound, through symusic's synthesizer and a General MIDI soundfont.

The soundfont is the one that pretty_midi's wheel installs, TimGM6mb, unless another is
named. symusic 0.5.9 gives every note the same loudness whatever its velocity, so notes of each velocity
are rendered by themselves and weighed. Pieces are made equally loud, as far as none clips: scaled to the same peak they differed
by 10 dB, the thinner ones being the louder.

FLAC and MP3 are written by libsndfile, which soundfile's wheel holds.
"""

import importlib.util
import io
import tempfile
import wave
from functools import lru_cache
from pathlib import Path

import numpy as np

from clara.errors import BadSetting
from clara.files import write_atomically
from clara.music.accents import note_velocities
from clara.music.instruments import INSTRUMENTS
from clara.music.midi import to_symusic_score
from clara.music.notes import select
from clara.rendering.soundfonts import fix_root_keys

SAMPLE_RATE = 44_100
PEAK = 0.9  # of full scale, so that nothing clips
LOUDNESS = 0.1  # root mean square where it sounds, of full scale: what most pieces reach below that peak
SOUNDS = 0.1  # of the loudest tenth of a second, from which on one counts as sounding
MEDIA_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg"}
AUDIO_FORMATS = tuple(MEDIA_TYPES)
MP3_QUALITY = 0.4, 0.8  # of variable bit rates, 0 the best: of a file, and of what goes into a page, 48 kbit/s in mono


def default_soundfont():
    """The path of the soundfont that pretty_midi's wheel holds."""
    return Path(importlib.util.find_spec("pretty_midi").origin).parent / "TimGM6mb.sf2"


@lru_cache(maxsize=2)
def _synthesizer(soundfont):
    """A synthesizer with its soundfont loaded."""
    from symusic import Synthesizer

    try:
        data = Path(soundfont).read_bytes()
    except OSError as e:
        raise BadSetting(f"{soundfont}: no such soundfont ({e.strerror})") from e
    try:
        data = fix_root_keys(data, sorted({i.program for i in INSTRUMENTS.values()}))
        with tempfile.TemporaryDirectory() as folder:  # it takes a path, not bytes
            mended = Path(folder, "in_tune.sf2")
            mended.write_bytes(data)
            return Synthesizer(str(mended), SAMPLE_RATE)
    except (BadSetting, RuntimeError, ValueError) as e:
        raise BadSetting(f"{soundfont}: {e}") from e


def synthesize(notes, soundfont=None, flat=False):
    """Render notes.

    Parameters
    ----------
    notes : NoteSequence
    soundfont : path of an .sf2 file, or None for the installed one
    flat : no accents, see `clara.music.accents.note_velocities`

    Returns
    -------
    float32 array (n_samples, 2) at SAMPLE_RATE, as loud as any other piece, 0.9 at most

    Raises
    ------
    BadSetting
        If the soundfont is not there, or is none.
    """
    if not len(notes):
        return np.zeros((SAMPLE_RATE // 10, 2), dtype=np.float32)  # not nothing, which is no FLAC and no MP3
    sound = _rendered(notes, _synthesizer(str(soundfont or default_soundfont())), flat)
    return (sound * _gain(sound)).astype(np.float32)


def _rendered(notes, synthesizer, flat):
    """Sound (n_samples, 2) of any loudness, velocities weighed by the square as soundfonts have it."""
    struck = note_velocities(notes, flat)
    layers = [
        np.asarray(synthesizer.render(to_symusic_score(select(notes, struck == v), flat), stereo=True)).T
        * np.float32((v / 127) ** 2)
        for v in np.unique(struck)
    ]
    sound = max(layers, key=len)
    for layer in layers:
        if layer is not sound:
            sound[: len(layer)] += layer
    return sound


def _gain(sound):
    """What makes sound (n_samples, 2) as loud as LOUDNESS, or less where it would pass PEAK."""
    peak = float(np.abs(sound).max()) if sound.size else 0.0
    if not peak:
        return 1.0
    bounds = np.arange(0, len(sound), SAMPLE_RATE // 10)
    power = np.add.reduceat((sound.astype(np.float64) ** 2).mean(1), bounds) / np.diff([*bounds, len(sound)])
    return min(PEAK / peak, LOUDNESS / np.sqrt(power[power >= SOUNDS**2 * power.max()].mean()))


def has_mp3():
    """Whether this machine's libsndfile writes MP3; older ones that a distribution brings may not."""
    import soundfile

    return "MP3" in soundfile.available_formats()


def encode_audio(sound, form, small=False):
    """Sound as the bytes of a file.

    Parameters
    ----------
    sound : from `synthesize`
    form : in FORMATS
    small : of MP3, in mono and with fewer bits, for a page that holds many

    Returns
    -------
    bytes

    Raises
    ------
    BadSetting
        For another form, and for MP3 where libsndfile does not write it.
    """
    _check_form(form)
    if form == "wav":
        return _wav(sound)
    import soundfile

    buffer, told = io.BytesIO(), {"subtype": "PCM_16"}
    if form == "mp3":
        told = {"subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE", "compression_level": MP3_QUALITY[small]}
    soundfile.write(buffer, sound.mean(1) if small else sound, SAMPLE_RATE, format=form.upper(), **told)
    return buffer.getvalue()


def _check_form(form):
    """Raise BadSetting for a form that cannot be written."""
    if form not in AUDIO_FORMATS:
        raise BadSetting(f"no audio of the form {form!r}; there are {', '.join(AUDIO_FORMATS)}")
    if form == "mp3" and not has_mp3():
        raise BadSetting("this machine's libsndfile writes no MP3; version 1.1 does, and soundfile's wheel holds it")


def check_audio_settings(form, soundfont=None):
    """Raise what `encode_audio` and `synthesize` would for a form and a soundfont, before work is put into the notes."""
    _check_form(form)
    _synthesizer(str(soundfont or default_soundfont()))


def _wav(sound):
    """A 16-bit WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as w:
        w.setnchannels(sound.shape[1])
        w.setsampwidth(2)
        w.setframerate(SAMPLE_RATE)
        w.writeframes((sound * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def write_wav(sound, path):
    """Write sound from `synthesize` as 16-bit WAV; raises CannotWrite."""
    write_atomically(path, encode_audio(sound, "wav"))
