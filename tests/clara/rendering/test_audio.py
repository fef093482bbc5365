"""Notes rendered as audio."""

import io
import wave
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import tiny
from examples import handwritten
from symusic import Score

from clara.encodings.notewise import Chamber
from clara.errors import BadSetting, TooLong
from clara.music.midi import read_midi, write_midi
from clara.music.notes import build_notes
from clara.rendering import audio
from clara.rendering.audio import (
    LOUDNESS,
    PEAK,
    RING_SECONDS,
    SAMPLE_RATE,
    check_audio_settings,
    default_soundfont,
    encode_audio,
    synthesize,
)


def held(pitch, part=0, quarters=4, qpm=120.0):
    return build_notes([0], [12 * quarters], [pitch], part, qpm=qpm)[0]


def loudness(sound):
    """Return the root mean square of each tenth of a second."""
    n = SAMPLE_RATE // 10
    return np.sqrt((sound[: len(sound) // n * n].reshape(-1, n * 2).astype(float) ** 2).mean(1))


def strongest_hertz(sound):
    """Return the frequency of the strongest partial."""
    spectrum = np.abs(np.fft.rfft(sound.mean(1) * np.hanning(len(sound))))
    return spectrum.argmax() * SAMPLE_RATE / len(sound)


@pytest.mark.parametrize("notes", [tiny.tune(0), handwritten("chord"), held(60, part=1)], ids=["tune", "chord", "solo"])
def test_sound_lasts_as_long_as_the_piece(notes):
    sound = synthesize(notes)
    assert sound.dtype == np.float32 and sound.ndim == 2 and sound.shape[1] == 2
    assert len(sound) / SAMPLE_RATE == pytest.approx(notes.seconds + RING_SECONDS, abs=1e-4)
    struck = np.unique(notes.start * 60 / notes.qpm / 12 * 10).astype(int) + 1
    assert (loudness(sound)[struck[:-1]] > 1e-3).all()
    assert len(struck) > 2 or loudness(sound)[: int(notes.seconds * 10)].min() > 1e-3


def test_tempo_is_kept():
    slow, fast = (len(synthesize(held(60, quarters=16, qpm=qpm))) / SAMPLE_RATE for qpm in (60.0, 240.0))
    assert slow - fast == pytest.approx(16 - 4, abs=0.1)


def sounding(sound):
    """Return the root mean square of the sounding part."""
    levels = loudness(sound)
    return np.sqrt((levels[levels >= levels.max() / 10] ** 2).mean())


@pytest.mark.parametrize(
    "notes",
    [
        tiny.tune(1),
        tiny.tune(1, n_notes=300),
        held(60),
        held(30),
        held(100, quarters=1),
        held(67, part=1),
        handwritten("chord"),
        handwritten("range edges"),
    ],
)
def test_pieces_are_equally_loud_and_none_clips(notes):
    sound = synthesize(notes)
    assert np.abs(sound).max() <= PEAK + 1e-6
    assert sounding(sound) == pytest.approx(LOUDNESS, rel=0.1) or np.abs(sound).max() == pytest.approx(PEAK, abs=1e-5)
    assert sounding(sound) > LOUDNESS / 2


def test_sound_that_would_clip_is_quieter(monkeypatch):
    monkeypatch.setattr(audio, "LOUDNESS", 0.9)
    assert np.abs(synthesize(held(60))).max() == pytest.approx(PEAK, abs=1e-5)


def test_downbeats_are_louder_than_beats_and_beats_than_offbeats():
    start = np.array([0, 48 + 12, 96 + 18, 144])  # far apart, so that none rings into the next
    notes = build_notes(start * 4, start * 4 + 6, np.full(4, 60), steps_per_quarter=48, qpm=30.0)[0]
    at = (notes.start / 48 * 2 * SAMPLE_RATE).astype(int)

    def peaks(sound):
        return [float(np.abs(sound[i : i + SAMPLE_RATE]).max()) for i in at]

    down, beat, between, last = peaks(synthesize(notes))
    assert down > 1.1 * beat > 1.2 * between and down == pytest.approx(last, rel=0.05)
    assert np.ptp(peaks(synthesize(notes, flat=True))) < 0.05 * down


def test_sound_and_midi_have_the_same_accents(tmp_path):
    """Accents lose no note."""
    notes = tiny.tune(3, n_notes=200)
    for flat in (False, True):
        write_midi(notes, tmp_path / "a.mid", flat)
        velocities = {n.velocity for t in Score(tmp_path / "a.mid").tracks for n in t.notes}
        assert velocities == ({80} if flat else {72, 84, 96})
        assert read_midi(tmp_path / "a.mid")[0] == notes


@pytest.mark.parametrize("part, pitches", [(0, range(45, 97, 4)), (1, range(57, 82, 4))], ids=["piano", "solo"])
def test_every_key_is_in_tune(part, pitches):
    """The strongest partial is one of the first harmonics of the key."""
    off = {}
    for pitch in pitches:
        harmonic = strongest_hertz(synthesize(held(pitch, part))[4000 : 2 * SAMPLE_RATE]) / (
            440 * 2 ** ((pitch - 69) / 12)
        )
        if abs(harmonic - round(harmonic)) > 0.012 * harmonic or not 1 <= round(harmonic) <= 4:
            off[pitch] = float(harmonic)
    assert off == {}


def test_the_solo_is_a_violin_and_the_piano_a_piano():
    """A bowed tone stays loud, a struck one decays."""
    encoding = Chamber()

    def last_to_first(words):
        quiet = loudness(synthesize(encoding.decode(words, qpm=60.0)[0]))
        return quiet[30:38].mean() / quiet[3:10].mean()

    assert last_to_first(["v48", *["wait24"] * 2, "endv48"]) > 0.7
    assert last_to_first(["p48", *["wait24"] * 2, "endp48"]) < 0.4


def test_a_rest_is_silent():
    notes, _ = build_notes([0, 120], [6, 126], [60, 60], qpm=120.0)
    quiet = loudness(synthesize(notes))
    assert quiet[30:48].max() < 0.02 * quiet[:4].max()


def test_a_piece_without_notes_is_silence():
    sound = synthesize(build_notes([], [], [])[0])
    assert sound.dtype == np.float32 and sound.shape[1] == 2
    assert not sound.any()


def test_same_notes_same_sound():
    assert np.array_equal(synthesize(tiny.tune(2)), synthesize(tiny.tune(2)))


def test_soundfont_by_path():
    assert np.array_equal(synthesize(held(60), default_soundfont()), synthesize(held(60)))


def test_a_missing_soundfont_is_refused(tmp_path):
    for ask in (
        lambda: synthesize(held(60), tmp_path / "nowhere.sf2"),
        lambda: check_audio_settings("wav", tmp_path / "nowhere.sf2"),
    ):
        with pytest.raises(BadSetting, match="nowhere.sf2: no such soundfont"):
            ask()


@pytest.mark.parametrize(
    "cut",
    [lambda data: b"", lambda data: b"hello", lambda data: data[: len(data) // 2], lambda data: data[:-2000]],
    ids=["empty", "text", "half", "end missing"],
)
def test_a_broken_soundfont_is_refused(tmp_path, cut):
    (tmp_path / "broken.sf2").write_bytes(cut(default_soundfont().read_bytes()))
    with pytest.raises(BadSetting, match="broken.sf2"):
        check_audio_settings("wav", tmp_path / "broken.sf2")


@pytest.mark.parametrize("form, most", [("wav", 4.01), ("flac", 3), ("mp3", 0.6)])
def test_every_format_holds_the_sound(form, most):
    """`most` is the largest number of bytes for each stereo sample."""
    sound = synthesize(tiny.tune(4))
    data = encode_audio(sound, form)
    back, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == SAMPLE_RATE and abs(len(back) - len(sound)) < SAMPLE_RATE / 10 and len(data) < most * len(sound)
    n = min(len(back), len(sound))
    assert np.sqrt(((back[:n] - sound[:n]) ** 2).mean()) < 0.05 * LOUDNESS


def test_a_small_mp3_is_mono_and_small():
    sound = synthesize(tiny.tune(4))
    data = encode_audio(sound, "mp3", small=True)
    back, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert back.ndim == 1 and rate == SAMPLE_RATE and len(data) < len(encode_audio(sound, "mp3"))
    assert len(data) / (len(sound) / SAMPLE_RATE) < 10_000  # bytes for each second
    n = min(len(back), len(sound))
    assert np.sqrt(((back[:n] - sound[:n].mean(1)) ** 2).mean()) < 0.1 * LOUDNESS


def test_an_unknown_format_is_refused(monkeypatch):
    with pytest.raises(BadSetting, match="'ogg'; choose one of wav, flac, mp3"):
        check_audio_settings("ogg")
    monkeypatch.setattr(audio, "has_mp3", lambda: False)
    with pytest.raises(BadSetting, match="no MP3"):
        encode_audio(np.zeros((10, 2), dtype=np.float32), "mp3")


@pytest.mark.parametrize("form", audio.AUDIO_FORMATS)
def test_silence_can_be_written(form):
    back, rate = soundfile.read(io.BytesIO(encode_audio(synthesize(build_notes([], [], [])[0]), form)))
    assert len(back) / rate == pytest.approx(0.1, abs=0.05) and np.abs(back).max() < 1e-3


def test_wav_holds_the_sound():
    sound = synthesize(held(60))
    with wave.open(io.BytesIO(encode_audio(sound, "wav"))) as w:
        assert (w.getnchannels(), w.getsampwidth(), w.getframerate()) == (2, 2, SAMPLE_RATE)
        assert w.getnframes() == len(sound)
        found = np.frombuffer(w.readframes(len(sound)), "<i2").reshape(-1, 2)
    np.testing.assert_allclose(found / 32767, sound, atol=1 / 32767)
    assert abs(found).max() <= 0.9 * 32767 + 1


def test_a_sound_is_limited_in_seconds_and_not_only_in_quarters():
    slow = replace(tiny.tune(1), qpm=0.01)
    with pytest.raises(TooLong, match="minutes, and audio is rendered up to 20"):
        synthesize(slow)


@pytest.mark.parametrize("qpm", [60.0, 200.0])
def test_the_last_notes_ring_and_nothing_sounds_after_them(qpm):
    """The sound once ended with the last note, in mid-sound, and the note that lengthens it is not heard."""
    sound = synthesize(held(60, quarters=4, qpm=qpm))
    end = round(4 * 60 / qpm * SAMPLE_RATE)
    last, ringing = np.abs(sound[end - 100 : end]).max(), np.abs(sound[end : end + 400]).max()
    assert ringing > 0.3 * last > 0 and np.abs(sound[-100:]).max() < 0.01 * last
    assert loudness(sound[end:]).argmax() == 0
