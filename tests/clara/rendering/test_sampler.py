"""Velocity, dampers and the pedal are heard."""

import numpy as np
import pytest

from clara.music.expression import Expression, sounding_ends, unperformed
from clara.music.instruments import INSTRUMENTS
from clara.music.notes import build_notes
from clara.rendering import sampler
from clara.rendering.audio import RING_SECONDS, SAMPLE_RATE, _load_synthesizer, default_soundfont, synthesize
from clara.rendering.sampler import damped_seconds, free_seconds, low_pass_weights

PEDAL = [[0.5, 3.0]]


def render(notes, expression):
    return sampler.render_notes(notes, expression, _load_synthesizer(str(default_soundfont())), RING_SECONDS)


def loudness(sound):
    """Return the root mean square of each tenth of a second."""
    n = SAMPLE_RATE // 10
    return np.sqrt((sound[: len(sound) // n * n].reshape(-1, n * 2).astype(float) ** 2).mean(1))


def short(pitch=60, part=0, n=1):
    """Return quarters with rests of three quarters between them, at a quarter a second."""
    start = 48 * np.arange(n)
    return build_notes(start, start + 12, [pitch] * n, part, qpm=60.0)[0]


def played(notes, velocity=80, pedal=(), delay=None):
    velocities = np.broadcast_to(velocity, len(notes))
    return Expression(velocities, [0.0], [notes.qpm], np.reshape(pedal, (-1, 2)), delay)


def brightness(sound):
    """Return the share of the power above 1500 Hz in decibels."""
    power = np.abs(np.fft.rfft(sound[:SAMPLE_RATE].mean(1))) ** 2
    return 10 * np.log10(power[1500:].sum() / power.sum())


def test_louder_is_brighter():
    soft, middle, loud = (render(short(), played(short(), velocity)) for velocity in (30, 70, 110))
    assert np.abs(loud).max() > 2 * np.abs(middle).max() > 8 * np.abs(soft).max()
    assert brightness(loud) - 1 > brightness(middle) > brightness(soft) + 4


def test_the_pedal_lets_notes_ring():
    dry, ringing = (loudness(synthesize(short(n=2), expression=played(short(n=2), pedal=p))) for p in ((), PEDAL))
    assert dry[15:28].max() < 0.01 * dry.max()
    assert ringing[15:28].min() > 0.02 * ringing.max()
    assert ringing[34:38].max() < 0.01 * ringing.max()


def test_the_pedal_is_the_pianos():
    notes = build_notes([0, 0], [12, 12], [60, 67], [0, 1], qpm=60.0, instruments=("p", "v"))[0]
    assert sounding_ends(notes, played(notes, pedal=PEDAL)).tolist() == [3.0, 1.0]


def test_a_note_that_ends_where_the_pedal_goes_down_is_not_caught():
    notes = short()
    assert sounding_ends(notes, played(notes, pedal=[[1.0, 3.0]])).tolist() == [1.0]
    assert sounding_ends(notes, played(notes)).tolist() == [1.0]


def test_a_key_that_is_struck_again_is_damped_first():
    notes = build_notes([0, 24], [12, 36], [60, 60], qpm=60.0)[0]
    sound = render(notes, played(notes, pedal=[[0.5, 4.0]]))
    alone = render(short(), played(short()))
    peak = np.abs(sound[2 * SAMPLE_RATE : 3 * SAMPLE_RATE]).max()
    assert peak == pytest.approx(np.abs(alone).max(), rel=0.15)


def test_delays_move_notes_in_the_sound_only():
    notes = short(n=2)
    on_time, late = (render(notes, played(notes, delay=delay)) for delay in (None, [0.0, 0.02]))
    shift = round(0.02 * SAMPLE_RATE)
    at = 4 * SAMPLE_RATE
    np.testing.assert_array_equal(on_time[:at], late[:at])
    np.testing.assert_allclose(on_time[at : at + 2000], late[at + shift : at + shift + 2000], atol=1e-6)
    with pytest.raises(ValueError, match="delay_seconds"):
        played(notes, delay=[0.0, -0.1])


def test_the_tempo_map_is_heard():
    notes = short(n=2)
    expression = Expression([80, 80], [0.0, 2.0], [60.0, 120.0])
    assert len(render(notes, expression)) / SAMPLE_RATE == pytest.approx(2 + 1.5 + RING_SECONDS, abs=0.01)


def test_dampers_and_strings():
    piano, violin = INSTRUMENTS["p"], INSTRUMENTS["v"]
    assert damped_seconds(piano, 30) > damped_seconds(piano, 60) > damped_seconds(piano, 88)
    assert damped_seconds(piano, 100) == free_seconds(piano, 100) > damped_seconds(piano, 88)
    assert free_seconds(violin, 70) == np.inf > free_seconds(piano, 30) > free_seconds(piano, 90)
    assert ((low_pass_weights(108, np.array([1, 127])) > 0) & (low_pass_weights(108, np.array([1, 127])) < 1)).all()


def test_a_thousand_notes_at_once_and_long_ones():
    rng = np.random.default_rng(0)
    pitch = rng.integers(21, 109, 1000)
    notes = build_notes(np.zeros(1000, dtype=int), rng.integers(1, 12 * 20, 1000), pitch)[0]
    sound = synthesize(notes, expression=unperformed(notes))
    assert np.isfinite(sound).all() and 0 < np.abs(sound).max() <= 0.9 + 1e-6
