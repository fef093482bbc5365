"""Velocities, tempo map and pedal: as values, and to MIDI and back."""

import numpy as np
import pytest
import tiny
from examples import midi_bytes, off, on, pedal, tempo, track

from clara.music.expression import Expression
from clara.music.midi import read_midi, to_symusic_score, write_midi
from clara.music.notes import NoteSequence
from clara.music.performed_midi import read_performed_midi


def same(first, second):
    columns = ("velocity", "tempo_quarters", "tempo_qpm", "pedal_quarters")
    return all(np.allclose(getattr(first, name), getattr(second, name), atol=1e-2) for name in columns)


@pytest.mark.parametrize("steps_per_quarter", [4, 12, 48])
def test_an_expression_comes_back_from_midi(steps_per_quarter, tmp_path):
    notes = tiny.tune(1, steps_per_quarter=steps_per_quarter)
    expression = tiny.expression(notes)
    write_midi(notes, tmp_path / "a.mid", expression=expression)
    read, carried = read_performed_midi(tmp_path / "a.mid", steps_per_quarter=steps_per_quarter)
    assert read == notes
    assert same(carried, expression)
    assert not carried.is_flat


def test_notes_do_not_move_in_the_file(tmp_path):
    notes = tiny.tune(2)
    write_midi(notes, tmp_path / "played.mid", expression=tiny.expression(notes))
    assert read_midi(tmp_path / "played.mid")[0] == notes


def test_without_expression_a_file_is_as_before():
    notes = tiny.tune(3)
    score = to_symusic_score(notes)
    assert len(score.tempos) == 1 and not len(score.tracks[0].controls)


def test_what_clara_writes_without_a_performer_is_flat(tmp_path):
    write_midi(tiny.tune(4), tmp_path / "a.mid")
    assert read_performed_midi(tmp_path / "a.mid")[1].is_flat


def test_the_pedal_goes_to_the_piano_only():
    notes = NoteSequence.from_notes([(0, 12, 60, 0), (0, 12, 72, 1)])
    score = to_symusic_score(notes, expression=tiny.expression(notes))
    assert [len(track.controls) > 0 for track in score.tracks] == [True, False]


def test_of_merged_notes_the_loudest_counts_and_of_tempos_at_one_place_the_last():
    data = midi_bytes(
        track(tempo(0, 400_000), tempo(0, 500_000), on(0, 60, 40), off(480, 60)),
        track(on(0, 60, 90), off(480, 60)),
    )
    notes, expression = read_performed_midi(data)
    assert len(notes) == 1
    assert expression.velocity.tolist() == [90]
    assert expression.tempo_qpm.tolist() == [120.0]


def test_pedals_of_all_tracks_become_one():
    data = midi_bytes(
        track(pedal(0, 127), on(0, 60), off(480, 60), pedal(0, 0)),
        track(pedal(240, 127), on(0, 48), off(480, 48), pedal(0, 0)),
    )
    assert read_performed_midi(data)[1].pedal_quarters.tolist() == [[0.0, 1.5]]


def test_seconds_and_pedal_at_places():
    expression = Expression([64], [0.0, 2.0], [60.0, 120.0], [[1.0, 2.0]])
    assert expression.seconds_at([0, 1, 2, 4]).tolist() == [0, 1, 2, 3]
    assert expression.pedal_at([0.5, 1, 1.9, 2]).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0], [0.0], [60.0]), "velocities"),
        (([64], [1.0], [60.0]), "begin at 0"),
        (([64], [0.0, 0.0], [60.0, 60.0]), "ascend"),
        (([64], [0.0], [0.0]), "above 0"),
        (([64], [0.0], [60.0], [[2.0, 1.0]]), "ascending"),
    ],
)
def test_impossible_values_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        Expression(*columns)
