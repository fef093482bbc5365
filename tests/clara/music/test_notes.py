"""NoteSequence, the grid, and what building, folding, transposing and cropping lose."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from examples import HANDWRITTEN, columns, handwritten, note_sequences, rows
from hypothesis import given
from hypothesis import strategies as st

from clara.music.notes import (
    NoteSequence,
    build_notes,
    crop,
    describe_losses,
    fold_octaves,
    quantize,
    select,
    transpose,
)

RAW = st.lists(st.tuples(st.integers(0, 30), st.integers(-3, 20), st.integers(58, 62), st.integers(0, 1)), max_size=40)


def sounding(notes):
    """Return the (part, pitch, step) that sound."""
    return {(q, p, step) for (s, d, p), q in zip(rows(notes), notes.part.tolist()) for step in range(s, s + d)}


@given(st.lists(st.integers(0, 10**7)), st.integers(1, 2000), st.integers(1, 96))
def test_quantize_is_exact_fractions_rounded_half_up(ticks, per_quarter, steps_per_quarter):
    exact = [floor(Fraction(t * steps_per_quarter, per_quarter) + Fraction(1, 2)) for t in ticks]
    assert quantize(ticks, per_quarter, steps_per_quarter).tolist() == exact


def test_quantize_takes_halves_up_and_keeps_shape():
    assert quantize([[19, 20], [59, 60]], 480, 12).tolist() == [[0, 1], [1, 2]]


def build_slowly(raw):
    """Do what `build_notes` does, plainly: return ([(start, duration, pitch, part)], merged, cut)."""
    ends = {}
    for start, duration, pitch, part in raw:
        tone = ends.setdefault((part, pitch), {})
        tone[start] = max(start + max(duration, 1), tone.get(start, 0))
    built, cut = [], 0
    for (part, pitch), tone in ends.items():
        for start, following in zip(sorted(tone), [*sorted(tone)[1:], np.inf]):
            cut += tone[start] > following
            built.append((start, min(tone[start], following) - start, pitch, part))
    return sorted(built, key=lambda n: (n[0], n[3], n[2])), len(raw) - len(built), cut


@given(RAW)
def test_build_notes_merges_cuts_and_counts(raw):
    start, duration, pitch, part = columns(raw, 4)
    notes, losses = build_notes(start, start + duration, pitch, part)
    built, merged, cut = build_slowly(raw)
    assert [(*row, p) for row, p in zip(rows(notes), notes.part.tolist())] == built
    assert (losses["merged"], losses["cut"]) == (merged, cut)


@given(note_sequences(parts=2), st.randoms())
def test_building_valid_notes_in_any_order_changes_nothing(notes, random):
    order = random.sample(range(len(notes)), len(notes))
    again, losses = build_notes(*(c[order] for c in (notes.start, notes.end, notes.pitch, notes.part)))
    assert again == notes and not +losses


def test_build_notes_by_hand():
    notes, losses = build_notes([10, 0, 0, 4, 0], [10, 6, 3, 8, 5], [70, 60, 60, 60, 61])
    assert rows(notes) == [(0, 4, 60), (0, 5, 61), (4, 4, 60), (10, 1, 70)]
    assert losses == Counter(merged=1, cut=1)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"start": [12, 0]}, "not sorted"),
        ({"start": [-1, 12]}, "before step 0"),
        ({"duration": [0, 12]}, "less than one step"),
        ({"duration": [13, 12], "pitch": [60, 60]}, "overlap"),
        ({"pitch": [60, 128]}, "outside 0-127"),
        ({"pitch": [-1, 60]}, "outside 0-127"),
        ({"part": [0, -1]}, "part is negative"),
        ({"part": [0]}, "equally long"),
        ({"steps_per_quarter": 0}, "steps_per_quarter"),
        ({"qpm": 0.0}, "qpm"),
        ({"qpm": float("nan")}, "qpm"),
    ],
)
def test_columns_that_break_the_conventions_are_refused(change, message):
    right = {"start": [0, 12], "duration": [12, 12], "pitch": [60, 62], "part": [0, 0]}
    assert len(NoteSequence(**right)) == 2
    with pytest.raises(ValueError, match=message):
        NoteSequence(**right | change)


def test_equality_takes_grid_and_notes_and_leaves_tempo():
    notes = handwritten("chord")
    assert notes == replace(notes, qpm=90.0)
    assert notes != replace(notes, steps_per_quarter=4)
    assert notes != transpose(notes, 1)[0]
    assert notes != "chord"


def test_lengths():
    notes = replace(handwritten("held under a line"), qpm=60.0)
    assert (notes.n_steps, notes.quarters, notes.seconds) == (96, 8.0, 8.0)
    assert "4 notes, 8 quarters at 60 qpm, 12 steps" in repr(notes)
    empty = build_notes([], [], [])[0]
    assert (len(empty), empty.n_steps, empty.seconds) == (0, 0, 0)


@given(note_sequences(lowest=0, highest=127, parts=2), st.integers(-130, 130))
def test_transpose_moves_what_stays_and_counts_what_leaves(notes, semitones):
    moved, losses = transpose(notes, semitones)
    kept = [(s, d, p + semitones) for s, d, p in rows(notes) if 0 <= p + semitones <= 127]
    assert rows(moved) == kept
    assert losses["dropped"] == len(notes) - len(kept)


@given(note_sequences(lowest=0, highest=127, parts=2), st.sampled_from([(21, 108), (33, 94), (45, 82), (60, 71)]))
def test_fold_octaves_moves_each_note_to_the_nearest_place(notes, bounds):
    lowest, highest = bounds
    folded, losses = fold_octaves(notes, lowest, highest)
    assert losses["folded"] == sum(not lowest <= p <= highest for p in notes.pitch)
    pitch = []
    for p in notes.pitch.tolist():
        while p < lowest:
            p += 12
        while p > highest:
            p -= 12
        pitch.append(p)
    by_hand, lost = build_notes(notes.start, notes.end, pitch, notes.part)
    assert folded == by_hand
    assert +losses == +(lost + Counter(folded=losses["folded"]))
    assert fold_octaves(folded, lowest, highest) == (folded, Counter())


@given(note_sequences(parts=2), st.integers(0, 150), st.integers(0, 60))
def test_crop_keeps_what_sounds_inside(notes, first, length):
    inside = {(q, p, step - first) for q, p, step in sounding(notes) if first <= step < first + length}
    assert sounding(crop(notes, first, first + length)) == inside


@pytest.mark.parametrize("name", HANDWRITTEN)
def test_crop_to_the_whole_changes_nothing(name):
    notes = handwritten(name)
    assert crop(notes, 0, notes.n_steps) == notes


def test_select_keeps_grid_and_tempo():
    notes = replace(handwritten("chord", 4), qpm=77.0)
    low = select(notes, notes.pitch < 50)
    assert rows(low) == [(0, 12, 48), (12, 12, 47)]
    assert (low.steps_per_quarter, low.qpm) == (4, 77.0)


def test_columns_become_int64():
    assert NoteSequence(*np.ones((4, 1), dtype=np.int8)).start.dtype == np.int64


def test_from_notes_sorts_and_checks():
    notes = NoteSequence.from_notes([(12, 6, 64), (0, 12, 72, 1), (0, 12, 60)], steps_per_quarter=6, qpm=90)
    assert rows(notes) == [(0, 12, 60), (0, 12, 72), (12, 6, 64)] and notes.part.tolist() == [0, 1, 0]
    assert (notes.steps_per_quarter, notes.qpm) == (6, 90)
    assert len(NoteSequence.from_notes([])) == 0
    with pytest.raises(ValueError, match="overlap"):
        NoteSequence.from_notes([(0, 12, 60), (6, 12, 60)])


def test_losses_are_described_in_singular_and_plural():
    assert describe_losses(Counter(tunes=1, grace=2, merged=1, cut=0)) == (
        "1 other tune left out, 2 grace notes left out, 1 merged"
    )
    assert describe_losses(Counter(tunes=12)) == "12 other tunes left out" and not describe_losses(Counter())
