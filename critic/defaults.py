"""The ranking expression that applies when the user names none."""

DEFAULT_RANKING = "critic"
