"""The member that reads descriptors with boosted trees.

Trees judge by thresholds of single descriptors and how they go together, where an MLP judges by weighted sums. The two
make different errors. A critic has two classes; for composers there is no such member.

References
----------
Friedman (2002), Stochastic gradient boosting.
"""

import time
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from clara.errors import BadSetting
from critic.features.descriptors import extract_descriptors
from critic.features.segments import SEGMENT_QUARTERS
from critic.members.base import ClassifierSettings
from critic.members.descriptors import excerpt_descriptors
from critic.members.segments import SegmentMember, SegmentQuarters
from critic.members.storage import NetConfig
from critic.nets.boosted_trees import MAX_DEPTH, BoostedTrees, in_half_precision, n_nodes_of
from critic.training.settings import TrainSettings

SHARE_OF_EXCERPTS = 0.5  # that each tree learns from
MIN_LEAF_EXCERPTS = 5


class BoostedTreesConfig(NetConfig):
    """The number of trees, their depth, and the length of a segment."""

    n_trees: Annotated[int, Field(ge=1, le=4096)]
    depth: Annotated[int, Field(ge=1, le=8)]
    segment_quarters: SegmentQuarters = SEGMENT_QUARTERS


class BoostedTreesMember(SegmentMember):
    """Boosted trees on hand-crafted features."""

    type = "boosted_trees"
    title = "boosted trees on hand-crafted features"
    net_config = BoostedTreesConfig
    max_batch_size = 2**12  # segments
    extract_features = staticmethod(extract_descriptors)
    TRAINING = TrainSettings(epochs=600, lr=0.08, bs=0)  # an epoch is a tree

    def build_net(self) -> BoostedTrees:
        """Return the trees, ready for inference."""
        return self.load_head(self.new_net(self.settings, self.net_settings))

    @classmethod
    def new_net(cls, settings: ClassifierSettings, net_settings: dict) -> BoostedTrees:
        """Return trees that say nothing yet; raise BadSetting if there are not two classes."""
        if len(settings.classes) != 2:
            raise BadSetting(f"boosted trees are for two classes, not {len(settings.classes)}; choose another --member")
        return BoostedTrees(net_settings["n_trees"], net_settings["depth"])

    def segment_logits(self, features: list[np.ndarray]) -> Tensor:
        """Return the logits of n segments, float32 (n, 2)."""
        return self.net(torch.from_numpy(np.stack(features)))

    def describe(self) -> str:
        """Return a phrase for the model card."""
        n_trees, depth = self.net_settings["n_trees"], self.net_settings["depth"]
        return f"{n_trees} boosted trees of depth {depth} on descriptors of {self.segment_quarters} quarters"

    @classmethod
    def train(
        cls,
        table,
        settings: ClassifierSettings,
        training: TrainSettings | None = None,
        *,
        log=print,
        on_improvement=None,
    ) -> "BoostedTreesMember":
        """Train on excerpts and return the trees, calibrated; parameters as `Member.train`.

        Raises
        ------
        BadSetting
            If there are not two classes.
        """
        from sklearn.ensemble import GradientBoostingClassifier
        from sklearn.utils.class_weight import compute_sample_weight

        start = time.perf_counter()
        training = training or cls.TRAINING
        net_settings = {"n_trees": training.epochs, "depth": MAX_DEPTH, "segment_quarters": training.segment_quarters}
        net = cls.new_net(settings, net_settings)
        rng = np.random.default_rng(training.seed)
        features, labels = excerpt_descriptors(table[table["split"] == training.split], settings, rng)
        boosting = GradientBoostingClassifier(
            n_estimators=training.epochs,
            learning_rate=training.lr,
            max_depth=MAX_DEPTH,
            subsample=SHARE_OF_EXCERPTS,
            max_features="sqrt",
            min_samples_leaf=MIN_LEAF_EXCERPTS,
            random_state=training.seed,
        )
        boosting.fit(in_half_precision(features), labels, compute_sample_weight("balanced", labels))
        net.load_state_dict(_tree_arrays(boosting, MAX_DEPTH))
        valid_features, valid_labels = excerpt_descriptors(table[table["split"] == "valid"], settings)
        best = cls.best_model(settings, net_settings, valid_labels, log, on_improvement)
        best.update(
            f"{training.epochs}/{training.epochs}",
            float(F.cross_entropy(net(features), labels)),
            time.perf_counter() - start,
            {f"head.{name}": tensor for name, tensor in net.state_dict().items()},
            net(valid_features),
            valid_labels,
        )
        return best.member()


def _tree_arrays(boosting, depth):
    """Return the buffers of `BoostedTrees` for a fitted GradientBoostingClassifier."""
    trees = [tree.tree_ for tree in boosting.estimators_[:, 0]]
    feature = np.zeros((len(trees), n_nodes_of(depth - 1)), dtype=np.float32)
    threshold = np.zeros(feature.shape, dtype=np.float32)
    value = np.zeros((len(trees), 2**depth), dtype=np.float32)
    for row, tree in enumerate(trees):
        places = [(0, 0)]  # a node of the tree, and its place in the full one
        for node, place in places:
            if place >= feature.shape[1]:
                value[row, place - feature.shape[1]] = boosting.learning_rate * tree.value[node, 0, 0]
                continue
            is_leaf = tree.children_left[node] < 0
            if not is_leaf:
                feature[row, place], threshold[row, place] = tree.feature[node], tree.threshold[node]
            left, right = (node, node) if is_leaf else (tree.children_left[node], tree.children_right[node])
            places += [(left, 2 * place + 1), (right, 2 * place + 2)]
    threshold = _round_down_to_half(threshold)
    prior = np.log(boosting.init_.class_prior_[1] / boosting.init_.class_prior_[0])
    arrays = {"feature": feature, "threshold": threshold, "value": value, "prior": np.array([prior], dtype=np.float32)}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _round_down_to_half(threshold):
    """Return thresholds in half precision, so that all features in half precision stay on their side."""
    rounded = threshold.astype(np.float16)
    too_high = rounded > threshold
    rounded[too_high] = np.nextafter(rounded[too_high], np.float16(-np.inf))
    return rounded.astype(np.float32)
