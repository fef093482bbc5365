"""Folders of critics of strangers: each fault is named before anything is built, and no name leads out of a folder."""

import json
import time
import tracemalloc

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from clara.checkpoints.checkpoint import CONFIG, WEIGHTS, weights_hash
from clara.errors import CheckpointMismatch, ClaraError, OutsideFolder
from critic.classifier import Critic
from critic.members import MEMBERS
from critic.members.ensemble import Ensemble


def save_member(folder, member_type="descriptors"):
    tiny.classifier(member_type).save(folder)
    return folder


def save_ensemble(folder, n=2):
    Ensemble([(tiny.member("descriptors", seed=i), 0.5) for i in range(n)]).save(folder)
    return folder


def change(folder, **changes):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | changes))


NETS = {
    "a billion heads": ("descriptors", {"hidden": 8, "n_heads": 10**9}),
    "a billion units": ("descriptors", {"hidden": 10**9, "n_heads": 2}),
    "one head too many": ("descriptors", {"hidden": 8, "n_heads": 3}),
    "half a head": ("descriptors", {"hidden": 8, "n_heads": 1.5}),
    "other channels": ("piano_roll", {"widths": [4, 6, 8, 9]}),
    "a million channels": ("piano_roll", {"widths": [10**6] * 4}),
    "a thousand layers": ("self_similarity", {"widths": [4] * 1000}),
    "channels that are a number": ("self_similarity", {"widths": 4}),
    "a billion layers": ("text", {"sizes": tiny.SIZES | {"n_layers": 10**9}}),
    "other sizes": ("text", {"sizes": tiny.SIZES | {"emb_sz": 9}}),
    "a billion windows": ("text", {"context_windows": 10**9}),
    "an unknown architecture": ("text", {"arch": "gpt"}),
}


@pytest.mark.parametrize("member_type, net", NETS.values(), ids=NETS)
def test_a_hostile_network_is_named_in_no_time_and_memory(tmp_path, member_type, net):
    save_member(tmp_path, member_type)
    change(tmp_path, net=tiny.MEMBER_NETS[member_type] | net)
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(CheckpointMismatch, match=str(tmp_path)):
        Critic.load(tmp_path)
    assert time.perf_counter() - start < 2 and tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


CHANGES = {
    "temperature 0": {"temperature": 0},
    "temperature NaN": {"temperature": float("nan")},
    "temperature below 0": {"temperature": -1.0},
    "tiny windows": {"window_quarters": 1e-9},
    "endless windows": {"window_quarters": float("inf")},
    "windows of text": {"window_quarters": "8"},
    "a class twice": {"classes": ["human", "human"]},
    "a million classes": {"classes": [str(i) for i in range(10**5)]},
    "classes that are numbers": {"classes": [0, 1]},
    "a huge grid": {"encoding": {"encoding": "notewise", "steps_per_quarter": 10**8}},
    "figures that are a list": {"figures": [1]},
    "a type that is a list": {"type": ["text"]},
    "a format that is a text": {"format": "1"},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_hostile_config_is_named(tmp_path, changes):
    save_member(tmp_path)
    change(tmp_path, **changes)
    with pytest.raises(CheckpointMismatch, match=CONFIG):
        Critic.load(tmp_path)


@pytest.mark.parametrize("member_type", list(MEMBERS))
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_finite_numbers(tmp_path, member_type, value):
    save_member(tmp_path, member_type)
    tensors = load_file(tmp_path / WEIGHTS)
    name = next(name for name in tensors if name.endswith(("bias", "prior")))
    save_file(tensors | {name: torch.full_like(tensors[name], value)}, tmp_path / WEIGHTS)
    with pytest.raises(CheckpointMismatch, match=f"{WEIGHTS}: {name}"):
        Critic.load(tmp_path)


def test_an_ensemble_does_not_lead_out_of_its_folder(tmp_path):
    save_member(tmp_path / "outside")
    folder = save_ensemble(tmp_path / "critic")
    (folder / "link").symlink_to(tmp_path / "outside")
    for name in ("../outside", str(tmp_path / "outside"), "link", "1-descriptors/../../outside"):
        change(folder, members=[{"folder": name, "weight": 1.0}])
        with pytest.raises(OutsideFolder, match="critic"):
            Critic.load(folder)


def test_an_ensemble_holds_no_ensemble_and_not_a_thousand_members(tmp_path):
    folder = save_ensemble(tmp_path / "critic")
    save_ensemble(folder / "inner")
    faults = [
        [{"folder": "inner", "weight": 1.0}],
        [{"folder": "1-descriptors", "weight": 1.0}] * 1000,
        [{"folder": "1-descriptors", "weight": float("nan")}],
        [{"folder": "1-descriptors", "weight": -1}],
        [{"folder": "1-descriptors"}],
        ["1-descriptors"],
        [],
        {"folder": "1-descriptors", "weight": 1.0},
    ]
    for members in faults:
        change(folder, members=members)
        with pytest.raises(ClaraError, match=str(folder)):
            Critic.load(folder)


def test_an_ensemble_and_its_members_agree(tmp_path):
    folder = save_ensemble(tmp_path / "critic")
    change(folder, window_quarters=4.0)
    with pytest.raises(CheckpointMismatch, match="than its members"):
        Critic.load(folder)


@pytest.mark.parametrize("name", ["../model", "/tmp", "model/../model", "model"])
def test_an_encoder_is_a_shipped_model(tmp_path, name):
    tiny.checkpoint().save(tmp_path / "model")
    save_member(tmp_path / "critic", "text")
    change(tmp_path / "critic", encoder={"model": name, "weights": weights_hash(tmp_path / "model")})
    with pytest.raises(CheckpointMismatch, match="shipped model"):
        Critic.load(tmp_path / "critic")
