"""AWD-LSTM: fastai's network for training, and a plain LSTM stack with the same weights for inference.

Dropped weights matter only in training, so a stored model holds each weight once, under its plain name. Only `build`
and `groups` import fastai; scoring and composing do without it. `clara.models.fast_lstm` makes training faster.

References
----------
Merity, Keskar and Socher (2017), Regularizing and Optimizing LSTM Language Models. The input embedding and the output
layer share one matrix.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clara.models.context import N_CANDIDATES, SCALE, add_trust, sum_of_rows

DEFAULTS = {
    "emb_sz": 400,  # width of embedding and output; 256 for a quick model
    "n_hid": 600,  # LSTM units in all but the last layer
    "n_layers": 4,  # 2 to 4
    "input_p": 0.25,  # dropout probabilities, before --drop-mult scales them
    "hidden_p": 0.15,
    "output_p": 0.1,
    "embed_p": 0.02,
    "weight_p": 0.2,
}
PER_TOKEN_WEIGHTS = ("embedding.weight", "output.bias")
MIN_WEIGHT_P = 1e-9  # with 0, fastai's WeightDropout keeps the parameter itself instead of a copy, and reset() fails
EMBEDDING_SCALE = 4.0  # times fastai's initial embedding, with which music is learned slowly
State = list[tuple[Tensor, ...]]  # h and c of each layer, float32 (1, bs, n_units)
CONTEXT_WEIGHTS = ("context.weight", "output_context.weight", "trust.weight", "trust.bias")
PER_CONTEXT_WEIGHTS = ("context.weight", "output_context.weight", "trust.bias")  # with a row for each category
RNN_WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def build(config: Mapping[str, Any], vocab_sz: int, pad_id: int) -> nn.Module:
    """Return fastai's AWD-LSTM language model, with fused LSTM layers.

    Parameters
    ----------
    config : dict
        Has the keys of `DEFAULTS`; for a model that follows plans also `context_rows`, and may have `context_scale`
        (see `clara.models.context`).
    vocab_sz : int
        Number of tokens.
    pad_id : int
        Id of the padding token.

    Returns
    -------
    SequentialRNN
        See `clara.models.Architecture.build`.
    """
    from fastai.text.models.core import LinearDecoder, SequentialRNN

    from clara.models.fast_lstm import FusedAWDLSTM

    settings = {name: value for name, value in config.items() if name != "output_p"}
    settings["weight_p"] = max(config["weight_p"], MIN_WEIGHT_P)
    encoder = FusedAWDLSTM(vocab_sz, **settings, pad_token=pad_id)
    with torch.no_grad():
        encoder.encoder.weight.mul_(EMBEDDING_SCALE)
    decoder = LinearDecoder(vocab_sz, config["emb_sz"], config["output_p"], tie_encoder=encoder.encoder)
    if not config.get("context_rows"):
        return SequentialRNN(encoder, decoder)
    from clara.models.plan_lstm import PlanFollowingRNN

    context_scale = config.get("context_scale", SCALE)
    return PlanFollowingRNN(encoder, decoder, config["context_rows"], config["emb_sz"], context_scale)


def groups(model) -> list[list[nn.Parameter]]:
    """Return the parameter groups: each LSTM layer, then embedding and output."""
    from fastai.text.models.awdlstm import awd_lstm_lm_split

    *layers, edges = awd_lstm_lm_split(model)
    if model[0].context is None:
        return [*layers, edges]
    context = (model[0].context, model.output_context, model.trust)
    return [*layers, [*edges, *(p for module in context for p in module.parameters())]]


def shapes(sizes: Mapping[str, Any], vocab_sz: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every stored weight, by name."""
    emb_sz, n_hid, n_layers = sizes["emb_sz"], sizes["n_hid"], sizes["n_layers"]
    by_name = {"embedding.weight": (vocab_sz, emb_sz), "output.bias": (vocab_sz,)}
    for layer in range(n_layers):
        n_in = emb_sz if layer == 0 else n_hid
        n_out = emb_sz if layer == n_layers - 1 else n_hid
        by_name |= lstm_shapes(layer, n_in, n_out)
    if sizes.get("context_rows"):
        by_name |= context_shapes(sizes["context_rows"], emb_sz)
    return by_name


