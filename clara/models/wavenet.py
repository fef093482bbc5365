"""WaveNet over words: a stack of dilated causal convolutions with gated units.

Each layer sees its input now and `dilation` words ago; dilations double from layer to layer,
up to LONGEST, then begin anew, so that ten layers see 1,024 words. A layer adds its gated
output to its input and to the sum that the output layer reads. To write, a layer keeps its last
`dilation` inputs in a ring, and a word costs the same however much was read before it.

van den Oord et al. (2016), WaveNet: A Generative Model for Raw Audio; the rings after Le Paine et
al. (2016), Fast Wavenet Generation Algorithm. The input embedding and the output layer share
one matrix, as in `awd_lstm`.
"""

import torch
import torch.nn.functional as F
from torch import nn

DEFAULTS = {
    "emb_sz": 256,  # width of embedding and output
    "n_hid": 192,  # channels of every layer
    "n_layers": 10,  # convolutions; 10 see 1,024 words, 20 twice as many
    "input_p": 0.1,  # dropouts, before --drop-mult scales them
    "hidden_p": 0.1,
    "output_p": 0.1,
}
WORD_ROWS = ("embedding.weight", "output.bias")
LONGEST = 512  # words, the largest dilation
ROWS_START = 0.4  # the embedding's largest number before training, by trial


def dilations(n_layers):
    """Of each layer, in words."""
    return [2 ** (i % LONGEST.bit_length()) for i in range(n_layers)]


class WaveNet(nn.Module):
    """The net to train and to read with; `weights` by their names on disk, see `shapes`."""

    def __init__(self, vocab_sz, emb_sz, n_hid, n_layers, input_p=0.0, hidden_p=0.0, output_p=0.0):
        super().__init__()
        self.dilations, self.n_hid = dilations(n_layers), n_hid
        self.embedding = nn.Embedding(vocab_sz, emb_sz)
        nn.init.uniform_(self.embedding.weight, -ROWS_START, ROWS_START)
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

    def start(self, bs):
        """For each layer its last inputs, oldest first, (dilation, bs, n_hid): silence."""
        return [self.bias.new_zeros(d, bs, self.n_hid) for d in self.dilations]

    def forward(self, ids):
        """Logits (bs, seq_len, vocab_sz), the last hidden layer and the same after dropout."""
        if self.past is None or self.past[0].shape[1] != len(ids):
            self.past = self.start(len(ids))
        h, past = self.hidden(ids, self.past)
        self.past = [p.detach() for p in past]
        dropped = F.dropout(h, self.output_p, self.training)
        return dropped @ self.embedding.weight.T + self.bias, h, dropped

    def hidden(self, ids, past):
        """What the output layer reads, (bs, seq_len, emb_sz), and the layers' last inputs after the last word."""
        x = F.dropout(self.inward(self.embedding(ids.T)), self.input_p, self.training)  # (seq_len, bs, n_hid)
        total, after = 0.0, []
        for i, before in enumerate(past):
            whole = torch.cat([before.to(x.dtype), x])
            after.append(whole[len(x) :])
            x, skipped = self._layer(i, x, whole[: len(x)])
            total = total + skipped
        return self.outward(F.relu(total)).transpose(0, 1), after

    def _layer(self, i, now, then):
        """The next layer's input, and what goes to the output, of inputs now and `dilation` words ago."""
        a, b = self.gates[i](torch.cat([then, now], dim=-1)).chunk(2, dim=-1)
        h = F.dropout(torch.tanh(a) * torch.sigmoid(b), self.hidden_p, self.training)
        onward, skipped = self.onward[i](h).chunk(2, dim=-1)
        return now + onward, skipped


def build(config, vocab_sz, pad_id):
    """The net to train; as `clara.models.awd_lstm.build`, called likewise."""
    return WaveNet(vocab_sz, **{k: config[k] for k in DEFAULTS})


