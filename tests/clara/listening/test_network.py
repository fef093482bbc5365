import json

import numpy as np
import pytest
import torch

from clara.checkpoints.shipped_models import find_model
from clara.errors import CheckpointMismatch
from clara.listening import network as network_module
from clara.listening.features import N_FEATURES
from clara.listening.network import CONFIG, SHIPPED_BEATS, BeatModel, BeatNetwork

MAX_BYTES = 3_000_000


@pytest.fixture
def model():
    torch.manual_seed(0)
    return BeatModel(BeatNetwork(8).eval(), {"training": {"seed": 0}})


def test_a_model_survives_its_folder(model, tmp_path):
    model.save(tmp_path / "beats")
    again = BeatModel.load(tmp_path / "beats")
    features = np.random.default_rng(0).normal(size=(20, N_FEATURES)).astype(np.float32)
    assert np.allclose(model.network.read(features).place, again.network.read(features).place, atol=0.01)
    assert again.info == {"training": {"seed": 0}}


@pytest.mark.parametrize("change", [{"beats": 2}, {"n_features": 5}, {"width": 9}])
def test_a_model_of_another_version_is_refused(model, tmp_path, change):
    model.save(tmp_path / "beats")
    config = tmp_path / "beats" / CONFIG
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(CheckpointMismatch):
        BeatModel.load(tmp_path / "beats")


def test_readings_are_probabilities_and_long_music_is_read_in_pieces(model, monkeypatch):
    features = np.random.default_rng(0).normal(size=(100, N_FEATURES)).astype(np.float32)
    whole = model.network.read(features)
    assert np.allclose(np.exp(whole.place).sum(1), 1) and np.allclose(np.exp(whole.bar).sum(1), 1)
    assert np.allclose(np.exp(whole.downbeat) + np.exp(whole.no_downbeat), 1)
    monkeypatch.setattr(network_module, "MAX_CLUSTERS", 60)
    monkeypatch.setattr(network_module, "OVERLAP_CLUSTERS", 20)
    pieces = model.network.read(features)
    assert len(pieces.place) == 100 and np.abs(pieces.place - whole.place).max() < 0.2


def test_the_shipped_folder_is_small_and_names_the_licences():
    folder = find_model(SHIPPED_BEATS)
    assert sum(path.stat().st_size for path in folder.iterdir()) < MAX_BYTES
    card = (folder / "README.md").read_text()
    assert all(name in card for name in ("CC BY-SA 3.0 DE", "Mutopia", "CC BY 4.0"))
