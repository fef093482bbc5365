"""The AUC between human pieces and those of another machine, with members that were never trained."""

import sys

import pytest
import tiny
from examples import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import other_machine

from clara.music.midi import write_midi
from clara.music.notes import crop
from critic import Critic, Ensemble


@pytest.fixture
def critic():
    return Critic(Ensemble([(tiny.member(name), 0.5) for name in ("descriptors", "self_similarity")]))


def test_a_row_for_the_critic_and_each_member(critic, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(other_machine, "N_BOOTSTRAP", 5)
    files = {"human": [], "machine": []}
    for name, compose in (("human", tiny.riff), ("machine", tiny.tune)):
        for i in range(3):
            files[name].append(tmp_path / f"{name}{i}.mid")
            write_midi(compose(i, n_notes=120), files[name][-1])
    write_midi(crop(tiny.tune(0), 0, 12), tmp_path / "short.mid")
    (tmp_path / "broken.mid").write_bytes(b"no music")
    machine = [*files["machine"], tmp_path / "short.mid", tmp_path / "broken.mid"]
    rows = other_machine.measure("tiny", critic, files["human"], machine)
    assert [row["member"] for row in rows] == ["all", "descriptors", "self_similarity"]
    assert all((row["human"], row["machine"]) == (3, 3) and 0 <= row["auc"] <= 1 for row in rows)
    assert "broken.mid" in capsys.readouterr().out


def test_the_chorales_that_music21_installs():
    names = list(other_machine.bach_chorales())
    assert len(names) == len(set(names)) > 300 and "music21:bach/bwv10.7" in names
