"""Repeats: where a text returns to an earlier passage, and how likely it continues in the same way."""
