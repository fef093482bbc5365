"""Train a critic for a model of your own.

Usage: python -m critic.build MODEL…

The critic learns to distinguish the music of a corpus from what the models compose; by default the corpus that the
first model was trained on. The command makes excerpts of both, trains each member, and combines them. Then the first
model composes with a search that this critic guides, and more members learn to distinguish the results from the corpus:
they find what the first ones overrate. The command prints how well the critic does on held-out works: the AUC is the
probability that a human excerpt scores higher than one that is not.

The critic of the model runs/mine is written to runs/mine-critic, where generate.py --model runs/mine finds it. Each
finished stage is kept in a work folder, so that the same command continues after an interruption. The work folder may
be deleted when the critic is finished.
"""

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clara import cli

if TYPE_CHECKING:  # heavy imports wait for --help
    from critic.build_time import WorkLoad

EXAMPLES = """
python -m critic.build runs/mine  # writes runs/mine-critic; then: clara compose --model runs/mine
python -m critic.build runs/mine --corpus data/mine --out runs/critic  # then: clara compose --critic runs/critic
python -m critic.build runs/small runs/large --out runs/both  # one critic for two models
python -m critic.build runs/mine --members descriptors text
"""
# Members that read text come first.
MEMBER_TYPES = ("text", "piano_roll", "descriptors", "boosted_trees", "self_similarity")
DEFAULT_MEMBERS = ("descriptors", "boosted_trees")
SEARCHED_SHARE = 1 / 6  # of the number of training excerpts: searched pieces to train on in each round
SPLITS = ("train", "valid", "test")
LONG_QUARTERS, SHORT_QUARTERS = 64, 32  # of an excerpt, if most pieces are long enough or not
SETTINGS_FILE = "build.json"


@dataclass(frozen=True)
class BuildSettings:
    """What a critic is made from. A work folder belongs to one set of these.

    Attributes
    ----------
    models : list of str
        Run folders or pretrained models that compose the generated excerpts.
    corpus : str
        Folder of a prepared corpus.
    members : list of str
        In MEMBER_TYPES.
    n_train : int
        Number of training excerpts of each class.
    quarters : int
        Length of an excerpt.
    epochs : int or None
        Passes over the excerpts; None for the default of each member.
    seed : int
        Random seed.
    rounds : int
        How often members are added that learned to recognize what a search with the critic so far finds.
    """

    models: list[str]
    corpus: str
    members: list[str]
    n_train: int = 3000
    quarters: int = LONG_QUARTERS
    epochs: int | None = None
    seed: int = 0
    rounds: int = 1

    @property
    def n_searched(self) -> int:
        """Number of searched pieces to train on in each round."""
        return max(1, round(SEARCHED_SHARE * self.n_train))


def build_critic(
    settings: BuildSettings,
    out: str | Path,
    work: str | Path,
    *,
    workers: int = 1,
    threads: int = 1,
    device: str = "auto",
) -> dict[str, dict[str, float]]:
    """Make excerpts, train the members and combine them; finished stages in the work folder are kept.

    Parameters
    ----------
    settings : BuildSettings
    out : path
        Folder of the critic, new or empty.
    work : path
        Folder for the excerpts and the members.
    workers : int
        Number of processes that compose.
    threads : int
        Number of CPU threads for training.
    device : str
        Device to train on: auto, cpu, cuda or cuda:1. Composing uses it as well if it is a GPU.

    Returns
    -------
    dict
        The AUC and the accuracy of the critic on the valid and test works.

    Raises
    ------
    BadSetting
        If the work folder was made with other settings, or if a setting does not fit.
    CannotWrite
        If `out` is not empty.
    """
    from clara.devices import choose_device
    from clara.files import make_empty_folder
    from critic import ensemble, excerpts, hard_negatives, train
    from critic.build_time import ENSEMBLE, EXCERPTS, RemainingTime, describe_seconds, estimate_stages, round_suffix
    from critic.classifier import Critic

    make_empty_folder(out)  # refuses a folder with content before any work is done
    folder = _open_work_folder(work, settings)
    device = str(choose_device(device)[0])
    on_device = ["--device", device]
    members = sorted(settings.members, key=MEMBER_TYPES.index)
    remaining = RemainingTime(estimate_stages(_work_load(settings, members, workers, threads)))
    print(f"{len(remaining.expected)} stages, {describe_seconds(remaining.seconds)} if none is kept")
    on_threads = ["--threads", str(threads)]
    critic = None
    for number in range(settings.rounds + 1):
        suffix, seed = round_suffix(number), ["--seed", str(settings.seed + number)]
        of_round = folder / f"{EXCERPTS}{suffix}"
        if critic is None:
            argv = [settings.corpus, "--models", *settings.models, "-n", str(settings.n_train), "--splits", *SPLITS]
            argv += ["--quarters", str(settings.quarters), "--workers", str(workers), *seed, *on_device]
            _run_stage(EXCERPTS, excerpts.main, of_round, argv, remaining)
        else:
            argv = [str(folder / EXCERPTS), "--model", settings.models[0], "--critic", str(critic)]
            argv += ["-n", str(settings.n_searched), *seed, "--workers", str(workers)]
            _run_stage(of_round.name, hard_negatives.main, of_round, argv, remaining)
        for member in members:
            argv = [str(of_round), "--member", member, *seed, *on_threads, *on_device]
            if member == "text":
                argv += ["--pretrained", settings.models[0], "--freeze-encoder"]
            if settings.epochs:
                argv += ["--epochs", str(settings.epochs)]
            _run_stage(f"{member}{suffix}", train.main, folder / f"{member}{suffix}", argv, remaining)
        argv = [*(str(folder / f"{member}{suffix}") for member in members), "--excerpts", str(of_round), *on_threads]
        if critic is not None:
            argv += ["--add-to", str(critic)]
        critic = Path(out) if number == settings.rounds else folder / f"{ENSEMBLE}{suffix}"
        _run_stage(f"{ENSEMBLE}{suffix}", ensemble.main, critic, argv, remaining)
    return Critic.load(out).info["figures"]


