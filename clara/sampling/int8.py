"""LSTM models in 8-bit integers, on a CPU.

Integer sums are exact, so a text is the same alone and in any batch. Weights have one scale per output unit.
Activations have one scale per text and layer, computed at every step. ONNX Runtime computes the matrix products, with
the weights laid out once for the processor's instructions. The loops around the products are compiled. The first
layer's products with an embedding are looked up in a float32 table.

On a processor without VNNI or AMX, ONNX Runtime adds products of signed bytes in 16 bits, which saturate. It widens
unsigned bytes first, so on such a processor the weights are unsigned: the sums are the same, but slower.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from clara.jit import compiled, float32_1d, float32_2d, int32_1d, int32_2d, int64, int64_1d_readonly, int64_2d, uint8_2d
from clara.models.awd_lstm import RNN_WEIGHTS
from clara.models.context import N_CANDIDATES
from clara.models.lstm_kernels import HALF, MAX_TANH_INPUT, ONE, P1, P3, P5, P7, Q2, Q4, Q6, Q8, VECTORIZED, ZERO

F = np.float32
MAX_INT8 = 127
ZERO_BYTE = 128  # the unsigned byte that stands for 0
ROUNDING = F(ZERO_BYTE + 0.5)  # added before a float is truncated to an unsigned byte
MIN_ABS_MAX = F(1e-9)  # bounds scales from below, for rows of zeros
# Without their sign bit, the bits of floats are in the order of the floats, and the maximum of integers vectorizes.
ABS_MASK = np.uint32(0x7FFFFFFF)
VECTORIZED_FINITE = VECTORIZED | {"fastmath": VECTORIZED["fastmath"] | {"nnan", "ninf"}}


class Int8Model:
    """The quantized weights of an LSTM model, which its steppers share.

    Parameters
    ----------
    model : clara.models.awd_lstm.InferenceModel
    """

    def __init__(self, model):
        self.layers = []  # pairs of quantized weights and what to add to their products, by token or for all
        self.context = Context.from_model(model) if model.has_context else None
        for rnn in model.rnns:
            w_in, w_state, *biases = (getattr(rnn, name).detach().numpy() for name in RNN_WEIGHTS)
            if not self.layers and self.context is None:
                added = model.embedding.weight.detach().numpy() @ w_in.T + sum(biases)
                weights = QuantizedMatrix(w_state)
            else:
                added = 0 + sum(biases)
                weights = QuantizedMatrix(np.concatenate([w_in, w_state], 1))
            self.layers.append((weights, np.atleast_2d(added).astype(F)))
        output_weight, bias = model.output_weight.detach().numpy(), model.bias.detach().numpy()
        if self.context:  # the trust in each candidate is computed with the logits
            output_weight = np.concatenate([output_weight, model.trust_weight.numpy()])
            bias = np.concatenate([bias, np.zeros(N_CANDIDATES, F)])
        self.output, self.bias = QuantizedMatrix(output_weight), bias


@dataclass(frozen=True)
class Context:
    """The weights of a model that follows plans which stay in float32.

    Attributes
    ----------
    embedding : float32 array (vocab_sz, emb_sz)
    table, output_table : float32 arrays (n_rows, emb_sz)
        Of contexts, for the input of the first layer and for that of the output layer.
    trust_bias : float32 array (n_rows,)
    """

    embedding: np.ndarray
    table: np.ndarray
    output_table: np.ndarray
    trust_bias: np.ndarray

    @classmethod
    def from_model(cls, model) -> "Context":
        """Return the weights of a `clara.models.awd_lstm.InferenceModel`."""
        weights = (model.embedding.weight, model.context_weight, model.output_context_weight, model.trust_bias)
        return cls(*(np.ascontiguousarray(weight.detach().numpy()) for weight in weights))


class Int8Stepper:
    """Runs an `Int8Model` for one token of many texts at a time; see `clara.sampling.steppers.Stepper`."""

    def __init__(self, int8_model):
        self.model = int8_model
        self.hidden, self.cells = [], []  # of each layer, float32 (n, n_units)
        self.products = [MatrixProduct(weights) for weights, _ in int8_model.layers]
        self.output = MatrixProduct(int8_model.output)

    def begin(self, state, rows):
        """Start texts from a state of the model."""
        self.hidden = [h[0].numpy()[rows] for h, _ in state]
        self.cells = [c[0].numpy()[rows] for _, c in state]
        self._resize(len(rows))

    def take(self, rows):
        """Keep only the texts in `rows`."""
        self.hidden = [h[rows] for h in self.hidden]
        self.cells = [c[rows] for c in self.cells]
        self._resize(len(rows))

    def state_of(self, text):
        """Return the model's state of one text."""
        row = slice(text, text + 1)
        return [
            (torch.from_numpy(h[row].copy())[None], torch.from_numpy(c[row].copy())[None])
            for h, c in zip(self.hidden, self.cells)
        ]

    def _resize(self, n):
        for product in [*self.products, self.output]:
            product.resize(n)
        self.logits = np.empty((n, len(self.model.bias)), F)
        if self.model.context:
            self.inputs = np.empty((n, self.model.context.embedding.shape[1]), F)
        self.zeros = np.zeros(n, np.int64)
        self.no_columns = np.empty((n, 0), F)
        self.gates = np.empty(4 * max(h.shape[1] for h in self.hidden), F)

    def step(self, ids, context=None):
        """Return the logits that follow a token of each text; the next call overwrites them."""
        layer_input, added_rows = self.no_columns, ids
        weights = self.model.context
        if weights:
            context = np.zeros((len(ids), 2 * N_CANDIDATES), np.int64) if context is None else context
            context = np.ascontiguousarray(context)
            self.inputs[:] = weights.embedding[ids]
            _add_rows(context, weights.table, self.inputs)
            layer_input, added_rows = self.inputs, self.zeros
        for product, (_, added), h, c in zip(self.products, self.model.layers, self.hidden, self.cells):
            _quantize(layer_input, h, product.bytes, product.scales)
            _update_cells(*product.multiply(), added, added_rows, self.gates, h, c)
            layer_input, added_rows = h, self.zeros
        if weights:
            np.copyto(self.inputs, layer_input)
            _add_rows(context, weights.output_table, self.inputs)
            layer_input = self.inputs
        _quantize(layer_input, self.no_columns, self.output.bytes, self.output.scales)
        _dequantize(*self.output.multiply(), self.model.bias, self.logits)
        if not weights:
            return self.logits
        vocab_sz = len(weights.embedding)
        _add_trust(context, weights.trust_bias, vocab_sz, self.logits)
        return np.ascontiguousarray(self.logits[:, :vocab_sz])


