"""Chords and hands are spread by a few milliseconds."""

import numpy as np
import pytest
import tiny
from symusic import Score

from clara.music.expression import unperformed
from clara.music.midi import read_midi, write_midi
from clara.music.notes import build_notes
from clara.performing.chords import MAX_SECONDS, spread_chords

NOTES = build_notes(np.repeat(12 * np.arange(200), 4), np.repeat(12 * np.arange(200) + 12, 4), [40, 52, 64, 76] * 200)[
    0
]


def test_each_chord_has_a_note_in_time_and_others_soon_after():
    delay = spread_chords(NOTES, unperformed(NOTES)).delay_seconds.reshape(200, 4)
    assert (delay.min(1) == 0).all() and 0.002 < delay.mean() < 0.012 and delay.max() <= MAX_SECONDS


def test_single_notes_keep_their_time():
    notes = build_notes(12 * np.arange(20), 12 * np.arange(20) + 12, [60] * 20)[0]
    assert not spread_chords(notes, unperformed(notes)).delay_seconds.any()


def test_the_melody_leads():
    expression = unperformed(NOTES, flat=True)
    expression.velocity[NOTES.pitch == 76] += 30
    delay = spread_chords(NOTES, expression).delay_seconds
    assert delay[NOTES.pitch == 76].mean() < delay[NOTES.pitch == 64].mean() - 0.008


def test_the_seed_decides():
    first, again, other = (spread_chords(NOTES, unperformed(NOTES), seed).delay_seconds for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("qpm", [40.0, 300.0])
def test_midi_is_spread_on_request_and_read_at_the_same_places(tmp_path, qpm):
    notes = build_notes(NOTES.start, NOTES.end, NOTES.pitch, qpm=qpm)[0]
    expression = spread_chords(notes, unperformed(notes))
    ticks = {}
    for spread in (False, True):
        path = tmp_path / f"{spread}.mid"
        write_midi(notes, path, expression=expression, spread_chords=spread)
        assert read_midi(path)[0] == notes
        ticks[spread] = np.sort([note.time for track in Score(path).tracks for note in track.notes])
    assert not (ticks[False] % 40).any() and (ticks[True] % 40 > 0).mean() > 0.5


def test_a_very_short_note_keeps_a_length(tmp_path):
    notes = build_notes([0, 0], [1, 1], [60, 64], steps_per_quarter=480, qpm=300.0)[0]
    expression = spread_chords(notes, unperformed(notes))
    write_midi(notes, tmp_path / "a.mid", expression=expression, spread_chords=True)
    assert min(note.duration for track in Score(tmp_path / "a.mid").tracks for note in track.notes) >= 1


def test_nothing_to_spread():
    nothing = tiny.tune(0, n_notes=0)
    assert not len(spread_chords(nothing, unperformed(nothing)).delay_seconds)
