"""A classifier on disk and in use."""

import json

import numpy as np
import pytest
import tiny
from safetensors.numpy import load_file

from clara.checkpoints.checkpoint import CONFIG, VOCAB, WEIGHTS
from clara.checkpoints.shipped_models import MissingModel
from clara.encodings.notewise import Notewise
from clara.errors import BadMusicFile, CheckpointMismatch, NoNotes, TooShort, UnknownToken
from clara.music.midi import write_midi
from clara.music.notes import build_notes, crop
from critic import ComposerClassifier, Critic
from critic.members.ensemble import Ensemble

ENCODING = Notewise()


@pytest.fixture(scope="module")
def critic():
    return tiny.classifier()


def test_a_score_for_each_piece_the_same_in_any_company(critic):
    pieces = [tiny.tune(i, n_notes=30 + 20 * i) for i in range(6)]
    scores = critic.score(pieces)
    assert (
        scores.dtype == np.float32
        and scores.shape == (6,)
        and np.isfinite(scores).all()
        and len(set(scores.tolist())) == 6
    )
    assert critic.score(pieces[::-1])[::-1] == pytest.approx(scores, abs=1e-4)
    assert [critic.score([p])[0] for p in pieces] == pytest.approx(scores.tolist(), abs=1e-4)
    assert critic.score([]).shape == (0,)


def test_a_curve_for_each_piece_whose_mean_is_its_score(critic):
    piece = tiny.tune(1, n_notes=100)
    (windows,) = critic.window_log_odds([piece])
    assert len(windows) == round(piece.quarters / critic.window_quarters)
    assert critic.score([piece])[0] == pytest.approx(windows.mean(), abs=1e-5)


def test_temperature_divides_the_odds(critic):
    pieces = [tiny.tune(i) for i in range(3)]
    warm = tiny.classifier()
    warm.model.temperature = 4.0
    assert warm.score(pieces) == pytest.approx(critic.score(pieces) / 8, abs=1e-4)


def test_notes_words_midi_and_text_are_one(critic, tmp_path):
    notes = tiny.tune(2, n_notes=60)
    words = ENCODING.encode(notes)[0]
    write_midi(notes, tmp_path / "a.mid")
    (tmp_path / "a.txt").write_text(" ".join(words))
    scores = critic.score([notes, words, " ".join(words), tmp_path / "a.mid", str(tmp_path / "a.txt")])
    assert scores == pytest.approx(np.full(5, scores[0]), abs=1e-5)


def test_another_grid_is_encoded_anew(critic):
    notes = tiny.tune(2, n_notes=60)
    finer = build_notes(notes.start * 2, notes.end * 2, notes.pitch, steps_per_quarter=24)[0]
    assert critic.score([finer]) == pytest.approx(critic.score([notes]), abs=1e-5)


def test_log_probabilities_add_up():
    composers = tiny.classifier(classes=["bach", "chopin", "satie"])
    log_probs = composers.log_probs([tiny.tune(i) for i in range(4)])
    assert log_probs.shape == (4, 3) and log_probs.dtype == np.float32
    assert np.exp(log_probs).sum(1) == pytest.approx(np.ones(4), abs=1e-5)


@pytest.mark.parametrize(
    "piece, error",
    [
        (crop(tiny.tune(0), 0, 12), TooShort),
        (build_notes([], [], [])[0], NoNotes),
        (["wait24"] * 8, NoNotes),
        (["p40", "wait12", "endp40"], TooShort),
        (["p40", "nonsense"], UnknownToken),
        ("nowhere.mid", BadMusicFile),
    ],
)
def test_what_cannot_be_judged_is_told(critic, piece, error):
    with pytest.raises(error):
        critic.score([tiny.tune(1), piece])


def test_to_disk_and_back(critic, tmp_path):
    pieces = [tiny.tune(i) for i in range(3)]
    critic.save(tmp_path / "critic")
    again = Critic.load(tmp_path / "critic")
    assert again.score(pieces) == pytest.approx(critic.score(pieces), abs=0.02)
    assert (again.classes, again.window_quarters, again.info) == (critic.classes, critic.window_quarters, critic.info)


@pytest.mark.parametrize("name", [WEIGHTS, VOCAB, CONFIG])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe"])
def test_a_broken_folder(critic, tmp_path, name, content):
    critic.save(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointMismatch, match=str(tmp_path)):
        Critic.load(tmp_path)


