"""The weights that come with Clara: whole, small, and better than chance at real music."""

import numpy as np
import pytest
from examples import REPOSITORY

from clara.checkpoints.checkpoint import Checkpoint
from clara.encodings.notewise import Notewise
from clara.encodings.prompts import read_prompt
from clara.generation.generator import Generator
from clara.models.likelihood import nats_per_piece

pytestmark = pytest.mark.slow

ROOT = REPOSITORY / "pretrained"
PIANO = ("piano-midi.de", "CC BY-SA 3.0 DE", "Mutopia")
SOURCES = {
    "notewise": PIANO,
    "notewise-large": PIANO,
    "chordwise": PIANO,
    "chamber": ("OpenScore Lieder", "CC0", "Mutopia"),
}
CLASSIFIERS = (
    "critic-notewise",
    "critic-chordwise",
    "composer-notewise",
    "composer-chordwise",
)  # see test_pretrained_classifiers
PLANNER = "planner"  # see tests/clara/form/test_pretrained_planner.py
PERFORMER = "performer"  # see tests/clara/performing/test_pretrained_performer.py
BEATS = "beats"  # see tests/clara/listening/test_network.py
HANDS = "hands"  # see tests/clara/notation/test_hands.py
STEPS = {"notewise": 12, "notewise-large": 12, "chordwise": 4, "chamber": 12}  # per quarter
LARGE, MOST_BYTES = "notewise-large", {True: 40e6, False: 25e6}  # of the large model, of the others


@pytest.fixture(scope="module", params=SOURCES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def checkpoint(name):
    return Checkpoint.load(ROOT / name)


@pytest.fixture(scope="module")
def chorale(checkpoint):
    """Four voices as one piano's, whatever the model has beside it."""
    return read_prompt("music21:bach/bwv66.6", Notewise(checkpoint.encoding.steps_per_quarter))[0]


def test_all_are_tested():
    assert {folder.name for folder in ROOT.iterdir()} == {*SOURCES, *CLASSIFIERS, PLANNER, PERFORMER, BEATS, HANDS}
    assert sum(f.stat().st_size for f in ROOT.rglob("*") if f.is_file()) < 120e6


def test_small_and_unpickled(name):
    files = sorted((ROOT / name).iterdir())
    assert sum(f.stat().st_size for f in files) < MOST_BYTES[name == LARGE]
    assert {f.suffix for f in files} <= {".safetensors", ".txt", ".json", ".csv", ".png", ".md", ".npz"}


def test_card_names_sources_and_licences(name):
    card = (ROOT / name / "README.md").read_text(encoding="utf-8")
    for text in (*SOURCES[name], "valid nats per quarter", "test nats per quarter"):
        assert text in card


def test_encoding_and_grid(name, checkpoint):
    assert checkpoint.encoding.name == name.split("-")[0]
    assert checkpoint.encoding.steps_per_quarter == STEPS[name]


def nats(checkpoint, notes):
    """Nats per quarter note of a piece."""
    ids = checkpoint.vocab.to_ids(["xxbos", *Generator(checkpoint).tokenize(notes)[0], "xxeos"])
    return float(nats_per_piece(checkpoint.inference_model(), [ids], checkpoint.vocab.pad_id)[0]) / notes.quarters


def test_expects_real_music_more_than_the_same_notes_shuffled(checkpoint, chorale):
    from clara.music.notes import build_notes

    pitch = np.random.default_rng(0).permutation(chorale.pitch)
    shuffled, _ = build_notes(chorale.start, chorale.end, pitch, steps_per_quarter=chorale.steps_per_quarter)
    share = 0.8 if checkpoint.encoding.open_vocabulary else 0.7  # of strange chords the nearest known one is read
    assert nats(checkpoint, chorale) < share * nats(checkpoint, shuffled)


def test_composes_in_more_than_one_pitch(checkpoint, chorale):
    pieces = Generator(checkpoint).generate(n=4, quarters=16, prompt=chorale, seed=1)
    for piece in pieces:
        new = piece.notes.pitch[piece.notes.start >= chorale.n_steps]
        assert len(set(new.tolist())) >= 5
