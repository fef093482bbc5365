"""`generate.py` from its command line to its files, and what it refuses."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import tiny
from examples import REPOSITORY, midi_bytes, off, on, track

from clara.checkpoints.checkpoint import VOCAB, Checkpoint, weights_hash
from clara.checkpoints.shipped_models import MissingModel
from clara.encodings.notewise import Notewise
from clara.form.plan import EXACT
from clara.form.plan_files import read_plan, write_plan
from clara.generation.generator import Generator
from clara.music.midi import read_midi, write_midi
from clara.music.notes import build_notes, crop
from clara.music.performed_midi import read_performed_midi
from clara.performing import playing
from clara.rendering.audio import default_soundfont
from clara.repeats.model import CALIBRATION_SHAPE, RepeatModel
from clara.sampling.settings import SamplingSettings, piece_seeds, spread_temperatures
from clara_app import compose, defaults
from clara_app.compose_request import default_settings

pytestmark = pytest.mark.slow

QUICK = ["--no-audio", "--no-pictures", "--rank-by", "none", "-n", 2, "--quarters", 2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny.checkpoint().save(folder)
    return folder


@pytest.fixture
def prompt(tmp_path):
    write_midi(tiny.tune(0, n_notes=10), tmp_path / "prompt.mid")
    return tmp_path / "prompt.mid"


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """Run in a folder of the test, so that nothing is written into the repository."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def wide_working_folder(working_folder, tmp_path, monkeypatch):
    """Run in a folder that holds the folders of the test and of the module: a replay names no files outside it."""
    monkeypatch.chdir(tmp_path.parent)


def texts(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.txt"))}


def refused(capsys, *argv):
    """Return the one line of the error message."""
    assert tiny.leave(compose.main, argv) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    if lines[0].startswith("usage:"):
        lines = lines[-1:]
    assert len(lines) == 1, lines
    return lines[0]


def test_the_files_of_a_run(model, prompt, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        tiny.leave(
            compose.main,
            [
                "--model",
                model,
                "--out",
                out,
                "--prompt",
                prompt,
                "--seed",
                7,
                "-n",
                2,
                "--quarters",
                2,
                "--rank-by",
                "none",
            ],
        )
        == 0
    )
    pieces = {f"{n}.{suffix}" for n in ("01", "02") for suffix in ("mid", "txt", "png", "wav")}
    assert {p.name for p in out.iterdir()} >= pieces | {"ranking.csv", "run.json", "index.html"}
    output = capsys.readouterr()
    assert "2 pieces" in output.out and str(out / "index.html") in output.out
    assert output.err == ""
    assert pd.read_csv(out / "ranking.csv")["seed"].tolist() == piece_seeds(7, 2)


def test_json_output(model, prompt, tmp_path, capsys):
    out = tmp_path / "out"
    status, answer = tiny.answer(
        compose.main, ["--model", model, "--out", out, "--prompt", prompt, "--seed", 7, *QUICK], capsys
    )
    assert status == 0 and {k: answer[k] for k in ("folder", "page", "composed", "interrupted", "seed")} == {
        "folder": str(out),
        "page": str(out / "index.html"),
        "composed": 2,
        "interrupted": False,
        "seed": 7,
    }
    table = pd.read_csv(out / "ranking.csv")
    assert [row["file"] for row in answer["pieces"]] == table["file"].tolist() and [
        row["seed"] for row in answer["pieces"]
    ] == piece_seeds(7, 2)
    assert refused(capsys, "--model", model, "--out", out, "--json", *QUICK)  # not empty
    assert capsys.readouterr().out == ""


def test_a_performed_prompt_is_named_with_its_measure(model, prompt, tmp_path, capsys):
    tiny.leave(compose.main, ["--model", model, "--out", tmp_path / "out", "--prompt", prompt, *QUICK])
    assert "warning" not in capsys.readouterr().err
    prompt.write_bytes(tiny.performed_midi())
    argv = ["--model", model, "--prompt", prompt, *QUICK]
    tiny.leave(compose.main, [*argv, "--out", tmp_path / "out2", "--performed", "no"])
    message = capsys.readouterr().err
    assert re.search(r"the prompt follows no beat grid \(misfit (0\.[7-9]|1\.0)", message) and "--performed" in message


def test_a_performed_prompt_is_continued_on_its_beats(model, prompt, tmp_path, capsys):
    onsets = np.cumsum(np.full(16, 0.71)) + np.random.default_rng(0).normal(0, 0.02, 16)
    prompt.write_bytes(tiny.recorded_midi(onsets))
    argv = ["--model", model, "--prompt", prompt, *QUICK]
    tiny.leave(compose.main, [*argv, "--out", tmp_path / "out"])
    printed = capsys.readouterr()
    assert "its beats were found: about 8" in printed.out and "warning" not in printed.err
    notes, _ = read_performed_midi(tmp_path / "out/01.mid", steps_per_quarter=12)
    assert notes.start[:16].tolist() == (12 * np.arange(16)).tolist() and 75 < notes.qpm < 95
    assert json.loads((tmp_path / "out/run.json").read_text())["performed"] == "auto"


def test_pieces_begin_with_the_prompt(model, prompt, tmp_path):
    tiny.leave(compose.main, ["--model", model, "--out", tmp_path / "out", "--prompt", prompt, *QUICK])
    words = " ".join(Notewise().encode(tiny.tune(0, n_notes=10))[0]).encode()
    found = texts(tmp_path / "out").values()
    assert len(found) == 2 and all(text.startswith(words) for text in found)


def test_the_default_folder_is_under_output(model, tmp_path):
    tiny.leave(compose.main, ["--model", model, *QUICK])
    (folder,) = (tmp_path / "here" / "output").iterdir()
    assert (folder / "index.html").is_file()


def test_the_seed_determines_the_pieces(model, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 50)):
        tiny.leave(compose.main, ["--model", model, "--out", tmp_path / name, "--seed", seed, *QUICK])
    assert texts(tmp_path / "a") == texts(tmp_path / "b") != texts(tmp_path / "c")


