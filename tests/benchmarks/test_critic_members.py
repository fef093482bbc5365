"""The ablation of a critic, with members that were never trained."""

import json
import sys

import pytest
import tiny
from examples import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import critic_members
import record
from page_content import PAGES

from critic import Critic, Ensemble
from critic.data.table import COLUMNS

MEMBERS = ("descriptors", "self_similarity")


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Run the benchmark on tiny members; return the folder of the results."""
    Critic(Ensemble([(tiny.member(name), 0.5) for name in MEMBERS])).save(tmp_path / "tiny")
    excerpts = tmp_path / "excerpts"
    excerpts.mkdir()
    table = tiny.excerpts({"test": 6})
    table.assign(tokens=[" ".join(tokens) for tokens in table["tokens"]])[COLUMNS].to_csv(excerpts / "excerpts.csv")
    info = {"encoding": tiny.checkpoint().encoding.settings, "fingerprint": "0", "about": "", "seed": 0, "quarters": 8}
    (excerpts / "excerpts.json").write_text(json.dumps(info | {"arguments": {}}))
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(critic_members, "N_BOOTSTRAP", 5)
    critic_members.main(
        [str(tmp_path / "tiny"), str(excerpts), "--threads", "1", "--write-reduced", str(tmp_path / "reduced")]
    )
    return tmp_path


def read_rows(folder):
    return json.loads((folder / "critic_members.json").read_text())["rows"]


def test_each_member_alone_and_left_out(measured):
    rows = read_rows(measured)
    assert [row["member"] for row in rows] == ["all", *MEMBERS]
    first, second = rows[1:]
    assert first["without"] == second["alone"] and second["without"] == first["alone"]
    assert all(0 <= row["alone"] <= 1 and row["milliseconds"] > 0 for row in rows)
    for left_out, kept in zip(MEMBERS, MEMBERS[::-1]):
        reduced = Critic.load(measured / "reduced" / f"tiny-without-{left_out}")
        assert [(member.type, weight) for member, weight in reduced.members] == [(kept, 0.5)]


def test_fresh_judges_fill_their_column(measured):
    judged = {
        "rows": [
            {"name": "descriptors", "auc": 0.9},
            {"name": "mean of the judges", "auc": 0.8, "interval": [0.7, 0.9]},
        ]
    }
    (measured / "fresh_judge_tiny-without-descriptors.json").write_text(json.dumps(judged))
    critic_members.main(["--add-fresh-judges"])
    rows = read_rows(measured)
    assert rows[1]["fresh_judge"] == 0.8 and "fresh_judge" not in rows[2]
    table, _ = (table for page in PAGES for table in page.tables if table.result == "critic_members")
    shown = table.select_rows({"rows": rows})
    assert [row["fresh"] for row in shown] == ["0.800 (0.700 to 0.900)", "–"]


def test_members_of_several_rounds_are_also_left_out_in_groups(tmp_path):
    ensemble = Ensemble([(tiny.member(name), 0.5) for name in MEMBERS * 2])
    assert critic_members.member_groups(ensemble) == {
        "descriptors": [0, 2],
        "self_similarity": [1, 3],
        "round-0": [0, 1],
        "round-1": [2, 3],
        "later-rounds": [2, 3],
    }
    folders = critic_members.write_reduced(tmp_path, "tiny", Critic(ensemble))
    assert len(folders) == 4 + 5
    reduced = Critic.load(tmp_path / "tiny-without-descriptors")
    assert [member.type for member, _ in reduced.members] == ["self_similarity"] * 2


def test_critics_and_excerpts_come_in_pairs(capsys):
    with pytest.raises(SystemExit):
        critic_members.main(["runs/critic"])
    assert "pairs" in capsys.readouterr().err
