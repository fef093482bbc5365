"""The critics and composer classifiers that come with Clara, on music that music21 holds."""

import numpy as np
import pytest
from examples import REPOSITORY

from clara.encodings.notewise import Notewise
from clara.encodings.prompts import read_prompt
from clara.generation.generator import Generator
from clara.music.notes import build_notes, crop, transpose
from clara.sampling.settings import SamplingSettings
from critic import ComposerClassifier, Critic
from critic.scores import ScoringModels, parse_ranking

pytestmark = pytest.mark.slow

ROOT = REPOSITORY / "pretrained"
ENCODINGS = ("notewise", "chordwise")


@pytest.fixture(scope="module", params=ENCODINGS)
def encoding(request):
    return request.param


@pytest.fixture(scope="module")
def critic(encoding):
    return Critic.load(ROOT / f"critic-{encoding}")


@pytest.fixture(scope="module")
def composers(encoding):
    return ComposerClassifier.load(ROOT / f"composer-{encoding}")


@pytest.fixture(scope="module")
def chorales():
    """Return the openings of four chorales, their four voices in one piano part."""
    return [
        crop(read_prompt(f"music21:bach/bwv{n}", Notewise(12))[0], 0, 32 * 12) for n in ("66.6", "253", "255", "256")
    ]


def noise(seed):
    """Return random notes."""
    rng = np.random.default_rng(seed)
    start = np.sort(rng.integers(0, 32 * 12, 200))
    return build_notes(start, start + rng.integers(3, 24, 200), rng.integers(36, 84, 200))[0]


@pytest.mark.parametrize("kind", ["critic", "composer"])
def test_folders_are_small_and_have_a_card(kind, encoding):
    files = [f for f in sorted((ROOT / f"{kind}-{encoding}").rglob("*")) if f.is_file()]
    assert sum(f.stat().st_size for f in files) < 25e6
    assert {f.suffix for f in files} <= {".safetensors", ".txt", ".json", ".png", ".md"}
    card = (ROOT / f"{kind}-{encoding}" / "README.md").read_text(encoding="utf-8")
    for text in ("piano-midi.de", "CC BY-SA 3.0 DE", "Mutopia", "Figures", "Made by"):
        assert text in card


def test_music_is_more_human_than_noise(critic, chorales):
    assert critic.score(chorales).min() > critic.score([noise(i) for i in range(4)]).max()


@pytest.mark.parametrize("temperature", [0.9, 1.6])
def test_unsearched_music_is_less_human_than_music(critic, encoding, chorales, temperature):
    generator = Generator.load(ROOT / encoding)
    settings = SamplingSettings(temperature=temperature)
    scores = critic.score([s.notes for s in generator.generate(12, 24, settings=settings, seed=1)])
    assert scores.mean() < min(0, critic.score(chorales).min())


def test_the_key_matters_little(critic, chorales):
    """Transposing a piece changes its odds by less than a high temperature does."""
    moved = np.stack([critic.score([transpose(c, shift)[0] for c in chorales]) for shift in (-3, 0, 3)])
    assert moved.std(0).max() < 1 and moved.min() > critic.score([noise(i) for i in range(4)]).max()


@pytest.mark.parametrize(
    "piece, composer", [("chopin/mazurka06-2", "chopin"), ("mozart/k545/movement1_exposition", "mozart")]
)
def test_a_composer_is_recognized(composers, piece, composer):
    """It knows keyboard music; it assigns Bach's chorales to other composers."""
    assert len(composers.classes) >= 10
    whole = read_prompt(f"music21:{piece}", Notewise(12))[0]
    log_probs = composers.log_probs(
        [crop(whole, at, at + 32 * 12) for at in range(0, whole.n_steps - 32 * 12, 32 * 12)]
    )
    assert np.allclose(np.exp(log_probs).sum(1), 1, atol=1e-5)
    assert composers.classes[log_probs.mean(0).argmax()] == composer


def test_a_copy_in_another_key_is_found():
    index = ScoringModels(folder=ROOT).note_index
    row = index.steps[index.begin[7] : index.begin[8]][100:160]
    up, gap = (row >> 8).astype(int) - 128, (row & 255).astype(int)
    pitch, start = np.r_[0, up.cumsum()], np.r_[0, gap.cumsum()]
    copy = build_notes(start, start + 6, pitch - pitch.min() + 30)[0]
    run = index.longest_run(copy)
    assert run.n_notes >= 61 and run.source in index.names
    assert parse_ranking("longest_copied_run", ScoringModels(folder=ROOT))([copy])[1].tolist() == [-run.n_notes]