def context_shapes(n_rows: int, emb_sz: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the stored weights for the context, by name; see `clara.models.context`."""
    shapes = (n_rows, emb_sz), (n_rows, emb_sz), (N_CANDIDATES, emb_sz), (n_rows,)
    return dict(zip(CONTEXT_WEIGHTS, shapes))


def lstm_shapes(layer: int, n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the stored weights of one LSTM layer, by name."""
    layer_shapes = (4 * n_out, n_in), (4 * n_out, n_out), (4 * n_out,), (4 * n_out,)
    return {f"rnns.{layer}.{weight}": shape for weight, shape in zip(RNN_WEIGHTS, layer_shapes)}


def to_tensors(model) -> dict[str, Tensor]:
    """Return every weight of fastai's model once, on the CPU, by its stored name."""
    state = model.state_dict()
    tensors = {name: state[fastai_name].detach().cpu() for name, fastai_name in _weight_names(model)}
    return tensors | {name: tensors[name] * model.context_scale for name in CONTEXT_WEIGHTS if name in tensors}


def load_tensors(model, tensors: Mapping[str, Tensor]) -> None:
    """Copy weights by their stored names into fastai's model."""
    with torch.no_grad():
        parameters = dict(model.named_parameters())
        for name, fastai_name in _weight_names(model):
            if name not in CONTEXT_WEIGHTS:
                parameters[fastai_name].copy_(tensors[name])
            elif name in tensors:  # a model without context may be trained on with it
                parameters[fastai_name].copy_(tensors[name].float() / model.context_scale)
    model.reset()


def _weight_names(model):
    """Yield the stored name and fastai's name of every weight."""
    yield "embedding.weight", "0.encoder.weight"
    if model[0].context is not None:
        yield from zip(CONTEXT_WEIGHTS, ("0.context.weight", "output_context.weight", "trust.weight", "trust.bias"))
    for layer in range(len(model[0].rnns)):
        for weight in RNN_WEIGHTS:
            fastai_name = f"{weight}_raw" if weight == "weight_hh_l0" else f"module.{weight}"
            yield f"rnns.{layer}.{weight}", f"0.rnns.{layer}.{fastai_name}"
    yield "output.bias", "1.decoder.bias"


def hidden_states(model, ids: Tensor) -> Tensor:
    """Return the output of the last layer, (bs, seq_len, emb_sz), for ids (bs, seq_len) read from the start."""
    model.reset()
    return model[0](ids)


class InferenceModel(nn.Module):
    """The LSTM stack without dropout; its caller holds its state.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Weights by their stored names. An output matrix of its own, `output.weight` (vocab_sz, emb_sz), and an initial
        state, `initial_state.0.h`, `initial_state.0.c`, … (1, 1, n_units), may be among them: an adapter has them
        (see `clara.checkpoints.adapter`).
    """

    def __init__(self, tensors: Mapping[str, Tensor]):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(tensors["embedding.weight"].float())
        n_layers = sum(name.endswith("weight_hh_l0") for name in tensors)
        self.layer_widths = [tensors[f"rnns.{i}.weight_hh_l0"].shape[1] for i in range(n_layers)]
        self.learned_state = None
        if "initial_state.0.h" in tensors:
            self.learned_state = [[tensors[f"initial_state.{i}.{s}"].float() for s in "hc"] for i in range(n_layers)]
        self.output_weight = self.embedding.weight
        if "output.weight" in tensors:
            self.output_weight = nn.Parameter(tensors["output.weight"].float(), requires_grad=False)
        self.rnns = nn.ModuleList(_lstm(tensors, layer) for layer in range(n_layers))
        self.bias = nn.Parameter(tensors["output.bias"].float(), requires_grad=False)
        self.has_context = "context.weight" in tensors
        if self.has_context:
            context = (nn.Parameter(tensors[name].float(), requires_grad=False) for name in CONTEXT_WEIGHTS)
            self.context_weight, self.output_context_weight, self.trust_weight, self.trust_bias = context
        self.eval()

    @property
    def vocab_sz(self) -> int:
        """Number of tokens."""
        return len(self.bias)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.bias.device

    def initial_state(self, bs: int) -> State:
        """Return the state before the first token, for `bs` sequences."""
        device = self.device
        if self.learned_state:
            return [tuple(s.to(device).repeat(1, bs, 1) for s in layer) for layer in self.learned_state]
        return [tuple(torch.zeros(1, bs, width, device=device) for _ in "hc") for width in self.layer_widths]

    def forward(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Read tokens, starting from a state.

        Parameters
        ----------
        ids : int64 tensor (bs, seq_len), or (bs, seq_len, 1 + n_columns)
            Tokens, or tokens each followed by its context.
        state : list of (Tensor, Tensor)
            From `initial_state` or an earlier call, for `bs` sequences.

        Returns
        -------
        logits : float32 tensor (bs, seq_len, vocab_sz)
        state : list of (Tensor, Tensor)
            State after the last token.
        """
        x, new_state = self.hidden(ids, state)
        return self.logits(x, ids), new_state

    def hidden(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the output of the last layer, (bs, seq_len, emb_sz), and the state after the last token."""
        x, new_state = self._embed(ids), []
        for rnn, layer_state in zip(self.rnns, state):
            x, layer_state = _step(rnn, x, layer_state) if ids.shape[1] == 1 else rnn(x, layer_state)
            new_state.append(layer_state)
        return x, new_state

    def logits(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Return the logits, (bs, seq_len, vocab_sz), for the output of the last layer and the ids that it read."""
        if ids.dim() == 2:
            return hidden @ self.output_weight.T + self.bias
        context = ids[..., 1:]
        x = hidden + sum_of_rows(context, self.output_context_weight)
        return add_trust(x @ self.output_weight.T + self.bias, x @ self.trust_weight.T, self.trust_bias, context)

    def _embed(self, ids):
        """Return the input of the first layer, (bs, seq_len, emb_sz)."""
        if ids.dim() == 2:
            return self.embedding(ids)
        return self.embedding(ids[..., 0]) + sum_of_rows(ids[..., 1:], self.context_weight)

    def layer_outputs(self, ids: Tensor, state: State) -> Tensor:
        """Return the outputs of all layers side by side, lowest first: (bs, seq_len, sum of their widths)."""
        x, outputs = self._embed(ids), []
        for rnn, layer_state in zip(self.rnns, state):
            x, _ = rnn(x, layer_state)
            outputs.append(x)
        return torch.cat(outputs, 2)

    @staticmethod
    def take(state: State, rows: Tensor) -> State:
        """Return the state of the sequences `rows`, an int64 tensor (n,) that may repeat a sequence."""
        return [tuple(s.index_select(1, rows) for s in layer) for layer in state]

    @staticmethod
    def join(states: Sequence[State]) -> State:
        """Return one state with the sequences of several states."""
        return [tuple(torch.cat(parts, 1) for parts in zip(*layers)) for layers in zip(*states)]


def _step(rnn, x, state):
    """Read one token with one LSTM layer: equal to rnn(x, state), and faster on a CPU."""
    h, c = torch.lstm_cell(x[:, 0], (state[0][0], state[1][0]), *(getattr(rnn, w) for w in RNN_WEIGHTS))
    return h[:, None], (h[None], c[None])


def _lstm(tensors, layer):
    """Return one LSTM layer with its weights."""
    weights = {w: tensors[f"rnns.{layer}.{w}"].float() for w in RNN_WEIGHTS}
    n_hid, n_in = weights["weight_hh_l0"].shape[1], weights["weight_ih_l0"].shape[1]
    rnn = nn.LSTM(n_in, n_hid, batch_first=True)
    rnn.load_state_dict(weights)
    return rnn.requires_grad_(False)
