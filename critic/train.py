"""Train a member of a critic or of a composer classifier.

Usage: python -m critic.train EXCERPTS --out FOLDER

Excerpts by human and generator make a critic, excerpts by composer a composer classifier. --member selects what is
trained: the text member fine-tunes the encoder of a language model with a new head, or trains heads alone with
--freeze-encoder, in a tenth of the time; the others are trained from scratch. Composer classifiers on a frozen encoder
are trained with cross-validation. --start continues the training of a member, for example on excerpts of a newer
generator. Except with --freeze-encoder, the folder holds the best epoch so far as soon as there is one. Members are
combined with critic.ensemble.
"""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clara import cli

if TYPE_CHECKING:  # heavy imports wait for --help
    from critic.members.base import ClassifierSettings, Member
    from critic.members.text import TextNetSettings
    from critic.training.settings import TrainSettings

EXAMPLES = """
python -m critic.train runs/excerpts --pretrained runs/mine --freeze-encoder --share-encoder --out runs/text
python -m critic.train runs/excerpts --member piano_roll --out runs/piano-roll
python -m critic.train runs/excerpts --member descriptors --out runs/descriptors
python -m critic.train runs/excerpts --member self_similarity --out runs/self-similarity
python -m critic.train runs/newer --start runs/text --epochs 2 --lr 1e-3 --out runs/text-2  # continue on other excerpts
python -m critic.train runs/excerpts --from-scratch --arch wavenet --split judge --out runs/judge  # a second opinion
python -m critic.train runs/composers --pretrained runs/mine --freeze-encoder --add-descriptors --out runs/composer
"""
MEMBER_TYPES = ("text", "piano_roll", "descriptors", "self_similarity")
ARCHITECTURE_NAMES = ("awd_lstm", "lstm", "wavenet")
SIZE_FLAGS = ("emb_sz", "n_hid", "n_layers")
WINDOW_QUARTERS = 8.0  # of a critic; a composer classifier judges whole excerpts
FOLDS = 5


