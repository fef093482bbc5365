"""An LSTM layer that trains faster on a CPU than torch's, and fastai's AWD-LSTM with such layers.

torch calls oneDNN, whose backward pass takes most of the training time. Here each time step is one matrix product:
the weights of input and state side by side, times input and state stacked, with one column per sequence. The backward
pass has one product per step, too, and the weights' gradient is one product over all steps. Products are in bfloat16,
gates and cells in float32 (see `clara.models.lstm_kernels`). Outside of training the layer is torch's own. Then it
computes in bfloat16 only where oneDNN has a bfloat16 LSTM for the processor, which needs AVX-512.
"""

from functools import cache

import torch
from fastai.text.models.awdlstm import AWD_LSTM, WeightDropout
from torch import nn

from clara.models.context import SCALE, ContextTable
from clara.models.lstm_kernels import backward_step, forward_step


class FusedLSTM(nn.LSTM):
    """One LSTM layer, batch first; the fused step is used in training on a CPU under autocast to bfloat16."""

    def forward(self, x, state):
        """Return what `torch.nn.LSTM` does.

        Parameters
        ----------
        x : Tensor (bs, seq_len, n_in)
        state : pair of Tensor (1, bs, n_hid)
        """
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x, state)
        if not torch.is_grad_enabled():
            with torch.autocast("cpu", torch.bfloat16, enabled=_has_bfloat16_lstm()):
                return super().forward(x, state)
        h, c = (s[0] for s in state)
        bias = self.bias_ih_l0 + self.bias_hh_l0
        y, h, c = _FusedLayer.apply(x, h, c, self.weight_ih_l0, self.weight_hh_l0, bias)
        return y, (h[None], c[None])


@cache
def _has_bfloat16_lstm():
    """Return whether torch has a bfloat16 LSTM for this processor."""
    try:
        with torch.random.fork_rng([]), torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            nn.LSTM(8, 8)(torch.zeros(1, 1, 8))
    except RuntimeError:
        return False
    return True


class FusedAWDLSTM(AWD_LSTM):
    """fastai's AWD-LSTM with fused layers, and with the context of each token if it has a table for it.

    Parameters
    ----------
    vocab_sz, emb_sz : int
    context_rows : int
        Rows of the table of contexts; 0 for a model that reads tokens alone.
    context_scale : float
        See `clara.models.context`.
    *sizes, **dropouts
        As for fastai's AWD_LSTM.
    """

    def __init__(self, vocab_sz, emb_sz, *sizes, context_rows=0, context_scale=SCALE, **dropouts):
        super().__init__(vocab_sz, emb_sz, *sizes, **dropouts)
        self.context = ContextTable(context_rows, emb_sz, context_scale) if context_rows else None

    def forward(self, inp, from_embeds=False):
        """Return the output of the last layer, (bs, seq_len, emb_sz), for tokens or for tokens with context."""
        if self.context is None or from_embeds or inp.dim() == 2:
            return super().forward(inp, from_embeds)
        return super().forward(self.encoder_dp(inp[..., 0]) + self.context(inp[..., 1:]), from_embeds=True)

    def _one_rnn(self, n_in, n_out, bidir, weight_p, l):  # noqa: E741 - fastai's name
        return WeightDropout(FusedLSTM(n_in, n_out, batch_first=True), weight_p)


class _FusedLayer(torch.autograd.Function):
    """All time steps of a layer, forward and backward; the batch is the last dimension of every buffer."""

    @staticmethod
    def forward(ctx, x, h, c, w_in, w_state, bias):
        (bs, n, n_in), n_hid = x.shape, w_state.shape[1]
        weights = torch.cat([w_in, w_state], 1).bfloat16()
        inputs = torch.empty(n + 1, n_in + n_hid, bs, dtype=torch.bfloat16)  # of each step: x, then h
        inputs[:n, :n_in] = x.permute(1, 2, 0)
        inputs[0, n_in:] = h.T
        gates = torch.empty(n, 4 * n_hid, bs)
        cells = torch.empty(n + 1, n_hid, bs)
        cells[0] = c.T
        tanh_cells = torch.empty(n, n_hid, bs)
        products = torch.empty(4 * n_hid, bs, dtype=torch.bfloat16)
        arrays = _as_arrays(products, bias, gates, cells, tanh_cells, inputs)
        for t in range(n):
            torch.mm(weights, inputs[t], out=products)
            forward_step(*arrays, t)
        ctx.save_for_backward(weights, inputs, gates, cells, tanh_cells)
        return inputs[1:, n_in:].permute(2, 0, 1), inputs[n, n_in:].T.float(), cells[n].T.clone()

    @staticmethod
    def backward(ctx, d_y, d_h, d_c):
        weights, inputs, gates, cells, tanh_cells = ctx.saved_tensors
        n, n_hid, bs = tanh_cells.shape
        n_in = weights.shape[1] - n_hid
        weights_t = weights.T.contiguous()
        d_inputs = torch.empty_like(inputs)
        d_inputs[n, n_in:] = d_h.T
        d_gates = torch.empty(gates.shape, dtype=torch.bfloat16)
        d_out = d_y.permute(1, 2, 0).bfloat16().contiguous()
        d_cell = d_c.T.clone(memory_format=torch.contiguous_format)
        d_bias = torch.zeros(4 * n_hid)
        arrays = _as_arrays(d_out, d_inputs, gates, cells, tanh_cells, d_cell, d_gates, d_bias)
        for t in reversed(range(n)):
            backward_step(*arrays, t)
            torch.mm(weights_t, d_gates[t], out=d_inputs[t])
        rows, columns = (a.transpose(0, 1).reshape(-1, n * bs) for a in (d_gates, inputs[:n]))
        d_weights = (rows @ columns.T).float()
        d_x = d_inputs[:n, :n_in].permute(2, 0, 1)
        d_first_h = d_inputs[0, n_in:].T.float()
        return d_x, d_first_h, d_cell.T, d_weights[:, :n_in], d_weights[:, n_in:], d_bias


def _as_arrays(*tensors):
    """Return numpy arrays that share the tensors' memory; bfloat16 becomes its bits."""
    return [t.detach().view(torch.uint16).numpy() if t.dtype == torch.bfloat16 else t.detach().numpy() for t in tensors]
