"""Notes to audio, through symusic's synthesizer and a General MIDI soundfont.

The default soundfont is TimGM6mb, which pretty_midi's wheel installs; `clara.rendering.sampler` plays it. All pieces
are made equally loud, as far as none clips: scaled to the same peak they differ by 10 dB, and the thin ones are the
loudest.

libsndfile, which comes with soundfile's wheel, writes FLAC and MP3.
"""

import importlib.util
import io
import tempfile
import wave
from functools import lru_cache
from pathlib import Path

import numpy as np

from clara.errors import BadSetting, TooLong
from clara.music.expression import Expression, unperformed
from clara.music.instruments import INSTRUMENTS
from clara.music.notes import NoteSequence
from clara.rendering.sampler import SAMPLE_RATE, render_notes
from clara.rendering.soundfonts import fix_root_keys

MAX_SECONDS = 1200  # a longer sound is refused: each minute takes 20 MB of memory while it is rendered
BLOCK_SAMPLES = SAMPLE_RATE // 10  # a block in which loudness is measured
RING_SECONDS = 2  # after the end of the last note
PEAK = 0.9  # of full scale, so that nothing clips
LOUDNESS = 0.1  # root mean square of the sounding blocks, of full scale; most pieces reach it below PEAK
SOUNDING = 0.1  # a block counts as sounding if its root mean square is this share of the loudest block's
MEDIA_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg"}
AUDIO_FORMATS = tuple(MEDIA_TYPES)
# libsndfile's compression level for variable bit rates, 0 is the best quality.
MP3_LEVEL = 0.4
SMALL_MP3_LEVEL = 0.8  # about 48 kbit/s in mono


def default_soundfont() -> Path:
    """Return the path of the soundfont that pretty_midi installs."""
    spec = importlib.util.find_spec("pretty_midi")  # finds the package without importing it
    assert spec is not None and spec.origin is not None, "pretty_midi is a dependency of Clara"
    return Path(spec.origin).parent / "TimGM6mb.sf2"


@lru_cache(maxsize=2)
def _load_synthesizer(soundfont):
    """Return a synthesizer that plays a soundfont."""
    from symusic import Synthesizer

    try:
        data = Path(soundfont).read_bytes()
    except OSError as e:
        raise BadSetting(f"{soundfont}: no such soundfont ({e.strerror})") from e
    try:
        data = fix_root_keys(data, sorted({instrument.program for instrument in INSTRUMENTS.values()}))
        with tempfile.TemporaryDirectory() as folder:  # the synthesizer takes a path, not bytes
            fixed = Path(folder, "fixed.sf2")
            fixed.write_bytes(data)
            return Synthesizer(str(fixed), SAMPLE_RATE)
    except (BadSetting, RuntimeError, ValueError) as e:
        raise BadSetting(f"{soundfont}: {e}") from e


def check_seconds(quarters: float, qpm: float) -> None:
    """Raise TooLong for music that lasts longer than MAX_SECONDS, given its length and tempo."""
    seconds = quarters * 60 / qpm
    if seconds > MAX_SECONDS:
        raise TooLong(
            f"{quarters:g} quarters at {qpm:.3g} quarters per minute last {seconds / 60:,.0f} minutes, and audio is "
            f"rendered up to {MAX_SECONDS / 60:.0f}; choose a faster tempo, less music, or no audio"
        )