@pytest.mark.usefixtures("wide_working_folder")
@pytest.mark.parametrize(
    "more",
    [
        ["--seed", 3, "--temperature", 1.2, "--top-k", 5, "--top-p", 0.9],
        ["--seed", 8, "--temperature", "0.7:1.4"],
        ["--random-freq", 0.5, "--prompt-quarters", 1.5, "--qpm", 77],
    ],
    ids=["seed", "temperatures", "no seed"],
)
def test_replay_composes_the_same_pieces(model, prompt, tmp_path, more):
    first, again = tmp_path / "first", tmp_path / "again"
    assert tiny.leave(compose.main, ["--model", model, "--prompt", prompt, "--out", first, *QUICK, *more]) == 0
    assert tiny.leave(compose.main, ["--replay", first / "run.json", "--out", again, "--no-audio"]) == 0
    assert len(texts(first)) == 2 and texts(again) == texts(first)
    for name in ("01.mid", "02.mid"):
        assert (again / name).read_bytes() == (first / name).read_bytes()


@pytest.mark.usefixtures("wide_working_folder")
def test_replay_keeps_the_playback_settings(model, tmp_path):
    font = tmp_path / "my.sf2"
    font.write_bytes(default_soundfont().read_bytes())
    flags = ["--model", model, "--seed", 3, *QUICK, "--quarters", 8]
    assert tiny.leave(compose.main, [*flags, "--flat", "--soundfont", font, "--out", tmp_path / "flat"]) == 0
    run_json = tmp_path / "flat" / "run.json"
    run = json.loads(run_json.read_text())
    assert (run["flat"], run["performer"], run["soundfont"], run["mix_human"]) == (True, None, str(font), None)
    assert tiny.leave(compose.main, ["--replay", run_json, "--no-audio", "--out", tmp_path / "same"]) == 0
    assert (tmp_path / "same" / "01.mid").read_bytes() == (tmp_path / "flat" / "01.mid").read_bytes()


@pytest.mark.usefixtures("wide_working_folder")
@pytest.mark.parametrize("spread", [(), ("--spread-chords",)], ids=["on the grid", "spread"])
def test_pieces_are_performed_and_replayed(model, tmp_path, spread):
    flags = ["--model", model, "--seed", 3, *QUICK, "--quarters", 16]
    assert tiny.leave(compose.main, [*flags, *spread, "--out", tmp_path / "played"]) == 0
    assert tiny.leave(compose.main, [*flags, "--flat", "--out", tmp_path / "flat"]) == 0
    assert texts(tmp_path / "played") == texts(tmp_path / "flat")
    replay = ["--replay", tmp_path / "played" / "run.json", "--no-audio", "--out", tmp_path / "same"]
    assert tiny.leave(compose.main, replay) == 0
    for name in ("01.mid", "02.mid"):
        assert (tmp_path / "same" / name).read_bytes() == (tmp_path / "played" / name).read_bytes()
        notes, expression = read_performed_midi(tmp_path / "played" / name)
        assert not expression.is_flat
        flat_notes, flat = read_performed_midi(tmp_path / "flat" / name)
        assert flat.is_flat and set(flat.velocity.tolist()) == {80} and len(flat.tempo_qpm) == 1
        assert spread or notes == flat_notes


@pytest.mark.usefixtures("wide_working_folder")
def test_a_replay_with_another_performer_is_refused(model, tmp_path, capsys):
    assert tiny.leave(compose.main, ["--model", model, *QUICK, "--out", tmp_path / "first"]) == 0
    run_json = tmp_path / "first" / "run.json"
    run_json.write_text(json.dumps(json.loads(run_json.read_text()) | {"performer": "0123456789abcdef"}))
    assert "another performer" in refused(capsys, "--replay", run_json, "--out", tmp_path / "none")


@pytest.mark.usefixtures("wide_working_folder")
def test_without_a_performer_there_are_accents(model, tmp_path, capsys, monkeypatch):
    def fail():
        raise MissingModel("performer: no such model folder")

    monkeypatch.setattr(playing, "shipped_performer", fail)
    assert tiny.leave(compose.main, ["--model", model, *QUICK, "--out", tmp_path / "out"]) == 0
    assert "not performed, accents on the beats instead: performer: no such" in capsys.readouterr().err
    assert read_performed_midi(tmp_path / "out" / "01.mid")[1].is_flat


@pytest.mark.usefixtures("wide_working_folder")
def test_a_prompt_keeps_its_expression(model, tmp_path):
    notes = tiny.tune(0, n_notes=30)
    write_midi(notes, tmp_path / "played.mid", expression=tiny.expression(notes))
    flags = ["--model", model, "--prompt", tmp_path / "played.mid", "--prompt-quarters", 8, *QUICK]
    for name, more in (("kept", []), ("flat", ["--flat"])):
        assert tiny.leave(compose.main, [*flags, *more, "--out", tmp_path / name]) == 0
    found, expression = read_performed_midi(tmp_path / "kept" / "01.mid", steps_per_quarter=12)
    in_prompt = found.start < 8 * 12
    at = [
        int(np.flatnonzero((notes.start == start) & (notes.pitch == pitch))[0])
        for start, pitch in zip(found.start[in_prompt], found.pitch[in_prompt])
    ]
    assert expression.velocity[in_prompt].tolist() == tiny.expression(notes).velocity[at].tolist()
    places = np.arange(0, 8, 0.5)
    np.testing.assert_allclose(expression.seconds_at(places), tiny.expression(notes).seconds_at(places), atol=1e-3)
    assert read_performed_midi(tmp_path / "flat" / "01.mid")[1].is_flat


def test_flat_music_has_no_spread_chords(model, tmp_path, capsys):
    assert "--spread-chords" in refused(
        capsys, "--model", model, "--flat", "--spread-chords", "--out", tmp_path / "out", *QUICK
    )


@pytest.mark.usefixtures("wide_working_folder")
def test_replay_keeps_the_repeat_strength(model, tmp_path):
    flags = ["--model", model, "--repeat-strength", 0.5, *QUICK]
    assert tiny.leave(compose.main, [*flags, "--out", tmp_path / "first"]) == 0
    run_json = tmp_path / "first" / "run.json"
    assert tiny.leave(compose.main, ["--replay", run_json, "--no-audio", "--out", tmp_path / "same"]) == 0
    assert json.loads((tmp_path / "same" / "run.json").read_text())["settings"]["repeat_strength"] == 0.5


