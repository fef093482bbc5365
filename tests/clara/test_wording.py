"""Numbers with their nouns."""

import numpy as np
import pytest

from clara.wording import count_of


@pytest.mark.parametrize(
    "n, text",
    [
        (0, "0 notes"),
        (1, "1 note"),
        (1.0, "1 note"),
        (np.int64(1), "1 note"),
        (1.5, "1.5 notes"),
        (2, "2 notes"),
        (np.int64(1000), "1,000 notes"),
    ],
)
def test_singular_and_plural(n, text):
    assert count_of(n, "note") == text
