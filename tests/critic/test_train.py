"""Train members and combine them, from the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
from safetensors.numpy import load_file

from clara.encodings.notewise import Notewise
from critic import ComposerClassifier, Critic, ensemble, train
from critic.data.table import EXCERPTS_FILE, SETTINGS_FILE
from critic.members import MEMBERS
from critic.members.text import TextMember
from critic.training.callbacks import BestModel
from critic.training.job import WINDOW_QUARTERS

pytestmark = pytest.mark.slow

QUARTERS = 8


def write_excerpts(folder, table, quarters=QUARTERS):
    """Write a table as `critic.excerpts` does."""
    folder.mkdir()
    table.assign(tokens=table["tokens"].str.join(" ")).to_csv(folder / EXCERPTS_FILE, index=False)
    settings = {"encoding": Notewise().settings, "quarters": quarters, "fingerprint": "f", "about": "Toys.", "seed": 0}
    (folder / SETTINGS_FILE).write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Excerpts and a model."""
    folder = tmp_path_factory.mktemp("train")
    write_excerpts(folder / "excerpts", tiny.excerpts({"train": 16, "judge": 8, "valid": 8, "test": 8}))
    tiny.checkpoint().save(folder / "model")
    return folder


def run(folder, out, *flags):
    """Train one epoch with flags; return the exit status."""
    argv = [folder / "excerpts", "--out", folder / out, "--epochs", 1, *flags]
    return tiny.leave(train.main, argv)


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module", autouse=True)
def few_batches(monkeypatch_module):
    """Let heads learn from few small batches."""
    training = replace(TextMember.HEAD_TRAINING, batches_per_epoch=4, bs=16)
    monkeypatch_module.setattr(TextMember, "HEAD_TRAINING", training)


@pytest.fixture(scope="module")
def members(folder, monkeypatch_module):
    """Return a folder for each type of member, with windows of four quarters; the model counts as a shipped one."""
    frozen = ["--pretrained", folder / "model", "--freeze-encoder", "--share-encoder"]
    monkeypatch_module.setattr("clara.checkpoints.shipped_models.shipped_models_folder", lambda: folder)
    flags = {member_type: ["--member", member_type] for member_type in MEMBERS} | {"text": frozen}
    for member_type, own in flags.items():
        assert run(folder, member_type, *own, "--window-quarters", 4, "--bs", 8) == 0
    return {member_type: folder / member_type for member_type in MEMBERS}


def test_the_types_and_architectures_of_the_flags_are_all(folder):
    from clara.models import ARCHITECTURES

    assert set(train.MEMBER_TYPES) == set(MEMBERS) and set(train.ARCHITECTURE_NAMES) == set(ARCHITECTURES)


def test_each_member_has_a_folder_with_a_card(members):
    phrases = {
        "text": "the frozen encoder of a language model",
        "piano_roll": "piano rolls",
        "descriptors": "descriptors",
        "boosted_trees": "boosted trees",
        "self_similarity": "self-similarity matrices",
    }
    for member_type, folder in members.items():
        critic = Critic.load(folder)
        assert critic.model.type == member_type and critic.window_quarters == 4
        assert set(critic.info["figures"]) == {"valid", "test"}
        assert set(critic.info["figures"]["test"]) == {"auc", "accuracy"}
        card = (folder / "README.md").read_text()
        assert "Distinguishes human music from generated" in card and phrases[member_type] in card and "Toys." in card


def test_a_shared_encoder_is_not_stored_again(members):
    config = json.loads((members["text"] / "config.json").read_text())
    assert config["encoder"]["model"] == "model"
    assert all(name.startswith("head.") for name in load_file(members["text"] / "model.safetensors"))


def test_heads_may_read_descriptors_too(folder):
    flags = ["--pretrained", folder / "model", "--freeze-encoder", "--add-descriptors", "--window-quarters", 4]
    assert run(folder, "both", *flags) == 0
    assert Critic.load(folder / "both").model.reads_descriptors
    assert "heads that read text and descriptors" in (folder / "both" / "README.md").read_text()


def test_fine_tuning_from_scratch_and_on(folder):
    assert run(folder, "tuned", "--pretrained", folder / "model") == 0
    assert Critic.load(folder / "tuned").window_quarters == WINDOW_QUARTERS
    sizes = ["--emb-sz", 8, "--n-hid", 12, "--n-layers", 1]
    assert run(folder, "small", "--from-scratch", *sizes) == 0
    small = Critic.load(folder / "small")
    assert small.model.net_settings["sizes"] == {"emb_sz": 8, "n_hid": 12, "n_layers": 1}
    assert not small.model.net_settings["freeze_encoder"]
    assert run(folder, "newer", "--start", folder / "small") == 0
    newer = Critic.load(folder / "newer")
    assert newer.info["training"]["before"] == small.info["training"]
    card = (folder / "newer" / "README.md").read_text()
    assert "from scratch" in card and card.count("`python -m critic.train") == 2


