"""Train a music language model.

Usage: python train.py --encoding notewise [--data FOLDER]

It trains on prepared data, on a folder of music, which it prepares first, or without --data on Bach from music21. It
fine-tunes a pretrained model, or starts from random weights with --from-scratch. Ctrl-C leaves a run folder that can
compose, and --resume continues a run.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from clara import cli
from clara.encodings import ENCODINGS
from clara.training.settings import CHANGEABLE_FIELDS, STARTED, TrainSettings
from clara.wording import count_of
from data_prep.prepare import add_performed_flag, add_split_flags

EXAMPLES = """
python train.py --data my_midis/                     # fine-tune a model that comes with Clara on a folder of music
python train.py --data my_midis/ --adapter           # in a minute or two: a small adapter for that model
python train.py --encoding chordwise --from-scratch --n-hid 256 --epochs 48
python train.py --resume runs/mine --epochs 48       # continue an interrupted run, for more epochs
"""
NEWEST = "the newest"
DEFAULTS = {field.name: field.default for field in fields(TrainSettings)}
ARCHITECTURES = ("awd_lstm", "lstm", "wavenet")
PRECISIONS = ("auto", "bf16", "float32")
DROPOUTS = {
    "input": "Dropout probability before the first layer",
    "hidden": "Dropout probability between layers",
    "output": "Dropout probability before the output layer",
    "embed": "Dropout probability of whole tokens in the embedding, only of awd_lstm",
    "weight": "Dropout probability of recurrent weights, only of awd_lstm",
}


def parser() -> cli.Parser:
    """Return the command line parser."""
    p = cli.Parser(__doc__, EXAMPLES)
    _add_data_flags(p.add_argument_group("data").add_argument)
    _add_run_flags(p.add_argument_group("run").add_argument)
    _add_training_flags(p.add_argument_group("training").add_argument)
    _add_inspection_flags(p.add_argument_group("inspection").add_argument)
    model = p.add_argument_group(
        "model",
        "Fine-tuning keeps the sizes of the pretrained model. The defaults for --emb-sz, --n-hid and --n-layers are "
        "awd_lstm 400, 600, 4; lstm 128, 128, 2; wavenet 256, 192, 10.",
    )
    _add_model_flags(model.add_argument)
    return p


def _add_data_flags(add):
    """Add the flags that choose the music."""
    add(
        "--encoding",
        default=DEFAULTS["encoding"],
        choices=list(ENCODINGS),
        help="Encoding of music as text; chamber and quartet are notewise with a part for each player.",
    )
    add("--data", metavar="FOLDER", help="Prepared corpus, or music to prepare (default: data/<encoding>-<grid>).")
    add(
        "--replay-data",
        metavar="FOLDER",
        help="Prepared corpus of which a random part is mixed into each epoch, so that the model does not forget it.",
    )
    add(
        "--replay-share",
        type=cli.within(0, 0.9),
        default=DEFAULTS["replay_share"],
        metavar="SHARE",
        help="Share of an epoch's tokens that come from --replay-data.",
    )
    add_performed_flag(add)
    add_split_flags(add)


def _add_run_flags(add):
    """Add the flags of the run."""
    add("--out", metavar="FOLDER", help="Folder to write; new or empty (default: runs/<encoding>-<time>).")
    add(
        "--resume",
        metavar="RUN",
        nargs="?",
        const=NEWEST,
        help="Run folder to continue (without a name: the one of --out, or the newest under runs/). Its own flags "
        "apply; --epochs, --patience, --device and --threads may change.",
    )
    add("--from-scratch", action="store_true", help="Start from random weights.")
    add(
        "--follow-plans",
        action=argparse.BooleanOptionalAction,
        help="Learn to follow plans: bar by bar, what a piece returns to, its keys and textures (default: as the "
        "pretrained model does, whose weights for plans are then fine-tuned like all others; from random weights no).",
    )
    add(
        "--pretrained",
        metavar="MODEL",
        help="Run folder or shipped model to start from (default: the shipped model of the encoding's name).",
    )
    add(
        "--adapter",
        action="store_true",
        help="Keep the model's weights and train an adapter: an initial state and an output layer, some hundred "
        "kilobytes for clara compose --adapter.",
    )
    add("--device", default=DEFAULTS["device"], metavar="DEVICE", help="Device to compute on; auto, cpu, cuda, cuda:1.")
    add(
        "--precision",
        default=DEFAULTS["precision"],
        type=lambda name: {"fp32": "float32"}.get(name, name),
        choices=PRECISIONS,
        help="Number format of matrix products; auto is bf16 where the device multiplies it faster.",
    )
    add("--threads", type=cli.at_least(1), metavar="N", help="Number of CPU threads (default: all).")
    add(
        "--seed",
        type=cli.at_least(0),
        default=DEFAULTS["seed"],
        metavar="N",
        help="Random seed; of weights, order, keys and dropout.",
    )
    cli.add_json_flag(add)


def _add_training_flags(add):
    """Add the flags of the optimisation."""
    add(
        "--epochs",
        type=cli.at_least(1),
        default=DEFAULTS["epochs"],
        metavar="N",
        help="Number of passes over the music; each in another key, so that twelve see every key once. Fine-tuning "
        "spends the first ones on the upper layers alone.",
    )
    add(
        "--patience",
        type=cli.at_least(1),
        default=DEFAULTS["patience"],
        metavar="N",
        help="Number of epochs without progress before the run stops.",
    )
    add(
        "--lr",
        type=cli.above(0),
        metavar="X",
        help="Highest learning rate; useful from 1e-3 to 8e-3 (default: 3e-3 from scratch, 1e-3 for fine-tuning, "
        "2e-3 for an adapter).",
    )
    add(
        "--schedule",
        default=DEFAULTS["schedule"],
        choices=["one_cycle", "flat_cos"],
        help="Course of the learning rate; flat_cos is constant, then falls in the last fifth.",
    )
    add(
        "--bs",
        type=cli.at_least(1),
        metavar="N",
        help="Batch size, in streams side by side (default: 4 to 64, so that an epoch makes about 50 updates).",
    )
    add("--bptt", type=cli.at_least(2), default=DEFAULTS["bptt"], metavar="N", help="Number of tokens between updates.")
    add("--wd", type=cli.at_least(0, float), default=DEFAULTS["wd"], metavar="X", help="Weight decay.")
    add(
        "--moms",
        type=cli.within(0, 0.9999),
        nargs=2,
        default=list(DEFAULTS["moms"]),
        metavar="X",
        help="Decay of Adam's two moving averages (default: 0.7 0.99).",
    )
    add(
        "--alpha",
        type=cli.at_least(0, float),
        default=DEFAULTS["alpha"],
        metavar="X",
        help="Weight of activation regularisation, AR.",
    )
    add(
        "--beta",
        type=cli.at_least(0, float),
        default=DEFAULTS["beta"],
        metavar="X",
        help="Weight of temporal activation regularisation, TAR.",
    )
    add(
        "--all-layers",
        action="store_true",
        help="Fine-tune all layers from the first epoch, at one learning rate (default: one more group of layers each "
        "epoch, the lower ones more slowly); for as much music as the pretrained model has learned from.",
    )
    add("--clip", type=cli.above(0), default=DEFAULTS["clip"], metavar="X", help="Largest norm of the gradient.")


def _add_inspection_flags(add):
    """Add the flags that look at a training."""
    add(
        "--tensorboard",
        action="store_true",
        help="Also write tensorboard/ into the run folder; needs the package tensorboard.",
    )
    add(
        "--find-lr",
        action="store_true",
        help="Train nothing: try rising learning rates, name one, and plot them to lr_find.png in the run folder.",
    )


def _add_model_flags(add):
    """Add the flags of the network."""
    add(
        "--arch",
        default=DEFAULTS["arch"],
        choices=ARCHITECTURES,
        help="Architecture; AWD-LSTM, a plain LSTM, or dilated causal convolutions.",
    )
    add("--emb-sz", type=cli.at_least(1), metavar="N", help="Width of the embedding.")
    add("--n-hid", type=cli.at_least(1), metavar="N", help="Number of LSTM units, or of channels, in a layer.")
    add("--n-layers", type=cli.at_least(1), metavar="N", help="Number of LSTM layers, or of convolutions.")
    add(
        "--drop-mult",
        type=cli.within(0, 3),
        default=DEFAULTS["drop_mult"],
        metavar="X",
        help="Factor for all dropouts; useful from 0.2 to 1.",
    )
    for name, meaning in DROPOUTS.items():
        add(f"--{name}-p", type=cli.within(0, 0.99), metavar="P", help=f"{meaning} (default: the architecture's).")


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, prepare music, train, report; return the exit status."""
    args = vars(parser().parse_args(argv))
    with cli.json_output(args.pop("json")) as answer:
        return _run(args, argv, answer)


