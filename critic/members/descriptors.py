"""The member that reads descriptors, hand-crafted features of the music, with small MLPs trained from scratch.

The training reads each excerpt whole and a part of it, since pieces may be shorter than the excerpts.
"""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from clara.music.notes import NoteSequence, crop
from critic.features.descriptors import extract_descriptors
from critic.features.segments import SEGMENT_QUARTERS
from critic.members.base import MIN_QUARTERS, ClassifierSettings, to_device
from critic.members.segments import SegmentMember, SegmentQuarters
from critic.members.storage import NetConfig
from critic.nets.descriptors import DescriptorNet
from critic.training.settings import TrainSettings


class DescriptorNetConfig(NetConfig):
    """The units of a hidden layer, the number of heads, and the length of a segment."""

    hidden: Annotated[int, Field(ge=1, le=4096)]
    n_heads: Annotated[int, Field(ge=1, le=32)]
    segment_quarters: SegmentQuarters = SEGMENT_QUARTERS


class DescriptorMember(SegmentMember):
    """Averaged MLPs on hand-crafted features."""

    type = "descriptors"
    title = "MLPs on hand-crafted features"
    net_config = DescriptorNetConfig
    max_batch_size = 2**12  # segments
    extract_features = staticmethod(extract_descriptors)
    TRAINING = TrainSettings(epochs=15, lr=2e-3, bs=512, weight_decay=0.1)

    def build_net(self) -> DescriptorNet:
        """Return the network with its weights, ready for inference."""
        return self.load_head(self.new_net(self.settings, self.net_settings))

    @classmethod
    def new_net(cls, settings: ClassifierSettings, net_settings: dict) -> DescriptorNet:
        """Return a network with random weights."""
        return DescriptorNet(len(settings.classes), net_settings["hidden"], net_settings["n_heads"])

    def segment_logits(self, features: list[np.ndarray]) -> Tensor:
        """Return the logits of n segments, float32 (n, n_classes)."""
        return self.net(*to_device(self.net, [torch.from_numpy(np.stack(features))])).cpu()

    def describe(self) -> str:
        """Return a phrase for the model card."""
        heads = f"{self.net_settings['n_heads']} MLPs with {self.net_settings['hidden']} hidden units"
        return f"the mean of {heads} on descriptors of {self.segment_quarters} quarters"

    @classmethod
    def train(
        cls,
        table,
        settings: ClassifierSettings,
        training: TrainSettings | None = None,
        *,
        log=print,
        on_improvement=None,
    ) -> "DescriptorMember":
        """Train on excerpts and return the best epoch, calibrated; parameters as `Member.train`."""
        from critic.training.batches import HeadLoader  # fastai is slow to import and only training needs it
        from critic.training.callbacks import class_weights
        from critic.training.learner import classifier_learner, head_only_tensors, train_best

        training = training or cls.TRAINING
        torch.manual_seed(training.seed)
        rng = np.random.default_rng(training.seed)
        features, labels = excerpt_descriptors(table[table["split"] == training.split], settings, rng)
        valid_features, valid_labels = excerpt_descriptors(table[table["split"] == "valid"], settings)
        n_classes = len(settings.classes)
        net_settings = {"hidden": 128, "n_heads": 3, "segment_quarters": training.segment_quarters}
        net = cls.new_net(settings, net_settings)
        net.standard.fit(features)
        weights = class_weights(labels, n_classes)
        best = cls.best_model(settings, net_settings, valid_labels, log, on_improvement)
        bs = min(training.bs, len(features))
        rows = [np.arange(len(features))] * net_settings["n_heads"]
        learn = classifier_learner(
            net.heads,
            HeadLoader(net.standard(features), labels, rows, bs, len(features) // bs, training.seed),
            [(net.standard(valid_features), valid_labels)],
            training,
            class_weights=weights,
        )
        return train_best(learn, training, best, lambda _: head_only_tensors(net))


def excerpt_descriptors(table, settings, rng=None) -> tuple[Tensor, Tensor]:
    """Return descriptors of excerpts, float32 (n, N_DESCRIPTORS), and labels, int64 (n,).

    Parameters
    ----------
    table : DataFrame
        From `critic.data.table.read_excerpts`.
    settings : ClassifierSettings
    rng : numpy Generator, optional
        With it, a random part of each excerpt is read as well.
    """
    features, labels = [], []
    progress = tqdm(table["tokens"], "extracting descriptors", leave=False, disable=None, unit=" excerpts")
    for tokens, label in zip(progress, table["label"]):
        notes = settings.encoding.decode(tokens)[0]
        parts = [notes] if rng is None else [notes, random_crop(notes, rng)]
        for part in parts:
            if len(part):
                features.append(extract_descriptors(part))
                labels.append(settings.classes.index(label))
    return torch.from_numpy(np.stack(features)), torch.tensor(labels)


def random_crop(notes: NoteSequence, rng: np.random.Generator) -> NoteSequence:
    """Return a random part of an excerpt, whole quarters and at least eight of them."""
    steps = notes.steps_per_quarter
    quarters = int(notes.end.max(initial=0)) // steps
    length = int(rng.integers(min(int(MIN_QUARTERS), quarters), quarters + 1))
    first = int(rng.integers(quarters - length + 1))
    return crop(notes, first * steps, (first + length) * steps)
