"""An LSTM layer that trains fast on a CPU, and fastai's AWD-LSTM made of it.

torch hands a layer to oneDNN, whose backward pass takes most of the time. Here each step is
one matrix product, of the weights of input and state side by side, with the streams in the
columns; the backward pass has one too, and the gradient of the weights is one product over
all steps. Products are in bfloat16, gates and cells in float32 (see `clara.models.lstm_kernels`).
Outside of training the layer is torch's own, in float32 where oneDNN has no bfloat16 LSTM for the
processor, as for those without AVX-512.
"""

from functools import cache

import torch
from fastai.text.models.awdlstm import AWD_LSTM, WeightDropout
from torch import nn

from clara.models.lstm_kernels import backward_step, forward_step


class MergedLSTM(nn.LSTM):
    """One layer, batch first: torch's own, save where it trains on a CPU under autocast to bfloat16."""

    def forward(self, x, state):
        """As `torch.nn.LSTM.forward`; x is (bs, seq_len, n_in), each state (1, bs, n_hid)."""
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x, state)
        if not torch.is_grad_enabled():
            with torch.autocast("cpu", torch.bfloat16, enabled=_reads_bfloat16()):
                return super().forward(x, state)
        y, h, c = _Merged.apply(
            x, *(s[0] for s in state), self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0 + self.bias_hh_l0
        )
        return y, (h[None], c[None])


@cache
def _reads_bfloat16():
    """Whether torch has an LSTM in bfloat16 for this processor."""
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            nn.LSTM(8, 8)(torch.zeros(1, 1, 8))
    except RuntimeError:
        return False
    return True


class MergedAWD(AWD_LSTM):
    """fastai's AWD-LSTM with merged layers."""

    def _one_rnn(self, n_in, n_out, bidir, weight_p, l):
        return WeightDropout(MergedLSTM(n_in, n_out, batch_first=True), weight_p)


class _Merged(torch.autograd.Function):
    """All steps of a layer, forward and backward."""

    @staticmethod
    def forward(ctx, x, h, c, w_in, w_state, bias):
        (bs, n, n_in), n_hid = x.shape, w_state.shape[1]
        w = torch.cat([w_in, w_state], 1).bfloat16()
        read = torch.empty(n + 1, n_in + n_hid, bs, dtype=torch.bfloat16)  # what each step reads: input, state
        read[:n, :n_in] = x.permute(1, 2, 0)
        read[0, n_in:] = h.T
        gates, cells, tanhs = torch.empty(n, 4 * n_hid, bs), torch.empty(n + 1, n_hid, bs), torch.empty(n, n_hid, bs)
        cells[0] = c.T
        products = torch.empty(4 * n_hid, bs, dtype=torch.bfloat16)
        arrays = _arrays(products, bias, gates, cells, tanhs, read)
        for t in range(n):
            torch.mm(w, read[t], out=products)
            forward_step(*arrays, t)
        ctx.save_for_backward(w, read, gates, cells, tanhs)
        return read[1:, n_in:].permute(2, 0, 1), read[n, n_in:].T.float(), cells[n].T.clone()

    @staticmethod
    def backward(ctx, d_y, d_h, d_c):
        w, read, gates, cells, tanhs = ctx.saved_tensors
        n, n_hid, bs = tanhs.shape
        n_in = w.shape[1] - n_hid
        across = w.T.contiguous()
        d_read, d_gates = torch.empty_like(read), torch.empty(gates.shape, dtype=torch.bfloat16)
        d_read[n, n_in:] = d_h.T
        d_out, d_cell = d_y.permute(1, 2, 0).bfloat16().contiguous(), d_c.T.clone(memory_format=torch.contiguous_format)
        d_bias = torch.zeros(4 * n_hid)
        arrays = _arrays(d_out, d_read, gates, cells, tanhs, d_cell, d_gates, d_bias)
        for t in reversed(range(n)):
            backward_step(*arrays, t)
            torch.mm(across, d_gates[t], out=d_read[t])
        rows, columns = (a.transpose(0, 1).reshape(-1, n * bs) for a in (d_gates, read[:n]))
        d_w = (rows @ columns.T).float()
        return (
            d_read[:n, :n_in].permute(2, 0, 1),
            d_read[0, n_in:].T.float(),
            d_cell.T,
            d_w[:, :n_in],
            d_w[:, n_in:],
            d_bias,
        )


def _arrays(*tensors):
    """The same memory for numba; of bfloat16 the bits."""
    return [t.detach().view(torch.uint16).numpy() if t.dtype == torch.bfloat16 else t.detach().numpy() for t in tensors]
