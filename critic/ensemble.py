"""Combine members into one critic or composer classifier.

Usage: python -m critic.ensemble MEMBER MEMBER… --excerpts EXCERPTS --out FOLDER

Members are folders that `critic.train` wrote, with the same encoding, classes and windows. The ensemble sums their
log-probabilities by weight. The weights are those with the lowest loss on the valid excerpts, and none is negative, so
the sum is calibrated. With --equal-weights all members have equal weight, so the most confident one dominates. A member
of a critic gives no window more log-odds for human than the median human window has. With --add-to CRITIC the members
are added to those of an earlier round, which keep their weights, limits and calibration (see `critic.data.searched`);
the new ones give no window more than 1. A member that shares the encoder of a model continues to share it. Members
that make different errors are steadier together.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clara import cli

if TYPE_CHECKING:  # heavy imports wait for --help
    from critic.calibration import LengthCalibration
    from critic.members.base import Member
    from critic.members.ensemble import Ensemble

EXAMPLES = """
python -m critic.ensemble runs/text runs/piano-roll runs/descriptors --excerpts runs/excerpts --out runs/critic
"""
WEIGHT_DIGITS = 4
MAX_LATER_LOG_ODDS = 1.0  # of a member of a later round: it has met only what a search finds
CALIBRATED_QUARTERS = (8, 12, 16, 24, 32, 48, 64)  # lengths of beginnings that a critic is calibrated with


def fit_ensemble(
    members: Sequence["Member"],
    table,
    split: str = "valid",
    *,
    equal_weights: bool = False,
    min_weight: float = 0.0,
    add_to: "Ensemble | None" = None,
) -> "Ensemble":
    """Combine members with the weights that have the lowest loss, each class counting alike.

    Parameters
    ----------
    members : sequence of Member
        Members that read text come first.
    table : DataFrame
        From `critic.data.table.read_excerpts`.
    split : str
        Split of the table to fit the weights on.
    equal_weights : bool
        Whether all members have the same weight.
    min_weight : float
        Smallest weight of a member.
    add_to : Ensemble, optional
        Critic of an earlier round; the members are added to its own.

    Raises
    ------
    BadSetting
        If the members differ in their encoding, classes or windows.
    """
    from critic.members.ensemble import Ensemble, limit_log_odds

    settings = Ensemble([(member, 1.0) for member in members]).settings  # raises before anything is read
    table = table[table["split"] == split].reset_index(drop=True)
    by_piece = [member.window_log_probs(table["tokens"].tolist()) for member in members]
    n_windows = [len(windows) for windows in by_piece[0]]
    labels = np.repeat([settings.classes.index(label) for label in table["label"]], n_windows)
    by_window = [np.concatenate(log_probs).astype(np.float64) for log_probs in by_piece]
    limits = [_median_human_log_odds(log_probs, labels, settings) for log_probs in by_window]
    stacked = np.stack([limit_log_odds(*of_member, settings) for of_member in zip(by_window, limits)])
    if equal_weights:
        weights = np.repeat(fit_weights(stacked.sum(0, keepdims=True), labels, 1 / len(members)), len(members))
    else:
        weights = fit_weights(stacked, labels, max(min_weight, 1 / len(members)), min_weight)
    ensemble = Ensemble([(member, round(float(weight), WEIGHT_DIGITS)) for member, weight in zip(members, weights)])
    if add_to is not None:
        both = add_to.members + ensemble.members
        later_limits = [min(limit, MAX_LATER_LOG_ODDS) for limit in limits]
        return Ensemble(both, calibration=add_to.calibration, max_log_odds=add_to.max_log_odds + later_limits)
    if not settings.is_critic:
        return ensemble
    calibration = calibrate(Ensemble(ensemble.members, max_log_odds=limits), table)
    return Ensemble(ensemble.members, calibration=calibration, max_log_odds=limits)


def _median_human_log_odds(log_probs, labels, settings):
    """Return the median log-odds for human of human windows; infinity for a composer classifier."""
    from critic.data.table import GENERATED, HUMAN

    if not settings.is_critic:
        return np.inf
    human, generated = settings.classes.index(HUMAN), settings.classes.index(GENERATED)
    return round(float(np.median((log_probs[:, human] - log_probs[:, generated])[labels == human])), WEIGHT_DIGITS)


def calibrate(ensemble: "Ensemble", table) -> "LengthCalibration":
    """Return the calibration of a critic, fitted on beginnings of excerpts of several lengths.

    Parameters
    ----------
    ensemble : Ensemble
    table : DataFrame
        From `critic.data.table.read_excerpts`.
    """
    from clara.music.notes import crop
    from critic.calibration import fit_calibration
    from critic.classifier import Critic
    from critic.data.table import HUMAN

    settings, critic = ensemble.settings, Critic(ensemble)
    excerpts = [settings.encoding.decode(tokens)[0] for tokens in table["tokens"]]
    is_human = table["label"].to_numpy() == HUMAN
    means, quarters, human = [], [], []
    longest = max(notes.quarters for notes in excerpts)
    for length in (length for length in CALIBRATED_QUARTERS if length <= np.ceil(longest)):
        texts = critic.read([crop(notes, 0, length * notes.steps_per_quarter) for notes in excerpts])
        n_steps = np.array([text.n_steps for text in texts])
        rows = np.flatnonzero(n_steps >= settings.min_quarters * settings.encoding.steps_per_quarter)
        means += [windows.mean() for windows in critic.window_log_odds([texts[row] for row in rows])]
        quarters.append(n_steps[rows] / settings.encoding.steps_per_quarter)
        human.append(is_human[rows])
    return fit_calibration(np.array(means), np.concatenate(quarters), np.concatenate(human))


def fit_weights(log_probs: np.ndarray, labels: np.ndarray, start: float, min_weight: float = 0.0) -> np.ndarray:
    """Return the weights of log-probabilities whose normalized sum has the lowest cross-entropy.

    Parameters
    ----------
    log_probs : float64 array (n_members, n_windows, n_classes)
    labels : int array (n_windows,)
    start : float
        Weight that the search starts from.
    min_weight : float

    Returns
    -------
    float array (n_members,)
    """
    from scipy.optimize import minimize

    rows = np.arange(len(labels))
    counts = np.bincount(labels, minlength=log_probs.shape[2])
    row_weight = (1 / counts.clip(1))[labels] / len(np.unique(labels))  # each class counts alike

    def loss_and_gradient(weights):
        logits = np.tensordot(weights, log_probs, 1)
        normalized = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        expected = (np.exp(normalized)[None] * log_probs).sum(2)
        gradient = -((log_probs[:, rows, labels] - expected) * row_weight).sum(1)
        return -(row_weight * normalized[rows, labels]).sum(), gradient

    n_members = len(log_probs)
    return minimize(
        loss_and_gradient,
        np.full(n_members, start),
        jac=True,
        method="L-BFGS-B",
        bounds=[(min_weight, None)] * n_members,
    ).x


def parser() -> cli.Parser:
    """Return the parser of the command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music(
        "members",
        nargs="+",
        metavar="MEMBER",
        help="Folders that critic.train wrote; members that read text come first.",
    )
    music(
        "--excerpts",
        required=True,
        metavar="EXCERPTS",
        help="Folder that critic.excerpts wrote; the weights are fitted on its valid split.",
    )
    music(
        "--max-excerpts",
        type=cli.at_least(2),
        metavar="N",
        help="Largest number of excerpts of a split to fit and evaluate on (default: all).",
    )
    weights = p.add_argument_group("weights").add_mutually_exclusive_group().add_argument
    weights("--equal-weights", action="store_true", help="Give all members the same weight.")
    weights("--min-weight", type=cli.at_least(0, float), default=0.0, metavar="X", help="Smallest weight of a member.")
    p.add_argument_group("rounds").add_argument(
        "--add-to",
        metavar="CRITIC",
        help="Critic of an earlier round; the members are added to its own, which keep their weights.",
    )
    run = p.add_argument_group("run").add_argument
    run("--out", required=True, metavar="FOLDER", help="Folder to write; it must be new or empty.")
    run("--threads", type=cli.at_least(1), default=1, metavar="N", help="Number of CPU threads.")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    args = parser().parse_args(argv)
    with cli.show_status("loading"):
        import torch  # heavy imports wait for --help

        from critic.evaluation import evaluate
    from clara.checkpoints.checkpoint import versions
    from clara.files import make_empty_folder, write_atomically
    from clara.training.model_cards import CARD
    from critic.classifier import make_classifier
    from critic.data.table import excerpts_origin, read_excerpts
    from critic.training.model_cards import classifier_card

    start = time.perf_counter()
    torch.set_num_threads(args.threads)
    table, excerpts_info = read_excerpts(args.excerpts)
    if args.max_excerpts:
        table = table.sample(frac=1, random_state=0).groupby("split", sort=False).head(args.max_excerpts)
    members = [_load_member(folder) for folder in args.members]
    out = make_empty_folder(args.out)
    add_to = _load_ensemble(args.add_to) if args.add_to else None
    ensemble = fit_ensemble(members, table, equal_weights=args.equal_weights, min_weight=args.min_weight, add_to=add_to)
    classifier = make_classifier(ensemble)
    ensemble.info = {
        "training": {
            "arguments": vars(args),
            "command": " ".join(["python", "-m", "critic.ensemble", *map(str, sys.argv[1:])]),
            "excerpts": excerpts_origin(excerpts_info),
            "date": time.strftime("%Y-%m-%d"),
            "minutes": round((time.perf_counter() - start) / 60, 1),
        },
        "versions": versions(),
        "figures": {split: evaluate(classifier, table, split) for split in ("valid", "test")},
    }
    classifier.save(out)
    write_atomically(Path(out) / CARD, classifier_card(classifier))
    print(f"{out}: " + ", ".join(f"{weight:g} {member.type}" for member, weight in ensemble.members))
    print(format_figures(ensemble.info["figures"]))
    return 0


def _load_ensemble(folder):
    """Load an ensemble; raise BadSetting for a single member or a composer classifier."""
    from clara.errors import BadSetting
    from critic.classifier import load_classifier
    from critic.members.ensemble import Ensemble

    model = load_classifier(folder).model
    if not isinstance(model, Ensemble) or not model.settings.is_critic:
        raise BadSetting(f"{folder}: no critic of several members, and only to such a critic members can be added")
    return model


def _load_member(folder):
    """Load a single member; raise BadSetting for an ensemble."""
    from clara.errors import BadSetting
    from critic.classifier import load_classifier
    from critic.members.base import Member

    model = load_classifier(folder).model
    if not isinstance(model, Member):
        raise BadSetting(f"{folder}: an ensemble, and only single members can be combined; name its member folders")
    return model


def format_figures(figures: dict[str, dict[str, float]]) -> str:
    """Return the figures of each split on one line."""
    return "; ".join(
        f"{split} " + ", ".join(f"{name} {value:.3f}" for name, value in by_name.items())
        for split, by_name in figures.items()
    )


if __name__ == "__main__":
    cli.run(main)
