"""Train a critic or a composer classifier.

Usage: python -m critic.train EXCERPTS --pretrained MODEL --out FOLDER

The encoder of a language model is fine-tuned with a new head; with --frozen it stays as it is and the head alone is
learned, in a tenth of the time. With --rolls a net that reads piano rolls is learned from scratch, with --statistics one that
reads what can be counted, with --similarity one that sees where music is like itself: more voices for `critic.ensemble`. With --frozen and --statistics the head reads both. With --start a critic learns on, of a newer generator, say. Of excerpts by
human and generator comes a critic, of excerpts by composer a composer classifier, with --frozen settled by cross-validation (see `critic.training.cross_validation`). Where the whole net learns, its best epoch is in the folder as soon as there is one. See `critic.training.text` for how.
"""

import sys
import time
from functools import partial
from pathlib import Path

from clara import cli

EXAMPLES = """
python -m critic.train runs/excerpts --pretrained runs/mine --frozen --share --out runs/voice-text
python -m critic.train runs/excerpts --rolls --out runs/voice-rolls
python -m critic.train runs/excerpts --statistics --out runs/voice-statistics
python -m critic.train runs/excerpts --similarity --out runs/voice-similarity
python -m critic.train runs/newer --start runs/voice-text --epochs 2 --lr 1e-3 --out runs/voice-text-2  # learn on, from other excerpts
python -m critic.train runs/excerpts --from-scratch --arch wavenet --split judge --out runs/judge  # a second opinion
python -m critic.train runs/composers --pretrained runs/mine --frozen --statistics --out runs/composer  # whom is it like?
"""
FROM_SCRATCH = {
    "awd_lstm": {"emb_sz": 256, "n_hid": 512, "n_layers": 2},
    "wavenet": {"emb_sz": 128, "n_hid": 128, "n_layers": 10},
}


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music("excerpts", metavar="EXCERPTS", help="folder that critic.excerpts wrote")
    music(
        "--split", default="train", choices=["train", "judge"], help="works to learn from; judge: for a second opinion"
    )
    music(
        "--window",
        type=cli.above(0),
        metavar="X",
        help="quarter notes that are judged together; without it 8, of composers as many as an excerpt has",
    )
    music(
        "--around",
        type=cli.at_least(0),
        default=0,
        metavar="N",
        help="windows before and after; that a text's window is judged by, too, where all of the net learns",
    )
    net = p.add_argument_group("net")
    start = net.add_mutually_exclusive_group().add_argument
    start("--pretrained", metavar="MODEL", help="run folder or shipped model; its weights are the start")
    start("--from-scratch", action="store_true", help="start from no weights")
    start("--rolls", action="store_true", help="read piano rolls and no text, starting from no weights")
    start("--similarity", action="store_true", help="see self-similarity and no text, starting from no weights")
    net.add_argument(
        "--statistics",
        action="store_true",
        help="read what can be counted; alone, starting from no weights, or with --frozen",
    )
    net.add_argument(
        "--start",
        metavar="FOLDER",
        help="critic whose weights are the start, alone one that reads text and was tuned, with --rolls one of those; to hear newer generators, too",
    )
    net.add_argument("--arch", choices=list(FROM_SCRATCH), help="kind of net; with --from-scratch, without it awd_lstm")
    for size, told in (
        ("--emb-sz", "width of the embedding"),
        ("--n-hid", "LSTM units, or channels"),
        ("--n-layers", "LSTM layers, or convolutions"),
    ):
        net.add_argument(
            size,
            type=cli.at_least(1),
            metavar="N",
            help=f"{told}; with --from-scratch, without them 256/512/2, 128/128/10 of a wavenet",
        )
    net.add_argument(
        "--frozen", action="store_true", help="keep the encoder, learn a head alone on what all its layers tell"
    )
    net.add_argument(
        "--folds",
        type=cli.at_least(1),
        metavar="N",
        help="of composers, with --frozen: settle by cross-validation how long to learn and how rare composers count, then learn from train and valid; 1 to learn from train and choose by valid, without it 5",
    )
    net.add_argument(
        "--share",
        action="store_true",
        help="with --frozen, name the encoder's folder and do not store its weights again",
    )
    net.add_argument("--dropout", type=cli.within(0, 0.9), default=0.3, metavar="P", help="dropout, of the head")
    net.add_argument(
        "--drop-mult", type=cli.within(0, 3), default=0.3, metavar="X", help="scales all dropouts; those of the encoder"
    )
    fit = p.add_argument_group("training").add_argument
    fit(
        "--epochs",
        type=cli.at_least(1),
        metavar="N",
        help="passes over the music; each in other keys, without it 4, 8 with --rolls or --similarity, 15 with --statistics",
    )
    fit(
        "--lr",
        type=cli.above(0),
        metavar="X",
        help="highest rate; without it 2e-3, 1e-3 with --frozen, 3e-3 with --rolls",
    )
    fit(
        "--bs",
        type=cli.at_least(2),
        metavar="N",
        help="how many are read side by side; excerpts, without it 32, 64 with --rolls or --similarity, 512 with --statistics",
    )
    run = p.add_argument_group("run").add_argument
    run("--out", required=True, metavar="FOLDER", help="folder to write; new or empty")
    run(
        "--seed",
        type=cli.at_least(0),
        default=0,
        metavar="N",
        help="of what is left to chance; the head, order, keys and dropout",
    )
    run(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="what computes; auto, cpu, cuda, cuda:1; what can be counted is learned on the CPU",
    )
    run("--threads", type=cli.at_least(1), default=1, metavar="N", help="CPU threads; more may change the last digits")
    return p


