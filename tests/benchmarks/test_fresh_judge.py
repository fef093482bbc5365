"""The fresh judge: it tells noise from music, and is at chance on two halves of one set."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from examples import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import fresh_judge
import fresh_models
import fresh_pieces
from fresh_descriptors import GROUPS, describe
from fresh_models import NetSettings, judge_descriptors, judge_piano_rolls, judge_self_similarity, judge_text, texts

from clara.errors import NoData
from clara.music.midi import write_midi
from clara.music.notes import NoteSequence, build_notes

pytestmark = pytest.mark.slow

QUARTERS = 16
QUARTER = 12
SCALE = (60, 62, 64, 65, 67, 69, 71, 72)


def tune(seed):
    """Return a tune in eighths over a bass, whose four bars are repeated."""
    rng = np.random.default_rng(seed)
    steps = np.abs(np.cumsum(rng.integers(-1, 2, 16))) % len(SCALE)
    melody = [(i * 6, i * 6 + 6, SCALE[step]) for i, step in enumerate(np.tile(steps, 2))]
    bass = [(i * 24, i * 24 + 24, int(rng.choice((43, 48)))) for i in range(8)]
    start, end, pitch = np.array(melody + bass).T
    return build_notes(start, end, pitch)[0]


def noise(seed):
    """Return notes at random places."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, QUARTERS * QUARTER - 8, 40)
    return build_notes(start, start + rng.integers(1, 8, 40), rng.integers(30, 90, 40))[0]


TUNES = [tune(seed) for seed in range(60)]
NOISE = [noise(seed) for seed in range(30)]
SETTINGS = NetSettings(QUARTERS, 8)


@pytest.fixture(autouse=True)
def small_models(monkeypatch):
    monkeypatch.setattr(fresh_models, "BATCH_SIZE", 8)
    monkeypatch.setattr(fresh_models, "N_TREES", 20)
    monkeypatch.setattr(fresh_models, "BOOSTING_SETTINGS", fresh_models.BOOSTING_SETTINGS | {"n_estimators": 10})
    monkeypatch.setattr(fresh_judge, "N_BOOTSTRAP", 50)
    torch.set_num_threads(1)


def auc_of(judge, pieces, human, **settings):
    """Return the AUC of a judge over three folds."""
    folds = fresh_judge.make_folds(human, [str(i) for i in range(len(human))], 3, 0)

    def with_settings(*args):
        return judge(*args, **settings)

    scores = fresh_judge.cross_validate(with_settings, pieces, human, folds, 0)
    return fresh_judge.auc_row("t", "x", scores, human, [str(i) for i in range(len(human))])


JUDGES = {
    "descriptors": (judge_descriptors, lambda pieces: fresh_judge.describe_all(pieces, QUARTERS)[0], {}),
    "piano roll": (judge_piano_rolls, list, {"settings": SETTINGS}),
    "self-similarity": (judge_self_similarity, list, {"settings": SETTINGS}),
    "text": (judge_text, texts, {}),
}


@pytest.mark.parametrize("name", JUDGES)
def test_noise_is_told_from_music(name):
    judge, prepare, settings = JUDGES[name]
    human = np.arange(60) < 30
    row = auc_of(judge, prepare(TUNES[:30] + NOISE), human, **settings)
    assert row["auc"] > 0.9 and row["interval"][0] <= row["auc"] <= row["interval"][1]


@pytest.mark.parametrize("name", ["descriptors", "text"])
def test_two_halves_of_one_set_are_not_told_apart(name):
    judge, prepare, settings = JUDGES[name]
    row = auc_of(judge, prepare(TUNES), np.arange(60) % 2 == 0, **settings)
    assert 0.25 < row["auc"] < 0.75


