"""Changing a piece towards a composer."""

from dataclasses import replace
from itertools import pairwise

import pytest
import tiny

from clara.encodings.notewise import Notewise
from clara.errors import BadSetting, TooShort
from clara.generation.generator import Generator
from clara.generation.infilling import lead_nats
from clara.music.notes import NoteSequence, crop, transpose
from critic import dream
from critic.dream import Dreamer, DreamSettings, kept_share, outer_voice
from critic.scores import ScoringModels

FEW = DreamSettings(proposals=4, steps=6)


@pytest.fixture(scope="module")
def generator(scoring_folder):
    return Generator.load(scoring_folder / "notewise")


@pytest.fixture(scope="module")
def piece():
    return tiny.tune(3, n_notes=60)


@pytest.fixture(autouse=True)
def free_changes(monkeypatch):
    """Let changes cost nothing, as untrained classifiers hardly reward them."""
    monkeypatch.setattr(dream, "CHANGE_WEIGHT", 0.0)


@pytest.fixture
def states(generator, scoring_models, piece):
    return list(Dreamer(generator, scoring_models, "chopin").dream(piece, replace(FEW, strength=1.0)))


def test_each_change_brings_the_piece_nearer(states, piece):
    assert states[0].notes == piece and states[0].kept == 1
    assert len(states) > 1
    for before, after in pairwise(states):
        assert after.notes != before.notes
        assert after.wanted > before.wanted


def test_a_change_must_be_worth_its_notes(generator, scoring_models, piece, monkeypatch):
    monkeypatch.setattr(dream, "CHANGE_WEIGHT", 1000.0)
    assert len(list(Dreamer(generator, scoring_models, "chopin").dream(piece, FEW))) == 1


def test_metre_and_last_bar_stay(states, piece):
    last_barline = piece.n_steps // 48 * 48
    for state in states:
        assert state.notes.time_signatures == piece.time_signatures
        assert crop(state.notes, last_barline, 10**6).pitch.tolist()[-1] == piece.pitch[-1]


def test_a_seed_gives_one_dream(generator, scoring_models, piece, states):
    again = list(Dreamer(generator, scoring_models, "chopin").dream(piece, replace(FEW, strength=1.0)))
    assert [state.notes for state in again] == [state.notes for state in states]


def test_no_more_than_the_strength_changes(generator, scoring_models, piece):
    dreamer = Dreamer(generator, scoring_models, "satie")
    states = list(dreamer.dream(piece, replace(FEW, strength=0.1, steps=8)))
    assert min(state.kept for state in states) >= 0.9


def test_a_dream_ends_when_the_composer_is_heard(generator, scoring_models, piece):
    dreamer = Dreamer(generator, scoring_models, "satie")
    assert len(list(dreamer.dream(piece, replace(FEW, enough=0.01)))) == 1


def test_steps_are_counted(generator, scoring_models, piece):
    shares = []
    list(Dreamer(generator, scoring_models, "novelty").dream(piece, replace(FEW, enough=1.0), shares.append))
    assert shares == pytest.approx([(i + 1) / 6 for i in range(6)])


def test_kept_share():
    notes = NoteSequence.from_notes([(0, 12, 60), (12, 12, 62), (24, 12, 64), (36, 12, 65)])
    other = NoteSequence.from_notes([(0, 6, 60), (12, 12, 62), (24, 12, 66), (40, 8, 65)])
    assert kept_share(notes, notes) == 1
    assert kept_share(other, notes) == 0.5
    assert kept_share(transpose(notes, 1)[0], notes) == 0


def test_an_unknown_composer_is_named_with_the_known_ones(generator, scoring_models):
    with pytest.raises(BadSetting, match="nobody.*bach, chopin, satie"):
        Dreamer(generator, scoring_models, "nobody")


def test_a_piece_of_two_bars(generator, scoring_models, piece):
    with pytest.raises(TooShort, match="three bars"):
        list(Dreamer(generator, scoring_models, "bach").dream(crop(piece, 0, 90), FEW))


def test_a_classifier_of_another_encoding(generator, scoring_folder, tmp_path):
    tiny.classifier(classes=["bach", "chopin"], encoding=Notewise(4)).save(tmp_path / "coarse")
    models = ScoringModels(folder=scoring_folder, composer_folder=tmp_path / "coarse")
    with pytest.raises(BadSetting, match="notewise text at 4 steps"):
        Dreamer(generator, models, "bach")


def test_outer_voices():
    notes = NoteSequence.from_notes([(0, 12, 48), (0, 12, 60), (0, 12, 64), (12, 12, 62), (24, 12, 50), (24, 12, 65)])
    assert outer_voice(notes, highest=True).pitch.tolist() == [64, 62, 65]
    assert outer_voice(notes, highest=False).pitch.tolist() == [48, 62, 50]


@pytest.mark.parametrize("move", [dream.UNDER_MELODY, dream.OVER_BASS])
def test_the_melody_or_the_bass_stays(generator, scoring_models, piece, monkeypatch, move):
    monkeypatch.setattr(dream, "MOVES", {move: 2})
    states = list(Dreamer(generator, scoring_models, "chopin").dream(piece, replace(FEW, strength=1.0)))
    voice = outer_voice(piece, highest=move == dream.UNDER_MELODY)
    assert len(states) > 1 and all(kept_share(state.notes, voice) == 1 for state in states)


def test_a_change_must_lead_on(generator, scoring_models, piece, monkeypatch):
    monkeypatch.setattr(dream, "LEAD_WEIGHT", 1e6)
    leads = []
    monkeypatch.setattr(dream, "lead_nats", lambda *args: leads.append(lead_nats(*args)) or leads[-1])
    states = list(Dreamer(generator, scoring_models, "chopin").dream(piece, replace(FEW, strength=1.0)))
    assert len(states) == 1 + sum(after <= before for before, after in leads)
