"""`train.py` from its command line to its run folder, and what it refuses."""

import json
import re

import pytest
import tiny

from clara.checkpoints.checkpoint import CONFIG, VOCAB, WEIGHTS, Checkpoint
from clara.generation.generator import Generator
from clara.training.callbacks import HISTORY
from clara.training.model_cards import CARD
from clara.training.resume_state import STATE
from clara.training.settings import STARTED
from clara.wording import count_of
from clara_app import train

pytestmark = pytest.mark.slow

FILES = {WEIGHTS, VOCAB, CONFIG, HISTORY, "loss.png", CARD, STATE, STARTED}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("train"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing is written into the repository."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


SPLIT = {"group_by": "music", "valid_share": 0.05, "no_test": False, "performed": "auto"}


def run(data, out, *more):
    return tiny.leave(train.main, [*tiny.flags(data, out), "--from-scratch", "--threads", 1, *more])


def refused(capsys, *argv):
    """Return the one line with which the program refuses its arguments."""
    assert tiny.leave(train.main, argv) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_files_left(data, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(data, out) == 0
    assert {p.name for p in out.iterdir()} == FILES
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "epoch 3/3" in printed.out and f"compose --model {out}" in printed.out
    assert len(Generator.load(out).generate(1, 2)) == 1


def test_what_was_asked_is_recorded(data, tmp_path):
    run(data, tmp_path / "run", "--epochs", 1, "--lr", 0.002, "--seed", 5)
    record = json.loads((tmp_path / "run" / CONFIG).read_text())["training"]
    assert {k: record["arguments"][k] for k in ("epochs", "lr", "seed", "bs")} == {
        "epochs": 1,
        "lr": 0.002,
        "seed": 5,
        "bs": 4,
    }


def test_without_out_it_goes_under_runs(data, tmp_path):
    argv = tiny.flags(data, "x", "--from-scratch", "--epochs", 1)
    del argv[argv.index("--out") : argv.index("--out") + 2]
    assert tiny.leave(train.main, argv) == 0
    (folder,) = (tmp_path / "here" / "runs").iterdir()
    assert folder.name.startswith("notewise-") and (folder / WEIGHTS).is_file()


def test_music_is_prepared_first(data, tmp_path):
    music = data.parent / "music"
    assert run(music, tmp_path / "run", "--epochs", 1) == 0
    (prepared,) = (tmp_path / "here" / "data").iterdir()
    assert prepared.name.startswith("music-notewise-12-")
    assert (prepared / "manifest.csv").is_file() and len(list(prepared.glob("*/*.txt"))) == 6


def test_two_folders_of_one_name_are_prepared_apart(data, tmp_path):
    """The second once deleted the texts of the first."""
    other = tmp_path / "elsewhere"
    tiny.corpus(other, [tiny.tune(seed) for seed in range(10, 17)])
    first, second = (
        train._prepare(str(folder), "notewise", SPLIT) for folder in (data.parent / "music", other / "music")
    )
    assert first != second and (len(list(first.rglob("*.txt"))), len(list(second.rglob("*.txt")))) == (6, 7)
    assert train.cache_folder(f"{other}/../elsewhere/music", "notewise") == second
    assert train.cache_folder(other / "music", "chordwise") != second


def test_the_last_line_labels_its_figures(data, tmp_path, capsys):
    assert run(data, tmp_path / "run", "--epochs", 1) == 0
    last_line = capsys.readouterr().out.splitlines()[-1]
    figure = r"\d+\.\d{3} nats/quarter \(\d+\.\d{3} with repeats\)"
    assert re.search(f": valid {figure}, test {figure}; compose", last_line)


def test_resume_goes_on_with_more_epochs(data, tmp_path, capsys):
    out = tmp_path / "run"
    run(data, out, "--epochs", 1)
    capsys.readouterr()
    assert tiny.leave(train.main, ["--resume", out, "--epochs", 2]) == 0
    assert "resuming after epoch 1" in capsys.readouterr().out
    assert len((out / HISTORY).read_text().splitlines()) == 1 + 2


def test_resume_keeps_its_flags(data, tmp_path, capsys):
    out = tmp_path / "run"
    run(data, out, "--epochs", 1)
    before = contents(out)
    printed = refused(capsys, "--resume", out, "--bs", 8, "--lr", 0.1)
    assert "--bs" in printed and "--lr" in printed
    assert contents(out) == before


def test_fine_tuning_from_a_run(data, tmp_path, capsys):
    run(data, tmp_path / "first", "--epochs", 1)
    argv = [*tiny.flags(data, tmp_path / "second"), "--pretrained", tmp_path / "first", "--epochs", 1]
    assert tiny.leave(train.main, argv) == 0
    assert f"fine-tuning {tmp_path / 'first'}" in capsys.readouterr().out
    assert len((tmp_path / "second" / HISTORY).read_text().splitlines()) == 1 + 1


def test_a_run_is_not_overwritten(data, tmp_path, capsys):
    out = tmp_path / "run"
    run(data, out, "--epochs", 1)
    before = contents(out)
    capsys.readouterr()
    assert str(out) in refused(capsys, *tiny.flags(data, out), "--from-scratch")
    assert contents(out) == before


def test_pretrained_weights_of_another_architecture(data, tmp_path, capsys):
    tiny.checkpoint().save(tmp_path / "other")
    printed = refused(capsys, *tiny.flags(data, tmp_path / "run"), "--pretrained", tmp_path / "other", "--arch", "lstm")
    assert str(tmp_path / "other") in printed and "awd_lstm, not lstm" in printed
    assert not (tmp_path / "run" / WEIGHTS).exists()


@pytest.mark.parametrize("arch", ["lstm", "wavenet"])
def test_each_architecture_trains_resumes_and_composes(data, tmp_path, arch):
    out = tmp_path / "run"
    assert run(data, out, "--arch", arch) == 0
    assert Checkpoint.load(out).arch == arch and Checkpoint.load(out).sizes["n_hid"] == 12
    assert tiny.leave(train.main, ["--resume", out, "--epochs", 4]) == 0
    assert Checkpoint.load(out).info["figures"]["epochs"] == 4
    assert len(Generator.load(out).generate(2, 2)) == 2


def test_the_rate_finder_trains_nothing(data, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(data, out, "--find-lr") == 0
    assert "--lr " in capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {"lr_find.png"}
    assert run(data, out) == 0  # the folder is free still


def test_tensorboard(data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    assert run(data, out, "--tensorboard") == 0
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    assert {"train_loss", "nats_per_quarter"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("nats_per_quarter")) == 3


def test_a_dropout_that_the_architecture_does_not_have(data, tmp_path, capsys):
    printed = refused(
        capsys, *tiny.flags(data, tmp_path / "run"), "--from-scratch", "--arch", "lstm", "--weight-p", 0.1
    )
    assert "--weight-p does not go with --arch lstm" in printed


@pytest.mark.parametrize("name", ["nowhere", "empty", "no_music"])
def test_no_data(tmp_path, capsys, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "no_music").mkdir()
    (tmp_path / "no_music" / "letter.txt").write_text("hello")
    printed = refused(capsys, *tiny.flags(tmp_path / name, tmp_path / "run"), "--from-scratch")
    assert str(tmp_path / name) in printed
    assert not (tmp_path / "run").exists()


def test_music_of_which_nothing_can_be_read(tmp_path, capsys):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.mid").write_bytes(b"hello")
    assert "broken" in refused(capsys, *tiny.flags(tmp_path / "broken", tmp_path / "run"), "--from-scratch")
    assert not (tmp_path / "run").exists()


def test_a_corpus_with_a_text_of_another_encoding(data, tmp_path, capsys):
    spoiled = tiny.corpus(tmp_path / "spoiled")
    path = next(spoiled.glob("*/*.txt"))
    path.write_text("p40 hello endp40\n")
    printed = refused(capsys, *tiny.flags(spoiled, tmp_path / "run"), "--from-scratch")
    assert "hello" in printed and f"{path.parent.name}/{path.stem}" in printed


@pytest.mark.parametrize("out", ["file", "file/deeper"])
def test_a_file_where_the_folder_should_be(data, tmp_path, capsys, out):
    (tmp_path / "file").write_text("mine")
    assert "file" in refused(capsys, *tiny.flags(data, tmp_path / out), "--from-scratch")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "flag, value",
    [
        ("--epochs", "0"),
        ("--patience", "0"),
        ("--lr", "0"),
        ("--lr", "nan"),
        ("--lr", "-1"),
        ("--bs", "0"),
        ("--bptt", "1"),
        ("--emb-sz", "0"),
        ("--n-layers", "0"),
        ("--seed", "-1"),
        ("--clip", "0"),
        ("--wd", "-1"),
        ("--weight-p", "1"),
        ("--drop-mult", "-1"),
        ("--encoding", "abc"),
        ("--arch", "abc"),
        ("--schedule", "abc"),
        ("--precision", "fp8"),
        ("--threads", "0"),
        ("--device", "abacus"),
    ],
)
def test_values_out_of_range(data, tmp_path, capsys, flag, value):
    printed = refused(capsys, *tiny.flags(data, tmp_path / "run"), "--from-scratch", flag, value)
    assert flag in printed
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "more",
    [
        ["--drop-mult", 0],
        ["--weight-p", 0],
        ["--alpha", 0, "--beta", 0],
        ["--wd", 0],
        ["--precision", "bf16"],
        ["--schedule", "flat_cos"],
        ["--bs", 10_000],
        ["--bptt", 5_000],
        ["--moms", 0, 0],
    ],
    ids=lambda more: " ".join(map(str, more)),
)
def test_values_at_the_edge_train(data, tmp_path, more):
    assert run(data, tmp_path / "run", "--epochs", 1, *more) == 0


def test_no_run_to_resume(tmp_path, capsys):
    assert "nowhere" in refused(capsys, "--resume", tmp_path / "nowhere")


def test_for_a_program(data, tmp_path, capsys):
    argv = [*tiny.flags(data, tmp_path / "run"), "--from-scratch", "--threads", 1]
    status, printed = tiny.answer(train.main, [*argv, "--epochs", 1], capsys)
    assert status == 0 and printed == {
        "folder": str(tmp_path / "run"),
        "interrupted": False,
        "figures": json.loads((tmp_path / "run" / CONFIG).read_text())["figures"],
    }
    assert printed["figures"]["epochs"] == 1 and printed["figures"]["valid_nats_per_quarter"] > 0
    assert "json" not in json.loads((tmp_path / "run" / STARTED).read_text())["arguments"]
    status, printed = tiny.answer(train.main, ["--resume", tmp_path / "run", "--epochs", 2], capsys)
    assert status == 0 and printed["figures"]["epochs"] == 2
    (tmp_path / "run" / CONFIG).unlink()
    assert tiny.leave(train.main, [*argv, "--json"]) == 2  # holds a run already
    assert capsys.readouterr().out == ""


def test_precision_has_its_older_name_too():
    assert [train.parser().parse_args(["--precision", name]).precision for name in ("fp32", "float32", "bf16")] == [
        "float32",
        "float32",
        "bf16",
    ]
    assert "fp32" not in train.parser().format_help()


def test_nothing_starts_from_scratch_in_silence(data, tmp_path, capsys, monkeypatch):
    argv = ["--encoding", "melodywise", "--data", data, "--out", tmp_path / "run"]
    printed = refused(capsys, *argv)
    assert "no pretrained model for --encoding melodywise" in printed and "--from-scratch" in printed
    monkeypatch.setattr("clara.checkpoints.shipped_models.shipped_models_folder", lambda: tmp_path / "nowhere")
    printed = refused(capsys, *tiny.flags(data, tmp_path / "run"))
    assert "no pretrained model for --encoding notewise" in printed and "--pretrained MODEL" in printed
    assert not (tmp_path / "run").exists()


def test_pretrained_weights_that_are_missing(data, tmp_path, capsys):
    printed = refused(capsys, *tiny.flags(data, tmp_path / "run"), "--pretrained", tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in printed and not (tmp_path / "run").exists()


@pytest.mark.parametrize("more", [["--from-scratch"], ["--adapter"]])
def test_a_training_on_performed_music_warns(tmp_path, capsys, more):
    folder = tmp_path / "played/nobody"
    folder.mkdir(parents=True)
    for i in range(4):
        (folder / f"{i}.mid").write_bytes(tiny.performed_midi(i))
    if more == ["--adapter"]:
        tiny.checkpoint().save(tmp_path / "model")
        more = [*more, "--pretrained", tmp_path / "model"]
    argv = ["--data", tmp_path / "played", "--out", tmp_path / "run", "--epochs", 1, "--n-hid", 8, "--emb-sz", 8]
    assert tiny.leave(train.main, [*argv, *more, "--performed", "no"]) == 0
    message = capsys.readouterr().err
    assert message.count("4 of 4 pieces follow no beat grid (misfit 0.") == 1 and "--max-grid-error" in message


def test_a_training_on_performed_music_finds_its_beats(tmp_path, capsys):
    folder = tmp_path / "played/nobody"
    folder.mkdir(parents=True)
    for i in range(4):
        (folder / f"{i}.mid").write_bytes(tiny.performed_midi(i))
    argv = ["--data", tmp_path / "played", "--out", tmp_path / "run", "--epochs", 1, "--n-hid", 8, "--emb-sz", 8]
    assert tiny.leave(train.main, [*argv, "--from-scratch"]) == 0
    printed = capsys.readouterr()
    assert "4 pieces of 4 followed no beat grid, so the beats were found" in printed.out
    assert "follow no beat grid" not in printed.err


def test_three_pieces_are_all_trained_on_if_asked(tmp_path, capsys):
    tiny.corpus(tmp_path, [tiny.tune(seed) for seed in range(3)])
    for flags, n_trained in (([], 1), (["--no-test"], 2), (["--valid-share", 0, "--no-test"], 3)):
        out = tmp_path / f"run{n_trained}"
        assert run(tmp_path / "music", out, "--epochs", 1, *flags) == 0
        assert f": {count_of(n_trained, 'piece')}," in capsys.readouterr().out
    assert "--valid-share" in refused(capsys, *tiny.flags(tmp_path / "corpus", tmp_path / "x"), "--valid-share", 0.2)
