"""The ranking expressions that apply when the user names none.

The critic alone prefers thin music and tolerates long rests, so the note density and the rest ratio correct it.
"""

DEFAULT_RANKING = "critic + 0.7 note_density - 10 rest_ratio"
DEFAULT_RANKING_AFTER_PROMPT = (
    "critic + 0.4 note_density - 10 rest_ratio"  # continuations are about as dense as their prompt
)


def default_ranking(has_prompt: bool) -> str:
    """Return the default ranking expression.

    Parameters
    ----------
    has_prompt : bool
        Whether the pieces continue a prompt.

    Returns
    -------
    str
        An expression for `critic.scores.parse_ranking`.
    """
    return DEFAULT_RANKING_AFTER_PROMPT if has_prompt else DEFAULT_RANKING
