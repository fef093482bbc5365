"""Phrase starts of small handwritten pieces."""

import numpy as np
from examples import bars_to_notes, note_sequences
from hypothesis import given
from hypothesis import strategies as st

from clara.form.bars import VARIED_JACCARD, similarity_to_earlier, split_into_bars
from clara.form.phrases import NOVELTY_BARS, _barline_novelty, _returning_runs, is_melody, melody_pauses, phrase_starts
from clara.music.notes import NoteSequence

BAR = 48
SCALE = [[(0, 60 + i), (6, 62 + i), (12, 64 + i), (24, 65 + i), (36, 67 + i)] for i in (0, 3, 1)]


def test_phrases_start_after_long_notes():
    notes = bars_to_notes(*[*SCALE, [(0, 72)]] * 4)
    assert phrase_starts(notes, split_into_bars(notes)).tolist()[:3] == [4, 8, 12]
    pauses = melody_pauses(notes, np.arange(0, 16 * BAR, BAR))
    assert set(np.flatnonzero(pauses > 2)) >= {4, 8, 12}


def test_short_pieces_are_one_phrase():
    for n in (1, 2):
        notes = bars_to_notes(*SCALE[:n])
        assert phrase_starts(notes, split_into_bars(notes)).tolist() == []


def test_pauses_by_hand():
    onsets = [0, 12, 24, 36, 60, 72]  # a pause of two quarters over the barline at 48
    notes = NoteSequence.from_notes([(onset, 6, 60) for onset in onsets])
    assert melody_pauses(notes, np.array([0, 48, 96])).tolist() == [1 / 12, 2, 1 / 12]


def test_an_upbeat_belongs_to_the_next_phrase():
    notes = NoteSequence.from_notes([(onset, 6, 60) for onset in (0, 12, 36, 48, 60)])
    assert melody_pauses(notes, np.array([0, 48, 96]))[1] == 24 / 12  # it ends a quarter before the barline


def test_one_note_has_no_pauses():
    notes = NoteSequence.from_notes([(3, 6, 60)])
    assert melody_pauses(notes, np.array([0, 48])).tolist() == [1, 1]


def test_the_melody_is_what_nothing_sounds_above():
    notes = NoteSequence.from_notes([(0, 24, 72), (0, 12, 60), (12, 12, 64), (24, 12, 55)])
    assert notes.pitch[is_melody(notes)].tolist() == [72, 55]


@given(note_sequences(min_notes=1))
def test_the_melody_equals_its_definition(notes):
    columns = list(zip(notes.start.tolist(), notes.end.tolist(), notes.pitch.tolist()))
    highest = [max(p for s, e, p in columns if s <= start < e) for start, _, _ in columns]
    assert is_melody(notes).tolist() == [pitch == top for (_, _, pitch), top in zip(columns, highest)]


labels_of_bars = st.lists(st.integers(0, 3), min_size=1, max_size=14).map(np.array)


def similarity(labels):
    """Return the similarity of bars that are alike if they have one label."""
    return similarity_to_earlier(np.arange(len(labels)), labels, len(labels))


def test_returning_runs_by_hand():
    labels = np.array([0, 1, 2, 0, 1, 5, 0])
    runs = np.zeros(7)
    _returning_runs(similarity(labels), runs)
    assert runs.tolist() == [0, 0, 0, 2, 0, 0, 1]


@given(labels_of_bars)
def test_returning_runs_equal_their_definition(labels):
    n = len(labels)
    runs = np.zeros(n)
    _returning_runs(similarity(labels), runs)
    alike = np.tril(similarity(labels) >= VARIED_JACCARD, -1)
    for bar in range(n):
        lengths = [0]
        for other in range(bar):
            if alike[bar, other] and not (other and alike[bar - 1, other - 1]):
                diagonal = alike.diagonal(other - bar)[other:]
                lengths.append(int(np.cumprod(diagonal).sum()))
        assert runs[bar] == max(lengths)


@given(labels_of_bars)
def test_novelty_equals_its_definition(labels):
    n = len(labels)
    novelty = np.zeros(n)
    _barline_novelty(similarity(labels), np.ones(n), novelty)
    alike = (labels[:, None] == labels) * 1.0
    for bar in range(1, n):
        before, after = slice(max(0, bar - NOVELTY_BARS), bar), slice(bar, bar + NOVELTY_BARS)
        within = (alike[before, before].mean() + alike[after, after].mean()) / 2
        np.testing.assert_allclose(novelty[bar], within - alike[before, after].mean(), atol=1e-12)


@given(note_sequences(min_notes=1))
def test_phrases_ascend_within_the_piece(notes):
    bars = split_into_bars(notes)
    starts = phrase_starts(notes, bars)
    assert (np.diff(starts) > 1).all() and (starts > 0).all() and (starts < len(bars)).all()
