"""WaveNet over tokens: a stack of dilated causal convolutions with gated units.

Each layer sees its current input and the one `dilation` tokens ago. Dilations double from layer to layer up to
`MAX_DILATION`, then start again at 1, so ten layers see 1,024 tokens. A layer adds its gated output to its input (the
residual) and to the sum that the output layer sees (the skip connection). For inference each layer keeps its last
`dilation` inputs in a ring buffer, so the cost of a token does not depend on how many came before.

References
----------
van den Oord et al. (2016), WaveNet: A Generative Model for Raw Audio. Ring buffers: Le Paine et al. (2016), Fast
Wavenet Generation Algorithm. The input embedding and the output layer share one matrix, as in `awd_lstm`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEFAULTS = {
    "emb_sz": 256,  # width of embedding and output
    "n_hid": 192,  # channels of every layer
    "n_layers": 10,  # convolutions; 10 see 1,024 tokens, 20 twice as many
    "input_p": 0.1,  # dropout probabilities, before --drop-mult scales them
    "hidden_p": 0.1,
    "output_p": 0.1,
}
PER_TOKEN_WEIGHTS = ("embedding.weight", "output.bias")
State = tuple[int, list[Tensor]]  # tokens read, and one ring buffer per layer
MAX_DILATION = 512  # tokens
EMBEDDING_RANGE = 0.4  # the initial embedding is uniform within plus or minus this; found by trial


def dilations(n_layers: int) -> list[int]:
    """Return the dilation of each layer, in tokens."""
    return [2 ** (i % MAX_DILATION.bit_length()) for i in range(n_layers)]


class WaveNet(nn.Module):
    """The network for training; it carries its state until `reset()`.

    A state is a list with the last inputs of each layer, oldest first: float32 (dilation, bs, n_hid).
    """

    def __init__(self, vocab_sz, emb_sz, n_hid, n_layers, input_p=0.0, hidden_p=0.0, output_p=0.0):
        super().__init__()
        self.dilations, self.n_hid = dilations(n_layers), n_hid
        self.embedding = nn.Embedding(vocab_sz, emb_sz)
        nn.init.uniform_(self.embedding.weight, -EMBEDDING_RANGE, EMBEDDING_RANGE)
        self.inward = nn.Linear(emb_sz, n_hid)
        self.gates = nn.ModuleList(nn.Linear(2 * n_hid, 2 * n_hid) for _ in self.dilations)
        self.onward = nn.ModuleList(nn.Linear(n_hid, 2 * n_hid) for _ in self.dilations)
        self.outward = nn.Linear(n_hid, emb_sz)
        self.bias = nn.Parameter(torch.zeros(vocab_sz))
        self.input_p, self.hidden_p, self.output_p = input_p, hidden_p, output_p
        self.reset()

    def reset(self):
        """Forget what was read."""
        self.past = None

    def initial_state(self, bs):
        """Return the state before the first token: all zeros."""
        return [self.bias.new_zeros(d, bs, self.n_hid) for d in self.dilations]

    def forward(self, ids):
        """Return logits (bs, seq_len, vocab_sz), the last hidden layer's output and the same after dropout."""
        if self.past is None or self.past[0].shape[1] != len(ids):
            self.past = self.initial_state(len(ids))
        h, past = self.hidden(ids, self.past)
        self.past = [p.detach() for p in past]
        dropped = F.dropout(h, self.output_p, self.training)
        return dropped @ self.embedding.weight.T + self.bias, h, dropped

    def hidden(self, ids, past):
        """Return the input of the output layer, (bs, seq_len, emb_sz), and the state after the last token."""
        x = F.dropout(self.inward(self.embedding(ids.T)), self.input_p, self.training)  # (seq_len, bs, n_hid)
        total, new_past = 0.0, []
        for i, layer_past in enumerate(past):
            inputs = torch.cat([layer_past.to(x.dtype), x])
            new_past.append(inputs[len(x) :])
            x, skip = self.layer(i, x, inputs[: len(x)])
            total = total + skip
        return self.outward(F.relu(total)).transpose(0, 1), new_past

    def layer(self, i, current, delayed):
        """Return the input of layer i + 1 and the skip output of layer i.

        Parameters
        ----------
        i : int
            Number of the layer.
        current, delayed : Tensor (…, n_hid)
            Its inputs now and `dilation` tokens ago.
        """
        a, b = self.gates[i](torch.cat([delayed, current], dim=-1)).chunk(2, dim=-1)
        h = F.dropout(torch.tanh(a) * torch.sigmoid(b), self.hidden_p, self.training)
        residual, skip = self.onward[i](h).chunk(2, dim=-1)
        return current + residual, skip


def build(config: Mapping[str, Any], vocab_sz: int, pad_id: int) -> nn.Module:
    """Return a network to train; see `clara.models.Architecture.build`."""
    return WaveNet(vocab_sz, **{name: config[name] for name in DEFAULTS})


