"""The net of a classifier: a language model's encoder, what it heard pooled by windows, and a small head.

The encoder reads a piece once from its beginning; each window of some quarters is summed up in three numbers for each of
its outputs, so that a window is judged by what it holds and what came before. A net of one of two kinds: `tuned`, the encoder
fine-tuned, of its last layer the mean, the largest and the last output (concat pooling, Howard and Ruder 2018), the former two over some windows around, if it so learned; and
`frozen`, the encoder as the language model left it, of all its layers the mean, the deviation and the largest output, and, if it so
learned, what can be counted (`critic.features.descriptors`) beside them. The head has two linear layers.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from clara.devices import has_fast_bfloat16
from clara.models import get_architecture
from critic.features.descriptors import N_DESCRIPTORS
from critic.nets.descriptors import Standard

KINDS = ("tuned", "frozen")
HIDDEN = 64  # units of a head
HEADS = 8  # of a frozen net, which learn apart and are averaged
FURTHEST = 6.0  # deviations from the mean, beyond which a frozen net's numbers are cut off
NOWHERE = -1  # the window of words that belong to none


class Net(nn.Module):
    """Encoder, pooling by windows, head.

    Parameters
    ----------
    encode : module that gives outputs (n, t, width) for ids int64 (n, t)
    width : of its outputs
    n_classes : int
    dropout : before each linear layer of the head
    around : windows before and after, whose outputs a window is judged by, too
    """

    def __init__(self, encode, width, n_classes, dropout=0.3, around=0):
        super().__init__()
        self.encode, self.around = encode, around
        self.head = nn.Sequential(
            nn.BatchNorm1d(3 * width),
            nn.Dropout(dropout),
            nn.Linear(3 * width, HIDDEN),
            nn.ReLU(),
            nn.BatchNorm1d(HIDDEN),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, n_classes),
        )

    def forward(self, ids, window):
        """Logits of each window.

        Parameters
        ----------
        ids : int64 tensor (n, t), padded at the end
        window : int64 tensor (n, t), the window of each word, from 0; NOWHERE for none

        Returns
        -------
        float32 tensor (m, n_classes), of the windows of the first piece, then the second and so on
        """
        return self.head(pool(self.encode(ids).float(), window, self.around))


class _HalfDropout(nn.Module):
    """nn.Dropout of one half, at the price of one random bit a number: on a CPU most of the time that a frozen net's heads take to learn went into its random floats."""

    def forward(self, x):
        if not self.training:
            return x
        drawn = torch.empty(-(-x.numel() // 64), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)
        bits = drawn[:, None] >> torch.arange(8, dtype=torch.uint8) & 1
        return x * bits.flatten()[: x.numel()].view(x.shape) * 2


class FrozenNet(nn.Module):
    """An encoder that stays as it is, pooling by windows, the mean of some heads on standardised numbers; called as `Net`.

    With `counts` it is called with what can be counted in each window, too, float32 (m, N_NUMBERS).
    """

    def __init__(self, encode, width, n_classes, counts=False, heads=HEADS):
        super().__init__()
        self.encode, self.width = encode, 3 * width
        self.standard = nn.BatchNorm1d(self.width, affine=False)
        self.counts = Standard() if counts else None
        self.heads = nn.ModuleList(
            nn.Sequential(
                _HalfDropout(),
                nn.Linear(self.width + N_DESCRIPTORS * counts, HIDDEN),
                nn.ReLU(),
                _HalfDropout(),
                nn.Linear(HIDDEN, n_classes),
            )
            for _ in range(heads)
        )

    def summaries(self, ids, window, counts=None):
        """What is told of each window, float32 (m, 3 * width) or with the counts beside it; parameters as `Net.forward`."""
        flat, place, count = _placed(self.encode(ids).float(), window)
        mean, mean_of_squares = (_mean(x, place, count) for x in (flat, flat**2))
        there = (count > 0)[:-1].nonzero()[:, 0]
        deviation = (mean_of_squares - mean**2).clamp(min=0).sqrt()
        return torch.cat(
            [
                *(x[there] for x in (mean, deviation, _largest(flat, place, count))),
                *([] if counts is None else [counts]),
            ],
            1,
        )

    def forward(self, ids, window, counts=None):
        """As `Net.forward`."""
        return self.judged(self.standardised(self.summaries(ids, window, counts)))

    def fit(self, summaries):
        """Take means and deviations from summaries (m, …)."""
        self.standard.running_mean.copy_(summaries[:, : self.width].mean(0))
        self.standard.running_var.copy_(summaries[:, : self.width].var(0))
        if self.counts is not None:
            self.counts.fit(summaries[:, self.width :])

    def standardised(self, summaries):
        """What the heads read, of the shape of the summaries."""
        text = self.standard(summaries[:, : self.width]).clamp(-FURTHEST, FURTHEST)
        return text if self.counts is None else torch.cat([text, self.counts(summaries[:, self.width :])], 1)

    def judged(self, standardised):
        """The heads' mean logits, float32 (m, n_classes)."""
        return torch.stack([head(standardised) for head in self.heads]).mean(0)


def pool(outputs, window, around=0):
    """Mean and largest output of each window and of some around it, and its last, (m, 3 * width); windows piece by piece, none of them empty."""
    flat, place, count = _placed(outputs, window)
    last = torch.zeros_like(count, dtype=torch.long).scatter_reduce_(
        0, place, torch.arange(len(flat), device=flat.device), "amax", include_self=False
    )
    there = (count > 0)[:-1].nonzero()[:, 0]
    mean, largest = _mean(flat, place, count)[:-1], _largest(flat, place, count)[:-1]
    if around:
        mean, largest = _with_neighbours(mean, largest, count[:-1], len(outputs), around)
    return torch.cat([mean[there], largest[there], flat[last[there]]], 1)


def _with_neighbours(mean, largest, count, n, around):
    """Means and largest outputs of windows, both (n * most, width) of which `count` words are, as those of a window and so many before and after."""

    def by_piece(x):
        return x.reshape(n, -1, x.shape[1]).transpose(1, 2)  # (n, width, most)

    def added(x):
        return F.avg_pool1d(by_piece(x), 2 * around + 1, 1, around) * (2 * around + 1)

    spread = added(mean * count[:, None]) / added(count[:, None]).clamp(min=1)
    highest = F.max_pool1d(by_piece(largest.masked_fill(count[:, None] == 0, -torch.inf)), 2 * around + 1, 1, around)
    return tuple(x.transpose(1, 2).flatten(0, 1) for x in (spread, highest))


def _placed(outputs, window):
    """Outputs (n * t, width), the place of each, and how many each place has; the last place is of no window."""
    n, t, width = outputs.shape
    most = int(window.max()) + 1
    place = torch.where(window < 0, n * most, torch.arange(n, device=window.device)[:, None] * most + window).flatten()
    return outputs.reshape(n * t, width), place, torch.bincount(place, minlength=n * most + 1).float()


def _mean(flat, place, count):
    return flat.new_zeros(len(count), flat.shape[1]).index_add_(0, place, flat) / count.clamp(min=1)[:, None]


def _largest(flat, place, count):
    return flat.new_zeros(len(count), flat.shape[1]).scatter_reduce_(
        0, place[:, None].expand(-1, flat.shape[1]), flat, "amax", include_self=False
    )


def windows_of(encoding, words, quarters):
    """The window that each word of a piece is in, int array (n_words,): a rest, if shorter than half a window, joins the last.

    Parameters
    ----------
    encoding : of `clara.encodings`
    words : list of str, without control words
    quarters : length of a window
    """
    steps = np.array(encoding.token_steps(words), dtype=np.int64)
    length = quarters * encoding.steps_per_quarter
    begin = np.cumsum(steps) - steps
    return np.minimum(begin // length, max(0, round(steps.sum() / length) - 1)).astype(np.int64)


def collate(pieces, pad):
    """Pieces as a batch.

    Parameters
    ----------
    pieces : list of (ids, window), int arrays (n_words,), or of (ids, window, counts), float32 (n_windows, N_NUMBERS)
    pad : id

    Returns
    -------
    ids, window : int64 tensors (n, longest)
    counts : float32 tensor (m, N_NUMBERS), where the pieces have them
    """
    ids, window, *counts = zip(*pieces)
    return (
        pad_sequence(
            [torch.from_numpy(np.asarray(i, dtype=np.int64)) for i in ids], batch_first=True, padding_value=pad
        ),
        pad_sequence([torch.from_numpy(w) for w in window], batch_first=True, padding_value=NOWHERE),
        *(torch.from_numpy(np.concatenate(c)) for c in counts),
    )


def where(net, batch):
    """What a net is called with, its tensors where the net is."""
    device = next(net.parameters()).device
    return [part.to(device) if isinstance(part, torch.Tensor) else part for part in batch]


class _Trained(nn.Module):
    """An architecture's net as an encoder with dropout."""

    def __init__(self, arch, model):
        super().__init__()
        self.arch, self.model = arch, model

    def forward(self, ids):
        return get_architecture(self.arch).hidden_states(self.model, ids)


class _Read(nn.Module):
    """An architecture's reader as an encoder: no dropout, no gradients; LSTM layers in bfloat16 where the processor multiplies it."""

    def __init__(self, arch, tensors, all_layers=False):
        super().__init__()
        self.reader = get_architecture(arch).InferenceModel(tensors | _unused(tensors))
        self.dtype = torch.bfloat16 if hasattr(self.reader, "rnns") and has_fast_bfloat16() else torch.float32
        self.reader.to(self.dtype)
        self.all_layers = all_layers

    def forward(self, ids):
        start = self.reader.initial_state(len(ids))
        if self.dtype != torch.float32:
            start = [tuple(s.to(self.dtype) for s in layer) for layer in start]
        return self.reader.layer_outputs(ids, start) if self.all_layers else self.reader.hidden(ids, start)[0]


def new_net(arch, sizes, tensors, vocab, n_classes, dropout=0.3, around=0):
    """A net to train.

    Parameters
    ----------
    arch, sizes : of the encoder, with its dropouts
    tensors : its weights by name, with or without a head's, or None to begin by chance
    vocab : Vocab
    n_classes : int
    dropout, around : of `Net`
    """
    module = get_architecture(arch)
    model = module.build(sizes, len(vocab), vocab.pad_id)
    if tensors:
        module.load_tensors(model, _unused(tensors) | tensors)
    encode = _Trained(arch, model)
    with torch.no_grad():
        width = encode(torch.zeros(1, 1, dtype=torch.long)).shape[-1]
    net = Net(encode, width, n_classes, dropout, around)
    if tensors and head_of(tensors):
        net.head.load_state_dict(head_of(tensors))
    return net


def _unused(tensors):
    """What a language model has and a classifier does not store, as a loader wants it."""
    return {"output.bias": torch.zeros(len(tensors["embedding.weight"]))}


def head_of(tensors):
    """A head's weights by their names there, in float32, of weights by name; empty where they are of an encoder alone."""
    return {
        k.removeprefix("head."): v if v.dtype == torch.long else v.float()
        for k, v in tensors.items()
        if k.startswith("head.")
    }


def to_tensors(net):
    """All weights on the CPU by name: the encoder's as on a generator's disk, the others' as `head.…`; of a frozen net the others' alone."""
    if isinstance(net, FrozenNet):
        return {
            f"head.{k}": v.detach().cpu().clone() for k, v in net.state_dict().items() if not k.startswith("encode.")
        }
    encoder = get_architecture(net.encode.arch).to_tensors(net.encode.model)
    return encoder | {f"head.{k}": v.detach().cpu().clone() for k, v in net.head.state_dict().items()}


def from_tensors(arch, tensors, n_classes, kind="tuned", counts=False, around=0):
    """A net that judges, of weights by name: of the head `head.…`, all others the encoder's; without a head a frozen net to train, with counts or not."""
    head = head_of(tensors)
    encoder = _Read(arch, {k: v for k, v in tensors.items() if not k.startswith("head.")}, kind == "frozen")
    with torch.inference_mode():
        width = encoder(torch.zeros(1, 2, dtype=torch.long)).shape[-1]
    if kind == "frozen":
        net = FrozenNet(
            encoder,
            width,
            n_classes,
            counts or "counts.middle" in head,
            len({k.split(".")[1] for k in head if k.startswith("heads.")}) or HEADS,
        )
    else:
        net = Net(encoder, width, n_classes, around=around)
    if head and kind == "frozen":
        net.load_state_dict(head | {k: v for k, v in net.state_dict().items() if k.startswith("encode.")})
    elif head:
        net.head.load_state_dict(head)
    return net.eval().requires_grad_(False)
