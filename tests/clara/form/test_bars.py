"""Bars and their classes of small handwritten pieces, and against the definition."""

import numpy as np
import pytest
from examples import OTHER_THEME, THEME, bars_to_notes, note_sequences, pieces_with_form, up
from hypothesis import given
from hypothesis import strategies as st

from clara.form.bars import (
    RHYTHM_JACCARD,
    VARIED_JACCARD,
    classify_bars,
    similarity_to_earlier,
    split_evenly,
    split_into_bars,
)
from clara.form.plan import EXACT, NEW, RHYTHM, SILENT, TRANSPOSED, UNKNOWN, VARIED
from clara.music.notes import NoteSequence, transpose

QUARTER, BAR = 12, 48


def kinds(*bars):
    """Return the class of each bar of a piece."""
    return classify_bars(split_into_bars(bars_to_notes(*bars))).kind.tolist()


def test_each_class_by_hand():
    varied = [*THEME[:3], (36, 71)]  # three of five pairs are common
    same_rhythm = [(0, 50), (12, 57), (24, 51), (36, 60)]
    bars = (THEME, THEME, varied, up(THEME, 3), same_rhythm, OTHER_THEME)
    assert kinds(*bars) == [NEW, EXACT, VARIED, TRANSPOSED, RHYTHM, NEW]
    assert classify_bars(split_into_bars(bars_to_notes(*bars))).shift.tolist() == [0, 0, 0, 3, 0, 0]


def test_limits_of_the_classes():
    half = [(0, 60), (12, 64), (24, 50), (36, 51)]  # two of six pairs
    assert kinds(THEME, half) == [NEW, RHYTHM]
    assert kinds(THEME, THEME[:2]) == [NEW, VARIED]  # two of four pairs
    four_of_five = [(onset, 40) for onset in (0, 12, 24, 36, 42)]
    assert kinds(THEME, four_of_five) == [NEW, RHYTHM]
    assert kinds(THEME, [(0, 40), (12, 41), (24, 45)]) == [NEW, NEW]  # three of four onsets
    assert kinds(THEME, [], THEME) == [NEW, SILENT, EXACT]
    assert kinds([], THEME, [], THEME) == [SILENT, NEW, SILENT, EXACT]


def test_shares_leave_out_the_first_bar_and_silence():
    classes = classify_bars(split_into_bars(bars_to_notes(THEME, THEME, [], OTHER_THEME)))
    assert classes.shares().tolist() == [0.5, 0, 0, 0, 0.5]
    assert classes.first(2).shares().tolist() == [1, 0, 0, 0, 0]


def test_sources_keep_their_distance():
    classes = classify_bars(split_into_bars(bars_to_notes(THEME, OTHER_THEME, THEME, THEME, OTHER_THEME)))
    assert classes.source.tolist() == [-1, -1, 0, 2, 1]
    # bar 4 could return to 0, 1 or 3; it follows bar 3, which returns over three bars
    classes = classify_bars(split_into_bars(bars_to_notes(OTHER_THEME, THEME, up(THEME, 1), OTHER_THEME, THEME, THEME)))
    assert classes.source[3:].tolist() == [0, 1, 4]
    assert classes.exact_distances.tolist() == [3, 3, 1]


def test_bars_follow_the_time_signatures():
    signatures = ((0, 3, 4), (72, 2, 4), (120, 6, 8))
    notes = bars_to_notes(*[[(0, 60)]] * 20, bar_steps=QUARTER, time_signatures=signatures)
    bars = split_into_bars(notes)
    assert bars.begin.tolist() == [0, 36, 72, 96, 120, 156, 192, 228, 264]
    assert (bars.begin[bars.bar] + bars.onset == notes.start).all()
    assert len(split_evenly(notes, 48)) == 5


def test_an_upbeat_is_the_end_of_a_bar():
    notes = NoteSequence.from_notes([(0, 12, 60), (12, 12, 62), (24, 12, 64)], time_signatures=((-36, 4, 4),))
    bars = split_into_bars(notes)
    assert bars.begin.tolist() == [-36, 12, 60]
    assert (bars.bar.tolist(), bars.onset.tolist()) == ([0, 1, 1], [36, 0, 12])


def test_a_bar_that_a_change_of_signature_cuts_short():
    notes = NoteSequence.from_notes([(0, 100, 60)], time_signatures=((0, 4, 4), (60, 3, 4)))
    assert split_into_bars(notes).begin.tolist() == [0, 48, 60, 96, 132]


