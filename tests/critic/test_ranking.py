"""Ranking pieces and files, from a notebook and from the command line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny

import critic
from clara.checkpoints.checkpoint import weights_hash
from clara.errors import BadSetting
from clara.generation.generator import Sample
from clara.music.midi import write_midi
from clara.music.notes import crop
from critic import ranking, scores
from critic.defaults import DEFAULT_RANKING
from critic.ranking import RankedPiece, best_and_worst, rank, rank_files
from critic.scores import parse_ranking


def sample(notes, prompt_quarters=0.0):
    return Sample([], notes, 0, prompt_quarters, 1)


def test_the_package_offers_its_public_names():
    assert set(critic.__all__) <= set(dir(critic))
    assert all(getattr(critic, name) for name in critic.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        critic.nothing  # noqa: B018


def test_rank_takes_samples_notes_and_files(scoring_models, pieces, files):
    ranked = rank(pieces, "critic", scoring_models)
    assert [piece.rank for piece in ranked] == list(range(1, 8))
    assert {id(piece.piece) for piece in ranked} == set(map(id, pieces))
    totals = [piece.total for piece in ranked]
    assert totals == sorted(totals, reverse=True)
    assert all(piece.scores == {"critic": piece.total} and not piece.problem for piece in ranked)
    for others in (files, [sample(notes) for notes in pieces]):
        again = rank(others, "critic", scoring_models)
        assert [piece.total for piece in again] == pytest.approx(totals, abs=1e-3)


def test_rank_scores_only_what_was_composed(scoring_models, pieces):
    long = pieces[6]
    (whole,) = rank([sample(long)], models=scoring_models)
    (continued,) = rank([sample(long, prompt_quarters=4.0)], models=scoring_models)
    (rest,) = rank([crop(long, 48, long.n_steps)], DEFAULT_RANKING, scoring_models)
    assert continued.scores == rest.scores != whole.scores
    assert set(whole.scores) == {"critic"}


def test_rank_puts_what_it_cannot_score_last(scoring_models, pieces):
    short = crop(pieces[0], 0, 12)
    *_, last = rank([short, *pieces], "critic", scoring_models)
    assert last.piece is short and last.total is None and last.scores == {} and "quarters" in last.problem
    assert rank([], "critic", scoring_models) == []
    with pytest.raises(BadSetting):
        rank(pieces, "nonsense", scoring_models)


def test_equal_totals_keep_their_order(files):
    values = {file.name: value for file, value in zip(files, [1, 3, 3.00001, 2, 3, 0, 1])}

    def score(paths):
        totals = np.array([values[path.name] for path in paths], dtype=np.float32)
        return {"critic": totals}, totals

    rows, skipped = rank_files(files, score)
    assert [row["file"][-5] for row in rows] == list("1243065") and not skipped
    assert [row["rank"] for row in rows] == list(range(1, 8))


def test_a_bad_file_is_skipped(scoring_models, files, tmp_path):
    score = parse_ranking("critic", scoring_models)
    rows, _ = rank_files(files, score)
    (tmp_path / "bad.mid").write_bytes(b"no music")
    write_midi(crop(tiny.tune(0), 0, 12), tmp_path / "short.mid")
    more, skipped = rank_files([tmp_path / "bad.mid", *files, tmp_path / "short.mid"], score)
    expected = [(row["file"], pytest.approx(row["total"], abs=1e-3)) for row in rows]
    assert [(row["file"], row["total"]) for row in more] == expected
    assert [path.name for path, _ in skipped] == ["bad.mid", "short.mid"]


def test_a_batch_that_fails_is_halved_until_the_piece_is_found(scoring_models, files, tmp_path, monkeypatch):
    (tmp_path / "2b.mid").write_bytes(b"no music")
    paths, score, calls, done = sorted(tmp_path.glob("*.mid")), parse_ranking("critic", scoring_models), [], []
    whole = rank_files(files, score)[0]
    monkeypatch.setattr(ranking, "BATCH_FILES", 3)

    def counted(pieces):
        calls.append(len(pieces))
        return score(pieces)

    rows, skipped = rank_files(paths, counted, done.append)
    expected = [(row["rank"], row["file"], pytest.approx(row["total"], abs=1e-3)) for row in whole]
    assert [(row["rank"], row["file"], row["total"]) for row in rows] == expected
    assert [path.name for path, _ in skipped] == ["2b.mid"] and done == [3, 3, 2] and calls == [3, 3, 1, 2, 2]


def test_best_and_worst(pieces):
    model = tiny.classifier()
    best, worst = best_and_worst(pieces, 2, model)
    values = model.score(pieces)
    order = sorted(range(7), key=lambda i: -values[i])
    expected = [pieces[i] for i in [*order[:2], *order[:-3:-1]]]
    assert all(piece is wanted for (piece, _), wanted in zip([*best, *worst], expected, strict=True))
    assert best[0][1] == pytest.approx(max(values), abs=1e-4)


@pytest.fixture
def pretrained(scoring_folder, monkeypatch):
    """Make the command find the tiny models."""
    monkeypatch.setattr(scores.ScoringModels.__init__, "__defaults__", ("notewise", scoring_folder, None, None))


def test_the_command(pretrained, files, tmp_path, capsys):
    (tmp_path / "bad.mid").write_bytes(b"no music")
    argv = [tmp_path, "--rank-by", "critic - 0.1 longest_copied_run", "--top", 3, "--out", tmp_path / "best"]
    assert tiny.leave(ranking.main, argv) == 0
    printed = capsys.readouterr()
    assert "bad.mid" in printed.err and "1 of 8 files could not be scored" in printed.err
    assert "bad.mid" not in printed.out and "inception score of all 7" in printed.out
    table = pd.read_csv(tmp_path / "best" / "ranking.csv")
    assert len(table) == 7 and table["total"].is_monotonic_decreasing
    assert set(table.columns) == {"rank", "file", "total", "critic", "longest_copied_run"}
    assert len(list((tmp_path / "best").glob("*.mid"))) == 3
    best = Path(table["file"][0])
    assert next((tmp_path / "best").glob("01-*.mid")).read_bytes() == best.read_bytes()
    assert tiny.leave(ranking.main, [tmp_path / "best" / "nowhere"]) == 2
    assert tiny.leave(ranking.main, [files[0], "--rank-by", "nonsense"]) == 2


def test_the_critic_of_the_model_that_composed(pretrained, files, tmp_path, capsys):
    tiny.checkpoint(seed=3).save(tmp_path / "mine")
    critic = tiny.classifier(seed=9)
    critic.model.info = {"training": {"excerpts": {"models": {"mine": weights_hash(tmp_path / "mine")}}}}
    critic.save(tmp_path / "mine-critic")
    argv = [files[0], "--rank-by", "critic", "--out"]
    (own,), (shipped,) = (
        tiny.answer(ranking.main, [*argv, tmp_path / out, *more], capsys)[1]["pieces"]
        for out, more in (("own", ["--model", tmp_path / "mine"]), ("shipped", []))
    )
    assert own["critic"] == pytest.approx(critic.score(files[:1])[0], abs=0.02) and own["critic"] != shipped["critic"]


def test_the_command_as_json(pretrained, files, tmp_path, capsys):
    (tmp_path / "bad.mid").write_bytes(b"no music")
    status, answer = tiny.answer(ranking.main, [tmp_path, "--top", 3, "--rank-by", "critic"], capsys)
    assert status == 0 and [row["rank"] for row in answer["pieces"]] == list(range(1, 8))
    assert 1 <= answer["inception_score"] <= 3
    assert {row["file"] for row in answer["pieces"]} == set(map(str, files))
    assert [row["total"] for row in answer["pieces"]] == pd.read_csv(answer["ranking"])["total"].tolist()
    assert [skipped["file"] for skipped in answer["skipped"]] == [str(tmp_path / "bad.mid")]
    assert "bad.mid" in answer["skipped"][0]["reason"]


def test_nothing_to_rank(pretrained, tmp_path, capsys):
    (tmp_path / "bad.mid").write_bytes(b"no music")
    assert tiny.leave(ranking.main, [tmp_path, "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "skipped" in printed.err and "none of the pieces" in printed.err
    assert not (tmp_path / "ranking.csv").exists()


def test_a_ranked_piece_shows_itself(scoring_models, pieces, files):
    for piece in (pieces[0], files[0], sample(pieces[0])):
        (ranked,) = rank([piece], "critic", scoring_models)
        shown = ranked._repr_html_()
        assert f"rank 1: total {ranked.total:.2f}" in shown and "<audio" in shown and "<svg" in shown
    (unscored,) = rank([crop(pieces[0], 0, 12)], "critic", scoring_models)
    assert unscored.problem.partition(";")[0][:10] in unscored._repr_html_()


def test_a_ranked_piece_is_played_as_its_file_says(tmp_path):
    notes = tiny.tune(0)
    write_midi(notes, tmp_path / "played.mid", expression=tiny.expression(notes))
    write_midi(notes, tmp_path / "flat.mid")
    played, flat, plain = (
        RankedPiece(piece, 1, None, {}) for piece in (tmp_path / "played.mid", tmp_path / "flat.mid", notes)
    )
    assert played.expression.velocity.tolist() == tiny.expression(notes).velocity.tolist()
    assert flat.expression is None and plain.expression is None