def groups(model):
    """Parameter groups for discriminative rates: the lower half of the layers, the upper, then embedding and output."""
    half, n = len(model.gates) // 2, len(model.gates)
    of_layers = [
        [p for i in range(*ends) for part in (model.gates[i], model.onward[i]) for p in part.parameters()]
        for ends in ((0, half), (half, n))
    ]
    edges = [*model.embedding.parameters(), *model.inward.parameters(), *model.outward.parameters(), model.bias]
    return [g for g in (*of_layers, edges) if g]


def shapes(sizes, vocab_sz):
    """The shape of every weight on disk, by name."""
    emb_sz, n_hid = sizes["emb_sz"], sizes["n_hid"]
    found = {"embedding.weight": (vocab_sz, emb_sz), "output.bias": (vocab_sz,)}
    linear = {"inward": (n_hid, emb_sz), "outward": (emb_sz, n_hid)}
    linear |= {f"gates.{i}": (2 * n_hid, 2 * n_hid) for i in range(sizes["n_layers"])}
    linear |= {f"onward.{i}": (2 * n_hid, n_hid) for i in range(sizes["n_layers"])}
    return (
        found
        | {f"{name}.weight": shape for name, shape in linear.items()}
        | {f"{name}.bias": shape[:1] for name, shape in linear.items()}
    )


def to_tensors(model):
    """Each weight once, on the CPU, by its name on disk."""
    return {"output.bias" if name == "bias" else name: p.detach().cpu() for name, p in model.named_parameters()}


def load_tensors(model, tensors):
    """Put weights by their names on disk into the net."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(tensors["output.bias" if name == "bias" else name])
    model.reset()


def encoded(model, ids):
    """As `clara.models.awd_lstm.encoded`."""
    return model.hidden(ids, model.start(len(ids)))[0]


class InferenceModel(nn.Module):
    """The same net without dropout, with its state in the caller's hands.

    Parameters
    ----------
    tensors : weights by their names on disk
    """

    def __init__(self, tensors):
        super().__init__()
        vocab_sz, emb_sz = tensors["embedding.weight"].shape
        n_layers = sum(name.startswith("gates.") and name.endswith("weight") for name in tensors)
        self.net = WaveNet(vocab_sz, emb_sz, len(tensors["inward.bias"]), n_layers)
        load_tensors(self.net, tensors)
        self.requires_grad_(False).eval()

    @property
    def vocab_sz(self):
        """Number of words."""
        return len(self.net.bias)

    @property
    def device(self):
        """Where it computes."""
        return self.net.bias.device

    def start(self, bs):
        """The state before the first word, for bs sequences: the place in the rings, and a ring per layer."""
        return 0, self.net.start(bs)

    def forward(self, ids, state):
        """As `clara.models.awd_lstm.InferenceModel.forward`; of a single word, the state that is given is used up."""
        h, state = self.hidden(ids, state)
        return h @ self.net.embedding.weight.T + self.net.bias, state

    def hidden(self, ids, state):
        """What the output layer reads, (bs, seq_len, emb_sz), and the state after the last word."""
        at, rings = state
        if ids.shape[1] == 1:
            return self._step(ids[:, 0], at, rings)[:, None], (at + 1, rings)
        h, rings = self.net.hidden(ids, [r.roll(-(at % len(r)), 0) for r in rings])
        return h, (0, [r.clone() for r in rings])

    def layers(self, ids, state):
        """As `hidden`, without the state: what all layers gave together."""
        return self.hidden(ids, state)[0]

    def _step(self, ids, at, rings):
        """What the output layer reads after one word more, (bs, emb_sz)."""
        x, total = self.net.inward(self.net.embedding(ids)), 0.0
        for i, ring in enumerate(rings):
            slot = ring[at % len(ring)]
            now, (x, skipped) = x, self.net._layer(i, x, slot)
            slot.copy_(now)
            total = total + skipped
        return self.net.outward(F.relu(total))

    @staticmethod
    def take(state, rows):
        """The state of some sequences: rows is an int64 tensor (n,), repeats allowed."""
        at, rings = state
        return at, [ring.index_select(1, rows) for ring in rings]

    @staticmethod
    def join(states):
        """The state of all sequences of several states."""
        return 0, [
            torch.cat(parts, 1) for parts in zip(*([r.roll(-(at % len(r)), 0) for r in rings] for at, rings in states))
        ]
