"""The text classifier: the encoder of a language model, pooling by windows, and a small head.

The encoder reads a piece once from its beginning. The outputs in each window are pooled, so a window is classified by
its own music and by what came before it. There are two networks:

- `TextNet`: the encoder is fine-tuned. The mean, the maximum and the last output of its last layer are pooled.
- `FrozenTextNet`: the encoder stays as the language model left it. The mean, the standard deviation and the maximum of
  all its layers are pooled; the heads may read descriptors (`critic.features.descriptors`) as well.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from clara.devices import has_fast_bfloat16
from clara.models import get_architecture
from critic.features.descriptors import N_DESCRIPTORS
from critic.nets.descriptors import MAX_DEVIATIONS, Standardize
from critic.nets.heads import AveragedHeads, HalfDropout
from critic.nets.pooling import NO_WINDOW, concat_pool, moment_pool

HIDDEN = 64  # units of a head
N_HEADS = 8  # of a FrozenTextNet


class TextNet(nn.Module):
    """Encoder, pooling by windows, head.

    Parameters
    ----------
    encode : module
        Maps ids (n, t) to outputs (n, t, width).
    width : int
    n_classes : int
    dropout : float
        Dropout before each linear layer of the head.
    context_windows : int
        Windows before and after that a window is classified by as well.
    """

    def __init__(self, encode: nn.Module, width: int, n_classes: int, dropout: float = 0.3, context_windows: int = 0):
        super().__init__()
        self.encode, self.context_windows = encode, context_windows
        self.head = nn.Sequential(
            nn.BatchNorm1d(3 * width),
            nn.Dropout(dropout),
            nn.Linear(3 * width, HIDDEN),
            nn.ReLU(),
            nn.BatchNorm1d(HIDDEN),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, n_classes),
        )

    def forward(self, ids: Tensor, window: Tensor) -> Tensor:
        """Return the logits of each window.

        Parameters
        ----------
        ids : int64 tensor (n, t)
            Padded at the end.
        window : int64 tensor (n, t)
            Window of each token, from 0; NO_WINDOW for padding.

        Returns
        -------
        float32 tensor (n_windows, n_classes), the windows of the first piece, then of the second, and so on
        """
        return self.head(concat_pool(self.encode(ids).float(), window, self.context_windows))


class FrozenTextNet(nn.Module):
    """A frozen encoder, pooling by windows, and the mean of several heads on standardized features.

    Parameters
    ----------
    encode : module
        Maps ids (n, t) to outputs (n, t, width).
    width : int
    n_classes : int
    add_descriptors : bool
        Whether the heads read the descriptors of each window as well.
    n_heads : int
    """

    def __init__(
        self, encode: nn.Module, width: int, n_classes: int, add_descriptors: bool = False, n_heads: int = N_HEADS
    ):
        super().__init__()
        self.encode, self.width = encode, 3 * width
        self.standard = nn.BatchNorm1d(self.width, affine=False)
        self.counts = Standardize() if add_descriptors else None  # of the descriptors; stored weights have this name
        self.heads = text_heads(self.width + N_DESCRIPTORS * add_descriptors, n_classes, n_heads)

    def forward(self, ids: Tensor, window: Tensor, descriptors: Tensor | None = None) -> Tensor:
        """Return the logits of each window.

        Parameters
        ----------
        ids, window
            As in `TextNet.forward`.
        descriptors : float32 tensor (n_windows, N_DESCRIPTORS), optional
            Needed if the network reads descriptors.
        """
        return self.heads(self.standardize(self.features(ids, window, descriptors)))

    def features(self, ids: Tensor, window: Tensor, descriptors: Tensor | None = None) -> Tensor:
        """Return the features of each window, float32 (n_windows, n_features); parameters as `forward`."""
        pooled = moment_pool(self.encode(ids).float(), window)
        return pooled if descriptors is None else torch.cat([pooled, descriptors], 1)

    def fit_standardization(self, features: Tensor) -> None:
        """Estimate means and deviations from features (n_windows, n_features)."""
        self.standard.running_mean = features[:, : self.width].mean(0)
        self.standard.running_var = features[:, : self.width].var(0)
        if self.counts is not None:
            self.counts.fit(features[:, self.width :])

    def standardize(self, features: Tensor) -> Tensor:
        """Return standardized features (n_windows, n_features), which the heads read."""
        text = self.standard(features[:, : self.width]).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
        return text if self.counts is None else torch.cat([text, self.counts(features[:, self.width :])], 1)


def text_heads(n_features: int, n_classes: int, n_heads: int = N_HEADS) -> AveragedHeads:
    """Build heads of random weights for the features of a `FrozenTextNet`."""
    return AveragedHeads(
        nn.Sequential(
            HalfDropout(), nn.Linear(n_features, HIDDEN), nn.ReLU(), HalfDropout(), nn.Linear(HIDDEN, n_classes)
        )
        for _ in range(n_heads)
    )


class TrainingEncoder(nn.Module):
    """The network of an architecture as an encoder with dropout and gradients."""

    def __init__(self, arch: str, model: nn.Module):
        super().__init__()
        self.arch, self.model = arch, model

    def forward(self, ids: Tensor) -> Tensor:
        """Return the output of the last hidden layer, (n, t, width)."""
        return get_architecture(self.arch).hidden_states(self.model, ids)

    def stored_tensors(self) -> dict[str, Tensor]:
        """Return the weights by their stored names."""
        return get_architecture(self.arch).to_tensors(self.model)


class InferenceEncoder(nn.Module):
    """The inference model of an architecture as an encoder, without dropout or gradients.

    LSTM layers compute in bfloat16 where the processor multiplies it.
    """

    def __init__(self, arch: str, tensors: dict[str, Tensor], all_layers: bool = False):
        super().__init__()
        self.reader = get_architecture(arch).InferenceModel(tensors | _output_bias(tensors))
        is_lstm = hasattr(self.reader, "rnns")
        self.dtype = torch.bfloat16 if is_lstm and has_fast_bfloat16() else torch.float32
        self.reader.to(self.dtype)
        self.all_layers = all_layers

    def forward(self, ids: Tensor) -> Tensor:
        """Return the outputs of the last hidden layer, or of all layers, (n, t, width)."""
        state = self.reader.initial_state(len(ids))
        if self.dtype != torch.float32:
            state = [tuple(s.to(self.dtype) for s in layer) for layer in state]
        return self.reader.layer_outputs(ids, state) if self.all_layers else self.reader.hidden(ids, state)[0]


def collate_text(pieces: list[tuple], pad_id: int) -> tuple[Tensor, ...]:
    """Pad pieces to one batch.

    Parameters
    ----------
    pieces : list of n (ids, window) or (ids, window, descriptors)
        int arrays (n_tokens,), and float32 (n_windows, N_DESCRIPTORS).
    pad_id : int

    Returns
    -------
    ids, window : int64 tensors (n, longest)
    descriptors : float32 tensor (n_windows, N_DESCRIPTORS), if the pieces have them
    """
    ids, window, *descriptors = zip(*pieces)
    padded_ids = pad_sequence(
        [torch.from_numpy(np.asarray(i, dtype=np.int64)) for i in ids], batch_first=True, padding_value=pad_id
    )
    padded_window = pad_sequence([torch.from_numpy(w) for w in window], batch_first=True, padding_value=NO_WINDOW)
    return padded_ids, padded_window, *(torch.from_numpy(np.concatenate(d)) for d in descriptors)


def training_net(
    arch: str,
    sizes: dict,
    vocab,
    n_classes: int,
    *,
    tensors: dict[str, Tensor] | None = None,
    dropout: float = 0.3,
    context_windows: int = 0,
) -> TextNet:
    """Build a TextNet to train.

    Parameters
    ----------
    arch : str
        Architecture of the encoder.
    sizes : dict
        Its sizes and dropout probabilities.
    vocab : Vocab
    n_classes : int
    tensors : dict, optional
        Weights of the encoder, with or without those of a head, by name. Without them the network starts from random
        weights.
    dropout, context_windows
        As in `TextNet`.
    """
    module = get_architecture(arch)
    model = module.build(sizes, len(vocab), vocab.pad_id)
    if tensors:
        module.load_tensors(model, _output_bias(tensors) | tensors)
    encode = TrainingEncoder(arch, model)
    with torch.no_grad():
        width = encode(torch.zeros(1, 1, dtype=torch.long)).shape[-1]
    net = TextNet(encode, width, n_classes, dropout, context_windows)
    if tensors and head_tensors(tensors):
        net.head.load_state_dict(head_tensors(tensors))
    return net


def inference_net(
    arch: str, tensors: dict[str, Tensor], n_classes: int, *, freeze_encoder: bool = False, context_windows: int = 0
) -> TextNet | FrozenTextNet:
    """Build a network for inference from stored weights: `head.…` of the head, all others of the encoder."""
    encode, width = _inference_encoder(arch, tensors, all_layers=freeze_encoder)
    head = head_tensors(tensors)
    if freeze_encoder:
        n_heads = len({name.split(".")[1] for name in head if name.startswith("heads.")})
        net = FrozenTextNet(encode, width, n_classes, "counts.middle" in head, n_heads)
        encoder = {name: v for name, v in net.state_dict().items() if name.startswith("encode.")}
        net.load_state_dict(head | encoder)
    else:
        net = TextNet(encode, width, n_classes, context_windows=context_windows)
        net.head.load_state_dict(head)
    return net.eval().requires_grad_(False)


def frozen_training_net(
    arch: str, tensors: dict[str, Tensor], n_classes: int, add_descriptors: bool = False
) -> FrozenTextNet:
    """Build a FrozenTextNet with new heads to train on an encoder's weights."""
    encode, width = _inference_encoder(arch, tensors, all_layers=True)
    net = FrozenTextNet(encode, width, n_classes, add_descriptors).eval().requires_grad_(False)
    net.heads.requires_grad_(True)
    return net


