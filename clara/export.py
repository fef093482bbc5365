"""Export a model as ONNX, for other runtimes such as a web browser's.

Usage: python -m clara.export MODEL [--out FILE]

Inputs of the exported network: `ids`, int64 (n, t), and the state of each layer i, `h{i}` and `c{i}`, float32
(1, n, units); zeros before the first token, which is xxbos. Outputs: `logits`, float32 (n, t, vocab_sz), and the state
after the last token, `h{i}_after` and `c{i}_after`. The file's metadata has the vocabulary, `vocab`, with one token per
line, and the settings of the encoding, `encoding`, as JSON. A model that follows plans has one more input: `context`,
int64 (n, t, 19), rows of its table of contexts for each token. 0 stands for what is unknown; zeros throughout mean that
nothing is known. `clara.form.context` says what the columns mean. The metadata `context_sizes`, a JSON list, has the
number of categories of each column; category k of column i is row 1 + k + the sum of the sizes before i.
"""

import json
from pathlib import Path

import numpy as np

from clara import cli

EXAMPLES = """
python -m clara.export notewise                      # writes notewise.onnx
python -m clara.export runs/mine --out mine.onnx
"""
OPSET = 17
IR_VERSION = 9
GATE_ORDER = (0, 3, 1, 2)  # torch has input, forget, cell, output; ONNX has input, output, forget, cell


def export(checkpoint, path: str | Path) -> None:
    """Write an LSTM network as an ONNX file.

    Parameters
    ----------
    checkpoint : clara.checkpoints.checkpoint.Checkpoint
    path : str or Path

    Raises
    ------
    BadSetting
        If the network is not an LSTM.
    CannotWrite
        If the file cannot be written.
    """
    from onnx import checker

    from clara.errors import BadSetting
    from clara.files import write_atomically

    network = checkpoint.inference_model()
    if not hasattr(network, "rnns"):
        raise BadSetting(f"only LSTM networks can be exported as ONNX, not {checkpoint.arch}")
    model = _onnx_model(network)
    metadata = {"vocab": "\n".join(checkpoint.vocab.tokens), "encoding": json.dumps(checkpoint.encoding.settings)}
    contexts = checkpoint.context_reader()
    if contexts:
        metadata["context_sizes"] = json.dumps(contexts.layout.sizes)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    checker.check_model(model)
    write_atomically(path, model.SerializeToString())


def _onnx_model(network):
    """Return the ONNX model of an LSTM network, see `clara.models.awd_lstm.InferenceModel`."""
    from onnx import TensorProto, helper

    def float_value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "t"])
    inputs, outputs = [ids], [float_value("logits", ["n", "t", network.vocab_sz])]
    weights = {
        "embedding": network.embedding.weight.detach().numpy(),
        "output": network.output_weight.T.detach().numpy(),
        "bias": network.bias.detach().numpy(),
        "direction": np.array([1]),  # the axis of ONNX's LSTM for directions, which is removed
    }
    if network.has_context:
        from clara.form.context import N_COLUMNS

        inputs.append(helper.make_tensor_value_info("context", TensorProto.INT64, ["n", "t", N_COLUMNS]))
        weights |= _context_weights(network)
    nodes = _embedding_nodes(network.has_context)
    nodes.append(helper.make_node("Transpose", ["embedded"], ["x0"], perm=[1, 0, 2]))  # to (t, n, width)
    for i, rnn in enumerate(network.rnns):
        nodes += _layer_nodes(i, rnn.hidden_size)
        weights |= _layer_weights(i, rnn)
        inputs += [float_value(f"{s}{i}", [1, "n", rnn.hidden_size]) for s in "hc"]
        outputs += [float_value(f"{s}{i}_after", [1, "n", rnn.hidden_size]) for s in "hc"]
    nodes.append(helper.make_node("Transpose", [f"x{len(network.rnns)}"], ["hidden"], perm=[1, 0, 2]))
    nodes += _output_nodes(network.has_context)
    graph = helper.make_graph(nodes, "clara", inputs, outputs, _initializers(weights))
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="clara")


def _embedding_nodes(has_context):
    """Return the nodes from the ids, and the context if there is one, to the input of the first layer."""
    from onnx import helper

    if not has_context:
        return [helper.make_node("Gather", ["embedding", "ids"], ["embedded"])]
    gather = helper.make_node("Gather", ["embedding", "ids"], ["embedded_tokens"])
    return [gather, *_context_sum_nodes("embedded_tokens", "context_table", "embedded")]


def _output_nodes(has_context):
    """Return the nodes from the output of the last layer, and the context if there is one, to the logits."""
    from onnx import helper

    x, logits = ("hidden_in_context", "plain_logits") if has_context else ("hidden", "logits")
    layer = [
        helper.make_node("MatMul", [x, "output"], ["products"]),
        helper.make_node("Add", ["products", "bias"], [logits]),
    ]
    if not has_context:
        return layer
    return [*_context_sum_nodes("hidden", "output_context_table", x), *layer, *_trust_nodes(x, logits, "logits")]


