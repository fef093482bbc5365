"""AWD-LSTM: fastai's own for training, with faster layers (see `clara.models.fast_lstm`), a plain LSTM stack of the same weights for reading.

Merity, Keskar and Socher (2017), Regularizing and Optimizing LSTM Language Models. The
input embedding and the output layer share one matrix. Dropping weights is a matter of
training alone, so a model on disk holds each weight once, by its plain name, and whoever
only reads music or composes never imports fastai.
"""

import torch
from torch import nn

DEFAULTS = {
    "emb_sz": 400,  # width of embedding and output; 256 for a quick model
    "n_hid": 600,  # LSTM units in all but the last layer
    "n_layers": 4,  # 2 to 4
    "input_p": 0.25,  # dropouts, before --drop-mult scales them
    "hidden_p": 0.15,
    "output_p": 0.1,
    "embed_p": 0.02,
    "weight_p": 0.2,
}
WORD_ROWS = ("embedding.weight", "output.bias")  # a row for each word
LEAST_WEIGHT_P = 1e-9
ROWS_START = 4.0  # times fastai's own embedding, of which music is slow to be learned
RNN_WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def build(config, vocab_sz, pad_id):
    """fastai's AWD-LSTM language model.

    Parameters
    ----------
    config : dict with the keys of `DEFAULTS`
    vocab_sz : number of words
    pad_id : id of the padding word

    Returns
    -------
    SequentialRNN; called on ids (bs, seq_len) it gives logits (bs, seq_len, vocab_sz),
    the last layer's output and the same after dropout, and carries its state until
    `reset()`
    """
    from fastai.text.models.core import LinearDecoder, SequentialRNN

    from clara.models.fast_lstm import MergedAWD

    # With none at all fastai's WeightDropout puts the parameter itself in place of a copy, and fails at reset.
    config = config | {"weight_p": max(config["weight_p"], LEAST_WEIGHT_P)}
    encoder = MergedAWD(vocab_sz, **{k: v for k, v in config.items() if k != "output_p"}, pad_token=pad_id)
    with torch.no_grad():
        encoder.encoder.weight.mul_(ROWS_START)
    return SequentialRNN(
        encoder, LinearDecoder(vocab_sz, config["emb_sz"], config["output_p"], tie_encoder=encoder.encoder)
    )


def groups(model):
    """Parameter groups for discriminative rates: each LSTM layer, then embedding and output."""
    from fastai.text.models.awdlstm import awd_lstm_lm_split

    return awd_lstm_lm_split(model)


def _names(n_layers):
    """(name on disk, name in fastai's model) of every weight."""
    yield "embedding.weight", "0.encoder.weight"
    for layer in range(n_layers):
        for weight in RNN_WEIGHTS:
            inner = f"{weight}_raw" if weight == "weight_hh_l0" else f"module.{weight}"
            yield f"rnns.{layer}.{weight}", f"0.rnns.{layer}.{inner}"
    yield "output.bias", "1.decoder.bias"


def shapes(sizes, vocab_sz):
    """The shape of every weight on disk, by name."""
    emb_sz, n_hid, n_layers = sizes["emb_sz"], sizes["n_hid"], sizes["n_layers"]
    found = {"embedding.weight": (vocab_sz, emb_sz), "output.bias": (vocab_sz,)}
    for layer in range(n_layers):
        n_in, n_out = emb_sz if layer == 0 else n_hid, emb_sz if layer == n_layers - 1 else n_hid
        of_layer = (4 * n_out, n_in), (4 * n_out, n_out), (4 * n_out,), (4 * n_out,)
        found |= {f"rnns.{layer}.{weight}": shape for weight, shape in zip(RNN_WEIGHTS, of_layer)}
    return found


def to_tensors(model):
    """Each weight of fastai's model once, on the CPU, by its name on disk."""
    state = model.state_dict()
    return {name: state[inner].detach().cpu() for name, inner in _names(len(model[0].rnns))}


def load_tensors(model, tensors):
    """Put weights by their names on disk into fastai's model."""
    with torch.no_grad():
        parameters = dict(model.named_parameters())
        for name, inner in _names(len(model[0].rnns)):
            parameters[inner].copy_(tensors[name])
    model.reset()


