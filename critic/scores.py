"""What a piece can be ranked by. Of every score more is better.

`critic`: log-odds that it is human. `composer:NAME`: log-probability of that composer. `novelty`: real to the critic, like
no composer known: the log-probability of human and the logarithm of how undecided the composer classifier is (its entropy
over the largest there could be). `likelihood`: minus nats per quarter note under the generator, with its matches. `copied`: minus the
notes of the longest run that stands in the training music, in any key. `fullness`: notes per quarter note, doublings of them, for
the critic alone likes thin music. `silence`: minus the share of quarter notes in which nothing sounds, for generated music stops too often. A weighted sum is written as it is said: `critic + 0.5 novelty +
0.1 copied`.

A new one is a class with `__call__(pieces)` and an entry in `SCORES`.
"""

import re
from functools import cached_property
from pathlib import Path

import numpy as np

from clara.errors import BadSetting, NoNotes
from clara.shipped_models import shipped_models_folder
from critic.classifier import ComposerClassifier, Critic
from critic.features.measures import empty_beat_rate, note_density
from critic.nets.inputs import read_piece

ROOT = shipped_models_folder()
TERM = re.compile(r"\s*([+-]?)\s*(\d+(?:\.\d+)?(?:e-?\d+)?)?\s*\*?\s*([a-z]+(?:[:_-][a-z]+)*)\s*")


class Judges:
    """The nets and the index that scores share, each loaded when it is first asked.

    Parameters
    ----------
    encoding : name of an encoding that there are classifiers for
    folder : where `critic-…`, `composer-…` and the generator lie
    critic_folder : of another critic than that one, or None
    """

    def __init__(self, encoding="notewise", folder=ROOT, critic_folder=None):
        self.encoding, self.folder = encoding, Path(folder)
        self.critic_folder = Path(critic_folder) if critic_folder else self.folder / f"critic-{encoding}"

    @cached_property
    def critic(self):
        """The Critic."""
        return Critic.load(self.critic_folder)

    @cached_property
    def composers(self):
        """The ComposerClassifier."""
        return ComposerClassifier.load(self.folder / f"composer-{self.encoding}")

    @cached_property
    def generator(self):
        """The generator's Checkpoint, and its reader."""
        from clara.checkpoint import Checkpoint

        checkpoint = Checkpoint.load(self.folder / self.encoding)
        return checkpoint, checkpoint.reader()

    @cached_property
    def matching(self):
        """The generator's MatchModel and the Forms of its words, or None."""
        return self.generator[0].matching()

    @cached_property
    def index(self):
        """The NoteIndex of what the generators were trained on."""
        from critic.copy_index import NoteIndex

        return NoteIndex.load(self.folder / "notewise" / "notes.npz")


class CriticScore:
    """Log-odds human."""

    def __init__(self, judges):
        self.judges = judges

    def __call__(self, pieces):
        return self.judges.critic.score(pieces)


class ComposerScore:
    """Log-probability of a composer; raises BadSetting for one that the classifier does not know."""

    def __init__(self, judges, composer):
        known = judges.composers.classes
        if composer not in known:
            raise BadSetting(f"composer:{composer}: there are {', '.join(known)}")
        self.judges, self.column = judges, known.index(composer)

    def __call__(self, pieces):
        return self.judges.composers.log_probabilities(pieces)[:, self.column]


class Novelty:
    """Human, and like nobody."""

    def __init__(self, judges):
        self.judges = judges

    def __call__(self, pieces):
        told = self.judges.composers.log_probabilities(pieces)
        undecided = -(np.exp(told) * told).sum(1) / np.log(told.shape[1])
        return (-np.logaddexp(0, -self.judges.critic.score(pieces)) + np.log(undecided.clip(1e-6))).astype(np.float32)


class Likelihood:
    """Minus nats per quarter note under the generator, with its match model where it has one."""

    def __init__(self, judges):
        self.judges = judges

    def __call__(self, pieces):
        from clara.models.likelihood import nats_per_piece
        from clara.repeats.model import read

        (checkpoint, reader), matching = self.judges.generator, self.judges.matching
        texts = [read_piece(p, checkpoint.encoding, checkpoint.vocab) for p in pieces]
        quarters = np.array([sum(checkpoint.encoding.steps(t)) / checkpoint.encoding.steps_per_quarter for t in texts])
        ids = [checkpoint.vocab.ids(["xxbos", *t]) for t in texts]
        if matching:
            model, forms = matching
            nats = np.array([model.nats(told).sum() for told in read(reader, ids, forms, checkpoint.vocab.pad)])
        else:
            nats = nats_per_piece(reader, ids, checkpoint.vocab.pad).numpy()
        return (-nats / quarters).astype(np.float32)


