"""Tables of excerpts on disk."""

import pytest

from clara.errors import NoData
from critic.data.table import read_excerpts


def test_missing_files_are_named_with_the_remedy(tmp_path):
    with pytest.raises(NoData, match=r"no excerpts\.csv and no excerpts\.json; .*critic\.excerpts"):
        read_excerpts(tmp_path)
