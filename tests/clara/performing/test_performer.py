"""A performer: what it promises for any score, its settings and its folder."""

import json

import numpy as np
import pytest
import tiny

from clara.errors import BadSetting, CheckpointMismatch, NoNotes
from clara.music.midi import read_midi, write_midi
from clara.music.notes import NoteSequence, build_notes
from clara.performing.performer import Performer, widen_levels

NOTES = tiny.tune(1, n_notes=80)


@pytest.fixture(scope="module")
def performer():
    return tiny.performer(n_members=2)


def columns(expression):
    return [x.tolist() for x in (expression.velocity, expression.tempo_qpm, expression.pedal_quarters)]


def test_a_seed_decides_everything(performer):
    first, again, other = (performer.perform(NOTES, seed) for seed in (1, 1, 2))
    assert columns(first) == columns(again)
    assert all(a != b for a, b in zip(columns(first), columns(other)))


def test_notes_stay_and_the_score_has_the_median_tempo(performer, tmp_path):
    expression = performer.perform(NOTES, 3)
    write_midi(NOTES, tmp_path / "a.mid", expression=expression)
    assert read_midi(tmp_path / "a.mid")[0] == NOTES
    assert np.median(expression.tempo_qpm) == pytest.approx(NOTES.qpm, rel=0.05)


def test_deadpan(performer):
    expression = performer.perform(NOTES, 1, expression=0)
    assert len(set(expression.velocity.tolist())) == 1
    assert expression.tempo_qpm.tolist() == [NOTES.qpm]
    assert not len(expression.pedal_quarters)


def test_levels_of_beats_are_widened_and_the_melody_keeps_its_distance():
    beat = np.repeat(np.arange(50), 2)
    level = 0.4 * np.sin(np.arange(50))
    deviations = level[beat] + np.tile([0.3, -0.3], 50)
    wide = widen_levels(deviations, beat)
    assert wide[::2] - wide[1::2] == pytest.approx(0.6)
    assert deviations.std() < 0.5 and wide.std() > 0.6
    assert widen_levels(wide * 3, beat).std() == pytest.approx((wide * 3).std())


def test_more_expression_is_wider(performer):
    spreads = [performer.perform(NOTES, 1, expression=x).velocity.std() for x in (0, 0.5, 1, 2)]
    assert spreads == sorted(spreads) and spreads[0] < spreads[1] < spreads[3]


def test_without_variation_the_seed_does_not_matter(performer):
    assert columns(performer.perform(NOTES, 1, variation=0)) == columns(performer.perform(NOTES, 2, variation=0))


def test_the_pedal_can_be_left_out(performer):
    assert len(performer.perform(NOTES, 1).pedal_quarters)
    assert not len(performer.perform(NOTES, 1, pedal=False).pedal_quarters)


def test_one_note(performer):
    expression = performer.perform(NoteSequence.from_notes([(0, 12, 60)]), 1)
    assert len(expression.velocity) == 1 and 1 <= expression.velocity[0] <= 127


def test_five_thousand_notes_at_once(performer):
    notes = build_notes(np.zeros(5000, int), np.full(5000, 12), np.arange(5000) % 128, part=np.arange(5000) // 128)[0]
    assert len(performer.perform(notes, 1).velocity) == 5000


def test_bad_requests_are_named(performer):
    with pytest.raises(NoNotes):
        performer.perform(NoteSequence.from_notes([]), 1)
    for settings in ({"seed": -1}, {"expression": 3}, {"variation": -0.1}, {"expression": float("nan")}):
        with pytest.raises(BadSetting, match="must be"):
            performer.perform(NOTES, **settings)


def test_a_performer_comes_back_from_its_folder(performer, tmp_path):
    performer.save(tmp_path / "a")
    once = Performer.load(tmp_path / "a")
    once.save(tmp_path / "b")
    assert columns(once.perform(NOTES, 1)) == columns(Performer.load(tmp_path / "b").perform(NOTES, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"performer": 2}, "format 2.*train-performer"),
        ({"features": {"beat": ["steps"], "note": [], "slot": []}}, "other features"),
        ({"n_members": 3}, "2.beat_in.bias"),
        ({"n_windows": 2}, "windows.1.pedal"),
        ({"sizes": {"width": 3}}, "sizes do not fit"),
        ({"touch": {"carry": [1.0]}}, "carry"),
    ],
)
def test_a_performer_of_another_kind_is_refused(performer, change, message, tmp_path):
    performer.save(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(CheckpointMismatch, match=message):
        Performer.load(tmp_path)
