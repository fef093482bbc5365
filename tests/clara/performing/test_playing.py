"""How composed pieces are played, and what reads them again."""

import time
from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from clara.checkpoints.shipped_models import MissingModel
from clara.data.onset_grid import file_misfit
from clara.encodings import ENCODINGS
from clara.errors import CheckpointMismatch
from clara.music.expression import Expression, unperformed
from clara.music.instruments import ENSEMBLES
from clara.music.midi import read_midi, write_midi
from clara.music.notes import build_notes
from clara.performing import playing
from clara.performing.performer import Performer
from clara.performing.playing import PlayedPrompt, keep_expression, play, read_played_prompt

NOTES = tiny.tune(1, n_notes=80)


@pytest.fixture(autouse=True)
def performer(monkeypatch):
    performer = tiny.performer()
    monkeypatch.setattr(playing, "shipped_performer", lambda: performer)
    return performer


def without_performer(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(playing, "shipped_performer", fail)


def columns(expression):
    names = ("velocity", "tempo_quarters", "tempo_qpm", "pedal_quarters", "delay_seconds")
    return [getattr(expression, name).tolist() for name in names]


def test_pieces_are_performed_and_the_seed_decides_how(performer):
    first, again, other = (play(NOTES, seed) for seed in (1, 1, 2))
    assert columns(first) == columns(again) != columns(other)
    assert not first.is_flat
    assert first.velocity.tolist() == performer.perform(NOTES, 1).velocity.tolist()


@pytest.mark.parametrize("kind", ENCODINGS.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize("spread", [False, True])
def test_performed_midi_has_the_text_of_flat_midi(kind, spread, tmp_path):
    """Ranking, critics, prompts and corpora read the same notes, whether a piece is performed or not."""
    encoding = kind()
    prefixes = ENSEMBLES[encoding.ensemble]
    part = np.arange(len(NOTES)) % len(prefixes)
    pitch = NOTES.pitch + 12 * ((part > 0) & (len(prefixes) == 2))
    more = {"instruments": prefixes} if len(prefixes) > 1 else {}
    notes = build_notes(NOTES.start, NOTES.end, pitch, part, time_signatures=((0, 3, 4),), **more)[0]
    expression = play(notes, 3)
    write_midi(notes, tmp_path / "flat.mid", flat=True)
    write_midi(notes, tmp_path / "performed.mid", expression=expression, spread_chords=spread)
    texts, signatures, misfits = [], [], []
    for name in ("flat", "performed"):
        steps = encoding.steps_per_quarter
        read, _ = read_midi(tmp_path / f"{name}.mid", steps_per_quarter=steps, ensemble=encoding.ensemble)
        texts.append(encoding.encode(read))
        signatures.append(read.time_signatures)
        misfits.append(file_misfit(tmp_path / f"{name}.mid"))
    assert texts[0] == texts[1] and signatures[0] == signatures[1]
    assert spread or misfits[0] == misfits[1]


@pytest.mark.parametrize("error", [MissingModel("none here"), CheckpointMismatch("another version")])
def test_without_a_performer_there_are_accents(monkeypatch, error):
    without_performer(monkeypatch, error)
    assert playing.performer_problem() == str(error)
    expression = play(NOTES, 1)
    assert expression.velocity.tolist() == unperformed(NOTES).velocity.tolist()
    assert expression.tempo_qpm.tolist() == [NOTES.qpm] and not len(expression.pedal_quarters)


def test_the_hash_changes_with_the_performer(tmp_path, monkeypatch):
    hashes = []
    for seed in (0, 1):
        tiny.performer(seed).save(tmp_path / "p")
        monkeypatch.setattr(playing, "SHIPPED_PERFORMER", tmp_path / "p")
        hashes.append(playing.performer_hash())
    assert len(set(hashes)) == 2
    monkeypatch.setattr(playing, "SHIPPED_PERFORMER", tmp_path / "none")
    assert playing.performer_hash() is None


def test_a_prompt_keeps_its_expression():
    carried = tiny.expression(NOTES, 5)
    prompt = PlayedPrompt(NOTES, carried, begin=10.0)
    performed = play(NOTES, 1)
    expression = play(NOTES, 1, prompt)
    in_prompt = NOTES.start < 120
    assert expression.velocity[in_prompt].tolist() == carried.velocity[in_prompt].tolist()
    at = np.arange(0, 10, 0.25)
    np.testing.assert_allclose(expression.seconds_at(at), carried.seconds_at(at))
    assert expression.pedal_at(at).tolist() == carried.pedal_at(at).tolist()
    after = np.arange(10.25, NOTES.quarters, 0.25)
    np.testing.assert_allclose(np.diff(expression.seconds_at(after)), np.diff(performed.seconds_at(after)), atol=1e-9)
    louder = carried.velocity[in_prompt].mean() - performed.velocity[in_prompt].mean()
    difference = expression.velocity[~in_prompt] - performed.velocity[~in_prompt]
    assert np.median(difference) == pytest.approx(louder, abs=0.6)


def test_a_prompt_on_a_finer_grid_keeps_its_velocities():
    fine = build_notes(NOTES.start * 4, NOTES.end * 4, NOTES.pitch, steps_per_quarter=48)[0]
    carried = tiny.expression(NOTES, 5)
    expression = play(NOTES, 1, PlayedPrompt(fine, carried, np.inf))
    assert expression.velocity.tolist() == carried.velocity.tolist()
    assert expression.tempo_qpm.tolist() == pytest.approx(carried.tempo_qpm.tolist())


def test_a_filled_gap_has_its_surroundings_expression():
    carried = tiny.expression(NOTES, 5)
    expression = play(NOTES, 1, PlayedPrompt(NOTES, carried, 5.0, 9.0))
    is_new = (NOTES.start >= 60) & (NOTES.start < 108)
    assert expression.velocity[~is_new].tolist() == carried.velocity[~is_new].tolist()
    at = np.arange(9.25, NOTES.quarters, 0.25)
    np.testing.assert_allclose(np.diff(expression.seconds_at(at)), np.diff(carried.seconds_at(at)), atol=1e-9)


def test_another_tempo_scales_the_prompts():
    carried = tiny.expression(NOTES, 5)
    twice = replace(NOTES, qpm=2 * NOTES.qpm)
    expression = play(twice, 1, PlayedPrompt(NOTES, carried, 10.0))
    assert expression.seconds_at(10.0) == pytest.approx(carried.seconds_at(10.0) / 2)


@given(st.integers(0, 3), st.floats(0, 25), st.floats(0, 10))
def test_any_part_of_any_prompt_can_be_kept(seed, begin, length):
    notes = tiny.tune(seed)
    prompt = PlayedPrompt(tiny.tune(seed + 1), tiny.expression(tiny.tune(seed + 1)), begin, begin + length)
    kept = keep_expression(notes, tiny.expression(notes, 7), prompt)  # Expression checks its values
    assert len(kept.velocity) == len(notes)


def test_reading_a_prompt(tmp_path):
    write_midi(NOTES, tmp_path / "flat.mid")
    write_midi(NOTES, tmp_path / "played.mid", expression=tiny.expression(NOTES))
    assert read_played_prompt(tmp_path / "flat.mid", 12) is None
    assert read_played_prompt("score.musicxml", 12) is None and read_played_prompt("music21:bach/bwv66.6", 12) is None
    notes, expression = read_played_prompt(tmp_path / "played.mid", 12)
    assert notes == NOTES and expression.velocity.tolist() == tiny.expression(NOTES).velocity.tolist()


def test_small_and_large_music():
    assert not len(play(build_notes([], [], [])[0]).velocity)
    assert len(play(build_notes([0], [12], [60])[0]).velocity) == 1
    rng = np.random.default_rng(0)
    crowd = build_notes(np.zeros(5000, dtype=int), rng.integers(1, 4000, 5000), rng.integers(0, 128, 5000))[0]
    assert len(play(crowd).velocity) == len(crowd)


def test_the_shipped_performer_is_fast(monkeypatch):
    performer = Performer.load()
    monkeypatch.setattr(playing, "shipped_performer", lambda: performer)
    notes = tiny.tune(0, n_notes=1500)
    play(notes)  # compiles
    began = time.process_time()
    assert isinstance(play(notes), Expression)
    assert time.process_time() - began < 2
