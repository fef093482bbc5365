"""Self-similarity matrices, and the network that reads them."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from clara.music.notes import build_notes, crop, transpose
from critic.members.self_similarity import random_part
from critic.nets import self_similarity as similarity
from critic.nets.self_similarity import (
    COLUMN_STEPS,
    LAYERS,
    N_COLUMNS,
    N_KEYS,
    SelfSimilarityNet,
    collate_self_similarity,
    onset_table,
    segment_onset_tables,
    self_similarity_matrices,
)

STEP = COLUMN_STEPS  # of a tune on a grid of twelve, one to a column


def picture(notes):
    return self_similarity_matrices([onset_table(notes)])[0].numpy()


def line(pitches, gap=STEP):
    at = np.arange(len(pitches)) * gap
    return build_notes(at, at + gap, pitches)[0]


def cosine(a, b):
    return len(a & b) / np.sqrt(len(a) * len(b)) if a and b else 0.0


@given(st.integers(1, 120), st.integers(0, 10**6))
def test_each_cell_is_the_cosine_of_two_columns(n_notes, seed):
    notes = tiny.tune(seed, n_notes)
    columns = [[] for _ in range(N_COLUMNS)]
    for start, pitch in zip(notes.start.tolist(), notes.pitch.tolist()):
        if start < N_COLUMNS * COLUMN_STEPS:
            columns[start // COLUMN_STEPS].append((start % COLUMN_STEPS, pitch))
    found = picture(notes)
    assert found.shape == (len(LAYERS), N_COLUMNS, N_COLUMNS) and np.isfinite(found).all()
    sides = [
        [{p for _, p in c} for c in columns],
        [{p % 12 for _, p in c} for c in columns],
        [{s for s, _ in c} for c in columns],
        [{p - min(q for _, q in c) for _, p in c} for c in columns],
    ]
    some = np.random.default_rng(seed).integers(N_COLUMNS, size=(40, 2))
    for layer, side in zip(found, sides):
        assert [layer[i, j] for i, j in some] == pytest.approx([cosine(side[i], side[j]) for i, j in some], abs=1e-5)


@given(st.integers(0, 10**6), st.integers(-5, 5))
def test_another_key_looks_the_same(seed, shift):
    notes = tiny.tune(seed, 60)
    assert np.array_equal(picture(transpose(notes, shift)[0]), picture(notes))


@given(st.integers(0, 10**6), st.sampled_from([24, 48]))
def test_a_finer_grid_looks_the_same(seed, grid):
    notes = tiny.tune(seed, 60)
    finer = replace(
        notes, start=notes.start * (grid // 12), duration=notes.duration * (grid // 12), steps_per_quarter=grid
    )
    assert np.array_equal(picture(finer), picture(notes))


def test_a_coarser_grid_stands_where_its_steps_do():
    notes = build_notes([0, 1, 2, 5], [1, 2, 5, 8], [60, 62, 64, 65], steps_per_quarter=4)[0]
    assert onset_table(notes)[:, :2].tolist() == [[0, 0], [0, 3], [1, 0], [2, 3]]


def test_what_comes_again_is_a_stripe_and_what_is_moved_only_above_the_lowest():
    tune = [60, 64, 67, 62, 65, 69, 71, 74]
    again, moved = picture(line(tune + tune)), picture(line([*tune, *(p + 1 for p in tune)]))
    for layer in again:
        assert np.diagonal(layer, 8)[:8] == pytest.approx(np.ones(8))
    assert np.diagonal(moved[0], 8)[:8].max() == np.diagonal(moved[1], 8)[:8].max() == 0
    assert np.diagonal(moved[3], 8)[:8] == pytest.approx(np.ones(8))


def test_what_no_piano_has_counts_as_its_nearest_key_and_what_comes_late_not_at_all():
    notes = build_notes([0, 0, 3, COLUMN_STEPS * N_COLUMNS], [3, 3, 6, COLUMN_STEPS * N_COLUMNS + 3], [5, 120, 60, 60])[
        0
    ]
    assert onset_table(notes).tolist() == [[0, 0, 0], [0, 0, N_KEYS - 1], [0, 3, 60 - 21]]


def test_a_run_of_columns_is_that_corner_of_the_picture():
    notes, rng = crop(tiny.tune(2, 400), 0, N_COLUMNS * COLUMN_STEPS), np.random.default_rng(0)
    found, whole = onset_table(notes), picture(notes)
    runs = [random_part(found, rng) for _ in range(30)]
    assert any(run is found for run in runs) and sum(len(run) < len(found) for run in runs) > 5
    for run in runs:
        length = int(run[-1, 0]) + 1
        seen, first = self_similarity_matrices([run])[0].numpy(), {tuple(t) for t in found.tolist()}
        at = next(k for k in range(N_COLUMNS) if all((c + k, s, p) in first for c, s, p in run.tolist()))
        assert seen[:, :length, :length] == pytest.approx(whole[:, at : at + length, at : at + length], abs=1e-6)
        assert not seen[:, length:].any() and length >= 16 - 1


@pytest.mark.parametrize("bf16, apart", [(False, 1e-5), (True, 5e-3)])
def test_fused_norms_change_nothing(bf16, apart, monkeypatch):
    monkeypatch.setattr(similarity, "has_fast_bfloat16", lambda: bf16)
    torch.manual_seed(0)
    net, seen = (
        SelfSimilarityNet(2, [4, 6, 8]),
        self_similarity_matrices([onset_table(tiny.tune(i, n_notes=90)) for i in range(6)]),
    )
    for _ in range(3):
        net.train().segment_logits(seen)  # norms learn means and deviations
    with torch.inference_mode():
        before = net.eval().segment_logits(seen)
        net.fuse()
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
        assert torch.allclose(net.segment_logits(seen), before, atol=apart) and before.std() > 5 * apart


def test_a_window_is_judged_by_the_stretches_that_it_lies_in():
    net = tiny.member("self_similarity").net
    pieces = [
        segment_onset_tables(crop(tiny.tune(i, 1000), 0, quarters * 12), quarters * 12, 8)
        for i, quarters in enumerate((20, 70))
    ]
    seen, cover = collate_self_similarity(pieces)
    assert (
        [len(some) for some, _ in pieces] == [1, 4]
        and seen.shape == (5, len(LAYERS), N_COLUMNS, N_COLUMNS)
        and cover.shape == (2 + 9, 5)
    )
    with torch.inference_mode():
        found, each = net(seen, cover), net.segment_logits(seen)
    assert torch.allclose(found, cover @ each) and torch.allclose(cover.sum(1), torch.ones(11))
