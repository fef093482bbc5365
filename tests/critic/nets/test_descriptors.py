"""The network that reads descriptors."""

import pytest
import torch

from critic.features.descriptors import N_DESCRIPTORS
from critic.nets.descriptors import MAX_DEVIATIONS, MIN_DEVIATION, Standardize


def test_a_constant_descriptor_is_not_amplified():
    net, values = Standardize(), torch.rand(20, N_DESCRIPTORS)
    values[:, 7] = 0.5
    net.fit(values)
    assert net.deviation[7] == pytest.approx(MIN_DEVIATION) and net.deviation[7].half() > 0
    standard = net(values)
    assert (
        standard[:, 7].abs().max() == 0 and standard[:, 8].mean().abs() < 1e-5 and abs(standard[:, 8].std() - 1) < 1e-4
    )
    assert net(values + 100).max() == MAX_DEVIATIONS
