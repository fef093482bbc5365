"""The contract of every score, what each score measures, and ranking expressions."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from clara.checkpoints.shipped_models import MissingModel
from clara.encodings.notewise import Notewise
from clara.errors import BadSetting, NoNotes
from clara.music.notes import build_notes, crop, rebuild_notes, transpose
from critic.defaults import DEFAULT_RANKING
from critic.scores import SCORES, LongestCopiedRun, Novelty, ScoringModels, inception_score, make_score, parse_ranking

NAMES = [
    "critic",
    "composer:chopin",
    "novelty",
    "likelihood",
    "longest_copied_run",
    "density_likelihood",
    "note_density",
    "rest_ratio",
]


def test_every_score_is_tested():
    assert {name.split(":")[0] for name in NAMES} == set(SCORES)


@pytest.mark.parametrize("name", NAMES)
def test_a_score_is_a_number_that_depends_on_the_piece_alone(scoring_models, pieces, files, name):
    score = make_score(name, scoring_models)
    values = score(pieces)
    assert values.dtype == np.float32 and values.shape == (7,) and np.isfinite(values).all()
    assert isinstance(score.higher_is_better, bool)
    assert score(pieces[::-1])[::-1] == pytest.approx(values, abs=1e-3)
    assert score(pieces[2:3]) == pytest.approx(values[2:3], abs=1e-3)
    assert score(files) == pytest.approx(values, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_score_alone_ranks_its_best_first(scoring_models, pieces, name):
    scores, total = parse_ranking(name, scoring_models)(pieces)
    sign = 1 if SCORES[name.split(":")[0]].higher_is_better else -1
    assert list(scores) == [name] and (sign * scores[name]).tolist() == total.tolist()
    assert parse_ranking(f"- {name}", scoring_models)(pieces)[1].tolist() == (-scores[name]).tolist()
    assert parse_ranking(f"1 {name}", scoring_models)(pieces)[1].tolist() == scores[name].tolist()


def test_a_copy_in_another_key_is_found(scoring_models, pieces):
    score = LongestCopiedRun(scoring_models)
    (run,) = score.find_runs([transpose(pieces[3], 4)[0]])
    assert (run.n_notes, run.source) == (len(pieces[3]), "tunes/3")
    assert score([pieces[3], pieces[0]]).tolist() == [len(pieces[3]), 0]


def test_likelihood_is_that_of_the_generator(scoring_models, pieces):
    from clara.models.likelihood import nats_per_piece

    checkpoint = tiny.checkpoint()
    ids = [checkpoint.vocab.to_ids(["xxbos", *Notewise().encode(piece)[0]]) for piece in pieces]
    nats = nats_per_piece(checkpoint.inference_model(), ids, 0).numpy()
    expected = -nats / [piece.quarters for piece in pieces]
    assert make_score("likelihood", scoring_models)(pieces) == pytest.approx(expected, rel=2e-3)  # float16 on disk


def test_likelihood_includes_the_repeat_model(scoring_models, pieces, tmp_path):
    """With a repeat model that is sure of every repeat, repeated music is more likely than by the net alone."""
    from clara.repeats.model import CALIBRATION_SHAPE, RepeatModel

    twice = [
        rebuild_notes(
            piece,
            np.r_[piece.start, piece.start + piece.n_steps],
            np.r_[piece.end, piece.end + piece.n_steps],
            np.r_[piece.pitch, piece.pitch],
            np.r_[piece.part, piece.part],
        )[0]
        for piece in pieces[2:]
    ]
    checkpoint = tiny.checkpoint()
    checkpoint.info["repeats"] = RepeatModel(np.tile([1.0, 3.0], (*CALIBRATION_SHAPE[:-1], 1))).to_dict()
    checkpoint.save(tmp_path / "notewise")
    score = make_score("likelihood", ScoringModels("notewise", tmp_path))
    values = score(twice)
    assert (values > make_score("likelihood", scoring_models)(twice) + 0.5).all()
    assert score(twice[:1]) == pytest.approx(values[:1], abs=1e-3)


def test_note_density_is_a_binary_logarithm(scoring_models, pieces):
    notes = crop(pieces[2], 0, 120)
    twice = rebuild_notes(
        notes,
        np.r_[notes.start, notes.start],
        np.r_[notes.end, notes.end],
        np.r_[notes.pitch, notes.pitch - 30],
        np.r_[notes.part, notes.part],
    )[0]
    score = make_score("note_density", scoring_models)
    once, doubled = score([notes, twice])
    assert once == pytest.approx(np.log2(len(notes) / (notes.end.max() / 12))) and doubled - once == pytest.approx(1)
    with pytest.raises(NoNotes):
        score([["wait12"] * 12])


def test_density_likelihood_rewards_neither_thin_nor_overfull_music(scoring_models):
    """The more notes the better it was once, without bound."""
    notes_per_quarter = np.array([1, 2, 4, 6, 12, 24])
    pieces = []
    for n in notes_per_quarter.tolist():
        first_steps = np.repeat(np.arange(16) * 12, n)
        pieces.append(build_notes(first_steps, first_steps + 12, 40 + np.tile(np.arange(n) * 2, 16))[0])
    score = make_score("density_likelihood", scoring_models)
    values = score(pieces)
    assert values == pytest.approx(-0.5 * ((np.log2(notes_per_quarter) - 2.15) / 0.69) ** 2, abs=1e-4)
    assert values.argmax() == 2 and (values <= 0).all()
    assert values[4] < values[3] and values[5] < values[4] and values[0] < values[1]
    with pytest.raises(NoNotes):
        score([["wait12"] * 12])


def test_rest_ratio_is_the_share_of_empty_quarters(scoring_models):
    notes = build_notes([0, 12, 60, 96], [12, 24, 72, 108], [60, 62, 64, 65])[0]
    score = make_score("rest_ratio", scoring_models)
    assert score([notes]) == pytest.approx([3 / 10])  # as in MusPy, a note also counts in the quarter where it ends
    with pytest.raises(NoNotes):
        score([["wait12"] * 12])


def test_novelty_is_high_for_human_music_unlike_every_composer():
    class Composers:
        def log_probs(self, pieces):
            return np.log(np.array([[0.98, 0.01, 0.01], [1 / 3] * 3, [1 / 3] * 3]))

    class Critic:
        def score(self, pieces):
            return np.array([4.0, 4.0, -4.0], dtype=np.float32)

    models = SimpleNamespace(composer_classifier=Composers(), critic=Critic(), read=list)
    known, novel, generated = Novelty(models)([0, 1, 2])
    assert novel > known and novel > generated
    assert novel == pytest.approx(-np.log1p(np.exp(-4)), abs=1e-6)


@pytest.mark.parametrize(
    "expression, weights",
    [
        ("critic - longest_copied_run", {"critic": 1, "longest_copied_run": -1}),
        ("0.5*critic-2 novelty", {"critic": 0.5, "novelty": -2}),
        ("critic - 1e-2 likelihood + 3*composer:bach", {"critic": 1, "likelihood": -0.01, "composer:bach": 3}),
        ("critic + 0.7 note_density - 10 rest_ratio", {"critic": 1, "note_density": 0.7, "rest_ratio": -10}),
        (DEFAULT_RANKING, {"critic": 1}),
        ("critic + 2 density_likelihood - 10 rest_ratio", {"critic": 1, "density_likelihood": 2, "rest_ratio": -10}),
    ],
)
def test_a_ranking_is_a_weighted_sum(scoring_models, pieces, expression, weights):
    scores, total = parse_ranking(expression, scoring_models)(pieces)
    assert scores.keys() == weights.keys()
    assert total == pytest.approx(sum(weight * scores[name] for name, weight in weights.items()), rel=1e-4)


@pytest.mark.parametrize(
    "expression",
    ["", "  ", "critic novelty", "critic +", "3", "nonsense", "critic:x", "composer", "composer:nobody", "critic; rm"],
)
def test_other_expressions_are_refused(scoring_models, expression):
    with pytest.raises(BadSetting):
        parse_ranking(expression, scoring_models)


def test_inception_score():
    same, one_each = np.log(np.full((4, 3), 1 / 3)), np.log(np.eye(3) * (1 - 3e-9) + 1e-9)
    assert inception_score(same) == pytest.approx(1)
    assert inception_score(one_each) == pytest.approx(3, rel=1e-4)
    assert inception_score(one_each[:1]) == pytest.approx(1)


@pytest.mark.parametrize("name", ["critic", "composer_classifier", "checkpoint"])
def test_a_missing_model_is_named(tmp_path, name):
    with pytest.raises(MissingModel, match=f"{tmp_path}.*the shipped models are"):
        getattr(ScoringModels(folder=tmp_path), name)
