"""Wording of messages."""


def count_of(n: float, noun: str) -> str:
    """Return a number with its noun, in the singular or the plural.

    Examples
    --------
    >>> count_of(1, "piece"), count_of(2500, "piece"), count_of(0.5, "quarter")
    ('1 piece', '2,500 pieces', '0.5 quarters')
    """
    number = f"{n:g}" if isinstance(n, float) else f"{n:,}"
    return f"{number} {noun}" if n == 1 else f"{number} {noun}s"
