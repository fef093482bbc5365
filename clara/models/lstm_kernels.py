"""The gates and cells of an LSTM layer, one time step forward or backward, as loops for `clara.jit`.

Arrays have one column per sequence, so that the inner loops run along memory and become vector instructions. Each inner
loop touches few arrays: the compiler does not vectorize when many might overlap. The gates are rows in torch's order:
input, forget, cell, output. bfloat16 numbers are passed as their bits, the upper half of a float32. NaN stays NaN.
"""

import numpy as np

from clara.jit import bfloat16_bits_2d, bfloat16_bits_3d, compiled, float32_1d, float32_2d, float32_3d, int64

F = np.float32
HALF, ONE, ZERO = F(0.5), F(1), F(0)
MAX_TANH_INPUT = F(6)  # tanh(6) is 1 to five digits
# tanh by Lambert's continued fraction, cut off after nine terms: a quotient of an odd and an even polynomial in x.
P1, P3, P5, P7 = F(34459425), F(4729725), F(135135), F(990)
Q2, Q4, Q6, Q8 = F(16216200), F(945945), F(13860), F(45)
VECTORIZED = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy"}


@compiled(bfloat16_bits_2d, float32_1d, float32_3d, float32_3d, float32_3d, bfloat16_bits_3d, int64, **VECTORIZED)
def forward_step(products, bias, gates, cells, tanh_cells, inputs, t):
    """Compute one time step of a layer with n_hid units for bs sequences.

    Parameters
    ----------
    products : bfloat16 bits (4 * n_hid, bs)
        Weights times the step's inputs.
    bias : float32 (4 * n_hid,)
    gates : float32 (n, 4 * n_hid, bs)
        Entry t is written.
    cells : float32 (n + 1, n_hid, bs)
        Entry t is read and entry t + 1 is written.
    tanh_cells : float32 (n, n_hid, bs)
        tanh of the new cells; entry t is written.
    inputs : bfloat16 bits (n + 1, n_in + n_hid, bs)
        The last n_hid rows of entry t + 1 are written: the new output h.
    t : int
        Time step.
    """
    n_hid, bs = cells.shape[1:]
    n_in = inputs.shape[1] - n_hid
    bits = np.empty(bs, np.uint32)
    row = bits.view(np.float32)
    for unit in range(n_hid):
        for gate in range(4):
            at = gate * n_hid + unit
            scale, low = (ONE, ZERO) if gate == 2 else (HALF, HALF)  # sigmoid(x) = 1/2 + tanh(x / 2) / 2
            for k in range(bs):
                bits[k] = np.uint32(products[at, k]) << np.uint32(16)
            for k in range(bs):
                x = min(max((row[k] + bias[at]) * scale, -MAX_TANH_INPUT), MAX_TANH_INPUT)
                s = x * x
                gates[t, at, k] = low + scale * x * (P1 + s * (P3 + s * (P5 + s * (P7 + s)))) / (
                    P1 + s * (Q2 + s * (Q4 + s * (Q6 + s * Q8)))
                )
        for k in range(bs):
            cells[t + 1, unit, k] = (
                gates[t, n_hid + unit, k] * cells[t, unit, k] + gates[t, unit, k] * gates[t, 2 * n_hid + unit, k]
            )
        for k in range(bs):
            x = min(max(cells[t + 1, unit, k], -MAX_TANH_INPUT), MAX_TANH_INPUT)
            s = x * x
            tanh_cells[t, unit, k] = (
                x * (P1 + s * (P3 + s * (P5 + s * (P7 + s)))) / (P1 + s * (Q2 + s * (Q4 + s * (Q6 + s * Q8))))
            )
        for k in range(bs):
            row[k] = gates[t, 3 * n_hid + unit, k] * tanh_cells[t, unit, k]
        for k in range(bs):
            inputs[t + 1, n_in + unit, k] = np.uint16(
                (bits[k] + np.uint32(0x7FFF) + ((bits[k] >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
            )


@compiled(
    bfloat16_bits_3d,
    bfloat16_bits_3d,
    float32_3d,
    float32_3d,
    float32_3d,
    float32_2d,
    bfloat16_bits_3d,
    float32_1d,
    int64,
    **VECTORIZED,
)
def backward_step(d_out, d_inputs, gates, cells, tanh_cells, d_cell, d_gates, d_bias, t):
    """Compute the gradients of one time step.

    Parameters
    ----------
    d_out : bfloat16 bits (n, n_hid, bs)
        Gradients of the layer's output.
    d_inputs : bfloat16 bits (n + 1, n_in + n_hid, bs)
        Gradients of the steps' inputs; entry t + 1 is inputs.
    gates, cells, tanh_cells : float32
        From the forward pass.
    d_cell : float32 (n_hid, bs)
        Gradient of the cells after the step; replaced by the gradient of the cells before it.
    d_gates : bfloat16 bits (n, 4 * n_hid, bs)
        Gradients of the gates before their activation functions; entry t is written.
    d_bias : float32 (4 * n_hid,)
        The step's gradient is added.
    t : int
        Time step.
    """
    n_hid, bs = d_cell.shape
    n_in = d_inputs.shape[1] - n_hid
    bits = np.empty((6, bs), np.uint32)
    rows = bits.view(np.float32)
    d_h, other = rows[4], rows[5]
    for unit in range(n_hid):
        i, f, g, o = gates[t, unit], gates[t, n_hid + unit], gates[t, 2 * n_hid + unit], gates[t, 3 * n_hid + unit]
        tanh, cell, d_c = tanh_cells[t, unit], cells[t, unit], d_cell[unit]
        for k in range(bs):
            bits[4, k] = np.uint32(d_out[t, unit, k]) << np.uint32(16)
        for k in range(bs):
            bits[5, k] = np.uint32(d_inputs[t + 1, n_in + unit, k]) << np.uint32(16)
        for k in range(bs):
            d_h[k] += other[k]
        for k in range(bs):
            d_c[k] += d_h[k] * o[k] * (ONE - tanh[k] * tanh[k])
        for k in range(bs):
            rows[0, k] = d_c[k] * g[k] * i[k] * (ONE - i[k])
        for k in range(bs):
            rows[1, k] = d_c[k] * cell[k] * f[k] * (ONE - f[k])
        for k in range(bs):
            rows[2, k] = d_c[k] * i[k] * (ONE - g[k] * g[k])
        for k in range(bs):
            rows[3, k] = d_h[k] * tanh[k] * o[k] * (ONE - o[k])
        for k in range(bs):
            d_c[k] *= f[k]
        for gate in range(4):
            at, total = gate * n_hid + unit, ZERO
            for k in range(bs):
                total += rows[gate, k]
            d_bias[at] += total
            for k in range(bs):
                d_gates[t, at, k] = np.uint16(
                    (bits[gate, k] + np.uint32(0x7FFF) + ((bits[gate, k] >> np.uint32(16)) & np.uint32(1)))
                    >> np.uint32(16)
                )
