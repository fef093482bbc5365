"""The piano-roll CNN and its input."""

import numpy as np
import pytest
import tiny
import torch

from clara.music.notes import LOWEST_PIANO_PITCH, build_notes, crop, transpose
from critic.nets import piano_roll as rolls_module
from critic.nets.piano_roll import (
    COLUMN_QUARTERS,
    CONTEXT_QUARTERS,
    N_KEYS,
    TRANSPOSITIONS,
    PianoRollNet,
    collate_piano_rolls,
    piano_roll,
)


@pytest.fixture(scope="module")
def rolls():
    return tiny.classifier("piano_roll")


def test_a_roll_tells_onsets_and_what_sounds():
    notes = build_notes([0, 3, 3, 6], [3, 6, 9, 12], [60, 60, 21, 108])[0]
    found = piano_roll(notes, 12)
    assert found.shape == (2, N_KEYS, 12) and found.dtype == np.uint8
    assert {(k + LOWEST_PIANO_PITCH, s) for k, s in zip(*found[0].nonzero())} == {(60, 0), (60, 3), (21, 3), (108, 6)}
    assert found[1].sum() == 3 + 3 + 6 + 6 and found[1, 60 - LOWEST_PIANO_PITCH].tolist() == [1] * 6 + [0] * 6


def test_a_roll_ends_where_it_is_told_and_folds_what_no_piano_has():
    notes = build_notes([0, 0, 20], [40, 8, 24], [60, 12, 64])[0]
    found = piano_roll(notes, 10)
    assert found.shape == (2, N_KEYS, 10) and found[1, 60 - LOWEST_PIANO_PITCH].all() and found[0].sum() == 2
    low = found[0, :24].nonzero()[0]
    assert low.tolist() == [(12 - LOWEST_PIANO_PITCH) % 12]


def test_a_batch_is_moved_in_keys_as_notes_are():
    notes = crop(tiny.tune(3, n_notes=40), 0, 96)
    moved, n_steps = collate_piano_rolls([(notes, 96), (notes, 96)], np.array([5, -4]))
    assert n_steps == [96, 96]
    for row, shift in zip(moved, (5, -4)):
        assert np.array_equal(row.numpy(), piano_roll(transpose(notes, shift)[0], 96))


@pytest.mark.parametrize(
    "quarters, window, spans",
    [(32, 8, [(0, 10), (0, 14), (2, 16), (6, 16)]), (32, 32, [(0, 16)]), (9, 8, [(0, 5)]), (8, 32, [(0, 4)])],
)
def test_a_window_is_judged_by_what_is_around_it(quarters, window, spans):
    assert CONTEXT_QUARTERS == 32 and COLUMN_QUARTERS == 2
    assert PianoRollNet(2, 12, window, [2, 2, 2, 2]).window_columns(quarters * 12) == spans


@pytest.mark.parametrize("bf16, apart", [(False, 1e-5), (True, 5e-3)])
def test_fused_norms_change_nothing(bf16, apart, monkeypatch):
    monkeypatch.setattr(rolls_module, "has_fast_bfloat16", lambda: bf16)
    torch.manual_seed(0)
    net = PianoRollNet(2, 12, 8, [4, 6, 8, 10])
    pieces = collate_piano_rolls([(crop(tiny.tune(i, n_notes=90), 0, n), n) for i, n in enumerate((384, 300))])
    for _ in range(3):
        net.train()(*pieces)  # norms learn means and deviations
    with torch.inference_mode():
        before = net.eval()(*pieces)
        net.fuse()
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
        assert {c.weight.dtype for c in net.convolutions} == {torch.bfloat16 if bf16 else torch.float32}
        assert torch.allclose(net(*pieces), before, atol=apart) and before.std() > 10 * apart


def test_a_piece_is_judged_in_two_keys(rolls):
    """What is said of a piece is the mean of what the net hears in the keys that it is moved to."""
    pieces = [crop(tiny.tune(i, n_notes=90), 0, 384) for i in range(3)]
    found = rolls.score(pieces)
    assert len(TRANSPOSITIONS) == 2 and 0 not in TRANSPOSITIONS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rolls_module, "TRANSPOSITIONS", (0,))
        moved = [rolls.score([transpose(p, shift)[0] for p in pieces]) for shift in TRANSPOSITIONS]
        assert np.abs(moved[0] - rolls.score(pieces)).max() > 1e-4  # strides
    assert found == pytest.approx(np.mean(moved, axis=0), abs=1e-5)


@pytest.mark.parametrize("steps_per_quarter", [4, 12])
def test_columns_are_two_quarters_on_every_grid(steps_per_quarter):
    net = PianoRollNet(2, steps_per_quarter, 8, [3, 3, 3, 3]).eval()
    x = torch.zeros(1, 2, N_KEYS, 32 * steps_per_quarter)
    for convolution in net.convolutions:
        x = convolution(x) if x.shape[1] == convolution.in_channels else x
    assert x.shape[3] == 32 / COLUMN_QUARTERS
    assert net(torch.zeros(1, 2, N_KEYS, 32 * steps_per_quarter), [32 * steps_per_quarter]).shape == (4, 2)
