import numpy as np
import pytest
import tiny
from examples import midi_bytes, off, on, track

from clara.data.onset_grid import grid_misfit
from clara.encodings.notewise import Notewise
from clara.encodings.prompts import read_prompt
from clara.errors import BadSetting, NoNotes, TooLong
from clara.listening.alignment import align_if_performed, align_midi
from clara.listening.beats import MAX_PASSAGE, _passages, track_beats
from clara.listening.clusters import HeardNotes
from clara.music.midi import describe_midi, read_midi, write_midi
from clara.music.performed_midi import read_performed_midi
from clara.performing.playing import read_played_prompt

SCALE = [60, 62, 64, 65, 67, 69, 71, 72]


def recording(seconds, pitches, velocities=None):
    """Return a MIDI file of notes at times in seconds, at 120 quarters per minute."""
    ticks = np.rint(np.asarray(seconds) * 960).astype(int).tolist()
    velocities = velocities or [64] * len(ticks)
    events = []
    now = 0
    for tick, following, pitch, velocity in zip(ticks, [*ticks[1:], ticks[-1] + 90], pitches, velocities):
        length = max(1, min(90, following - tick))
        events += [on(tick - now, int(pitch), velocity), off(length, int(pitch))]
        now = tick + length
    return midi_bytes(track(*events))


def even_quarters(qpm, jitter, seed):
    rng = np.random.default_rng(seed)
    return 1 + np.arange(8) * 60 / qpm + rng.normal(0, jitter, 8)


@pytest.mark.parametrize("qpm", [60, 75, 100, 132, 160])
def test_even_quarters_are_quarters(qpm):
    for seed in range(3):
        notes, _ = read_midi(align_midi(recording(even_quarters(qpm, 0.04, seed), SCALE)).midi)
        assert np.diff(notes.start).tolist() == [12] * 7
        assert notes.qpm == pytest.approx(qpm, rel=0.12)


def test_velocities_and_tempo_are_kept(tmp_path):
    seconds = np.cumsum(np.repeat([0.5, 0.7], 12)) + np.random.default_rng(1).normal(0, 0.012, 24)
    velocities = [40 + 2 * i for i in range(24)]
    path = tmp_path / "played.mid"
    path.write_bytes(recording(seconds, SCALE * 3, velocities))
    notes, expression = read_performed_midi(align_midi(path).midi)
    assert expression.velocity.tolist() == velocities and len(notes) == 24
    assert expression.seconds_at([notes.quarters])[0] == pytest.approx(seconds[-1] - seconds[0], abs=1.0)
    prompt, _ = read_prompt(path, Notewise(), performed="yes")
    played = read_played_prompt(path, 12, performed="yes")
    assert played is not None and played[0].start.tolist() == prompt.start.tolist()


def test_a_file_on_a_beat_grid_stays_as_it_is(tmp_path):
    write_midi(tiny.tune(0, n_notes=60), tmp_path / "score.mid")
    assert align_if_performed(tmp_path / "score.mid", "auto") is None
    (tmp_path / "played.mid").write_bytes(tiny.performed_midi())
    assert align_if_performed(tmp_path / "played.mid", "no") is None
    alignment = align_if_performed(tmp_path / "played.mid", "auto")
    description = describe_midi(alignment.midi)
    assert grid_misfit(description.onset_ticks, description.ticks_per_quarter) < 0.1
    assert "quarters per minute" in alignment.describe()
    with pytest.raises(BadSetting, match="auto, yes, no"):
        align_if_performed(tmp_path / "score.mid", "perhaps")


def check(alignment, n_notes):
    """Check that beats ascend, and that all notes are on the grid."""
    notes, losses = read_midi(alignment.midi)
    beats = alignment.beats
    assert (np.diff(beats.beat_seconds) > 0).all() and np.isfinite(beats.beat_seconds).all()
    assert (np.diff(beats.beat_steps) > 0).all() and beats.note_steps.min() >= 0
    assert len(notes) + losses["merged"] == n_notes
    return notes


def test_silence_has_no_beats():
    with pytest.raises(NoNotes):
        align_midi(midi_bytes(track()))


@pytest.mark.parametrize("seconds", [[3.0], [1.0, 1.01], [1.0, 9.0], [1.0, 1.2, 1.25]])
def test_few_notes_are_enough(seconds):
    notes = check(align_midi(recording(seconds, SCALE)), len(seconds))
    assert notes.start[0] < 24


def test_free_rhythm_has_some_beats():
    seconds = np.cumsum(np.random.default_rng(2).exponential(0.4, 60) + 0.1)
    check(align_midi(recording(seconds, SCALE * 8)), 60)


def test_two_pieces_in_one_file_have_a_tempo_each():
    first, second = np.arange(24) * 0.5, 40 + np.arange(24) * 0.8
    beats = align_midi(recording(np.append(first, second), SCALE * 6)).beats
    assert np.median(beats.beat_qpm[:15]) / np.median(beats.beat_qpm[-15:]) == pytest.approx(1.6, rel=0.05)


def test_a_tempo_that_changes_by_a_factor_of_four():
    gaps = 0.3 * 4 ** np.linspace(0, 1, 60)
    alignment = align_midi(recording(np.cumsum(gaps), SCALE * 8))
    check(alignment, 60)
    assert alignment.beats.beat_qpm[:4].mean() > 1.5 * alignment.beats.beat_qpm[-5:-1].mean()


def test_nine_hours_are_refused_or_cut_into_passages(tmp_path):
    seconds = np.linspace(0, 9 * 3600, 200)
    with pytest.raises(TooLong, match="longer than 50,000 quarters"):
        align_midi(recording(seconds, SCALE * 25))
    onsets = np.cumsum(np.full(100_000, 0.3))
    lengths = [end - begin for begin, end in _passages(onsets)]
    assert sum(lengths) == len(onsets) and max(lengths) <= MAX_PASSAGE


def test_passages_follow_each_other(monkeypatch):
    monkeypatch.setattr("clara.listening.beats.MAX_PASSAGE", 40)
    monkeypatch.setattr("clara.listening.beats.MIN_PASSAGE", 20)
    onset = np.arange(100) * 0.5
    notes = HeardNotes.from_columns(onset, onset + 0.4, np.resize(SCALE, 100), np.full(100, 64))
    beats = track_beats(notes)
    assert (np.diff(beats.note_steps) > 0).all() and (np.diff(beats.beat_seconds) > 0).all()