def parser() -> cli.Parser:
    """Return the parser of the command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    _add_music_flags(p.add_argument_group("music").add_argument)
    _add_net_flags(p.add_argument_group("network").add_argument)
    _add_training_flags(p.add_argument_group("training").add_argument)
    run = p.add_argument_group("run").add_argument
    run("--out", required=True, metavar="FOLDER", help="Folder to write; it must be new or empty.")
    run(
        "--seed",
        type=cli.at_least(0),
        default=0,
        metavar="N",
        help="Random seed of weights, order, transposition and dropout.",
    )
    run(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="Device to train on: auto, cpu, cuda or cuda:1; descriptors are always trained on the CPU.",
    )
    run(
        "--threads",
        type=cli.at_least(1),
        default=1,
        metavar="N",
        help="Number of CPU threads; more may change the last digits.",
    )
    return p


def _add_music_flags(add):
    """Add the flags that select what is learned."""
    add("excerpts", metavar="EXCERPTS", help="Folder that critic.excerpts wrote.")
    add(
        "--split",
        default="train",
        choices=["train", "judge"],
        help="Works to learn from; judge is kept for a second opinion.",
    )
    add(
        "--window-quarters",
        type=cli.above(0),
        metavar="X",
        help="Length in quarter notes of the windows to classify (default: 8; the whole excerpt for composers).",
    )


def _add_net_flags(add):
    """Add the flags of the network."""
    add("--member", default="text", choices=MEMBER_TYPES, help="Type of member to train.")
    add("--pretrained", metavar="MODEL", help="Run folder or shipped model whose encoder the text member starts from.")
    add("--from-scratch", action="store_true", help="Start the text member from random weights.")
    add(
        "--start",
        metavar="FOLDER",
        help="Member whose training continues; a text member with a frozen encoder cannot continue.",
    )
    add(
        "--arch",
        choices=ARCHITECTURE_NAMES,
        help="Architecture of a text member from scratch (default: awd_lstm).",
    )
    for flag, meaning in (
        ("--emb-sz", "Width of the embedding"),
        ("--n-hid", "Number of LSTM units or channels"),
        ("--n-layers", "Number of LSTM layers or convolutions"),
    ):
        add(
            flag,
            type=cli.at_least(1),
            metavar="N",
            help=f"{meaning} of a text member from scratch (default: 256/512/2; 128/128/10 for wavenet).",
        )
    add(
        "--context-windows",
        type=cli.at_least(0),
        default=0,
        metavar="N",
        help="Windows before and after that a fine-tuned text member classifies each window by as well.",
    )
    add(
        "--freeze-encoder",
        action="store_true",
        help="Keep the encoder as it is, and train heads on the outputs of all its layers.",
    )
    add("--add-descriptors", action="store_true", help="Let the heads on a frozen encoder read descriptors as well.")
    add(
        "--share-encoder",
        action="store_true",
        help="Refer to the folder of the frozen encoder and do not store its weights again.",
    )
    add(
        "--folds",
        type=cli.at_least(1),
        metavar="N",
        help="Folds of the cross-validation for composers on a frozen encoder; with 1, the valid split decides "
        f"(default: {FOLDS}).",
    )
    add("--dropout", type=cli.within(0, 0.9), default=0.3, metavar="P", help="Dropout of a fine-tuned member's head.")
    add(
        "--drop-mult",
        type=cli.within(0, 3),
        default=0.3,
        metavar="X",
        help="Factor for all dropouts of a fine-tuned encoder.",
    )


def _add_training_flags(add):
    """Add the flags of the training loop."""
    add(
        "--epochs",
        type=cli.at_least(1),
        metavar="N",
        help="Passes over the excerpts (default: 4; 8 for piano_roll and self_similarity, 15 for descriptors and for "
        "heads on a frozen encoder).",
    )
    add(
        "--lr",
        type=cli.above(0),
        metavar="X",
        help="Highest learning rate (default: 2e-3; 1e-3 with --freeze-encoder, 3e-3 for piano_roll).",
    )
    add(
        "--bs",
        type=cli.at_least(2),
        metavar="N",
        help="Excerpts in a batch (default: 32; 64 for piano_roll and self_similarity, 512 for descriptors; 512 "
        "windows with --freeze-encoder).",
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    p = parser()
    args = p.parse_args(argv)
    conflict = _find_conflict(args)
    if conflict:
        p.error(conflict)
    with cli.show_status("loading"):
        import torch  # heavy imports wait for --help

        from critic.evaluation import evaluate
    from clara.files import make_empty_folder, write_atomically
    from clara.training.model_cards import CARD
    from critic.classifier import make_classifier
    from critic.data.table import read_excerpts
    from critic.ensemble import format_figures
    from critic.training.model_cards import classifier_card

    torch.set_num_threads(args.threads)
    table, excerpts_info = read_excerpts(args.excerpts)
    job = _plan(args, table, excerpts_info)
    make_empty_folder(args.out)
    member, figures = _train(job)
    classifier = make_classifier(member)
    for split in ("valid", "test"):
        if split == "test" or not figures:
            figures[split] = evaluate(classifier, table, split)
    job.keep(member, figures)
    write_atomically(Path(args.out) / CARD, classifier_card(classifier))
    print(f"{args.out}: {format_figures(figures)}")
    return 0


def _find_conflict(args):
    """Return why the flags do not fit together, or None."""
    is_text = args.member == "text"
    text_flags = {
        "--pretrained": args.pretrained,
        "--from-scratch": args.from_scratch,
        "--freeze-encoder": args.freeze_encoder,
        "--context-windows": args.context_windows,
    }
    for flag, used in text_flags.items():
        if used and not is_text:
            return f"{flag} needs --member text"
    starts = [name for name in ("pretrained", "from_scratch", "start") if getattr(args, name)]
    if is_text and len(starts) != 1:
        return "the text member needs one of --pretrained, --from-scratch and --start"
    if args.start and not is_text and args.member != "piano_roll":
        return f"--start is not possible with --member {args.member}"
    conflicts = {
        "--freeze-encoder needs --pretrained": args.freeze_encoder and not args.pretrained,
        "--add-descriptors needs --freeze-encoder": args.add_descriptors and not args.freeze_encoder,
        "--share-encoder needs --freeze-encoder": args.share_encoder and not args.freeze_encoder,
        "--folds needs --freeze-encoder": args.folds and not args.freeze_encoder,
        "--context-windows does not go with --freeze-encoder or --start": args.context_windows
        and (args.freeze_encoder or args.start),
        "--arch needs --from-scratch": args.arch and not args.from_scratch,
        "--emb-sz, --n-hid and --n-layers need --from-scratch": _sizes(args) and not args.from_scratch,
    }
    return next((message for message, holds in conflicts.items() if holds), None)


def _sizes(args):
    """Return the sizes that were given as flags."""
    return {name: getattr(args, name) for name in SIZE_FLAGS if getattr(args, name)}


@dataclass(frozen=True)
class _Job:
    """A training run.

    Attributes
    ----------
    args : the command line
    table, excerpts_info : the excerpts, and how they were made
    settings : ClassifierSettings
    training : TrainSettings
    start : Member to continue from, or None
    net : TextNetSettings, or None for other members
    folds : int, 1 for no cross-validation
    started : float, time of the start
    """

    args: Any
    table: Any
    excerpts_info: dict
    settings: "ClassifierSettings"
    training: "TrainSettings"
    start: "Member | None"
    net: "TextNetSettings | None"
    folds: int
    started: float

    def keep(self, member: "Member", figures: dict | None = None) -> None:
        """Write a member and how it was made, with its figures once training is done."""
        from clara.checkpoint import versions

        info = {
            "arguments": vars(self.args),
            "command": " ".join(["python", "-m", "critic.train", *map(str, sys.argv[1:])]),
            "excerpts": {key: self.excerpts_info[key] for key in ("fingerprint", "about", "seed")},
            "date": time.strftime("%Y-%m-%d"),
            "minutes": round((time.perf_counter() - self.started) / 60, 1),
        }
        if self.start:
            info["before"] = self.start.info["training"]
        member.info = {"training": info, "versions": versions()}
        if figures is not None:
            member.info["figures"] = figures
        if self.args.share_encoder:
            from clara.shipped_models import find_model

            member.encoder_folder = find_model(self.args.pretrained)  # type: ignore[attr-defined]
        member.save(self.args.out)


def _plan(args, table, excerpts_info):
    """Return the _Job of a command line; raise a ClaraError if something does not fit."""
    from clara.encodings import make_encoding
    from critic.classifier import load_classifier
    from critic.data.table import HUMAN
    from critic.members import MEMBERS
    from critic.members.base import ClassifierSettings

    started = time.perf_counter()
    is_critic = HUMAN in set(table["label"])
    folds = _choose_folds(args, is_critic)
    start = load_classifier(args.start).model if args.start else None
    if args.window_quarters:
        window_quarters = args.window_quarters
    elif start:
        window_quarters = start.settings.window_quarters
    else:
        window_quarters = WINDOW_QUARTERS if is_critic else excerpts_info["quarters"]
    encoding = make_encoding(excerpts_info["encoding"])
    net, vocab = _choose_net(args, table, encoding, start)
    settings = ClassifierSettings(encoding, vocab, _classes(table), window_quarters)
    if start and args.member == "text":
        _check_start(args.start, start, settings)
    kind = MEMBERS[args.member]
    defaults = kind.HEAD_TRAINING if args.freeze_encoder else kind.TRAINING
    given = {name: getattr(args, name) for name in ("epochs", "lr", "bs") if getattr(args, name)}
    training = replace(defaults, **given, split=args.split, seed=args.seed, device=args.device)
    return _Job(args, table, excerpts_info, settings, training, start, net, folds, started)


def _classes(table):
    """Return the classes of a table of excerpts, in the order of a classifier's columns."""
    return tuple(sorted(set(table["label"])))


