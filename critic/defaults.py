"""The ranking expressions that apply when the user names none.

The critic alone prefers thin music and tolerates long rests, so the density and the rest ratio correct it. The density
shall be that of music, which the likelihood rewards; a reward for more notes has no bound.
"""

DEFAULT_RANKING = "critic + 2 density_likelihood - 10 rest_ratio"
DEFAULT_RANKING_AFTER_PROMPT = (
    "critic + density_likelihood - 10 rest_ratio"  # continuations are about as dense as their prompt
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