class QuantizedMatrix:
    """A matrix (n_out, n_in) in bytes, with a scale for each row, in an ONNX session that multiplies by it."""

    def __init__(self, weights):
        self.n_out, self.n_in = weights.shape
        self.scales = np.maximum(np.abs(weights).max(1) / MAX_INT8, MIN_ABS_MAX).astype(F)
        integers = np.rint(weights / self.scales[:, None]).astype(np.int8)
        # Activations are stored ZERO_BYTE too high, which makes the sums too large by:
        self.corrections = ZERO_BYTE * integers.astype(np.int32).sum(1, dtype=np.int32)
        self.session = _make_session(integers, unsigned=_int8_products_saturate())


def _make_session(integers, unsigned):
    """Return a session that multiplies bytes (n, n_in) by int8 (n_out, n_in), stored as unsigned bytes on request."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    constants = {"weights": np.ascontiguousarray(integers.T)}
    if unsigned:
        constants = {
            "weights": constants["weights"].view(np.uint8) ^ ZERO_BYTE,
            "bytes_zero_point": np.uint8(0),
            "weights_zero_point": np.uint8(ZERO_BYTE),
        }
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["bytes", *constants], ["sums"])],
        "product",
        [helper.make_tensor_value_info("bytes", TensorProto.UINT8, ["n", integers.shape[1]])],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, ["n", integers.shape[0]])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(onnx_model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@cache
def _int8_products_saturate():
    """Return whether sums of products of large signed bytes come out wrong on this processor."""
    integers = np.full((16, 64), MAX_INT8, np.int8)
    largest = 255
    activations = np.full((1, integers.shape[1]), largest, np.uint8)
    (sums,) = _make_session(integers, unsigned=False).run(None, {"bytes": activations})
    return bool((sums != integers.astype(int).sum(1) * largest).any())


class MatrixProduct:
    """The product of activations in bytes (n, n_in) and a `QuantizedMatrix`: int32 (n, n_out)."""

    def __init__(self, weights):
        self.weights = weights
        self.binding = weights.session.io_binding()

    def resize(self, n):
        """Make room for n texts."""
        self.bytes = np.zeros((n, self.weights.n_in), np.uint8)
        self.sums = np.empty((n, self.weights.n_out), np.int32)
        self.scales = np.empty(n, F)
        self.binding.bind_input("bytes", "cpu", 0, np.uint8, self.bytes.shape, self.bytes.ctypes.data)
        self.binding.bind_output("sums", "cpu", 0, np.int32, self.sums.shape, self.sums.ctypes.data)

    def multiply(self):
        """Multiply the current `bytes`, and return the sums with the numbers that convert them to floats.

        Returns
        -------
        sums : int32 array (n, n_out)
        scales : float32 array (n,)
        corrections : int32 array (n_out,)
        unit_scales : float32 array (n_out,)
        """
        self.weights.session.run_with_iobinding(self.binding)
        return self.sums, self.scales, self.weights.corrections, self.weights.scales


@compiled(float32_2d, float32_2d, uint8_2d, float32_1d, **VECTORIZED_FINITE)
def _quantize(left, right, out, scales):
    """Quantize floats (n, width) and (n, rest), side by side, to bytes, and compute each row's scale.

    Parameters
    ----------
    left, right : float32 (n, width), float32 (n, rest)
        `rest` may be 0.
    out : uint8 (n, width + rest)
        Written; ZERO_BYTE stands for 0.
    scales : float32 (n,)
        Written.
    """
    n, width = left.shape
    rest = right.shape[1]
    largest_bits = np.empty(1, np.uint32)
    for row in range(n):
        v, w = left[row], right[row]
        first, second = out[row, :width], out[row, width:]
        v_bits, w_bits = v.view(np.uint32), w.view(np.uint32)
        largest = np.uint32(0)
        for k in range(width):
            bits = np.uint32(v_bits[k] & ABS_MASK)
            largest = max(largest, bits)
        for k in range(rest):
            bits = np.uint32(w_bits[k] & ABS_MASK)
            largest = max(largest, bits)
        largest_bits[0] = largest
        abs_max = max(largest_bits.view(np.float32)[0], MIN_ABS_MAX)
        inverse = F(MAX_INT8) / abs_max
        scales[row] = abs_max / F(MAX_INT8)
        for k in range(width):
            first[k] = np.uint8(np.int32(v[k] * inverse + ROUNDING))
        for k in range(rest):
            second[k] = np.uint8(np.int32(w[k] * inverse + ROUNDING))


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
def _update_cells(sums, scales, corrections, unit_scales, added, added_rows, gates, h, c):
    """Compute the next state of a layer from its products.

    Parameters
    ----------
    sums, scales, corrections, unit_scales
        From `MatrixProduct.multiply`, n_out = 4 * n_hid.
    added : float32 (n_rows, 4 * n_hid)
    added_rows : int64 (n,)
        The row of `added` that is added for each text.
    gates : float32 (at least 4 * n_hid,)
        Working memory.
    h, c : float32 (n, n_hid)
        The layer's output and cell state, overwritten.
    """
    n, n_hid = h.shape
    for row in range(n):
        scale_of_row, sum_row, added_row = scales[row], sums[row], added[added_rows[row]]
        h_row, c_row = h[row], c[row]
        for k in range(4 * n_hid):
            gates[k] = F(sum_row[k] - corrections[k]) * unit_scales[k]
        for k in range(4 * n_hid):
            gates[k] = gates[k] * scale_of_row + added_row[k]
        # The third gate takes a tanh, the others a sigmoid: 1/2 + tanh(x / 2) / 2.
        for gate in range(4):
            scale, offset = (ONE, ZERO) if gate == 2 else (HALF, HALF)
            g = gates[gate * n_hid : (gate + 1) * n_hid]
            for k in range(n_hid):
                x = min(max(g[k] * scale, -MAX_TANH_INPUT), MAX_TANH_INPUT)
                s = x * x
                g[k] = offset + scale * x * (P1 + s * (P3 + s * (P5 + s * (P7 + s)))) / (
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
def _dequantize(sums, scales, corrections, unit_scales, bias, out):
    """Convert sums to floats, add a bias (n_out,), and write the result to `out` (n, n_out)."""
    n, width = sums.shape
    for row in range(n):
        sum_row, out_row, scale_of_row = sums[row], out[row], scales[row]
        for k in range(width):
            out_row[k] = F(sum_row[k] - corrections[k]) * unit_scales[k]
        for k in range(width):
            out_row[k] = out_row[k] * scale_of_row + bias[k]


@compiled(int64_2d, float32_2d, float32_2d)
def _add_rows(context, table, out):
    """Add the rows of each context (n, n_columns), but row 0, to out (n, width)."""
    for row in range(len(context)):
        out_row = out[row]
        for column in range(context.shape[1]):
            if context[row, column]:
                added = table[context[row, column]]
                for k in range(len(out_row)):
                    out_row[k] += added[k]


@compiled(int64_2d, float32_1d, int64, float32_2d)
def _add_trust(context, bias, vocab_sz, logits):
    """Add the trust in each candidate, which stands after the logits of the tokens, to the logit of the candidate."""
    n_candidates = logits.shape[1] - vocab_sz
    for row in range(len(logits)):
        for k in range(n_candidates):
            if context[row, k]:
                token = context[row, k] - 1 - k * vocab_sz
                logits[row, token] += logits[row, vocab_sz + k] + bias[context[row, n_candidates + k]]
