"""Load a critic or a composer classifier and score music with it.

A classifier is an ensemble or a single member (`critic.members`). Its folder holds `config.json`, and for an ensemble
one folder for each member.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from clara.checkpoints.shipped_models import find_model
from clara.encodings.vocab import Vocab
from clara.errors import BadMusicFile, CheckpointMismatch, NoNotes, TooLong, TooShort, UnknownToken
from critic.calibration import NO_CALIBRATION
from critic.data.table import GENERATED, HUMAN
from critic.members import MEMBERS
from critic.members.base import Member
from critic.members.ensemble import Ensemble, normalize_log_probs
from critic.members.storage import load_folder
from critic.nets.inputs import Text, read_piece

TYPES = MEMBERS | {Ensemble.type: Ensemble}
UNSCORABLE = BadMusicFile, NoNotes, TooLong, TooShort, UnknownToken  # errors that concern a single piece


class Classifier:
    """Assign probabilities of classes to music.

    Parameters
    ----------
    model : Member or Ensemble
    """

    shipped_prefix: ClassVar[str]  #: the shipped classifiers are named with it, such as critic-notewise

    def __init__(self, model: Member | Ensemble):
        self.model = model

    @property
    def encoding(self):
        """Return the encoding that it reads."""
        return self.model.settings.encoding

    @property
    def vocab(self) -> Vocab:
        """Return the vocabulary of its text."""
        return self.model.settings.vocab

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the columns of its log-probabilities."""
        return self.model.settings.classes

    @property
    def window_quarters(self) -> float:
        """Return the length of a window."""
        return self.model.settings.window_quarters

    @property
    def info(self) -> dict:
        """Return how it was made: `training`, `versions` and `figures`."""
        return self.model.info

    @property
    def members(self) -> list[tuple[Member, float]]:
        """Return each member with its weight; a single member has weight 1."""
        return self.model.members

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load a folder.

        Raises
        ------
        CheckpointMismatch
            If something is missing or broken, if parts do not match, or if it is another kind of classifier.
        """
        classifier = cls(load_folder(Path(folder), TYPES))
        classifier._check_classes(folder)
        return classifier

    @classmethod
    def from_pretrained(cls, name: str = "notewise") -> Self:
        """Load a classifier that comes with Clara.

        Parameters
        ----------
        name : str
            An encoding, ``"notewise"`` or ``"chordwise"``.

        Raises
        ------
        MissingModel
            If there is none of this name.
        """
        return cls.load(find_model(f"{cls.shipped_prefix}-{name}"))

    def _check_classes(self, folder):
        """Raise CheckpointMismatch if this is another kind of classifier."""

    def remembering(self) -> Self:
        """Return this classifier with a memory, which makes scoring pieces faster that grow between the calls.

        It returns the same numbers, and reads of a piece that begins as an earlier one only what is new.
        """
        return type(self)(self.model.remembering())

    def read(self, pieces: Sequence) -> list[Text]:
        """Return pieces as the classifier reads them; `window_log_probs` takes these, too.

        Parameters and errors as in `window_log_probs`; pieces may be short.
        """
        return [read_piece(piece, self.encoding, self.vocab) for piece in pieces]

    def save(self, folder: str | Path) -> None:
        """Write a folder, weights in half precision.

        Raises
        ------
        CannotWrite
        """
        self.model.save(folder)

    def window_log_probs(self, pieces: Sequence) -> list[np.ndarray]:
        """Return the log-probabilities of each window of each piece.

        Parameters
        ----------
        pieces : sequence of n pieces
            Each a Sample (only its composed part is scored), a NoteSequence, a list of tokens, the path of a MIDI file,
            score or text, or a Text from `read`.

        Returns
        -------
        list of n float32 arrays (n_windows, n_classes)

        Raises
        ------
        TooShort, BadMusicFile, NoNotes, UnknownToken
            If a piece is shorter than a window, is silent, or cannot be read.
        """
        texts = self.read(pieces)
        for i, text in enumerate(texts):
            self._check_length(text, i)
        return self.model.window_log_probs(texts)

    def log_probs(self, pieces: Sequence) -> np.ndarray:
        """Return the log-probabilities of each piece, float32 (n, n_classes): the normalized mean over its windows.

        Parameters and errors as in `window_log_probs`.
        """
        if not len(pieces):
            return np.zeros((0, len(self.classes)), dtype=np.float32)
        return normalize_log_probs(np.stack([windows.mean(0) for windows in self.window_log_probs(pieces)]))

    def _check_length(self, text, i):
        """Raise TooShort if a piece is too short to be scored."""
        quarters = text.n_steps / self.encoding.steps_per_quarter
        min_quarters = self.model.settings.min_quarters
        if quarters < min_quarters:
            name = text.piece if isinstance(text.piece, (str, Path)) else f"piece {i + 1}"
            raise TooShort(
                f"{name}: {quarters:g} quarters long, and a piece must have at least {min_quarters:g} to be scored"
            )


class Critic(Classifier):
    """Distinguish human music from generated music.

    Examples
    --------
    >>> from critic import Critic
    >>> critic = Critic.from_pretrained("notewise")
    >>> [log_odds] = critic.score(["music21:bach/bwv66.6"])
    >>> bool(log_odds > 0)
    True
    """

    shipped_prefix = "critic"

    def score(self, pieces: Sequence) -> np.ndarray:
        """Return the log-odds that each piece is human, float32 (n,); higher is better.

        The mean over the windows of a piece, calibrated by its length (`critic.calibration`).

        Parameters and errors as in `window_log_probs`.
        """
        texts = self.read(pieces)
        means = [windows.mean() for windows in self.window_log_odds(texts)]
        quarters = [text.n_steps / self.encoding.steps_per_quarter for text in texts]
        return getattr(self.model, "calibration", NO_CALIBRATION).log_odds(means, quarters)

    def window_log_odds(self, pieces: Sequence) -> list[np.ndarray]:
        """Return the log-odds of each window of each piece, a list of n float32 arrays (n_windows,)."""
        human, generated = self.classes.index(HUMAN), self.classes.index(GENERATED)
        return [log_probs[:, human] - log_probs[:, generated] for log_probs in self.window_log_probs(pieces)]

    def rank(self, pieces: Sequence) -> list:
        """Return the pieces, the most human first.

        Pieces that cannot be scored, because they are silent or too short, come last. `critic.rank` ranks by other
        scores as well.

        Parameters
        ----------
        pieces : sequence
            As in `window_log_probs`.
        """
        try:
            scores = self.score(pieces)
        except UNSCORABLE:
            scores = np.array([self._score_or_worst(piece) for piece in pieces])
        return [pieces[i] for i in np.argsort(-scores, kind="stable")]

    def _score_or_worst(self, piece):
        """Return the score of a piece, minus infinity if it cannot be scored."""
        try:
            return float(self.score([piece])[0])
        except UNSCORABLE:
            return -np.inf

    def _check_classes(self, folder):
        if set(self.classes) != {HUMAN, GENERATED}:
            raise CheckpointMismatch(f"{folder}: its classes are {', '.join(self.classes)}, not human and generated")


class ComposerClassifier(Classifier):
    """Estimate who composed a piece."""

    shipped_prefix = "composer"

    def predict(self, pieces: Sequence) -> list[str]:
        """Return the most probable composer of each piece; parameters and errors as in `window_log_probs`."""
        return [self.classes[i] for i in self.log_probs(pieces).argmax(1)]

    def _check_classes(self, folder):
        if HUMAN in self.classes:
            raise CheckpointMismatch(f"{folder}: a critic, which knows no composers")


def make_classifier(model: Member | Ensemble) -> Critic | ComposerClassifier:
    """Return a model as a Critic or a ComposerClassifier, by its classes."""
    return Critic(model) if model.settings.is_critic else ComposerClassifier(model)


def load_classifier(folder: str | Path) -> Critic | ComposerClassifier:
    """Load a folder as a Critic or a ComposerClassifier, by its classes; errors as `Classifier.load`."""
    return make_classifier(load_folder(Path(folder), TYPES))
