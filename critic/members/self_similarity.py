"""The member that reads self-similarity matrices with a CNN, trained from scratch.

Each time the training reads an excerpt it is whole or, as often, a part of it. Pieces may be shorter than the excerpts,
and parts keep the network from learning excerpts by heart.
"""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from critic.features.segments import STEPS_PER_QUARTER
from critic.members.base import MIN_QUARTERS, ClassifierSettings, to_device
from critic.members.segments import SegmentMember
from critic.members.storage import NetConfig
from critic.nets.self_similarity import (
    COLUMN_STEPS,
    WIDTHS,
    SelfSimilarityNet,
    onset_table,
    self_similarity_matrices,
)
from critic.training.settings import TrainSettings

WHOLE_SHARE = 0.5  # how often an excerpt is read whole
MIN_COLUMNS = int(MIN_QUARTERS) * STEPS_PER_QUARTER // COLUMN_STEPS  # of a part


class SelfSimilarityNetConfig(NetConfig):
    """The channels of the convolutions."""

    widths: Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=1, max_length=6)]


class SelfSimilarityMember(SegmentMember):
    """A CNN on self-similarity matrices."""

    type = "self_similarity"
    title = "a CNN on self-similarity matrices"
    net_config = SelfSimilarityNetConfig
    max_batch_size = 2**8  # segments; the matrices of one take 64 KiB
    extract_features = staticmethod(onset_table)
    TRAINING = TrainSettings(epochs=8, lr=2e-3, bs=64, weight_decay=0.1, clip=1.0, average_weights=True)

    def build_net(self) -> SelfSimilarityNet:
        """Return the network with its weights, ready for inference."""
        net = self.load_head(self.new_net(self.settings, self.net_settings))
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        net.fuse()
        return net

    @classmethod
    def new_net(cls, settings: ClassifierSettings, net_settings: dict) -> SelfSimilarityNet:
        """Return a network with random weights."""
        return SelfSimilarityNet(len(settings.classes), **net_settings)

    def segment_logits(self, features: list[np.ndarray]) -> Tensor:
        """Return the logits of n segments, float32 (n, n_classes)."""
        return self.net.segment_logits(*to_device(self.net, [self_similarity_matrices(features)])).cpu()

    def describe(self) -> str:
        """Return a phrase for the model card."""
        widths = "/".join(map(str, self.net_settings["widths"]))
        return f"a CNN on self-similarity matrices with {widths} channels, trained from scratch"

    @classmethod
    def train(
        cls,
        table,
        settings: ClassifierSettings,
        training: TrainSettings | None = None,
        *,
        log=print,
        on_improvement=None,
    ) -> "SelfSimilarityMember":
        """Train on excerpts and return the best epoch, calibrated; parameters as `Member.train`."""
        from critic.training.batches import ExcerptLoader  # fastai is slow to import and only training needs it
        from critic.training.learner import classifier_learner, head_only_tensors, train_best

        training = training or cls.TRAINING
        torch.manual_seed(training.seed)
        learn_from, valid = (
            SelfSimilarityExcerpts(table[table["split"] == split], settings) for split in (training.split, "valid")
        )
        net_settings = {"widths": list(WIDTHS)}
        n_classes = len(settings.classes)
        best = cls.best_model(settings, net_settings, valid.labels, log, on_improvement)
        learn = classifier_learner(
            SelfSimilarityNet(n_classes, **net_settings),
            ExcerptLoader(learn_from, training.bs, training.seed),
            ExcerptLoader(valid, training.bs),
            training,
        )
        return train_best(learn, training, best, head_only_tensors)


class SelfSimilarityExcerpts:
    """Excerpts as onset tables.

    Parameters
    ----------
    table : DataFrame
        Excerpts of one split.
    settings : ClassifierSettings
    """

    lengths: np.ndarray | None = None  # each excerpt is one matrix

    def __init__(self, table, settings: ClassifierSettings):
        progress = tqdm(table["tokens"], "decoding", leave=False, disable=None, unit=" excerpts")
        self.onset_tables = [onset_table(settings.encoding.decode(tokens)[0]) for tokens in progress]
        self.labels = np.array([settings.classes.index(label) for label in table["label"]])

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return self-similarity matrices, one segment for each window, and the labels.

        With a random generator every other excerpt is cut to a part.
        """
        tables = [self.onset_tables[i] for i in rows]
        if rng is not None:
            tables = [random_part(table, rng) for table in tables]
        return self_similarity_matrices(tables), torch.eye(len(rows)), torch.from_numpy(self.labels[rows])


def random_part(onsets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an onset table (n, 3) whole, or a run of its columns, the first of which is then 0."""
    n_columns = int(onsets[-1, 0]) + 1
    if rng.random() < WHOLE_SHARE or n_columns <= MIN_COLUMNS:
        return onsets
    length = int(rng.integers(MIN_COLUMNS, n_columns + 1))
    first = int(rng.integers(n_columns - length + 1))
    part = onsets[(onsets[:, 0] >= first) & (onsets[:, 0] < first + length)]
    return part - [first, 0, 0]