def main(argv=None):
    """Parse, learn, report."""
    p = parser()
    args = p.parse_args(argv)
    refused = _refused(args)
    if refused:
        p.error(refused)
    with cli.show_status("loading"):
        import torch  # heavy imports wait for --help

        from critic.evaluation import evaluate
    from clara.devices import choose_device
    from clara.files import make_empty_folder, write_atomically
    from clara.training.model_cards import CARD
    from critic.data.table import read_excerpts
    from critic.training.model_cards import classifier_card

    torch.set_num_threads(args.threads)
    device, _, _ = choose_device(args.device)
    table, made = read_excerpts(args.excerpts)
    args.folds = _folds(args, table)
    begun = _begun(args, table, made)
    start = _start(args, table, made, begun)
    out, began = make_empty_folder(args.out), time.perf_counter()
    keep = partial(_keep, args, made, begun, began)
    classifier, found = _learned(args, table, made, start, begun, device, keep)
    classifier.net.to(device)
    keep(
        classifier,
        figures=found | {s: evaluate(classifier, table, s) for s in ("valid", "test") if s == "test" or not found},
    )
    write_atomically(Path(out) / CARD, classifier_card(classifier))
    print(
        f"{out}: "
        + "; ".join(
            f"{split} " + ", ".join(f"{name} {value:.3f}" for name, value in told.items())
            for split, told in classifier.info["figures"].items()
        )
    )
    return 0


def _refused(args):
    """Why these arguments do not go together, or None."""
    no = {
        "one of --pretrained, --from-scratch, --rolls, --statistics, --similarity, --start is required": not (
            args.pretrained or args.from_scratch or args.rolls or args.statistics or args.similarity or args.start
        ),
        "--statistics stands alone or goes with --frozen": args.statistics
        and (args.from_scratch or args.rolls or args.similarity or args.pretrained and not args.frozen),
        "--frozen keeps what --pretrained names": args.frozen and not args.pretrained,
        "--share is for an encoder that stays as it is: --frozen": args.share and not args.frozen,
        "--start stands alone or goes with --rolls": args.start
        and (args.pretrained or args.from_scratch or args.statistics or args.similarity or args.frozen),
        "--around goes with a net that reads text and learns as a whole, and is what it was where that has a --start": args.around
        and (args.frozen or not (args.pretrained or args.from_scratch)),
        "--folds goes with --frozen": args.folds and not args.frozen,
        "--arch goes with --from-scratch": args.arch and not args.from_scratch,
        "sizes go with --from-scratch": _sizes(args) and not args.from_scratch,
    }
    return next((why for why, holds in no.items() if holds), None)


def _folds(args, table):
    """How many folds settle the learning, 1 where valid does: 5 for composers on an encoder as it is, unless --folds says; raises BadSetting where it may not."""
    from clara.errors import BadSetting
    from critic.training.cross_validation import FOLDS
    from critic.training.text import HUMAN

    may = args.frozen and args.split == "train" and HUMAN not in set(table["label"])
    if args.folds and args.folds > 1 and not may:
        raise BadSetting("--folds is for composers and --split train; else valid decides")
    return (args.folds or FOLDS) if may else 1


def _sizes(args):
    """The sizes that were asked for."""
    return {k: getattr(args, k) for k in ("emb_sz", "n_hid", "n_layers") if getattr(args, k)}


