"""Evaluate classifiers on held-out excerpts."""

import numpy as np
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from critic.classifier import Classifier
from critic.data.table import GENERATED, HUMAN
from critic.members.ensemble import normalize_log_probs


def evaluate(classifier: Classifier, table, split: str = "test") -> dict[str, float]:
    """Return how well a classifier does on the excerpts of a split.

    Parameters
    ----------
    classifier : Critic or ComposerClassifier
    table : DataFrame
        From `critic.data.table.read_excerpts`.
    split : str

    Returns
    -------
    dict
        For a critic `auc` and `accuracy`; for a composer classifier `accuracy` and `balanced_accuracy`, each by
        excerpt and by piece.
    """
    table = table[table["split"] == split].reset_index(drop=True)
    log_probs = classifier.log_probs(table["tokens"].tolist())
    labels = np.array([classifier.classes.index(label) for label in table["label"]])
    if not classifier.model.settings.is_critic:
        return excerpt_and_piece_accuracy(log_probs, labels, table["piece"])
    human = classifier.classes.index(HUMAN)
    odds = log_probs[:, human] - log_probs[:, classifier.classes.index(GENERATED)]
    return {
        "auc": round(float(roc_auc_score(labels == human, odds)), 4),
        "accuracy": round(float(accuracy_score(labels, log_probs.argmax(1))), 4),
    }


def excerpt_and_piece_accuracy(log_probs: np.ndarray, labels: np.ndarray, piece) -> dict[str, float]:
    """Return `accuracies` of excerpts, and of pieces, each classified by the mean over its excerpts.

    Parameters
    ----------
    log_probs : float array (n, n_classes)
    labels : int array (n,)
    piece : array (n,)
        The piece of each excerpt.
    """
    _, first, group = np.unique(piece, return_index=True, return_inverse=True)
    by_excerpt = accuracies(log_probs, labels)
    by_piece = accuracies(mean_log_probs(log_probs, group), labels[first])
    return {f"excerpt_{name}": value for name, value in by_excerpt.items()} | {
        f"piece_{name}": value for name, value in by_piece.items()
    }


def mean_log_probs(log_probs: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the normalized mean log-probabilities of groups of rows, float (n_groups, n_classes).

    Parameters
    ----------
    log_probs : float array (n, n_classes)
    group : int array (n,)
        From 0.
    """
    total = np.zeros((group.max() + 1, log_probs.shape[1]))
    np.add.at(total, group, log_probs)
    return normalize_log_probs(total / np.bincount(group)[:, None])


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the area under the ROC curve: the probability that a positive score is higher than a negative one."""
    labels = np.repeat([1, 0], [len(positive), len(negative)])
    return float(roc_auc_score(labels, np.concatenate([positive, negative])))


def accuracies(log_probs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the accuracy, and the balanced accuracy, its mean over the classes that occur."""
    predicted = log_probs.argmax(1)
    recall = recall_score(labels, predicted, labels=np.unique(labels), average="macro")
    return {
        "accuracy": round(float(accuracy_score(labels, predicted)), 4),
        "balanced_accuracy": round(float(recall), 4),
    }