def _work_load(settings, members, workers, threads) -> "WorkLoad":
    """Return what the time depends on."""
    import numpy as np

    from critic.build_time import WorkLoad
    from critic.data.human_vs_generated import CONTINUATIONS_PER_PROMPT, CriticExcerptSettings
    from critic.excerpts import counts_of_splits
    from critic.hard_negatives import counts_of_splits as searched_counts
    from critic.members import MEMBERS
    from critic.members.text import TextMember
    from critic.trained_model import read_trained_model

    counts = counts_of_splits(settings.n_train, SPLITS)
    n_composed = CONTINUATIONS_PER_PROMPT * CriticExcerptSettings(counts).n_prompts
    trainings = {member: MEMBERS[member].TRAINING for member in members}
    if "text" in trainings:
        trainings["text"] = TextMember.HEAD_TRAINING
    return WorkLoad(
        n_composed,
        2 * (counts["train"] + counts["valid"]),
        2 * (counts["valid"] + counts["test"]),
        settings.quarters,
        float(np.mean([read_trained_model(model).n_parameters for model in settings.models])),
        {member: settings.epochs or training.epochs for member, training in trainings.items()},
        workers,
        threads,
        settings.rounds,
        sum(searched_counts(settings.n_searched).values()),
    )


def _open_work_folder(folder, settings):
    """Return the work folder; raises BadSetting if it holds excerpts that were made with other settings or weights."""
    from clara.checkpoints.checkpoint import weights_hash
    from clara.errors import BadSetting
    from clara.files import make_folder, write_atomically
    from critic.build_time import EXCERPTS
    from critic.data.table import SETTINGS_FILE as LAST_FILE

    folder = make_folder(folder)
    weights = [weights_hash(model) for model in settings.models]
    text = json.dumps(asdict(settings) | {"weights": weights}, indent=1) + "\n"
    record = folder / SETTINGS_FILE
    is_other = record.is_file() and record.read_text(encoding="utf-8") != text
    if is_other and (folder / EXCERPTS / LAST_FILE).is_file():
        raise BadSetting(
            f"{folder}: made with other settings or for other weights, see {SETTINGS_FILE}; delete the folder or "
            "choose another --work"
        )
    write_atomically(record, text)
    return folder


def _run_stage(stage, main, folder, argv, remaining):
    """Run the command of a stage, which writes a folder, unless the folder is complete."""
    from clara.training.model_cards import CARD
    from critic.build_time import describe_seconds
    from critic.data.table import SETTINGS_FILE as LAST_EXCERPTS_FILE

    if any((folder / last_file).is_file() for last_file in (LAST_EXCERPTS_FILE, CARD)):
        print(f"{folder}: kept")
        remaining.end(stage)
        return
    print(f"{folder}: {describe_seconds(remaining.seconds)} left until the critic is finished")
    shutil.rmtree(folder, ignore_errors=True)  # of a stage that was interrupted
    began = time.perf_counter()
    _run(main, [*argv, "--out", str(folder)])
    remaining.end(stage, time.perf_counter() - began)


