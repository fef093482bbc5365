"""Train a member of a critic or of a composer classifier.

Usage: python -m critic.train EXCERPTS --out FOLDER

Excerpts by human and generator make a critic, excerpts by composer a composer classifier. --member selects what is
trained: the text member fine-tunes the encoder of a language model with a new head, or trains heads alone with
--freeze-encoder, in a tenth of the time; the others are trained from scratch. Composer classifiers on a frozen encoder
are trained with cross-validation. --start continues the training of a member, for example on excerpts of a newer
generator. Except with --freeze-encoder, the folder holds the best epoch so far as soon as there is one. Members are
combined with critic.ensemble.
"""

from clara import cli

EXAMPLES = """
python -m critic.train runs/excerpts --pretrained runs/mine --freeze-encoder --out runs/text
python -m critic.train runs/excerpts --member piano_roll --out runs/piano-roll
python -m critic.train runs/excerpts --member descriptors --out runs/descriptors
python -m critic.train runs/excerpts --member self_similarity --out runs/self-similarity
python -m critic.train runs/newer --start runs/text --epochs 2 --lr 1e-3 --out runs/text-2  # continue on other excerpts
python -m critic.train runs/excerpts --from-scratch --arch wavenet --split judge --out runs/judge  # a second opinion
python -m critic.train runs/composers --pretrained runs/mine --freeze-encoder --add-descriptors --out runs/composer
"""
MEMBER_TYPES = ("text", "piano_roll", "descriptors", "boosted_trees", "self_similarity")
ARCHITECTURE_NAMES = ("awd_lstm", "lstm", "wavenet")
SIZE_FLAGS = ("emb_sz", "n_hid", "n_layers")


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
        help="Random seed; it decides weights, order, transposition and dropout.",
    )
    run(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="Device to compute on; auto, cpu, cuda or cuda:1. Descriptors and heads are always trained on the CPU.",
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
    add(
        "--pretrained",
        metavar="MODEL",
        help="Run folder or shipped model to start from; a text member takes its encoder.",
    )
    add("--from-scratch", action="store_true", help="Start from random weights; for a text member.")
    add(
        "--start",
        metavar="FOLDER",
        help="Member whose training continues; a text member with a frozen encoder cannot continue.",
    )
    add(
        "--arch",
        choices=ARCHITECTURE_NAMES,
        help="Architecture (of a text member from scratch; default: awd_lstm).",
    )
    for flag, meaning in (
        ("--emb-sz", "Width of the embedding"),
        ("--n-hid", "Number of LSTM units"),
        ("--n-layers", "Number of LSTM layers"),
    ):
        add(
            flag,
            type=cli.at_least(1),
            metavar="N",
            help=f"{meaning} (of a text member from scratch; default: 256/512/2. For wavenet: embedding, channels "
            "and convolutions, default 128/128/10).",
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
        help="Refer to the frozen encoder of a shipped model by its name, and do not store its weights again.",
    )
    add(
        "--folds",
        type=cli.at_least(1),
        metavar="N",
        help="Folds of the cross-validation for composers on a frozen encoder; with 1, the valid split decides "
        "(default: 5).",
    )
    add("--dropout", type=cli.within(0, 0.9), default=0.3, metavar="P", help="Dropout of a fine-tuned member's head.")
    add(
        "--drop-mult",
        type=cli.within(0, 3),
        default=0.3,
        metavar="X",
        help="Factor for all dropouts; of a fine-tuned encoder.",
    )


def _add_training_flags(add):
    """Add the flags of the training loop."""
    add(
        "--epochs",
        type=cli.at_least(1),
        metavar="N",
        help="Number of passes over the music (default: 4; 8 for piano_roll and self_similarity, 15 for descriptors "
        "and for heads on a frozen encoder). Of boosted_trees the number of trees (default: 600).",
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
        help="Batch size (in excerpts, default: 32; 64 for piano_roll and self_similarity, 512 for descriptors; 512 "
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

        from clara.files import make_empty_folder
        from critic.data.table import read_excerpts
        from critic.ensemble import format_figures
        from critic.training.job import TrainingJob

    torch.set_num_threads(args.threads)
    job = TrainingJob.from_args(args, *read_excerpts(args.excerpts))
    make_empty_folder(args.out)
    print(f"{args.out}: {format_figures(job.run())}")
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
        "--emb-sz, --n-hid and --n-layers need --from-scratch": any(getattr(args, name) for name in SIZE_FLAGS)
        and not args.from_scratch,
    }
    return next((message for message, holds in conflicts.items() if holds), None)


if __name__ == "__main__":
    cli.run(main)
