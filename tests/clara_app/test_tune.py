"""`clara tune`: a search for recipes that can be continued."""

import contextlib
import json
import sqlite3
import sys

import pandas as pd
import pytest
import tiny

from clara.errors import BadSetting, NoData
from clara.training.stages import Diverged
from clara_app import train, tune
from clara_app.tuning import study as study_module
from clara_app.tuning.recipe import Recipe, default_choices, suggest_recipe
from clara_app.tuning.trial import TrialResult, TrialSettings, run_trial, shorten_valid

optuna = pytest.importorskip("optuna")
SMALL = {"emb_sz": 8, "n_hid": 8, "n_layers": 1, "bs": 4, "bptt": 60}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("music"))


@pytest.fixture
def measured(monkeypatch):
    """Let trials cost no time; a higher learning rate is better."""

    def run(recipe, settings, on_check):
        for number in range(4):
            on_check(number, 10 - 100 * recipe.lr)
        inception = recipe.temperature if settings.composes else None
        return TrialResult(10 - 100 * recipe.lr, inception, 1000, 200), None

    monkeypatch.setattr(study_module, "run_trial", run)


def flags(corpus, out, *more):
    return [str(corpus), "--out", str(out), "--workers", "1", *map(str, more)]


def test_a_search_is_continued(corpus, measured, tmp_path, capsys):
    out = tmp_path / "out"
    status, answer = tiny.answer(tune.main, flags(corpus, out, "--trials", 3), capsys)
    assert status == 0 and answer["trials"] == 3
    assert answer["default"]["choices"] == default_choices([str(corpus)], pretrained=False, composes=False)
    status, answer = tiny.answer(tune.main, flags(corpus, out, "--trials", 12), capsys)
    table = pd.read_csv(out / "trials.csv")
    assert len(table) == 12
    assert table["params_lr"].is_unique  # what continues draws other recipes
    [best] = answer["best"]
    assert best["values"] == [table["value"].min()]
    assert sum(answer["importances"]["nats"].values()) == pytest.approx(1, abs=0.02)
    report = (out / "report.md").read_text()
    assert best["command"] in report and "12 trials" in report
    assert {"history.png", "importances_nats.png", "best.json"} <= {path.name for path in out.iterdir()}


def test_two_objectives(corpus, measured, tmp_path, capsys):
    argv = flags(corpus, tmp_path / "out", "--trials", 6, "--objective", "both", "--classifier", tmp_path / "composers")
    tiny.classifier(classes=["bach", "chopin"]).save(tmp_path / "composers")
    _, answer = tiny.answer(tune.main, argv, capsys)
    for row in answer["best"]:
        assert not any(
            other["values"][0] < row["values"][0] and other["values"][1] > row["values"][1] for other in answer["best"]
        )
    assert (tmp_path / "out" / "pareto.png").is_file()


def test_a_database_of_another_study(corpus, measured, tmp_path):
    tune.main(flags(corpus, tmp_path, "--trials", 1))
    for more in (["--minutes", 5], ["--objective", "inception"], ["--pretrained", "notewise"]):
        with pytest.raises(BadSetting, match="another"):
            tune.main(flags(corpus, tmp_path, "--trials", 2, *more))
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 1


@pytest.mark.parametrize("url", ["nothing", "oracle9://host/db", "sqlite:////no/such/folder/study.db"])
def test_a_database_that_cannot_be_used(corpus, tmp_path, url):
    with pytest.raises(BadSetting, match="database"):
        tune.main(flags(corpus, tmp_path, "--storage", url))


def test_messages_hide_the_password_of_a_database(corpus, tmp_path):
    with pytest.raises(BadSetting, match="database") as error:
        tune.main(flags(corpus, tmp_path, "--storage", "oracle9://user:secret@host/db"))
    assert "secret" not in str(error.value) and "user" in str(error.value)


def test_a_locked_database(corpus, measured, tmp_path, monkeypatch):
    tune.main(flags(corpus, tmp_path, "--trials", 1))
    with (
        monkeypatch.context() as patched,
        contextlib.closing(sqlite3.connect(tmp_path / "study.db", isolation_level=None)) as other,
    ):
        patched.setattr(study_module, "SECONDS_FOR_LOCK", 0.1)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BadSetting, match="locked"):
            tune.main(flags(corpus, tmp_path, "--trials", 2))
    assert tune.main(flags(corpus, tmp_path, "--trials", 2)) == 0


def test_trials_that_all_fail_are_named(corpus, tmp_path, monkeypatch):
    def fail(*_):
        raise Diverged("the loss is no longer finite")

    monkeypatch.setattr(study_module, "run_trial", fail)
    with pytest.raises(BadSetting, match="none of 2 trials.*Diverged: the loss is no longer finite"):
        tune.main(flags(corpus, tmp_path, "--trials", 2))
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 2


def test_bad_data_and_a_missing_package(corpus, tmp_path, monkeypatch):
    with pytest.raises(NoData):
        tune.main(flags(tmp_path / "nothing", tmp_path / "out"))
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(BadSetting, match="pip install optuna"):
        tune.main(flags(corpus, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_flags_of_a_recipe_are_those_of_train(corpus):
    trial = optuna.trial.FixedTrial(default_choices([str(corpus)], pretrained=False, composes=False) | {"lr": 0.004})
    recipe = suggest_recipe(trial, [str(corpus)], pretrained=False, composes=False)
    settings = train.settings_from_args(vars(train.parser().parse_args([*recipe.flags(), "--out", "here"])))
    assert (settings.lr, settings.emb_sz, settings.n_layers, settings.from_scratch) == (0.004, 384, 4, True)
    fine_tuned = train.parser().parse_args([*Recipe(str(corpus), None, None, None).flags("notewise"), "--out", "here"])
    assert fine_tuned.pretrained == "notewise" and fine_tuned.all_layers


def test_a_trial_trains_for_its_time_and_composes(corpus, tmp_path, monkeypatch):
    tiny.classifier(classes=["bach", "chopin"]).save(tmp_path / "composers")
    recipe = Recipe(str(corpus), **SMALL, temperature=0.9, top_p=0.98)
    checks = []
    settings = TrialSettings(0.004, composes=True, classifier=str(tmp_path / "composers"))
    result, _ = run_trial(recipe, settings, lambda *check: checks.append(check))
    assert [number for number, _ in checks] == [0, 1, 2, 3]
    assert result.nats == checks[-1][1] < checks[0][1]
    assert 1 <= result.inception <= 2 and result.n_tokens > 0


def test_only_some_of_much_validation_music_is_read(corpus, monkeypatch):
    from clara.data.corpus import Corpus
    from clara_app.tuning import trial

    whole = Corpus.load(corpus)
    assert shorten_valid(whole).manifest.equals(whole.manifest)
    whole.manifest["split"] = "valid"
    monkeypatch.setattr(trial, "MAX_VALID_TOKENS", int(whole.manifest["tokens"][:2].sum()))
    assert shorten_valid(whole).manifest["piece"].tolist() == whole.manifest["piece"].tolist()[:2]


def test_the_answer_is_json(corpus, measured, tmp_path):
    tune.main(flags(corpus, tmp_path, "--trials", 2))
    assert json.loads((tmp_path / "best.json").read_text())["trials"] == 2