@pytest.mark.usefixtures("wide_working_folder")
@pytest.mark.parametrize("missing", ["flat", "top", "candidates_per_beam", "repeats", "settings.repeat_strength"])
def test_a_run_with_a_missing_value_is_refused(model, tmp_path, capsys, missing):
    assert tiny.leave(compose.main, ["--model", model, *QUICK, "--out", tmp_path / "first"]) == 0
    run = json.loads((tmp_path / "first" / "run.json").read_text())
    group, _, name = missing.rpartition(".")
    del (run[group] if group else run)[name]
    (tmp_path / "older.json").write_text(json.dumps(run))
    assert name in refused(capsys, "--replay", tmp_path / "older.json", "--out", tmp_path / "none")


@pytest.mark.usefixtures("wide_working_folder")
def test_a_replay_with_another_repeat_model_is_refused(tmp_path, capsys):
    started = tiny.checkpoint()
    for intercept in (1.0, 2.0):
        started.info["repeats"] = RepeatModel(np.tile([0.8, intercept], (*CALIBRATION_SHAPE[:-1], 1))).to_dict()
        started.save(tmp_path / "model")
        for match in (1, 0):
            out = tmp_path / f"{intercept} {match}"
            assert (
                tiny.leave(
                    compose.main, ["--model", tmp_path / "model", "--repeat-strength", match, *QUICK, "--out", out]
                )
                == 0
            )
            assert (
                tiny.leave(
                    compose.main,
                    ["--replay", out / "run.json", "--no-audio", "--out", tmp_path / f"again {intercept} {match}"],
                )
                == 0
            )
    assert "another repeat model" in refused(
        capsys, "--replay", tmp_path / "1.0 1" / "run.json", "--out", tmp_path / "none"
    )
    assert (
        tiny.leave(
            compose.main, ["--replay", tmp_path / "1.0 0" / "run.json", "--no-audio", "--out", tmp_path / "without"]
        )
        == 0
    )


@pytest.mark.usefixtures("wide_working_folder")
def test_replay_with_a_missing_soundfont(model, tmp_path, capsys):
    font = tmp_path / "my.sf2"
    font.write_bytes(default_soundfont().read_bytes())
    assert tiny.leave(compose.main, ["--model", model, "--soundfont", font, *QUICK, "--out", tmp_path / "first"]) == 0
    replay = ["--replay", tmp_path / "first" / "run.json", "--no-pictures"]
    font.rename(tmp_path / "other.sf2")
    assert "my.sf2" in refused(capsys, *replay, "--out", tmp_path / "second")
    assert tiny.leave(compose.main, [*replay, "--soundfont", tmp_path / "other.sf2", "--out", tmp_path / "second"]) == 0
    assert (tmp_path / "second" / "01.wav").is_file()


@pytest.mark.parametrize(
    "flags, suffixes",
    [
        (["--audio", "flac"], {"flac"}),
        (["--audio", "mp3"], {"mp3"}),
        ([], {"wav"}),
        (["--audio", "none"], set()),
        (["--no-audio"], set()),
    ],
)
def test_audio_formats(model, tmp_path, flags, suffixes):
    out = tmp_path / "out"
    assert (
        tiny.leave(
            compose.main,
            ["--model", model, "--out", out, "--rank-by", "none", "-n", 1, "--quarters", 2, "--no-pictures", *flags],
        )
        == 0
    )
    assert {p.suffix[1:] for p in out.iterdir()} - {"mid", "txt", "csv", "json", "html"} == suffixes
    assert ("<audio" in (out / "index.html").read_text()) == bool(suffixes)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--soundfont", "nowhere.sf2"], "nowhere.sf2"),
        (["--soundfont", __file__], "not an SF2 soundfont"),
        (["--audio", "ogg"], "ogg"),
        (["--mix-human", "nowhere"], "nowhere"),
        (["--mix-human", ".", "--fixed-melody", "a.mid"], "--fixed-melody"),
        (["--mix-human", ".", "--prompt", "a.mid"], "--prompt"),
    ],
)
def test_bad_playback_settings_are_refused(model, prompt, tmp_path, capsys, flags, message):
    prompt.rename("a.mid")
    assert message in refused(capsys, "--model", model, "--out", tmp_path / "out", "--rank-by", "none", "-n", 2, *flags)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def humans(tmp_path):
    """Return a folder of human music and a broken file."""
    (tmp_path / "humans").mkdir()
    for i in range(4):
        write_midi(tiny.tune(20 + i, n_notes=60), tmp_path / "humans" / f"opus {i}.mid")
    (tmp_path / "humans" / "broken.mid").write_bytes(b"MThd")
    return tmp_path / "humans"


@pytest.mark.usefixtures("wide_working_folder")
def test_a_blind_test(model, humans, tmp_path, judged, capsys):
    flags = [
        "--model",
        model,
        "--mix-human",
        humans,
        "-n",
        5,
        "--top",
        3,
        "--quarters",
        8,
        "--seed",
        2,
        "--no-pictures",
    ]
    assert tiny.leave(compose.main, [*flags, "--out", tmp_path / "out"]) == 0
    assert "human excerpts: 3 of 3" in capsys.readouterr().out
    page = (tmp_path / "out" / "index.html").read_text()
    assert (
        page.count('data-author="human"') == page.count('data-author="machine"') == 3
        and page.count("data-critic=") == 6
    )
    assert len(pd.read_csv(tmp_path / "out" / "ranking.csv")) == 3
    critic, human_scores = (
        tiny.classifier(),
        [float(x) for x in re.findall(r'data-author="human" data-critic="(\S+?)"', page)],
    )
    found = [read_midi(tmp_path / "out" / "human" / f"0{n}.mid")[0] for n in (1, 2, 3)]
    assert sorted(human_scores) == pytest.approx(sorted(critic.score(found).tolist()), abs=1e-3)
    assert all(notes.quarters <= 8 and notes.qpm == pytest.approx(110, rel=0.25) for notes in found)
    files = list((tmp_path / "out" / "human").glob("*.mid"))
    assert len(files) == 3 and not any(read_performed_midi(path)[1].is_flat for path in files)
    assert (
        tiny.leave(
            compose.main, ["--replay", tmp_path / "out" / "run.json", "--out", tmp_path / "again", "--no-pictures"]
        )
        == 0
    )
    assert (tmp_path / "again" / "index.html").read_text() == page


