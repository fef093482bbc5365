"""The descriptors of a segment."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from clara.music.notes import build_notes, crop, rebuild_notes, transpose
from critic.features.descriptor_kernels import BAR, LEAP, N_KEYS, count_repeats, count_sounding, scatter, self_overlap
from critic.features.descriptors import GROUPS, N_DESCRIPTORS, SegmentNotes, _line, extract_descriptors
from critic.features.segments import STEPS_PER_QUARTER


def group(name, notes):
    return np.ravel(GROUPS[name](SegmentNotes(notes)))


def tunes(n_notes=60):
    return st.integers(0, 10**6).map(lambda seed: tiny.tune(seed, n_notes))


@given(st.integers(1, 80), st.integers(0, 10**6))
def test_descriptors_are_finite_and_their_number_is_fixed(n_notes, seed):
    values = extract_descriptors(tiny.tune(seed, n_notes))
    assert values.dtype == np.float32 and values.shape == (N_DESCRIPTORS,) and np.isfinite(values).all()


@given(tunes(), st.integers(-12, 12))
def test_transposition_changes_only_the_height(notes, shift):
    moved = transpose(notes, shift)[0]
    for name in ("outer voices", "rhythm", "bars", "repetition"):
        values, again = group(name, notes), group(name, moved)
        if name == "bars":  # whose mean, least and greatest height are among them
            height = slice(16, 20)
            values, again = np.delete(values, height), np.delete(again, height)
        np.testing.assert_allclose(again, values, atol=1e-9)


@given(tunes(), st.sampled_from([12, 24, 48]))
def test_a_finer_grid_changes_nothing(notes, grid):
    finer = replace(notes, start=notes.start * grid // 12, duration=notes.duration * grid // 12, steps_per_quarter=grid)
    np.testing.assert_array_equal(extract_descriptors(finer), extract_descriptors(notes))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.integers(1, 5))
def test_repeats_are_those_of_a_counter(line, n):
    at, found = np.arange(len(line)) * 5, np.zeros((1, 3))
    count_repeats(scatter(np.array([line])), at, np.array([n]), found)
    runs = [tuple(line[i : i + n]) for i in range(len(line) - n + 1)]
    if not runs:
        assert found.tolist() == [[1, 0, 0]]
        return
    many = Counter(runs)
    later = [at[i] - at[runs.index(run)] >= BAR * STEPS_PER_QUARTER for i, run in enumerate(runs)]
    assert found[0] == pytest.approx([len(many) / len(runs), max(many.values()) / len(runs), np.mean(later)])


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(1, 30))
def test_self_overlap_is_a_cosine(places, lag):
    where = np.array(sorted(places))
    here, there = [p for p in places if p <= max(places) - lag], [p for p in places if p >= lag]
    both = sum(p + lag in places for p in here)
    found = np.zeros(1)
    for unit in (1, 128):
        self_overlap(where * unit, unit, np.array([lag]), found)
        assert found[0] == pytest.approx(both / np.sqrt(len(here) * len(there)) if here and there else 0)


@given(tunes(40))
def test_sounding_keys_are_those_of_a_piano_roll(notes):
    music = SegmentNotes(notes)
    roll = np.zeros((int(music.end.max()), N_KEYS), dtype=bool)
    for start, end, key in zip(music.start, music.end, music.key):
        roll[start:end, key] = True
    (lowest, sounding, reach), apart, clash = (
        np.zeros((3, len(music.onset_times)), dtype=np.int64),
        np.zeros(N_KEYS, dtype=np.int64),
        np.zeros(12, dtype=np.int64),
    )
    count_sounding(music.onset_times, music.onset_of_note, music.end, music.key, lowest, sounding, reach, apart, clash)
    keys = [np.flatnonzero(roll[at]) for at in music.onset_times]
    assert [(k[0], len(k), k[-1] - k[0]) for k in keys] == list(zip(lowest, sounding, reach))
    assert Counter(np.concatenate([np.diff(k) for k in keys]).tolist()) == {
        d: n for d, n in enumerate(apart.tolist()) if n
    }
    assert clash.tolist() == [sum((b - a == d) for k in keys for a in k for b in k) for d in range(1, 13)]


@given(st.lists(st.tuples(st.integers(30, 90), st.integers(1, 20)), min_size=3, max_size=40))
def test_a_line_is_described_by_its_intervals(line):
    pitch, at = np.array([p for p, _ in line]), np.cumsum([gap for _, gap in line])
    values, moves, gaps = _line(pitch, at), np.diff(pitch), np.diff(at)
    assert values[:49] == pytest.approx(np.bincount(moves.clip(-24, 24) + 24, minlength=49) / len(moves))
    assert values[49:62] == pytest.approx(
        np.bincount(np.abs(np.diff(moves)).clip(0, 12), minlength=13) / (len(moves) - 1)
    )
    after = [abs(b) for a, b in pairwise(moves) if abs(a) >= LEAP]
    assert values[62:] == pytest.approx(
        [
            np.mean(moves[1:] * moves[:-1] < 0),
            np.mean(moves == 0),
            np.abs(moves).mean(),
            np.ptp(pitch),
            pitch.std(),
            np.mean(after) if after else 0,
            np.mean(moves[1:] == moves[:-1]),
            np.mean(gaps[1:] == gaps[:-1]),
        ]
    )
    assert _line(pitch[:2], at[:2]).tolist() == [0] * 70


def test_repetition_is_found_in_any_key():
    """Four times eight quarters: the same, transposed each time, or new each time."""

    def some(seed):
        rng = np.random.default_rng(seed)
        start = np.repeat(rng.integers(1, 12, 30).cumsum(), 3)
        return crop(build_notes(start, start + 3, rng.integers(40, 80, 90))[0], 0, 96)

    once = some(0)

    def four(parts):
        return rebuild_notes(
            once,
            *(
                np.concatenate(c)
                for c in zip(*((p.start + 96 * i, p.end + 96 * i, p.pitch, p.part) for i, p in enumerate(parts)))
            ),
        )[0]

    same, moved, new = (
        four(parts) for parts in ([once] * 4, [transpose(once, i)[0] for i in range(4)], [some(i) for i in range(4)])
    )
    names = [
        "top",
        "bottom",
        "up and down",
        "up and down, bottom",
        "gaps",
        "top in time",
        "bottom in time",
        "pitches in time",
        "chords",
        "shapes",
        "shapes in time",
    ]
    differ = {
        which: dict(zip(names, group("repetition", notes)[:132].reshape(11, 4, 3)[:, -1, 0]))
        for which, notes in (("same", same), ("moved", moved), ("new", new))
    }
    for name in names:
        assert differ["same"][name] < 0.5 * differ["new"][name]
        if name not in ("pitches in time", "chords"):  # which a new key changes
            assert differ["moved"][name] < 0.6 * differ["new"][name]
    assert differ["moved"]["chords"] > 0.9 * differ["new"]["chords"]


def test_chords_intervals_and_rests_are_counted():
    notes = build_notes([0, 0, 0, 24, 24, 48], [12, 12, 12, 36, 36, 60], [60, 64, 67, 60, 67, 62])[0]
    together, rhythm = group("simultaneous notes", notes), group("rhythm", notes)
    assert together[:25].nonzero()[0].tolist() == [3, 4, 7] and together[:25].sum() == pytest.approx(1)
    assert together[98:108] == pytest.approx([1 / 3] * 3 + [0] * 7)  # one, two, three notes at a time
    assert rhythm[-2:] == pytest.approx([2 / 5, 2 / 5])  # two quarters of five are silent, and two rests
