"""The member that reads text with the encoder of a language model and a small head.

Either the whole network is fine-tuned (ULMFiT, Howard and Ruder 2018): first the head alone, then all layers, lower
layers at lower rates, and excerpts in another key each time. Or the encoder is frozen: it reads each excerpt once (a
critic's excerpts in a random key, a composer's in their own), and several heads are trained on the outputs of all its
layers, in a tenth of the time.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from clara.checkpoints import shipped_models
from clara.checkpoints.checkpoint import CONFIG, MAX_LAYERS, VOCAB, WEIGHTS, Sizes, weights_hash
from clara.checkpoints.weights import check_shapes, read_weights
from clara.encodings.vocab import BOS, SHIFTS, transposition_tables
from clara.errors import CheckpointMismatch
from clara.models import get_architecture
from clara.records import Name
from critic.members.base import ClassifierSettings, Member, to_device
from critic.members.storage import EncoderConfig, NetConfig
from critic.members.text_excerpts import TextExcerpts, extract_features
from critic.nets.descriptors import window_descriptors
from critic.nets.inputs import Text
from critic.nets.pooling import window_indices
from critic.nets.text import (
    FrozenTextNet,
    TextNet,
    collate_text,
    frozen_training_net,
    head_tensors,
    inference_net,
    stored_tensors,
    training_net,
)
from critic.training.settings import TrainSettings

SMALL_SIZES = {
    "awd_lstm": {"emb_sz": 256, "n_hid": 512, "n_layers": 2},
    "lstm": {"emb_sz": 256, "n_hid": 512, "n_layers": 2},
    "wavenet": {"emb_sz": 128, "n_hid": 128, "n_layers": 10},
}  # of an encoder that is trained from scratch


@dataclass(frozen=True)
class TextNetSettings:
    """The network of a text member before training.

    Attributes
    ----------
    arch : str
        Architecture of the encoder.
    sizes : dict
        Its sizes and dropout probabilities; empty for the small sizes that suit training from scratch.
    tensors : dict, optional
        Weights of a language model, or of a text member to continue from, by name. Without them the network starts
        from random weights.
    freeze_encoder : bool
        Keep the encoder and train heads alone; needs `tensors`.
    add_descriptors : bool
        The heads on a frozen encoder read descriptors as well.
    context_windows : int
        Windows before and after that a window is classified by as well; not with a frozen encoder.
    dropout : float
        Dropout of the head.
    """

    arch: str = "awd_lstm"
    sizes: dict = field(default_factory=dict)
    tensors: dict[str, Tensor] | None = None
    freeze_encoder: bool = False
    add_descriptors: bool = False
    context_windows: int = 0
    dropout: float = 0.3

    def with_default_sizes(self) -> "TextNetSettings":
        """Return settings in which no size and no dropout is missing."""
        sizes = dict(get_architecture(self.arch).DEFAULTS) | SMALL_SIZES.get(self.arch, {}) | self.sizes
        return replace(self, sizes=sizes)

    @classmethod
    def from_member(cls, member: "TextMember") -> "TextNetSettings":
        """Return settings to continue the training of a member."""
        stored = member.net_settings
        sizes = get_architecture(stored["arch"]).DEFAULTS | stored["sizes"]
        return cls(stored["arch"], sizes, member.tensors, context_windows=stored["context_windows"])

    def to_config(self) -> dict:
        """Return the entries of `net` in `config.json`; dropout only concerns training."""
        return {
            "arch": self.arch,
            "sizes": {name: size for name, size in self.sizes.items() if not name.endswith("_p")},
            "freeze_encoder": self.freeze_encoder,
            "context_windows": self.context_windows,
        }


class EncoderNetConfig(NetConfig):
    """The encoder, whether it is frozen, and the windows of context."""

    arch: Name
    sizes: Sizes
    freeze_encoder: bool
    context_windows: Annotated[int, Field(ge=0, le=64)]


class TextMember(Member):
    """A text classifier on the encoder of a language model.

    Attributes
    ----------
    encoder_folder : Path, optional
        Folder of the shipped model whose encoder it shares; `save` then stores the head alone.
    """

    type = "text"
    title = "the encoder of a language model with a small head"
    reads_text = True
    net_config = EncoderNetConfig
    max_batch_size = 2**15  # tokens
    TRAINING = TrainSettings(epochs=4, lr=2e-3, bs=32, weight_decay=0.01, clip=0.5)
    HEAD_TRAINING = TrainSettings(
        epochs=15, lr=1e-3, bs=512, weight_decay=0.3, schedule="constant", batches_per_epoch=100
    )  # on a frozen encoder; bs is in windows

    def __init__(self, *args, encoder_folder: Path | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.encoder_folder = encoder_folder
        self.tensors = {name: v for name, v in self.tensors.items() if name != "output.bias"}  # a language model's

    def build_net(self) -> TextNet | FrozenTextNet:
        """Return the network with its weights, ready for inference."""
        return inference_net(
            self.net_settings["arch"],
            self.tensors,
            len(self.settings.classes),
            freeze_encoder=self.net_settings["freeze_encoder"],
            context_windows=self.net_settings["context_windows"],
        )

    @property
    def reads_descriptors(self) -> bool:
        """Return whether its heads read descriptors as well."""
        return isinstance(self.net, FrozenTextNet) and self.net.counts is not None

    def prepare(self, text: Text) -> tuple:
        """Return the ids after xxbos, the window of each, and the descriptors of each window if the net reads them."""
        settings = self.settings
        window = window_indices(settings.encoding, text.tokens, settings.window_quarters)
        piece = settings.vocab.to_ids([BOS, *text.tokens]), np.r_[window[:1], window]
        if self.reads_descriptors:
            piece += (window_descriptors(text.notes, text.n_steps, settings.window_quarters),)
        return piece

    def size(self, piece: tuple) -> int:
        """Return the number of tokens."""
        return len(piece[0])

    def n_windows(self, piece: tuple) -> int:
        """Return the number of windows of a prepared piece."""
        return int(piece[1].max()) + 1

    def logits(self, pieces: list[tuple]) -> Tensor:
        """Return the logits of each window of prepared pieces, (n_windows, n_classes)."""
        return self.net(*to_device(self.net, collate_text(pieces, self.settings.vocab.pad_id)))

    def describe(self) -> str:
        """Return a phrase for the model card."""
        sizes = "/".join(str(size) for size in self.net_settings["sizes"].values())
        encoder = f"{self.net_settings['arch']} {sizes}"
        if self.net_settings["freeze_encoder"]:
            heads = "heads that read text and descriptors" if self.reads_descriptors else "heads"
            return f"the frozen encoder of a language model, {encoder}, with {heads}"
        first = self.info.get("training", {})
        while "before" in first:
            first = first["before"]
        if first.get("arguments", {}).get("pretrained"):
            return f"the fine-tuned encoder of a language model, {encoder}, with a small head"
        return f"a text classifier trained from scratch, {encoder}, with a small head"

    def tensors_to_store(self) -> dict[str, Tensor]:
        """Return the weights that belong into the folder: without the encoder's if that is shared."""
        if self.encoder_folder is None:
            return self.tensors
        return {name: v for name, v in self.tensors.items() if name.startswith("head.")}

    def to_config(self, folder: Path) -> dict:
        """Return the content of `config.json` in a folder."""
        config = super().to_config(folder)
        if self.encoder_folder is not None:
            config["encoder"] = {"model": self.encoder_folder.name, "weights": weights_hash(self.encoder_folder)}
        return config

    @classmethod
    def load(cls, folder: Path) -> "TextMember":
        """Read the folder of a member, and the encoder that it shares."""
        config, net, settings = cls.read_settings(folder)
        encoder_folder, tensors = None, read_weights(folder / WEIGHTS)
        if config.encoder is not None:
            encoder_folder = find_shared_encoder(folder, config.encoder)
            tensors |= read_weights(encoder_folder / WEIGHTS)
        _check_encoder(folder, net, {name: tuple(v.shape) for name, v in tensors.items()}, len(settings.vocab))
        return cls(settings, tensors, net, config.temperature, config.info(), encoder_folder=encoder_folder)

    @classmethod
    def train(
        cls,
        table,
        settings: ClassifierSettings,
        training: TrainSettings | None = None,
        *,
        net: TextNetSettings | None = None,
        log=print,
        on_improvement=None,
    ) -> "TextMember":
        """Train on excerpts and return the best epoch, calibrated.

        Parameters
        ----------
        table, settings, training, log, on_improvement
            As in `Member.train`; the default is `HEAD_TRAINING` with a frozen encoder.
        net : TextNetSettings, optional
            Default: a small network trained from scratch.
        """
        net = (net or TextNetSettings()).with_default_sizes()
        if net.freeze_encoder:
            return _train_heads(table, settings, training or cls.HEAD_TRAINING, net, log, on_improvement)
        return _fine_tune(table, settings, training or cls.TRAINING, net, log, on_improvement)


