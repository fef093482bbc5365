"""Readable rhythm: note values, ties, tuplets, rests and beams; and nothing is shifted."""

import numpy as np
import pytest

from clara.music.notes import build_notes, quantize
from clara.notation.divisions import TICKS, find_division
from clara.notation.score import notate


def write(rows, steps_per_quarter=12, time_signatures=((0, 4, 4),), staff=0):
    """Return the written events of the upper voice, by measure, of (start, end, pitch) rows."""
    start, end, pitch = np.array(rows).T
    notes = build_notes(start, end, pitch, steps_per_quarter=steps_per_quarter, time_signatures=time_signatures)[0]
    return [measure.voices[0] for measure in notate(notes).parts[0].staves[staff]]


def run(boundaries, pitch=72):
    """Return rows of notes of one line between successive boundaries."""
    return [(start, end, pitch + i % 5) for i, (start, end) in enumerate(zip(boundaries, boundaries[1:]))]


def values(events):
    """Return the note values of events, such as `quarter.`; rests have an r before them."""
    return ["r" * (not event.notes) + (event.type or "full") + "." * event.n_dots for event in events]


@pytest.mark.parametrize(
    "steps, division",
    [
        ({6}, 2),
        ({3, 9}, 4),
        ({4, 8}, 3),
        ({2, 4, 6, 8, 10}, 6),
        ({2, 3, 5, 6, 8, 9, 11}, 8),
        ({2, 5, 7, 10}, 5),
        ({2, 3, 5, 7, 9, 10}, 7),
        ({3, 4}, None),
    ],
)
def test_the_simplest_division_that_rounds_to_the_steps(steps, division):
    assert find_division(steps, 12) == division


@pytest.mark.parametrize(
    "boundaries, expected",
    [
        ([0, 12, 24, 36, 48], ["quarter"] * 4),
        ([0, 48], ["whole"]),
        ([0, 18, 24, 48], ["quarter.", "eighth", "half"]),
        ([0, 12, 36, 48], ["quarter", "half", "quarter"]),
        ([0, 6, 18, 24, 48], ["eighth", "quarter", "eighth", "half"]),
        ([0, 18, 30, 48], ["quarter.", "eighth", "eighth", "quarter."]),
        ([0, 3, 12, 48], ["16th", "eighth.", "half."]),
        ([0, 4, 8, 12, 48], ["eighth"] * 3 + ["half."]),
        ([0, 8, 16, 24, 48], ["quarter"] * 3 + ["half"]),
        ([0, 2, 3, 5, 6, 8, 9, 11, 12, 48], ["32nd"] * 8 + ["half."]),
    ],
)
def test_note_values_show_the_beats(boundaries, expected):
    assert values(write(run(boundaries))[0]) == expected


def test_tuplets_are_named_after_their_number_of_notes():
    beats = [0, 4, 8, 12, 14, 16, 18, 20, 22, 24, 26, 29, 31, 34, 36, 48]
    events = write(run(beats))[0]
    ratios = [(event.tuplet.actual, event.tuplet.normal) if event.tuplet else None for event in events]
    assert ratios == [(3, 2)] * 3 + [(6, 4)] * 6 + [(5, 4)] * 5 + [None]
    assert [event.tuplet_ends for event in events[:3]] == [("start",), (), ("stop",)]


def test_eighths_are_beamed_by_beats():
    events = write(run([0, 6, 12, 15, 18, 24, 48]))[0]
    assert [event.beams[:1] for event in events] == [["begin"], ["end"], ["begin"], ["continue"], ["end"], []]
    assert [event.beams[1:] for event in events] == [[], [], ["begin"], ["end"], [], []]


def test_a_beam_does_not_begin_in_the_middle_of_a_tuplet():
    events = write([(4, 5, 72), (5, 6, 74), (6, 9, 76), (9, 12, 77), (12, 48, 72)])[0]
    assert values(events[:5]) == ["reighth", "32nd", "32nd", "16th", "16th"]
    assert [event.beams[:1] for event in events[:5]] == [[], ["begin"], ["end"], ["begin"], ["end"]]


def test_compound_time_is_beamed_in_threes():
    events = write(run(range(0, 37, 6)), time_signatures=((0, 6, 8),))[0]
    assert [event.beams[0] for event in events] == ["begin", "continue", "end"] * 2


def test_rests_fill_the_measure():
    events = write([(0, 12, 72), (42, 48, 72)])[0]
    assert values(events) == ["quarter", "rquarter", "rquarter", "reighth", "eighth"]
    assert values(write([(0, 12, 72)], staff=1)[0]) == ["rfull"]


@pytest.mark.parametrize("steps_per_quarter", [1, 2, 3, 4, 6, 8, 12, 24])
@pytest.mark.parametrize(
    "signatures", [((0, 4, 4),), ((0, 6, 8),), ((0, 3, 4),), ((0, 5, 8),), ((0, 2, 2), (48, 3, 4))]
)
def test_any_music_keeps_its_onsets_and_durations(steps_per_quarter, signatures):
    rng = np.random.default_rng(steps_per_quarter)
    start = rng.integers(0, 16 * steps_per_quarter, 80)
    end = start + rng.integers(1, 3 * steps_per_quarter + 1, 80)
    notes = build_notes(
        start,
        end,
        rng.integers(40, 84, 80),
        steps_per_quarter=steps_per_quarter,
        time_signatures=signatures if steps_per_quarter == 12 else ((0, 4, 4),),
    )[0]
    score = notate(notes)
    written = quantize(np.array(score.ticks), TICKS, steps_per_quarter)
    assert written[:, 0].tolist() == notes.start.tolist()
    assert written[:, 1].tolist() == notes.end.tolist()
    for measure, staff_measure in zip(score.measures, score.parts[0].staves[0]):
        for events in staff_measure.voices:
            assert sum(event.length for event in events) == measure.length * score.ticks_per_step