def _begun(args, table, made):
    """The classifier that learning goes on from, or None; of rolls `train_rolls` says what it must be."""
    from clara import encodings
    from clara.errors import BadSetting
    from critic.classifier import ComposerClassifier, Critic
    from critic.training.common import classes_of
    from critic.training.text import HUMAN

    if not args.start:
        return None
    begun = (Critic if HUMAN in set(table["label"]) else ComposerClassifier).load(args.start)
    if not args.rolls and (begun.kind, begun.classes, begun.encoding.settings) != (
        "tuned",
        classes_of(table),
        encodings.make_encoding(made["encoding"]).settings,
    ):
        raise BadSetting(
            f"{args.start}: to go on from, a net must read the text of the excerpts, be tuned as a whole and tell the same classes; for one that reads rolls there is --rolls --start"
        )
    return begun


def _start(args, table, made, begun):
    """What the net is before it learns: encoding, vocabulary, architecture, sizes, weights or None, of a critic's start with its head."""
    from clara import encodings
    from clara.checkpoint import Checkpoint
    from clara.encodings.vocab import Vocab
    from clara.models import get_architecture

    encoding = encodings.make_encoding(made["encoding"])
    if args.pretrained or begun and not args.rolls:
        model = Checkpoint.load(args.pretrained) if args.pretrained else begun
        arch, sizes, vocab, tensors = (
            model.arch,
            get_architecture(model.arch).DEFAULTS | model.sizes,
            model.vocab,
            {k: v.float() for k, v in model.tensors.items()},
        )
    else:
        arch, tensors = args.arch or "awd_lstm", None
        sizes = get_architecture(arch).DEFAULTS | FROM_SCRATCH[arch] | _sizes(args)
        vocab = Vocab.from_encoding(
            encoding, [w for words in table["tokens"][table["split"] == args.split] for w in words]
        )
    return encoding, vocab, arch, {k: v * args.drop_mult if k.endswith("_p") else v for k, v in sizes.items()}, tensors


def _keep(args, made, begun, began, classifier, **figures):
    """Write a classifier and how it was made; its `figures`, too, once it is done."""
    from clara.checkpoint import versions

    training = {
        "arguments": vars(args),
        "command": " ".join(["python", "-m", "critic.train", *map(str, sys.argv[1:])]),
        "excerpts": {k: made[k] for k in ("fingerprint", "about", "seed")},
        "date": time.strftime("%Y-%m-%d"),
        "minutes": round((time.perf_counter() - began) / 60, 1),
    }
    classifier.info = {
        "training": training | ({"before": begun.info["training"]} if begun else {}),
        "versions": versions(),
        **figures,
    }
    classifier.save(Path(args.out), args.pretrained if args.share else None)


def _learned(args, table, made, start, begun, device, keep):
    """The classifier of the kind that was asked for, and its figures by cross-validation, {} where it chose by valid."""
    from critic.training.common import WINDOW
    from critic.training.descriptors import train_statistics
    from critic.training.piano_roll import train_rolls
    from critic.training.self_similarity import train_similarity
    from critic.training.text import HUMAN, train

    quarters = args.window or (
        begun.window_quarters if begun else WINDOW if HUMAN in set(table["label"]) else made["quarters"]
    )
    how = {"quarters": quarters, "seed": args.seed} | ({"lr": args.lr} if args.lr else {})
    passes = {k: v for k, v in {"epochs": args.epochs, "bs": args.bs}.items() if v}
    if args.frozen:
        return _frozen(args, table, start, how | {"counts": args.statistics, "device": device})
    how["train_split"] = args.split
    if args.rolls:
        return train_rolls(table, *start[:2], start=begun, device=device, keep=keep, **passes, **how), {}
    if args.statistics:
        return train_statistics(table, *start[:2], **passes, **how), {}
    if args.similarity:
        return train_similarity(table, *start[:2], device=device, keep=keep, **passes, **how), {}
    return train(
        table,
        *start,
        around=begun.around if begun else args.around,
        dropout=args.dropout,
        device=device,
        keep=keep,
        **passes,
        **how,
    ), {}


def _frozen(args, table, start, how):
    """`_learned` of heads on an encoder as it is."""
    from critic.training.cross_validation import train_folded
    from critic.training.text import train_frozen

    if args.folds == 1:
        return train_frozen(table, *start, train_split=args.split, **how), {}
    classifier, found = train_folded(table, *start, folds=args.folds, **how)
    return classifier, {"cross-validation": found}


if __name__ == "__main__":
    cli.run(main)