def test_only_a_fine_tuned_text_member_continues(folder, members, capsys):
    for member_type in ("text", "piano_roll"):
        assert run(folder, "no", "--start", members[member_type]) == 2
        assert "fine-tuned text member" in capsys.readouterr().err
    assert not (folder / "no").exists()
    assert run(folder, "rolls-2", "--member", "piano_roll", "--start", members["piano_roll"]) == 0


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "one of --pretrained"),
        (["--from-scratch", "--pretrained", "x"], "one of --pretrained"),
        (["--pretrained", "x", "--arch", "wavenet"], "--arch"),
        (["--member", "piano_roll", "--pretrained", "x"], "--member text"),
        (["--member", "descriptors", "--freeze-encoder"], "--member text"),
        (["--member", "piano_roll", "--n-hid", 8], "--from-scratch"),
        (["--member", "piano_roll", "--context-windows", 1], "--member text"),
        (["--pretrained", "x", "--add-descriptors"], "--freeze-encoder"),
        (["--pretrained", "x", "--share-encoder"], "--freeze-encoder"),
        (["--pretrained", "x", "--folds", 3], "--freeze-encoder"),
        (["--from-scratch", "--freeze-encoder"], "--pretrained"),
        (["--start", "x", "--pretrained", "x"], "--start"),
        (["--member", "descriptors", "--start", "x"], "--start"),
        (["--member", "self_similarity", "--start", "x"], "--start"),
        (["--start", "x", "--context-windows", 1], "--context-windows"),
        (["--pretrained", "x", "--freeze-encoder", "--context-windows", 1], "--context-windows"),
        (["--member", "likeness"], "likeness"),
        (["--from-scratch", "--device", "abacus"], "abacus"),
        (["--pretrained", "nowhere"], "nowhere"),
    ],
)
def test_flags_that_do_not_fit(folder, tmp_path, capsys, flags, message):
    assert tiny.leave(train.main, [folder / "excerpts", "--out", tmp_path / "no", *flags]) == 2
    assert message in capsys.readouterr().err


def test_an_ensemble_of_all_members(members, folder, capsys):
    argv = [*members.values(), "--excerpts", folder / "excerpts", "--max-excerpts", 12, "--out"]
    assert tiny.leave(ensemble.main, [*argv, folder / "ensemble"]) == 0
    critic, card = Critic.load(folder / "ensemble"), (folder / "ensemble" / "README.md").read_text()
    assert [member.type for member, _ in critic.members] == list(members)
    assert set(critic.info["figures"]) == {"valid", "test"}
    assert "an ensemble" in card and card.count("`python -m critic.") == 2 + len(members)  # excerpts, the ensemble
    assert tiny.leave(ensemble.main, [*argv, folder / "equal", "--equal-weights"]) == 0
    weights = {weight for _, weight in Critic.load(folder / "equal").members}
    assert len(weights) == 1 and min(weights) > 0
    assert tiny.leave(ensemble.main, [*argv, folder / "floor", "--min-weight", 0.2]) == 0
    assert min(weight for _, weight in Critic.load(folder / "floor").members) >= 0.2
    capsys.readouterr()
    nested = [folder / "ensemble", *argv[len(members) :], folder / "no"]
    assert tiny.leave(ensemble.main, nested) == 2 and "an ensemble" in capsys.readouterr().err


def test_members_of_other_windows_form_no_ensemble(members, folder, tmp_path):
    assert run(folder, "eight", "--member", "descriptors") == 0
    argv = [members["piano_roll"], folder / "eight", "--excerpts", folder / "excerpts", "--out", tmp_path / "no"]
    assert tiny.leave(ensemble.main, argv) == 2


def test_the_best_epoch_stays_after_an_interruption(folder, monkeypatch):
    """Ctrl-C in a later epoch leaves a critic that can be used, and no card with figures."""
    temperatures, update = [], BestModel.update

    def interrupt(best, *results):
        update(best, *results)
        temperatures.append(best.temperature)
        if len(temperatures) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(BestModel, "update", interrupt)
    argv = [folder / "excerpts", "--pretrained", folder / "model", "--window-quarters", 4, "--epochs", 9]
    assert tiny.leave(train.main, [*argv, "--out", folder / "interrupted"]) == 130
    critic = Critic.load(folder / "interrupted")
    assert critic.model.temperature == temperatures[-1]
    assert critic.info["training"]["arguments"]["epochs"] == 9
    assert np.isfinite(critic.score([tiny.riff(50)])).all()
    assert not (folder / "interrupted" / "README.md").exists()


def test_composers_are_trained_with_folds(folder, tmp_path, capsys):
    table = tiny.excerpts({"train": 9, "valid": 3, "test": 3})
    table = table.assign(label=table["label"].map({"human": "fast", "generated": "slow"}))
    write_excerpts(tmp_path / "composers", table)
    argv = [tmp_path / "composers", "--pretrained", folder / "model", "--freeze-encoder", "--epochs", 2, "--out"]
    assert tiny.leave(train.main, [*argv, tmp_path / "folded", "--add-descriptors"]) == 0
    folded = ComposerClassifier.load(tmp_path / "folded")
    assert folded.model.reads_descriptors and folded.window_quarters == QUARTERS
    assert set(folded.info["figures"]) == {"cross-validation", "test"}
    assert "| cross-validation: piece balanced accuracy |" in (tmp_path / "folded" / "README.md").read_text()
    assert tiny.leave(train.main, [*argv, tmp_path / "plain", "--folds", 1]) == 0
    assert set(ComposerClassifier.load(tmp_path / "plain").info["figures"]) == {"valid", "test"}
    capsys.readouterr()
    critic = [folder / "excerpts", *argv[1:], tmp_path / "no", "--folds", 3]
    assert tiny.leave(train.main, critic) == 2
    assert "--folds is for composers" in capsys.readouterr().err and not (tmp_path / "no").exists()
