"""Features of scores: beats, notes and sixteenths."""

import numpy as np
import pytest
import tiny
from examples import OTHER_THEME, THEME, bars_to_notes, note_sequences
from hypothesis import given, settings

from clara.music.expression import Expression
from clara.music.notes import NoteSequence, build_notes, transpose
from clara.performing.beats import BEAT_FEATURES, describe_beats, find_beats
from clara.performing.note_features import NOTE_FEATURES, describe_notes
from clara.performing.score import describe_score, measure_performance

UPBEAT = NoteSequence.from_notes([(0, 12, 60), (12, 36, 64)], time_signatures=((-24, 3, 4),))


def test_beats_of_common_and_compound_time():
    notes = NoteSequence.from_notes([(0, 144, 60)], time_signatures=((0, 4, 4), (48, 6, 8)))
    beats = find_beats(notes)
    assert beats.begin.tolist() == [0, 1, 2, 3, 4, 5.5, 7, 8.5, 10, 11.5, 13]
    assert beats.place.tolist() == [0, 1, 2, 3, 0, 1, 0, 1, 0, 1]
    assert beats.bar.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_an_upbeat_has_the_last_beats_of_its_bar():
    beats = find_beats(UPBEAT)
    assert beats.begin.tolist() == [0, 1, 2, 3, 4]
    assert beats.place.tolist() == [2, 0, 1, 2]


def feature(notes, name):
    return describe_notes(notes, find_beats(notes))[:, NOTE_FEATURES.index(name)].tolist()


def test_places_in_chords_and_voices():
    notes = NoteSequence.from_notes([(0, 24, 48), (0, 12, 60), (0, 12, 64), (12, 12, 65), (24, 24, 60)])
    assert feature(notes, "is_top") == [0, 0, 1, 1, 1]
    assert feature(notes, "is_bottom") == [1, 0, 0, 1, 1]
    assert feature(notes, "is_lowest") == [1, 0, 0, 0, 1]  # the bass still sounds under the fourth note
    assert feature(notes, "voice_before")[3] == pytest.approx(-1 / 12)
    assert feature(notes, "top_step")[3:] == pytest.approx([1 / 12, -5 / 12])
    assert feature(notes, "on_downbeat") == [1, 1, 1, 0, 0]


def test_features_do_not_depend_on_the_grid():
    notes = tiny.tune(1, steps_per_quarter=12)
    finer, _ = build_notes(notes.start * 4, notes.end * 4, notes.pitch, steps_per_quarter=48)
    for first, second in zip(*(vars(describe_score(n)).values() for n in (notes, finer))):
        if isinstance(first, np.ndarray):
            np.testing.assert_allclose(first, second, atol=1e-5)


def test_a_return_is_known():
    notes = bars_to_notes(THEME, OTHER_THEME, THEME)
    exact = describe_beats(notes, find_beats(notes))[:, BEAT_FEATURES.index("exact")]
    assert exact.tolist() == [0] * 8 + [1] * 4


@settings(max_examples=25, deadline=None)
@given(note_sequences())
def test_features_are_finite_for_any_music(notes):
    if not len(notes):
        return
    score = describe_score(notes)
    assert len(score.note) == len(notes) == len(score.beat_of_note)
    assert len(score.beat) == len(score.beats) > 0
    assert len(score.slot) == len(score.beat_of_slot)
    assert all(np.isfinite(columns).all() for columns in (score.beat, score.note, score.slot))


def test_five_thousand_notes_at_once():
    pitch = np.arange(5000) % 128
    notes = build_notes(np.zeros(5000, int), np.full(5000, 12), pitch, part=np.arange(5000) // 128)[0]
    assert len(notes) == 5000
    assert np.isfinite(describe_score(notes).note).all()


def test_a_performance_is_measured_in_beats_and_sixteenths():
    notes = NoteSequence.from_notes([(0, 48, 60)])
    expression = Expression([50], [0, 1, 2, 3], [60, 60, 60, 30], [[0.1, 1.05], [1.3, 4.0]])
    performance = measure_performance(expression, find_beats(notes))
    assert performance.log_tempo == pytest.approx([0, 0, 0, np.log(0.5)])
    assert performance.median_qpm == pytest.approx(60)
    assert performance.pedal.tolist() == [False, *[True] * 4, False, *[True] * 10]
    assert np.flatnonzero(performance.lift).tolist() == [4]


def test_transposition_changes_pitches_only():
    notes = tiny.tune(5)
    first, second = (describe_score(n).note for n in (notes, transpose(notes, 2)[0]))
    changed = {NOTE_FEATURES[i] for i in np.flatnonzero(np.abs(first - second).max(0) > 1e-5)}
    assert changed == {"pitch"}