def _choose_folds(args, is_critic):
    """Return the number of folds; raise BadSetting if there can be none."""
    from clara.errors import BadSetting

    possible = args.freeze_encoder and args.split == "train" and not is_critic
    if args.folds and args.folds > 1 and not possible:
        raise BadSetting("--folds is for composers and --split train; otherwise the valid split decides")
    return (args.folds or FOLDS) if possible else 1


def _choose_net(args, table, encoding, start):
    """Return the TextNetSettings, or None for other members, and the vocabulary."""
    from clara.checkpoint import Checkpoint
    from clara.models import get_architecture
    from clara.shipped_models import find_model
    from critic.members.text import TextNetSettings

    if args.member != "text":
        return None, _vocab_of_excerpts(args, table, encoding)
    if args.pretrained:
        model = Checkpoint.load(find_model(args.pretrained))
        vocab = model.vocab
        sizes = get_architecture(model.arch).DEFAULTS | model.sizes
        net = TextNetSettings(model.arch, sizes, {name: v.float() for name, v in model.tensors.items()})
    elif start:
        vocab = start.settings.vocab
        net = TextNetSettings.from_member(start)
    else:
        vocab = _vocab_of_excerpts(args, table, encoding)
        net = TextNetSettings(args.arch or ARCHITECTURE_NAMES[0], _sizes(args)).with_default_sizes()
    return replace(
        net,
        sizes={name: v * args.drop_mult if name.endswith("_p") else v for name, v in net.sizes.items()},
        freeze_encoder=args.freeze_encoder,
        add_descriptors=args.add_descriptors,
        context_windows=args.context_windows or net.context_windows,
        dropout=args.dropout,
    ), vocab


def _vocab_of_excerpts(args, table, encoding):
    """Return the vocabulary of the excerpts that are learned from."""
    from clara.encodings.vocab import Vocab

    texts = table["tokens"][table["split"] == args.split]
    return Vocab.from_encoding(encoding, [token for tokens in texts for token in tokens])


def _check_start(folder, start, settings):
    """Raise BadSetting if a text member's training cannot continue with these settings."""
    from clara.errors import BadSetting

    fine_tuned = start.type == "text" and not start.net_settings["freeze_encoder"]
    same_classes = start.settings.classes == settings.classes
    same_encoding = start.settings.encoding.settings == settings.encoding.settings
    if not (fine_tuned and same_classes and same_encoding):
        raise BadSetting(
            f"{folder}: training can only continue from a fine-tuned text member of the same encoding and classes; "
            "use --member piano_roll for a piano-roll member"
        )


def _train(job):
    """Return the trained member, and its figures by cross-validation; these are empty without folds."""
    from critic.members import MEMBERS

    if job.folds > 1:
        from critic.training.cross_validation import train_with_folds

        member, figures = train_with_folds(job.table, job.settings, job.net, job.training, folds=job.folds)
        return member, {"cross-validation": figures}
    options = {}
    if job.net:
        options["net"] = job.net
    elif job.start:
        options["start"] = job.start
    if not job.args.freeze_encoder:
        options["on_improvement"] = job.keep
    return MEMBERS[job.args.member].train(job.table, job.settings, job.training, **options), {}


if __name__ == "__main__":
    cli.run(main)
