"""Notes as sound."""

import wave

import numpy as np
import pytest
import tiny
from conftest import handwritten

from clara.audio import PEAK, SAMPLE_RATE, default_soundfont, synthesize, write_wav
from clara.errors import BadSetting, CannotWrite
from clara.notes import mend

TAIL_SECONDS = 5  # the last notes ring


def held(pitch, part=0, quarters=4, qpm=120.0):
    return mend([0], [12 * quarters], [pitch], part, qpm=qpm)[0]


def loudness(sound):
    """Root mean square of each tenth of a second."""
    n = SAMPLE_RATE // 10
    return np.sqrt((sound[:len(sound) // n * n].reshape(-1, n * 2).astype(float) ** 2).mean(1))


def strongest_hertz(sound):
    """The strongest partial."""
    spectrum = np.abs(np.fft.rfft(sound.mean(1) * np.hanning(len(sound))))
    return spectrum.argmax() * SAMPLE_RATE / len(sound)


@pytest.mark.parametrize("notes", [tiny.tune(0), handwritten("chord"), held(60, part=1)], ids=["tune", "chord", "solo"])
def test_it_lasts_as_long_as_the_piece_and_sounds(notes):
    sound = synthesize(notes)
    assert sound.dtype == np.float32 and sound.ndim == 2 and sound.shape[1] == 2
    assert notes.seconds <= len(sound) / SAMPLE_RATE <= notes.seconds + TAIL_SECONDS
    struck = np.unique(notes.start * 60 / notes.qpm / 12 * 10).astype(int) + 1
    assert (loudness(sound)[struck[:-1]] > 1e-3).all()
    assert len(struck) > 2 or loudness(sound)[:15].min() > 1e-3


def test_tempo_is_kept():
    slow, fast = (len(synthesize(held(60, quarters=16, qpm=qpm))) / SAMPLE_RATE for qpm in (60.0, 240.0))
    assert slow - fast == pytest.approx(16 - 4, abs=0.1)


@pytest.mark.parametrize("notes", [tiny.tune(1), held(60), handwritten("range edges")])
def test_the_loudest_is_nine_tenths(notes):
    assert np.abs(synthesize(notes)).max() == pytest.approx(PEAK, abs=1e-5)


@pytest.mark.parametrize("part, pitches", [(0, range(45, 97, 4)), (1, range(57, 82, 4))], ids=["piano", "solo"])
def test_every_key_is_in_tune(part, pitches):
    """The strongest partial is a harmonic of the key's frequency, of one of the first few."""
    off = {}
    for pitch in pitches:
        harmonic = strongest_hertz(synthesize(held(pitch, part))[4000:2 * SAMPLE_RATE]) / (440 * 2**((pitch - 69) / 12))
        if abs(harmonic - round(harmonic)) > 0.012 * harmonic or not 1 <= round(harmonic) <= 4:
            off[pitch] = float(harmonic)
    assert off == {}


def test_a_rest_is_silent():
    notes, _ = mend([0, 120], [6, 126], [60, 60], qpm=120.0)
    quiet = loudness(synthesize(notes))
    assert quiet[30:48].max() < 0.02 * quiet[:4].max()


def test_a_piece_without_notes_is_silence():
    sound = synthesize(mend([], [], [])[0])
    assert sound.dtype == np.float32 and sound.shape[1] == 2
    assert not sound.any()


def test_same_notes_same_sound():
    assert np.array_equal(synthesize(tiny.tune(2)), synthesize(tiny.tune(2)))


def test_soundfont_by_path():
    assert np.array_equal(synthesize(held(60), default_soundfont()), synthesize(held(60)))


def test_no_such_soundfont(tmp_path):
    with pytest.raises(BadSetting, match="nowhere.sf2"):
        synthesize(held(60), tmp_path / "nowhere.sf2")


def test_wav_holds_the_sound(tmp_path):
    sound = synthesize(held(60))
    write_wav(sound, tmp_path / "a.wav")
    with wave.open(str(tmp_path / "a.wav")) as w:
        assert (w.getnchannels(), w.getsampwidth(), w.getframerate()) == (2, 2, SAMPLE_RATE)
        assert w.getnframes() == len(sound)
        found = np.frombuffer(w.readframes(len(sound)), "<i2").reshape(-1, 2)
    np.testing.assert_allclose(found / 32767, sound, atol=1 / 32767)
    assert abs(found).max() <= 0.9 * 32767 + 1


def test_wav_into_no_folder(tmp_path):
    with pytest.raises(CannotWrite, match="a.wav"):
        write_wav(np.zeros((10, 2), dtype=np.float32), tmp_path / "nowhere" / "a.wav")