def _run(main: Callable, argv: list[str]) -> None:
    """Run a command as if it had been typed, so that folders record the command of their own stage."""
    typed = sys.argv
    sys.argv = [main.__module__, *argv]
    try:
        main(argv)
    finally:
        sys.argv = typed


def parser() -> cli.Parser:
    """Return the parser of the command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music("models", nargs="+", metavar="MODEL", help="Run folders or pretrained models that the critic is for.")
    music(
        "--corpus",
        metavar="CORPUS",
        help="Folder that data_prep.prepare wrote, with human music (default: the one that the first model was trained "
        "on).",
    )
    music(
        "-n",
        dest="n_train",
        type=cli.at_least(8),
        default=3000,
        metavar="N",
        help="Number of training excerpts of each class.",
    )
    music(
        "--quarters",
        type=cli.at_least(8),
        metavar="X",
        help=f"Length of an excerpt, in quarters (default: {LONG_QUARTERS}, or {SHORT_QUARTERS} if most pieces are too "
        "short for that).",
    )
    training = p.add_argument_group("training").add_argument
    training(
        "--members",
        nargs="+",
        default=list(DEFAULT_MEMBERS),
        choices=MEMBER_TYPES,
        help=f"Members of the ensemble (default: {' '.join(DEFAULT_MEMBERS)}). text reads the text with the encoder of "
        "the first model.",
    )
    training(
        "--epochs",
        type=cli.at_least(1),
        metavar="N",
        help="Passes over the excerpts (default: 8; 15 for descriptors and text); of boosted_trees the number of trees "
        "(default: 600).",
    )
    training(
        "--rounds",
        type=cli.at_least(0),
        default=1,
        metavar="N",
        help="How often members are added that learned to recognize what a search with the critic so far finds.",
    )
    run = p.add_argument_group("run").add_argument
    run(
        "--out",
        metavar="FOLDER",
        help="Folder to write; it must be new or empty (default: MODEL-critic, where composing finds it).",
    )
    run("--work", metavar="FOLDER", help="Folder for excerpts and members (default: <out>-work).")
    run("--seed", type=cli.at_least(0), default=0, metavar="N", help="Random seed of excerpts and training.")
    run("--workers", type=cli.at_least(1), default=os.cpu_count() or 1, metavar="N", help="Number of worker processes.")
    run("--threads", type=cli.at_least(1), default=os.cpu_count() or 1, metavar="N", help="Number of CPU threads.")
    run("--device", default="auto", metavar="DEVICE", help="Device to compose and train on: auto, cpu, cuda or cuda:1.")
    cli.add_json_flag(run)
    return p


def default_quarters(corpus: str | Path) -> int:
    """Return the length of the excerpts of a corpus: the longer one if at least half of the pieces are long enough."""
    from clara.data.corpus import Corpus
    from critic.data.table import SEAM_QUARTERS

    is_long = Corpus.load(corpus).manifest["quarters"] >= SEAM_QUARTERS + LONG_QUARTERS
    return LONG_QUARTERS if is_long.mean() >= 0.5 else SHORT_QUARTERS


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    args = parser().parse_args(argv)
    from clara.checkpoints.shipped_models import find_model
    from critic.own_critic import own_critic_folder
    from critic.trained_model import corpus_of

    model = args.models[0]
    members = list(dict.fromkeys(args.members))
    corpus = args.corpus or corpus_of(model)
    quarters = args.quarters or default_quarters(corpus)
    settings = BuildSettings(args.models, corpus, members, args.n_train, quarters, args.epochs, args.seed, args.rounds)
    out = Path(args.out) if args.out else own_critic_folder(model)
    work = Path(args.work) if args.work else out.with_name(f"{out.name}-work")
    with cli.json_output(args.json) as answer:
        with contextlib.redirect_stdout(sys.stderr):
            figures = build_critic(settings, out, work, workers=args.workers, threads=args.threads, device=args.device)
        test = figures["test"]
        print(f"{out}: AUC {test['auc']:.3f}, accuracy {100 * test['accuracy']:.1f} % on held-out works")
        is_found = out.resolve() == own_critic_folder(find_model(model)).resolve()
        print(f"compose with it: clara compose --model {model}" + ("" if is_found else f" --critic {out}"))
        answer |= {"folder": out, "work": work, "members": settings.members, "figures": figures}
    return 0


if __name__ == "__main__":
    cli.run(main)
