"""Pooling of token outputs by window."""

import numpy as np
import pytest
import torch

from clara.encodings.notewise import Notewise
from critic.nets.pooling import NO_WINDOW, concat_pool, moment_pool, window_indices

ENCODING = Notewise()


def test_pooling_is_that_of_each_window_alone():
    torch.manual_seed(0)
    outputs = torch.randn(2, 6, 3)
    window = torch.tensor([[0, 0, 0, 1, 1, NO_WINDOW], [0, 1, 1, 2, NO_WINDOW, NO_WINDOW]])
    found = concat_pool(outputs, window)
    wanted = [
        torch.cat([o.mean(0), o.amax(0), o[-1]])
        for row, of_row in zip(outputs, window)
        for o in (row[of_row == w] for w in range(int(of_row.max()) + 1))
    ]
    assert torch.allclose(found, torch.stack(wanted))


@pytest.mark.parametrize("context_windows", [1, 2])
def test_pooling_over_windows_around_is_that_of_all_their_words(context_windows):
    torch.manual_seed(0)
    outputs = torch.randn(3, 20, 3)
    window = torch.stack(
        [
            torch.arange(20) // 5,
            torch.where(torch.arange(20) < 15, torch.arange(20) // 7, NO_WINDOW),
            torch.arange(20) // 3,
        ]
    )
    wanted = []
    for row, of_row in zip(outputs, window):
        for w in range(int(of_row.max()) + 1):
            near = row[(of_row >= max(0, w - context_windows)) & (of_row <= w + context_windows)]
            wanted.append(torch.cat([near.mean(0), near.amax(0), row[of_row == w][-1]]))
    assert torch.allclose(concat_pool(outputs, window, context_windows), torch.stack(wanted), atol=1e-6)


@pytest.mark.parametrize("quarters, wanted", [(16, [0, 1]), (19.9, [0, 1]), (20.1, [0, 1, 2]), (8, [0]), (4, [0])])
def test_a_rest_shorter_than_half_a_window_joins_the_last(quarters, wanted):
    words = ["p40", *["wait12"] * int(quarters), *[f"wait{round(quarters % 1 * 12)}"] * bool(quarters % 1), "endp40"]
    assert sorted(set(window_indices(ENCODING, words, 8).tolist())) == wanted


def test_words_belong_to_the_window_in_which_they_stand():
    words = ["p40", "wait24", "wait24", "endp40", "p41", "wait24", "wait24", "endp41"]
    assert window_indices(ENCODING, words, 4).tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_the_moments_are_those_of_numpy():
    torch.manual_seed(0)
    outputs = torch.randn(2, 40, 5)
    window = torch.arange(40).expand(2, 40) // 20
    window = torch.where((torch.arange(40) >= 25) & (torch.arange(2)[:, None] == 1), NO_WINDOW, window)
    parts = (outputs[0, :20], outputs[0, 20:], outputs[1, :20], outputs[1, 20:25])
    for row, part in zip(moment_pool(outputs, window).numpy(), map(torch.Tensor.numpy, parts)):
        np.testing.assert_allclose(row, np.concatenate([part.mean(0), part.std(0), part.max(0)]), atol=1e-5)