@pytest.mark.parametrize(
    "key, value",
    [
        ("classes", ["human"]),
        ("classes", None),
        ("net", None),
        ("net", {"arch": "wavenet"}),
        ("type", "nonsense"),
        ("format", 7),
        ("encoding", {}),
    ],
)
def test_parts_that_do_not_agree(critic, tmp_path, key, value):
    critic.save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {key: value}))
    with pytest.raises(CheckpointMismatch, match=str(tmp_path)):
        Critic.load(tmp_path)


def test_a_critic_is_no_composer_classifier(critic, tmp_path):
    critic.save(tmp_path / "critic")
    tiny.classifier(classes=["bach", "satie"]).save(tmp_path / "composers")
    with pytest.raises(CheckpointMismatch, match="critic"):
        ComposerClassifier.load(tmp_path / "critic")
    with pytest.raises(CheckpointMismatch, match="bach"):
        Critic.load(tmp_path / "composers")


def test_the_encoder_of_a_shipped_model_may_be_shared(tmp_path, monkeypatch):
    monkeypatch.setattr("clara.checkpoints.shipped_models.shipped_models_folder", lambda: tmp_path / "models")
    model, member = tiny.checkpoint(), tiny.member()
    model.save(tmp_path / "models" / "base")
    member.save(tmp_path / "alone")
    member.encoder_folder = tmp_path / "models" / "base"
    member.save(tmp_path / "models" / "critic")
    pieces = [tiny.tune(i) for i in range(3)]
    assert (
        Critic.load(tmp_path / "models" / "critic").score(pieces).tolist()
        == Critic.load(tmp_path / "alone").score(pieces).tolist()
    )
    shared = Critic.load(tmp_path / "models" / "critic")
    Critic(Ensemble([(shared.model, 0.5)])).save(tmp_path / "elsewhere" / "ensemble")
    assert Critic.load(tmp_path / "elsewhere" / "ensemble").score(pieces) == pytest.approx(
        shared.score(pieces) / 2, abs=1e-5
    )
    stored = load_file(tmp_path / "elsewhere" / "ensemble" / "1-text" / "model.safetensors")
    assert all(name.startswith("head.") for name in stored)
    small, whole = ((tmp_path / n / "model.safetensors").stat().st_size for n in ("models/critic", "alone"))
    assert small < whole
    tiny.checkpoint(seed=5).save(tmp_path / "models" / "base")
    with pytest.raises(CheckpointMismatch, match="shipped model base"):
        Critic.load(tmp_path / "models" / "critic")


def test_rank_puts_the_most_human_first_and_the_unscorable_last(critic):
    pieces = [build_notes([], [], [])[0], *(tiny.tune(i, n_notes=30 + 20 * i) for i in range(5)), ["p40", "nonsense"]]
    ranked = critic.rank(pieces)
    scores = critic.score(ranked[:5])
    assert (np.diff(scores) <= 0).all() and ranked[5:] == [pieces[0], pieces[-1]]
    assert critic.rank(pieces[1:4]) == sorted(pieces[1:4], key=lambda piece: -critic.score([piece])[0])
    assert critic.rank([]) == []


def test_a_sample_is_judged_by_what_was_composed(critic):
    """Of a continuation the prompt is left out."""
    from clara.generation.generator import Generator

    prompt = crop(tiny.tune(3), 0, 48)
    samples = Generator(tiny.checkpoint()).generate(3, 16, prompt=prompt, seed=1)
    assert critic.score(samples).tolist() == critic.score([sample.composed() for sample in samples]).tolist()
    assert critic.rank(samples)[0] in samples


def test_predict_names_the_most_probable_composer():
    composers = tiny.classifier(classes=["bach", "chopin", "satie"])
    pieces = [tiny.tune(i) for i in range(4)]
    assert composers.predict(pieces) == [composers.classes[i] for i in composers.log_probs(pieces).argmax(1)]


@pytest.mark.parametrize("kind, names", [(Critic, "critic-chordwise"), (ComposerClassifier, "composer-chordwise")])
def test_an_unknown_pretrained_classifier(kind, names):
    with pytest.raises(MissingModel, match=names):
        kind.from_pretrained("melodywise")
