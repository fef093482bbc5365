"""Judging music: human or generated, whom it is like, which of a batch is best.

`Critic` and `ComposerClassifier` of `critic.classifier` can be had from here too.
"""


def __getattr__(name):
    """The classifiers, whose heavy imports wait until one is asked for: the command lines in here answer --help at once."""
    if name not in ("ComposerClassifier", "Critic"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from critic import classifier

    return getattr(classifier, name)
