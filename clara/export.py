"""Export a model as ONNX, for other runtimes such as a web browser's.

Usage: python -m clara.export MODEL [--out FILE]

Inputs of the exported network: `ids`, int64 (n, t), and the state of each layer i, `h{i}` and `c{i}`, float32
(1, n, units); zeros before the first token, which is xxbos. Outputs: `logits`, float32 (n, t, vocab_sz), and the state
after the last token, `h{i}_after` and `c{i}_after`. The file's metadata has the vocabulary, `vocab`, with one token per
line, and the settings of the encoding, `encoding`, as JSON.
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
        If the network is not an LSTM, or follows plans.
    CannotWrite
        If the file cannot be written.
    """
    from onnx import checker

    from clara.errors import BadSetting
    from clara.files import write_atomically

    network = checkpoint.inference_model()
    if not hasattr(network, "rnns"):
        raise BadSetting(f"only LSTM networks can be exported as ONNX, not {checkpoint.arch}")
    if checkpoint.context_reader():
        raise BadSetting("a model that follows plans reads more than tokens and cannot be exported as ONNX")
    model = _onnx_model(network)
    metadata = {"vocab": "\n".join(checkpoint.vocab.tokens), "encoding": json.dumps(checkpoint.encoding.settings)}
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
    nodes = [
        helper.make_node("Gather", ["embedding", "ids"], ["embedded"]),
        helper.make_node("Transpose", ["embedded"], ["x0"], perm=[1, 0, 2]),  # to (t, n, width)
    ]
    for i, rnn in enumerate(network.rnns):
        nodes += _layer_nodes(i, rnn.hidden_size)
        weights |= _layer_weights(i, rnn)
        inputs += [float_value(f"{s}{i}", [1, "n", rnn.hidden_size]) for s in "hc"]
        outputs += [float_value(f"{s}{i}_after", [1, "n", rnn.hidden_size]) for s in "hc"]
    nodes += [
        helper.make_node("Transpose", [f"x{len(network.rnns)}"], ["hidden"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["hidden", "output"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(nodes, "clara", inputs, outputs, _initializers(weights))
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="clara")


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
