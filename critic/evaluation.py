"""TODO."""

import numpy as np

from critic.classifier import GENERATED, HUMAN, Critic, normalize_log_probs


def evaluate(classifier, table, split="test"):
    """How well a classifier does on held-out excerpts.

    Parameters
    ----------
    classifier : Critic or ComposerClassifier
    table : of `read_excerpts`
    split : its name

    Returns
    -------
    dict: of a critic `auc` and `accuracy`; of a composer classifier `accuracy` and `balanced_accuracy`, by excerpt and by piece
    """
    table = table[table["split"] == split].reset_index(drop=True)
    told = classifier.log_probs(table["tokens"].tolist())
    truth = np.array([classifier.classes.index(label) for label in table["label"]])
    if isinstance(classifier, Critic):
        odds = told[:, classifier.classes.index(HUMAN)] - told[:, classifier.classes.index(GENERATED)]
        human = table["label"].to_numpy() == HUMAN
        return {
            "auc": round(auc(odds[human], odds[~human]), 4),
            "accuracy": round(float((told.argmax(1) == truth).mean()), 4),
        }
    return accuracy_by_excerpt_and_piece(told, truth, table["piece"])


def accuracy_by_excerpt_and_piece(told, truth, piece):
    """`accuracies` of excerpts, and of pieces, which are judged by the mean of theirs: log-probabilities (n, n_classes), classes (n,) and pieces (n,) of excerpts."""
    _, first, of = np.unique(piece, return_index=True, return_inverse=True)
    whole = mean_log_probs(told, of)
    return {
        f"{what}_{k}": v
        for what, found in (("excerpt", accuracies(told, truth)), ("piece", accuracies(whole, truth[first])))
        for k, v in found.items()
    }


def mean_log_probs(told, of):
    """Of each group the mean log-probabilities of its rows (n, n_classes), normalised, float (n_groups, n_classes); `of` are groups (n,), from 0."""
    total = np.zeros((of.max() + 1, told.shape[1]))
    np.add.at(total, of, told)
    return normalize_log_probs(total / np.bincount(of)[:, None])


def auc(above, below):
    """The chance that one of `above` is larger than one of `below`; ties count half."""
    ranks = np.argsort(np.argsort(np.r_[above, below], kind="stable"), kind="stable")
    values = np.r_[above, below]
    _, back, many = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.bincount(back, weights=ranks)[back] / many[back] + 1
    return float((ranks[: len(above)].sum() - len(above) * (len(above) + 1) / 2) / (len(above) * len(below)))


def accuracies(told, truth):
    """Share of rows whose likeliest class is right, plain and as the mean over classes."""
    right = told.argmax(1) == truth
    return {
        "accuracy": round(float(right.mean()), 4),
        "balanced_accuracy": round(float(np.mean([right[truth == c].mean() for c in np.unique(truth)])), 4),
    }
