"""Tables of excerpts on disk."""

import json

import pytest

from clara.errors import NoData
from critic.data.table import read_excerpts


def test_missing_files_are_named_with_the_remedy(tmp_path):
    with pytest.raises(NoData, match=r"no excerpts\.csv and no excerpts\.json; .*critic\.excerpts"):
        read_excerpts(tmp_path)


def write(
    folder, text="label,split,work,composer,piece,from_quarter,settings,tokens\nhuman,train,1,a,a/b,0,,p40\n", **info
):
    (folder / "excerpts.csv").write_text(text)
    settings = {"encoding": {"encoding": "notewise"}, "fingerprint": "f", "about": "", "seed": 0, "quarters": 8}
    (folder / "excerpts.json").write_text(json.dumps(settings | info))
    return folder


def test_a_table_is_read_by_its_columns(tmp_path):
    table, info = read_excerpts(write(tmp_path, more=1))
    assert table["tokens"].tolist() == [["p40"]] and info["encoding"] == {"encoding": "notewise"} and info["more"] == 1


@pytest.mark.parametrize(
    "info",
    [
        {"encoding": []},
        {"encoding": {"encoding": "notewise", "steps_per_quarter": 10**8}},
        {"quarters": 10**9},
        {"quarters": "8"},
        {"seed": None},
        {"about": 1},
    ],
)
def test_broken_settings_are_named(tmp_path, info):
    with pytest.raises(NoData, match=f"excerpts.json: {next(iter(info))}"):
        read_excerpts(write(tmp_path, **info))


@pytest.mark.parametrize(
    "text", ["", "label\nhuman\n", "\0\0\0", 'label,split\n"human,train', "tokens,tokens\n1,2,3\n"]
)
def test_a_broken_table_is_named(tmp_path, text):
    with pytest.raises(NoData, match="excerpts.csv"):
        read_excerpts(write(tmp_path, text))