def _context_sum_nodes(x, table, result):
    """Return the nodes that add the rows of a context to x."""
    from onnx import helper

    return [
        helper.make_node("Gather", [table, "context"], [f"{table}_rows"]),
        helper.make_node("ReduceSum", [f"{table}_rows", "columns"], [f"{table}_sum"], keepdims=0),
        helper.make_node("Add", [x, f"{table}_sum"], [result]),
    ]


def _trust_nodes(x, logits, result):
    """Return the nodes that add the trust of candidates to their logits; see `clara.models.context.add_trust`."""
    from onnx import helper

    scattered = [logits, "tokens", "trust_of_candidates"]
    return [
        helper.make_node("Split", ["context", "column_groups"], ["candidates", "known", "other_columns"], axis=2),
        helper.make_node("MatMul", [x, "trust"], ["trust_products"]),
        helper.make_node("Gather", ["trust_bias", "known"], ["trust_of_known"]),
        helper.make_node("Add", ["trust_products", "trust_of_known"], ["trust_of_all"]),
        helper.make_node("Greater", ["candidates", "zero"], ["is_candidate"]),
        helper.make_node("Where", ["is_candidate", "trust_of_all", "no_trust"], ["trust_of_candidates"]),
        helper.make_node("Sub", ["candidates", "first_rows"], ["tokens_or_less"]),
        helper.make_node("Max", ["tokens_or_less", "zero"], ["tokens"]),
        helper.make_node("ScatterElements", scattered, [result], axis=2, reduction="add"),
    ]


def _context_weights(network):
    """Return the weights and constants for contexts, by their names in the graph; row 0 of a table adds nothing."""
    from clara.form.context import N_CANDIDATES, N_COLUMNS

    tables = {"context_table": network.context_weight, "output_context_table": network.output_context_weight}
    weights = {name: table.detach().numpy().copy() for name, table in tables.items()}
    for table in weights.values():
        table[0] = 0
    return weights | {
        "trust": network.trust_weight.T.detach().numpy(),
        "trust_bias": network.trust_bias.detach().numpy(),
        "first_rows": 1 + network.vocab_sz * np.arange(N_CANDIDATES),
        "column_groups": np.array([N_CANDIDATES, N_CANDIDATES, N_COLUMNS - 2 * N_CANDIDATES]),
        "columns": np.array([2]),  # the axis of the columns of a context, which is summed over
        "zero": np.array(0),
        "no_trust": np.array(0, np.float32),
    }


def _layer_nodes(i, n_units):
    """Return the nodes of LSTM layer i."""
    from onnx import helper

    lstm_inputs = [f"x{i}", f"w{i}", f"r{i}", f"b{i}", "", f"h{i}", f"c{i}"]
    lstm_outputs = [f"y{i}", f"h{i}_after", f"c{i}_after"]
    return [
        helper.make_node("LSTM", lstm_inputs, lstm_outputs, hidden_size=n_units),
        helper.make_node("Squeeze", [f"y{i}", "direction"], [f"x{i + 1}"]),
    ]


def _layer_weights(i, rnn):
    """Return the weights of LSTM layer i, by their names in the graph."""
    from clara.models.awd_lstm import RNN_WEIGHTS

    w_in, w_state, *biases = (_reorder_gates(getattr(rnn, name).detach().numpy()) for name in RNN_WEIGHTS)
    return {f"w{i}": w_in[None], f"r{i}": w_state[None], f"b{i}": np.concatenate(biases)[None]}


def _reorder_gates(weights):
    """Return the rows of the four gates in ONNX's order."""
    gates = np.split(weights, 4)
    return np.concatenate([gates[gate] for gate in GATE_ORDER])


def _initializers(weights):
    """Return arrays by name as ONNX tensors."""
    from onnx import numpy_helper

    return [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()]


def _default_path(model):
    """Return model.onnx in a run folder, or NAME.onnx in the current folder for a shipped model's name."""
    return Path(model, "model.onnx") if Path(model).is_dir() else Path(f"{Path(model).name}.onnx")


def parser():
    """Return the command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    p.add_argument_group("network").add_argument(
        "model", metavar="MODEL", help="Run folder or name of a shipped model."
    )
    p.add_argument_group("run").add_argument(
        "--out",
        metavar="FILE",
        help="File to write (default: model.onnx in the run folder, NAME.onnx for a shipped model).",
    )
    return p


def main(argv=None):
    """Export a model and print the size of the file."""
    args = parser().parse_args(argv)
    with cli.show_status("loading"):
        from clara.checkpoints.checkpoint import Checkpoint  # imports torch, which --help does without

        checkpoint = Checkpoint.load(args.model)
    path = Path(args.out or _default_path(args.model))
    with cli.show_status("writing"):
        export(checkpoint, path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    cli.run(main)
