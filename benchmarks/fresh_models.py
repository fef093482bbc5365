"""The judges that are trained from nothing: trees and regression on descriptors, two small CNNs, and a text model.

Each judge is a function (train excerpts, train labels, test excerpts, seed) -> log-odds "human" of the test excerpts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from clara.encodings.notewise import Notewise
from clara.music.keys import transpose_to_key
from clara.music.notes import NoteSequence, crop
from critic.nets.piano_roll import PianoRollNet, collate_piano_rolls
from critic.nets.self_similarity import SelfSimilarityNet, collate_self_similarity, segment_onset_tables

STEPS_PER_QUARTER = 12
ROLL_WIDTHS, SIMILARITY_WIDTHS = (8, 16, 24, 32), (16, 32, 48)  # channels of the convolutions
MAX_SHIFT = 5  # semitones up or down in training
LEARNING_RATE, WEIGHT_DECAY, BATCH_SIZE = 3e-3, 0.05, 32
BOOSTING_SETTINGS = {
    "n_estimators": 200,
    "learning_rate": 0.08,
    "max_depth": 4,
    "min_samples_leaf": 5,
    "max_features": "sqrt",
    "subsample": 0.7,
}
N_TREES = 200
LOG_ODDS_EPS = 1e-3  # of a probability


@dataclass(frozen=True)
class NetSettings:
    """How the networks are trained.

    Attributes
    ----------
    quarters : int
        Length of an excerpt.
    epochs : int
    """

    quarters: int
    epochs: int


def judge_descriptors(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the mean log-odds of boosted trees, extremely randomised trees and logistic regression.

    Parameters
    ----------
    train, test : float arrays (n, n_descriptors)
    labels : bool array (n_train,)
        True for human.
    seed : int
    """
    from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    n_quantiles = min(100, len(train))
    models = (
        GradientBoostingClassifier(**BOOSTING_SETTINGS, random_state=seed),
        ExtraTreesClassifier(N_TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed),
        make_pipeline(
            QuantileTransformer(n_quantiles=n_quantiles, output_distribution="normal", random_state=seed),
            LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000),
        ),
    )
    return np.mean([_log_odds(model.fit(train, labels).predict_proba(test)[:, 1]) for model in models], axis=0)


def _log_odds(probability):
    """Return finite log-odds."""
    probability = np.clip(probability, LOG_ODDS_EPS, 1 - LOG_ODDS_EPS)
    return np.log(probability / (1 - probability))


def judge_text(train: Sequence[str], labels: np.ndarray, test: Sequence[str], seed: int) -> np.ndarray:
    """Return the log-odds of logistic regression on the TF-IDF of runs of one to four tokens.

    Parameters
    ----------
    train, test : sequences of str
        From `texts`.
    labels : bool array (n_train,)
    seed : int
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 4), min_df=4, max_df=0.9, sublinear_tf=True)
    features = vectorizer.fit_transform(train)
    model = LogisticRegression(C=20, class_weight="balanced", max_iter=500, random_state=seed)
    return model.fit(features, labels).decision_function(vectorizer.transform(test))


def texts(pieces: Sequence[NoteSequence]) -> list[str]:
    """Return pieces in notewise text, moved to C major or A minor."""
    encoding = Notewise(steps_per_quarter=STEPS_PER_QUARTER)
    moved = (encoding.fold_to_range(transpose_to_key(piece, "C")[0])[0] for piece in pieces)
    return [" ".join(encoding.encode(piece)[0]) for piece in moved]


def judge_piano_rolls(train, labels, test, seed: int, settings: NetSettings) -> np.ndarray:
    """Return the log-odds of a small piano-roll CNN; in training it sees random halves in random keys.

    Parameters
    ----------
    train, test : sequences of NoteSequence
    labels : bool array (n_train,)
    seed : int
    settings : NetSettings
    """
    n_steps = settings.quarters * STEPS_PER_QUARTER

    def collate(pieces, rng=None):
        if rng is None:
            return collate_piano_rolls([(piece, n_steps) for piece in pieces])
        begins = rng.integers(n_steps // 2 + 1, size=len(pieces))
        halves = [(crop(piece, begin, begin + n_steps // 2), n_steps // 2) for piece, begin in zip(pieces, begins)]
        return collate_piano_rolls(halves, rng.integers(-MAX_SHIFT, MAX_SHIFT + 1, len(pieces)))

    torch.manual_seed(seed)
    net = PianoRollNet(2, STEPS_PER_QUARTER, settings.quarters, ROLL_WIDTHS)
    return _train_and_judge(net, train, labels, test, collate, seed, settings.epochs)


def judge_self_similarity(train, labels, test, seed: int, settings: NetSettings) -> np.ndarray:
    """Return the log-odds of a small CNN over self-similarity matrices; parameters as `judge_piano_rolls`."""
    n_steps = settings.quarters * STEPS_PER_QUARTER

    def prepare(piece):
        return segment_onset_tables(piece, n_steps, settings.quarters)

    def collate(pieces, rng=None):
        return collate_self_similarity(pieces)

    torch.manual_seed(seed)
    net = SelfSimilarityNet(2, SIMILARITY_WIDTHS)
    return _train_and_judge(
        net, list(map(prepare, train)), labels, list(map(prepare, test)), collate, seed, settings.epochs
    )


def _train_and_judge(net, train, labels, test, collate: Callable, seed, epochs):
    """Train a network on pieces and return its log-odds of others."""
    rng = np.random.default_rng(seed)
    targets = torch.from_numpy(labels.astype(np.int64))
    class_weights = torch.from_numpy(len(labels) / (2 * np.bincount(labels, minlength=2))).float()
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    n_batches = -(-len(train) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=max(2, epochs * n_batches))
    net.train()
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(train)), n_batches):
            logits = net(*collate([train[row] for row in rows], rng))
            loss = F.cross_entropy(logits, targets[rows], class_weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return _judge(net.eval(), test, collate)


@torch.inference_mode()
def _judge(net, pieces, collate):
    """Return the log-odds of pieces by a network."""
    odds = []
    for first in range(0, len(pieces), BATCH_SIZE):
        logits = net(*collate(pieces[first : first + BATCH_SIZE]))
        odds.append((logits[:, 1] - logits[:, 0]).numpy())
    return np.concatenate(odds)