def groups(model) -> list[list[nn.Parameter]]:
    """Return the parameter groups: the lower half of the layers, the upper half, then embedding and output."""
    n_layers = len(model.gates)
    half = n_layers // 2
    lower, upper = [
        [p for i in layers for part in (model.gates[i], model.onward[i]) for p in part.parameters()]
        for layers in (range(half), range(half, n_layers))
    ]
    edges = [*model.embedding.parameters(), *model.inward.parameters(), *model.outward.parameters(), model.bias]
    return [group for group in (lower, upper, edges) if group]


def shapes(sizes: Mapping[str, Any], vocab_sz: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every stored weight, by name."""
    emb_sz, n_hid = sizes["emb_sz"], sizes["n_hid"]
    linear = {"inward": (n_hid, emb_sz), "outward": (emb_sz, n_hid)}
    linear |= {f"gates.{i}": (2 * n_hid, 2 * n_hid) for i in range(sizes["n_layers"])}
    linear |= {f"onward.{i}": (2 * n_hid, n_hid) for i in range(sizes["n_layers"])}
    by_name = {"embedding.weight": (vocab_sz, emb_sz), "output.bias": (vocab_sz,)}
    by_name |= {f"{name}.weight": shape for name, shape in linear.items()}
    by_name |= {f"{name}.bias": shape[:1] for name, shape in linear.items()}
    return by_name


def to_tensors(model) -> dict[str, Tensor]:
    """Return every weight once, on the CPU, by its stored name."""
    return {_stored_name(name): p.detach().cpu() for name, p in model.named_parameters()}


def load_tensors(model, tensors: Mapping[str, Tensor]) -> None:
    """Copy weights by their stored names into the network."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(tensors[_stored_name(name)])
    model.reset()


def _stored_name(name):
    return "output.bias" if name == "bias" else name


def hidden_states(model, ids: Tensor) -> Tensor:
    """Return the input of the output layer, (bs, seq_len, emb_sz), for ids (bs, seq_len) read from the start."""
    return model.hidden(ids, model.initial_state(len(ids)))[0]


class InferenceModel(nn.Module):
    """The network without dropout; its caller holds its state.

    A state is a pair: the number of tokens read so far, and a list with one ring buffer per layer, float32
    (dilation, bs, n_hid). After n tokens the oldest input of a ring is at index n modulo its dilation.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Weights by their stored names.
    """

    def __init__(self, tensors: Mapping[str, Tensor]):
        super().__init__()
        vocab_sz, emb_sz = tensors["embedding.weight"].shape
        n_layers = sum(name.startswith("gates.") and name.endswith("weight") for name in tensors)
        self.net = WaveNet(vocab_sz, emb_sz, len(tensors["inward.bias"]), n_layers)
        load_tensors(self.net, tensors)
        self.requires_grad_(False).eval()

    @property
    def vocab_sz(self) -> int:
        """Number of tokens."""
        return len(self.net.bias)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.net.bias.device

    def initial_state(self, bs: int) -> State:
        """Return the state before the first token, for `bs` sequences."""
        return 0, self.net.initial_state(bs)

    def forward(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Read tokens; as `clara.models.awd_lstm.InferenceModel.forward`.

        With a single token per sequence the given state is overwritten.
        """
        h, state = self.hidden(ids, state)
        return h @ self.net.embedding.weight.T + self.net.bias, state

    def hidden(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the input of the output layer, (bs, seq_len, emb_sz), and the state after the last token."""
        n_read, rings = state
        if ids.shape[1] == 1:
            return self._step(ids[:, 0], n_read, rings)[:, None], (n_read + 1, rings)
        h, rings = self.net.hidden(ids, _oldest_first(state))
        return h, (0, [r.clone() for r in rings])

    def layer_outputs(self, ids: Tensor, state: State) -> Tensor:
        """Return the summed outputs of all layers, (bs, seq_len, emb_sz)."""
        return self.hidden(ids, state)[0]

    def _step(self, ids, n_read, rings):
        """Read one token per sequence and return the input of the output layer, (bs, emb_sz)."""
        x, total = self.net.inward(self.net.embedding(ids)), 0.0
        for i, ring in enumerate(rings):
            slot = ring[n_read % len(ring)]
            current = x
            x, skip = self.net.layer(i, current, slot)
            slot.copy_(current)
            total = total + skip
        return self.net.outward(F.relu(total))

    @staticmethod
    def take(state: State, rows: Tensor) -> State:
        """Return the state of the sequences `rows`, an int64 tensor (n,) that may repeat a sequence."""
        n_read, rings = state
        return n_read, [ring.index_select(1, rows) for ring in rings]

    @staticmethod
    def join(states: Sequence[State]) -> State:
        """Return one state with the sequences of several states."""
        return 0, [torch.cat(rings, 1) for rings in zip(*map(_oldest_first, states))]


def _oldest_first(state):
    """Return the ring buffers of a state, each rotated to start with its oldest input."""
    n_read, rings = state
    return [ring.roll(-(n_read % len(ring)), 0) for ring in rings]
