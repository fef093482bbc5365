"""The weights that come with Clara: whole, small, and better than chance at real music."""

from pathlib import Path

import numpy as np
import pytest

from clara.checkpoint import Checkpoint
from clara.evaluate import nats_per_piece
from clara.generator import Generator, read_prompt

FOLDER = Path(__file__).resolve().parent.parent / "pretrained" / "notewise"


@pytest.fixture(scope="module")
def checkpoint():
    return Checkpoint.load(FOLDER)


@pytest.fixture(scope="module")
def chorale(checkpoint):
    return read_prompt("music21:bach/bwv66.6", checkpoint.encoding)[0]


def test_small_and_unpickled():
    files = sorted(FOLDER.iterdir())
    assert sum(f.stat().st_size for f in files) < 25e6
    assert {f.suffix for f in files} <= {".safetensors", ".txt", ".json", ".csv", ".png", ".md"}


def test_card_names_sources_and_licences():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for told in ("piano-midi.de", "CC BY-SA 3.0 DE", "Mutopia", "valid nats per quarter", "test nats per quarter"):
        assert told in card


def nats(checkpoint, notes):
    """Nats per quarter note of a piece."""
    ids = checkpoint.vocab.ids(["xxbos", *checkpoint.encoding.encode(notes)[0], "xxeos"])
    return float(nats_per_piece(checkpoint.reader(), [ids], checkpoint.vocab.pad)[0]) / notes.quarters


def test_expects_real_music_more_than_the_same_notes_shuffled(checkpoint, chorale):
    from clara.notes import mend

    pitch = np.random.default_rng(0).permutation(chorale.pitch)
    shuffled, _ = mend(chorale.start, chorale.end, pitch)
    assert nats(checkpoint, chorale) < 0.7 * nats(checkpoint, shuffled)


def test_composes_in_more_than_one_pitch(checkpoint, chorale):
    pieces = Generator(checkpoint).generate(n=4, quarters=16, prompt=chorale, seed=1)
    for piece in pieces:
        new = piece.notes.pitch[piece.notes.start >= chorale.n_steps]
        assert len(set(new.tolist())) >= 5