class Copied:
    """Minus the longest run of notes from the training music; `runs` tells where it is from."""

    def __init__(self, judges):
        self.judges = judges

    def __call__(self, pieces):
        return -np.array([run.notes for run in self.runs(pieces)], dtype=np.float32)

    def runs(self, pieces):
        """Of each piece its `critic.copy_index.Run`."""
        from clara.encodings.notewise import Notewise
        from clara.encodings.prompts import read_prompt
        from clara.music.notes import NoteSequence

        text = self.judges.generator[0].encoding
        found = []
        for piece in pieces:
            if isinstance(piece, (str, Path)):
                piece = read_prompt(piece, text if Path(piece).suffix == ".txt" else Notewise())[0]
            notes = piece if isinstance(piece, NoteSequence) else text.decode(piece)[0]
            found.append(self.judges.index.longest_run(notes))
        return found


class Counted:
    """What `critic.features.measures` counts in a piece as the critic reads it, of which a subclass says how."""

    def __init__(self, judges):
        self.judges = judges

    def __call__(self, pieces):
        critic = self.judges.critic
        told = [critic.encoding.decode(read_piece(p, critic.encoding, critic.vocab))[0] for p in pieces]
        for i, notes in enumerate(told):
            if not len(notes):
                raise NoNotes(f"{pieces[i] if isinstance(pieces[i], (str, Path)) else f'piece {i + 1}'}: no notes")
        return np.array([self._counted(notes) for notes in told], dtype=np.float32)


class Fullness(Counted):
    """The binary logarithm of notes per quarter note."""

    @staticmethod
    def _counted(notes):
        return np.log2(note_density(notes))


class Silence(Counted):
    """Minus the share of quarter notes in which nothing sounds."""

    @staticmethod
    def _counted(notes):
        return 0.0 - empty_beat_rate(notes)  # none is 0, not -0


SCORES = {
    "critic": CriticScore,
    "composer": ComposerScore,
    "novelty": Novelty,
    "likelihood": Likelihood,
    "copied": Copied,
    "fullness": Fullness,
    "silence": Silence,
}


def weighted(told, judges):
    """A weighted sum of scores.

    Parameters
    ----------
    told : str such as `critic`, `composer:chopin`, `critic + 0.5 novelty + 0.1 copied`
    judges : Judges

    Returns
    -------
    function(pieces) -> ({name: float32 (n,)}, float32 (n,)), the scores and their sum

    Raises
    ------
    BadSetting
        For what is no sum of scores that there are.
    """
    terms, at = [], 0
    while at < len(told):
        term = TERM.match(told, at)
        if not term or at and not term[1]:
            raise BadSetting(
                f"--by {told!r}: no sum of scores from the {at + 1}th letter on, such as critic + 0.5 novelty"
            )
        at, weight = term.end(), float(term[2] or 1) * (-1 if term[1] == "-" else 1)
        terms.append((term[3], weight, _score(term[3], judges)))
    if not terms:
        raise BadSetting("--by names no score")

    def scores(pieces):
        each = {name: score(pieces) for name, _, score in terms}
        return each, sum(np.float32(weight) * each[name] for name, weight, _ in terms).astype(np.float32)

    return scores


def _score(name, judges):
    """A score by its name, with what stands after a colon."""
    kind, _, argument = name.partition(":")
    if kind not in SCORES or bool(argument) != (kind == "composer"):
        raise BadSetting(f"no score {name!r}; there are: {', '.join(SCORES).replace('composer', 'composer:NAME')}")
    return SCORES[kind](judges, *[argument] * bool(argument))


def inception_score(log_probabilities):
    """How sure the composer classifier is of each piece, and how many composers a batch holds (after Salimans et al. 2016).

    Parameters
    ----------
    log_probabilities : float32 (n, n_composers)

    Returns
    -------
    float, exp of the mean KL divergence from the batch's mean: from 1 to the number of composers
    """
    p = np.exp(log_probabilities.astype(np.float64))
    return float(np.exp((p * (log_probabilities - np.log(p.mean(0)))).sum(1).mean()))
