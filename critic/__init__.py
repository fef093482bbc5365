"""Judging music: human or generated, whom it is like, which of a batch is best.

`Critic` and `ComposerClassifier` of `critic.classifier` can be had from here too.

Contents: `BY`, `BY_CONTINUING`, `by_itself`, `best_and_worst`.
"""

BY = "critic + 0.7 fullness + 10 silence"  # what ranks where nothing else is asked for; the critic alone likes thin music, and does not mind a stop
BY_CONTINUING = "critic + 0.4 fullness + 10 silence"  # the same of what goes on from a prompt, which is as full as music is


def by_itself(continuing):
    """What ranks pieces where nothing else is asked for; of those that go on from a prompt, or begin with nothing."""
    return BY_CONTINUING if continuing else BY


def __getattr__(name):
    """The classifiers, whose heavy imports wait until one is asked for: the command lines in here answer --help at once."""
    if name not in ("ComposerClassifier", "Critic"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from critic import classifier

    return getattr(classifier, name)


def best_and_worst(pieces, n=3, critic=None):
    """The n best and the n worst of some pieces, for a look at what the critic likes.

    Parameters
    ----------
    pieces : list of `clara.generator.Sample`, of which only what was composed counts, or what `Critic.score` takes
    n : how many of each
    critic : Critic, the shipped one for notewise text where it is None

    Returns
    -------
    best, worst : lists of (piece, log-odds), best first and worst first
    """
    from critic.rank import in_order
    from critic.scores import Judges

    critic = critic or Judges().critic
    scores = critic.score([p.composed() if hasattr(p, "composed") else p for p in pieces])
    named = [(pieces[i], float(scores[i])) for i in in_order(scores)]
    return named[:n], named[::-1][:n]
