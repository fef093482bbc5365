"""A critic for a model of one's own, in one command."""

import json
import shutil

import pytest
import tiny

from clara.checkpoints.checkpoint import weights_hash
from clara.encodings.notewise import Notewise
from critic import Critic, build
from critic.data.table import read_excerpts
from critic.own_critic import find_own_critic

ARGV = ["--members", "descriptors", "self_similarity", "-n", 8, "--quarters", 8, "--epochs", 1, "--rounds", 0]
RUN = ["--workers", 1, "--threads", 1, "--device", "cpu"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("critic"), [tiny.riff(i) for i in range(24)])


@pytest.fixture(scope="module")
def untouched_model(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mine"
    checkpoint = tiny.checkpoint()
    checkpoint.info["training"] = {"arguments": {"data": str(corpus)}}
    checkpoint.save(folder)
    return folder


@pytest.fixture
def model(untouched_model, tmp_path):
    """Return a model beside which nothing lies."""
    return shutil.copytree(untouched_model, tmp_path / "mine")


def refused(capsys, *argv):
    """Return the message with which the command refuses a setting before any work."""
    assert tiny.leave(build.main, [*argv, *RUN]) == 2
    return capsys.readouterr().err


def test_one_command_makes_a_critic_that_composing_finds(model, corpus, tmp_path, capsys):
    work = tmp_path / "mine-critic-work"
    (work / "descriptors").mkdir(parents=True)
    (work / "descriptors" / "config.json").write_text("of an interrupted stage")
    status, answer = tiny.answer(build.main, [model, *ARGV, *RUN], capsys)
    out = tmp_path / "mine-critic"
    assert status == 0 and answer["folder"] == str(out) == find_own_critic(model)
    assert set(answer["figures"]["test"]) == {"auc", "accuracy"}
    assert sorted(path.name for path in work.iterdir()) == ["build.json", "descriptors", "excerpts", "self_similarity"]
    critic = Critic.load(out)
    assert [member.type for member, _ in critic.members] == ["descriptors", "self_similarity"]
    assert critic.info["training"]["command"].startswith("python -m critic.ensemble ")
    assert critic.info["training"]["excerpts"]["models"] == {"mine": weights_hash(model)}
    assert json.loads((work / "build.json").read_text())["corpus"] == str(corpus)
    assert ",judge," not in (work / "excerpts" / "excerpts.csv").read_text()


def test_finished_stages_are_kept(model, tmp_path, capsys):
    work = tmp_path / "work"
    argv = [model, *ARGV, *RUN, "--work", work]
    assert tiny.leave(build.main, [*argv, "--out", tmp_path / "first"]) == 0
    printed = capsys.readouterr()
    assert "4 stages, less than a minute if none is kept" in printed.err
    assert printed.err.count("left until the critic is finished") == 4
    shutil.rmtree(work / "self_similarity")
    assert tiny.leave(build.main, [*argv, "--out", tmp_path / "again"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count(": kept") == 2 and printed.err.count("left until the critic is finished") == 2
    assert "on held-out works" in printed.out and f"--critic {tmp_path / 'again'}" in printed.out
    first, again = (Critic.load(tmp_path / name).score([tiny.tune(0)]) for name in ("first", "again"))
    assert first == again

    assert "not empty" in refused(capsys, *argv, "--out", tmp_path / "again")
    other = refused(capsys, *argv, "--seed", 1, "--out", tmp_path / "other")
    assert "made with other settings" in other
    tiny.checkpoint(seed=1).save(model)  # it was trained on
    assert "for other weights" in refused(capsys, *argv, "--corpus", corpus_of_record(work), "--out", tmp_path / "b")


def corpus_of_record(work):
    return json.loads((work / "build.json").read_text())["corpus"]


def test_too_little_music_is_refused_and_the_next_attempt_is_free(model, corpus, capsys):
    message = refused(capsys, model, *ARGV, "--quarters", 500)
    assert "not enough music for excerpts" in message and "lasts 504 quarters" in message
    assert tiny.leave(build.main, [model, *ARGV, "--members", "descriptors", *RUN]) == 0


def test_the_corpus_must_be_known(model, corpus, tmp_path, capsys):
    for data, reason in ((None, "does not record"), (str(tmp_path / "gone"), "which is not here")):
        checkpoint = tiny.checkpoint()
        checkpoint.info["training"] = {"arguments": {"data": data}}
        checkpoint.save(model)
        message = refused(capsys, model, *ARGV)
        assert reason in message and "--corpus" in message
    tiny.checkpoint(Notewise(4)).save(model)
    assert "different encodings" in refused(capsys, model, *ARGV, "--corpus", corpus)
    assert "no such model" in refused(capsys, tmp_path / "nowhere", *ARGV)


def test_a_round_adds_what_a_search_with_the_critic_found(model, tmp_path):
    argv = [model, "--members", "descriptors", "-n", 8, "--quarters", 8, "--epochs", 1, "--rounds", 1, *RUN]
    assert tiny.leave(build.main, argv) == 0
    work = tmp_path / "mine-critic-work"
    folders = {path.name for path in work.iterdir() if path.is_dir()}
    assert folders == {"excerpts", "descriptors", "ensemble", "excerpts-1", "descriptors-1"}
    first, second = (read_excerpts(work / name)[0] for name in ("excerpts", "excerpts-1"))
    human = first[first["label"] == "human"]
    added = second[len(human) :]
    assert second[: len(human)]["tokens"].tolist() == human["tokens"].tolist()
    assert set(added["label"]) == {"generated"} and set(added["split"]) == {"train", "valid", "test"}
    assert not set(added["work"]) & set(first["work"])
    assert find_own_critic(model) == str(tmp_path / "mine-critic")
    before, critic = Critic.load(work / "ensemble"), Critic.load(tmp_path / "mine-critic")
    assert [weight for _, weight in critic.members[:1]] == [weight for _, weight in before.members]
    assert len(critic.members) == 2 and critic.model.calibration == before.model.calibration


def test_excerpts_are_long_if_most_pieces_are(corpus, tmp_path):
    assert build.default_quarters(corpus) == 32
    long = tiny.corpus(tmp_path, [tiny.tune(i, n_notes=300) for i in range(8)])
    assert build.default_quarters(long) == 64