def test_fewer_human_excerpts_than_composed_pieces(model, humans, tmp_path, capsys):
    flags = [
        "--model",
        model,
        "--mix-human",
        humans,
        "-n",
        6,
        "--quarters",
        8,
        "--rank-by",
        "none",
        "--audio",
        "mp3",
        "--no-pictures",
    ]
    assert tiny.leave(compose.main, [*flags, "--out", tmp_path / "out"]) == 0
    assert "human excerpts: 4 of 6, 1 skipped (BadMusicFile)" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "human").glob("*.mp3"))) == 4


def test_run_json_holds_everything_that_determines_the_pieces(model, tmp_path):
    tiny.leave(compose.main, ["--model", model, "--out", tmp_path / "out", "--seed", 3, *QUICK])
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["seed"], run["n"], run["quarters"], run["model"]) == (3, 2, 2.0, str(model))
    assert run["settings"].keys() == {f.name for f in fields(SamplingSettings)}
    assert run.keys() >= {"weights", "versions", "command", "precision", "key", "ranges", "max_notes", "cadence"}
    assert run["precision"] in ("int8", "float32")  # what auto came to


def test_constraints_hold(model, tmp_path):
    out = tmp_path / "out"
    flags = [
        "--key",
        "D major",
        "--range",
        "C3-C6",
        "--max-notes",
        2,
        "--cadence",
        "--quarters",
        24,
        "--min-p",
        0.01,
        "--repetition-penalty",
        1.5,
    ]
    assert (
        tiny.leave(
            compose.main,
            ["--model", model, "--out", out, "-n", 4, "--seed", 1, "--no-audio", "--rank-by", "none", *flags],
        )
        == 0
    )
    n = 0
    for path in sorted(out.glob("*.mid")):
        notes, _ = read_midi(path, steps_per_quarter=Checkpoint.load(model).encoding.steps_per_quarter)
        n += len(notes)
        assert set((notes.pitch % 12).tolist()) <= {2, 4, 6, 7, 9, 11, 1}
        assert notes.pitch.min() >= 48 and notes.pitch.max() <= 84
        assert max(((notes.start <= t) & (notes.end > t)).sum() for t in range(notes.n_steps)) <= 2
    assert n > 20


def interrupt_third_batch(monkeypatch, way, together):
    """Ctrl-C as the third batch begins, of so many together, composed by a method of Generator."""
    calls, whole = [], getattr(Generator, way)

    def interrupted(self, *args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(self, *args, **kwargs)

    monkeypatch.setattr("clara_app.composer.BATCH_SIZE", together)
    monkeypatch.setattr(Generator, way, interrupted)


def test_ctrl_c_keeps_finished_pieces(model, tmp_path, monkeypatch, capsys):
    interrupt_third_batch(monkeypatch, "generate", 2)
    flags = ["--model", model, "--seed", 1, "--no-audio", "--rank-by", "none", "--quarters", 2, "-n", 9]
    assert tiny.leave(compose.main, [*flags, "--out", tmp_path / "out"]) == 130
    assert "4 of 9" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*.mid"))) == 4
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert tiny.leave(compose.main, [*flags, "--out", tmp_path / "all"]) == 0
    assert texts(tmp_path / "all").items() >= texts(tmp_path / "out").items()  # however many were composed together


def test_ctrl_c_in_a_search_keeps_finished_searches(model, tmp_path, monkeypatch, judged, capsys):
    interrupt_third_batch(monkeypatch, "search", 4)
    flags = ["--model", model, "--seed", 1, "--no-audio", "--quarters", 8, "-n", 16, "--top", 2]
    assert tiny.leave(compose.main, [*flags, "--out", tmp_path / "out"]) == 130
    assert "4 pieces of the searches that had ended" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*.mid"))) == 2


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--bars", 4, "--quarters", 8], "--bars and --quarters both set the length"),
        (["--replay", __file__, "--seed", 3], "--seed cannot change what --replay composes again"),
        (["--replay", __file__, "-n", 3, "--top-k", 2, "--no-audio"], "-n, --top-k cannot change"),
        (["--replay", __file__, "--flat"], "--flat cannot change"),
    ],
)
def test_flags_without_effect_are_refused(flags, message, tmp_path, capsys):
    assert message in refused(capsys, *flags, "--out", tmp_path / "out")


def test_a_fixed_melody_stays(model, prompt, tmp_path):
    out, tune = tmp_path / "out", tiny.tune(0, n_notes=10)
    assert (
        tiny.leave(compose.main, ["--model", model, "--out", out, *QUICK, "--fixed-melody", prompt, "--seed", 3]) == 0
    )
    for path in sorted(out.glob("*.mid")):
        notes, _ = read_midi(path, steps_per_quarter=12)
        assert set(zip(notes.start, notes.end, notes.pitch)) > set(zip(tune.start, tune.end, tune.pitch))
        assert notes.n_steps <= tune.n_steps


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--fixed-melody", "nowhere.mid"], "nowhere.mid"),
        (["--fixed-melody-part", "x", "--fixed-melody", __file__], "no part"),
        (["--key", "H minor"], "H minor"),
        (["--range", "C3"], "C3"),
        (["--range", "q:C3-C4"], "q:C3-C4"),
        (["--range", "C5-C3"], "no pitch from 72 to 48"),
        (["--key", "C", "--range", "C#4-C#4"], "no token"),
        (["--range", "A0-X"], "X"),
        (["--precision", "int8", "--model", "nowhere"], "nowhere"),
    ],
)
def test_impossible_constraints_are_refused(model, tmp_path, capsys, flags, message):
    assert message in refused(capsys, "--model", model, "--out", tmp_path / "out", *QUICK, *flags)
    assert not (tmp_path / "out").exists()


PROMPTS = {
    "hello.mid": b"this is no music",
    "empty.mid": b"",
    "truncated.mid": midi_bytes(track(on(0, 60), off(480, 60)))[:30],
    "silent.mid": midi_bytes(track()),
    "empty.txt": b"",
    "hello.txt": b"this is no music",
    "picture.png": b"\x89PNG\r\n",
}


@pytest.mark.parametrize("name", PROMPTS)
def test_bad_prompts_are_refused(model, tmp_path, capsys, name):
    (tmp_path / name).write_bytes(PROMPTS[name])
    message = refused(capsys, "--model", model, "--out", tmp_path / "out", "--prompt", tmp_path / name, *QUICK)
    assert name in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("source", ["nowhere.mid", "music21:bach/nowhere", "."])
