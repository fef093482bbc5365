"""Train a music language model.

Usage: python train.py --encoding notewise [--data FOLDER]

Uses the prepared data, or prepares music21's Bach when there is none; fine-tunes the
weights under pretrained/ when they fit, or starts fresh with --from-scratch. Ctrl-C
leaves a run folder that generates; --resume RUN goes on where a run was cut off.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from clara import cli
from clara.encodings import ENCODINGS
from clara.shipped_models import shipped_models_folder

EXAMPLES = """
python train.py --data my_midis/                     # fine-tune the weights that come with Clara on a folder of music
python train.py --data my_midis/ --adapter             # in a minute or two: a style for those weights
python train.py --encoding chordwise --from-scratch --n-hid 256 --epochs 48
python train.py --resume runs/mine --epochs 48       # go on where it was cut off, and for longer
"""
ROOT = shipped_models_folder()
NEWEST = "the newest"
MAY_CHANGE = ("resume", "out", "epochs", "patience", "device", "threads")  # when a run is resumed


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    data = p.add_argument_group("data").add_argument
    data("--encoding", default="notewise", choices=list(ENCODINGS), help="how music is spelled")
    data("--data", metavar="FOLDER", help="prepared corpus, or music to prepare; without it data/<encoding>-<grid>")
    data(
        "--replay-data",
        metavar="FOLDER",
        help="a prepared corpus, of which some pieces are mixed in, so that the net does not forget it",
    )
    data(
        "--replay-share",
        type=cli.within(0, 0.9),
        default=0.25,
        metavar="SHARE",
        help="of an epoch's words that are its",
    )
    run = p.add_argument_group("run").add_argument
    run("--out", metavar="FOLDER", help="folder to write; new or empty, without it runs/<encoding>-<time>")
    run(
        "--resume",
        metavar="RUN",
        nargs="?",
        const=NEWEST,
        help="go on with this run folder, or with --out, or "
        "with the newest under runs/; its own flags hold, --epochs and --patience may change",
    )
    run("--from-scratch", action="store_true", help="start from no weights")
    run(
        "--pretrained",
        metavar="MODEL",
        help="run folder or shipped model; its weights are the start, without it those of pretrained/<encoding>",
    )
    run(
        "--adapter",
        action="store_true",
        help="leave the weights as they are and find a style for them: initial states and output "
        "layer, a file of some hundred kilobytes for generate.py --style",
    )
    run("--device", default="auto", metavar="DEVICE", help="what computes; auto, cpu, cuda, cuda:1")
    run(
        "--precision",
        default="auto",
        type=lambda told: {"fp32": "float32"}.get(told, told),
        choices=["auto", "bf16", "float32"],
        help="of the net's numbers; bf16 is for matrix products, and auto where they are faster",
    )
    run("--threads", type=cli.at_least(1), metavar="N", help="CPU threads; without it all")
    run(
        "--seed",
        type=cli.at_least(0),
        default=0,
        metavar="N",
        help="of what is left to chance; weights, order, keys and dropout",
    )
    cli.add_json_flag(run)
    fit = p.add_argument_group("training").add_argument
    fit(
        "--epochs",
        type=cli.at_least(1),
        default=24,
        metavar="N",
        help="passes over the music; each in another key, so that twelve see every key once",
    )
    fit("--patience", type=cli.at_least(1), default=8, metavar="N", help="epochs without progress before it stops")
    fit(
        "--lr",
        type=cli.above(0),
        metavar="X",
        help="highest rate; 1e-3 to 8e-3, without it 3e-3 fresh, 1e-3 to fine-tune",
    )
    fit("--schedule", default="one_cycle", choices=["one_cycle", "flat_cos"], help="of the rate")
    fit(
        "--bs",
        type=cli.at_least(1),
        metavar="N",
        help="how many are read side by side; streams, 4 to 256, without it 64, and fewer for little "
        "music, so that an epoch takes some fifty steps",
    )
    fit("--bptt", type=cli.at_least(2), default=200, metavar="N", help="words between updates")
    fit("--wd", type=cli.at_least(0, float), default=0.01, metavar="X", help="weight decay")
    fit("--moms", type=cli.within(0, 0.9999), nargs=2, default=[0.7, 0.99], metavar="X", help="Adam's averages")
    fit("--alpha", type=cli.at_least(0, float), default=2.0, metavar="X", help="activation regularisation (AR)")
    fit("--beta", type=cli.at_least(0, float), default=1.0, metavar="X", help="the same over time (TAR)")
    fit("--clip", type=cli.above(0), default=0.25, metavar="X", help="largest norm of the gradient")
    look = p.add_argument_group("looking at it").add_argument
    look(
        "--tensorboard",
        action="store_true",
        help="also write tensorboard/ into the run folder; needs the package tensorboard",
    )
    look(
        "--find-lr",
        action="store_true",
        help="try rising rates, name one, draw lr_find.png into the run folder, and train nothing",
    )
    net = p.add_argument_group(
        "net",
        "Fine-tuning keeps the sizes of its start; without a flag the architecture decides: "
        "awd_lstm 400/600/4, lstm 128/128/2, wavenet 256/192/10.",
    ).add_argument
    net(
        "--arch",
        default="awd_lstm",
        choices=["awd_lstm", "lstm", "wavenet"],
        help="kind of net; AWD-LSTM, a plain LSTM, or dilated causal convolutions",
    )
    net("--emb-sz", type=cli.at_least(1), metavar="N", help="width of the embedding")
    net("--n-hid", type=cli.at_least(1), metavar="N", help="LSTM units, or channels")
    net("--n-layers", type=cli.at_least(1), metavar="N", help="LSTM layers, or convolutions")
    net("--drop-mult", type=cli.within(0, 3), default=1.0, metavar="X", help="scales all dropouts; 0.2 to 1")
    for name, told in (
        ("input", "the first layer's input"),
        ("hidden", "between layers"),
        ("output", "before the output"),
        ("embed", "whole words; of awd_lstm"),
        ("weight", "recurrent weights; of awd_lstm"),
    ):
        net(f"--{name}-p", type=cli.within(0, 0.99), metavar="P", help=f"dropout, {told}")
    return p


def typed(argv):
    """The flags that stand on the command line, without defaults."""
    p = parser()
    for action in p._actions:
        action.default = argparse.SUPPRESS
    return vars(p.parse_args(argv))


def main(argv=None):
    """Parse, prepare, train, report."""
    args = vars(parser().parse_args(argv))
    with cli.json_output(args.pop("json")) as answer:
        return _run(args, argv, answer)


def _run(args, argv, answer):
    """Prepare, train, report; fills the answer in."""
    with cli.show_status("loading"):
        from clara.errors import BadSetting  # heavy imports wait for --help
        from clara.training import distributed
        from clara.training.run import run_settings, train

    world = distributed.join(args["device"])
    if not world.first:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of this process
    if args["resume"]:
        args["resume"] = _run_to_resume(args)
        changed = {k: v for k, v in typed(argv).items() if k != "json"}
        fixed = [f"--{k.replace('_', '-')}" for k in changed if k not in MAY_CHANGE]
        if fixed:
            raise BadSetting(f"{', '.join(fixed)} cannot change when a run is resumed")
        args = run_settings(args["resume"]) | changed | {"resume": args["resume"]}
    args["data"] = str(world.rank0_first(lambda: _prepared(args["data"], args["encoding"])))
    shipped = ROOT / args["encoding"]
    if not args["pretrained"] and shipped.is_dir():
        args["pretrained"] = os.path.relpath(shipped)
    args["out"] = world.broadcast(
        args["resume"] or args["out"] or f"runs/{args['encoding']}-{time.strftime('%Y%m%d-%H%M%S')}"
    )
    try:
        if args.get("adapter"):
            answer |= _train_adapter(args, world)
            return 0
        interrupted = train(args, command=sys.argv, world=world)
        if world.first:
            answer |= {"folder": args["out"], "interrupted": interrupted, "figures": _figures(args["out"])}
        return cli.INTERRUPTED if interrupted else 0
    finally:
        distributed.leave()


def _train_adapter(args, world):
    """A style file instead of new weights; what --json tells of it."""
    from clara.errors import BadSetting
    from clara.training.adapter_tuning import ADAPTER_FILE, train_adapter

    if args["resume"] or world.size > 1:
        raise BadSetting("--adapter takes minutes on one machine: it neither resumes nor shares")
    figures = train_adapter(args, command=sys.argv)
    return {"folder": args["out"], "adapter": Path(args["out"], ADAPTER_FILE), "figures": figures}


def _figures(folder):
    """The final figures of a run folder; none of one that only looked for a rate."""
    from clara.checkpoint import CONFIG

    path = Path(folder, CONFIG)
    return json.loads(path.read_text(encoding="utf-8"))["figures"] if path.is_file() else {}


def _run_to_resume(args):
    """The run folder that --resume means."""
    from clara.errors import BadSetting

    if args["resume"] != NEWEST:
        return args["resume"]
    if args["out"]:
        return args["out"]
    runs = sorted(Path("runs").glob("*/started.json"), key=lambda p: p.stat().st_mtime)
    if not runs:
        raise BadSetting("--resume: there is no run under runs/; name its folder")
    return str(runs[-1].parent)


def _prepared(data, encoding):
    """The folder of a prepared corpus; prepares music where it is not."""
    from clara.data.corpus import MANIFEST
    from clara.data.corpus_writer import prepare_corpus
    from clara.data.sources import find_pieces
    from clara.data.workers import WorkerSettings
    from data_prep.prepare import print_report

    grid = ENCODINGS[encoding]().steps_per_quarter
    folder = Path(data or f"data/{encoding}-{grid}")
    if (folder / MANIFEST).is_file():
        return folder
    source = data or "music21:bach"
    pieces = find_pieces([source])
    out = Path("data", f"{folder.resolve().name}-{encoding}-{grid}") if data else folder
    print(f"preparing {source}: {len(pieces)} files into {out}", flush=True)
    manifest, interrupted = prepare_corpus(
        pieces,
        out,
        {"encoding": encoding},
        about=f"Music from {source}.",
        worker_settings=WorkerSettings(os.cpu_count()),
    )
    print_report(manifest, out)
    if interrupted:
        raise KeyboardInterrupt
    return out


if __name__ == "__main__":
    cli.run(main)
