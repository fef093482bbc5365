"""LSTM nets in 8-bit integers: exact sums, so a text is the same alone and in any batch.

Weights have a scale for each unit, activations one for each text and layer, measured at every
step. Products are ONNX Runtime's, which lays the weights out once for the processor's
instructions; all around them is compiled (see `clara.jit`). What the first layer adds for a
word is looked up in float32.

Where a processor lacks the instructions for it (VNNI, AMX), ONNX Runtime adds signed bytes times
unsigned ones in 16 bits, which overflow and are cut off; unsigned bytes it widens first. So there
the weights are unsigned: the same sums, more slowly.
"""

from functools import cache

import numpy as np
import torch

from clara.jit import compiled, float32_1d, float32_2d, int32_1d, int32_2d, int64_1d_readonly, uint8_2d
from clara.models.awd_lstm import RNN_WEIGHTS
from clara.models.lstm_kernels import HALF, MAX_TANH_INPUT, ONE, P1, P3, P5, P7, Q2, Q4, Q6, Q8, VECTORIZED, ZERO

F = np.float32
MOST = 127
MIDDLE = 128  # the byte that stands for 0
ROUND = F(MIDDLE + 0.5)
LEAST = F(1e-9)
SIGN_OFF = np.uint32(
    0x7FFFFFFF
)  # floats without their sign are in the order of their bits, and integers' maximum is vectorised
FINITE = VECTORIZED | {"fastmath": VECTORIZED["fastmath"] | {"nnan", "ninf"}}


class Int8Net:
    """The weights of an LSTM net, shared by its steppers.

    Parameters
    ----------
    reader : clara.models.awd_lstm.InferenceModel
    """

    def __init__(self, reader):
        self.layers = []
        for rnn in reader.rnns:
            w_in, w_state, *biases = (getattr(rnn, w).detach().numpy() for w in RNN_WEIGHTS)
            first = not self.layers
            table = (reader.embedding.weight.detach().numpy() @ w_in.T if first else 0) + sum(biases)
            weights = _Weights(w_state if first else np.concatenate([w_in, w_state], 1))
            self.layers.append((weights, np.atleast_2d(table).astype(F)))
        self.output, self.bias = _Weights(reader.output_weight.detach().numpy()), reader.bias.detach().numpy()


class Int8Stepper:
    """Feeds one word to each of many texts at once.

    Parameters
    ----------
    net : Int8Net
    """

    def __init__(self, net):
        self.net, self.hs, self.cs = net, [], []
        self.products = [_Product(weights) for weights, _ in net.layers]
        self.output = _Product(net.output)

    def begin(self, state, rows):
        """Fork texts off a reader's state of some: rows is an int64 array (n,), repeats allowed."""
        self.hs, self.cs = ([layer[i][0].numpy()[rows] for layer in state] for i in (0, 1))
        self._make_room(len(rows))

    def take(self, rows):
        """Go on with these texts: rows is an int64 array (n,), repeats allowed."""
        self.hs, self.cs = ([s[rows] for s in states] for states in (self.hs, self.cs))
        self._make_room(len(rows))

    def state(self, text):
        """A reader's state of one text, by its number."""
        return [
            tuple(torch.from_numpy(s[text : text + 1].copy())[None] for s in layer) for layer in zip(self.hs, self.cs)
        ]

    def _make_room(self, n):
        for product in [*self.products, self.output]:
            product.resize(n)
        self.logits, self.none = np.empty((n, len(self.net.bias)), F), np.zeros(n, np.int64)
        self.nothing = np.empty((n, 0), F)
        self.gates = np.empty(4 * max(h.shape[1] for h in self.hs), F)

    def step(self, ids):
        """Logits float32 (n, vocab_sz) of the words after ids int64 (n,); the next call writes over them."""
        below, words = self.nothing, ids
        for product, (_, table), h, c in zip(self.products, self.net.layers, self.hs, self.cs):
            _quantise(below, h, product.bytes, product.scales)
            _cells(*product.sums_and_scales(), table, words, self.gates, h, c)
            below, words = h, self.none
        _quantise(below, self.nothing, self.output.bytes, self.output.scales)
        _scaled(*self.output.sums_and_scales(), self.net.bias, self.logits)
        return self.logits


class _Weights:
    """A matrix (n_out, n_in) in bytes, with a scale for each row, in a session that multiplies by it."""

    def __init__(self, weights):
        self.n_out, self.n_in = weights.shape
        self.scales = np.maximum(np.abs(weights).max(1) / MOST, LEAST).astype(F)
        whole = np.rint(weights / self.scales[:, None]).astype(np.int8)
        self.corrections = MIDDLE * whole.astype(np.int32).sum(1, dtype=np.int32)
        self.session = _session(whole, unsigned=_overflows())


