"""Which hand plays a note: by the shipped network and the beam search, and how the network is stored."""

import json

import music21
import numpy as np
import pytest
import torch

from clara.checkpoints.shipped_models import find_model
from clara.errors import CheckpointMismatch
from clara.notation.hand_network import CONFIG, SHIPPED_HANDS, HandModel, HandNetwork, describe_notes, note_columns
from clara.notation.hands import LEFT, RIGHT, assign_hands

MAX_BYTES = 1_000_000


def columns(*notes):
    """Return start, end and pitch of notes (start, length, pitch), sorted."""
    start, length, pitch = np.array(sorted((s, p, d) for s, d, p in notes)).T[[0, 2, 1]]
    return np.ascontiguousarray(start), start + length, np.ascontiguousarray(pitch)


def test_a_melody_over_a_bass_keeps_its_hand_across_middle_c():
    """The melody goes down to F below middle C, and the bass is still the left hand's."""
    melody = [(12 * i, 12, pitch) for i, pitch in enumerate([72, 69, 65, 60, 57, 53, 57, 60, 65, 69, 72, 77])]
    bass = [(24 * i, 24, pitch) for i, pitch in enumerate([41, 45, 41, 36, 41, 45])]
    start, end, pitch = columns(*melody, *bass)
    hands = assign_hands(start, end, pitch, 12)
    assert (hands[pitch < 50] == LEFT).all() and (hands[pitch > 50] == RIGHT).all()


def test_an_engraved_rag():
    """Joplin's Maple Leaf Rag as engraved; its hands leave their halves of the keyboard."""
    score = music21.corpus.parse("joplin/maple_leaf_rag")
    notes = []
    for hand, part in zip((RIGHT, LEFT), score.parts):
        for element in part.flatten().notes:
            if element.duration.quarterLength:
                begin = round(12 * float(element.offset))
                length = max(1, round(12 * float(element.duration.quarterLength)))
                notes += [(begin, pitch.midi, length, hand) for pitch in element.pitches]
    start, pitch, length, truth = np.array(sorted(set(notes))).T.copy()
    right = (assign_hands(start, start + length, pitch, 12) == truth).mean()
    assert right > 0.9 and right > ((pitch < 60) == truth).mean()


def test_few_notes():
    nothing = np.zeros(0, dtype=np.int64)
    assert len(assign_hands(nothing, nothing, nothing, 12)) == 0
    assert assign_hands(*columns((0, 12, 90)), 12).tolist() == [RIGHT]
    assert assign_hands(*columns((0, 12, 30)), 12).tolist() == [LEFT]


def test_neighbours_beyond_the_ends_are_empty():
    start, end, pitch = columns((0, 12, 60), (12, 24, 64))
    table = note_columns(start, end, pitch, 12, 3)
    features = describe_notes(table, torch.tensor([3, 4]), 3)
    distance, is_note = features[:, :7], features[:, 35:42]
    assert is_note.tolist() == [[0, 0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0, 0]]
    assert distance[0, 4] == pytest.approx(4 / 12) and distance[1, 2] == pytest.approx(-4 / 12)
    assert distance[is_note == 0].abs().max() == 0


@pytest.fixture
def model():
    torch.manual_seed(0)
    return HandModel(HandNetwork(4, 8).eval(), {"training": {"seed": 0}})


def test_a_model_survives_its_folder(model, tmp_path):
    model.save(tmp_path / "hands")
    again = HandModel.load(tmp_path / "hands")
    notes = columns((0, 12, 60), (12, 12, 40))
    expected = model.network.left_log_odds(*notes, 12)
    assert np.allclose(expected, again.network.left_log_odds(*notes, 12), atol=0.01)
    assert again.info == {"training": {"seed": 0}}


@pytest.mark.parametrize("change", [{"hands": 2}, {"n_neighbours": 5}, {"width": 9}])
def test_a_model_of_another_version_is_refused(model, tmp_path, change):
    model.save(tmp_path / "hands")
    config = tmp_path / "hands" / CONFIG
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(CheckpointMismatch):
        HandModel.load(tmp_path / "hands")


def test_the_shipped_folder_is_small_and_names_the_licences():
    folder = find_model(SHIPPED_HANDS)
    assert sum(path.stat().st_size for path in folder.iterdir()) < MAX_BYTES
    card = (folder / "README.md").read_text()
    assert all(name in card for name in ("CC BY-SA 3.0 DE", "Mutopia", "CC BY 4.0"))
