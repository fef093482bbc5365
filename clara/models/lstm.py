"""The plain LSTM of the cello-suite system JohaNN: two layers of 128 units, dropout between them.

No weight is dropped or shared: the output layer has a matrix of its own. The baseline that
`awd_lstm` is measured against.

Contents: as `clara.models` tells.
"""

import torch
from torch import nn

from clara.models import awd_lstm

DEFAULTS = {
    "emb_sz": 128,  # width of the embedding
    "n_hid": 128,  # LSTM units in each layer
    "n_layers": 2,
    "hidden_p": 0.2,  # dropouts: between layers
    "output_p": 0.2,  # before the output
}
WORD_ROWS = ("embedding.weight", "output.weight", "output.bias")


class PlainLSTM(nn.Module):
    """Embedding, LSTM, linear output; the state is carried until `reset()`."""

    def __init__(self, vocab_sz, emb_sz, n_hid, n_layers, hidden_p, output_p):
        super().__init__()
        self.embedding = nn.Embedding(vocab_sz, emb_sz)
        self.rnn = nn.LSTM(emb_sz, n_hid, n_layers, batch_first=True, dropout=hidden_p if n_layers > 1 else 0.0)
        self.dropout = nn.Dropout(output_p)
        self.output = nn.Linear(n_hid, vocab_sz)
        self.reset()

    def reset(self):
        """Forget what was read."""
        self.state = None

    def forward(self, ids):
        """Logits (bs, seq_len, vocab_sz), the last layer's output and the same after dropout."""
        if self.state is not None and self.state[0].shape[1] != len(ids):
            self.reset()
        h, state = self.rnn(self.embedding(ids), self.state)
        self.state = tuple(s.detach() for s in state)
        dropped = self.dropout(h)
        return self.output(dropped), h, dropped


def build(config, vocab_sz, pad_id):
    """The net to train; as `clara.models.awd_lstm.build`, called likewise."""
    return PlainLSTM(vocab_sz, **{k: config[k] for k in DEFAULTS})


def groups(model):
    """Parameter groups for discriminative rates: the LSTM, then embedding and output."""
    return [list(model.rnn.parameters()), [*model.embedding.parameters(), *model.output.parameters()]]


def _names(n_layers):
    """(name on disk, name in the net) of every weight."""
    yield "embedding.weight", "embedding.weight"
    for layer in range(n_layers):
        for weight in awd_lstm.RNN_WEIGHTS:
            yield f"rnns.{layer}.{weight}", f"rnn.{weight.removesuffix('0')}{layer}"
    yield "output.weight", "output.weight"
    yield "output.bias", "output.bias"


def shapes(sizes, vocab_sz):
    """The shape of every weight on disk, by name."""
    emb_sz, n_hid = sizes["emb_sz"], sizes["n_hid"]
    found = {"embedding.weight": (vocab_sz, emb_sz), "output.weight": (vocab_sz, n_hid), "output.bias": (vocab_sz,)}
    for layer in range(sizes["n_layers"]):
        of_layer = (4 * n_hid, n_hid if layer else emb_sz), (4 * n_hid, n_hid), (4 * n_hid,), (4 * n_hid,)
        found |= {f"rnns.{layer}.{weight}": shape for weight, shape in zip(awd_lstm.RNN_WEIGHTS, of_layer)}
    return found


def to_tensors(model):
    """Each weight once, on the CPU, by its name on disk."""
    state = model.state_dict()
    return {name: state[inner].detach().cpu() for name, inner in _names(model.rnn.num_layers)}


def load_tensors(model, tensors):
    """Put weights by their names on disk into the net."""
    with torch.no_grad():
        parameters = dict(model.named_parameters())
        for name, inner in _names(model.rnn.num_layers):
            parameters[inner].copy_(tensors[name])
    model.reset()


Reader = awd_lstm.Reader  # which takes an output matrix of its own