def _run(args, argv, answer):
    """Prepare, train, report, and fill the answer of --json."""
    with cli.show_status("loading"):  # heavy imports come after --help
        from clara.training import distributed
        from clara.training.run import train

    world = distributed.join_world(args["device"])
    if not world.is_rank0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of this process
    is_adapter = args.pop("adapter")
    settings = _resumed_settings(args, argv) if args["resume"] else _new_settings(args, world)
    data = world.rank0_first(lambda: _prepare(settings.data, settings.encoding, args))
    settings = replace(settings, data=str(data))
    try:
        if is_adapter:
            answer |= _train_adapter(settings, world)
            return 0
        interrupted = train(settings, command=sys.argv, world=world)
        if world.is_rank0:
            answer |= {"folder": settings.out, "interrupted": interrupted, "figures": _read_figures(settings.out)}
        return cli.INTERRUPTED if interrupted else 0
    finally:
        distributed.leave_world()


def _new_settings(args, world):
    """Return the settings of a new run."""
    out = args["out"] or f"runs/{args['encoding']}-{time.strftime('%Y%m%d-%H%M%S')}"
    pretrained = None if args["from_scratch"] else _find_pretrained(args["pretrained"], args["encoding"])
    settings = settings_from_args(args)
    return replace(settings, out=world.broadcast(out), pretrained=pretrained, data=args["data"] or "")


