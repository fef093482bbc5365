"""A run of `critic.train`: what its flags ask for, the training, and the folder that it leaves."""

import sys
import time
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clara.checkpoints.checkpoint import Checkpoint, versions
from clara.checkpoints.shipped_models import find_model, is_shipped
from clara.encodings import make_encoding
from clara.encodings.vocab import Vocab
from clara.errors import BadSetting
from clara.files import write_atomically
from clara.models import get_architecture
from clara.training.model_cards import CARD
from critic.classifier import load_classifier, make_classifier
from critic.data.table import HUMAN, excerpts_origin
from critic.evaluation import evaluate
from critic.members import MEMBERS
from critic.members.base import ClassifierSettings, Member
from critic.members.ensemble import Ensemble
from critic.members.text import TextMember, TextNetSettings
from critic.training.cross_validation import FOLDS, train_with_folds
from critic.training.model_cards import classifier_card
from critic.training.settings import TrainSettings

WINDOW_QUARTERS = 8.0  # of a critic; a composer classifier classifies whole excerpts
SIZE_FLAGS = ("emb_sz", "n_hid", "n_layers")


@dataclass(frozen=True)
class TrainingJob:
    """A training run.

    Attributes
    ----------
    args : argparse.Namespace
        The flags of `critic.train`.
    table : DataFrame
        The excerpts.
    excerpts_info : dict
        How they were made.
    settings : ClassifierSettings
    training : TrainSettings
    start : Member, optional
        To continue from.
    net : TextNetSettings, optional
        Of a text member.
    folds : int
        1 for no cross-validation.
    started : float
        Time of the start.
    """

    args: Namespace
    table: Any
    excerpts_info: dict
    settings: ClassifierSettings
    training: TrainSettings
    start: Member | Ensemble | None
    net: TextNetSettings | None
    folds: int
    started: float

    @classmethod
    def from_args(cls, args: Namespace, table, excerpts_info: dict) -> "TrainingJob":
        """Plan a run.

        Parameters
        ----------
        args : argparse.Namespace
            The flags of `critic.train`.
        table, excerpts_info
            From `critic.data.table.read_excerpts`.

        Raises
        ------
        BadSetting, MissingModel, CheckpointMismatch
            If something does not fit.
        """
        started = time.perf_counter()
        if args.share_encoder and not is_shipped(args.pretrained):
            raise BadSetting("--share-encoder needs --pretrained with the name of a shipped model; leave it out")
        encoding = make_encoding(excerpts_info["encoding"])
        classes = tuple(sorted(set(table["label"])))
        start = load_classifier(args.start).model if args.start else None
        if start and args.member == "text":
            _check_text_start(args.start, start, encoding, classes)
        net, vocab = _choose_net(args, table, encoding, start)
        window_quarters = args.window_quarters or _default_window(classes, excerpts_info, start)
        folds = _choose_folds(args, is_critic=HUMAN in classes)
        return cls(
            args,
            table,
            excerpts_info,
            ClassifierSettings(encoding, vocab, classes, window_quarters),
            _train_settings(args, excerpts_info),
            start,
            net,
            folds,
            started,
        )

    def run(self) -> dict[str, dict[str, float]]:
        """Train the member, evaluate it and write its folder; return the figures of each split."""
        member, figures = self._train()
        classifier = make_classifier(member)
        for split in ("valid", "test"):
            if split == "test" or not figures:
                figures[split] = evaluate(classifier, self.table, split)
        self.save(member, figures)
        write_atomically(Path(self.args.out) / CARD, classifier_card(classifier))
        return figures

    def _train(self):
        """Return the trained member, and its figures by cross-validation; these are empty without folds."""
        if self.folds > 1 and self.net:
            member, figures = train_with_folds(self.table, self.settings, self.net, self.training, folds=self.folds)
            return member, {"cross-validation": figures}
        options = {}
        if self.net:
            options["net"] = self.net
        elif self.start:
            options["start"] = self.start
        if not self.args.freeze_encoder:
            options["on_improvement"] = self.save
        return MEMBERS[self.args.member].train(self.table, self.settings, self.training, **options), {}

    def save(self, member: Member, figures: dict | None = None) -> None:
        """Write a member and how it was made, with its figures once training is done."""
        info = {
            "arguments": vars(self.args),
            "command": " ".join(["python", "-m", "critic.train", *map(str, sys.argv[1:])]),
            "excerpts": excerpts_origin(self.excerpts_info),
            "date": time.strftime("%Y-%m-%d"),
            "minutes": round((time.perf_counter() - self.started) / 60, 1),
        }
        if self.start:
            info["before"] = self.start.info["training"]
        member.info = {"training": info, "versions": versions()}
        if figures is not None:
            member.info["figures"] = figures
        if isinstance(member, TextMember) and self.args.share_encoder:
            member.encoder_folder = find_model(self.args.pretrained)
        member.save(self.args.out)


def _train_settings(args, excerpts_info):
    """Return the TrainSettings of a member with what the flags change."""
    kind = MEMBERS[args.member]
    defaults = kind.HEAD_TRAINING if args.freeze_encoder else kind.TRAINING
    given = {name: getattr(args, name) for name in ("epochs", "lr", "bs") if getattr(args, name)}
    return replace(
        defaults,
        **given,
        segment_quarters=excerpts_info["quarters"],
        split=args.split,
        seed=args.seed,
        device=args.device,
    )


def _default_window(classes, excerpts_info, start):
    """Return the length of a window in quarters if no flag gives it."""
    if start:
        return start.settings.window_quarters
    return WINDOW_QUARTERS if HUMAN in classes else excerpts_info["quarters"]


def _choose_folds(args, is_critic):
    """Return the number of folds; raise BadSetting if there can be none."""
    possible = args.freeze_encoder and args.split == "train" and not is_critic
    if args.folds and args.folds > 1 and not possible:
        raise BadSetting("--folds is for composers and --split train; otherwise the valid split decides")
    return (args.folds or FOLDS) if possible else 1


def _choose_net(args, table, encoding, start):
    """Return the TextNetSettings, or None for other members, and the vocabulary."""
    if args.member != "text":
        return None, _vocab_of_excerpts(args, table, encoding)
    if args.pretrained:
        model = Checkpoint.load(find_model(args.pretrained))
        vocab = model.vocab
        sizes = dict(get_architecture(model.arch).DEFAULTS) | model.sizes
        net = TextNetSettings(model.arch, sizes, {name: v.float() for name, v in model.tensors.items()})
    elif start:
        vocab = start.settings.vocab
        net = TextNetSettings.from_member(start)
    else:
        vocab = _vocab_of_excerpts(args, table, encoding)
        sizes = {name: getattr(args, name) for name in SIZE_FLAGS if getattr(args, name)}
        net = TextNetSettings(args.arch or TextNetSettings.arch, sizes).with_default_sizes()
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
    texts = table["tokens"][table["split"] == args.split]
    return Vocab.from_encoding(encoding, [token for tokens in texts for token in tokens])


def _check_text_start(folder, start, encoding, classes):
    """Raise BadSetting if training cannot continue from a member as a text member."""
    fine_tuned = isinstance(start, TextMember) and not start.net_settings["freeze_encoder"]
    same_encoding = start.settings.encoding.settings == encoding.settings
    if not (fine_tuned and same_encoding and start.settings.classes == classes):
        raise BadSetting(
            f"{folder}: training can only continue from a fine-tuned text member of the same encoding and classes; "
            "use --member piano_roll for a piano-roll member"
        )