def test_missing_prompts_are_refused(model, tmp_path, capsys, source):
    assert source.removeprefix("music21:") in refused(
        capsys, "--model", model, "--out", tmp_path / "out", "--prompt", source, *QUICK
    )


@pytest.mark.usefixtures("wide_working_folder")
def test_fill(model, tmp_path):
    write_midi(tiny.tune(0, n_notes=60), tmp_path / "tune.mid")
    argv = [
        "--model",
        model,
        "--prompt",
        tmp_path / "tune.mid",
        "--fill",
        "4:6",
        "--fill-candidates",
        5,
        "--seed",
        1,
        *QUICK,
    ]
    assert tiny.leave(compose.main, [*argv, "--out", tmp_path / "out"]) == 0
    made = texts(tmp_path / "out")
    assert len(made) == 2 and len(set(made.values())) == 2
    assert (
        tiny.leave(compose.main, ["--replay", tmp_path / "out" / "run.json", "--no-audio", "--out", tmp_path / "again"])
        == 0
    )
    assert texts(tmp_path / "again") == made
    after = {
        n
        for n in zip(*(getattr(tiny.tune(0, n_notes=60), k).tolist() for k in ("start", "end", "pitch")))
        if n[0] >= 6 * 12
    }
    notes = read_midi(tmp_path / "out" / "01.mid")[0]
    assert {n for n in zip(notes.start.tolist(), notes.end.tolist(), notes.pitch.tolist()) if n[0] >= 6 * 12} == after


@pytest.mark.parametrize(
    "flags",
    [["--fill", "2"], ["--fill", "a:b"], ["--fill", "3:2"], ["--fill", "0:900"], ["--fill", "0:1", "--cadence"]],
)
def test_bad_gaps_are_refused(model, prompt, tmp_path, capsys, flags):
    assert "fill" in refused(capsys, "--model", model, "--prompt", prompt, "--out", tmp_path / "out", *QUICK, *flags)
    assert "--prompt" in refused(capsys, "--model", model, "--out", tmp_path / "out2", *QUICK, "--fill", "1:2")


@pytest.mark.parametrize(
    "flag, value",
    [
        ("-n", "0"),
        ("-n", "-3"),
        ("-n", "two"),
        ("--quarters", "0"),
        ("--quarters", "nan"),
        ("--quarters", "inf"),
        ("--quarters", "0.01"),
        ("--temperature", "0"),
        ("--temperature", "-1"),
        ("--temperature", "nan"),
        ("--temperature", "inf"),
        ("--temperature", "1.1:0.8"),
        ("--temperature", "0.8:"),
        ("--temperature", "0.8:1:2"),
        ("--top-k", "-1"),
        ("--top-p", "0"),
        ("--top-p", "1.1"),
        ("--random-freq", "2"),
        ("--threads", "0"),
        ("--seed", "-1"),
        ("--qpm", "0"),
        ("--prompt-quarters", "0"),
    ],
)
def test_values_out_of_range_are_refused(model, prompt, tmp_path, capsys, flag, value):
    message = refused(
        capsys, "--model", model, "--prompt", prompt, "--out", tmp_path / "out", "--no-audio", flag, value
    )
    assert flag.strip("-") in message
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_an_absurdly_low_temperature_ends(model, tmp_path):
    assert tiny.leave(compose.main, ["--model", model, "--out", tmp_path / "out", "--temperature", "1e-6", *QUICK]) == 0


def test_a_folder_with_files_is_refused(model, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "01.mid").write_text("mine")
    assert str(out) in refused(capsys, "--model", model, "--out", out, *QUICK)
    assert [p.name for p in out.iterdir()] == ["01.mid"] and (out / "01.mid").read_text() == "mine"


@pytest.mark.parametrize("below", ["", "deeper"])
def test_an_output_folder_that_is_a_file_is_refused(model, tmp_path, capsys, below):
    (tmp_path / "file").write_text("mine")
    assert "file" in refused(capsys, "--model", model, "--out", tmp_path / "file" / below, *QUICK)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_missing_model_is_refused(tmp_path, capsys):
    message = refused(capsys, "--model", tmp_path / "nowhere", "--out", tmp_path / "out", *QUICK)
    assert "nowhere" in message
    assert not (tmp_path / "out").exists()


def test_a_model_with_another_vocabulary_is_refused(model, tmp_path, capsys):
    tiny.checkpoint().save(tmp_path / "model")
    tiny.checkpoint(Notewise(4)).vocab.save(tmp_path / "model" / VOCAB)
    message = refused(capsys, "--model", tmp_path / "model", "--out", tmp_path / "out", *QUICK)
    assert VOCAB in message and str(tmp_path / "model") in message


