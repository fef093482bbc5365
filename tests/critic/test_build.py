"""A critic for a model of one's own, in one command."""

import json

import pytest
import tiny

from critic import Critic, build

ARGV = ["--members", "descriptors", "self_similarity", "-n", 8, "--quarters", 8, "--epochs", 1]
RUN = ["--workers", 1, "--threads", 1, "--device", "cpu"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("critic"), [tiny.riff(i) for i in range(24)])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny.checkpoint().save(folder)
    return folder


def test_one_command_makes_a_critic_and_keeps_finished_stages(model, corpus, tmp_path, capsys):
    out, work = tmp_path / "critic", tmp_path / "critic-work"
    (work / "descriptors").mkdir(parents=True)
    (work / "descriptors" / "config.json").write_text("of an interrupted stage")
    argv = [model, "--corpus", corpus, "--out", out, *ARGV, *RUN]
    status, answer = tiny.answer(build.main, argv, capsys)
    assert status == 0 and answer["folder"] == str(out)
    assert set(answer["figures"]["test"]) == {"auc", "accuracy"}
    assert sorted(path.name for path in work.iterdir()) == ["build.json", "descriptors", "excerpts", "self_similarity"]
    critic = Critic.load(out)
    assert [member.type for member, _ in critic.members] == ["descriptors", "self_similarity"]
    assert critic.info["training"]["command"].startswith("python -m critic.ensemble ")
    assert json.loads((work / "build.json").read_text())["corpus"] == str(corpus)

    again = [model, "--corpus", corpus, "--out", tmp_path / "again", "--work", work, *ARGV, *RUN]
    assert tiny.leave(build.main, again) == 0
    printed = capsys.readouterr()
    assert printed.err.count(": kept") == 3
    assert "on held-out works" in printed.out and f"--critic {tmp_path / 'again'}" in printed.out
    assert Critic.load(tmp_path / "again").score([tiny.tune(0)]) == critic.score([tiny.tune(0)])

    assert tiny.leave(build.main, again) == 2  # the folder of the critic is not empty
    other = [model, "--corpus", corpus, "--out", tmp_path / "other", "--work", work, *ARGV, "--seed", 1, *RUN]
    assert tiny.leave(build.main, other) == 2
    assert "made with other settings" in capsys.readouterr().err
