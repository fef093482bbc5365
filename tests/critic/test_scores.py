"""What pieces are ranked by, and ranking."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny

from clara.encodings.notewise import Notewise
from clara.errors import BadSetting, NoNotes
from clara.music.midi import write_midi
from clara.music.notes import build_notes, crop, rebuild_notes, transpose
from critic import ranking, scores
from critic.copy_index import NoteIndex
from critic.ranking import best_and_worst, rank_files
from critic.scores import SCORES, ScoringModels, inception_score, parse_ranking

PIECES = [tiny.tune(i, n_notes=40 + 7 * i) for i in range(7)]
NAMES = ["critic", "composer:chopin", "novelty", "likelihood", "longest_copied_run", "note_density", "rest_ratio"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What is shipped, at the smallest size."""
    folder = tmp_path_factory.mktemp("pretrained")
    tiny.classifier().save(folder / "critic-notewise")
    tiny.classifier(classes=["bach", "chopin", "satie"], seed=1).save(folder / "composer-notewise")
    tiny.checkpoint().save(folder / "notewise")
    NoteIndex.from_pieces([("tunes/3", PIECES[3])]).save(folder / "notewise" / "notes.npz")
    return folder


@pytest.fixture(scope="module")
def judges(folder):
    return ScoringModels(folder=folder)


@pytest.fixture
def files(tmp_path):
    for i, notes in enumerate(PIECES):
        write_midi(notes, tmp_path / f"{i}.mid")
    return sorted(tmp_path.glob("*.mid"))


def test_every_score_is_tested():
    assert {name.split(":")[0] for name in NAMES} == set(SCORES)


@pytest.mark.parametrize("name", NAMES)
def test_a_score_is_a_number_for_each_in_any_company(judges, files, name):
    score = parse_ranking(name, judges)
    each, total = score(PIECES)
    assert total.dtype == np.float32 and total.shape == (7,) and np.isfinite(total).all()
    sign = 1 if SCORES[name.split(":")[0]].higher_is_better else -1
    assert (sign * each[name] + 0.0).tolist() == total.tolist()
    assert score(PIECES[::-1])[1][::-1] == pytest.approx(total, abs=1e-3)
    assert score(PIECES[2:3])[1] == pytest.approx(total[2:3], abs=1e-3)
    assert score(files)[1] == pytest.approx(total, abs=1e-3)


def test_the_copy_is_found_in_another_key(judges):
    copied = scores.LongestCopiedRun(judges)
    (run,) = copied.find_runs([transpose(PIECES[3], 4)[0]])
    assert (run.n_notes, run.source) == (len(PIECES[3]), "tunes/3")
    assert copied([PIECES[3], PIECES[0]]).tolist() == [len(PIECES[3]), 0]


def test_likelihood_is_that_of_the_generator(judges):
    from clara.models.likelihood import nats_per_piece

    checkpoint = tiny.checkpoint()
    ids = [checkpoint.vocab.to_ids(["xxbos", *Notewise().encode(p)[0]]) for p in PIECES]
    wanted = -nats_per_piece(checkpoint.inference_model(), ids, 0).numpy() / [p.quarters for p in PIECES]
    assert parse_ranking("likelihood", judges)(PIECES)[1] == pytest.approx(wanted, rel=2e-3)  # half precision on disk


def test_likelihood_knows_what_the_generator_plays_again(judges, tmp_path):
    """With a match model that is sure of every match, what says everything twice costs less than by the net alone."""
    from clara.repeats.model import CALIBRATION_SHAPE, RepeatModel

    checkpoint, pieces = (
        tiny.checkpoint(),
        [
            rebuild_notes(
                p,
                np.r_[p.start, p.start + p.n_steps],
                np.r_[p.end, p.end + p.n_steps],
                np.r_[p.pitch, p.pitch],
                np.r_[p.part, p.part],
            )[0]
            for p in PIECES[2:]
        ],
    )
    checkpoint.info["repeats"] = RepeatModel(np.tile([1.0, 3.0], (*CALIBRATION_SHAPE[:-1], 1))).to_dict()
    checkpoint.save(tmp_path / "notewise")
    with_matches = parse_ranking("likelihood", scores.ScoringModels("notewise", tmp_path))(pieces)[1]
    assert (with_matches > parse_ranking("likelihood", judges)(pieces)[1] + 0.5).all()
    assert parse_ranking("likelihood", scores.ScoringModels("notewise", tmp_path))(pieces[:1])[1] == pytest.approx(
        with_matches[:1], abs=1e-3
    )