@pytest.mark.usefixtures("wide_working_folder")
@pytest.mark.parametrize("content", [None, "", "{", "{}", "[]", "7", '{"settings": 3}'])
def test_replaying_another_file_is_refused(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert "run.json" in refused(capsys, "--replay", tmp_path / "run.json", "--out", tmp_path / "out")


def test_help_is_quick():
    """Nothing heavy is imported."""
    script = (
        "import sys, generate\ntry:\n generate.main(['--help'])\nfinally:\n"
        " print([m for m in ('torch', 'fastai', 'pandas', 'numpy', 'music21', 'matplotlib') if m in sys.modules])"
    )
    asked = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert asked.stderr == ""
    assert "--temperature" in asked.stdout
    assert asked.stdout.splitlines()[-1] == "[]"


def test_audio_formats_and_sources_agree_with_the_modules():
    """The light module repeats them."""
    from clara.rendering import audio
    from clara.rendering import blind_test as blind

    assert (
        *audio.AUDIO_FORMATS,
        defaults.NO_AUDIO,
    ) == defaults.AUDIO_FORMATS and defaults.INSTALLED_MUSIC == blind.MUSIC21_CORPUS


def test_precisions_agree_with_the_steppers():
    """The light module repeats them, since --help must not import what computes."""
    from clara.sampling import steppers

    assert defaults.PRECISIONS == steppers.PRECISIONS


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Classifiers where the shipped ones lie."""
    from critic import scores

    tiny.classifier().save(tmp_path / "pretrained" / "critic-notewise")
    monkeypatch.setattr(scores, "ROOT", tmp_path / "pretrained")
    monkeypatch.setattr(
        scores.ScoringModels.__init__, "__defaults__", ("notewise", tmp_path / "pretrained", None, None)
    )


@pytest.mark.usefixtures("wide_working_folder")
def test_the_best_pieces_come_first(model, prompt, tmp_path, judged):
    argv = [
        "--model",
        model,
        "--prompt",
        prompt,
        "--quarters",
        8,
        "--seed",
        5,
        "--no-audio",
        "--no-pictures",
        "-n",
        12,
        "--no-search",
    ]
    assert tiny.leave(compose.main, [*argv, "--top", 12, "--out", tmp_path / "all"]) == 0
    assert tiny.leave(compose.main, [*argv, "--top", 3, "--out", tmp_path / "best"]) == 0
    table, best = (pd.read_csv(tmp_path / name / "ranking.csv") for name in ("all", "best"))
    assert table["total"].is_monotonic_decreasing and len(table) == 12 and set(table["seed"]) == set(piece_seeds(5, 12))
    assert (
        best["seed"].tolist() == table["seed"].tolist()[:3]
        and (best["critic"] - table["critic"][:3]).abs().max() < 1e-3
    )
    assert table["total"].tolist() == table["critic"].tolist()
    critic = tiny.classifier()
    piece = Generator(Checkpoint.load(model)).generate(
        1, 8, read_midi(prompt)[0], seed=(s := int(best["seed"][0])), settings=default_settings_for(s)
    )[0]
    assert critic.score([piece.composed()])[0] == pytest.approx(best["critic"][0], abs=0.02)
    assert (
        tiny.leave(
            compose.main,
            ["--replay", tmp_path / "best" / "run.json", "--no-audio", "--no-pictures", "--out", tmp_path / "again"],
        )
        == 0
    )
    assert texts(tmp_path / "again") == texts(tmp_path / "best")


def test_a_sum_of_scores_ranks(model, tmp_path, judged):
    argv = ["--model", model, "--quarters", 8, "--no-audio", "--no-pictures", "-n", 3, "--no-search"]
    by = "critic + 2 density_likelihood - 10 rest_ratio"
    assert tiny.leave(compose.main, [*argv, "--rank-by", by, "--out", tmp_path / "out"]) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["rank_by"] == by
    table = pd.read_csv(tmp_path / "out" / "ranking.csv")
    total = table["critic"] + 2 * table["density_likelihood"] - 10 * table["rest_ratio"]
    assert (table["total"] - total).abs().max() < 2e-3


def default_settings_for(seed):
    """Return the settings of the piece with this seed, as the command line samples without flags."""
    return spread_temperatures(default_settings(), defaults.MAX_TEMPERATURE, [seed])[0]


def test_pieces_that_are_too_short_are_not_ranked(model, tmp_path, judged, capsys):
    assert (
        tiny.leave(
            compose.main,
            ["--model", model, "--out", tmp_path / "out", "--quarters", 1, "-n", 3, "--seed", 1, "--no-audio"],
        )
        == 0
    )
    assert "not ranked" in capsys.readouterr().err
    assert pd.read_csv(tmp_path / "out" / "ranking.csv")["seed"].tolist() == piece_seeds(1, 3)


def test_a_missing_critic_is_refused(model, tmp_path, monkeypatch, capsys):
    from critic import scores

    monkeypatch.setattr(scores.ScoringModels.__init__, "__defaults__", ("notewise", tmp_path, None, None))
    assert "critic-notewise" in refused(
        capsys, "--model", model, "--out", tmp_path / "out", "--quarters", 8, "-n", 2, "--no-audio"
    )
    assert "nonsense" in refused(capsys, "--model", model, "--out", tmp_path / "out", "--rank-by", "nonsense", "-n", 2)


def test_another_critic_ranks(model, tmp_path, judged, capsys):
    tiny.classifier(seed=9).save(tmp_path / "own")
    argv = ["--model", model, "--quarters", 8, "--seed", 5, "--no-audio", "--no-pictures", "-n", 6, "--top", 6]
    assert tiny.leave(compose.main, [*argv, "--critic", tmp_path / "own", "--out", tmp_path / "a"]) == 0
    assert tiny.leave(compose.main, [*argv, "--out", tmp_path / "b"]) == 0
    mine, other = (
        dict(zip(t["seed"], t["critic"])) for t in (pd.read_csv(tmp_path / name / "ranking.csv") for name in "ab")
    )
    piece = Generator(Checkpoint.load(model)).generate(1, 8, seed=5, settings=default_settings_for(5))[0]
    assert mine[5] == pytest.approx(tiny.classifier(seed=9).score([piece.composed()])[0], abs=0.02) and mine != other
    assert "nothing" in refused(capsys, "--model", model, "--critic", tmp_path / "nothing", "--out", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_models_own_critic_ranks(tmp_path, judged, capsys):
    tiny.checkpoint().save(tmp_path / "mine")
    own = tiny.classifier(seed=9)
    own.model.info = {"training": {"excerpts": {"models": {"mine": weights_hash(tmp_path / "mine")}}}}
    own.save(tmp_path / "mine-critic")
    argv = ["--model", tmp_path / "mine", *QUICK, "--quarters", 8, "--rank-by", "critic"]
    assert tiny.leave(compose.main, [*argv, "--out", tmp_path / "a"]) == 0
    assert json.loads((tmp_path / "a" / "run.json").read_text())["critic"] == str(tmp_path / "mine-critic")
    (tmp_path / "mine-critic" / "config.json").write_text("{")
    message = refused(capsys, *argv, "--out", tmp_path / "b")
    assert "mine-critic" in message and not (tmp_path / "b").exists()
    assert tiny.leave(compose.main, [*argv[:-2], "--rank-by", "none", "--out", tmp_path / "c"]) == 0


@pytest.mark.parametrize("flag", ["--prompt", "--fixed-melody", "--adapter", "--soundfont", "--replay"])
def test_a_folder_where_a_file_is_meant(model, tmp_path, capsys, flag):
    message = refused(capsys, "--model", model, "--out", tmp_path / "out", *QUICK, flag, tmp_path)
    assert flag in message and "is a folder; name a file" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flag", ["--critic", "--mix-human", "--model", "--out"])
def test_a_file_where_a_folder_is_meant(model, prompt, tmp_path, capsys, flag):
    message = refused(capsys, "--model", model, *QUICK, flag, prompt)
    assert flag in message and str(prompt) in message and prompt.is_file()


def test_a_shipped_model_is_found_by_name(tmp_path):
    assert tiny.leave(compose.main, ["--model", "notewise", *QUICK, "--out", tmp_path / "out"]) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["model"] == "notewise"


def test_missing_weights_are_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("clara.checkpoints.shipped_models.shipped_models_folder", lambda: tmp_path / "nowhere")
    message = refused(capsys, *QUICK, "--out", tmp_path / "out")
    assert defaults.DEFAULT_MODEL in message and "install Clara again" in message
    assert not (tmp_path / "out").exists()


REPLAYED_PATHS = {
    "model": "--model",
    "prompt": "--prompt",
    "fixed_melody": "--fixed-melody",
    "critic": "--critic",
    "adapter": "--adapter",
    "soundfont": "--soundfont",
    "mix_human": "--mix-human",
}


@pytest.mark.parametrize("name, flag", REPLAYED_PATHS.items())
@pytest.mark.parametrize("value", ["../../outside", "/etc/passwd", "a\0b", "link/x"])
def test_a_replay_does_not_lead_out_of_the_working_folder(finished_run, tmp_path, capsys, name, flag, value):
    run_json = tmp_path / "run.json"
    (tmp_path / "here" / "link").symlink_to(tmp_path)
    run_json.write_text(json.dumps(finished_run | {name: value}))
    assert f"name it with {flag}" in refused(capsys, "--replay", run_json, "--out", tmp_path / "out")


def test_a_replay_takes_the_files_that_are_named_again(model, prompt, tmp_path, capsys):
    first, again = tmp_path / "first", tmp_path / "again"
    assert tiny.leave(compose.main, ["--model", model, "--prompt", prompt, "--out", first, *QUICK]) == 0
    replay = ["--replay", first / "run.json", "--no-audio", "--out", again]
    assert "--model" in refused(capsys, *replay)
    assert tiny.leave(compose.main, [*replay, "--model", model, "--prompt", prompt]) == 0
    assert texts(again) == texts(first)


WRONG_VALUES = {
    "n": [0, 10**12, 1.5, "2", None],
    "quarters": [0, float("nan"), float("inf"), "8", [8]],
    "seed": [-1, 10**30, 0.5],
    "settings": [[], {"temperature": "1"}, {"temperature": float("nan")}, 3],
    "ranges": ["C2-C6", [1]],
    "fill": [[1], [1, 2, 3], "1:2"],
    "model": ["", 3, None],
    "key": [3],
    "flat": ["yes"],
    "precision": [8],
    "rank_by": [["critic"]],
}


@pytest.mark.parametrize("name, value", [(name, value) for name, values in WRONG_VALUES.items() for value in values])
def test_a_replay_with_a_wrong_value_is_refused(finished_run, tmp_path, capsys, name, value):
    (tmp_path / "run.json").write_text(json.dumps(finished_run | {name: value}))
    assert "run.json" in refused(capsys, "--replay", tmp_path / "run.json", "--out", tmp_path / "out")


@pytest.fixture(scope="module")
def finished_run(model, tmp_path_factory):
    """Return the content of a run.json."""
    out = tmp_path_factory.mktemp("run") / "out"
    assert tiny.leave(compose.main, ["--model", model, *QUICK, "--out", out]) == 0
    return json.loads((out / "run.json").read_text()) | {"model": "notewise"}


def test_rests_at_the_end_of_a_prompt_are_reported_and_kept(model, tmp_path, capsys):
    write_midi(build_notes([0, 12, 240], [12, 30, 252], [60, 62, 64])[0], tmp_path / "a.mid")
    out = tmp_path / "out"
    flags = ["--model", model, "--prompt", tmp_path / "a.mid", "--prompt-quarters", 8, "--out", out]
    assert tiny.leave(compose.main, [*flags, *QUICK]) == 0
    assert "prompt: 2 notes, 8 quarters, the last 5.5 of them rests" in capsys.readouterr().out
    composed = read_midi(out / "01.mid")[0].start[2:]
    assert composed.min() >= 8 * 12


def test_a_prompt_of_hours_is_refused_before_the_work_unless_without_audio(model, tmp_path, capsys):
    write_midi(replace(tiny.tune(0, n_notes=10), qpm=3.6), tmp_path / "slow.mid")
    flags = ["--model", model, "--prompt", tmp_path / "slow.mid", *QUICK, "--quarters", 100, "--out", tmp_path / "out"]
    assert "minutes" in refused(capsys, *flags, "--audio", "wav") and not (tmp_path / "out").exists()
    assert tiny.leave(compose.main, flags) == 0


@pytest.mark.parametrize("value", ["music21:../../secret.musicxml", "music21:/etc/passwd"])
def test_a_replay_does_not_lead_out_through_the_corpus(finished_run, tmp_path, capsys, value):
    (tmp_path / "run.json").write_text(json.dumps(finished_run | {"prompt": value}))
    assert "not inside" in refused(capsys, "--replay", tmp_path / "run.json", "--out", tmp_path / "out")


def test_the_continuation_may_be_written_alone(model, prompt, tmp_path, capsys):
    flags = ["--model", model, *QUICK, "--no-pictures", "--seed", 4, "--prompt", prompt]
    assert tiny.leave(compose.main, [*flags, "--out", tmp_path / "whole"]) == 0
    assert tiny.leave(compose.main, [*flags, "--out", tmp_path / "part", "--continuation-only"]) == 0
    whole, part = (read_midi(tmp_path / name / "01.mid")[0] for name in ("whole", "part"))
    start = read_midi(prompt)[0].n_steps
    assert len(part) and part == crop(whole, start, whole.n_steps)
    texts = [(tmp_path / name / "01.txt").read_text().split() for name in ("whole", "part")]
    assert texts[0][-len(texts[1]) :] == texts[1] and Notewise().decode(texts[1])[0] == part
    capsys.readouterr()
    for wrong in (flags[:-2], [*flags, "--fill", "1:2"]):
        assert "--continuation-only" in refused(capsys, *wrong, "--out", tmp_path / "no", "--continuation-only")


def test_a_time_signature_is_in_every_file(model, tmp_path, capsys):
    flags = ["--model", model, *QUICK[:1], *QUICK[2:-2], "--seed", 4, "--time-signature", "3/4", "--bars", 5]
    assert tiny.leave(compose.main, [*flags, "--out", tmp_path / "out"]) == 0
    assert read_midi(tmp_path / "out" / "01.mid")[0].time_signatures == ((0, 3, 4),)
    table = pd.read_csv(tmp_path / "out" / "ranking.csv")
    assert table["time_signature"].tolist() == ["3/4"] * 2
    assert sum(Notewise().token_steps((tmp_path / "out" / "01.txt").read_text().split())) == 5 * 36
    assert "<dt>time signature</dt><dd>3/4</dd>" in (tmp_path / "out" / "index.html").read_text()
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["time_signature"], run["bars"]) == ("3/4", 5)


def test_a_time_signature_is_replayed(model, wide_working_folder, tmp_path):
    flags = ["--model", model, *QUICK[:-2], "--seed", 4, "--time-signature", "6/8", "--bars", 3]
    assert tiny.leave(compose.main, [*flags, "--out", tmp_path / "first"]) == 0
    replay = ["--replay", tmp_path / "first" / "run.json", "--no-audio", "--no-pictures", "--out", tmp_path / "again"]
    assert tiny.leave(compose.main, replay) == 0
    first, again = (read_midi(tmp_path / name / "02.mid")[0] for name in ("first", "again"))
    assert first == again and first.time_signatures == again.time_signatures == ((0, 6, 8),)


def test_the_time_signature_of_a_prompt_is_reported(model, tmp_path, capsys):
    waltz = replace(tiny.tune(0, n_notes=10), time_signatures=((0, 3, 4),))
    write_midi(waltz, tmp_path / "waltz.mid")
    flags = ["--model", model, *QUICK, "--prompt", tmp_path / "waltz.mid"]
    assert tiny.leave(compose.main, [*flags, "--out", tmp_path / "out"]) == 0
    assert ", in 3/4\n" in capsys.readouterr().out
    assert "is in 3/4, not in 4/4" in refused(capsys, *flags, "--time-signature", "4/4", "--out", tmp_path / "no")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("value", ["3", "0/4", "3/4/4", "waltz", "99/4"])
def test_a_time_signature_that_is_none_is_refused(capsys, value):
    assert "is no time signature" in refused(capsys, "--time-signature", value)


PLANNED = ["--no-audio", "--no-pictures", "--rank-by", "none", "-n", 2]


@pytest.fixture
def planned_model(wide_working_folder, tmp_path, monkeypatch):
    """Return a model that follows plans, beside a planner in place of the shipped one."""
    tiny.plan_follower().save(tmp_path / "planned")
    tiny.planner().save(tmp_path / "shipped" / "planner")
    monkeypatch.setattr("clara.checkpoints.shipped_models.shipped_models_folder", lambda: tmp_path / "shipped")
    return tmp_path / "planned"


def test_a_form_its_plans_and_their_replay(planned_model, tmp_path, capsys):
    first, again, edited = tmp_path / "first", tmp_path / "again", tmp_path / "edited"
    flags = ["--model", planned_model, *PLANNED, "--seed", 3]
    assert tiny.leave(compose.main, [*flags, "--form", "A4 B4 A", "--no-ending", "--out", first]) == 0
    plans = [read_plan(first / f"0{n}.plan.csv") for n in (1, 2)]
    assert [len(plan) for plan in plans] == [12, 12] and all((plan.relation[8:] == EXACT).all() for plan in plans)
    assert pd.read_csv(first / "ranking.csv")["form"].str.contains("A").all()
    page = (first / "index.html").read_text()
    assert page.count('href="01.plan.csv"') == 1 and page.count('class="form"') == 2
    assert tiny.leave(compose.main, ["--replay", first / "run.json", "--no-audio", "--out", again]) == 0
    assert len(texts(first)) == 2 and texts(again) == texts(first)
    assert (again / "02.plan.csv").read_bytes() == (first / "02.plan.csv").read_bytes()
    write_plan(plans[0].first(5), tmp_path / "edited.csv")
    assert tiny.leave(compose.main, [*flags, "--plan", tmp_path / "edited.csv", "--out", edited]) == 0
    for n in (1, 2):
        plan = read_plan(edited / f"0{n}.plan.csv")
        assert (plan.begin == plans[0].begin[:6]).all() and (plan.chord == plans[0].chord[:5]).all()
    tiny.planner(seed=1).save(tmp_path / "shipped" / "planner")
    assert "another planner" in refused(capsys, "--replay", first / "run.json", "--out", tmp_path / "none")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--form", "A-B"], "'-' begins no section"),
        (["--form", "AABA", "--bars", 16], "the form has 32 bars, but the piece only 16; use --bars 32"),
        (["--form", "AABA", "--quarters", 64], "--form and --quarters both set the length"),
        (["--form", "AABA", "--form-of", "a.mid"], "--form and --form-of each set the form"),
        (["--form-of", "nowhere.mid"], "nowhere.mid"),
        (["--plan", "nowhere.csv"], "nowhere.csv"),
        (["--plan", "a.csv", "--bars", 4], "--plan and --bars exclude each other"),
        (["--form", "AA", "--fixed-melody", "a.mid"], "--form and --fixed-melody exclude each other"),
    ],
)
def test_forms_without_effect_are_refused(planned_model, tmp_path, capsys, flags, message):
    assert message in refused(capsys, "--model", planned_model, *PLANNED, *flags, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_without_plans_takes_no_form(model, tmp_path, capsys):
    for flag in (["--form", "AABA"], ["--form-of", "a.mid"], ["--plan", "a.csv"], ["--no-ending"]):
        message = refused(capsys, "--model", model, *PLANNED, *flag, "--out", tmp_path / "out")
        assert message.startswith(f"error: {flag[0]}: the model") and "follows no plans" in message
    assert tiny.leave(compose.main, ["--model", model, *QUICK, "--out", tmp_path / "out"]) == 0
    assert [path.name for path in (tmp_path / "out").glob("*.csv")] == ["ranking.csv"]
