"""Model folders and adapters of strangers: each fault is named before anything is built."""

import json
import time
import tracemalloc

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from clara.checkpoints.adapter import Adapter
from clara.checkpoints.checkpoint import CONFIG, VOCAB, WEIGHTS, Checkpoint, weights_hash
from clara.errors import CheckpointMismatch


@pytest.fixture
def folder(tmp_path):
    tiny.checkpoint().save(tmp_path / "model")
    return tmp_path / "model"


def change(folder, **changes):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | changes))


def change_encoding(folder, **changes):
    change(folder, encoding=json.loads((folder / CONFIG).read_text())["encoding"] | changes)


def change_weights(folder, name, tensor):
    save_file(load_file(folder / WEIGHTS) | {name: tensor}, folder / WEIGHTS)


CONFIGS = {
    "a billion layers": lambda f: change(f, sizes=tiny.SIZES | {"n_layers": 10**9}),
    "layers that are not whole": lambda f: change(f, sizes=tiny.SIZES | {"n_layers": 0.5}),
    "layers that are a text": lambda f: change(f, sizes=tiny.SIZES | {"n_layers": "1"}),
    "a width of 0": lambda f: change(f, sizes=tiny.SIZES | {"emb_sz": 0}),
    "a width below 0": lambda f: change(f, sizes=tiny.SIZES | {"emb_sz": -8}),
    "a huge width": lambda f: change(f, sizes=tiny.SIZES | {"emb_sz": 10**15}),
    "a dropout of 5": lambda f: change(f, sizes=tiny.SIZES | {"hidden_p": 5.5}),
    "a dropout of NaN": lambda f: change(f, sizes=tiny.SIZES | {"hidden_p": float("nan")}),
    "100 million steps": lambda f: change_encoding(f, steps_per_quarter=10**8),
    "no steps": lambda f: change_encoding(f, steps_per_quarter=0),
    "half a step": lambda f: change_encoding(f, steps_per_quarter=0.5),
    "keys that are a list": lambda f: change_encoding(f, n_keys=[88]),
    "a thousand prefixes": lambda f: change_encoding(f, prefixes=["p"] * 1000),
    "prefixes that are numbers": lambda f: change_encoding(f, prefixes=[1]),
    "a setting of another encoding": lambda f: change_encoding(f, holds=True),
    "an architecture that is a list": lambda f: change(f, arch=["awd_lstm"]),
    "training that is a text": lambda f: change(f, training="long"),
    "repeats that are a number": lambda f: change(f, repeats=1),
    "repeats of huge numbers": lambda f: change(f, repeats={"min_tokens": [1], "calibration": [10**400]}),
    "nested": lambda f: (f / CONFIG).write_text("[" * 10**6),
    "nested inside": lambda f: (f / CONFIG).write_text('{"training": ' + '{"a": ' * 10**5),
}


@pytest.mark.parametrize("harm", CONFIGS.values(), ids=CONFIGS)
def test_a_hostile_config_is_named_in_no_time_and_memory(folder, harm):
    harm(folder)
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(CheckpointMismatch, match=CONFIG):
        Checkpoint.load(folder)
    assert time.perf_counter() - start < 2 and tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


WEIGHTS_OF = {
    "NaN": torch.full((203,), torch.nan),
    "infinite": torch.full((203,), -torch.inf),
    "one NaN in half precision": torch.tensor([torch.nan] + [0.0] * 202).half(),
    "whole numbers": torch.zeros(203, dtype=torch.int64),
    "truth values": torch.zeros(203, dtype=torch.bool),
    "another shape": torch.zeros(203, 1),
}


@pytest.mark.parametrize("tensor", WEIGHTS_OF.values(), ids=WEIGHTS_OF)
def test_hostile_weights_are_named(folder, tensor):
    change_weights(folder, "output.bias", tensor)
    with pytest.raises(CheckpointMismatch, match=f"{WEIGHTS}: output.bias"):
        Checkpoint.load(folder)


def test_a_huge_vocabulary_is_not_read(folder, monkeypatch):
    monkeypatch.setattr("clara.encodings.vocab.MAX_BYTES", 100)
    with pytest.raises(CheckpointMismatch, match=f"{VOCAB}: larger than"):
        Checkpoint.load(folder)


def test_a_weight_too_many_is_named(folder):
    change_weights(folder, "rnns.1.weight_hh_l0", torch.zeros(4, 4))
    with pytest.raises(CheckpointMismatch, match=r"rnns.1.weight_hh_l0 has shape \(4, 4\) there and None"):
        Checkpoint.load(folder)


def adapter_tensors(checkpoint):
    width = checkpoint.tensors["rnns.0.weight_hh_l0"].shape[1]
    return {
        "output.weight": checkpoint.tensors["embedding.weight"].clone(),
        "output.bias": checkpoint.tensors["output.bias"].clone(),
        **{f"initial_state.0.{kind}": torch.zeros(1, 1, width) for kind in "hc"},
    }


ADAPTERS = {
    "a bias of another length": ("output.bias", torch.zeros(5)),
    "an embedding": ("embedding.weight", torch.zeros(203, 8)),
    "a state of another width": ("initial_state.0.h", torch.zeros(1, 1, 99)),
    "a state that is NaN": ("initial_state.0.h", None),
}


@pytest.mark.parametrize("name, tensor", ADAPTERS.values(), ids=ADAPTERS)
def test_a_hostile_adapter_is_named(folder, tmp_path, name, tensor):
    checkpoint, path = Checkpoint.load(folder), tmp_path / "adapter.safetensors"
    tensors, info = adapter_tensors(checkpoint), {"base": weights_hash(folder)}
    Adapter(tensors, info).save(path)
    assert Adapter.load(path).apply_to(checkpoint, folder).inference_model().vocab_sz == 203
    tensors[name] = torch.full_like(tensors[name], torch.nan) if tensor is None else tensor
    Adapter(tensors, info).save(path)
    with pytest.raises(CheckpointMismatch, match=f"adapter.safetensors: {name}"):
        Adapter.load(path).apply_to(checkpoint, folder)


@pytest.mark.parametrize("metadata", [None, {}, {"adapter": "["}, {"adapter": "{}"}, {"adapter": '{"base": 1}'}])
def test_an_adapter_of_other_metadata_is_named(tmp_path, metadata):
    save_file({"output.bias": torch.zeros(3)}, tmp_path / "adapter.safetensors", metadata)
    with pytest.raises(CheckpointMismatch, match="adapter.safetensors"):
        Adapter.load(tmp_path / "adapter.safetensors")