def test_note_density_counts_doublings_of_notes_per_quarter(judges):
    notes = crop(PIECES[2], 0, 120)
    twice = rebuild_notes(
        notes,
        np.r_[notes.start, notes.start],
        np.r_[notes.end, notes.end],
        np.r_[notes.pitch, notes.pitch - 30],
        np.r_[notes.part, notes.part],
    )[0]
    once, doubled = parse_ranking("note_density", judges)([notes, twice])[1]
    assert once == pytest.approx(np.log2(len(notes) / (notes.end.max() / 12))) and doubled - once == pytest.approx(1)
    with pytest.raises(NoNotes):
        parse_ranking("note_density", judges)([["wait12"] * 12])


def test_rest_ratio_counts_quarters_in_which_nothing_sounds(judges):
    notes = build_notes([0, 12, 60, 96], [12, 24, 72, 108], [60, 62, 64, 65])[0]
    assert parse_ranking("rest_ratio", judges)([notes])[1] == pytest.approx(
        [-3 / 10]
    )  # as in MusPy a note is still in the quarter that it ends on
    with pytest.raises(NoNotes):
        parse_ranking("rest_ratio", judges)([["wait12"] * 12])


def test_novelty_wants_a_human_whom_nobody_knows():
    class Known:
        def log_probs(self, pieces):
            return np.log(np.array([[0.98, 0.01, 0.01], [1 / 3] * 3, [1 / 3] * 3]))

    class Heard:
        def score(self, pieces):
            return np.array([4.0, 4.0, -4.0], dtype=np.float32)

    known, real, false = scores.Novelty(type("Judges", (), {"composer_classifier": Known(), "critic": Heard()}))(
        [0, 1, 2]
    )
    assert real > known and real > false
    assert real == pytest.approx(-np.log1p(np.exp(-4)), abs=1e-6)


@pytest.mark.parametrize(
    "told, weights",
    [
        ("critic - longest_copied_run", {"critic": 1, "longest_copied_run": -1}),
        ("0.5*critic-2 novelty", {"critic": 0.5, "novelty": -2}),
        ("critic - 1e-2 likelihood + 3*composer:bach", {"critic": 1, "likelihood": -0.01, "composer:bach": 3}),
    ],
)
def test_a_sum_is_what_it_says(judges, told, weights):
    each, total = parse_ranking(told, judges)(PIECES)
    assert each.keys() == weights.keys()
    assert total == pytest.approx(sum(w * each[name] for name, w in weights.items()), rel=1e-4)


@pytest.mark.parametrize(
    "told",
    ["", "  ", "critic novelty", "critic +", "3", "nonsense", "critic:x", "composer", "composer:nobody", "critic; rm"],
)
def test_no_sum(judges, told):
    with pytest.raises(BadSetting):
        parse_ranking(told, judges)


def test_inception_score():
    same, one_each = np.log(np.full((4, 3), 1 / 3)), np.log(np.eye(3) * (1 - 3e-9) + 1e-9)
    assert inception_score(same) == pytest.approx(1)
    assert inception_score(one_each) == pytest.approx(3, rel=1e-4)
    assert inception_score(one_each[:1]) == pytest.approx(1)


def test_best_first_and_equal_ones_by_name(files):
    values = {f.name: v for f, v in zip(files, [1, 3, 3.00001, 2, 3, 0, 1])}

    def score(paths):
        told = np.array([values[p.name] for p in paths], dtype=np.float32)
        return {"critic": told}, told

    rows, bad = rank_files(files, score)
    assert [r["file"][-5] for r in rows] == list("1243065") and not bad
    assert [r["rank"] for r in rows] == list(range(1, 8))


def test_one_bad_file_is_left_out(judges, files, tmp_path):
    score = parse_ranking("critic", judges)
    rows, _ = rank_files(files, score)
    (tmp_path / "bad.mid").write_bytes(b"no music")
    write_midi(crop(tiny.tune(0), 0, 12), tmp_path / "short.mid")
    more, bad = rank_files([tmp_path / "bad.mid", *files, tmp_path / "short.mid"], score)
    assert [(r["file"], r["total"]) for r in more] == [(r["file"], pytest.approx(r["total"], abs=1e-3)) for r in rows]
    assert [path.name for path, _ in bad] == ["bad.mid", "short.mid"]


