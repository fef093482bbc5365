"""The plain LSTM of the cello-suite system JohaNN: two layers of 128 units, dropout between them.

No weight is dropped or shared: the output layer has a matrix of its own. The baseline that
`awd_lstm` is measured against.
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
        from clara.models.fast_lstm import MergedLSTM

        self.embedding = nn.Embedding(vocab_sz, emb_sz)
        self.rnns = nn.ModuleList(
            MergedLSTM(n_hid if layer else emb_sz, n_hid, batch_first=True) for layer in range(n_layers)
        )
        self.hidden_dp, self.dropout = nn.Dropout(hidden_p), nn.Dropout(output_p)
        self.output = nn.Linear(n_hid, vocab_sz)
        self.reset()

    def reset(self):
        """Forget what was read."""
        self.state = None

    def forward(self, ids):
        """Logits (bs, seq_len, vocab_sz), the last layer's output and the same after dropout."""
        if self.state is None or self.state[0][0].shape[1] != len(ids):
            self.state = [(torch.zeros(1, len(ids), rnn.hidden_size, device=ids.device),) * 2 for rnn in self.rnns]
        h, after = self.embedding(ids), []
        for rnn, before in zip(self.rnns, self.state):
            h, state = rnn(self.hidden_dp(h) if after else h, before)
            after.append(tuple(s.detach() for s in state))
        self.state = after
        dropped = self.dropout(h)
        return self.output(dropped), h, dropped


def build(config, vocab_sz, pad_id):
    """The net to train; as `clara.models.awd_lstm.build`, called likewise."""
    return PlainLSTM(vocab_sz, **{k: config[k] for k in DEFAULTS})


def groups(model):
    """Parameter groups for discriminative rates: the LSTM, then embedding and output."""
    return [list(model.rnns.parameters()), [*model.embedding.parameters(), *model.output.parameters()]]


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
    return {name: weight.cpu() for name, weight in model.state_dict().items()}


def load_tensors(model, tensors):
    """Put weights by their names on disk into the net."""
    model.load_state_dict({name: tensors[name] for name in model.state_dict()})
    model.reset()


def encoded(model, ids):
    """As `clara.models.awd_lstm.encoded`, (bs, seq_len, n_hid)."""
    model.reset()
    return model(ids)[1]


InferenceModel = awd_lstm.InferenceModel  # which takes an output matrix of its own