def encoded(model, ids):
    """What the last layer tells of ids (bs, seq_len) read from the beginning, (bs, seq_len, emb_sz); to train a classifier on."""
    model.reset()
    return model[0](ids)


class InferenceModel(nn.Module):
    """The same net without dropout, with its state in the caller's hands.

    Parameters
    ----------
    tensors : weights by their names on disk; those of a style (see `clara.adapter`) may stand among them:
        `output.weight` (vocab_sz, emb_sz), and `start.0.h`, `start.0.c` and so on (1, 1, n), the state to begin in
    """

    def __init__(self, tensors):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(tensors["embedding.weight"].float())
        n_layers = sum(name.endswith("weight_hh_l0") for name in tensors)
        self.beginning = (
            [[tensors[f"start.{i}.{s}"].float() for s in "hc"] for i in range(n_layers)]
            if "start.0.h" in tensors
            else None
        )
        own = tensors.get("output.weight")  # rows of the output layer, the embedding's unless it has its own
        self.output_weight = self.embedding.weight if own is None else nn.Parameter(own.float(), requires_grad=False)
        self.rnns = nn.ModuleList(_lstm(tensors, layer) for layer in range(n_layers))
        self.bias = nn.Parameter(tensors["output.bias"].float(), requires_grad=False)
        self.eval()

    @property
    def vocab_sz(self):
        """Number of words."""
        return len(self.bias)

    @property
    def device(self):
        """Where it computes."""
        return self.bias.device

    def start(self, bs):
        """The state before the first word, for bs sequences: a list of (h, c) per layer."""
        device = self.device
        if self.beginning:
            return [tuple(s.to(device).repeat(1, bs, 1) for s in layer) for layer in self.beginning]
        return [tuple(torch.zeros(1, bs, rnn.hidden_size, device=device) for _ in range(2)) for rnn in self.rnns]

    def forward(self, ids, state):
        """Read words and go on from a state.

        Parameters
        ----------
        ids : int64 tensor (bs, seq_len)
        state : from `start` or an earlier call, for bs sequences

        Returns
        -------
        logits : float32 tensor (bs, seq_len, vocab_sz)
        state : after the last word
        """
        x, after = self.hidden(ids, state)
        return x @ self.output_weight.T + self.bias, after

    def hidden(self, ids, state):
        """What the output layer reads, (bs, seq_len, emb_sz), and the state after the last word."""
        x, after = self.embedding(ids), []
        for rnn, before in zip(self.rnns, state):
            x, h = _step(rnn, x, before) if ids.shape[1] == 1 else rnn(x, before)
            after.append(h)
        return x, after

    def layers(self, ids, state):
        """What each layer tells, the lowest first: (bs, seq_len, the sum of their widths)."""
        x, told = self.embedding(ids), []
        for rnn, before in zip(self.rnns, state):
            x, _ = rnn(x, before)
            told.append(x)
        return torch.cat(told, 2)

    @staticmethod
    def take(state, rows):
        """The state of some sequences: rows is an int64 tensor (n,), repeats allowed."""
        return [tuple(s.index_select(1, rows) for s in layer) for layer in state]

    @staticmethod
    def join(states):
        """The state of all sequences of several states."""
        return [tuple(torch.cat(parts, 1) for parts in zip(*layers)) for layers in zip(*states)]


def _step(rnn, x, state):
    """One word through one LSTM layer: the same as rnn(x, state), and faster on a CPU."""
    h, c = torch.lstm_cell(x[:, 0], (state[0][0], state[1][0]), *(getattr(rnn, w) for w in RNN_WEIGHTS))
    return h[:, None], (h[None], c[None])


def _lstm(tensors, layer):
    """One LSTM layer with its weights."""
    weights = {w: tensors[f"rnns.{layer}.{w}"].float() for w in RNN_WEIGHTS}
    n_hid, n_in = weights["weight_hh_l0"].shape[1], weights["weight_ih_l0"].shape[1]
    rnn = nn.LSTM(n_in, n_hid, batch_first=True)
    rnn.load_state_dict(weights)
    return rnn.requires_grad_(False)
