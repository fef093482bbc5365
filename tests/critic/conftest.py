"""The models that scores need, at the smallest size."""

import pytest
import tiny

from clara.music.midi import write_midi
from critic.copy_index import NoteIndex
from critic.scores import ScoringModels


@pytest.fixture(scope="session")
def pieces():
    """Return seven tunes of different lengths; the note index holds the fourth."""
    return [tiny.tune(i, n_notes=40 + 7 * i) for i in range(7)]


@pytest.fixture(scope="session")
def scoring_folder(pieces, tmp_path_factory):
    """Return a folder like that of the pretrained models."""
    folder = tmp_path_factory.mktemp("pretrained")
    tiny.classifier().save(folder / "critic-notewise")
    tiny.classifier(classes=["bach", "chopin", "satie"], seed=1).save(folder / "composer-notewise")
    tiny.checkpoint().save(folder / "notewise")
    NoteIndex.from_pieces([("tunes/3", pieces[3])]).save(folder / "notewise" / "notes.npz")
    return folder


@pytest.fixture(scope="session")
def scoring_models(scoring_folder):
    return ScoringModels(folder=scoring_folder)


@pytest.fixture
def files(pieces, tmp_path):
    """Write the pieces as MIDI files."""
    for i, notes in enumerate(pieces):
        write_midi(notes, tmp_path / f"{i}.mid")
    return sorted(tmp_path.glob("*.mid"))