def test_no_group_is_on_both_sides():
    human = np.arange(40) < 20
    groups = [str(i // 2) for i in range(40)]
    for train, test in fresh_judge.make_folds(human, groups, 4, 0):
        assert not {groups[i] for i in train} & {groups[i] for i in test}
        assert human[test].any() and not human[test].all()


def test_intervals_are_wider_if_groups_are_alike():
    rng = np.random.default_rng(0)
    human = np.arange(200) < 100
    scores = np.repeat(rng.normal(size=20), 10) + human
    alone = fresh_judge.auc_interval(scores, human, [str(i) for i in range(200)])
    grouped = fresh_judge.auc_interval(scores, human, [str(i // 10) for i in range(200)])
    assert np.ptp(grouped) > 1.5 * np.ptp(alone)


def test_descriptors_are_finite_and_named_once():
    edge_cases = [
        NoteSequence.from_notes([(0, 1, 60)]),
        NoteSequence.from_notes([(QUARTERS * QUARTER - 1, 1, 108), (0, 1, 21)]),
        *TUNES[:3],
        *NOISE[:3],
    ]
    values, names = fresh_judge.describe_all(edge_cases, QUARTERS)
    assert np.isfinite(values).all() and len(set(names)) == len(names) == values.shape[1]
    assert {group for group, _ in names} == set(GROUPS)


def test_descriptors_by_hand():
    bar = [(0, 12, 60), (12, 12, 64), (24, 12, 67), (36, 12, 72)]
    notes = NoteSequence.from_notes([(start + 48 * i, length, pitch) for i in range(4) for start, length, pitch in bar])
    values = describe(notes, QUARTERS)
    assert values["bar repetition"]["share of exact bars (4 quarters)"] == 1
    assert values["bar repetition"]["notes the same 4 quarters later"] == 1
    assert values["rhythm"]["onsets on the quarter"] == 1
    assert values["texture and register"]["mean number of sounding notes"] == 1
    assert values["intervals"]["melody: share of rising intervals"] == pytest.approx(12 / 15)
    assert values["harmony and key"]["notes in the key"] == 1
    assert values["first and last quarter"]["last quarter: notes that sound"] == 1


def test_what_differs_most_comes_first():
    values = np.random.default_rng(0).normal(size=(40, 3))
    human = np.arange(40) < 20
    values[human, 1] += 9
    names = [("g", "a"), ("g", "b"), ("g", "c")]
    first = fresh_judge.differing_rows(values, names, human)[0]
    assert first["name"] == "b" and first["auc"] == 1 and first["human"] > first["generated"]


COMMAND = """
import argparse, sys
from clara.music.midi import write_midi
from clara.music.notes import build_notes
from pathlib import Path
p = argparse.ArgumentParser()
p.add_argument("--seed", type=int); p.add_argument("--out"); p.add_argument("--prompt")
args = p.parse_args()
Path(args.out).mkdir()
for i in range(2):
    start = [j * 12 for j in range(40)]
    pitches = [60 + (args.seed // 1000 + i) % 12] * 40
    write_midi(build_notes(start, [s + 12 for s in start], pitches)[0], f"{args.out}/{i}.mid")
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return a command that composes two pieces."""
    script = tmp_path / "compose.py"
    script.write_text(COMMAND)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    return f"python {script}"


def test_a_command_runs_until_there_are_enough_pieces(command, tmp_path):
    work = tmp_path / "work"
    runs = fresh_pieces.compose(command, work, 5, 1, [])
    assert [run.name for run in runs] == ["run-0000", "run-0001", "run-0002"]
    times = [run.stat().st_mtime_ns for run in runs]
    (work / "run-0003.part").mkdir()  # of an interrupted call
    more = fresh_pieces.compose(command, work, 7, 1, [])
    assert [run.stat().st_mtime_ns for run in more[:3]] == times and len(more) == 4
    excerpts = fresh_pieces.composed_excerpts(more, QUARTERS, 2, [], 0)
    assert [excerpt.notes.quarters for excerpt in excerpts] == [QUARTERS] * 8
    assert excerpts[0].group == excerpts[1].group == "run-0000"
    apart = fresh_pieces.composed_excerpts(more, QUARTERS, 5, [], 0)
    assert len({excerpt.group for excerpt in apart}) == 8
    with pytest.raises(NoData, match="another command"):
        fresh_pieces.compose(command + " --prompt x", work, 7, 1, [])


def test_continuations_follow_their_prompts(command, tmp_path):
    human = tmp_path / "human"
    human.mkdir()
    for seed in range(6):
        long = tune(seed)
        write_midi(long, human / f"{seed}.mid")
    prompts = fresh_pieces.prompts(human, 8, 8, 3, 0)
    assert len({prompt.group for prompt in prompts}) == 3
    assert all(prompt.notes.quarters == 8 for prompt in prompts)
    runs = fresh_pieces.compose(command, tmp_path / "work", 4, 1, prompts)
    excerpts = fresh_pieces.composed_excerpts(runs, 8, 1, prompts, 8)
    assert excerpts[0].group == prompts[0].group and excerpts[0].notes.quarters == 8
    settings = fresh_pieces.read_settings(tmp_path / "work")
    assert settings["prompts"] == [prompt.group for prompt in prompts]
    continuations = fresh_pieces.human_excerpts(human, 8, 8)
    assert len(continuations) == 6 and continuations[0].notes.quarters == 8
    with pytest.raises(NoData, match="held-out"):
        fresh_pieces.prompts(human, 8, 8, 9, 0)


def test_the_whole_table_at_tiny_size():
    human = np.arange(40) < 20
    args = SimpleNamespace(folds=2, judge_seed=0, quarters=QUARTERS, epochs=1)
    rows = fresh_judge.judge_rows(TUNES[:20] + NOISE[:20], human, [str(i) for i in range(40)], args)
    names = {(row["table"], row["name"]) for row in rows}
    assert ("judges", fresh_judge.MEAN) in names and ("groups", "bar repetition") in names
    assert sum(row["table"] == "descriptors" for row in rows) == fresh_judge.N_LISTED