def synthesize(
    notes: NoteSequence, soundfont: str | Path | None = None, flat: bool = False, expression: Expression | None = None
) -> np.ndarray:
    """Render notes as sound.

    Parameters
    ----------
    notes : NoteSequence
    soundfont : path, optional
        An .sf2 file (default: the one that pretty_midi installs).
    flat : bool
        Without an expression: play without accents, see `clara.music.accents.note_velocities`.
    expression : Expression, optional
        How the notes are played (default: at one tempo, with accents or flat).

    Returns
    -------
    float32 array (n_samples, 2)
        At SAMPLE_RATE, at most PEAK, as loud as any other piece. The last notes ring for RING_SECONDS.

    Raises
    ------
    BadSetting
        If the soundfont is missing or broken.
    TooLong
        If the notes last longer than MAX_SECONDS at their tempo, or a performance twice as long.
    """
    check_seconds(notes.quarters, notes.qpm)
    if not len(notes):
        return np.zeros((BLOCK_SAMPLES, 2), dtype=np.float32)  # FLAC and MP3 cannot be empty
    if expression is None:
        expression = unperformed(notes, flat)
    seconds = expression.seconds_at(notes.quarters)
    if seconds > 2 * MAX_SECONDS:
        raise TooLong(f"the performance lasts {seconds / 60:,.0f} minutes; play it flat, or take less music")
    sound = render_notes(notes, expression, _load_synthesizer(str(soundfont or default_soundfont())), RING_SECONDS)
    return (sound * _gain(sound)).astype(np.float32)


def _gain(sound):
    """Return the factor that makes a sound (n_samples, 2) as loud as LOUDNESS, or less to stay below PEAK."""
    peak = float(np.abs(sound).max()) if sound.size else 0.0
    if not peak:
        return 1.0
    block_starts = np.arange(0, len(sound), BLOCK_SAMPLES)
    block_lengths = np.diff([*block_starts, len(sound)])
    power = np.add.reduceat((sound.astype(np.float64) ** 2).mean(1), block_starts) / block_lengths
    sounding = power >= SOUNDING**2 * power.max()
    return min(PEAK / peak, LOUDNESS / np.sqrt(power[sounding].mean()))


def has_mp3() -> bool:
    """Return whether libsndfile writes MP3 on this machine; versions before 1.1 do not."""
    import soundfile

    return "MP3" in soundfile.available_formats()


def encode_audio(sound: np.ndarray, audio_format: str, small: bool = False) -> bytes:
    """Return the bytes of an audio file.

    Parameters
    ----------
    sound : float32 array (n_samples, 2)
        From `synthesize`.
    audio_format : str
        In AUDIO_FORMATS.
    small : bool
        Write MP3 in mono with fewer bits, for a page that holds many pieces.

    Raises
    ------
    BadSetting
        If the format is unknown, or if it is MP3 and libsndfile does not write it.
    """
    _check_format(audio_format)
    if audio_format == "wav":
        return _encode_wav(sound)
    import soundfile

    buffer = io.BytesIO()
    channels = sound.mean(1) if small else sound
    if audio_format == "mp3":
        level = SMALL_MP3_LEVEL if small else MP3_LEVEL
        soundfile.write(
            buffer,
            channels,
            SAMPLE_RATE,
            format="MP3",
            subtype="MPEG_LAYER_III",
            bitrate_mode="VARIABLE",
            compression_level=level,
        )
    else:
        soundfile.write(buffer, channels, SAMPLE_RATE, format=audio_format.upper(), subtype="PCM_16")
    return buffer.getvalue()


def _check_format(audio_format):
    """Raise BadSetting for a format that cannot be written."""
    if audio_format not in AUDIO_FORMATS:
        raise BadSetting(f"unknown audio format {audio_format!r}; choose one of {', '.join(AUDIO_FORMATS)}")
    if audio_format == "mp3" and not has_mp3():
        raise BadSetting(
            "libsndfile writes no MP3 on this machine; version 1.1 does, and soundfile's wheel brings it along"
        )


def check_audio_settings(audio_format: str, soundfont: str | Path | None = None) -> None:
    """Check an audio format and a soundfont before any work is done.

    Parameters
    ----------
    audio_format : str
        In AUDIO_FORMATS.
    soundfont : path, optional
        An .sf2 file (default: the one that pretty_midi installs).

    Raises
    ------
    BadSetting
        As `encode_audio` and `synthesize` do.
    """
    _check_format(audio_format)
    _load_synthesizer(str(soundfont or default_soundfont()))


def _encode_wav(sound):
    """Return a 16-bit WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((sound * 32767).astype("<i2").tobytes())
    return buffer.getvalue()
