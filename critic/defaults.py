"""TODO."""

BY = "critic + 0.7 fullness + 10 silence"  # what ranks where nothing else is asked for; the critic alone likes thin music, and does not mind a stop


BY_CONTINUING = (
    "critic + 0.4 fullness + 10 silence"  # the same of what goes on from a prompt, which is as full as music is
)


def by_itself(continuing):
    """What ranks pieces where nothing else is asked for; of those that go on from a prompt, or begin with nothing."""
    return BY_CONTINUING if continuing else BY