def settings_from_args(args: dict[str, Any]) -> TrainSettings:
    """Return the parsed flags as `TrainSettings`; flags that were not given keep None."""
    names = {field.name for field in fields(TrainSettings)}
    values = {name: value for name, value in args.items() if name in names}
    return TrainSettings(**values | {"moms": tuple(args["moms"]), "resume": bool(args["resume"])})


def _find_pretrained(pretrained, encoding):
    """Return the model to start from; raise MissingModel if there is none."""
    from clara.checkpoints.shipped_models import MissingModel, find_model

    if pretrained:
        find_model(pretrained)
        return pretrained
    try:
        find_model(encoding)
    except MissingModel as e:
        raise MissingModel(
            f"no pretrained model for --encoding {encoding}: start from random weights with --from-scratch, or name a "
            f"model with --pretrained MODEL ({e})"
        ) from e
    return encoding


def _resumed_settings(args, argv):
    """Return the settings of a run that is continued, with the flags that may change."""
    from clara.errors import BadSetting

    given = parser().given_flags(argv)
    fixed = [f"--{name.replace('_', '-')}" for name in given if name not in CHANGEABLE_FIELDS]
    if fixed:
        raise BadSetting(f"{', '.join(fixed)} cannot change when a run is resumed")
    settings = TrainSettings.load(_run_to_resume(args))
    changes = {name: value for name, value in given.items() if name not in ("resume", "out")}
    return replace(settings, **changes)


def _run_to_resume(args):
    """Return the run folder that --resume means."""
    from clara.errors import BadSetting

    if args["resume"] != NEWEST:
        return args["resume"]
    if args["out"]:
        return args["out"]
    runs = sorted(Path("runs").glob(f"*/{STARTED}"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise BadSetting("--resume: there is no run under runs/; name its folder")
    return str(runs[-1].parent)


def _train_adapter(settings, world):
    """Train an adapter instead of new weights; return what --json reports."""
    from clara.errors import BadSetting
    from clara.training.adapter_tuning import ADAPTER_FILE, DEFAULT_LR, AdapterSettings, train_adapter

    if settings.from_scratch:
        raise BadSetting("--adapter goes with a pretrained model, whose weights it keeps; leave out --from-scratch")
    if settings.resume or world.size > 1:
        raise BadSetting("--adapter takes minutes in a single process: it cannot be resumed or distributed")
    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)
    adapter_settings = AdapterSettings(
        epochs=settings.epochs, patience=settings.patience, lr=settings.lr or DEFAULT_LR, seed=settings.seed
    )
    figures = train_adapter(settings.data, settings.pretrained, settings.out, adapter_settings, command=sys.argv)
    return {"folder": settings.out, "adapter": Path(settings.out, ADAPTER_FILE), "figures": figures}


def _read_figures(folder):
    """Return the final figures of a run folder; a search for a learning rate leaves none."""
    from clara.checkpoints.checkpoint import CONFIG

    path = Path(folder, CONFIG)
    return json.loads(path.read_text(encoding="utf-8"))["figures"] if path.is_file() else {}


def cache_folder(source: str | Path, encoding: str) -> Path:
    """Return the folder for the prepared music of a source: one for each path, even if their last names are equal."""
    path = Path(source).resolve()
    grid = ENCODINGS[encoding]().steps_per_quarter
    return Path("data", f"{path.name}-{encoding}-{grid}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}")


def _prepare(data, encoding, args):
    """Return the folder of a prepared corpus; prepare the music in `data` if it is none itself."""
    from clara.data.corpus import MANIFEST
    from clara.data.corpus_writer import prepare_corpus
    from clara.data.piece_encoding import ReadSettings
    from clara.data.sources import find_pieces
    from clara.data.splits import SplitSettings
    from clara.data.workers import WorkerSettings
    from clara.errors import BadSetting
    from data_prep.prepare import print_report, report_aligned

    grid = ENCODINGS[encoding]().steps_per_quarter
    folder = Path(data or f"data/{encoding}-{grid}")
    split_settings = SplitSettings(args["group_by"], args["valid_share"], not args["no_test"])
    if (folder / MANIFEST).is_file():
        if split_settings != SplitSettings() or args["performed"] != "auto":
            raise BadSetting(
                f"{folder} is prepared already: --performed, --group-by, --valid-share and --no-test go with music "
                "that is not; prepare it again with clara prepare and these flags"
            )
        return folder
    source = data or "music21:bach"
    pieces = find_pieces([source])
    out = cache_folder(data, encoding) if data else folder
    print(f"preparing {source}: {count_of(len(pieces), 'file')} into {out}", flush=True)
    manifest, interrupted = prepare_corpus(
        pieces,
        out,
        {"encoding": encoding},
        read_settings=ReadSettings(performed=args["performed"]),
        about=f"Music from {source}.",
        split_settings=split_settings,
        worker_settings=WorkerSettings(os.cpu_count() or 1),
    )
    print_report(manifest, out)
    report_aligned(manifest)
    if interrupted:
        raise KeyboardInterrupt
    return out


if __name__ == "__main__":
    cli.run(main)
