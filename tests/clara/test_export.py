"""An exported model gives the logits of the model, in another runtime."""

import json

import numpy as np
import onnxruntime
import pytest
import tiny
import torch

from clara import export
from clara.checkpoints.checkpoint import Checkpoint
from clara.form.extraction import extract_plan


@pytest.mark.parametrize("arch", ["awd_lstm", "lstm"])
def test_another_runtime_gives_the_same(arch, tmp_path):
    checkpoint = tiny.checkpoint(arch=arch, n_layers=2)
    export.export(checkpoint, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    network, ids = checkpoint.inference_model(), torch.randint(0, len(checkpoint.vocab), (3, 11))
    state = network.initial_state(3)
    for part in (ids[:, :6], ids[:, 6:7], ids[:, 7:]):  # the state goes on
        feeds = {f"{s}{i}": layer[k].numpy() for i, layer in enumerate(state) for k, s in enumerate("hc")}
        logits, *states = session.run(None, {"ids": part.numpy()} | feeds)
        expected, state = network(part, state)
        torch.testing.assert_close(torch.from_numpy(logits), expected, atol=1e-5, rtol=1e-4)
        for exported, layer in zip(zip(states[::2], states[1::2]), state):
            for ours, theirs in zip(exported, layer):
                np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)
    exported = session.get_modelmeta().custom_metadata_map
    assert (
        exported["vocab"].split("\n") == list(checkpoint.vocab.tokens)
        and json.loads(exported["encoding"]) == checkpoint.encoding.settings
    )


def test_a_model_that_follows_plans(tmp_path):
    checkpoint = tiny.plan_follower(n_layers=2)
    export.export(checkpoint, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    sizes = json.loads(session.get_modelmeta().custom_metadata_map["context_sizes"])
    assert 1 + sum(sizes) == checkpoint.sizes["context_rows"]
    notes = tiny.tune(0)
    ids = checkpoint.vocab.to_ids(["xxbos", *checkpoint.encoding.encode(notes)[0]])
    plan = extract_plan(notes)
    whole = torch.from_numpy(checkpoint.context_reader().add_to(ids, plan))[None]
    categories = checkpoint.context_reader().read(ids, plan)
    first_rows = 1 + np.cumsum([0, *sizes[:-1]])  # as the metadata say
    np.testing.assert_array_equal(whole[0, :, 1:], np.where(categories < 0, 0, first_rows + categories))
    nothing_known = whole.clone()
    nothing_known[..., 1:] = 0
    network = checkpoint.inference_model()
    for inputs in (whole, nothing_known):
        state = network.initial_state(1)
        for part in (inputs[:, :6], inputs[:, 6:7], inputs[:, 7:]):
            feeds = {f"{s}{i}": layer[k].numpy() for i, layer in enumerate(state) for k, s in enumerate("hc")}
            feeds |= {"ids": part[..., 0].numpy(), "context": part[..., 1:].numpy()}
            logits, *states = session.run(None, feeds)
            expected, state = network(part, state)
            torch.testing.assert_close(torch.from_numpy(logits), expected, atol=1e-5, rtol=1e-4)
            np.testing.assert_allclose(states[0], state[0][0].numpy(), atol=1e-5)
    without_context, _ = network(nothing_known[..., 0], network.initial_state(1))
    torch.testing.assert_close(expected, without_context[:, 7:])


def test_the_command(tmp_path, capsys):
    tiny.checkpoint().save(tmp_path)
    export.main([str(tmp_path)])
    assert (tmp_path / "model.onnx").stat().st_size > 1000 and "model.onnx" in capsys.readouterr().out
    assert Checkpoint.load(tmp_path)  # the file beside its own does no harm


def test_a_shipped_model_is_written_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export.main(["notewise"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["notewise.onnx"]


def test_only_lstm_networks(tmp_path):
    from clara.errors import BadSetting

    with pytest.raises(BadSetting, match="wavenet"):
        export.export(tiny.checkpoint(arch="wavenet"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