def _fine_tune(table, settings, training, net_settings, log, on_improvement):
    """Train the whole network; a new head on an encoder's weights trains alone for an epoch before that."""
    from critic.training.batches import ExcerptLoader  # fastai is slow to import and only training needs it
    from critic.training.learner import classifier_learner, train_best

    torch.manual_seed(training.seed)
    tables = transposition_tables(settings.vocab, settings.encoding, SHIFTS)
    learn_from = TextExcerpts(table[table["split"] == training.split], settings, tables)
    valid = TextExcerpts(table[table["split"] == "valid"], settings)
    net = training_net(
        net_settings.arch,
        net_settings.sizes,
        settings.vocab,
        len(settings.classes),
        tensors=net_settings.tensors,
        dropout=net_settings.dropout,
        context_windows=net_settings.context_windows,
    )
    best = TextMember.best_model(settings, net_settings.to_config(), valid.labels, log, on_improvement)
    learn = classifier_learner(
        net,
        ExcerptLoader(learn_from, training.bs, training.seed),
        ExcerptLoader(valid, training.bs),
        training,
        splitter=_parameter_groups,
    )
    new_head = net_settings.tensors is not None and not head_tensors(net_settings.tensors)
    return train_best(learn, training, best, stored_tensors, new_head=new_head)


