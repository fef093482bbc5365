"""A plain LSTM, the baseline for `awd_lstm`: two layers of 128 units with dropout between them.

It follows the cello-suite system JohaNN. No weights are dropped, and the output layer has a matrix of its own.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clara.models import awd_lstm

DEFAULTS = {
    "emb_sz": 128,  # width of the embedding
    "n_hid": 128,  # LSTM units in each layer
    "n_layers": 2,
    "hidden_p": 0.2,  # dropout probability between layers
    "output_p": 0.2,  # and before the output layer
}
PER_TOKEN_WEIGHTS = ("embedding.weight", "output.weight", "output.bias")


class PlainLSTM(nn.Module):
    """Embedding, LSTM layers and a linear output; it carries its state until `reset()`."""

    def __init__(self, vocab_sz, emb_sz, n_hid, n_layers, hidden_p, output_p):
        super().__init__()
        from clara.models.fast_lstm import FusedLSTM

        self.embedding = nn.Embedding(vocab_sz, emb_sz)
        self.rnns = nn.ModuleList(
            FusedLSTM(n_hid if layer else emb_sz, n_hid, batch_first=True) for layer in range(n_layers)
        )
        self.hidden_dp = nn.Dropout(hidden_p)
        self.dropout = nn.Dropout(output_p)
        self.output = nn.Linear(n_hid, vocab_sz)
        self.reset()

    def reset(self):
        """Forget what was read."""
        self.state = None

    def forward(self, ids):
        """Return logits (bs, seq_len, vocab_sz), the last layer's output and the same after dropout."""
        if self.state is None or self.state[0][0].shape[1] != len(ids):
            self.state = [(torch.zeros(1, len(ids), rnn.hidden_size, device=ids.device),) * 2 for rnn in self.rnns]
        h, new_state = self.embedding(ids), []
        for layer, (rnn, layer_state) in enumerate(zip(self.rnns, self.state)):
            h, layer_state = rnn(self.hidden_dp(h) if layer else h, layer_state)
            new_state.append(tuple(s.detach() for s in layer_state))
        self.state = new_state
        dropped = self.dropout(h)
        return self.output(dropped), h, dropped


def build(config: Mapping[str, Any], vocab_sz: int, pad_id: int) -> nn.Module:
    """Return a network to train; see `clara.models.Architecture.build`."""
    return PlainLSTM(vocab_sz, **{name: config[name] for name in DEFAULTS})


def groups(model) -> list[list[nn.Parameter]]:
    """Return the parameter groups: the LSTM layers, then embedding and output."""
    return [list(model.rnns.parameters()), [*model.embedding.parameters(), *model.output.parameters()]]


def shapes(sizes: Mapping[str, Any], vocab_sz: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every stored weight, by name."""
    emb_sz, n_hid = sizes["emb_sz"], sizes["n_hid"]
    by_name = {"embedding.weight": (vocab_sz, emb_sz), "output.weight": (vocab_sz, n_hid), "output.bias": (vocab_sz,)}
    for layer in range(sizes["n_layers"]):
        by_name |= awd_lstm.lstm_shapes(layer, n_hid if layer else emb_sz, n_hid)
    return by_name


def to_tensors(model) -> dict[str, Tensor]:
    """Return every weight once, on the CPU, by its stored name."""
    return {name: weight.cpu() for name, weight in model.state_dict().items()}


def load_tensors(model, tensors: Mapping[str, Tensor]) -> None:
    """Copy weights by their stored names into the network."""
    model.load_state_dict({name: tensors[name] for name in model.state_dict()})
    model.reset()


def hidden_states(model, ids: Tensor) -> Tensor:
    """Return the output of the last layer, (bs, seq_len, n_hid), for ids (bs, seq_len) read from the start."""
    model.reset()
    return model(ids)[1]


InferenceModel = awd_lstm.InferenceModel  # it accepts an output matrix of its own