def test_bars_that_end_between_steps():
    notes = NoteSequence.from_notes([(0, 1, 60), (4, 1, 60)], time_signatures=((0, 1, 32),))
    assert split_into_bars(notes).begin.tolist() == [0, 1, 3, 4, 5]


def test_silent_bars_before_the_music():
    bars = split_into_bars(bars_to_notes([], [], THEME, THEME))
    assert len(bars) == 4
    bars = bars.without_silent_beginning()
    assert len(bars) == 2 and bars.begin[0] == 2 * BAR and bars.bar.tolist() == [0] * 4 + [1] * 4


def test_the_first_bars():
    bars = split_into_bars(bars_to_notes(THEME, [], OTHER_THEME, THEME)).first(3)
    assert len(bars) == 3 and bars.begin.tolist() == [0, 48, 96, 144] and bars.pitch.tolist()[4:] == [65, 69, 72, 77]


def test_jaccard_by_hand():
    bar, item = np.array([0, 0, 0, 1, 1]), np.array([5, 6, 6, 6, 7])
    np.testing.assert_allclose(similarity_to_earlier(bar, item, 3), [[0, 0, 0], [1 / 3, 0, 0], [0, 0, 0]])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1))
def test_jaccard_equals_its_definition(pairs):
    bar, item = np.array(pairs).T.copy()
    sets = [{j for i, j in pairs if i == b} for b in range(6)]
    every_pair = [[len(a & b) / max(1, len(a | b)) for b in sets] for a in sets]
    np.testing.assert_allclose(similarity_to_earlier(bar, item, 6), np.tril(every_pair, -1))


def classify_by_definition(bars):
    """Return (class, shift) of each bar, by comparing sets with every earlier bar."""
    contents = [
        set(zip(bars.onset[bars.bar == b].tolist(), bars.pitch[bars.bar == b].tolist())) for b in range(len(bars))
    ]
    for bar, content in enumerate(contents):
        earlier = [other for other in contents[:bar] if other]
        onsets = {onset for onset, _ in content}
        moved = [
            by
            for by in range(-127, 128)
            if any({(onset, pitch + by) for onset, pitch in o} == content for o in earlier)
        ]
        if not content:
            yield SILENT
        elif content in earlier:
            yield EXACT
        elif any(len(content & o) >= VARIED_JACCARD * len(content | o) for o in earlier):
            yield VARIED
        elif moved:
            yield TRANSPOSED
        elif any(len(onsets & {t for t, _ in o}) >= RHYTHM_JACCARD * len(onsets | {t for t, _ in o}) for o in earlier):
            yield RHYTHM
        else:
            yield NEW


@given(pieces_with_form() | note_sequences(min_notes=1))
def test_classes_equal_their_definition(notes):
    bars = split_into_bars(notes)
    classes = classify_bars(bars)
    assert classes.kind.tolist() == list(classify_by_definition(bars))
    has_source = (classes.kind != NEW) & (classes.kind != SILENT)
    assert ((classes.source == UNKNOWN) == ~has_source).all()
    assert (classes.source < np.arange(len(bars))).all()
    assert ((classes.shift != 0) == (classes.kind == TRANSPOSED)).all()
    for bar in np.flatnonzero(np.isin(classes.kind, (EXACT, TRANSPOSED))):
        here, there = bars.bar == bar, bars.bar == classes.source[bar]
        moved = zip(bars.onset[there].tolist(), (bars.pitch[there] + classes.shift[bar]).tolist())
        assert set(zip(bars.onset[here].tolist(), bars.pitch[here].tolist())) == set(moved)


@given(pieces_with_form(), st.integers(-12, 12))
def test_the_key_does_not_matter(notes, semitones):
    classes = classify_bars(split_into_bars(notes))
    other = classify_bars(split_into_bars(transpose(notes, semitones)[0]))
    for name in ("kind", "source", "shift", "jaccard"):
        assert (getattr(classes, name) == getattr(other, name)).all()


@pytest.mark.parametrize("signature", [(4, 4), (3, 8), (7, 8), (5, 16), (1, 32)])
@given(notes=note_sequences(min_notes=1))
def test_every_note_is_in_its_bar(signature, notes):
    notes = NoteSequence(notes.start, notes.duration, notes.pitch, notes.part, time_signatures=((0, *signature),))
    bars = split_into_bars(notes)
    assert (np.diff(bars.begin) > 0).all() and bars.begin[0] == 0 and bars.begin[-1] >= notes.n_steps
    assert (bars.begin[bars.bar] + bars.onset == notes.start).all()
    assert (bars.onset >= 0).all() and (notes.start < bars.begin[bars.bar + 1]).all()
