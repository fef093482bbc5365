"""The scores that pieces are ranked by, and ranking expressions such as `critic + 0.5 novelty`.

====================  ==================================================================  ================
score                 value                                                               better
====================  ==================================================================  ================
critic                log-odds that a human wrote the piece                               higher
composer:NAME         log-probability that the composer is NAME                           higher
novelty               log-probability of "human" plus log of the normalized entropy of    higher
                      the composer classifier
likelihood            mean log-likelihood in nats per quarter under the generator         higher
longest_copied_run    number of notes in the longest run that also occurs in the          lower
                      training music, in any key
density_likelihood    log-likelihood in nats of the number of notes per quarter under     higher
                      human openings; 0 is the most likely
note_density          binary logarithm of the number of notes per quarter                 higher
rest_ratio            share of quarters in which nothing sounds                           lower
====================  ==================================================================  ================

To add a score, write a subclass of `Score` and add it to `SCORES`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from clara.checkpoints.shipped_models import find_model, shipped_models_folder
from clara.errors import BadSetting, NoNotes
from clara.form.extraction import extract_plan
from clara.music.signature_estimation import with_estimated_time_signature
from critic.classifier import ComposerClassifier, Critic
from critic.features import measures
from critic.nets.inputs import Text, tokenize_piece

ROOT = shipped_models_folder()
# One term of a ranking expression: an optional sign, an optional weight, and the name of a score.
TERM = re.compile(r"\s*([+-]?)\s*(\d+(?:\.\d+)?(?:e-?\d+)?)?\s*\*?\s*([a-z]+(?:[:_-][a-z]+)*)\s*")
# Binary logarithm of notes per quarter in the first 64 quarters of 1,013 piano works (Mutopia and piano-midi.de).
# The median is 4.6 notes; 5 % have fewer than 2.0, 5 % more than 9.1.
HUMAN_LOG_DENSITY_MEAN = 2.15
HUMAN_LOG_DENSITY_STD = 0.69
MIN_ENTROPY = 1e-6  # keeps the logarithm of the novelty score finite


class ScoringModels:
    """The models and the note index that the scores share, each loaded on first use.

    The classifiers remember what they have read, since a search scores texts again and again while they grow.

    Parameters
    ----------
    encoding : str
        Name of an encoding for which classifiers exist: notewise or chordwise.
    folder : path
        Folder that holds `critic-ENCODING`, `composer-ENCODING` and the generator `ENCODING`.
    critic_folder : path, optional
        Folder or name of another critic (default: the one in `folder`).
    composer_folder : path, optional
        Folder or name of another composer classifier (default: the one in `folder`).

    Raises
    ------
    MissingModel
        On first use of a model that does not exist.
    """

    def __init__(
        self,
        encoding: str = "notewise",
        folder: str | Path = ROOT,
        critic_folder: str | Path | None = None,
        composer_folder: str | Path | None = None,
    ) -> None:
        self.encoding = encoding
        self.folder = Path(folder)
        self.critic_folder = Path(critic_folder) if critic_folder else self.folder / f"critic-{encoding}"
        self.composer_folder = Path(composer_folder) if composer_folder else self.folder / f"composer-{encoding}"
        self._pieces: list = []  # of the last call of `read`
        self._texts: list[Text] = []

    @cached_property
    def critic(self):
        """Load the critic."""
        return Critic.load(find_model(self.critic_folder)).remembering()

    @cached_property
    def composer_classifier(self):
        """Load the composer classifier."""
        return ComposerClassifier.load(find_model(self.composer_folder)).remembering()

    def read(self, pieces: Sequence) -> list[Text]:
        """Return pieces as the critic reads them; several scores of the same pieces read them once.

        Raises
        ------
        BadMusicFile, NoNotes, UnknownToken
        """
        before = self._pieces
        if len(before) != len(pieces) or any(a is not b for a, b in zip(before, pieces)):
            self._texts = self.critic.read(pieces)
            self._pieces = list(pieces)
        return self._texts

    @cached_property
    def checkpoint(self):
        """Load the checkpoint of the generator."""
        from clara.checkpoints.checkpoint import Checkpoint

        return Checkpoint.load(self.folder / self.encoding)

    @cached_property
    def inference_model(self):
        """Build the generator for inference."""
        return self.checkpoint.inference_model()

    @cached_property
    def repeats(self):
        """Load the repeat model of the generator and its table of transpositions, or None."""
        return self.checkpoint.repeats()

    @cached_property
    def contexts(self):
        """Return what reads the contexts of texts, or None if the generator follows no plans."""
        return self.checkpoint.context_reader()

    @cached_property
    def note_index(self):
        """Load the NoteIndex of the music that the generators were trained on."""
        from critic.copy_index import NoteIndex

        return NoteIndex.load(self.folder / "notewise" / "notes.npz")


class Score(ABC):
    """A number for each piece, independent of the other pieces and of their order.

    Parameters
    ----------
    models : ScoringModels

    Attributes
    ----------
    higher_is_better : bool
    """

    higher_is_better: ClassVar[bool] = True

    def __init__(self, models: ScoringModels) -> None:
        self.models = models

    @abstractmethod
    def __call__(self, pieces: Sequence) -> np.ndarray:
        """Return the score of each piece.

        Parameters
        ----------
        pieces : sequence of NoteSequence, list of tokens, or path

        Returns
        -------
        float32 array (n,), finite
        """


class CriticScore(Score):
    """Log-odds that a human wrote the piece."""

    def __call__(self, pieces):
        """Return the log-odds of "human", float32 (n,)."""
        return self.models.critic.score(self.models.read(pieces))


class ComposerScore(Score):
    """Log-probability that the piece is by one composer.

    Raises
    ------
    BadSetting
        If the composer classifier does not know the composer.
    """

    def __init__(self, models: ScoringModels, composer: str) -> None:
        super().__init__(models)
        known = models.composer_classifier.classes
        if composer not in known:
            raise BadSetting(f"composer:{composer}: unknown composer; choose one of {', '.join(known)}")
        self.column = known.index(composer)

    def __call__(self, pieces):
        """Return the log-probability of the composer, float32 (n,)."""
        return self.models.composer_classifier.log_probs(pieces)[:, self.column]


class Novelty(Score):
    """Human to the critic, and unlike every known composer.

    The score is log p(human) + log(H / H_max), where H is the entropy of the composer classifier.
    """

    def __call__(self, pieces):
        """Return the novelty, float32 (n,)."""
        log_probs = self.models.composer_classifier.log_probs(pieces)
        entropy = -(np.exp(log_probs) * log_probs).sum(1) / np.log(log_probs.shape[1])
        log_human = -np.logaddexp(0, -self.models.critic.score(self.models.read(pieces)))
        return (log_human + np.log(entropy.clip(MIN_ENTROPY))).astype(np.float32)


class Likelihood(Score):
    """Log-likelihood in nats per quarter under the generator and, if it has one, its repeat model."""

    def __call__(self, pieces):
        """Return the log-likelihood per quarter, float32 (n,)."""
        checkpoint = self.models.checkpoint
        encoding, vocab = checkpoint.encoding, checkpoint.vocab
        texts = [tokenize_piece(piece, encoding, vocab) for piece in pieces]
        quarters = np.array([sum(encoding.token_steps(text)) / encoding.steps_per_quarter for text in texts])
        ids = [vocab.to_ids(["xxbos", *text]) for text in texts]
        contexts = self.models.contexts
        if contexts is not None:
            ids = [contexts.add_to(i, self._read_plan(piece, text)) for piece, text, i in zip(pieces, texts, ids)]
        nats = self._nats(ids, vocab.pad_id)
        return (-nats / quarters).astype(np.float32)

    def _read_plan(self, piece, text):
        """Return the plan of a piece, by its time signatures or by estimated ones."""
        notes = self.models.checkpoint.encoding.decode(text)[0]
        signatures = getattr(piece, "time_signatures", None)
        known = signatures is not None and piece.steps_per_quarter == notes.steps_per_quarter
        notes = replace(notes, time_signatures=signatures) if known else with_estimated_time_signature(notes)
        return extract_plan(notes)

    def _nats(self, ids, pad_id):
        """Return the negative log-likelihood of each text, (n,)."""
        from clara.models.likelihood import nats_per_piece
        from clara.repeats.candidates import score_pieces

        if self.models.repeats is None:
            return nats_per_piece(self.models.inference_model, ids, pad_id).numpy()
        repeat_model, transpositions = self.models.repeats
        scored_pieces = score_pieces(self.models.inference_model, ids, transpositions, pad_id)
        return np.array([repeat_model.nats(piece).sum() for piece in scored_pieces])


class LongestCopiedRun(Score):
    """Number of notes in the longest run that also occurs in the training music, in any key."""

    higher_is_better = False

    def __call__(self, pieces):
        """Return the number of notes, float32 (n,)."""
        return np.array([run.n_notes for run in self.find_runs(pieces)], dtype=np.float32)

    def find_runs(self, pieces: Sequence) -> list:
        """Return the longest copied run of each piece, as `critic.copy_index.CopiedRun`."""
        return [self.models.note_index.longest_run(self._read_notes(piece)) for piece in pieces]

    def _read_notes(self, piece):
        """Return a piece as a NoteSequence."""
        from clara.encodings.notewise import Notewise
        from clara.encodings.prompts import read_prompt
        from clara.music.notes import NoteSequence

        encoding = self.models.checkpoint.encoding
        if isinstance(piece, (str, Path)):
            return read_prompt(piece, encoding if Path(piece).suffix == ".txt" else Notewise())[0]
        return piece if isinstance(piece, NoteSequence) else encoding.decode(piece)[0]


class MeasureScore(Score):
    """A measure of the notes as the critic reads them; subclasses define the measure."""

    def __call__(self, pieces):
        """Return the measure of each piece, float32 (n,)."""
        values = []
        for i, (piece, text) in enumerate(zip(pieces, self.models.read(pieces))):
            if not len(text.notes):
                name = piece if isinstance(piece, (str, Path)) else f"piece {i + 1}"
                raise NoNotes(f"{name}: no notes")
            values.append(self._measure(text.notes))
        return np.array(values, dtype=np.float32)

    @staticmethod
    @abstractmethod
    def _measure(notes):
        """Return the measure of a NoteSequence that is not empty."""


class NoteDensity(MeasureScore):
    """Binary logarithm of the number of notes per quarter."""

    @staticmethod
    def _measure(notes):
        return np.log2(measures.note_density(notes))


class DensityLikelihood(MeasureScore):
    """Log-likelihood in nats of the number of notes per quarter under human openings, less that of their mode.

    Their binary logarithm is nearly normal, so that the score falls on both sides: thin and overfull pieces lose.
    """

    @staticmethod
    def _measure(notes):
        deviations = (np.log2(measures.note_density(notes)) - HUMAN_LOG_DENSITY_MEAN) / HUMAN_LOG_DENSITY_STD
        return -0.5 * deviations**2


class RestRatio(MeasureScore):
    """Share of quarters in which nothing sounds."""

    higher_is_better = False

    @staticmethod
    def _measure(notes):
        return measures.empty_beat_rate(notes)


SCORES: dict[str, type[Score]] = {
    "critic": CriticScore,
    "composer": ComposerScore,
    "novelty": Novelty,
    "likelihood": Likelihood,
    "longest_copied_run": LongestCopiedRun,
    "density_likelihood": DensityLikelihood,
    "note_density": NoteDensity,
    "rest_ratio": RestRatio,
}


def score_names() -> list[str]:
    """Return the names of all scores as a ranking expression spells them."""
    return ["composer:NAME" if name == "composer" else name for name in SCORES]


def parse_ranking(expression: str, models: ScoringModels) -> Callable:
    """Parse a weighted sum of scores into a function that ranks; pieces with a higher total are better.

    In a sum, each weight counts as written, so a score of which lower values are better is subtracted.
    A single score without a sign or a weight ranks its best pieces first, whichever direction that is.

    Parameters
    ----------
    expression : str
        Such as `critic`, `composer:chopin` or `critic + 0.5 novelty - 0.1 longest_copied_run`.
    models : ScoringModels

    Returns
    -------
    function(pieces) -> (scores, total)
        `scores` maps the name of each score to a float32 array (n,); `total` is their weighted sum, float32 (n,).

    Raises
    ------
    BadSetting
        If the expression is not a sum of known scores.
    """
    terms = [(name, weight, make_score(name, models)) for name, weight in _parse_terms(expression)]
    name, _, score = terms[0]
    if expression.strip() == name and not score.higher_is_better:
        terms = [(name, -1.0, score)]

    def score_pieces(pieces):
        scores = {name: score(pieces) for name, _, score in terms}
        total = sum(np.float32(weight) * scores[name] for name, weight, _ in terms)
        return scores, total.astype(np.float32)

    return score_pieces


def _parse_terms(expression):
    """Return the (name, weight) of each term of a ranking expression."""
    terms = []
    position = 0
    while position < len(expression):
        term = TERM.match(expression, position)
        if not term or (position and not term[1]):
            raise BadSetting(
                f"--rank-by {expression!r}: not a sum of scores from character {position + 1} on; "
                "write one like critic + 0.5 novelty"
            )
        sign, number, name = term.groups()
        terms.append((name, float(number or 1) * (-1 if sign == "-" else 1)))
        position = term.end()
    if not terms:
        raise BadSetting("--rank-by names no score")
    return terms


def make_score(name: str, models: ScoringModels) -> Score:
    """Return the score of a name such as `novelty` or `composer:chopin`; raises BadSetting."""
    kind, _, argument = name.partition(":")
    if kind not in SCORES or bool(argument) != (kind == "composer"):
        raise BadSetting(f"no score {name!r}; the scores are {', '.join(score_names())}")
    return ComposerScore(models, argument) if argument else SCORES[kind](models)


def inception_score(log_probs: np.ndarray) -> float:
    """Return the Inception score of a batch: how clear each piece's composer is, and how varied the composers are.

    Parameters
    ----------
    log_probabilities : float32 array (n, n_composers)
        From `ComposerClassifier.log_probs`.

    Returns
    -------
    float
        exp of the mean KL divergence from the batch's mean, between 1 and the number of composers [1]_.

    References
    ----------
    .. [1] Salimans et al., "Improved Techniques for Training GANs", 2016.
    """
    p = np.exp(log_probs.astype(np.float64))
    return float(np.exp((p * (log_probs - np.log(p.mean(0)))).sum(1).mean()))
