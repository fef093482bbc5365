"""Gates and cells of an LSTM layer, a step forward and a step back: loops for `clara.jit`.

Streams stand in columns, so that the inner loops run along memory and become vector
instructions; each touches few arrays, for the compiler gives up where many might overlap.
Gates stand in rows in torch's order, i f g o. bfloat16 is passed as its bits, the upper half
of a float32. NaN stays NaN.
"""

import numpy as np

from clara.jit import bfloat16_bits_2d, bfloat16_bits_3d, compiled, float32_1d, float32_2d, float32_3d, int64

F = np.float32
HALF, ONE, ZERO = F(0.5), F(1), F(0)
FURTHEST = F(6)  # where tanh is 1 to five digits
# Lambert's continued fraction of tanh, cut off after nine terms: odd powers of x over even ones.
P1, P3, P5, P7 = F(34459425), F(4729725), F(135135), F(990)
Q2, Q4, Q6, Q8 = F(16216200), F(945945), F(13860), F(45)
VECTORS = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy"}


@compiled(bfloat16_bits_2d, float32_1d, float32_3d, float32_3d, float32_3d, bfloat16_bits_3d, int64, **VECTORS)
def forward_step(products, bias, gates, cells, tanhs, read, t):
    """One step of a layer of n_hid units for bs streams.

    Parameters
    ----------
    products : bits (4 * n_hid, bs), weights times what the step reads
    bias : (4 * n_hid,)
    gates : (n, 4 * n_hid, bs), of which step t is written
    cells : (n + 1, n_hid, bs), of which t is read and t + 1 written
    tanhs : (n, n_hid, bs), of the new cells, written
    read : bits (n + 1, n_in + n_hid, bs), of whose last n_hid rows t + 1 is written
    t : the step
    """
    n_hid, bs = cells.shape[1:]
    n_in = read.shape[1] - n_hid
    bits = np.empty(bs, np.uint32)
    row = bits.view(np.float32)
    for unit in range(n_hid):
        for gate in range(4):
            at = gate * n_hid + unit
            scale, low = (ONE, ZERO) if gate == 2 else (HALF, HALF)  # a sigmoid is half a tanh of half
            for k in range(bs):
                bits[k] = np.uint32(products[at, k]) << np.uint32(16)
            for k in range(bs):
                x = min(max((row[k] + bias[at]) * scale, -FURTHEST), FURTHEST)
                s = x * x
                gates[t, at, k] = low + scale * x * (P1 + s * (P3 + s * (P5 + s * (P7 + s)))) / (
                    P1 + s * (Q2 + s * (Q4 + s * (Q6 + s * Q8)))
                )
        for k in range(bs):
            cells[t + 1, unit, k] = (
                gates[t, n_hid + unit, k] * cells[t, unit, k] + gates[t, unit, k] * gates[t, 2 * n_hid + unit, k]
            )
        for k in range(bs):
            x = min(max(cells[t + 1, unit, k], -FURTHEST), FURTHEST)
            s = x * x
            tanhs[t, unit, k] = (
                x * (P1 + s * (P3 + s * (P5 + s * (P7 + s)))) / (P1 + s * (Q2 + s * (Q4 + s * (Q6 + s * Q8))))
            )
        for k in range(bs):
            row[k] = gates[t, 3 * n_hid + unit, k] * tanhs[t, unit, k]
        for k in range(bs):
            read[t + 1, n_in + unit, k] = np.uint16(
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
    **VECTORS,
)
def backward_step(d_out, d_read, gates, cells, tanhs, d_cell, d_gates, d_bias, t):
    """The same step back.

    Parameters
    ----------
    d_out : bits (n, n_hid, bs), gradients of the layer's output
    d_read : bits (n + 1, n_in + n_hid, bs), gradients of what steps read, of which t + 1 is known
    gates, cells, tanhs : from forward
    d_cell : (n_hid, bs), gradient of the cells after the step, turned into that before it
    d_gates : bits (n, 4 * n_hid, bs), gradients before the gates' functions, of which t is written
    d_bias : (4 * n_hid,), to which the step's is added
    t : the step
    """
    n_hid, bs = d_cell.shape
    n_in = d_read.shape[1] - n_hid
    bits = np.empty((6, bs), np.uint32)
    rows = bits.view(np.float32)
    d_h, other = rows[4], rows[5]
    for unit in range(n_hid):
        i, f, g, o = gates[t, unit], gates[t, n_hid + unit], gates[t, 2 * n_hid + unit], gates[t, 3 * n_hid + unit]
        tanh, cell, d_c = tanhs[t, unit], cells[t, unit], d_cell[unit]
        for k in range(bs):
            bits[4, k] = np.uint32(d_out[t, unit, k]) << np.uint32(16)
        for k in range(bs):
            bits[5, k] = np.uint32(d_read[t + 1, n_in + unit, k]) << np.uint32(16)
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
