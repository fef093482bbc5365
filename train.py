"""Train a music language model: python train.py --encoding notewise [--data FOLDER]

Uses the prepared data, or prepares music21's Bach when there is none; fine-tunes the
weights under pretrained/ when they fit, or starts fresh with --from-scratch. Ctrl-C
leaves a run folder that generates; --resume RUN goes on where a run was cut off.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from clara import cli
from clara.encodings import ENCODINGS

ROOT = Path(__file__).resolve().parent
NEWEST = "the newest"
MAY_CHANGE = ("resume", "out", "epochs", "patience", "device", "threads")  # when a run is resumed


def parser():
    """The command line."""
    p = argparse.ArgumentParser(prog="train.py", description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1],
                                formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    data = p.add_argument_group("data").add_argument
    data("--encoding", default="notewise", choices=list(ENCODINGS), help="how music is spelled")
    data("--data", metavar="FOLDER", help="prepared corpus, or music to prepare; without it data/<encoding>-<grid>")
    data("--mix-data", metavar="FOLDER", help="a prepared corpus, of which some pieces are mixed in, so that the net does not "
         "forget it")
    data("--mix-share", type=cli.within(0, 0.9), default=0.25, metavar="SHARE", help="of an epoch's words that are its")
    run = p.add_argument_group("run").add_argument
    run("--out", metavar="FOLDER", help="run folder; without it runs/<encoding>-<time>")
    run("--resume", metavar="RUN", nargs="?", const=NEWEST, help="go on with this run folder, or with --out, or "
        "with the newest under runs/; its own flags hold, --epochs and --patience may change")
    run("--from-scratch", action="store_true", help="do not start from pretrained weights")
    run("--pretrained", metavar="FOLDER", help="weights to start from; without it pretrained/<encoding>")
    run("--light", action="store_true", help="leave the weights as they are and find a style for them: initial states and output "
        "layer, a file of some hundred kilobytes for generate.py --style")
    run("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    run("--precision", default="auto", choices=["auto", "bf16", "fp32"], help="of matrix products")
    run("--threads", type=cli.at_least(1), metavar="N", help="CPU threads; without it all")
    run("--seed", type=cli.at_least(0), default=0, metavar="N", help="of weights, order, keys and dropout")
    fit = p.add_argument_group("training").add_argument
    fit("--epochs", type=cli.at_least(1), default=24, metavar="N",
        help="passes over the pieces, each in another key: twelve see every key once")
    fit("--patience", type=cli.at_least(1), default=8, metavar="N", help="epochs without progress before it stops")
    fit("--lr", type=cli.above(0), metavar="X",
        help="highest rate, 1e-3 to 8e-3; without it 3e-3 fresh, 1e-3 to fine-tune")
    fit("--schedule", default="one_cycle", choices=["one_cycle", "flat_cos"], help="of the rate")
    fit("--bs", type=cli.at_least(1), metavar="N", help="streams side by side, 4 to 256; without it 64, and fewer for little "
        "music, so that an epoch takes some fifty steps")
    fit("--bptt", type=cli.at_least(2), default=200, metavar="N", help="words between updates")
    fit("--wd", type=cli.at_least(0, float), default=0.01, metavar="X", help="weight decay")
    fit("--moms", type=cli.within(0, 0.9999), nargs=2, default=[0.7, 0.99], metavar="X", help="Adam's averages")
    fit("--alpha", type=cli.at_least(0, float), default=2.0, metavar="X", help="activation regularisation (AR)")
    fit("--beta", type=cli.at_least(0, float), default=1.0, metavar="X", help="the same over time (TAR)")
    fit("--clip", type=cli.above(0), default=0.25, metavar="X", help="largest norm of the gradient")
    look = p.add_argument_group("looking at it").add_argument
    look("--tensorboard", action="store_true", help="also write tensorboard/ into the run folder; needs the package tensorboard")
    look("--find-lr", action="store_true", help="try rising rates, name one, draw lr_find.png into the run folder, and train nothing")
    net = p.add_argument_group("net (fine-tuning keeps the sizes of its start; without a flag the architecture decides: "
                               "awd_lstm 400/600/4, lstm 128/128/2, wavenet 256/192/10)").add_argument
    net("--arch", default="awd_lstm", choices=["awd_lstm", "lstm", "wavenet"], help="AWD-LSTM, a plain LSTM, or dilated "
        "causal convolutions")
    net("--emb-sz", type=cli.at_least(1), metavar="N", help="width of the embedding")
    net("--n-hid", type=cli.at_least(1), metavar="N", help="LSTM units, or channels")
    net("--n-layers", type=cli.at_least(1), metavar="N", help="LSTM layers, or convolutions")
    net("--drop-mult", type=cli.within(0, 3), default=1.0, metavar="X", help="scales all dropouts, 0.2 to 1")
    for name, told in (("input", "the first layer's input"), ("hidden", "between layers"), ("output", "before the output"),
                       ("embed", "whole words; of awd_lstm"), ("weight", "recurrent weights; of awd_lstm")):
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
    from clara import distributed
    from clara.errors import BadSetting  # heavy imports wait for --help
    from clara.training import run_settings, train

    world = distributed.join(args["device"])
    if not world.first:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of this process
    if args["resume"]:
        args["resume"] = _run_to_resume(args)
        changed = typed(argv)
        fixed = [f"--{k.replace('_', '-')}" for k in changed if k not in MAY_CHANGE]
        if fixed:
            raise BadSetting(f"{', '.join(fixed)} cannot change when a run is resumed")
        args = run_settings(args["resume"]) | changed | {"resume": args["resume"]}
    args["data"] = str(world.one_by_one(lambda: _prepared(args["data"], args["encoding"])))
    shipped = ROOT / "pretrained" / args["encoding"]
    if not args["pretrained"] and shipped.is_dir():
        args["pretrained"] = os.path.relpath(shipped)
    args["out"] = world.agreed(args["resume"] or args["out"] or f"runs/{args['encoding']}-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        if args.get("light"):
            return _light(args, world)
        return cli.INTERRUPTED if train(args, command=sys.argv, world=world) else 0
    finally:
        distributed.leave()


def _light(args, world):
    """A style file instead of new weights."""
    from clara.errors import BadSetting
    from clara.light import train_style

    if args["resume"] or world.size > 1:
        raise BadSetting("--light takes minutes on one machine: it neither resumes nor shares")
    train_style(args, command=sys.argv)
    return 0


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
    from clara.corpus import MANIFEST
    from data_prep.corpora import expand
    from data_prep.encode import encode_corpus, report

    grid = ENCODINGS[encoding]().steps_per_quarter
    folder = Path(data or f"data/{encoding}-{grid}")
    if (folder / MANIFEST).is_file():
        return folder
    source = data or "music21:bach"
    pieces = expand([source])
    out = Path("data", f"{folder.resolve().name}-{encoding}-{grid}") if data else folder
    print(f"preparing {source}: {len(pieces)} files into {out}", flush=True)
    manifest, interrupted = encode_corpus(pieces, out, {"encoding": encoding}, about=f"Music from {source}.",
                                          workers=os.cpu_count())
    report(manifest, out)
    if interrupted:
        raise KeyboardInterrupt
    return out


if __name__ == "__main__":
    cli.run(main)