def _parameter_groups(net):
    """Return the parameter groups of a TextNet: the encoder's, then the head."""
    return [*get_architecture(net.encode.arch).groups(net.encode.model), list(net.head.parameters())]


def _train_heads(table, settings, training, net_settings, log, on_improvement):
    """Train heads on a frozen encoder."""
    from critic.training.batches import HeadLoader  # fastai is slow to import and only training needs it
    from critic.training.callbacks import class_weights
    from critic.training.learner import classifier_learner, train_best

    torch.manual_seed(training.seed)
    rng = np.random.default_rng(training.seed)
    add = net_settings.add_descriptors
    tables = transposition_tables(settings.vocab, settings.encoding, SHIFTS) if settings.is_critic else None
    learn_from = TextExcerpts(table[table["split"] == training.split], settings, tables, add)
    valid = TextExcerpts(table[table["split"] == "valid"], settings, add_descriptors=add)
    net = frozen_training_net(net_settings.arch, net_settings.tensors, len(settings.classes), add)
    features = extract_features(net, learn_from, training.device, rng)
    valid_features = extract_features(net, valid, training.device)
    net.cpu().fit_standardization(features.values)
    best = TextMember.best_model(
        settings, net_settings.to_config(), valid_features.labels, log, on_improvement, net_settings.tensors
    )
    rows = [np.arange(len(features.labels))] * len(net.heads)
    learn = classifier_learner(
        net.heads,
        HeadLoader(
            net.standardize(features.values),
            features.labels,
            rows,
            training.bs,
            training.batches_per_epoch,
            training.seed,
        ),
        [(net.standardize(valid_features.values), valid_features.labels)],
        replace(training, device="cpu"),  # small batches are faster there
        class_weights=class_weights(features.labels, len(settings.classes)),
    )
    return train_best(learn, training, best, lambda _: stored_tensors(net))


def find_shared_encoder(folder: Path, encoder: EncoderConfig) -> Path:
    """Return the folder of the shipped model whose encoder a member shares.

    Parameters
    ----------
    folder : Path
        Of the member.
    encoder : EncoderConfig

    Raises
    ------
    CheckpointMismatch
        If there is no such shipped model, or if its weights have changed.
    """
    model = shipped_models.shipped_models_folder() / encoder.model
    if encoder.model not in shipped_models.shipped_model_names() or weights_hash(model) != encoder.weights:
        raise CheckpointMismatch(
            f"{folder}: shares the encoder of the shipped model {encoder.model} with weights {encoder.weights}, which "
            "are not there; train the member again"
        )
    return model


def _check_encoder(folder, net, shapes, n_tokens):
    """Raise CheckpointMismatch unless the weights of the encoder are those that the config asks for."""
    if net["sizes"].get("n_layers", 0) > MAX_LAYERS:
        raise CheckpointMismatch(f"{folder / CONFIG}: more than {MAX_LAYERS} layers")
    expected = get_architecture(net["arch"]).shapes(net["sizes"], n_tokens)
    encoder = {name: shape for name, shape in shapes.items() if not name.startswith("head.")}
    # the output bias of a language model may be among them; a classifier does not use it
    expected, encoder = ({n: s for n, s in names.items() if n != "output.bias"} for names in (expected, encoder))
    check_shapes(encoder, expected, folder / WEIGHTS, f"{CONFIG} and {VOCAB}")