def _session(whole, unsigned):
    """A session that multiplies bytes (n, n_in) by int8 (n_out, n_in), which it keeps as unsigned bytes around MIDDLE if so asked."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    inputs = {"weights": np.ascontiguousarray(whole.T)}
    if unsigned:
        inputs = {
            "weights": (inputs["weights"].view(np.uint8) ^ MIDDLE),
            "zero": np.uint8(0),
            "middle": np.uint8(MIDDLE),
        }
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["bytes", *inputs], ["sums"])],
        "product",
        [helper.make_tensor_value_info("bytes", TensorProto.UINT8, ["n", whole.shape[1]])],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, ["n", whole.shape[0]])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in inputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@cache
def _overflows():
    """Whether products of large signed bytes come out wrong on this processor."""
    whole, n = np.full((16, 64), MOST, np.int8), 255
    bytes_ = np.full((1, whole.shape[1]), n, np.uint8)
    return bool((_session(whole, unsigned=False).run(None, {"bytes": bytes_})[0] != whole.astype(int).sum(1) * n).any())


class _Product:
    """Activations as bytes (n, n_in) times weights: int32 (n, n_out)."""

    def __init__(self, weights):
        self.weights, self.binding = weights, weights.session.io_binding()

    def resize(self, n):
        """Make room for n texts."""
        self.bytes, self.sums = np.zeros((n, self.weights.n_in), np.uint8), np.empty((n, self.weights.n_out), np.int32)
        self.scales = np.empty(n, F)
        self.binding.bind_input("bytes", "cpu", 0, np.uint8, self.bytes.shape, self.bytes.ctypes.data)
        self.binding.bind_output("sums", "cpu", 0, np.int32, self.sums.shape, self.sums.ctypes.data)

    def sums_and_scales(self):
        """Multiply what stands in `bytes`; what makes numbers of the sums."""
        self.weights.session.run_with_iobinding(self.binding)
        return self.sums, self.scales, self.weights.corrections, self.weights.scales


@compiled(float32_2d, float32_2d, uint8_2d, float32_1d, **FINITE)
def _quantise(left, right, out, scales):
    """Floats (n, width) and (n, rest) side by side as bytes around MIDDLE, and the scale of each row; the rest may be none."""
    n, width = left.shape
    rest = right.shape[1]
    largest = np.empty(1, np.uint32)
    for row in range(n):
        v, w = left[row], right[row]
        first, second = out[row, :width], out[row, width:]
        v_bits, w_bits = v.view(np.uint32), w.view(np.uint32)
        top = np.uint32(0)
        for k in range(width):
            b = np.uint32(v_bits[k] & SIGN_OFF)
            top = max(top, b)
        for k in range(rest):
            b = np.uint32(w_bits[k] & SIGN_OFF)
            top = max(top, b)
        largest[0] = top
        most = max(largest.view(np.float32)[0], LEAST)
        inverse = F(MOST) / most
        scales[row] = most / F(MOST)
        for k in range(width):
            first[k] = np.uint8(np.int32(v[k] * inverse + ROUND))
        for k in range(rest):
            second[k] = np.uint8(np.int32(w[k] * inverse + ROUND))


@compiled(
    int32_2d,
    float32_1d,
    int32_1d,
    float32_1d,
    float32_2d,
    int64_1d_readonly,
    float32_1d,
    float32_2d,
    float32_2d,
    **VECTORIZED,
)
def _cells(sums, scales, corrections, unit_scales, table, words, gates, h, c):
    """The next state of a layer from its sums; of each row, that row of the table which its word names is added."""
    n, n_hid = h.shape
    for row in range(n):
        s_row, total, add, h_row, c_row = scales[row], sums[row], table[words[row]], h[row], c[row]
        for k in range(4 * n_hid):
            gates[k] = F(total[k] - corrections[k]) * unit_scales[k]
        for k in range(4 * n_hid):
            gates[k] = gates[k] * s_row + add[k]
        for gate in range(4):
            scale, low = (ONE, ZERO) if gate == 2 else (HALF, HALF)
            g = gates[gate * n_hid : (gate + 1) * n_hid]
            for k in range(n_hid):
                x = min(max(g[k] * scale, -MAX_TANH_INPUT), MAX_TANH_INPUT)
                s = x * x
                g[k] = low + scale * x * (P1 + s * (P3 + s * (P5 + s * (P7 + s)))) / (
                    P1 + s * (Q2 + s * (Q4 + s * (Q6 + s * Q8)))
                )
        i, f, g, o = gates[:n_hid], gates[n_hid : 2 * n_hid], gates[2 * n_hid : 3 * n_hid], gates[3 * n_hid :]
        for k in range(n_hid):
            c_row[k] = f[k] * c_row[k] + i[k] * g[k]
        for k in range(n_hid):
            x = min(max(c_row[k], -MAX_TANH_INPUT), MAX_TANH_INPUT)
            s = x * x
            h_row[k] = (
                o[k] * x * (P1 + s * (P3 + s * (P5 + s * (P7 + s)))) / (P1 + s * (Q2 + s * (Q4 + s * (Q6 + s * Q8))))
            )


@compiled(int32_2d, float32_1d, int32_1d, float32_1d, float32_1d, float32_2d, **VECTORIZED)
def _scaled(sums, scales, corrections, unit_scales, bias, out):
    """Sums as floats, a bias added."""
    n, width = sums.shape
    for row in range(n):
        total, o, s_row = sums[row], out[row], scales[row]
        for k in range(width):
            o[k] = F(total[k] - corrections[k]) * unit_scales[k]
        for k in range(width):
            o[k] = o[k] * s_row + bias[k]