def _inference_encoder(arch, tensors, all_layers):
    """Return an InferenceEncoder and the width of its outputs."""
    encoder = {name: v for name, v in tensors.items() if not name.startswith("head.")}
    encode = InferenceEncoder(arch, encoder, all_layers)
    with torch.inference_mode():
        return encode, encode(torch.zeros(1, 2, dtype=torch.long)).shape[-1]


def _output_bias(tensors):
    """Return the output bias of a language model, which its loader wants and a classifier does not store."""
    return {"output.bias": torch.zeros(len(tensors["embedding.weight"]))}


def head_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights named `head.…` without that prefix, in float32; empty if there are none."""
    return {
        name.removeprefix("head."): v if v.dtype == torch.long else v.float()
        for name, v in tensors.items()
        if name.startswith("head.")
    }


def stored_tensors(net: TextNet | FrozenTextNet) -> dict[str, Tensor]:
    """Return the weights of a network on the CPU by their stored names; of a frozen encoder the head's alone."""
    if isinstance(net, FrozenTextNet):
        head = {name: v for name, v in net.state_dict().items() if not name.startswith("encode.")}
        encoder = {}
    else:
        head = net.head.state_dict()
        encoder = net.encode.stored_tensors()  # type: ignore[operator]  a TrainingEncoder
    tensors = encoder | {f"head.{name}": v for name, v in head.items()}
    return {name: v.detach().cpu().clone() for name, v in tensors.items()}
