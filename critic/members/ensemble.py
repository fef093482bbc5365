"""The weighted sum of several members."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from clara.checkpoints.checkpoint import CONFIG
from clara.errors import BadSetting, CheckpointMismatch
from clara.files import make_folder, path_inside
from clara.records import read_record
from critic.calibration import NO_CALIBRATION, LengthCalibration
from critic.data.table import GENERATED, HUMAN
from critic.members import MEMBERS
from critic.members.base import ClassifierSettings, Member, score_members
from critic.members.storage import EnsembleConfig, load_folder, write_config
from critic.nets.inputs import Text


class Ensemble:
    """Members whose log-probabilities are summed by weight and normalized.

    Parameters
    ----------
    members : list of (Member, float)
        Each with its weight; members that read text come first.
    info : dict, optional
        `training`, `versions` and `figures`.
    calibration : LengthCalibration, optional
        Of a critic.
    max_log_odds : sequence of float, optional
        Of a critic: the highest log-odds for human that each member may give a window (default: no limit). A member
        that met only music of a search takes what differs even more from it, such as noise, for more than human.

    Raises
    ------
    BadSetting
        If there are no members, or if they differ in their encoding, classes or windows.
    """

    type = "ensemble"

    def __init__(
        self,
        members: list[tuple[Member, float]],
        info: dict | None = None,
        calibration: LengthCalibration = NO_CALIBRATION,
        max_log_odds: Sequence[float] | None = None,
    ):
        if not members:
            raise BadSetting("an ensemble needs at least one member")
        self.members, self.info, self.calibration = list(members), info or {}, calibration
        self.max_log_odds = [np.inf] * len(self.members) if max_log_odds is None else list(max_log_odds)
        self.settings: ClassifierSettings = self.members[0][0].settings
        for member, _ in self.members:
            if not _match(member, self.settings):
                raise BadSetting(
                    "members that differ in their encoding, classes or windows cannot form an ensemble; "
                    "members that read text come first"
                )

    def remembering(self) -> "Ensemble":
        """Return this ensemble with members that remember what they have read; see `Member.remembering`."""
        members = [(member.remembering(), weight) for member, weight in self.members]
        return Ensemble(members, self.info, self.calibration, self.max_log_odds)

    def window_log_probs(self, texts: Sequence[Text | list[str]]) -> list[np.ndarray]:
        """Return the log-probabilities of each window; parameters as `Member.window_log_probs`."""
        results = score_members([member for member, _ in self.members], texts)
        weights = [np.float32(weight) for _, weight in self.members]
        combined = []
        for of_piece in zip(*results):
            total = np.zeros_like(of_piece[0])
            for weight, limit, log_probs in zip(weights, self.max_log_odds, of_piece):
                total += weight * limit_log_odds(log_probs, limit, self.settings)
            combined.append(normalize_log_probs(total))
        return combined

    def describe(self) -> str:
        """Return a phrase for the model card."""
        return "an ensemble: " + "; ".join(f"{weight:g} × {member.describe()}" for member, weight in self.members)

    def save(self, folder: str | Path) -> None:
        """Write `config.json` and a folder for each member.

        Raises
        ------
        CannotWrite
        """
        folder = make_folder(folder)
        entries = []
        for i, ((member, weight), limit) in enumerate(zip(self.members, self.max_log_odds), start=1):
            name = f"{i}-{member.type.replace('_', '-')}"
            member.save(folder / name)
            entries.append({"folder": name, "weight": weight})
            if limit < np.inf:
                entries[-1]["max_log_odds"] = limit
        config = {"type": self.type, **self.settings.to_config(), "members": entries}
        if self.calibration != NO_CALIBRATION:
            config["calibration"] = asdict(self.calibration)
        write_config(folder, config | self.info)

    @classmethod
    def load(cls, folder: Path) -> "Ensemble":
        """Read the folder of an ensemble."""
        config = read_record(folder / CONFIG, EnsembleConfig)
        members = [(load_folder(path_inside(folder, m.folder), MEMBERS), m.weight) for m in config.members]
        calibration = (
            LengthCalibration(**config.calibration.model_dump()) if config.calibration else LengthCalibration()
        )
        limits = [np.inf if m.max_log_odds is None else m.max_log_odds for m in config.members]
        ensemble = cls(members, config.info(), calibration, limits)
        if not _match(members[0][0], ClassifierSettings.from_config(config, ensemble.settings.vocab)):
            raise CheckpointMismatch(f"{folder / CONFIG}: another encoding, other classes or windows than its members")
        return ensemble


def _match(member, settings):
    """Return whether a member fits the settings of the first one."""
    own = member.settings
    same = (own.encoding.settings, own.classes, own.window_quarters) == (
        settings.encoding.settings,
        settings.classes,
        settings.window_quarters,
    )
    return same and (not member.reads_text or own.vocab == settings.vocab)


def limit_log_odds(log_probs: np.ndarray, limit: float, settings: ClassifierSettings) -> np.ndarray:
    """Return log-probabilities (n, 2) of a critic, not normalized, whose log-odds for human are at most a limit."""
    if limit == np.inf:
        return log_probs
    human, generated = settings.classes.index(HUMAN), settings.classes.index(GENERATED)
    limited = log_probs.copy()
    limited[:, human] = np.minimum(log_probs[:, human], log_probs[:, generated] + log_probs.dtype.type(limit))
    return limited


def normalize_log_probs(log_weights: np.ndarray) -> np.ndarray:
    """Scale logarithms of unnormalized probabilities (n, n_classes) to log-probabilities of the same type."""
    return log_weights - np.logaddexp.reduce(log_weights, axis=1, keepdims=True)
