"""Write a model as ONNX, for other runtimes, a browser's among them.

Usage: python -m clara.export MODEL [--out FILE]

Inputs: `ids` int64 (n, t), and for each layer i the state `h{i}`, `c{i}` float32 (1, n, units); zeros
before the first word, which is xxbos. Outputs: `logits` float32 (n, t, vocab_sz) and the state after
the last word, `h{i}_after`, `c{i}_after`. The vocabulary, a word a line, and the encoding stand in the
file's metadata.
"""

import json
from pathlib import Path

import numpy as np

from clara import cli

EXAMPLES = """
python -m clara.export pretrained/notewise
python -m clara.export runs/mine --out mine.onnx
"""
OPSET = 17
GATES = (0, 3, 1, 2)  # ONNX has input, output, forget, cell; torch has input, forget, cell, output


def export(checkpoint, path):
    """Write an LSTM net as an ONNX file.

    Parameters
    ----------
    checkpoint : clara.checkpoint.Checkpoint
    path : of the file

    Raises
    ------
    BadSetting
        If the net is no LSTM.
    CannotWrite
        Naming the path.
    """
    from onnx import checker

    from clara.errors import BadSetting
    from clara.files import write_atomically

    reader = checkpoint.inference_model()
    if not hasattr(reader, "rnns"):
        raise BadSetting(f"only LSTM nets are written as ONNX, not {checkpoint.arch}")
    model = _model(reader)
    for key, value in (
        ("vocab", "\n".join(checkpoint.vocab.tokens)),
        ("encoding", json.dumps(checkpoint.encoding.settings)),
    ):
        model.metadata_props.add(key=key, value=value)
    checker.check_model(model)
    write_atomically(path, model.SerializeToString())


def _model(reader):
    """The graph of a reader."""
    from onnx import TensorProto, helper, numpy_helper

    from clara.models.awd_lstm import RNN_WEIGHTS

    def value(name, shape, kind=TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, kind, shape)

    weights = {"embedding": reader.embedding.weight, "output": reader.output_weight.T, "bias": reader.bias}
    nodes = [
        helper.make_node("Gather", ["embedding", "ids"], ["embedded"]),
        helper.make_node("Transpose", ["embedded"], ["x0"], perm=[1, 0, 2]),
    ]  # time first
    inputs, outputs = [value("ids", ["n", "t"], TensorProto.INT64)], [value("logits", ["n", "t", reader.vocab_sz])]
    for i, rnn in enumerate(reader.rnns):
        w_in, w_state, *biases = (_onnx_order(getattr(rnn, name).detach().numpy()) for name in RNN_WEIGHTS)
        weights |= {f"w{i}": w_in[None], f"r{i}": w_state[None], f"b{i}": np.concatenate(biases)[None]}
        nodes += [
            helper.make_node(
                "LSTM",
                [f"x{i}", f"w{i}", f"r{i}", f"b{i}", "", f"h{i}", f"c{i}"],
                [f"y{i}", f"h{i}_after", f"c{i}_after"],
                hidden_size=rnn.hidden_size,
            ),
            helper.make_node("Squeeze", [f"y{i}", "direction"], [f"x{i + 1}"]),
        ]
        inputs += [value(f"{s}{i}", [1, "n", rnn.hidden_size]) for s in "hc"]
        outputs += [value(f"{s}{i}_after", [1, "n", rnn.hidden_size]) for s in "hc"]
    last = f"x{len(reader.rnns)}"
    nodes += [
        helper.make_node("Transpose", [last], ["hidden"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["hidden", "output"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["logits"]),
    ]
    tensors = [
        numpy_helper.from_array(np.ascontiguousarray(w if isinstance(w, np.ndarray) else w.detach().numpy()), name)
        for name, w in weights.items()
    ]
    tensors.append(numpy_helper.from_array(np.array([1]), "direction"))
    graph = helper.make_graph(nodes, "clara", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9, producer_name="clara")


def _onnx_order(weights):
    """Rows of the four gates in ONNX's order."""
    return np.concatenate([np.split(weights, 4)[gate] for gate in GATES])


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    p.add_argument_group("net").add_argument("model", metavar="MODEL", help="run folder or shipped model")
    p.add_argument_group("run").add_argument(
        "--out", metavar="FILE", help="file to write; without it model.onnx in the model's folder"
    )
    return p


def main(argv=None):
    """Parse, write, report."""
    args = parser().parse_args(argv)
    with cli.show_status("loading"):
        from clara.checkpoint import Checkpoint  # heavy imports wait for --help

    path = Path(args.out or Path(args.model, "model.onnx"))
    with cli.show_status("writing"):
        export(Checkpoint.load(args.model), path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    cli.run(main)
