"""Boosted trees as arrays are the trees that scikit-learn trained."""

import numpy as np
import pytest
import tiny
import torch
from sklearn.ensemble import GradientBoostingClassifier

from clara.errors import BadSetting
from critic.features.descriptors import N_DESCRIPTORS
from critic.members.boosted_trees import _tree_arrays
from critic.nets.boosted_trees import BoostedTrees, in_half_precision


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("scale", [0.01, 1.0, 1e4])
def test_arrays_give_the_log_odds_of_scikit_learn(depth, scale):
    rng = np.random.default_rng(depth)
    features = torch.from_numpy(rng.integers(0, 40, (300, N_DESCRIPTORS)) * scale).float()
    features = in_half_precision(features)
    labels = (features[:, 3] + features[:, 7] > features[:, 11] + 10 * scale).long()
    boosting = GradientBoostingClassifier(n_estimators=20, max_depth=depth, max_features="sqrt", random_state=0)
    boosting.fit(features.numpy(), labels.numpy(), sample_weight=1 + rng.random(300))
    trees = BoostedTrees(20, depth)
    trees.load_state_dict(_tree_arrays(boosting, depth))
    logits = trees(features)
    assert (logits[:, 1] - logits[:, 0]).numpy() == pytest.approx(boosting.decision_function(features), abs=1e-4)
    stored = BoostedTrees(20, depth)
    stored.load_state_dict({name: tensor.half().float() for name, tensor in trees.state_dict().items()})
    assert stored(features).numpy() == pytest.approx(logits.numpy(), abs=5e-3)  # on the same side of each threshold


def test_extreme_descriptors_are_read():
    trees = BoostedTrees(3, 2)
    logits = trees(torch.full((2, N_DESCRIPTORS), 1e9))
    assert torch.isfinite(logits).all()


def test_more_than_two_classes_are_refused():
    with pytest.raises(BadSetting, match="two classes, not 3"):
        tiny.member("boosted_trees", classes=("bach", "chopin", "satie"))