def test_best_and_worst():
    critic = tiny.classifier()
    best, worst = best_and_worst(PIECES, 2, critic)
    told = dict(zip(range(7), critic.score(PIECES)))
    order = sorted(told, key=lambda i: -told[i])
    assert [p is PIECES[i] for (p, _), i in zip([*best, *worst], [*order[:2], *order[:-3:-1]])] == [True] * 4
    assert best[0][1] == pytest.approx(max(told.values()), abs=1e-4)


@pytest.fixture
def shipped(folder, monkeypatch):
    """The command finds the tiny judges."""
    monkeypatch.setattr(scores.ScoringModels.__init__, "__defaults__", ("notewise", folder, None))


def test_the_command(shipped, files, tmp_path, capsys):
    (tmp_path / "bad.mid").write_bytes(b"no music")
    assert (
        tiny.leave(
            ranking.main,
            [tmp_path, "--rank-by", "critic - 0.1 longest_copied_run", "--top", 3, "--out", tmp_path / "best"],
        )
        == 0
    )
    told = capsys.readouterr()
    assert "bad.mid" in told.err and "1 of 8 files could not be scored" in told.err and "bad.mid" not in told.out
    assert "inception score of all 7" in told.out
    table = pd.read_csv(tmp_path / "best" / "ranking.csv")
    assert (
        len(table) == 7
        and table["total"].is_monotonic_decreasing
        and set(table.columns) == {"rank", "file", "total", "critic", "longest_copied_run"}
    )
    assert len(list((tmp_path / "best").glob("*.mid"))) == 3
    best = table["file"][0]
    assert next((tmp_path / "best").glob("01-*.mid")).read_bytes() == Path(best).read_bytes()
    assert tiny.leave(ranking.main, [tmp_path / "best" / "nowhere"]) == 2
    assert tiny.leave(ranking.main, [files[0], "--rank-by", "nonsense"]) == 2


def test_the_command_for_a_program(shipped, files, tmp_path, capsys):
    (tmp_path / "bad.mid").write_bytes(b"no music")
    status, told = tiny.answer(ranking.main, [tmp_path, "--top", 3, "--rank-by", "critic"], capsys)
    assert (
        status == 0
        and [row["rank"] for row in told["pieces"]] == list(range(1, 8))
        and 1 <= told["inception_score"] <= 3
    )
    assert {row["file"] for row in told["pieces"]} == set(map(str, files)) and [
        row["total"] for row in told["pieces"]
    ] == pd.read_csv(told["ranking"])["total"].tolist()
    assert [left["file"] for left in told["skipped"]] == [str(tmp_path / "bad.mid")] and "bad.mid" in told["skipped"][
        0
    ]["reason"]


def test_nothing_to_rank(shipped, tmp_path, capsys):
    (tmp_path / "bad.mid").write_bytes(b"no music")
    assert tiny.leave(ranking.main, [tmp_path, "--json"]) == 2
    told = capsys.readouterr()
    assert (
        told.out == ""
        and "skipped" in told.err
        and "none of the pieces" in told.err
        and not (tmp_path / "ranking.csv").exists()
    )


def test_many_are_judged_as_few_are(judges, files, tmp_path, monkeypatch):
    """Some at a time, and singly only where one of those few is bad."""
    (tmp_path / "2b.mid").write_bytes(b"no music")
    paths, score, calls, done = sorted(tmp_path.glob("*.mid")), parse_ranking("critic", judges), [], []
    whole = rank_files(files, score)[0]
    monkeypatch.setattr(ranking, "BATCH_FILES", 3)

    def counted(pieces):
        calls.append(len(pieces))
        return score(pieces)

    rows, bad = rank_files(paths, counted, done.append)
    assert [(r["rank"], r["file"], r["total"]) for r in rows] == [
        (r["rank"], r["file"], pytest.approx(r["total"], abs=1e-3)) for r in whole
    ]
    assert [path.name for path, _ in bad] == ["2b.mid"] and done == [3, 3, 2] and calls == [3, 3, 1, 1, 1, 2]
